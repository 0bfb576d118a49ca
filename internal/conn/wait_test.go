package conn

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Clients that come, ask now and then, and go are served by loops that wait elsewhere than in gnet as
// they are by others: what they ask, a connection that is new, and what other goroutines ask of a
// loop, ends the wait. So it is with one processor for all of them.
func TestLoopsThatWait(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) { testLoopsThatWait(t, loops) })
	}
}

func testLoopsThatWait(t *testing.T, loops int) {
	const clients, requests = 8, 100
	h := start(t, options{loops: loops, quiet: true})
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
				case 2:
					time.Sleep(rand.N(2 * soon)) // the loop parks
				}
				c.say(fmt.Sprintf("set k%d 0 0 4\r\n%04d\r\n", i, j))
				c.hear("STORED\r\n")
				c.say(fmt.Sprintf("get k%d\r\n", i))
				c.hear(fmt.Sprintf("VALUE k%d 0 4\r\n%04d\r\nEND\r\n", i, j))
				time.Sleep(rand.N(3 * time.Millisecond)) // it waits in place
			}
		})
	}
	all.Wait()
	if n := h.conns.engine.asked.Load(); n != 0 {
		t.Errorf("gnet was asked for %d things more than it has done", n)
	}
}

// Who asks now and then needs no more ticks than who is silent: a loop that parks sets the clock itself.
func TestFewTicksWhileLoopsPark(t *testing.T) {
	h := start(t, options{loops: 1, quiet: true})
	c := dial(t, h)
	eventually(t, "few ticks will do", func() bool {
		c.ping()
		time.Sleep(2 * soon)
		return h.conns.Asleep()
	})
}

// What comes in one event with a request, to a loop that then has nothing to do, is done at once
// too: gnet is told of it once.
func TestWhatIsAskedOfALoopThatIsAboutToWait(t *testing.T) {
	h := start(t, options{loops: 1, quiet: true})
	for range 200 {
		c := dial(t, h)
		c.say("mn\r\n")
		dial(t, h).ping() // while that is served
		c.hear("MN\r\n")
		_ = c.Close()
	}
}

// Nobody who waits for a turn waits for a loop that waits: blocked readers and pipelines beside
// clients who ask now and then.
func TestWaitingBesideSlowReaders(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := start(t, options{loops: 1, quiet: true, reqs: 1})
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
