package storage

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// A value that is on its way while somebody flushes is stored when it is complete, which is later:
// it stays, whatever looks at the segments in which its first bytes lie, and whatever mode it is
// stored by.
func TestAValueThatArrivesAcrossAFlush(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  Mode
		flush func(st *Store, clock *expiry.Clock)
	}{
		{"set", Set, func(st *Store, clock *expiry.Clock) { st.FlushAll(expiry.Never) }},
		{"delayed", Set, func(st *Store, clock *expiry.Clock) {
			st.FlushAll(clock.Now() + 2)
			clock.Set(clock.Now() + 2)
		}},
		{"delayed, swept", Add, func(st *Store, clock *expiry.Clock) {
			st.FlushAll(clock.Now() + 2)
			clock.Set(clock.Now() + 3)
			for range 100 {
				st.Sweep()
			}
		}},
		{"twice, with items between", Replace, func(st *Store, clock *expiry.Clock) {
			st.FlushAll(expiry.Never)
			put(st, Set, "k", "small", 0)
			st.FlushAll(expiry.Never)
			put(st, Set, "k", "small", 0)
		}},
		{"appended to what is new", Append, func(st *Store, clock *expiry.Clock) {
			st.FlushAll(expiry.Never)
			put(st, Set, "k", "", 0)
		}},
		{"prepended to what is new", Prepend, func(st *Store, clock *expiry.Clock) {
			st.FlushAll(expiry.Never)
			put(st, Set, "k", "", 0)
		}},
	} {
		for _, n := range []int{1, 1000, 70_000, 900_000} {
			t.Run(fmt.Sprint(tt.name, " ", n), func(t *testing.T) {
				opts := Options{MemoryLimit: 16 << 20, Shards: 1, TrackSizes: true, File: filepath.Join(memoryDir(t), "items")}
				st, clock := openAt(t, opts, someDay)
				key, want := []byte("k"), pattern(n, 1)
				in, _ := st.Receive(st.Hash(key), &Item{Key: key, Deadline: clock.Now() + 1000}, n, nil)
				if _, status := in.Write(want[:(n+1)/2]); status != Stored {
					t.Fatal(status)
				}
				tt.flush(st, clock)
				if _, status := in.Write(want[(n+1)/2:]); status != Stored {
					t.Fatal(status)
				}
				if status := in.Commit(tt.mode); status != Stored {
					t.Fatalf("Commit: %d", status)
				}
				there := func(when string) {
					t.Helper()
					if got, ok := get(st, "k"); !ok || got != string(want) {
						t.Fatalf("%s: %v, %d bytes", when, ok, len(got))
					}
				}
				there("at once")
				for range 200 {
					st.Sweep()
				}
				there("after sweeps")
				if status := put(st, Append, "k", "x", 0); status != Stored {
					t.Fatalf("append: %d", status)
				}
				want = append(want, 'x')
				there("with more")
				if st.TouchView(st.Hash(key), key, clock.Now()+2000, false, nil) != Stored {
					t.Fatal("touch: it is gone")
				}
				at := clock.Unix(clock.Now())
				closeStore(t, st)
				st, clock = openAt(t, opts, at)
				there("after a restart")
				st.FlushAll(expiry.Never)
				if _, ok := get(st, "k"); ok {
					t.Fatal("a flush does not end it")
				}
				closeStore(t, st)
			})
		}
	}
}

// Sweep may have passed the place of a value before it was complete: it comes back for it when it
// has ended.
func TestAValueThatArrivesAcrossASweepEnds(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 200_000})
	put(st, Set, "first", "ends soon", clock.Now()+2)
	in, _ := st.Receive(st.Hash([]byte("k")), &Item{Key: []byte("k"), Deadline: clock.Now() + 10}, 100_000, nil)
	if _, status := in.Write(make([]byte, 100_000)); status != Stored {
		t.Fatal(status)
	}
	clock.Set(clock.Now() + 3)
	for range 200 {
		st.Sweep()
	}
	if status := in.Commit(Set); status != Stored {
		t.Fatal(status)
	}
	if err := st.Check(); err != nil {
		t.Fatal(err)
	}
	clock.Set(clock.Now() + 10)
	for range 200 {
		st.Sweep()
	}
	if s := st.Stats(); s.CurrItems != 0 {
		t.Errorf("%d items, and nobody has asked for them", s.CurrItems)
	}
}

// Who stores by an outdated unique stores as stale, until the deadline that was there, however long
// the value is.
func TestALongValueIsStoredAsStale(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10})
	old := []byte("k")
	put(st, Set, "k", "old", clock.Now()+50)
	outdated := unique(t, st, "k")
	put(st, Set, "k", "newer", clock.Now()+50)
	now := unique(t, st, "k")
	want := pattern(300_000, 1)
	in, _ := st.Receive(st.Hash(old), &Item{Key: old, Flags: 9, Unique: outdated, Show: true}, len(want), nil)
	if _, status := in.Write(want); status != Stored {
		t.Fatal(status)
	}
	if status := in.Commit(CompareAndSwapStale); status != Stored {
		t.Fatal(status)
	}
	var told Item
	in.Tell(&told)
	hit := st.Edit(st.Hash(old), old, Visit{Unique: true}, func(it *Item) {
		if string(it.AppendTo(nil)) != string(want) || !it.Stale || it.Won || it.Flags != 9 || it.Deadline != clock.Now()+50 ||
			it.Unique <= now || it.Unique != told.Unique {
			t.Errorf("%d bytes, %v, %v, flags %d, deadline %d, unique %d, told %d", it.Len(), it.Stale, it.Won, it.Flags, it.Deadline, it.Unique, told.Unique)
		}
	})
	if hit != Stored {
		t.Error("it is gone")
	}
}

// Nothing that is done to a long value takes memory of the Go heap that grows with it.
func TestLongValuesStayOffTheHeap(t *testing.T) {
	st, err := Open(Options{MemoryLimit: 64 << 20, ItemMax: 8 << 20}, expiry.NewClock(someDay))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, st)
	key := []byte("k")
	h := st.Hash(key)
	value, more := pattern(1_000_000, 1), pattern(200_000, 2)
	number := append([]byte("1"), make([]byte, 400_000)...)
	for _, tt := range []struct {
		name  string
		value []byte
		do    func() Status
	}{
		{"append", value, func() Status { return st.Put(h, Append, &Item{Key: key, Value: more[:1]}) }},
		{"prepend", value, func() Status { return st.Put(h, Prepend, &Item{Key: key, Value: more[:1]}) }},
		{"received and appended", value, func() Status { return commit(st, key, Append, more) }},
		{"received and prepended", value, func() Status { return commit(st, key, Prepend, more) }},
		{"received as stale", value, func() Status {
			in, _ := st.Receive(h, &Item{Key: key, Unique: 1}, len(value), nil)
			in.Write(value)
			return in.Commit(CompareAndSwapStale)
		}},
		{"incr", number, func() Status { _, status := st.Incr(h, key, 1); return status }},
		{"gets and incr", number, func() Status {
			st.ViewUnique(h, key, func(Item) {})
			_, status := st.Incr(h, key, 1)
			return status
		}},
	} {
		if status := commit(st, key, Set, tt.value); status != Stored {
			t.Fatal(status)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 20 {
			if status := tt.do(); status != Stored {
				t.Fatalf("%s: %d", tt.name, status)
			}
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / 20; n > 20_000 {
			t.Errorf("%s: %d bytes each", tt.name, n)
		}
	}
}
