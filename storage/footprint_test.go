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
			foretold := f.Fits(float64(f.Record(tt.nkey, tt.nvalue, 0, tt.deadline)))
			off := 100 * (foretold/float64(s.CurrItems) - 1)
			if t.Logf("%d items, foretold %.0f: %+.1f %%", s.CurrItems, foretold, off); math.Abs(off) > 2 {
				t.Errorf("%d items, %.0f were foretold", s.CurrItems, foretold)
			}
		})
	}
}

// A record is as long as the store makes it.
func TestFootprintOfARecord(t *testing.T) {
	for _, limit := range []int64{16 << 20, 16 << 30, 64 << 30} { // granules of 1, 4 and 16 bytes
		f, _ := FootprintOf(Options{MemoryLimit: limit})
		granule := 1 << f.g.granule
		for _, tt := range []struct {
			nkey, nvalue int
			flags        uint32
			deadline     expiry.Instant
			want         int
		}{
			{20, 8, 0, 0, 32},
			{20, 8, 0, 100, 35},
			{20, 8, 1, 100, 36},
			{20, 8, 1 << 20, 100_000, 41},
			{20, 128, 0, 0, 153},
			{20, 16384, 0, 0, 16411},
		} {
			want := (tt.want + granule - 1) / granule * granule
			if got := f.Record(tt.nkey, tt.nvalue, tt.flags, tt.deadline); got != want {
				t.Errorf("%d GiB, %+v: %d bytes, want %d", limit>>30, tt, got, want)
			}
		}
	}
}
