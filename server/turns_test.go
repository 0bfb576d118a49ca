package server

import (
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/invariants"
)

// While many read large replies as fast as they can, who asks for little waits for a few of their turns, not for all of them.
func TestLargeRepliesLeaveRoomForOthers(t *testing.T) {
	srv := startServer(t, Options{Loops: 1})
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
	var waits []time.Duration
	for left := crowd; left > 0; {
		select {
		case <-done:
			left--
		default:
			start := time.Now()
			quick.say("mn\r\n")
			quick.hear("MN\r\n")
			waits = append(waits, time.Since(start))
		}
	}
	if len(waits) < 20 && !invariants.Enabled { // the race detector slows the readers, which are in this very process, not the server alone
		t.Errorf("only %d answers while %d MB were read", len(waits), crowd*each*3/2)
	}
	t.Logf("%d answers", len(waits))
}

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
	w := srv.allWorkers()[0]
	eventually(t, "the line is empty", func() bool {
		w.turns.mu.Lock()
		defer w.turns.mu.Unlock()
		return len(w.turns.waiting) == 0 && w.turns.awake == 0
	})
}
