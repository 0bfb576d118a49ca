package server

import (
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// stats serves the statistics.
func (s *session) stats(req *request) verdict {
	srv, args, word := s.w.srv, req.Args(), ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch word {
	case "":
		s.report(stats.AppendGeneral)
	case "reset":
		srv.resetStats()
		s.w.out = append(s.w.out, protocol.Reset...)
	case "settings":
		s.report(stats.AppendSettings)
	case "items":
		s.report(stats.AppendItems)
	case "slabs":
		s.report(stats.AppendSlabs)
	case "gomemd":
		s.report(func(out []byte, all *stats.Snapshot) []byte {
			all.Memory = srv.memory()
			return stats.AppendOwn(out, all)
		})
	case "conns":
		s.w.out = append(stats.AppendConns(s.w.out, srv.clients(), s.fd), protocol.End...)
	case "sizes":
		s.w.out = append(stats.AppendSizes(s.w.out, srv.opts.TrackSizes, srv.store.Sizes), protocol.End...)
	case "detail":
		s.detail(args[1:])
	case "cachedump":
		s.cachedump(args[1:])
	default:
		s.w.out = append(s.w.out, protocol.Unknown...)
	}
	return idle
}

// report answers with STAT lines made of a snapshot.
func (s *session) report(lines func([]byte, *stats.Snapshot) []byte) {
	s.w.counters.Publish() // the commands before this one on its own connection are counted in it
	all := s.w.srv.snapshot()
	s.w.out = append(lines(s.w.out, &all), protocol.End...)
}

// Stats is a snapshot of everything that a server can tell of itself.
type Stats = stats.Snapshot

// Stats takes a snapshot.
func (srv *Server) Stats() Stats {
	all := srv.snapshot()
	all.Memory, all.Clients = srv.memory(), srv.clients()
	return all
}

// snapshot is Stats without the memory and the list of clients.
func (srv *Server) snapshot() stats.Snapshot {
	sums, now := srv.counters(), srv.clock.Now()
	all := stats.Snapshot{
		Process: stats.ThisProcess(), Served: sums.Served(), Store: srv.store.Stats(), Restored: srv.store.Restored(),
		Conns: srv.conns.numbers(), Watch: srv.hub.Stats(), Settings: srv.opts.settings(),
		Crawler: stats.Crawler{On: !srv.crawlerOff.Load(), Running: srv.dumping.Load(), Starts: srv.dumps.Load()},
	}
	all.Process.Version, all.Process.EventLoop = versionText, eventLoopText
	all.Process.Uptime, all.Process.Time = uint64(max(now-srv.clock.Started(), 1)), srv.clock.Unix(now)
	all.Settings.Verbosity, all.Settings.StatsDetail = srv.verbosity.Load(), srv.hub.Wanted()&events.Prefixes != 0
	all.Settings.Tuned = srv.tuning.all()
	return all
}

// memory is where the memory of the process is.
func (srv *Server) memory() stats.Memory {
	waiting, _ := srv.conns.budget.total()
	return stats.TakeMemory(srv.store.Stats().HeldBytes, uint64(waiting))
}

// counters sums what the loops have counted.
func (srv *Server) counters() (sum stats.Sums) {
	for _, w := range srv.allWorkers() {
		w.counters.AddTo(&sum)
	}
	srv.late.AddTo(&sum)
	return sum
}

// resetStats starts the counters over; what is a state rather than a count stays.
func (srv *Server) resetStats() {
	for _, w := range srv.allWorkers() {
		w.counters.Reset()
	}
	srv.late.Reset()
	srv.hub.ResetStats()
	srv.conns.total.Store(0)
	srv.conns.rejected.Store(0)
	srv.store.ResetStats()
}
