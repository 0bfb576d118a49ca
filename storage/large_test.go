package storage

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// pattern is n bytes that tell where they belong.
func pattern(n, seed int) []byte {
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(i) ^ byte(i>>8)*3 ^ byte(i>>16)*5 ^ byte(seed)
	}
	return v
}

// pour is a fill for Fill that has these bytes.
func pour(source []byte) func(rooms [][]byte) int {
	return func(rooms [][]byte) (n int) {
		for _, room := range rooms {
			n += copy(room, source[n:])
		}
		return n
	}
}

func receive(t *testing.T, st *Store, key string, value []byte, mode Mode) Status {
	t.Helper()
	in, status := st.Receive(st.Hash([]byte(key)), &Item{Key: []byte(key), Flags: 7}, len(value), nil)
	if status != Stored {
		return status
	}
	for in.came < in.n {
		_, status := in.Write(value[in.came:][:min(in.n-in.came, 40_000)])
		if status == Stored && in.came < in.n {
			_, status = in.Fill(new(Rooms), pour(value[in.came:]))
		}
		if status != Stored {
			return status
		}
	}
	return in.Commit(mode)
}

func TestLargeValues(t *testing.T) {
	for _, tt := range []struct {
		limit   int64
		itemMax int
		n       int
	}{
		{64 << 20, 1 << 20, 1<<20 - 300},
		{64 << 20, 32 << 20, 32<<20 - 300}, // -m 64 -I 32m
	} {
		t.Run(fmt.Sprint(tt.limit>>20, ",", tt.n), func(t *testing.T) {
			st, err := Open(Options{MemoryLimit: tt.limit, ItemMax: tt.itemMax}, expiry.NewClock(1_700_000_000))
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			for i := range 4 {
				key, want := fmt.Sprint("large", i), pattern(tt.n, i)
				if got := receive(t, st, key, want, Set); got != Stored {
					t.Fatalf("%s: %d", key, got)
				}
				got, ok := get(st, key)
				if !ok || got != string(want) {
					t.Fatalf("%s: %v, %d bytes", key, ok, len(got))
				}
			}
			if err := st.Check(); err != nil {
				t.Error(err)
			}
			for i := range 20_000 {
				put(st, Set, fmt.Sprint("small", i), "v", 0)
			}
			if got := receive(t, st, "large", pattern(tt.itemMax, 1), Set); got != TooLarge {
				t.Errorf("a value that is too large: %d", got)
			}
			if err := st.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnAbortedValueLeavesNothing(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10})
	put(st, Set, "k", "old", 0)
	before := st.Stats()
	for i := range 100 {
		in, status := st.Receive(st.Hash([]byte("k")), &Item{Key: []byte("k")}, 900_000, nil)
		if status != Stored {
			t.Fatalf("Receive: %d", status)
		}
		if _, status := in.Write(make([]byte, 8_000*i)); status != Stored {
			t.Fatalf("Write: %d", status)
		}
		if i%2 == 0 {
			if got := in.Commit(Set); got != NotStored {
				t.Fatalf("an incomplete value: %d", got)
			}
		}
		in.Abort()
		in.Abort()
		if _, status := in.Write([]byte("x")); status == Stored || in.Commit(Set) == Stored {
			t.Fatal("an aborted value goes on")
		}
	}
	if s := st.Stats(); s.Bytes != before.Bytes || s.CurrItems != 1 || s.Evictions != 0 || st.shards[0].arriving != 0 {
		t.Errorf("%d bytes, %d before; %d items, %d evicted", s.Bytes, before.Bytes, s.CurrItems, s.Evictions)
	}
	if v, _ := get(st, "k"); v != "old" {
		t.Errorf("the old value is %q", v)
	}
}

// A slow upload must survive that the store is written over many times meanwhile.
func TestASlowUploadSurvivesAFlood(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 2 << 20, Shards: 1, SegmentSize: 16 << 10, ItemMax: 512 << 10})
	want := pattern(200_000, 3)
	in, _ := st.Receive(st.Hash([]byte("slow")), &Item{Key: []byte("slow")}, len(want), nil)
	for i := 0; i < len(want); i += 10_000 {
		if _, status := in.Write(want[i : i+10_000]); status != Stored {
			t.Fatalf("Write: %d", status)
		}
		for j := range 5_000 {
			put(st, Set, fmt.Sprint("flood", i, j), "a value that takes some room", 0)
		}
	}
	if status := in.Commit(Set); status != Stored {
		t.Fatalf("Commit: %d", status)
	}
	if got, ok := get(st, "slow"); !ok || got != string(want) {
		t.Errorf("%v, %d bytes", ok, len(got))
	}
}

// A value of many pieces that is read is kept, all of it, though its pieces come up for eviction before its head does
// again.
func TestAHotValueOfManyPiecesStays(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 8 << 10})
	want := pattern(40_000, 9)
	receive(t, st, "hot", want, Set)
	for i := range 60_000 {
		put(st, Set, fmt.Sprint("cold", i), "a value that takes some room", 0)
		if i%500 == 0 {
			if got, ok := get(st, "hot"); !ok || got != string(want) {
				t.Fatalf("after %d others: %v, %d bytes", i, ok, len(got))
			}
		}
	}
}

func TestSplitValuesJoin(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 16 << 10})
	want := pattern(100_000, 1)
	receive(t, st, "k", want, Set)
	put(st, Append, "k", "tail", 0)
	put(st, Prepend, "k", "head", 0)
	want = append(append([]byte("head"), want...), "tail"...)
	if got, _ := get(st, "k"); got != string(want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if got := receive(t, st, "k", pattern(200_000, 2), Append); got != Stored {
		t.Errorf("a large append: %d", got)
	}
	want = append(want, pattern(200_000, 2)...)
	if got, _ := get(st, "k"); got != string(want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if n := bytes.Count(want, []byte("head")); n == 0 {
		t.Error("the test lost its head")
	}
}

func TestWithoutEvictionOnlyAFullStoreRefuses(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 2 << 20, Shards: 1, SegmentSize: 8 << 10, DisableEviction: true})
	n := 0
	for put(st, Set, fmt.Sprint("key", n), "some value of some length", 0) == Stored {
		n++
	}
	if _, ok := get(st, "key0"); !ok || n < 20_000 {
		t.Fatalf("full after %d items; the first is there: %v", n, ok)
	}
	if s := st.Stats(); s.Evictions != 0 || s.CurrItems != uint64(n) {
		t.Fatalf("%d evictions, %d of %d items", s.Evictions, s.CurrItems, n)
	}
	// Dead space is not full, wherever it is.
	for i := 0; i < n; i += 10 {
		st.Delete(st.Hash(fmt.Append(nil, "key", i)), fmt.Append(nil, "key", i))
	}
	refused := 0
	for i := range n / 12 {
		if put(st, Set, fmt.Sprint("new", i), "some value of some length", clock.Now()+5) != Stored {
			refused++
		}
	}
	if refused != 0 {
		t.Errorf("%d of %d items refused for which others had been deleted", refused, n/12)
	}
	// Nor is the expired, even if no Sweep came by.
	for put(st, Set, fmt.Sprint("more", n), "some value of some length", 0) == Stored {
		n++
	}
	clock.Set(clock.Now() + 5)
	if got := put(st, Set, "one more", "v", 0); got != Stored {
		t.Errorf("a store full of expired items: %d", got)
	}
	for i := 1; i < n/2; i += 10 {
		if _, ok := get(st, fmt.Sprint("key", i)); !ok {
			t.Fatalf("key%d is gone", i)
		}
	}
}

// What Fill hands out at once is several segments. What is not filled of them is free again, and
// while they are being filled the shard is everybody's: whatever others store then, the bytes stay.
func TestFillHandsOutSegmentsWithoutTheLock(t *testing.T) {
	want := pattern(900_000, 5)
	flood, small := 0, string(pattern(1_000, 6))
	for _, slow := range []bool{false, true} {
		const key = "k"
		st, _ := newStore(t, Options{MemoryLimit: 4 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 1 << 20})
		s := &st.shards[0]
		in, _ := st.Receive(st.Hash([]byte(key)), &Item{Key: []byte(key)}, len(want), nil)
		if _, status := in.Write(want[:40_000]); status != Stored {
			t.Fatal(status)
		}
		var rooms Rooms
		most := 0
		for in.came < in.n {
			n, status := in.Fill(&rooms, func(rooms [][]byte) int {
				most = max(most, len(rooms))
				for range 5_000 * min(1, most-1) { // more than all there is, and then there are no whole segments
					put(st, Set, fmt.Sprint("flood", flood), small, 0)
					flood++
				}
				rest := want[in.came:]
				if slow {
					rest = rest[:min(len(rest), 10_000)]
				}
				return pour(rest)(rooms)
			})
			if status != Stored || n == 0 {
				t.Fatalf("after %d bytes: %d, status %d", in.came, n, status)
			}
			if s.pinned != 0 {
				t.Fatalf("%d segments are pinned", s.pinned)
			}
			if spare := in.room - in.came; spare > 32<<10 {
				t.Fatalf("%d bytes have come, and there is room for %d more", in.came, spare)
			}
			if err := st.Check(); err != nil {
				t.Fatal(err)
			}
		}
		if most < 2 {
			t.Errorf("at most %d rooms", most)
		}
		if status := in.Commit(Set); status != Stored {
			t.Fatal(status)
		}
		if got, ok := get(st, key); !ok || got != string(want) {
			t.Errorf("%v, %d bytes, or not the same", ok, len(got))
		}
		if st.Stats().Evictions == 0 {
			t.Error("the flood has pushed nothing out")
		}
	}
}

// A value whose room is taken back while it is being filled is gone, and what was handed out is
// nobody's until it has been given back.
func TestAValueIsDroppedWhileItIsFilled(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20})
	s := &st.shards[0]
	u := newUpload(t, st, "still", 1_900_000)
	if _, status := u.send(100_000); status != Stored {
		t.Fatal(status)
	}
	var rooms Rooms
	others, small := 0, string(pattern(1_000, 6))
	_, status := u.Fill(&rooms, func(rooms [][]byte) int {
		clock.Set(clock.Now() + stillAfter)
		for !u.over && others < 10 { // each stands still in its turn
			others++
			other := newUpload(t, st, fmt.Sprint("other", others), 1_900_000)
			defer other.Abort()
			_, _ = other.send(1_800_000)
		}
		for i := range 2_000 {
			put(st, Set, fmt.Sprint("new", i), small, 0)
		}
		for _, room := range rooms {
			for i := range room {
				room[i] = 0xff
			}
		}
		return len(rooms[0])
	})
	for i := range 2_000 {
		if got, ok := get(st, fmt.Sprint("new", i)); ok && got != small {
			t.Fatalf("item %d is not what it was", i)
		}
	}
	if !u.over || status != OutOfMemory || s.pinned != 0 || s.deadPinned != 0 {
		t.Errorf("over %v, status %d; %d segments pinned, %d of them dead", u.over, status, s.pinned, s.deadPinned)
	}
	if err := st.Check(); err != nil {
		t.Error(err)
	}
}
