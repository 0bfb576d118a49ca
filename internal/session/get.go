package session

import (
	"bytes"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// get serves get, gets, gat and gats: a VALUE for each key that hits, then END.
func (s *Session) get(req *request) Verdict {
	w := s.w
	deadline := expiry.Never
	if req.Op.Touches() {
		deadline = w.clock.Deadline(req.Exptime)
	}
	if req.Lone { // the usual case, and its hash is known
		w.fetch(req.Op, req.hash, req.Key, deadline)
		w.Out.buf = append(w.Out.buf, protocol.End...)
		return Idle
	}
	if !w.retrieve(req.Op, deadline, &req.Keys) {
		// The keys point into a line that is about to go.
		s.rest = &retrieval{req.Op, deadline, bytes.Clone(req.Keys)}
		s.state = StateRetrieval
	}
	return Idle
}

// retrieval is a multiget that waits for its replies to be written.
type retrieval struct {
	op       protocol.Op
	deadline expiry.Instant
	keys     protocol.Keys
}

// resumeRetrieval serves on where get stopped.
func (s *Session) resumeRetrieval() {
	if s.w.retrieve(s.rest.op, s.rest.deadline, &s.rest.keys) {
		s.rest, s.state = nil, StateCommand
	}
}

// retrieve serves keys until none is left, and says so with END, or until OutMax bytes of replies wait.
//
// The keys are served in batches whose memory is warmed together: cache misses then overlap instead of following one another.
func (w *Worker) retrieve(op protocol.Op, deadline expiry.Instant, keys *protocol.Keys) (done bool) {
	for !w.turn.full() {
		batch, n := *keys, 0
		for n < batchMax {
			key := keys.Next()
			if len(key) == 0 {
				break
			}
			w.keys[n], w.hashes[n] = key, storage.Hash(key)
			n++
		}
		if n == 0 {
			w.Out.buf = append(w.Out.buf, protocol.End...)
			return true
		}
		w.store.Warm(w.hashes[:n])
		for i := range n {
			if w.turn.full() {
				*keys = batch.After(i)
				return false
			}
			w.fetch(op, w.hashes[i], w.keys[i], deadline)
		}
	}
	return false
}

// fetch looks one key up and appends its VALUE.
func (w *Worker) fetch(op protocol.Op, hash uint64, key []byte, deadline expiry.Instant) {
	if w.Events.Watched != 0 {
		w.Events.Fetched(hash, key)
	}
	if op.Touches() {
		visit := w.appendValue
		if op == protocol.OpGats {
			visit = w.appendUnique
		}
		hit := w.store.TouchView(hash, key, deadline, op == protocol.OpGats, visit)
		w.Counters.Add(stats.CmdTouch, 1)
		w.Counters.HitOrMiss(hit, stats.TouchHits, stats.TouchMisses)
		return
	}
	var hit bool
	if op == protocol.OpGets {
		hit = w.store.ViewUnique(hash, key, w.appendUnique)
	} else {
		hit = w.store.View(hash, key, w.appendValue)
	}
	w.Counters.Add(stats.CmdGet, 1)
	w.Counters.HitOrMiss(hit, stats.GetHits, stats.GetMisses)
}

func (w *Worker) appendValue(it storage.Item) {
	w.Out.buf = protocol.AppendValueHead(w.Out.buf, it.Key, it.Flags, it.Len(), nil)
	w.Out.appendValueOf(&it)
	w.Out.buf = protocol.AppendValueEnd(w.Out.buf)
}

func (w *Worker) appendUnique(it storage.Item) {
	w.Out.buf = protocol.AppendValueHead(w.Out.buf, it.Key, it.Flags, it.Len(), &it.Unique)
	w.Out.appendValueOf(&it)
	w.Out.buf = protocol.AppendValueEnd(w.Out.buf)
}
