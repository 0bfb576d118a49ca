package server

import (
	"sync"
	"sync/atomic"
)

// turnsAtOnce is how many connections with large replies have a turn, on one loop, before the others are looked at again: with
// two, a client beside 300 of them waits half as long again (bench/abuse).
const turnsAtOnce = 1

// partsAtOnce is how often a connection writes outMax bytes and one value, which takes some 50 µs, before it waits in line: a turn costs
// some 15 µs.
const partsAtOnce = 4

// turns is the line in which connections wait whose replies are so large that they are written in several turns. Woken from
// within the loop they would have all their turns before anybody else: gnet runs what was woken until nothing is left, and only
// then asks who else has come. So they are woken from outside, a few at a time, and the next when these have been served.
type turns struct {
	mu      sync.Mutex
	waiting []*conn
	awake   int            // woken, and not yet served
	taken   *atomic.Uint64 // turns so far, on all loops
	call    chan struct{}  // somebody may be woken
}

func newTurns(taken *atomic.Uint64) *turns { return &turns{taken: taken, call: make(chan struct{}, 1)} }

// wait puts a connection at the end of the line.
func (t *turns) wait(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, c)
	t.taken.Add(1)
	t.next()
}

// next calls for the goroutine if there is something for it to do.
func (t *turns) next() {
	if len(t.waiting) > 0 && t.awake < turnsAtOnce {
		select {
		case t.call <- struct{}{}:
		default: // it has been called
		}
	}
}

// run wakes those whose turn it is, until the server stops.
func (t *turns) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-t.call:
		}
		t.mu.Lock()
		n := min(len(t.waiting), turnsAtOnce-t.awake)
		woken := append([]*conn(nil), t.waiting[:n]...)
		t.waiting = append(t.waiting[:0], t.waiting[n:]...)
		t.awake += n
		t.mu.Unlock()
		for _, c := range woken {
			c.wake(t.served)
		}
	}
}

func (t *turns) served() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awake--
	t.next()
}
