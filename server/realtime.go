//go:build !debugtime

package server

import (
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
)

// timeAhead: the clock cannot be moved (debugtime.go).
type timeAhead struct{}

// setClock sets the clock to the second that it is.
func (srv *Server) setClock() {
	srv.clock.Set(srv.clock.Started() + expiry.Instant(time.Since(srv.started)/time.Second))
}

// debugTime knows no such command.
func (s *session) debugTime(req *request) verdict {
	s.reply(req.NoReply, string(protocol.Unknown))
	return idle
}
