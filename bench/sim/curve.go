package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/insight"
)

// itemBytes is what each key takes in the server's simulations, which count bytes: here as many as keys.
const itemBytes = 1

// curves gives, at each of the factors, the hit ratio of package storage's policy, and what a server that has
// this policy and this capacity would say of it: both in percent. A get that misses is followed by a set.
func curves(trace *load.Trace, capacity, entries int, seed uint64) (is, said []float64, part float64) {
	factors := insight.Factors
	var caches [len(factors)]policy
	for i, f := range factors {
		caches[i] = newQueues(len(trace.Keys), int(math.Round(f*float64(capacity))), true)
	}
	dice := rand.New(rand.NewPCG(seed, 1))
	hashes := make([]uint64, len(trace.Keys))
	for k := range hashes {
		hashes[k] = dice.Uint64()
	}
	var hits [len(factors)]int
	size := uint32(itemBytes)
	curve := insight.NewCurve(int64(size)*int64(capacity), entries)
	served := 0
	for n, k := range trace.Requests {
		hit := false
		for i, c := range caches {
			if c.access(k) {
				hits[i]++
				hit = hit || factors[i] == 1
			}
		}
		if hit {
			served++
		}
		curve.Get(hashes[k], hit, size, expiry.Never)
		if !hit {
			curve.Set(hashes[k], size, expiry.Never)
		}
		if n%1000 == 999 || n == len(trace.Requests)-1 {
			curve.Tick(expiry.Start, uint64(n+1), uint64(served))
		}
	}
	report := curve.Report()
	for i := range factors {
		is = append(is, 100*float64(hits[i])/float64(len(trace.Requests)))
		if len(report.Points) > 0 {
			said = append(said, 100*report.Points[i].HitRatio)
		}
	}
	return is, said, float64(curve.Threshold()) / (1 << 32)
}

// tableOfCurves prints the curves of traces.
func tableOfCurves(names []string, capacities string, entries int) error {
	fmt.Print("| trace | keys held | part of keys |")
	for _, f := range insight.Factors {
		fmt.Printf(" %g |", f)
	}
	fmt.Printf(" worst |\n| --- |%s\n", strings.Repeat(" --: |", len(insight.Factors)+3))
	for _, name := range load.TracesNamed(names) {
		trace, err := load.ReadTrace(name)
		if err != nil {
			return err
		}
		for text := range strings.SplitSeq(capacities, ",") {
			capacity, err := parse(text, len(trace.Keys))
			if err != nil {
				return err
			}
			is, said, part := curves(trace, capacity, entries, 1)
			fmt.Printf("| %s | %d | %.2f |", strings.TrimSuffix(filepath.Base(name), ".txt.gz"), capacity, part)
			worst := 0.0
			for i := range is {
				off := said[i] - is[i]
				worst = max(worst, math.Abs(off))
				fmt.Printf(" %.2f %+.2f |", is[i], off)
			}
			fmt.Printf(" %.2f |\n", worst)
		}
	}
	return nil
}
