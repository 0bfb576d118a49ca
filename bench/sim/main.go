// Command sim plays traces to eviction policies that all hold the same number of keys, and prints their hit ratios. It knows no
// bytes: how many items fit into a megabyte is bench/fill's matter, what follows from both bench/replay's.
//
//	sim                                     a trace that is made: Zipf, with keys that never come again
//	sim -capacity 1%,10% traces/*.txt.gz    capacities in keys, or of a trace's different keys
//	sim -curve traces/*.txt.gz              what a server says of other capacities, beside what is the case
//
//	list.go       lists of keys, and ghosts
//	policies.go   the table of policies, and those of one or two lists
//	tinylfu.go    W-TinyLFU
//	segments.go   those that evict a segment at a time, package storage's among them
//	opt.go        what cannot be surpassed
//	curve.go      -curve
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/internal/insight"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run() error {
	capacities := flag.String("capacity", "1%,10%", "how many keys are held, or what part of the different ones")
	curve := flag.Bool("curve", false, "what the curve of a server says of other capacities, beside what is the case")
	entries := flag.Int("entries", insight.CurveEntries, "with -curve: keys in the server's sample")
	flag.Parse()
	if *curve {
		return tableOfCurves(flag.Args(), *capacities, *entries)
	}
	fmt.Print("| trace | keys held |")
	for _, p := range policies {
		fmt.Printf(" %s |", p.name)
	}
	fmt.Printf(" opt |\n| --- |%s\n", strings.Repeat(" --: |", len(policies)+2))
	sums := make([]float64, len(policies)+1)
	rows := 0
	for _, name := range load.TracesNamed(flag.Args()) {
		trace, err := load.ReadTrace(name)
		if err != nil {
			return err
		}
		for text := range strings.SplitSeq(*capacities, ",") {
			capacity, err := parse(text, len(trace.Keys))
			if err != nil {
				return err
			}
			fmt.Printf("| %s | %d |", strings.TrimSuffix(filepath.Base(name), ".txt.gz"), capacity)
			for i, ratio := range play(trace, capacity) {
				fmt.Printf(" %.2f |", ratio)
				sums[i] += ratio
			}
			fmt.Println()
			rows++
		}
	}
	fmt.Print("| mean | |")
	for _, sum := range sums {
		fmt.Printf(" %.2f |", sum/float64(rows))
	}
	fmt.Println()
	return nil
}

// parse reads 2070 or 10%. Below a few keys a policy of two queues has nothing to divide.
func parse(text string, distinct int) (int, error) {
	const least = 16
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v *= float64(distinct) / 100
	}
	if err != nil || v < 0 || v > 1e9 {
		return 0, fmt.Errorf("-capacity %q: want a number of keys, or a percentage", text)
	}
	return max(int(v), least), nil
}

// play gives the hit ratio of each policy, and of opt, in percent.
func play(trace *load.Trace, capacity int) (ratios []float64) {
	percent := func(hits int) float64 { return 100 * float64(hits) / float64(len(trace.Requests)) }
	for _, p := range policies {
		cache, hits := p.make(len(trace.Keys), capacity), 0
		for _, k := range trace.Requests {
			if cache.access(k) {
				hits++
			}
		}
		ratios = append(ratios, percent(hits))
	}
	return append(ratios, percent(opt(trace.Requests, len(trace.Keys), capacity)))
}
