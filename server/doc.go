// Package server is where connections meet the conversation (internal/session), and gnet meets
// both. It can be run in-process, by a test or by a program that wants a cache of its own: [Start]
// a server with [Options], ask its [Server.Addrs] and [Server.Stats], and [Server.Shutdown] it.
//
// # The walk of a get
//
//	transport.go                OnTraffic, serve   Peek → Session.Feed → Discard → one write for the whole pipeline
//	internal/session/session.go Feed               whose turn is it, and in which state is the session
//	internal/session/text.go    commands, parse    find the ends of a batch of lines, warm what they will need
//	protocol/parse.go           Parse              word → table of verbs → keys, still pointing into the read buffer
//	internal/session/get.go     get                hash a batch of keys, warm them; fetch each; then END
//	internal/session/commands.go fetch             Store.View, and count
//	storage/store.go            View               hash → shard → lock → index → item; over by now? a miss; else visit
//	protocol/reply.go           AppendValueHead    VALUE <key> <flags> <bytes> into the worker's Replies
//	write.go                    write              Replies.Parts → the socket
//
// # The walk of a set
//
//	transport.go                OnTraffic, serve
//	internal/session/text.go    commands           Parse: there is a block to come
//	internal/session/set.go     begin              too large? refuse and read past it. All there? store it. Else remember
//	internal/session/set.go     value, Stream      gather the rest as it comes; a large value goes into its place in the store
//	internal/session/commands.go put               Store.Put or Incoming.Commit, count, tell who watches
//	storage/store.go            Put                hash → shard → lock → the rule of the mode → room → append → index
//	storage/incoming.go         Commit             the same for a large value
//	internal/session/text.go    answerStored       status → reply line; noreply → nothing
//
// # Who holds which bytes
//
// The read buffer is gnet's, one a loop: a request points into it until Feed returns. The replies
// are the worker's, one a loop: sessions append to them, serve writes them out and empties them
// before the next connection's turn. What the socket does not take is copied, and waits in the
// connection's drain. More of it in internal/session.
//
// # Who runs where
//
// Each event loop is a goroutine of gnet's, with a session.Worker that no other touches but for
// published counters. The tick and the acceptors are goroutines of the server, and one for each
// loop that lets large replies take turns (turns.go). A connection whose socket is full gets a
// goroutine until it closes (drain.go), and so does one that watches (watching.go). A loop with
// little to do may wait in place for what comes next (dwell.go). With Options.OwnProcess one
// goroutine more has the scheduler follow the load (internal/sched).
//
// # Imports
//
//	cmd/gomemd ──▶ server ──▶ internal/session ──▶ internal/events ──▶ internal/stats ──▶ protocol
//	                 │               │                    │                   └─────────▶ storage ──▶ expiry
//	                 │               └────────────────────┴──▶ protocol, storage, expiry
//	                 ├──▶ internal/sched
//	                 └──▶ internal/events, internal/stats, storage, expiry; protocol for one line
//	compat_test, bench ──▶ server, and the wire       internal/invariants ◀── storage, server
//
// protocol and storage know nothing of each other; internal/session is where a request becomes a
// call of the store.
package server
