package main

import (
	"math"
	"testing"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/internal/insight"
)

// A server whose sample has all keys says what this program says, hit by hit: the two have the same policy,
// written twice. One whose sample is a part of them says it to within a point.
func TestTheCurveOfAServerIsTrue(t *testing.T) {
	trace, err := load.ReadTrace("zipf:0.8,20000,150000,0.1")
	if err != nil {
		t.Fatal(err)
	}
	const exact = 1e-9
	for _, capacity := range []int{300, 2000} {
		for _, tt := range []struct {
			entries int
			most    float64 // points
		}{{65_000, exact}, {insight.CurveEntries, 1}, {insight.CurveEntries / 4, 2.5}} {
			for seed := range uint64(2) {
				is, said, part := curves(trace, capacity, tt.entries, seed)
				for i := range is {
					most := tt.most
					if part == 1 {
						most = exact
					}
					if off := math.Abs(said[i] - is[i]); off > most {
						t.Errorf("%d keys held, %.2f of the keys, %g: %.2f is said, %.2f is so", capacity, part, insight.Factors[i], said[i], is[i])
					}
				}
			}
		}
	}
}
