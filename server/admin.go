package server

import (
	"math"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// verbosityMax is the loudest that verbosity sets. Source: memcached's MAX_VERBOSITY_LEVEL.
const verbosityMax = 2

// flushAll ends everything stored until now, or until the delay is over.
func (s *session) flushAll(req *request) verdict {
	w := s.w
	w.counters.Add(stats.CmdFlush, 1)
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

func (s *session) quit(*request) verdict {
	s.quits = true
	return hangUp
}

func (s *session) noop(*request) verdict {
	s.w.out = append(s.w.out, protocol.Noop...)
	return idle
}

// memoryMinMB is the least that cache_memlimit sets, and memoryMaxMB what it still takes for a number of megabytes. Source:
// memcached's process_memlimit_command.
const (
	memoryMinMB = 8
	memoryMaxMB = 1_000_000_000
)

// memoryLimit serves cache_memlimit: the limit changes at once, and what is too much under it goes in small steps.
func (s *session) memoryLimit(req *request) verdict {
	s.reply(req.NoReply, s.w.srv.limitMemory(req.Args()))
	return idle
}

func (srv *Server) limitMemory(args [][]byte) (answer string) {
	if len(args) == 0 {
		return string(protocol.Unknown)
	}
	most := srv.opts.MemoryLimitMax
	megabytes, ok := protocol.ParseUint32(args[0])
	switch {
	case !ok:
		return string(protocol.Unknown)
	case megabytes < memoryMinMB:
		return string(protocol.LimitTooSmall)
	case megabytes > memoryMaxMB:
		return string(protocol.LimitNotMegabytes)
	case most > 0 && int64(megabytes)<<20 > most, srv.store.SetLimit(int64(megabytes)<<20) != nil:
		return string(protocol.LimitOutOfBounds)
	}
	if srv.verbosity.Load() > 0 {
		srv.logf("maxbytes adjusted to %dm\n", megabytes)
	}
	return protocol.OK
}

// shutdown serves shutdown, which the owner of the server has to allow and to carry out: see Done. A client that is obeyed
// sees its connection close.
func (s *session) shutdown(req *request) verdict {
	srv, args := s.w.srv, req.Args()
	switch {
	case !srv.opts.EnableShutdown:
		s.reply(req.NoReply, string(protocol.ShutdownNotEnabled))
		return idle
	case len(args) == 0:
		srv.end(ErrShutdown)
	case len(args) == 1 && string(args[0]) == "graceful":
		srv.end(ErrShutdownGraceful)
	default:
		s.reply(req.NoReply, string(protocol.BadShutdownMode))
		return idle
	}
	return hangUp
}

// refreshCerts serves refresh_certs. There is no TLS yet, and so no certificate.
func (s *session) refreshCerts(*request) verdict {
	s.reply(false, string(protocol.NoCertificates)) // memcached forgets the noreply here
	return idle
}
