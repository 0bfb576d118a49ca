package session

import (
	"time"

	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

const (
	lineBytes = 25 // of a line of statistics, about
	sizeBytes = 32 // of the sizes of items that are counted together
)

// stats serves the statistics.
func (s *Session) stats(req *request) Verdict {
	w, args, word := s.w, req.Args(), ""
	if len(args) > 0 {
		word = string(args[0])
	}
	defer w.spendLines(len(w.Out.buf))
	switch word {
	case "reset":
		s.resetStats()
		w.Out.buf = append(w.Out.buf, protocol.Reset...)
	case "conns":
		s.clients, s.state = w.env.Clients(), StateClients
	case "detail":
		s.detail(args[1:])
	case "prefixes":
		return s.prefixes()
	case "cachedump":
		s.cachedump(args[1:])
	case "hotkeys":
		if why := s.hotKeys(); why != protocol.None {
			s.refuse(false, why)
			break
		}
		w.Out.buf = append(w.Out.buf, protocol.End...)
	default:
		if !s.appendStats(word) {
			s.refuse(false, protocol.Unknown)
			break
		}
		w.Out.buf = append(w.Out.buf, protocol.End...)
	}
	return Idle
}

// appendStats appends the STAT lines of what is made at once, without END, or finds that there is
// no such thing.
func (s *Session) appendStats(word string) (known bool) {
	w, env := s.w, s.w.env
	switch word {
	case "":
		s.report(stats.AppendGeneral)
	case "settings":
		s.report(stats.AppendSettings)
	case "items":
		s.report(stats.AppendItems)
	case "slabs":
		s.report(stats.AppendSlabs)
	case "gomemd":
		s.report(func(out []byte, all *stats.Snapshot) []byte {
			w.turn.spend(shardsWork + systemWork)
			all.Memory = env.memory(&all.Store)
			env.addSampled(&all.Insight)
			return stats.AppendOwn(out, all)
		})
	case "sizes":
		if env.Settings.TrackSizes {
			w.turn.spend(env.Rules.ItemMax / sizeBytes)
		}
		w.Out.buf = stats.AppendSizes(w.Out.buf, env.Settings.TrackSizes, env.Store.Sizes)
	default:
		return false
	}
	return true
}

// spendLines is called when statistics have been appended, from begin on.
func (w *Worker) spendLines(begin int) {
	w.turn.spend((len(w.Out.buf) - begin) / lineBytes * lineWork)
}

// resetStats serves stats reset.
func (s *Session) resetStats() {
	s.w.turn.spend(shardsWork)
	s.w.Counters.Publish() // what came before is reset too
	s.w.env.resetStats()
}

// resumeClients goes on with stats conns: there may be many.
func (s *Session) resumeClients() Verdict {
	w := s.w
	for !w.turn.full(&w.Out) {
		if w.turn.tired() {
			return Yield
		}
		c, ok := s.clients()
		if !ok {
			w.Out.buf = append(w.Out.buf, protocol.End...)
			s.clients, s.state = nil, StateCommand
			return Idle
		}
		w.turn.spend(clientWork)
		w.Out.buf = stats.AppendConn(w.Out.buf, &c, s.fd)
	}
	return Idle
}

// report appends STAT lines made of a snapshot.
func (s *Session) report(lines func([]byte, *stats.Snapshot) []byte) {
	w := s.w
	w.turn.spend(shardsWork)
	w.Counters.Publish() // the commands before this one on its own connection are counted in it
	all := w.env.snapshot()
	w.Out.buf = lines(w.Out.buf, &all)
}

// Brief is everything that can be told of the server now, but the list of clients.
func (e *Env) Brief() stats.Snapshot {
	all := e.snapshot()
	all.Memory = e.memory(&all.Store)
	e.addTallies(&all.Insight)
	e.addSampled(&all.Insight)
	return all
}

// Snapshot is everything that can be told of the server now.
func (e *Env) Snapshot() stats.Snapshot {
	all := e.Brief()
	next := e.Clients()
	for c, ok := next(); ok; c, ok = next() {
		all.Clients = append(all.Clients, c)
	}
	return all
}

// snapshot is Snapshot without the memory, the insight and the list of clients.
func (e *Env) snapshot() stats.Snapshot {
	sums, now := e.Sums(), e.Clock.Now()
	all := stats.Snapshot{
		Process: stats.ThisProcess(), Served: sums.Served(), Store: e.Store.Stats(), Restored: e.Store.Restored(),
		Conns: e.Conns(), Watch: e.Hub.Stats(), Settings: e.Settings,
		Crawler: stats.Crawler{On: !e.CrawlerOff.Load(), Running: e.dumping.Load(), Starts: e.dumps.Load()},
	}
	all.Process.Version, all.Process.EventLoop = e.Version, e.EventLoop
	all.Process.Uptime, all.Process.Time = uint64(max(now-e.Clock.Started(), 1)), e.Clock.Unix(now)
	all.Settings.Verbosity, all.Settings.StatsDetail = e.Verbosity.Load(), e.Hub.Wanted()&events.Prefixes != 0
	all.Settings.Tuned = e.tuning.all()
	if e.CertsRead != nil {
		all.CertAge = uint64(time.Since(e.CertsRead()) / time.Second)
	}
	all.Insight.Prefixing = e.Store.Prefixing()
	if e.LogDropped != nil {
		all.LogDropped = e.LogDropped()
	}
	return all
}

// memory is where the memory of the process is.
func (e *Env) memory(store *storage.Stats) stats.Memory {
	return stats.TakeMemory(store.HeldBytes, e.HeldByClients())
}

// resetStats starts the counters over; what is a state rather than a count stays.
func (e *Env) resetStats() {
	e.mu.Lock()
	for w := range e.workers {
		w.Counters.Reset()
		w.resetTallies()
	}
	e.mu.Unlock()
	e.Late.Reset()
	e.Hub.ResetStats()
	e.ResetConns()
	e.Store.ResetStats()
	if e.Insight != nil {
		e.Insight.Reset()
	}
}
