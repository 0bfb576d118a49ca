package server

import "github.com/gomemd/gomemd/internal/stats"

// Stats is everything that a server can tell of itself, at one moment.
type Stats = stats.Snapshot

// Stats takes a snapshot. It costs what a client's stats, stats gomemd and stats conns cost
// together: ask every second, not for every request.
func (srv *Server) Stats() Stats { return srv.env.Snapshot() }
