package server

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
)

// While many read large replies as fast as they can, who asks for little waits for a few of their turns, not for all of them.
// What is counted is the turns that are taken between the asking and the serving: how long they take, and who runs between
// them, is the machine's affair.
func TestLargeRepliesLeaveRoomForOthers(t *testing.T) {
	var started atomic.Pointer[Server]
	served := make(chan uint64, 1)
	srv := startServer(t, Options{Loops: 1, Verbosity: 2, Log: onLine("mn", func() { served <- started.Load().turns.Load() })})
	started.Store(srv)
	quick := dial(t, srv)
	reply := quick.fill("k", 500_000)
	const crowd, each = 20, 12
	done := make(chan bool, crowd)
	for range crowd {
		c := dial(t, srv)
		go func() {
			heard := make([]byte, len(reply))
			ask := "get" + strings.Repeat(" k", each) + "\r\n"
			for range 3 {
				_, err := c.Write([]byte(ask))
				for left := each*(len(reply)-len("END\r\n")) + len("END\r\n"); left > 0 && err == nil; {
					var n int
					n, err = c.Read(heard[:min(left, len(heard))])
					left -= n
				}
				if err != nil {
					t.Error(err)
				}
			}
			done <- true
		}()
	}
	asks, sum := 0, uint64(0)
	for left := crowd; left > 0; {
		select {
		case <-done:
			left--
		default:
			quick.say("mn\r\n")
			asked := srv.turns.Load()
			quick.hear("MN\r\n")
			asks++
			if n := <-served; n > asked { // it may be served before we look
				sum += n - asked
			}
		}
	}
	// On one processor the readers, not we, come between two turns: it is 3 at the most there in any case.
	if mean := float64(sum) / float64(max(asks, 1)); mean > 4 {
		t.Errorf("%.1f turns while a small request waits, on average of %d", mean, asks)
	}
}

// onLine calls f when a line that ends with a word is written.
func onLine(end string, f func()) io.Writer {
	return writerFunc(func(line []byte) (int, error) {
		if strings.HasSuffix(string(line), " "+end+"\n") {
			f()
		}
		return len(line), nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(line []byte) (int, error) { return f(line) }

// Who is closed while he waits for his turn holds up nobody.
func TestTurnsOfTheGone(t *testing.T) {
	srv := startServer(t, Options{Loops: 1})
	c := dial(t, srv)
	reply := c.fill("k", 500_000)
	for range 30 {
		gone := dial(t, srv)
		gone.say("get" + strings.Repeat(" k", 50) + "\r\n")
		_ = gone.Close()
	}
	for range 20 {
		c.say("get k\r\n")
		c.hear(reply)
	}
	var l *loop
	srv.loops.mu.Lock()
	for _, l = range srv.loops.loops { // there is one
	}
	srv.loops.mu.Unlock()
	eventually(t, "the line is empty", func() bool {
		l.turns.mu.Lock()
		defer l.turns.mu.Unlock()
		return len(l.turns.waiting) == 0 && l.turns.awake == 0
	})
}
