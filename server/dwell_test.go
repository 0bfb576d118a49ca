package server

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	if got := epollOf(pipe[0]); got != -1 {
		t.Errorf("nobody watches it, but epoll %d was found", got)
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, pipe[0], &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	if got := epollOf(pipe[0]); got != int32(epoll) {
		t.Errorf("epoll %d was found, not %d", got, epoll)
	}
}

// Clients that come, ask now and then, and go are served by loops that wait in place as they are by others: what they ask, a connection
// that is new, and what other goroutines ask of a loop, ends the wait.
func TestLoopsThatDwell(t *testing.T) {
	const loops, clients, requests = 2, 8, 200
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops + 2))
	srv := startServer(t, Options{Loops: loops})
	srv.load.Dwell.Store(true)
	big := dial(t, srv)
	reply := big.fill("big", 800_000) // sent in turns
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c := dial(t, srv)
			for j := range requests {
				switch rand.IntN(20) {
				case 0:
					c.say("quit\r\n")
					c = dial(t, srv)
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
