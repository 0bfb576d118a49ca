package server

import (
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

func (s *session) incr(req *request) verdict {
	n, status := s.w.store.Incr(req.hash, req.Key, req.Delta)
	return s.counted(req, n, status, stats.IncrHits, stats.IncrMisses)
}

func (s *session) decr(req *request) verdict {
	n, status := s.w.store.Decr(req.hash, req.Key, req.Delta)
	return s.counted(req, n, status, stats.DecrHits, stats.DecrMisses)
}

// counted answers incr and decr.
func (s *session) counted(req *request, n uint64, status storage.Status, hits, misses stats.Counter) verdict {
	switch status {
	case storage.Stored:
		s.w.counters.Add(hits, 1)
		if !req.NoReply {
			s.w.out = protocol.AppendNumber(s.w.out, n)
		}
	case storage.NotFound:
		s.w.counters.Add(misses, 1)
		s.reply(req.NoReply, protocol.NotFound)
	case storage.NotNumber:
		s.reply(req.NoReply, string(protocol.NotNumber))
	default:
		s.reply(req.NoReply, string(protocol.OutOfMemoryIncr))
	}
	return idle
}

func (s *session) touch(req *request) verdict {
	w := s.w
	hit := w.store.TouchView(req.hash, req.Key, w.clock.Deadline(req.Exptime), false, nil)
	w.counters.Add(stats.CmdTouch, 1)
	w.counters.HitOrMiss(hit, stats.TouchHits, stats.TouchMisses)
	return s.foundOrNot(req, hit, protocol.Touched)
}

func (s *session) delete(req *request) verdict {
	hit := s.w.store.Delete(req.hash, req.Key)
	s.w.counters.HitOrMiss(hit, stats.DeleteHits, stats.DeleteMisses)
	if hit && s.w.events.Watched&events.Deletions != 0 {
		s.w.events.Deleted("delete", req.Key, false)
	}
	return s.foundOrNot(req, hit, protocol.Deleted)
}

func (s *session) foundOrNot(req *request, found bool, line string) verdict {
	if !found {
		line = protocol.NotFound
	}
	s.reply(req.NoReply, line)
	return idle
}
