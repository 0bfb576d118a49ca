package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// met counts how often a walk meets each key, to its end.
func met(w *Walk, between func()) map[string]int {
	seen := map[string]int{}
	for w.Next(func(it *Item) { seen[string(it.Key)]++ }) {
		between()
	}
	return seen
}

func TestAWalkMeetsEveryItemOnce(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 4 << 20, ItemMax: 64 << 10, Shards: 4, SegmentSize: 16 << 10})
	for i := range 20_000 {
		put(st, Set, fmt.Sprint("k", i), "value", 0)
	}
	put(st, Set, "long", string(make([]byte, 50_000)), 0)
	put(st, Set, "over", "value", clock.Now()+5)
	clock.Set(clock.Now() + 5)
	seen := met(st.Walk(), func() {})
	for i := range 20_000 {
		if n := seen[fmt.Sprint("k", i)]; n != 1 {
			t.Errorf("k%d was met %d times", i, n)
		}
	}
	if seen["long"] != 1 || seen["over"] != 0 || len(seen) != 20_001 {
		t.Errorf("%d items met, long %d times, an expired one %d times", len(seen), seen["long"], seen["over"])
	}
}

// A walk looks without touching: what it meets is as new as before, and its unique is nobody's.
func TestAWalkIsNoUse(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 4 << 20, ItemMax: 64 << 10, Shards: 1, SegmentSize: 16 << 10})
	st.Put(st.Hash([]byte("k")), Set, &Item{Key: []byte("k"), Value: []byte("abc"), Flags: 7, Deadline: clock.Now() + 100})
	clock.Set(clock.Now() + 10)
	var unique uint64
	look := func() {
		met(st.Walk(), func() {})
		for w := st.Walk(); w.Next(func(it *Item) {
			unique = it.Unique
			if it.Fetched || it.Idle != 10 || it.Flags != 7 || it.Deadline != clock.Now()+90 || it.Len() != 3 {
				t.Errorf("met %+v", it)
			}
		}); {
		}
	}
	look()
	look()
	if got := st.Put(st.Hash([]byte("k")), CompareAndSwap, &Item{Key: []byte("k"), Value: []byte("xyz"), Unique: unique}); got != Exists {
		t.Errorf("a cas with what the walk told: %v", got)
	}
}

func TestAClosedWalkIsForgotten(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 4 << 20, ItemMax: 64 << 10, Shards: 1, SegmentSize: 16 << 10})
	for i := range 10_000 {
		put(st, Set, fmt.Sprint("k", i), "value", 0)
	}
	w := st.Walk()
	if !w.Next(func(*Item) {}) || len(st.shards[0].walks) != 1 {
		t.Fatal("the walk has not begun")
	}
	w.Close()
	if w.Next(func(*Item) { t.Error("met after Close") }) || len(st.shards[0].walks) != 0 {
		t.Error("the walk goes on")
	}
}

// Whatever others do meanwhile, an item that nobody touches is met at least once, although the store moves its record from
// segment to segment, and its entry from bucket to bucket as the index grows and shrinks.
func TestAWalkMissesNothingThatStays(t *testing.T) {
	var moved, resized, twice int
	seeds := 40
	if invariants.Enabled { // with one goroutine there is no race to see, and each step is dear
		seeds = 8
	}
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 1))
		st, clock := newStore(t, Options{MemoryLimit: 1 << 20, ItemMax: 16 << 10, Shards: 1 << (seed % 2), SegmentSize: 4 << 10})
		others, next := []string{}, 0
		store := func(n int) {
			for range n {
				key := fmt.Sprint("other", next)
				next++
				put(st, Set, key, string(make([]byte, r.IntN(100))), 0)
				others = append(others, key)
			}
		}
		remove := func(n int) {
			for range min(n, len(others)) {
				i := r.IntN(len(others))
				st.Delete(st.Hash([]byte(others[i])), []byte(others[i]))
				others[i] = others[len(others)-1]
				others = others[:len(others)-1]
			}
		}
		store(r.IntN(15_000))
		stays := make([]string, 2000)
		for i := range stays {
			stays[i] = fmt.Sprint("stays", i)
			put(st, Set, stays[i], "value", 0)
			get(st, stays[i]) // it moves to main when room is needed
		}
		remove(r.IntN(10_000))
		places := placesOf(st, stays)
		size := st.Stats().IndexBytes
		phase := r.IntN(2)
		seen := met(st.Walk(), func() {
			if r.IntN(40) == 0 {
				phase = r.IntN(4)
			}
			switch phase {
			case 0:
				store(r.IntN(400))
			case 1:
				remove(r.IntN(400))
			case 2:
				clock.Set(clock.Now() + expiry.Instant(r.IntN(2)))
				st.Sweep()
			case 3:
				_ = st.SetLimit(1<<20 + r.Int64N(2<<20)) // out of bounds is as well
			}
		})
		for key, place := range placesOf(st, stays) {
			if place != places[key] {
				moved++
			}
			if seen[key] == 0 {
				t.Errorf("seed %d: %q has been there all the time and was not met", seed, key)
			}
			if seen[key] > 1 {
				twice++
			}
		}
		if st.Stats().IndexBytes != size {
			resized++
		}
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if t.Logf("%d records moved, %d items met twice, the index changed its size in %d of %d walks", moved, twice, resized, seeds); moved < 25*seeds || resized < seeds/4 {
		t.Error("too little has happened")
	}
}

// Wherever a change of the index's size has got to: a walk over both its parts meets everything once.
func TestAWalkOverAnIndexThatIsBeingResized(t *testing.T) {
	for _, to := range []uint64{25, 39, 41, 64} {
		st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4 << 10})
		s := &st.shards[0]
		s.index.n, s.index.min, s.index.touched = 40, 40, 40
		for i := range 250 {
			put(st, Set, fmt.Sprint("k", i), "v", 0)
		}
		if s.index.n != 40 || s.index.next != 0 {
			t.Fatalf("an index of %d, on its way to %d", s.index.n, s.index.next)
		}
		s.resize(to)
		for swept := 0; s.index.next != 0; swept++ {
			seen := met(st.Walk(), func() {})
			for i := range 250 {
				if n := seen[fmt.Sprint("k", i)]; n != 1 {
					t.Errorf("40 buckets to %d, %d swept: k%d was met %d times", to, swept, i, n)
				}
			}
			s.lock()
			s.sweepBucket()
			s.unlock()
		}
	}
}

// The stash comes last. What leaves it for a bucket that the walk has behind it is met all the same.
func TestAWalkMeetsWhatLeavesTheStash(t *testing.T) {
	behind := 0
	for steps, more := 0, true; more; steps++ {
		st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4 << 10})
		s := &st.shards[0]
		x := &s.index
		x.n, x.min, x.touched = 40, 40, 40
		for i := range 200 {
			put(st, Set, fmt.Sprint("k", i), "v", 0)
		}
		stored := crowd(st, 2*slots+2, 0, 4) // buckets 0 and 1
		for i, key := range stored {
			if st.Put(st.Hash(key), Set, &Item{Key: key}); x.stashed == 2 {
				stored = stored[:i+1]
				break
			}
		}
		if x.stashed != 2 {
			t.Fatalf("%d in the stash", x.stashed)
		}
		seen, w := map[string]int{}, st.Walk()
		note := func(it *Item) { seen[string(it.Key)]++ }
		for range steps {
			more = more && w.Next(note)
		}
		st.Delete(st.Hash(stored[0]), stored[0]) // room in a bucket, which the next step of a resize finds
		s.lock()
		at := w.at
		s.resize(64)
		s.sweepBucket()
		s.unlock()
		if x.stashed != 1 {
			t.Fatalf("%d left in the stash", x.stashed)
		}
		if more && at > 5<<57 {
			behind++
		}
		for w.Next(note) {
		}
		for i, key := range stored[1:] {
			if seen[string(key)] == 0 {
				t.Errorf("after %d steps a key has left the stash: key %d was not met", steps, i+1)
			}
		}
	}
	if behind == 0 {
		t.Error("never was the walk between the buckets and the stash")
	}
}

// placesOf tells where the records of those keys are that are still stored.
func placesOf(st *Store, keys []string) map[string]uint32 {
	places := map[string]uint32{}
	for _, key := range keys {
		h := st.Hash([]byte(key))
		s := st.shard(h)
		s.lock()
		var f found
		if s.find(h, []byte(key), &f) {
			places[key] = f.loc
		}
		s.unlock()
	}
	return places
}
