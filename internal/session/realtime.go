//go:build !debugtime

package session

import (
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
)

// timeAhead: the clock cannot be moved (debugtime.go).
type timeAhead struct{}

// SetClock sets the clock to the second that it is.
func (e *Env) SetClock() {
	e.Clock.Set(e.Clock.Started() + expiry.Instant(time.Since(e.Started)/time.Second))
}

// debugTime knows no such command.
func (s *Session) debugTime(req *request) Verdict {
	s.refuse(req.NoReply, protocol.Unknown)
	return Idle
}
