package conn

import (
	"context"
	"slices"
	"time"
)

// Drain closes each connection at a moment when nothing is asked on it, those first that have been
// quiet the longest. They go one after the other over half of the time that the context gives, or
// faster when they are few, because clients that lose their server all at once come to another one
// all at once. It returns when all are gone or the context is done.
//
//	between two commands                         closed when its turn has come
//	in the middle of a command, or of replies    closed after that
func (cs *Conns) Drain(ctx context.Context) {
	cs.StopAccepting()
	cs.end() // who shakes hands has asked nothing
	pace := leavePace
	if deadline, ok := ctx.Deadline(); ok {
		pace = max(1, min(pace, time.Until(deadline)/2/time.Duration(max(1, cs.current.Load()))))
	}
	start, asked := time.Now(), 0 // before the ticker: no turn comes earlier
	turn := time.NewTicker(leavePace)
	defer turn.Stop()
	for cs.current.Load() > 0 {
		select {
		case <-ctx.Done():
			cs.env.Warn("%d clients are still there: the time for a graceful end (--drain-timeout) is over\n", cs.current.Load())
			return
		case <-cs.stop:
			return
		case now := <-turn.C:
			asked += cs.leaving(int(now.Sub(start)/pace) - asked)
		}
	}
}

// leavePace is how long Drain waits between two connections when it has the time: a hundred are
// gone in a second.
const leavePace = 10 * time.Millisecond

// leaving asks up to n more clients to go, those first that have been quiet the longest, and counts
// them. One that is in the middle of something goes by itself when that is done. A negative n is
// nobody: a turn is only as exact as the clock.
func (cs *Conns) leaving(n int) int {
	list := slices.DeleteFunc(cs.list(), func(c *Conn) bool { return c.leave.Load() })
	slices.SortStableFunc(list, func(a, b *Conn) int { return int(a.moved()) - int(b.moved()) })
	list = list[:min(max(n, 0), len(list))]
	for _, c := range list {
		c.leave.Store(true)
		c.wake()
	}
	return len(list)
}

// mayLeave tells, on its loop, whether this is the moment to close a connection: nothing of a
// command has come, and all replies are sent. What the system has received and we have not read
// counts as come.
func (c *Conn) mayLeave() bool {
	return c.leave.Load() && c.BetweenCommands() && c.left() == 0 && c.unread() == 0
}
