package storage

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// fillStore over-fills a store with items of one size and tells how many it keeps.
func fillStore(t testing.TB, limit int64, nkey, nvalue int, deadline expiry.Instant) Stats {
	st, err := Open(Options{MemoryLimit: limit}, expiry.NewClock(1_700_000_000))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	key, value := make([]byte, nkey), make([]byte, nvalue)
	for i := range key {
		key[i] = 'k'
	}
	n := 3 * limit / int64(nkey+nvalue+24)
	for i := range n {
		binary.BigEndian.PutUint64(key[nkey-8:], uint64(i))
		if got := st.Put(st.Hash(key), Set, &Item{Key: key, Value: value, Deadline: deadline}); got != Stored {
			t.Fatalf("set %d of %d: %d", i, n, got)
		}
		if i%100_000 == 0 {
			for st.Sweep() {
			}
		}
	}
	if err := st.Check(); err != nil {
		t.Error(err)
	}
	return st.Stats()
}

// What a server with -m 64 keeps of items of one size. memcached 1.6.18 keeps 699008, 559232 (24+32), 349504, 56640,
// 6016, 640: bench/fill.
func TestFill(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks at every step make minutes of it, and with one goroutine there is no race to see")
	}
	for _, tt := range []struct {
		nkey, nvalue int
		deadline     expiry.Instant
		want         uint64
	}{
		{20, 8, 0, 1_650_000},
		{20, 8, 100_000, 1_500_000},
		{24, 32, 0, 970_000},
		{30, 100, 0, 455_000},
		{40, 1000, 0, 62_000},
		{40, 10_000, 0, 6_450},
		{40, 100_000, 0, 645},
	} {
		t.Run(fmt.Sprintf("%d+%d,%d", tt.nkey, tt.nvalue, tt.deadline), func(t *testing.T) {
			s := fillStore(t, 64<<20/4, tt.nkey, tt.nvalue, tt.deadline) // one shard of four, to be quick
			if 4*s.CurrItems < tt.want {
				t.Errorf("%d items kept, want %d", 4*s.CurrItems, tt.want)
			}
			t.Logf("%d items, index %d, dead %d, free %d, relocations %d", 4*s.CurrItems, s.IndexBytes, s.DeadBytes, s.FreeBytes, s.Relocations)
		})
	}
}
