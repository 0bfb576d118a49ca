package server

import (
	"context"

	"github.com/gomemd/gomemd/internal/stats"
)

// Stats is everything that a server can tell of itself, at one moment.
type Stats = stats.Snapshot

// HotKeys are the keys that are asked for most, by a sample.
type HotKeys = stats.HotKeys

// Stats takes a snapshot. It costs what a client's stats, stats gomemd and stats conns cost
// together: ask every second, not for every request.
func (srv *Server) Stats() Stats { return srv.env.Snapshot() }

// Brief takes a snapshot without the list of clients: however many there are, it costs the same.
func (srv *Server) Brief() Stats { return srv.env.Brief() }

// HotKeys are the keys that were asked for most in the last one to two minutes, and those whose
// values took most of what was read and written, by a sample (Options.HotKeys). What was served since
// the last tick is not in it. It shows keys, whatever Options.DisableDump says of clients.
func (srv *Server) HotKeys() HotKeys { return srv.env.HotKeys() }

// Prefix is what is held under keys that begin alike.
type Prefix = stats.Prefix

// Prefixes tells what is held, by the prefixes of keys up to the first delimiter (-D): the thousand
// that hold most bytes, then the keys without a delimiter, and all other prefixes summed up. That
// takes a walk over all items, one at a time for all who ask, so it takes a while; it may have been
// made up to five seconds ago. The list is not to be changed. -X does not forbid it: whoever has the
// Server may see keys.
func (srv *Server) Prefixes(ctx context.Context) ([]Prefix, error) { return srv.env.Prefixes(ctx) }
