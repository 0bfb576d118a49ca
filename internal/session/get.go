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
	r := retrieval{how: how, keys: req.Keys}
	done, v := s.retrieve(&r)
	if !done {
		return s.goOnLater(&r.how, r.keys, v)
	}
	return v
}

// goOnLater keeps the keys that are still to be served. They point into a line that is about to go.
func (s *Session) goOnLater(how *lookup, keys protocol.Keys, v Verdict) Verdict {
	s.rest = &retrieval{how: *how, keys: bytes.Clone(keys)}
	s.rest.how.told = v == Later
	s.state = StateRetrieval
	return v
}

// retrieval is a multiget that waits for its next turn, or for its replies to be written.
type retrieval struct {
	how  lookup
	keys protocol.Keys
	more [][]byte // lists of keys behind these
}

// next is for when no key is left: it goes on with the next list.
func (r *retrieval) next() bool {
	if len(r.more) == 0 {
		return false
	}
	r.keys, r.more[0], r.more = r.more[0], nil, r.more[1:]
	return true
}

// kept is how many bytes it takes.
func (r *retrieval) kept() int {
	n := cap(r.keys)
	for _, keys := range r.more {
		n += cap(keys)
	}
	return n
}

// resumeRetrieval serves on where get stopped.
func (s *Session) resumeRetrieval() Verdict {
	done, v := s.retrieve(s.rest)
	if done {
		s.rest, s.state = nil, StateCommand
	} else {
		s.rest.how.told = v == Later
	}
	return v
}

// retrieve serves keys until none is left, and says so with END, until OutMax bytes of replies
// wait, until the turn's work is done (Yield), or until the store has no room to pin the next value
// (Later).
//
// The keys are served in batches whose memory is warmed together: cache misses then overlap instead
// of following one another.
func (s *Session) retrieve(r *retrieval) (done bool, _ Verdict) {
	w, how, keys := s.w, &r.how, &r.keys
	show := w.shows(how)
	for !w.turn.full(&w.Out) {
		if w.turn.tired() {
			return false, Yield
		}
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
			if r.next() {
				continue
			}
			w.Out.buf = append(w.Out.buf, protocol.End...)
			return true, Idle
		}
		w.turn.spend(n * keyWork)
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
