package storage

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// A filled store keeps as many items as its footprint says, within 2 %.
func TestFootprint(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks at every step make minutes of it, and with one goroutine there is no race to see")
	}
	for _, tt := range []struct {
		limit        int64 // MiB
		nkey, nvalue int
		deadline     expiry.Instant
	}{
		{8, 20, 8, 0},
		{8, 20, 8, 100_000},
		{8, 24, 32, 3600},
		{8, 30, 100, 0}, // above it less of the index is used
		{8, 30, 300, 0}, // and less again
		{8, 30, 450, 0}, // the largest that are not split
		{8, 40, 1000, 0},
		{8, 40, 10_000, 100},
		{16, 40, 40_000, 0},
		{16, 40, 100_000, 0},
		{16, 20, 8, 0},
		{64, 40, 1000, 0}, // four shards
	} {
		t.Run(fmt.Sprintf("%d MiB, %d+%d,%d", tt.limit, tt.nkey, tt.nvalue, tt.deadline), func(t *testing.T) {
			s := fillStore(t, tt.limit<<20, tt.nkey, tt.nvalue, tt.deadline)
			f, ok := FootprintOf(Options{MemoryLimit: tt.limit << 20})
			if !ok {
				t.Fatal("too small, it says")
			}
			foretold := f.Fits(float64(tt.nkey + tt.nvalue + f.Header(tt.nkey, tt.nvalue, 0, tt.deadline)))
			off := 100 * (foretold/float64(s.CurrItems) - 1)
			if t.Logf("%d items, foretold %.0f: %+.1f %%", s.CurrItems, foretold, off); math.Abs(off) > 2 {
				t.Errorf("%d items, %.0f were foretold", s.CurrItems, foretold)
			}
		})
	}
}

// A header is as long as the store makes it, and a record is padded as it pads.
func TestFootprintOfARecord(t *testing.T) {
	f, _ := FootprintOf(Options{MemoryLimit: 16 << 20})
	for _, tt := range []struct {
		nkey, nvalue int
		flags        uint32
		deadline     expiry.Instant
		want         int
	}{
		{20, 8, 0, 0, 4},
		{20, 8, 0, 100, 7},
		{20, 8, 1, 100, 8},
		{20, 8, 1 << 20, 100_000, 13},
		{20, 128, 0, 0, 5},
		{20, 16384, 0, 0, 7},
	} {
		if got := f.Header(tt.nkey, tt.nvalue, tt.flags, tt.deadline); got != tt.want {
			t.Errorf("%+v: %d bytes", tt, got)
		}
	}
	for limit, want := range map[int64]int{16 << 20: 1, 4 << 30: 1, 20 << 30: 4, 100 << 30: 16} {
		if f, _ := FootprintOf(Options{MemoryLimit: limit}); f.Granule() != want {
			t.Errorf("%d MiB: granules of %d bytes, want %d", limit>>20, f.Granule(), want)
		}
	}
}
