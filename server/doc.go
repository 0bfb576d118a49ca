// Package server is where the protocol meets the store, and gnet meets both. It can be run in-process, by a test or by a
// program that wants a cache of its own: [Start] a server with [Options], ask its [Server.Addrs], and [Server.Shutdown] it.
//
// # The walk of a get
//
//	transport.go         OnTraffic     Peek → session.feed → Discard → one write for the whole pipeline
//	session.go           feed, command find the end of the line
//	protocol/parse.go    Parse         word → table of verbs → keys, still pointing into the read buffer
//	get.go               get           hash a batch of keys, warm them; for each: store.View; then END
//	storage/store.go     View          hash → shard → lock → index → item; over by now? a miss; else visit
//	protocol/reply.go    AppendValueHead    VALUE <key> <flags> <bytes> into the loop's reply buffer
//
// # The walk of a set
//
//	transport.go         OnTraffic
//	session.go           command       Parse: there is a block to come
//	set.go               begin         too large? refuse and read past it. All there? store it. Else remember what for
//	set.go               value         gather the rest as it comes; a large value goes into its place in the store
//	storage/store.go     Put, Commit   hash → shard → lock → the rule of the mode → room → append → index
//	set.go               stored        status → reply line; noreply → nothing
//
// # Who holds which bytes
//
// The read buffer is gnet's, one a loop: a request points into it until feed returns. The reply buffer is the worker's,
// one a loop: sessions append to it, transport writes it out and empties it before the next connection's turn. What an
// item's callback sees is the store's, until it returns. A session owns nothing between commands; in the middle of one it
// owns a copy of the beginning of a line, of the keys still to be served, or of a small value.
//
// # Who runs where
//
// Each event loop is a goroutine of gnet's, with a worker that no other touches but for published counters. The tick and the
// acceptors are goroutines of the server, and one for each loop that lets large replies take turns (turns.go). A connection
// whose socket is full gets a goroutine until it closes (drain.go). A loop with little to do may wait in place for what comes
// next (dwell.go).
//
// # Imports
//
//	cmd/gomemd ──▶ server ──▶ protocol          protocol and storage never meet except here
//	                  │
//	                  ├─────▶ storage ──▶ expiry
//	                  └─────▶ expiry
//	compat_test, bench ──▶ server, and the wire       internal/invariants ◀── storage, server
package server
