package conn

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Clients that come, ask now and then, and go are served by loops that wait in place as they are by
// others: what they ask, a connection that is new, and what other goroutines ask of a loop, ends
// the wait.
func TestLoopsThatDwell(t *testing.T) {
	const loops, clients, requests = 2, 8, 200
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops + 2))
	h := start(t, options{loops: loops, dwell: true})
	reply := dial(t, h).fill("big", 800_000) // sent in turns
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c := dial(t, h)
			for j := range requests {
				switch rand.IntN(20) {
				case 0:
					c.say("quit\r\n")
					c = dial(t, h)
				case 1:
					c.say("get big\r\n")
					c.hear(reply)
				}
				c.say(fmt.Sprintf("set k%d 0 0 4\r\n%04d\r\n", i, j))
				c.hear("STORED\r\n")
				c.say(fmt.Sprintf("get k%d\r\n", i))
				c.hear(fmt.Sprintf("VALUE k%d 0 4\r\n%04d\r\nEND\r\n", i, j))
				time.Sleep(rand.N(2 * dwellMax))
			}
		})
	}
	all.Wait()
}

// Nobody who waits for a turn waits for a loop that dwells: blocked readers and pipelines beside
// clients who ask now and then.
func TestDwellingBesideSlowReaders(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	h := start(t, options{loops: 1, dwell: true, reqs: 1})
	c := slow(t, h)
	reply := c.fill("k", 100_000)
	quick := dial(t, h)
	for range 20 {
		c.say("get k\r\nmn\r\nmn\r\n")
		quick.ping()
		c.hear(reply)
		quick.ping()
		c.hear("MN\r\nMN\r\n")
	}
}
