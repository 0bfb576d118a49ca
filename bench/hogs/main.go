// Command hogs watches what one polite client of gomemd and of a memcached sees while another asks
// for as much work as it can with as few bytes as it can: a row for each kind of work.
//
//	go run ./bench/hogs
//	go run ./bench/hogs -only 'incr|append' -memcached /path/to/memcached
//	go run ./bench/hogs -quick                  less of what takes long
//
// The polite client asks for one small value, rests for 500 µs when it has it, and asks again, on
// one connection, from a process of its own. Each row is played at gomemd and at memcached in turn,
// as often as -rounds says, each time at a server started afresh with the same options. Of the
// rounds the best of each server counts, since what the machine adds to one is nobody's fault;
// "most" is the worst of all of them.
//
// It fails where gomemd's p99 is more than twice memcached's and more than 2 ms, and where a polite
// request is not answered or answered with an error.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	slower = 2                    // times memcached's p99 …
	floor  = 2 * time.Millisecond // … and so much is nobody's fault: clients and server share cores
)

// flags are what the command line says.
type flags struct {
	only   string
	length time.Duration
	rounds int
	quick  bool
}

func main() {
	child()
	both := pair.Flags(flag.CommandLine)
	var f flags
	flag.StringVar(&f.only, "only", "", "a regular expression: only rows whose names it matches")
	flag.DurationVar(&f.length, "time", 3*time.Second, "how long a row is watched, in each round, at each server")
	flag.IntVar(&f.rounds, "rounds", 2, "how often each row is played at each server")
	flag.BoolVar(&f.quick, "quick", false, "one round, and smaller stores")
	flag.Parse()
	if f.quick {
		f.rounds = 1
	}
	err := both.Open()
	if err == nil {
		err = run(both, &f)
		both.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hogs:", err)
		os.Exit(1)
	}
}

func run(both *pair.Pair, f *flags) error {
	only, err := regexp.Compile(f.only)
	if err != nil {
		return err
	}
	both.Heading("hogs")
	fmt.Fprintf(both.Out, "µs that a polite client waits for its reply; gomemd · memcached\n\n")
	fmt.Fprintf(both.Out, "| beside | p50 | p99 | most | p99, ratio | |\n| --- | --: | --: | --: | --: | --- |\n")
	var worse []string
	for i := range rows {
		r := &rows[i]
		if !only.MatchString(r.name) {
			continue
		}
		seen, err := r.rounds(both, f)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		verdict := verdict(&seen[0], &seen[1])
		if verdict != "fine" {
			worse = append(worse, r.name)
		}
		fmt.Fprintf(both.Out, "| %s | %.0f · %.0f | %.0f · %.0f | %.0f · %.0f | %.1f | %s |\n", r.name, seen[0].P50, seen[1].P50,
			seen[0].P99, seen[1].P99, seen[0].Most, seen[1].Most, seen[0].P99/seen[1].P99, verdict)
	}
	if len(worse) > 0 {
		return fmt.Errorf("worse than %s in %d rows: %s", both.Kinds[1].Name, len(worse), strings.Join(worse, "; "))
	}
	return nil
}

func verdict(us, them *seen) string {
	bound := max(slower*them.P99, float64(floor.Microseconds()))
	switch {
	case us.Error != "":
		return "WORSE: " + us.Error
	case us.P99 > bound:
		return fmt.Sprintf("WORSE: p99 more than %.0f", bound)
	}
	return "fine"
}

// rounds plays a row at both servers in turn, and gives what was seen at each.
func (r *row) rounds(both *pair.Pair, f *flags) (all [2]seen, err error) {
	for round := range f.rounds {
		for k := range both.Kinds {
			got, err := r.play(&both.Kinds[k], f)
			if err != nil {
				return all, fmt.Errorf("%s: %w", both.Kinds[k].Name, err)
			}
			s := &all[k]
			if round == 0 {
				*s = got
				continue
			}
			s.P50, s.P99, s.Most = min(s.P50, got.P50), min(s.P99, got.P99), max(s.Most, got.Most)
			s.Error = cmp.Or(s.Error, got.Error)
		}
	}
	return all, nil
}

// play starts a server, lets the hogs loose, and stops them and the server when the polite client
// has seen enough.
func (r *row) play(kind *pair.Kind, f *flags) (got seen, err error) {
	s, err := kind.Start(strings.Fields(r.args)...)
	if err != nil {
		return got, err
	}
	defer s.Stop()
	if err := r.prepare(s, f.quick); err != nil {
		return got, err
	}
	var all hogs
	defer all.end()
	start := time.AfterFunc(f.length/10, func() { // the polite client is there first, as in the field
		for range max(r.hogs, 1) {
			all.Go(func() { r.hog(s.Addr(), &all) })
		}
	})
	defer start.Stop()
	return polite(s.Addr(), f.length)
}

// hogs are the clients that are let loose, and how they are ended: their connections are closed.
type hogs struct {
	sync.WaitGroup
	mu    sync.Mutex
	conns map[*field.Client]bool
	over  bool
}

// dial gives nil when it is over, or the server does not let it in.
func (h *hogs) dial(addr string) *field.Client {
	c, err := field.Dial(addr, field.Link{Patience: time.Minute})
	if err != nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		_ = c.Close()
		return nil
	}
	if h.conns == nil {
		h.conns = map[*field.Client]bool{}
	}
	h.conns[c] = true
	return c
}

func (h *hogs) close(c *field.Client) {
	_ = c.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

func (h *hogs) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

func (h *hogs) end() {
	h.mu.Lock()
	h.over = true
	for c := range h.conns {
		_ = c.Close()
	}
	h.mu.Unlock()
	h.Wait()
}
