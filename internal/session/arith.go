package session

import (
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

func (s *Session) incr(req *request) Verdict {
	n, status := s.w.store.Incr(req.hash, req.Key, req.Delta)
	return s.counted(req, n, status, stats.IncrHits, stats.IncrMisses)
}

func (s *Session) decr(req *request) Verdict {
	n, status := s.w.store.Decr(req.hash, req.Key, req.Delta)
	return s.counted(req, n, status, stats.DecrHits, stats.DecrMisses)
}

// counted answers incr and decr.
func (s *Session) counted(req *request, n uint64, status storage.Status, hits, misses stats.Counter) Verdict {
	switch status {
	case storage.Stored:
		s.w.Counters.Add(hits, 1)
		if !req.NoReply {
			s.w.Out.buf = protocol.AppendNumber(s.w.Out.buf, n)
		}
	case storage.NotFound:
		s.w.Counters.Add(misses, 1)
		s.reply(req.NoReply, protocol.NotFound)
	case storage.NotNumber:
		s.refuse(req.NoReply, protocol.NotNumber)
	default:
		s.refuse(req.NoReply, protocol.OutOfMemoryIncr)
	}
	return Idle
}

func (s *Session) touch(req *request) Verdict {
	w := s.w
	hit := w.store.TouchView(req.hash, req.Key, w.clock.Deadline(req.Exptime), false, nil)
	w.Counters.Add(stats.CmdTouch, 1)
	w.Counters.HitOrMiss(hit, stats.TouchHits, stats.TouchMisses)
	return s.foundOrNot(req, hit, protocol.Touched)
}

func (s *Session) delete(req *request) Verdict {
	hit := s.w.store.Delete(req.hash, req.Key)
	s.w.Counters.HitOrMiss(hit, stats.DeleteHits, stats.DeleteMisses)
	if hit && s.w.Events.Watched&events.Deletions != 0 {
		s.w.Events.Deleted("delete", req.Key, false)
	}
	return s.foundOrNot(req, hit, protocol.Deleted)
}

func (s *Session) foundOrNot(req *request, found bool, line string) Verdict {
	if !found {
		line = protocol.NotFound
	}
	s.reply(req.NoReply, line)
	return Idle
}
