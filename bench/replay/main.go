// Command replay plays traces to gomemd and to a memcached, look aside – a get, and after a miss a set – and prints the hit ratio
// of both at the same -m.
//
//	replay                                         a trace that is made: Zipf, with keys that never come again
//	replay -part 0.01 -v 16000 traces/*.txt.gz     -m such that memcached holds about 1 % of a trace's different keys
//	replay -m 64 keys.txt.gz                       -m as it is said
//	replay -equal 32,200,1000 traces/*.txt.gz      besides, values of these lengths in equal memory
//
// One connection asks one thing at a time, so the order of the trace is the order of the requests.
//
// The same -m shows little of how dense a store is when values are long, and traces are too short to fill 64 MiB with short ones.
// So with -equal gomemd's store, in this process and in small segments, gets the bytes that memcached's slab chunks take for as
// many items of that length as it held, and pays for segments, index and table from them. That supposes of memcached that it
// evicts the same items whatever their length.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/storage"
)

// memoryLeast is the least -m: memcached takes a page of 1 MiB for each of a few classes at the start.
const memoryLeast = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run() error {
	both := pair.Flags(flag.CommandLine)
	memory := flag.Int("m", 0, "-m of both servers, in MiB (0: by -part)")
	part := flag.Float64("part", 0.1, "the part of the different keys that memcached should hold, about; a trace for which that is\n"+
		"less than 1 MiB is left out")
	value := flag.Int("v", 4096, "bytes of a value")
	var equal []int
	flag.Func("equal", "lengths of values, separated by commas, to be tried in equal memory", func(text string) error {
		for word := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 || n > 10_000 {
				return fmt.Errorf("%q: want lengths from 1 to 10000", word)
			}
			equal = append(equal, n)
		}
		return nil
	})
	flag.Parse()
	defer both.Close()
	if err := both.Open(); err != nil {
		return err
	}
	both.Heading("replay")
	t := newTable(both, *value, equal)
	for _, name := range load.TracesNamed(flag.Args()) {
		trace, err := load.ReadTrace(name)
		if err != nil {
			return err
		}
		m := *memory
		if m == 0 {
			const chunk = 1.11 // bytes of memcached's slab chunk for one of a value of a few kilobytes
			m = int(math.Round(*part * float64(len(trace.Keys)) * float64(*value) * chunk / (1 << 20)))
		}
		if m < 1 {
			continue
		}
		m = max(m, memoryLeast)
		var live [2]result
		for side := range both.Kinds {
			if live[side], err = play(&both.Kinds[side], name, trace, m, *value); err != nil {
				return fmt.Errorf("%s: %s: %w", name, both.Kinds[side].Name, err)
			}
		}
		t.row(name, trace, m, live)
	}
	t.end()
	return nil
}

// A result is a hit ratio, how many items the cache held in the end, and how many sets it refused: memcached does when a slab
// class has nothing to evict.
type result struct {
	ratio   float64
	items   int
	refused int64
}

// play asks a fresh server.
func play(k *pair.Kind, name string, trace *load.Trace, memory, value int) (r result, err error) {
	s, err := k.Start("-m", strconv.Itoa(memory), "-t", "2", "-I", "1m")
	if err != nil {
		return r, err
	}
	defer s.Stop()
	var spec load.Spec
	spec.Flags(flag.NewFlagSet("", flag.PanicOnError)) // its usual values
	spec.Addr, spec.Conns, spec.Mix, spec.Trace, spec.Prefix = s.Addr(), 1, "aside", name, prefix
	spec.Size, spec.Ops, spec.Seconds = strconv.Itoa(value), int64(len(trace.Requests)), 10*time.Minute
	got, err := load.Run(spec)
	if err == nil && (got.Lost > 0 || got.Hits+got.Misses != spec.Ops) {
		err = fmt.Errorf("%d requests, %d answers; %s", spec.Ops, got.Hits+got.Misses, got.FirstError)
	}
	if err != nil {
		return r, err
	}
	stats, err := s.Stats()
	if err != nil {
		return r, err
	}
	r.refused = got.Errors
	r.items, err = strconv.Atoi(stats["curr_items"])
	r.ratio = float64(got.Hits) / float64(spec.Ops)
	return r, err
}

const prefix = "trace:"

// chunk is memcached's slab chunk for so many bytes: classes a quarter apart, from 96.
func chunk(n int) int {
	c := 96
	for c < n {
		c = (c*5/4 + 7) &^ 7
	}
	return c
}

// inEqualMemory plays the trace to a store in this process.
func inEqualMemory(trace *load.Trace, items, value int) (result, error) {
	opts := storage.Options{
		MemoryLimit: int64(items * chunk(storage.Charge(len(prefix)+8, 0, value, true))),
		Shards:      1,
		ItemMax:     64 << 10,
	}
	opts.SegmentSize = 1 << (bits.Len64(uint64(max(opts.MemoryLimit/160, int64(4*(value+30))))) - 1)
	store, err := storage.Open(opts, expiry.NewClock(1_700_000_000))
	if err != nil {
		return result{}, err
	}
	defer store.Close()
	item := storage.Item{Value: make([]byte, value)}
	hits := 0
	for _, id := range trace.Requests {
		item.Key = append(append(item.Key[:0], prefix...), trace.Keys[id]...)
		h := store.Hash(item.Key)
		if store.View(h, item.Key, func(storage.Item) {}) {
			hits++
		} else if r := store.Put(h, storage.Set, &item); r != storage.Stored {
			return result{}, fmt.Errorf("%s was not stored: %v", item.Key, r)
		}
	}
	return result{ratio: float64(hits) / float64(len(trace.Requests)), items: int(store.Stats().CurrItems)}, nil
}

// equalLeast is how many items memcached must have held: with fewer, the ends of segments are what is measured.
const equalLeast = 600

// A table has a line for each trace, and the means below.
type table struct {
	*pair.Pair
	equal []int
	gains []gains // at the same -m, then of each length in equal memory
}

// gains are in points of hit ratio.
type gains struct {
	sum, worst float64
	n          int
}

func (g *gains) add(points float64) {
	if g.n == 0 || points < g.worst {
		g.worst = points
	}
	g.sum += points
	g.n++
}

func newTable(both *pair.Pair, value int, equal []int) *table {
	t := &table{Pair: both, equal: equal, gains: make([]gains, 1+len(equal))}
	fmt.Fprintf(t.Out, "Hit ratio in %%, and gomemd's gain in points; values of %d bytes, -t 2\n\n", value)
	fmt.Fprintf(t.Out, "| trace | requests | keys | -m | items | refused | %s | %s | gain |", t.Kinds[0].Name, t.Kinds[1].Name)
	for _, n := range equal {
		fmt.Fprintf(t.Out, " %d B, equal memory |", n)
	}
	fmt.Fprintf(t.Out, "\n| --- |%s\n", strings.Repeat(" --: |", 8+len(equal)))
	return t
}

func (t *table) row(name string, trace *load.Trace, memory int, live [2]result) {
	gain := 100 * (live[0].ratio - live[1].ratio)
	t.gains[0].add(gain)
	fmt.Fprintf(t.Out, "| %s | %d | %d | %d | %d, %d | %d, %d | %.2f | %.2f | %+.2f |", strings.TrimSuffix(filepath.Base(name), ".txt.gz"),
		len(trace.Requests), len(trace.Keys), memory, live[0].items, live[1].items,
		live[0].refused, live[1].refused, 100*live[0].ratio, 100*live[1].ratio, gain)
	for i, value := range t.equal {
		if live[1].items < equalLeast {
			fmt.Fprint(t.Out, " |")
			continue
		}
		r, err := inEqualMemory(trace, live[1].items, value)
		if err != nil {
			fmt.Fprintf(t.Out, " %v |", err)
			continue
		}
		gain := 100 * (r.ratio - live[1].ratio)
		t.gains[1+i].add(gain)
		fmt.Fprintf(t.Out, " %+.2f |", gain)
	}
	fmt.Fprintln(t.Out)
}

func (t *table) end() {
	fmt.Fprintln(t.Out)
	for i, g := range t.gains {
		what := "the same -m"
		if i > 0 {
			what = fmt.Sprintf("equal memory, %d B", t.equal[i-1])
		}
		if g.n > 0 {
			fmt.Fprintf(t.Out, "%s: %+.2f points on average of %d, the worst %+.2f\n", what, g.sum/float64(g.n), g.n, g.worst)
		}
	}
}
