//go:build debugtime

package session

import (
	"sync"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
)

// debugtime moves the clock, for test-suites that travel in time:
//
//	debugtime <n>    n seconds go by, or come back
//	debugtime p      the clock is paused
//	debugtime r      it runs on, from where it would be
//
// It is a danger to every item there is, so only a server built with the tag debugtime knows it.

// timeAhead is how far the clock has been moved.
type timeAhead struct {
	mu      sync.Mutex
	seconds int64
	paused  bool
}

// SetClock sets the clock to the second that it is, and as many more as were asked for.
func (e *Env) SetClock() {
	a := &e.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.paused {
		e.moveClock()
	}
}

func (e *Env) moveClock() {
	now := int64(e.Clock.Started()) + int64(time.Since(e.Started)/time.Second) + e.ahead.seconds
	e.Clock.Set(expiry.Instant(max(now, int64(expiry.Start))))
}

func (s *Session) debugTime(req *request) Verdict {
	s.done(req.NoReply, s.w.env.travel(req.Args()))
	return Idle
}

func (e *Env) travel(args [][]byte) (why protocol.Refusal) {
	if len(args) == 0 {
		return protocol.Unknown
	}
	a := &e.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	switch string(args[0]) {
	case "p":
		a.paused = true
	case "r":
		a.paused = false
	default:
		n, ok := protocol.ParseInt32(args[0])
		if !ok {
			return protocol.Unknown
		}
		a.seconds += int64(n)
		e.moveClock()
	}
	return protocol.None
}
