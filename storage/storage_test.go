package storage

import (
	"fmt"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// newStore opens a store on the Go heap that is checked when the test ends.
func newStore(t testing.TB, opts Options) (*Store, *expiry.Clock) {
	t.Helper()
	opts.HeapArena = true // so that -race sees what it should
	opts.TrackSizes = true
	return openStore(t, opts)
}

// openStore opens one where Options say.
func openStore(t testing.TB, opts Options) (*Store, *expiry.Clock) {
	t.Helper()
	clock := expiry.NewClock(1_700_000_000)
	st, err := Open(opts, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Check(); err != nil {
			t.Errorf("Check at the end: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st, clock
}

func put(st *Store, mode Mode, key, value string, deadline expiry.Instant) Status {
	return st.Put(st.Hash([]byte(key)), mode, &Item{Key: []byte(key), Value: []byte(value), Deadline: deadline})
}

func get(st *Store, key string) (value string, hit bool) {
	hit = st.View(st.Hash([]byte(key)), []byte(key), func(it Item) { value = string(it.AppendTo(nil)) })
	return value, hit
}

// commit stores a value that arrives in parts.
func commit(st *Store, key []byte, mode Mode, value []byte) Status {
	in, status := st.Receive(st.Hash(key), &Item{Key: key}, len(value), nil)
	if status != Stored {
		return status
	}
	defer in.Abort()
	if _, status = in.Write(value); status != Stored {
		return status
	}
	return in.Commit(mode)
}

func TestAStoreRunsForEverAtItsLimit(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 4 << 20, ItemMax: 8 << 10, Shards: 2, SegmentSize: 16 << 10})
	for i := range 300_000 {
		if i%50_000 == 0 {
			clock.Set(clock.Now() + 1)
			if err := st.Check(); err != nil {
				t.Fatal(err)
			}
		}
		key := fmt.Sprint("key", i)
		if got := put(st, Set, key, fmt.Sprint("value of ", i), 0); got != Stored {
			t.Fatalf("set %d: %d", i, got)
		}
		if _, ok := get(st, key); !ok {
			t.Fatalf("item %d is gone at once", i)
		}
	}
	s := st.Stats()
	if s.CurrItems+s.Evictions != 300_000 || s.CurrItems < 50_000 {
		t.Errorf("%d items, %d evicted", s.CurrItems, s.Evictions)
	}
	if s.SegmentBytes+s.IndexBytes+s.TableBytes > s.LimitBytes || s.Bytes > s.LimitBytes {
		t.Errorf("more than the limit: %+v", s)
	}
}
