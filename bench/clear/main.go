// Command clear shows what clients of gomemd see while prefixes are flushed: how long one waits for
// its replies, and what another's sets come to, without and with flush_prefix, in turn.
//
//	go run ./bench/clear
//	go run ./bench/clear -rounds 5 -sets 50000 -items 4000000
//
// The store holds -items items of 100 bytes under mass:. One client sets at a fixed rate, 200 at once;
// one asks for a key every two milliseconds, on ten. In every other watch a third
// flushes a prefix of a part of the items, ten times a second until all of them are gone, and then
// one that no key has. Before each watch the items are stored again.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	client = "-mix get -conns 10 -rate 500 -keys 1000 -prefix probe:"
	filler = "-mix set -conns 2 -pipeline 64 -size 100 -dist seq -populate 0 -prefix mass: -keylen 16"
	every  = 100 * time.Millisecond
	batch  = 200
)

type flags struct {
	items, sets, rounds, memory int
	length                      time.Duration
}

func main() {
	load.Child()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "clear:", err)
		os.Exit(1)
	}
}

func run() error {
	both := pair.Flags(flag.CommandLine)
	var f flags
	flag.IntVar(&f.items, "items", 1_200_000, "how many items there are")
	flag.IntVar(&f.sets, "sets", 100_000, "sets a second beside the client")
	flag.IntVar(&f.rounds, "rounds", 3, "how often it is watched without and with flush_prefix")
	flag.IntVar(&f.memory, "m", 1024, "-m of the server, in MiB")
	flag.DurationVar(&f.length, "time", 3*time.Second, "how long each watch takes")
	flag.Parse()
	defer both.Close()
	if err := both.Open(); err != nil {
		return err
	}
	both.Heading("clear")
	s, err := both.Kinds[0].Start("-m", strconv.Itoa(f.memory))
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Fprintf(both.Out, "%d items, %d sets a second; µs that a client waits for its reply\n\n", f.items, f.sets)
	fmt.Fprintf(both.Out, "| flush_prefix | sets/s | p50 | p99 | p99.9 | most | flushed | the longest |\n| --- | --: | --: | --: | --: | --: | --: | --: |\n")
	var p99 [2][]float64
	for range f.rounds {
		for with, name := range []string{"no", "yes"} {
			got, err := watch(s, &f, with == 1)
			if err != nil {
				return err
			}
			p99[with] = append(p99[with], got.P99)
			fmt.Fprintf(both.Out, "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %d | %v |\n", name, got.sets, got.P50, got.P99, got.P999, got.Max,
				got.flushed, got.longest.Round(time.Microsecond))
		}
	}
	for _, of := range p99 {
		slices.Sort(of)
	}
	fmt.Fprintf(both.Out, "\nmedian p99: %.0f without, %.0f with\n", p99[0][f.rounds/2], p99[1][f.rounds/2])
	return nil
}

type seen struct {
	load.Result
	sets    float64       // a second
	flushed int           // commands
	longest time.Duration // that one of them took
}

func watch(s *pair.Server, f *flags, with bool) (got seen, err error) {
	n := strconv.Itoa(f.items)
	if _, err := load.RunSelf(s.Addr(), filler, "-keys", n, "-ops", n); err != nil {
		return got, err
	}
	end, ended := make(chan struct{}), make(chan error, 2)
	go func() { ended <- got.flush(s, f.items, with, end) }()
	go func() { ended <- set(s, f.sets, end) }()
	before, err := sets(s)
	if err != nil {
		return got, err
	}
	start := time.Now()
	got.Result, err = load.RunSelf(s.Addr(), client, "-time", f.length.String())
	if err != nil {
		return got, err
	}
	after, err := sets(s)
	if err != nil {
		return got, err
	}
	got.sets = (after - before) / time.Since(start).Seconds()
	close(end)
	return got, errors.Join(<-ended, <-ended)
}

// set sets, so often a second.
func set(s *pair.Server, rate int, end chan struct{}) error {
	c, err := field.Dial(s.Addr(), field.Link{Patience: time.Minute})
	if err != nil {
		return err
	}
	defer c.Close()
	ticks := time.NewTicker(time.Second * batch / time.Duration(rate))
	defer ticks.Stop()
	value := strings.Repeat("v", 100)
	for n := 0; ; {
		select {
		case <-end:
			return nil
		case <-ticks.C:
		}
		var said strings.Builder
		for range batch {
			fmt.Fprintf(&said, "set busy:%06d 0 0 100 noreply\r\n%s\r\n", n%100_000, value)
			n++
		}
		if _, err := c.Write([]byte(said.String() + "mn\r\n")); err != nil {
			return err
		}
		if err := c.Expect("MN"); err != nil {
			return err
		}
	}
}

func sets(s *pair.Server) (float64, error) {
	stats, err := s.Stats()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(stats["cmd_set"], 64)
}

// flush flushes a prefix after the other.
func (got *seen) flush(s *pair.Server, items int, with bool, end chan struct{}) error {
	if !with {
		return nil
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	const block = 100_000
	for i := 0; ; i++ {
		select {
		case <-end:
			return nil
		case <-ticks.C:
		}
		prefix := fmt.Sprint("none", i)
		if i*block < items {
			prefix = fmt.Sprintf("mass:%06d", i) // with five digits more: a block
		}
		start := time.Now()
		if line, err := s.Ask("flush_prefix " + prefix); line != "OK" {
			return fmt.Errorf("flush_prefix: %q, %v", line, err)
		}
		got.flushed++
		got.longest = max(got.longest, time.Since(start))
	}
}
