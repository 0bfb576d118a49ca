// Command compare measures gomemd beside memcached, and beside other servers of its protocol: the same loads, the same machine,
// the same hour.
//
// For each workload it starts them in turn, several times over (A B A B …), each time afresh on a port of the kernel's
// choice; puts them under load; and reads from /proc what that cost them. What it prints are medians, with the smallest and the
// largest in brackets, and ratios gomemd to each of the others. Where a loop, its client and the interrupts come to run differs
// from start to start, and is measured with them: so many short rounds tell more than a few long ones. Bars are for the first of
// the others, but for a few that name a further one: there the bar stands beside the ratio. A server that cannot do what a row
// needs is left out of the row, with what it said.
//
// Rows with TLS have certificates of their own, made at the start: servers get -Z and the files, clients shake hands before
// the measurement, in full, by TLS 1.3 with X25519.
//
//	compare                                  all workloads, about 45 minutes, and half as long again for each -peer
//	compare -quick                           the most telling ones, ten minutes
//	compare -only 'pipe|mget' -rounds 5      those whose names match
//	compare -env GOMAXPROCS=1 -threads 1     how gomemd does with that in its environment
//	compare -gomemd /usr/bin/memcached       memcached beside itself: how far the numbers can be trusted
//	compare -peer 'new=/opt/memcached-1.6.45 -o no_modern' -peer 'x=x --port {port} -t {threads}'
//	                                         further servers; -memcached '' leaves memcached out
//	compare -cpus 0 -client-cpus 1           servers and clients on CPUs of their own; -cpus alone leaves clients all
//	compare -with '-exptime 2-6'             every workload, while items expire
//	compare -quick -o quick.txt              keep the result in bench/results
//	compare -readme bench/results/quick.txt  make the README's table from it
//
//	workloads.go   the rows and their bars
//	drivers.go     who puts them under load: our own load, or other people's clients
//	table.go       medians, ratios, print
//	readme.go      the README's table, made from a kept one
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A run is what the command line said.
type run struct {
	*pair.Pair
	warmup, seconds time.Duration
	rounds, threads int
	with            string
	identities      map[string]*pair.Identity // by kind of key, made when the first row needs one
}

func main() {
	load.Child()
	if err := compare(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func compare() error {
	both := pair.Flags(flag.CommandLine)
	both.Peers(flag.CommandLine)
	both.CPUs(flag.CommandLine)
	pattern := flag.String("only", "", "a regular expression: only workloads whose names it matches")
	quick := flag.Bool("quick", false, "a selection that takes about ten minutes")
	rounds := flag.Int("rounds", 7, "how often each server is measured (5 with -quick)")
	seconds := flag.Float64("seconds", 2, "how long a measurement takes (1.5 with -quick), and longer in rows with little to count")
	warmup := flag.Float64("warmup", 0.5, "how long to run before it")
	threads := flag.Int("threads", 2, "-t of the servers")
	with := flag.String("with", "", "options of load added to every workload of ours")
	readme := flag.String("readme", "", "measure nothing: make the table in README.md from this file, which -o kept")
	list := flag.Bool("list", false, "print the workloads and do nothing")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: only options", flag.Arg(0))
	}
	if *readme != "" {
		return rewriteReadme("README.md", *readme)
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *quick && !given["seconds"] {
		*seconds = 1.5
	}
	if *quick && !given["rounds"] {
		*rounds = 5
	}
	if *rounds < 1 || *seconds <= 0 || *seconds > 600 || *warmup < 0 || *warmup > 600 || *threads < 1 {
		return errors.New("-rounds and -threads from 1, -seconds above 0, -warmup from 0, both up to 600")
	}
	rows, err := only(workloads, *pattern, *quick)
	if err != nil {
		return err
	}
	if *list {
		for _, w := range rows {
			fmt.Printf("%-22s %s\n", w.name, w.args)
		}
		return nil
	}

	if both.Kinds[1].Path == "" {
		both.Kinds = slices.Delete(both.Kinds, 1, 2)
	}
	if len(both.Kinds) < 2 {
		return errors.New("nothing to measure gomemd against: -memcached or -peer")
	}
	both.Kinds[0].Env = append(both.Kinds[0].Env, pair.GCTrace)
	r := &run{Pair: both, rounds: *rounds, threads: *threads, with: *with, identities: map[string]*pair.Identity{}}
	r.seconds, r.warmup = time.Duration(*seconds*float64(time.Second)), time.Duration(*warmup*float64(time.Second))
	// Before any server starts: they inherit what we may open.
	if err := load.AllowFiles(connsMost); err != nil {
		return err
	}
	defer both.Close()
	if err := both.Open(); err != nil {
		return err
	}
	r.table(rows)
	return nil
}

// table measures row by row and prints each when it is done: a run that is broken off has shown what it knew.
func (r *run) table(rows []workload) {
	out := r.Out
	r.Heading("compare")
	fmt.Fprintf(out, "Medians of %d (smallest–largest), %v each after %v, -t %d; client on the same machine\n\n",
		r.rounds, r.seconds, r.warmup, r.threads)
	var notes []string
	for i := range rows {
		w := &rows[i]
		sides, err := r.measure(w)
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(out, "%-22s%v\n\n", w.name, err)
			continue
		}
		if err != nil {
			fmt.Fprintf(out, "%-22sFAILED: %v\n\n", w.name, err)
			notes = append(notes, w.name+": failed")
			continue
		}
		notes = append(notes, printRow(out, w, sides)...)
	}
	if len(notes) == 0 {
		fmt.Fprintln(out, "Every bar is met.")
		return
	}
	fmt.Fprintln(out, "Bars that are not met:")
	for _, n := range notes {
		fmt.Fprintln(out, "  "+n)
	}
}

const (
	connsUsual = 1024
	connsMost  = 12_000 // for the rows with thousands of connections
)

// A side is what one server did in a row.
type side struct {
	name    string
	samples []sample
	without error // why there are none, or no more
	cannot  bool  // it does not know what the row needs; else it failed
}

// measure runs a row's rounds. A server that fails in one is left out of those that follow. What concerns all servers alike is
// an error.
func (r *run) measure(w *workload) (sides []side, err error) {
	drive := w.driver
	if drive == nil {
		drive = ourLoad
	}
	setup := pair.Setup{Memory: w.memory, Threads: r.threads, Conns: connsUsual}
	if setup.Memory == 0 {
		setup.Memory = memoryUsual
	}
	if w.bar.perConn > 0 || w.option("idle") != "" {
		setup.Conns = connsMost
	}
	if w.tls != "" {
		if setup.TLS, err = r.identity(w.tls); err != nil {
			return nil, err
		}
	}
	sides = make([]side, len(r.Kinds))
	for range r.rounds {
		for i := range sides {
			k, at := &r.Kinds[i], &sides[i]
			further := i > 1 // of these nobody says that they know all commands
			if at.name = k.Name; at.without != nil {
				continue
			}
			s, err := k.StartAs(setup)
			if err != nil {
				at.without, at.cannot = err, further || w.tls != ""
				continue
			}
			m, err := drive(r, s, w)
			s.Stop()
			m.gc = s.GC()
			if errors.Is(err, errAbsent) {
				return nil, err
			}
			if err == nil && further && m.refused() {
				err = fmt.Errorf("it says %s", m.complaint)
			}
			if err != nil {
				at.without, at.cannot = err, further
				continue
			}
			at.samples = append(at.samples, m)
		}
	}
	return sides, nil
}

func (r *run) identity(kind string) (id *pair.Identity, err error) {
	if id = r.identities[kind]; id == nil {
		if id, err = pair.NewIdentity(r.Temp, kind); err == nil {
			r.identities[kind] = id
		}
	}
	return id, err
}
