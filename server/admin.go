package server

import (
	"math"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
)

// verbosityMax is the loudest that verbosity sets. Source: memcached's MAX_VERBOSITY_LEVEL.
const verbosityMax = 2

// flushAll ends everything stored until now, or until the delay is over.
func (s *session) flushAll(req *request) verdict {
	w := s.w
	w.tally.add(cmdFlush, 1)
	if w.srv.opts.DisableFlush {
		s.reply(req.NoReply, string(protocol.FlushNotAllowed))
		return idle
	}
	if !req.ExptimeOK {
		s.reply(req.NoReply, string(protocol.BadExptime))
		return idle
	}
	w.store.FlushAll(w.flushTime(req.Exptime))
	s.reply(req.NoReply, protocol.OK)
	return idle
}

// flushTime is when a flush_all with this delay takes effect; Never is at once. memcached takes a second off, so that a
// delay of 1 is none. And a date from before the server's start finds nothing that old: all it does is to replace a flush
// that was due.
func (w *worker) flushTime(delay int32) expiry.Instant {
	if delay <= 0 {
		return expiry.Never
	}
	deadline := w.clock.Deadline(delay)
	if deadline == expiry.Past {
		return math.MaxUint32
	}
	return deadline - 1
}

func (s *session) version(*request) verdict {
	s.w.out = protocol.AppendVersion(s.w.out, versionText)
	return idle
}

func (s *session) verbosity(req *request) verdict {
	s.w.srv.verbosity.Store(min(req.Level, verbosityMax))
	s.reply(req.NoReply, protocol.OK)
	return idle
}

func (s *session) quit(*request) verdict { return hangUp }

func (s *session) noop(*request) verdict {
	s.w.out = append(s.w.out, protocol.Noop...)
	return idle
}
