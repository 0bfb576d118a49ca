// Command kill ends a server by kill -9 in the midst of writes, starts it again with the same memory file, and looks for
// everything that had been acknowledged; round after round, with the same file.
//
//	go run ./bench/kill -rounds 200
//	go run ./bench/kill -m 1024 -rounds 5
//	go run ./bench/kill -state kill.json -rounds 40 -total 200     in pieces: each adds to the state until the total is reached
//
// A round: four connections set, overwrite, delete and touch half of the memory's worth of keys, in batches of 64 commands;
// some values end after a few seconds; one command in some thousand is a flush_prefix of 1 in 200
// of the keys; every eighth round begins with flush_all. At a moment
// that is drawn the server is killed. What was sent and not acknowledged may have happened or not.
//
// What it wants of the server that comes next:
//
//	wrong         a value that is not one of its key's, byte by byte                        never
//	stale         a version older than the last one that was acknowledged                   never
//	resurrected   a value that was deleted, flushed, or has ended                           never
//	repeated      a unique that was told for another version                                never
//	lost          acknowledged, with nothing under way for its key, and not there           1 in 10,000
//
// and that it serves. Evictions before the kill are told; half of the memory is no reason for any, and what was evicted is not
// counted as lost.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
	"github.com/gomemd/gomemd/bench/internal/pieces"
)

func main() {
	sum := &tally{}
	flag.IntVar(&sum.total, "total", 0, "with -state: run no more when there have been so many in all")
	memory := flag.Int("m", 64, "-m of the server, in MiB")
	rounds := flag.Int("rounds", 20, "how many rounds to run now")
	large := flag.Int("large", 0, "how many keys have values of 100 to 300 kB")
	dir := flag.String("dir", "/dev/shm", "where the memory file is made")
	pieces.Main("kill", sum, func(gomemd pair.Kind, seed uint64) error {
		temp, err := os.MkdirTemp(*dir, "gomemd-kill")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		l := newLedger(*memory<<20, *large, seed, sum)
		return l.play(*rounds, &gomemd, "-m", strconv.Itoa(*memory), "-e", filepath.Join(temp, "items"))
	})
}

// tally is what the rounds have seen.
type tally struct {
	Rounds       int
	Commands     int // acknowledged, in all rounds
	UnderWay     int // sent and not acknowledged when a server was killed
	Acknowledged int // items that had to be there, over all rounds
	Lost         int
	Evicted      int
	Restored     int // by the servers' own count
	Dropped      int
	Ended        int
	Starts       []float64 // milliseconds from the start of a process to its first answer
	Scans        []float64 // milliseconds that the servers say the reading took
	Wrong        []string  // what must never be

	total int // rounds that are enough; 0: none are
}

func (t *tally) Enough() bool { return t.total > 0 && t.Rounds >= t.total }

// lostMax is how many of the items may be lost.
const lostMax = 1e-4

// play kills one server after the other, until something is wrong or it has been done often enough.
func (l *ledger) play(rounds int, gomemd *pair.Kind, args ...string) error {
	server, err := gomemd.Start(args...)
	if err != nil {
		return err
	}
	for range rounds {
		if l.sum.Enough() {
			break
		}
		if err := l.workAndKill(server); err != nil {
			server.Kill()
			return err
		}
		start := time.Now()
		if server, err = gomemd.Start(args...); err != nil {
			return fmt.Errorf("round %d: %w", l.sum.Rounds, err)
		}
		l.sum.Starts = append(l.sum.Starts, ms(time.Since(start)))
		if err := l.verify(server); err != nil {
			server.Kill()
			return err
		}
		l.sum.Rounds++
		if len(l.sum.Wrong) > 0 {
			break
		}
	}
	server.Stop()
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *tally) Report() error {
	slices.Sort(t.Starts)
	slices.Sort(t.Scans)
	fmt.Printf("%d rounds, %d commands acknowledged, %d under way at the kills\n", t.Rounds, t.Commands, t.UnderWay)
	fmt.Printf("%d acknowledged items to be found, %d lost; %d were evicted before\n", t.Acknowledged, t.Lost, t.Evicted)
	fmt.Printf("the servers restored %d, dropped %d that were not whole, and %d that had ended\n", t.Restored, t.Dropped, t.Ended)
	if n := len(t.Starts); n > 0 {
		fmt.Printf("first answer after %.0f ms (median), %.0f ms (most); of these reading the file %.0f and %.0f ms\n",
			t.Starts[n/2], t.Starts[n-1], t.Scans[len(t.Scans)/2], t.Scans[len(t.Scans)-1])
	}
	for _, line := range t.Wrong {
		fmt.Println("WRONG:", line)
	}
	switch {
	case len(t.Wrong) > 0:
		return errors.New("there was something wrong")
	case float64(t.Lost-t.Evicted) > lostMax*float64(t.Acknowledged):
		return errors.New("too many were lost")
	}
	return nil
}
