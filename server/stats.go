package server

import "github.com/gomemd/gomemd/internal/stats"

// Stats is everything that a server can tell of itself, at one moment.
type Stats = stats.Snapshot

// Stats takes a snapshot. It costs what a client's stats, stats gomemd and stats conns cost
// together: ask every second, not for every request.
func (srv *Server) Stats() Stats { return srv.env.Snapshot() }

// HotKeys are keys that were asked for often.
type HotKeys = stats.HotKeys

// HotKeys are the keys that were asked for most in the last one to two minutes, and those whose
// values took most of what was read and written, by a sample (Options.HotKeys). What was served since
// the last tick is not in it. It shows keys, whatever Options.DisableDump says of clients.
func (srv *Server) HotKeys() HotKeys { return srv.env.HotKeys() }
