package storage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// A flush has all segments looked into again, but one behind which nothing was stored does not. What
// was stored in between is gone all the same, wherever it lies.
func TestAFlushAfterAFlushMarksNothing(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1})
	s := &st.shards[0]
	marked := func() (n int) {
		for g := range s.segments[:s.fresh] {
			if s.segments[g].due == expiry.Past {
				n++
			}
			s.segments[g].due = expiry.Never
		}
		return n
	}
	for round, items := range []int{2_000, 1, 3_000} { // some segments, an open one, and some again
		for i := range items {
			if got := put(st, Set, fmt.Sprint("key", i), strings.Repeat("v", 500), expiry.Never); got != Stored {
				t.Fatal(got)
			}
		}
		marked()
		if st.FlushAll(expiry.Never); marked() == 0 {
			t.Errorf("round %d: no segment is marked", round)
		}
		for range 3 {
			if st.FlushAll(expiry.Never); marked() != 0 {
				t.Errorf("round %d: a flush after a flush marks segments", round)
			}
		}
		for i := range items {
			if _, hit := get(st, fmt.Sprint("key", i)); hit {
				t.Fatalf("round %d: key %d is there", round, i)
			}
		}
	}
}
