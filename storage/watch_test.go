package storage

import (
	"fmt"
	"slices"
	"testing"
)

// Every eviction is told once, and none that was not one.
func TestEvictionsAreTold(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 2, SegmentSize: 4096})
	st.WatchEvictions(true)
	told := map[string]int{}
	take := func() {
		if dropped := st.TakeEvictions(func(e *Evicted) {
			told[string(e.Key)]++
			n := 0
			if _, err := fmt.Sscanf(string(e.Key), "key%d", &n); err != nil {
				t.Fatalf("key %q: %v", e.Key, err)
			}
			if e.Len != n%50 || e.Fetched != (n%3 == 0) || (e.Deadline != 0) != (n%2 == 0) {
				t.Fatalf("%q: %+v", e.Key, *e)
			}
		}); dropped > 0 {
			t.Fatalf("%d dropped", dropped)
		}
	}
	const items = 50_000
	far := clock.Now() + 100_000
	for i := range items {
		key, deadline := fmt.Sprint("key", i), far
		if i%2 != 0 {
			deadline = 0
		}
		put(st, Set, key, string(make([]byte, i%50)), deadline)
		if i%3 == 0 {
			get(st, key)
		}
		if i%100 == 0 {
			take()
		}
	}
	take()
	for i := range items {
		key := fmt.Sprint("key", i)
		if _, there := get(st, key); there == (told[key] == 1) || told[key] > 1 {
			t.Fatalf("%s: there %v, told %d times", key, there, told[key])
		}
	}
	s := st.Stats()
	if s.Evictions != uint64(len(told)) || s.EvictedNonzero < s.Evictions/3 || s.EvictedUnfetched < s.Evictions/2 {
		t.Errorf("%d told, counted %+v", len(told), s)
	}

	// Nobody takes them: what does not fit is counted. Nobody watches: nothing is kept.
	flood := func() {
		for i := range items {
			put(st, Set, fmt.Sprint("more", i), "v", 0)
		}
	}
	before := st.Stats().Evictions
	flood()
	kept := uint64(0)
	dropped := st.TakeEvictions(func(*Evicted) { kept++ })
	if kept < 1000 || kept+dropped != st.Stats().Evictions-before {
		t.Errorf("%d kept and %d dropped of %d", kept, dropped, st.Stats().Evictions-before)
	}
	st.WatchEvictions(false)
	flood()
	if dropped := st.TakeEvictions(func(e *Evicted) { t.Errorf("%q is told", e.Key) }); dropped != 0 {
		t.Errorf("%d dropped", dropped)
	}
}

func TestPeekChangesNothing(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	soon := clock.Now() + 2
	put(st, Set, "mortal", "value", soon)
	put(st, Set, "eternal", "x", 0)
	peek := func(key string) Glimpse { return st.Peek(st.Hash([]byte(key)), []byte(key)) }
	check := func(key string, want Glimpse) {
		t.Helper()
		if got := peek(key); got != want {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
	check("nobody", Glimpse{})
	check("mortal", Glimpse{Present, 5, soon})
	check("eternal", Glimpse{Present, 1, 0})
	clock.Set(soon)
	check("mortal", Glimpse{State: Expired})
	st.FlushAll(0)
	check("eternal", Glimpse{State: Flushed})
	if s := st.Stats(); s.CurrItems != 2 || s.GetExpired+s.GetFlushed+s.Reclaimed+s.Expired != 0 {
		t.Errorf("%+v", s)
	}
}

// The buckets are memcached's: its answer to the same commands. That the counts stay true is Check's, in every test.
func TestSizesAreWhatMemcachedCounts(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 16 << 20, Shards: 1})
	put(st, Set, "a", "x", 0)
	put(st, Set, "c", "y", 0)
	item := Item{Key: []byte("b"), Value: make([]byte, 300), Flags: 1}
	st.Put(st.Hash(item.Key), Set, &item)
	put(st, Set, "big", string(make([]byte, 600_000)), 0)
	sizes := func() (got []int) {
		st.Sizes(func(size int, items uint64) { got = append(got, size, int(items)) })
		return got
	}
	if got, want := sizes(), []int{64, 2, 384, 1, 600064, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	put(st, Append, "c", string(make([]byte, 100)), 0)
	st.Delete(st.Hash([]byte("a")), []byte("a"))
	if got, want := sizes(), []int{192, 1, 384, 1, 600064, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
