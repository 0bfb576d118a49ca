package session

import (
	"time"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// kinds says which kind an Op is of. What is not named is KindOther.
var kinds = func() (of [protocol.NumOps]stats.Kind) {
	for op := range of {
		of[op] = stats.KindOther
	}
	for kind, ops := range map[stats.Kind][]protocol.Op{
		stats.KindGet: {protocol.OpGet, protocol.OpGets, protocol.OpGat, protocol.OpGats, protocol.OpMetaGet},
		stats.KindSet: {protocol.OpSet, protocol.OpAdd, protocol.OpReplace, protocol.OpAppend, protocol.OpPrepend,
			protocol.OpCas, protocol.OpMetaSet},
		stats.KindDelete: {protocol.OpDelete, protocol.OpMetaDelete},
		stats.KindCount:  {protocol.OpIncr, protocol.OpDecr, protocol.OpMetaArith},
		stats.KindTouch:  {protocol.OpTouch},
	} {
		for _, op := range ops {
			of[op] = kind
		}
	}
	return of
}()

// Time begins to take the time of what is fed. Whoever feeds the session does so now and then.
func (s *Session) Time() { s.op = protocol.OpUnknown }

// Took counts how long the command took that was served last, from when its bytes were read until its
// reply was written. Where none has been served since Time, nothing is counted.
func (s *Session) Took(took time.Duration) {
	if s.op != protocol.OpUnknown {
		s.w.times[kinds[s.op]].Add(took)
	}
}

// addTallies adds up what the workers have counted.
func (e *Env) addTallies(all *stats.Insight) {
	e.mu.Lock()
	for w := range e.workers {
		w.stored.AddTo(&all.Stored)
		w.ttls.AddTo(&all.TTL)
		for k := range w.times {
			w.times[k].AddTo(&all.Latency[k])
		}
	}
	e.mu.Unlock()
	all.Ended, all.Warnings = e.Store.Ended(), e.warnings.all()
}

// resetTallies starts its part of that over (stats reset).
func (w *Worker) resetTallies() {
	w.stored.Reset()
	w.ttls.Reset()
	for k := range w.times {
		w.times[k].Reset()
	}
}
