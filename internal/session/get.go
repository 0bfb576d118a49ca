package session

import (
	"bytes"

	"github.com/gomemd/gomemd/protocol"
)

// get serves get, gets, gat and gats: a VALUE for each key that hits, then END.
func (s *Session) get(req *request) Verdict {
	w := s.w
	how := lookup{unique: req.Op == protocol.OpGets || req.Op == protocol.OpGats}
	if how.touch = req.Op.Touches(); how.touch {
		how.deadline = w.clock.Deadline(req.Exptime)
	}
	if req.Lone { // the usual case, and its hash is known
		if w.fetch(req.hash, req.Key, &how, w.shows(&how)); w.later {
			return s.goOnLater(&how, req.Keys, Later)
		}
		w.Out.buf = append(w.Out.buf, protocol.End...)
		return Idle
	}
	done, v := s.retrieve(&how, &req.Keys)
	if !done {
		return s.goOnLater(&how, req.Keys, v)
	}
	return v
}

// goOnLater keeps the keys that are still to be served. They point into a line that is about to go.
func (s *Session) goOnLater(how *lookup, keys protocol.Keys, v Verdict) Verdict {
	s.rest = &retrieval{*how, bytes.Clone(keys)}
	s.rest.how.told = v == Later
	s.state = StateRetrieval
	return v
}

// retrieval is a multiget that waits for its replies to be written.
type retrieval struct {
	how  lookup
	keys protocol.Keys
}

// resumeRetrieval serves on where get stopped.
func (s *Session) resumeRetrieval() Verdict {
	done, v := s.retrieve(&s.rest.how, &s.rest.keys)
	if done {
		s.rest, s.state = nil, StateCommand
	} else {
		s.rest.how.told = v == Later
	}
	return v
}

// retrieve serves keys until none is left, and says so with END, until OutMax bytes of replies
// wait, or until the store has no room to pin the next value (Later).
//
// The keys are served in batches whose memory is warmed together: cache misses then overlap instead
// of following one another.
func (s *Session) retrieve(how *lookup, keys *protocol.Keys) (done bool, _ Verdict) {
	w := s.w
	show := w.shows(how)
	for !w.turn.full(&w.Out) {
		batch, n := *keys, 0
		for n < batchMax {
			key := keys.Next()
			if len(key) == 0 {
				break
			}
			w.keys[n], w.hashes[n] = key, w.store.Hash(key)
			n++
		}
		if n == 0 {
			w.Out.buf = append(w.Out.buf, protocol.End...)
			return true, Idle
		}
		w.store.Warm(w.hashes[:n])
		for i := range n {
			if w.turn.full(&w.Out) {
				*keys = batch.After(i)
				return false, Idle
			}
			if w.fetch(w.hashes[i], w.keys[i], how, show); w.later {
				*keys = batch.After(i)
				return false, Later
			}
		}
	}
	return false, Idle
}
