package storage

import (
	"fmt"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// What is evicted is counted by how long it had not been used.
func TestEvictedItemsAreCountedByAge(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1})
	start := clock.Now()
	value := fmt.Sprintf("%0500d", 0)
	for i := 0; st.Stats().Evictions == 0; i++ {
		put(st, Set, fmt.Sprint("old", i), value, expiry.Never)
	}
	if e := st.Stats(); e.EvictedIdle.Counts[0] != e.Evictions || e.EvictedIdle.Sum > e.Evictions {
		t.Errorf("%d evicted at once are counted as %v", e.Evictions, e.EvictedIdle)
	}
	st.ResetStats()
	clock.Set(start + 100)
	for i := range 500 {
		put(st, Set, fmt.Sprint("new", i), value, expiry.Never)
	}
	s := st.Stats()
	if n := s.EvictedIdle.Counts[7]; n == 0 || n != s.Evictions || s.EvictedIdle.Sum != 100*n {
		t.Errorf("%d evicted after 100 s are counted as %v", s.Evictions, s.EvictedIdle)
	}
}

// What has ended waits until it is swept, and is told meanwhile.
func TestWhatHasEndedIsToldUntilItIsSwept(t *testing.T) {
	for _, tt := range []struct {
		how string
		ttl expiry.Instant
		end func(*Store, *expiry.Clock)
	}{
		{"expired", 10, func(_ *Store, clock *expiry.Clock) { clock.Set(clock.Now() + 11) }},
		{"flushed", 1 << 20, func(st *Store, clock *expiry.Clock) { st.FlushAll(expiry.Past) }},
	} {
		t.Run(tt.how, func(t *testing.T) {
			st, clock := newStore(t, Options{MemoryLimit: 4 << 20, Shards: 1})
			for i := range 2000 {
				put(st, Set, fmt.Sprint(i), fmt.Sprintf("%0500d", i), clock.Now()+tt.ttl)
			}
			if n := st.Ended(); n != 0 {
				t.Errorf("%d bytes have ended before their time", n)
			}
			tt.end(st, clock)
			if n := st.Ended(); n < 500_000 || n > st.Stats().SegmentBytes {
				t.Errorf("%d bytes have ended of %d", n, st.Stats().SegmentBytes)
			}
			for st.Sweep() {
			}
			if n := st.Ended(); n != 0 {
				t.Errorf("%d bytes wait after the sweep", n)
			}
		})
	}
}
