package session

import "github.com/gomemd/gomemd/protocol"

// verbosityMax is the loudest that verbosity sets. Source: memcached's MAX_VERBOSITY_LEVEL.
const verbosityMax = 2

// flushAll serves flush_all.
func (s *Session) flushAll(req *request) Verdict {
	s.done(req.NoReply, s.w.flush(req.Exptime, req.ExptimeOK))
	return Idle
}

// flushPrefix serves flush_prefix. Later: so many are under way that this one has to wait; the others
// do not.
func (s *Session) flushPrefix(req *request) Verdict {
	var why protocol.Refusal
	if why, s.place = s.w.flushPrefix(req.Key, s.place); s.place != 0 {
		return s.serveAgain(req)
	}
	s.done(req.NoReply, why)
	return Idle
}

func (s *Session) version(*request) Verdict {
	s.w.Out.buf = protocol.AppendVersion(s.w.Out.buf, s.w.env.Version)
	return Idle
}

func (s *Session) verbosity(req *request) Verdict {
	s.w.env.Verbosity.Store(min(req.Level, verbosityMax))
	s.reply(req.NoReply, protocol.OK)
	return Idle
}

func (s *Session) quit(*request) Verdict {
	s.quits = true
	return HangUp
}

func (s *Session) noop(*request) Verdict {
	s.w.Out.buf = append(s.w.Out.buf, protocol.Noop...)
	return Idle
}

// memoryMinMB is the least that cache_memlimit sets, and memoryMaxMB what it still takes for a
// number of megabytes. Source: memcached's process_memlimit_command.
const (
	memoryMinMB = 8
	memoryMaxMB = 1_000_000_000
)

// memoryLimit serves cache_memlimit: the limit changes at once, and what is too much under it goes
// in small steps.
func (s *Session) memoryLimit(req *request) Verdict {
	s.w.turn.spend(limitWork)
	s.done(req.NoReply, s.w.env.limitMemory(req.Args()))
	return Idle
}

func (e *Env) limitMemory(args [][]byte) (why protocol.Refusal) {
	if len(args) == 0 {
		return protocol.Unknown
	}
	most := e.Rules.MemoryLimitMax
	megabytes, ok := protocol.ParseUint32(args[0])
	switch {
	case !ok:
		return protocol.Unknown
	case megabytes < memoryMinMB:
		return protocol.LimitTooSmall
	case megabytes > memoryMaxMB:
		return protocol.LimitNotMegabytes
	case most > 0 && int64(megabytes)<<20 > most, e.Store.SetLimit(int64(megabytes)<<20) != nil:
		return protocol.LimitOutOfBounds
	}
	if e.Verbosity.Load() > 0 {
		e.Logf("maxbytes adjusted to %dm\n", megabytes)
	}
	return protocol.None
}

// shutdown serves shutdown, which the owner of the server has to allow and to carry out: see Done.
// A client that is obeyed sees its connection close.
func (s *Session) shutdown(req *request) Verdict {
	env, args := s.w.env, req.Args()
	switch {
	case !env.Rules.EnableShutdown:
		s.refuse(req.NoReply, protocol.ShutdownNotEnabled)
		return Idle
	case len(args) == 0:
		env.End(false)
	case len(args) == 1 && string(args[0]) == "graceful":
		env.End(true)
	default:
		s.refuse(req.NoReply, protocol.BadShutdownMode)
		return Idle
	}
	s.quits = true
	return HangUp
}

// refreshCerts serves refresh_certs, whose reply says what is wrong with which file. memcached forgets
// the noreply here.
func (s *Session) refreshCerts(*request) Verdict {
	if s.w.env.RefreshCerts == nil {
		s.refuse(false, protocol.NoCertificates)
		return Idle
	}
	s.w.turn.spend(certsWork)
	if err := s.w.env.RefreshCerts(); err != nil {
		s.reply(false, err.Error()+"\r\n")
		return Idle
	}
	s.reply(false, protocol.OK)
	return Idle
}
