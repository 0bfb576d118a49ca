// Command soak keeps a server busy for long and believes nothing it answers: every value tells its key and version, and is
// compared byte by byte with what was sent.
//
//	go run ./bench/soak -for 30m
//	go run ./bench/soak -for 4m -state soak.json -total 30m      in pieces: each adds to the state until the total is reached
//
// What it does: mixed commands, three of ten of them writes, at full speed over eight connections; values from 1 byte to
// 1 MB; deadlines from 1 to 60 seconds; the memory limit up and down every minute; a metadump every ten seconds; and a flush_all now and then.
//
// What it wants: a read never returns a value older than the last one that was acknowledged before it was sent, nor one after
// its deadline, a delete or a flush. Eviction may lose a value. No error comes but those listed in client.go. And the
// resident memory at the end of each minute after the second is no more than 4 MB above that of an earlier minute with the
// same limit.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
	"github.com/gomemd/gomemd/bench/internal/pieces"
)

func main() {
	sum := newTally()
	flag.DurationVar(&sum.total, "total", 0, "with -state: run no more when this much has been run in all")
	length := flag.Duration("for", 4*time.Minute, "how long to run now")
	phase := flag.Duration("phase", time.Minute, "how often the memory limit changes")
	pieces.Main("soak", sum, func(gomemd pair.Kind, seed uint64) error {
		start := time.Now()
		piece, err := soak(gomemd, *length, *phase, seed)
		if err != nil {
			return err
		}
		sum.add(piece)
		sum.RSS = piece.RSS
		sum.Pieces++
		sum.Seconds += time.Since(start).Seconds()
		return nil
	})
}

// tally is what a run has seen.
type tally struct {
	Seconds  float64
	Pieces   int
	Commands map[string]int
	Hits     int
	Misses   int
	Expired  int            // reads after a deadline, all of which must miss
	Errors   map[string]int // documented ones
	Dumped   int            // lines of metadumps
	Resizes  int
	Flushes  int
	RSS      []string // by minute, of the last piece
	Wrong    []string

	total time.Duration // that is enough; 0: never
}

func (t *tally) Enough() bool { return t.total > 0 && t.Seconds >= t.total.Seconds() }

func (t *tally) add(o *tally) {
	for name, n := range o.Commands {
		t.Commands[name] += n
	}
	for name, n := range o.Errors {
		t.Errors[name] += n
	}
	t.Hits += o.Hits
	t.Misses += o.Misses
	t.Expired += o.Expired
	t.Dumped += o.Dumped
	t.Resizes += o.Resizes
	t.Flushes += o.Flushes
	t.Wrong = append(t.Wrong, o.Wrong...)
}

func newTally() *tally { return &tally{Commands: map[string]int{}, Errors: map[string]int{}} }

func (t *tally) Report() error {
	text, _ := json.MarshalIndent(t, "", "\t")
	fmt.Printf("%s\n", text)
	if len(t.Wrong) > 0 {
		return fmt.Errorf("%d things were wrong", len(t.Wrong))
	}
	return nil
}

const (
	workers    = 8
	memory     = "64"
	lowLimit   = 48 // MB, and back to 64
	highLimit  = 64
	rssSlack   = 4 << 20
	settle     = 2 * time.Minute
	dumpEvery  = 10 * time.Second
	flushEvery = 37 * time.Second
	shortTempo = 100 * time.Millisecond
)

// soak runs one server for a while.
func soak(kind pair.Kind, length, phase time.Duration, seed uint64) (*tally, error) {
	srv, err := kind.Start("-m", memory, "-c", "64")
	if err != nil {
		return nil, err
	}
	defer srv.Stop()
	stop := make(chan struct{})
	world := newWorld()
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { world.work(srv.Addr(), i, seed, stop) })
	}
	all.Go(func() { world.nowAndThen(dumpEvery, stop, func() { world.dump(srv.Addr()) }) })
	all.Go(func() { world.nowAndThen(flushEvery, stop, func() { world.flush(srv) }) })

	start := time.Now()
	limit := highLimit
	before := map[int]int64{} // RSS at the end of a phase, by its limit
	var rss []string
	for end := start.Add(phase); time.Since(start) < length && world.sound(); end = end.Add(phase) {
		for time.Now().Before(end) && time.Since(start) < length && world.sound() {
			time.Sleep(shortTempo)
		}
		use, err := srv.Usage()
		if err != nil {
			world.wrong("the server is gone: %v", err)
			break
		}
		rss = append(rss, fmt.Sprintf("%.1f MiB at %d MB", float64(use.RSS)/(1<<20), limit))
		if was, known := before[limit]; known && time.Since(start) > settle && use.RSS > was+rssSlack {
			world.wrong("RSS is %d at a limit of %d MB, was %d", use.RSS, limit, was)
		}
		if before[limit] == 0 || time.Since(start) <= settle {
			before[limit] = use.RSS
		}
		next := highLimit + lowLimit - limit
		if world.resize(srv, next) {
			limit = next
		}
	}
	close(stop)
	all.Wait()
	if stats, err := srv.StatsOf("gomemd"); err != nil {
		world.wrong("no stats at the end: %v", err)
	} else {
		for _, name := range []string{"conn_panics", "conn_pins_dropped", "conn_budget_dropped"} {
			if stats[name] != "0" {
				world.wrong("%s is %s", name, stats[name])
			}
		}
	}
	world.sum.RSS = rss
	return world.sum, nil
}
