package server

import (
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

func (s *session) incr(req *protocol.Request) verdict {
	n, status := s.w.store.Incr(storage.Hash(req.Key), req.Key, req.Delta)
	return s.counted(req, n, status, incrHits, incrMisses)
}

func (s *session) decr(req *protocol.Request) verdict {
	n, status := s.w.store.Decr(storage.Hash(req.Key), req.Key, req.Delta)
	return s.counted(req, n, status, decrHits, decrMisses)
}

// counted answers incr and decr.
func (s *session) counted(req *protocol.Request, n uint64, status storage.Status, hits, misses counter) verdict {
	switch status {
	case storage.Stored:
		s.w.tally.add(hits, 1)
		if !req.NoReply {
			s.w.out = protocol.AppendNumber(s.w.out, n)
		}
	case storage.NotFound:
		s.w.tally.add(misses, 1)
		s.reply(req.NoReply, protocol.NotFound)
	case storage.NotNumber:
		s.reply(req.NoReply, string(protocol.NotNumber))
	default:
		s.reply(req.NoReply, string(protocol.OutOfMemoryIncr))
	}
	return idle
}

func (s *session) touch(req *protocol.Request) verdict {
	w := s.w
	hit := w.store.TouchView(storage.Hash(req.Key), req.Key, w.clock.Deadline(req.Exptime), false, nil)
	w.tally.add(cmdTouch, 1)
	w.tally.hitOrMiss(hit, touchHits, touchMisses)
	return s.foundOrNot(req, hit, protocol.Touched)
}

func (s *session) delete(req *protocol.Request) verdict {
	hit := s.w.store.Delete(storage.Hash(req.Key), req.Key)
	s.w.tally.hitOrMiss(hit, deleteHits, deleteMisses)
	return s.foundOrNot(req, hit, protocol.Deleted)
}

func (s *session) foundOrNot(req *protocol.Request, found bool, line string) verdict {
	if !found {
		line = protocol.NotFound
	}
	s.reply(req.NoReply, line)
	return idle
}
