// Command pauses shows what one client of gomemd and of a memcached sees while something else goes on: how long it waits for its
// replies, at the median and at worst, and what Go's garbage collector does meanwhile.
//
//	pauses                    the client alone, beside hogs, beside evictions
//	pauses -m 8192            the stores are of 8 GiB and full, for every row
//
// The client asks for one key every two milliseconds, on one of ten connections; time counts from when it was due to ask. A hog sends
// 2,000 requests at once and the next 2,000 when all are answered. Both servers run with one thread, so that the hog is always on
// the client's own event loop. What the machine itself adds – the hog needs a core too – is seen in the rows where the hog
// pesters another server of the same kind: the difference between two such rows is the server's.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A row is what goes on beside the client.
type row struct {
	name    string
	beside  string // what the other client does, in load's words
	another bool   // to another server
}

const (
	client = "-mix get -conns 10 -rate 500 -keys 1000 -prefix probe:"
	gets   = "-mix get -conns 1 -pipeline 2000"
	sets   = "-mix set -conns 1 -pipeline 2000 -populate 0"
	evict  = "-mix set -conns 4 -pipeline 20 -size 1000 -dist seq -keys 1000000000 -populate 0 -prefix flood:"
	open   = "-mix get:10,set:1 -conns 50 -rate 10000"
)

var rows = []row{
	{name: "alone"},
	{name: "hog of gets, elsewhere", beside: gets, another: true},
	{name: "hog of gets", beside: gets},
	{name: "hog of sets, elsewhere", beside: sets, another: true},
	{name: "hog of sets", beside: sets},
	{name: "evicting sets, elsewhere", beside: evict, another: true},
	{name: "evicting sets", beside: evict},
	{name: "50 clients, 10,000 requests/s", beside: open},
}

func main() {
	load.Child()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pauses:", err)
		os.Exit(1)
	}
}

func run() error {
	both := pair.Flags(flag.CommandLine)
	memory := flag.Int("m", 64, "-m of both servers, in MiB; above 64 they are filled first")
	pattern := flag.String("only", "", "a regular expression: only rows whose names it matches")
	length := flag.Duration("time", 5*time.Second, "how long each row is watched")
	flag.Parse()
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	both.Kinds[0].Env = append(both.Kinds[0].Env, pair.GCTrace)
	defer both.Close()
	if err := both.Open(); err != nil {
		return err
	}
	both.Heading("pauses")
	fmt.Fprintf(both.Out, "-m %d -t 1, %v each; µs that a client waits for its reply\n\n", *memory, *length)
	fmt.Fprintf(both.Out, "| beside | | p50 | p99 | p99.9 | most |\n| --- | --- | --: | --: | --: | --: |\n")
	var gcs [2]pair.GC
	for side := range both.Kinds {
		if gcs[side], err = watch(both, side, only, *memory, *length); err != nil {
			return fmt.Errorf("%s: %w", both.Kinds[side].Name, err)
		}
	}
	gc := gcs[0]
	fmt.Fprintf(both.Out, "\n%s: %d garbage collections in all, %.2f %% of its CPU time; the longest stop of the world took %v\n",
		both.Kinds[0].Name, gc.Collections, 100*gc.Share, gc.LongestStop)
	return nil
}

// watch prints the rows of one server.
func watch(both *pair.Pair, side int, only *regexp.Regexp, memory int, length time.Duration) (gc pair.GC, err error) {
	k := &both.Kinds[side]
	s, err := k.Start("-m", strconv.Itoa(memory), "-t", "1")
	if err != nil {
		return gc, err
	}
	defer func() { s.Stop(); gc = s.GC() }()
	other, err := k.Start("-m", "64", "-t", "1")
	if err != nil {
		return gc, err
	}
	defer other.Stop()
	if memory > 64 {
		if err := fill(s.Addr(), memory); err != nil {
			return gc, err
		}
	}
	for _, r := range rows {
		if !only.MatchString(r.name) {
			continue
		}
		got, err := r.seen(s, other, length)
		if err != nil {
			return gc, fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(both.Out, "| %s | %s | %.0f | %.0f | %.0f | %.0f |\n", r.name, k.Name, got.P50, got.P99, got.P999, got.Max)
	}
	return gc, nil
}

// fill writes a fifth more than fits.
func fill(addr string, memory int) error {
	const each = 1000 + 16 + 24
	n := int64(memory) << 20 / each * 6 / 5
	_, err := load.RunSelf(addr, "-mix set -conns 2 -pipeline 64 -size 1000 -dist seq -populate 0",
		"-keys", strconv.FormatInt(n, 10), "-ops", strconv.FormatInt(n, 10))
	return err
}

func (r *row) seen(s, other *pair.Server, length time.Duration) (got load.Result, err error) {
	if r.beside != "" {
		at := s
		if r.another {
			at = other
		}
		stop, err := load.Beside(at.Addr(), r.beside, "-warmup", "0s", "-time", (length + time.Minute).String())
		if err != nil {
			return got, err
		}
		defer stop()
	}
	got, err = load.RunSelf(s.Addr(), client, "-warmup", "1s", "-time", length.String())
	if err == nil && got.Errors+got.Lost > 0 {
		err = fmt.Errorf("%d errors: %s; %d without a reply", got.Errors, got.FirstError, got.Lost)
	}
	return got, err
}
