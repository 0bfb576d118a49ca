package session

import (
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/protocol"
)

// watch turns a connection into a watcher: from then on it hears what happens in the server, a line
// each, and what it says is not heard. It answers OK; lines follow when that has been written.
func (s *Session) watch(req *request) Verdict {
	w := s.w
	wants, known := events.Named(req.Args())
	switch {
	case w.env.Rules.DisableWatch, w.Datagrams:
		s.refuse(false, protocol.WatchNotAllowed)
	case len(w.Out.buf) > 0:
		s.refuse(false, protocol.WatchPipelined)
	case !known:
		s.refuse(false, protocol.Unknown)
	default:
		if s.watcher = w.env.Hub.Add(wants, s.wake); s.watcher == nil {
			s.refuse(false, protocol.TooManyWatchers)
			return Idle
		}
		s.state = StateWatch
		s.reply(false, protocol.OK)
	}
	return Idle
}

// lines takes what there is to tell a client who watches.
func (s *Session) lines() { s.w.Out.buf = append(s.w.Out.buf, s.watcher.Take(nil)...) }

// detail serves stats detail.
func (s *Session) detail(args [][]byte) {
	w, word := s.w, ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch {
	case w.env.Rules.DisableDump:
		s.refuse(false, protocol.DetailNotAllowed)
	case word == "on", word == "off":
		s.setDetail(word == "on")
		s.reply(false, protocol.OK)
	case word == "dump":
		w.Out.buf = w.env.Hub.AppendDetail(w.Out.buf)
	default:
		s.refuse(false, protocol.DetailUsage)
	}
}

// setDetail turns stats detail on or off.
func (s *Session) setDetail(on bool) {
	s.w.env.Hub.SetDetail(on)
	s.w.Events.Look(s.fd) // for what follows in this read event
}
