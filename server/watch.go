package server

import (
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/protocol"
)

// watch turns a connection into a watcher: from then on it hears what happens in the server, a line each, and what it says
// is not heard. It answers OK; lines follow when that has been written.
func (s *session) watch(req *request) verdict {
	w := s.w
	wants, known := events.Named(req.Args())
	switch {
	case w.srv.opts.DisableWatch:
		s.reply(false, string(protocol.WatchNotAllowed))
	case len(w.out) > 0:
		s.reply(false, string(protocol.WatchPipelined))
	case !known:
		s.reply(false, string(protocol.Unknown))
	default:
		if s.watcher = w.srv.hub.Add(wants, s.onLines); s.watcher == nil {
			s.reply(false, string(protocol.TooManyWatchers))
			return idle
		}
		s.state = stateWatch
		s.reply(false, protocol.OK)
	}
	return idle
}

// detail serves stats detail.
func (s *session) detail(args [][]byte) {
	w, word := s.w, ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch {
	case w.srv.opts.DisableDump:
		s.reply(false, string(protocol.DetailNotAllowed))
	case word == "on", word == "off":
		w.srv.hub.SetDetail(word == "on")
		w.events.Look(s.fd) // for what follows in this read event
		s.reply(false, protocol.OK)
	case word == "dump":
		w.out = w.srv.hub.AppendDetail(w.out)
	default:
		s.reply(false, string(protocol.DetailUsage))
	}
}
