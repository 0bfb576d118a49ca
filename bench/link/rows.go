package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	kB  = 1000
	mB  = 1000 * kB
	miB = 1 << 20

	crowd     = 50
	linkRate  = 100 * mB // a second, in each direction
	linkDelay = 20 * time.Millisecond
	over      = 48 * miB // what gomemd may have beyond -m
)

var rows = []field.Row{
	{Name: "50 clients at the far end of 100 MB/s", Args: "-m 2048 -I 32m",
		Before: overLink, Does: mixed(2048), Judge: field.PoliteWaits},
	{Name: "200 readers of 1 MB at 1 MB/s in a group of 1.2 × -m", Args: "-m 128",
		Before: inGroup(128 * miB * 12 / 10), Does: readersInGroup},
	{Name: "--memory-total 200m in a group of 200 MiB",
		Before: memoryTotal, Does: fullGroup},
}

// here is what Before made for the run that is going on. There is one at a time.
var here struct {
	network *network
	group   *group
	left    string // -m, as --memory-total left it
}

func overLink(_ *field.Run, _ *pair.Kind) (more []string, _ func(), err error) {
	n, err := makeNetwork(linkRate)
	remove := undo.add(n.remove)
	if err != nil {
		return nil, remove, field.NotRun(err.Error())
	}
	here.network = n
	return []string{"-l", n.host}, remove, nil
}

// inGroup starts the servers in a group.
func inGroup(limit int) func(*field.Run, *pair.Kind) ([]string, func(), error) {
	return func(r *field.Run, kind *pair.Kind) (more []string, _ func(), err error) {
		g, err := makeGroup(limit)
		remove := undo.add(g.remove)
		if err != nil {
			return nil, remove, field.NotRun(err.Error())
		}
		here.group = g
		kind.Through = g.through()
		return nil, remove, nil
	}
}

// memoryTotal is gomemd's alone: memcached gets the -m that gomemd was left with.
func memoryTotal(r *field.Run, kind *pair.Kind) (more []string, _ func(), err error) {
	_, remove, err := inGroup(200*miB)(r, kind)
	if r.IsGomemd {
		return []string{"--memory-total", "200m"}, remove, err
	}
	return []string{"-m", here.left}, remove, err
}

// mixed fills the memory, and then lets the crowd loose at the far end.
func mixed(m int) func(r *field.Run) {
	return func(r *field.Run) {
		n := here.network
		addr := net.JoinHostPort(n.host, r.Port)
		l, err := n.listen()
		if err != nil {
			r.Add(err)
			return
		}
		long := &relay{l: l, delay: linkDelay, dial: func() (net.Conn, error) {
			return n.dial(&net.Dialer{Timeout: 5 * time.Second}, addr)
		}}
		go long.serve()
		defer long.close()

		r.Fill("fill", m, miB*9/10)
		shelves := field.NewShelves(r, crowd, 200, 10*kB, 20*mB)
		polite := make(chan error)
		go func() { polite <- watchPolite(r) }()
		shelves.Pipelines(r, func(i int) (string, field.Link) {
			if i%2 == 1 {
				return l.Addr().String(), field.Link{Dial: n.dial}
			}
			return addr, field.Link{Dial: n.dial}
		})
		if err := <-polite; err != nil {
			r.Add(err)
		}
		if use, err := r.Usage(); err == nil && use.Peak > int64(m)*miB+over {
			r.Short = fmt.Sprintf("%.0f MiB are more than -m and 48", float64(use.Peak)/miB)
		}
	}
}

// watchPolite is a client on loopback, 200 requests a second.
func watchPolite(r *field.Run) error {
	const kind = "-mix get:9,set:1 -conns 4 -rate 200 -keys 200 -size 1000 -prefix good: -verify 1"
	got, err := load.RunSelf(r.Addr(), kind, "-warmup", "1s", "-time", r.Length.String())
	if err != nil {
		return err
	}
	r.Polite(time.Duration(got.P50*1000), time.Duration(got.P99*1000))
	if n := got.Errors + got.Lost; n > 0 {
		return fmt.Errorf("the polite client saw %d errors: %s", n, got.FirstError)
	}
	return nil
}

// readersInGroup are patient, and there are many.
func readersInGroup(r *field.Run) {
	values := r.Fill("v", 80, mB)
	if len(values) == 0 {
		return
	}
	r.Crowd(200, field.Slow(mB), r.Length/4, func(c *field.Client, _ int) bool {
		return r.Add(c.Get("get", field.Exactly(values[rand.IntN(len(values))])))
	})
	noteGroup(r)
}

func noteGroup(r *field.Run) {
	r.Note("the group had at most %.1f MiB", float64(here.group.peak())/miB)
}

// fullGroup fills the memory with values of many sizes, while others read slowly and stop in the
// middle of a value.
func fullGroup(r *field.Run) {
	stats, err := r.Stats()
	if err != nil {
		r.Add(err)
		return
	}
	limit, _ := strconv.Atoi(stats["limit_maxbytes"])
	here.left = strconv.Itoa(limit / miB)
	r.Note("-m %s", here.left)
	var all sync.WaitGroup
	values := r.Fill("v", 20, mB)
	if len(values) == 0 {
		return
	}
	evictable := func() field.Of {
		of := field.Exactly(values[rand.IntN(len(values))])
		of.Miss = true
		return of
	}
	all.Go(func() {
		r.Crowd(8, field.Link{}, r.Length/4, func(c *field.Client, i int) bool {
			size := 100 + rand.IntN(1<<(7+rand.IntN(13)))
			key := fmt.Sprintf("w%d-%d", i, rand.IntN(100_000))
			return r.Add(c.Set(field.Value{Key: key, Version: 1, Size: size}, 0))
		})
	})
	all.Go(func() {
		r.Crowd(100, field.Slow(mB), r.Length/4, func(c *field.Client, _ int) bool {
			return r.Add(c.Get("get", evictable(), evictable(), evictable()))
		})
	})
	all.Go(func() {
		r.Crowd(50, field.Link{}, r.Length/4, func(c *field.Client, i int) bool {
			v := field.Value{Key: fmt.Sprint("half", i), Version: 1, Size: mB}
			_ = c.Announce(v, 0)
			_ = c.SendPart(v, 0, mB/2) // it leaves, or is sent away: neither counts
			time.Sleep(time.Second)
			return false
		})
	})
	all.Wait()
	noteGroup(r)
}
