package storage

import (
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// After a panic the store knows whether a shard was locked then: in a visitor it was, and in the
// store itself.
func TestAPanicUnderTheLockBreaksTheStore(t *testing.T) {
	key := []byte("k")
	for _, tt := range []struct {
		name   string
		broken bool
		do     func(*Store)
	}{
		{"before the call", false, func(*Store) { panic("ours") }},
		{"in a visitor of View", true, func(st *Store) { st.View(st.Hash(key), key, func(Item) { panic("ours") }) }},
		{"in a visitor of Edit", true, func(st *Store) { st.Edit(st.Hash(key), key, Visit{}, func(*Item) { panic("ours") }) }},
		{"in the store", true, func(st *Store) { st.View(st.Hash(key), key, nil) }},
		{"in what fills a value", true, func(st *Store) {
			in, _ := st.Receive(st.Hash(key), &Item{Key: key}, 100_000, nil)
			_, _ = in.Fill(new(Rooms), func([][]byte) int { panic("ours") })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, err := Open(Options{MemoryLimit: 4 << 20, Shards: 1}, expiry.NewClock(1_700_000_000))
			if err != nil {
				t.Fatal(err)
			}
			put(st, Set, "k", "v", 0)
			func() {
				defer func() {
					if recover() == nil {
						t.Error("no panic")
					}
				}()
				tt.do(st)
			}()
			if got := st.Broken(); got != tt.broken {
				t.Errorf("broken: %v", got)
			}
		})
	}
}
