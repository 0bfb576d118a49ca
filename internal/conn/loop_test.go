package conn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/stats"
)

func TestEpollOfADescriptor(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range []int{epoll, pipe[0], pipe[1]} {
		defer unix.Close(fd)
	}
	if got, err := epollOf(pipe[0]); err == nil {
		t.Errorf("nobody watches it, but epoll %d was found", got)
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, pipe[0], &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	if got, err := epollOf(pipe[0]); err != nil || got != epoll {
		t.Errorf("epoll %d was found (%v), not %d", got, err, epoll)
	}
}

// Each loop has a bell of its own, and knows its epoll instance: clients are spread over all of
// them.
func TestEveryLoopHasABell(t *testing.T) {
	const loops = 5
	h := start(t, options{loops: loops})
	bells, epolls, used := map[int]bool{}, map[int]bool{}, map[*loop]bool{}
	for range 2 * loops {
		c := dial(t, h)
		c.ping()
		s := c.served()
		s.onLoop(t, func() {
			used[s.loop], bells[s.loop.bellFd], epolls[s.loop.epoll] = true, true, true
			if got, err := epollOf(s.fd); err != nil || got != s.loop.epoll {
				t.Errorf("a connection is in epoll %d (%v), its bell in %d", got, err, s.loop.epoll)
			}
		})
	}
	if len(bells) != loops || len(epolls) != loops || len(used) != loops {
		t.Errorf("%d loops with %d bells and %d epoll instances", len(used), len(bells), len(epolls))
	}
}

// What pausing counts on: gnet does not touch a registration by itself. Paused, input stays in the
// kernel, while the loop serves others, is woken, and takes connections in; resumed, it is read.
func TestGnetKeepsToItsRegistrations(t *testing.T) {
	h := start(t, options{plain: true, loops: 1})
	c, other := dial(t, h), dial(t, h)
	c.ping()
	reply := other.fill("k", 500_000)
	s := c.served()
	for round := range 5 {
		s.onLoop(t, func() {
			s.pause()
			s.set(held) // whatever wakes it now has it served: nothing may
		})
		c.say("mn\r\n")
		eventually(t, "the kernel has it", func() bool { return s.unread() == len("mn\r\n") })
		for range 20 {
			other.ping()
			other.say(strings.Repeat("get k\r\n", 2))
			other.hear(reply + reply)
			guest := dial(t, h)
			guest.ping()
			_ = guest.Close()
		}
		if n := s.unread(); n != len("mn\r\n") {
			t.Fatalf("round %d: paused, and %d bytes are left of its input", round, n)
		}
		s.onLoop(t, func() {
			s.set(reading)
			s.resume()
		})
		c.hear("MN\r\n")
		c.ping()
	}
}

// However a client goes while it is paused, its connection ends and nothing is left of it.
func TestClosingWhilePaused(t *testing.T) {
	h := start(t, options{plain: true, loops: 1})
	first := dial(t, h)
	reply := first.fill("k", 60_000)
	slow(t, h).reset()
	eventually(t, "one is there", func() bool { return h.conns.Numbers().Current == 1 })
	files := openFiles(t)
	good := first.served()
	for round := range 200 {
		switch round % 6 {
		case 0: // blocked, and a reset
			c := slow(t, h)
			c.say("get k\r\n")
			c.waits(blocked)
			c.reset()
		case 1: // blocked, and closed with replies unread: a reset too
			c := slow(t, h)
			c.say("get k\r\nget k\r\n")
			c.waits(blocked)
			_ = c.Close()
		case 2: // blocked, and the end of its input; then it reads
			c := slow(t, h)
			c.say("get k\r\n")
			c.waits(blocked)
			c.halfClose()
			c.hear(reply)
			c.hearEnd()
			_ = c.Close()
		case 3: // paused with nothing to send, and a reset: it is seen when input is read again
			c := dial(t, h)
			s := c.served()
			s.onLoop(t, s.pause)
			c.say("mn\r\n")
			c.reset()
			s.onLoop(t, func() { s.resume() })
		case 4: // paused, and the end: it is seen when input is read again
			c := dial(t, h)
			s := c.served()
			s.onLoop(t, s.pause)
			c.say("mn\r\n")
			c.halfClose()
			eventually(t, "it has come", func() bool { return s.unread() == len("mn\r\n") })
			s.onLoop(t, func() { s.resume() })
			c.hear("MN\r\n")
			c.hearEnd()
			_ = c.Close()
		case 5: // blocked, and closed by us
			c := slow(t, h)
			c.say("get k\r\n")
			c.waits(blocked).close(stoodStillMemory)
			c.hearGone()
			_ = c.Close()
		}
		eventually(t, fmt.Sprint("the client of round ", round, " is gone"), func() bool { return h.conns.Numbers().Current == 1 })
		good.onLoop(t, func() {
			if n := len(good.loop.blocked) + len(good.loop.line.waiting) - good.loop.line.first; n > 0 {
				t.Errorf("round %d: %d are blocked or in line, and gone", round, n)
			}
		})
	}
	eventually(t, "their descriptors are closed", func() bool { return openFiles(t) <= files })
	first.ping()
}

// Fifty clients send pipelines, cut anywhere, and are paused and resumed all the time, by turns
// that end, and by us. Each hears its own numbers, in order, none of them missing.
func TestPausingLosesNothing(t *testing.T) {
	const clients, pauses = 50, 4_000
	h := start(t, options{loops: 2, reqs: 2})
	var crowd []*client
	for range clients {
		crowd = append(crowd, dial(t, h))
	}
	var stop atomic.Bool
	var all sync.WaitGroup
	for i, c := range crowd {
		c.fill(fmt.Sprintf("n%02d", i), 0)
		c.say(fmt.Sprintf("set n%02d 0 0 1\r\n0\r\n", i))
		c.hear("STORED\r\n")
		all.Go(func() {
			draw := rand.New(rand.NewPCG(1, uint64(i)))
			for n := 1; !stop.Load(); {
				var said, want strings.Builder
				for range 1 + draw.IntN(30) {
					fmt.Fprintf(&said, "incr n%02d 1\r\n", i)
					fmt.Fprintf(&want, "%d\r\n", n)
					n++
				}
				text := said.String()
				cut := draw.IntN(len(text))
				if _, err := c.Write([]byte(text[:cut])); err != nil {
					t.Error(err)
					return
				}
				if err := ask(c, text[cut:], want.String()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	of := map[*loop][]*Conn{}
	for _, c := range crowd {
		s := c.served()
		of[s.loop] = append(of[s.loop], s)
	}
	// change pauses those of a loop whom it picks, and resumes the others. Who is not reading is
	// paused for a reason, or gone.
	ours := 0
	change := func(conns []*Conn, pick func() bool) {
		conns[0].onLoop(t, func() {
			for _, s := range conns {
				switch pause := pick(); {
				case s.phase() != reading:
				case pause && !s.paused:
					s.pause()
					ours++
				case !pause:
					s.resume()
				}
			}
		})
	}
	eventually(t, "all of them are paused often", func() bool {
		for range 100 {
			for _, conns := range of {
				change(conns, func() bool { return rand.IntN(3) > 0 })
			}
		}
		return ours >= pauses && h.counted(stats.ConnYields) >= pauses || t.Failed()
	})
	for _, conns := range of {
		change(conns, func() bool { return false })
	}
	stop.Store(true)
	all.Wait()
}

// Turns of the line come by the bell, also for whoever has become writable; when nobody is in line
// it is silent, and the loops sleep.
func TestTheBellIsSilentWhenNobodyIsInLine(t *testing.T) {
	h := start(t, options{loops: 1})
	c := slow(t, h)
	reply := c.fill("k", 300_000)
	s := c.served()
	for range 5 {
		c.say("get k\r\nget k\r\n")
		c.waits(blocked)
		silent := func() (yes bool) {
			s.onLoop(t, func() { yes = !s.loop.rings && s.loop.line.empty() })
			return yes
		}
		eventually(t, "a connection is blocked, and the bell is silent", func() bool { return s.phase() == blocked && silent() })
		c.hear(reply + reply)
		eventually(t, "all is sent, and the bell is silent", func() bool { return s.phase() == reading && silent() })
	}
	c.ping()
}

// The descriptor of a client who has gone while blocked is soon another's: who was blocked under it
// does not matter to the new one.
func TestDescriptorsAreUsedAgain(t *testing.T) {
	h := start(t, options{loops: 1})
	c := dial(t, h)
	reply := c.fill("k", 60_000)
	for range 100 {
		old := slow(t, h)
		old.say("get k\r\n")
		old.waits(blocked)
		old.reset()
		eventually(t, "it is gone", func() bool { return h.conns.Numbers().Current == 1 })
		y := slow(t, h) // blocked too, mostly under the same descriptor
		y.say("get k\r\n")
		y.hear(reply)
		y.ping()
		_ = y.Close()
		eventually(t, "the other is gone", func() bool { return h.conns.Numbers().Current == 1 })
	}
}
