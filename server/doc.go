// Package server is the memcached server: it opens the store, listens, and has connections served.
// It can be run in-process, by a test or by a program that wants a cache of its own: [Start] a
// server with [Options], ask its [Server.Addrs] and [Server.Stats], and [Server.Shutdown] it.
//
// # The walk
//
// Where to look for what, by file and function, in the order in which a request comes by:
//
//	accept       internal/conn/door.go         accept, watch          a client is let in, or told that there are too many
//	             internal/conn/handshake.go    shake                  TLS: a goroutine shakes hands with it
//	             internal/conn/loop.go         adopt, OnOpen          and given to the loop with the fewest
//	read         internal/conn/loop.go         OnTraffic              gnet has read what came
//	             internal/conn/conn.go         event, serve           input → Session.Feed → one write for the whole pipeline
//	             internal/conn/socket.go       read                   large values are read to where they will lie
//	             internal/conn/secure.go       decrypt                TLS: records → what they have
//	turn         internal/session/turn.go      begin, full, spent     how much one client may have done at a time
//	             internal/conn/turns.go        turn, add, next        who comes next, of those who are not done
//	parse        internal/session/session.go   Feed, chooses          in which state is the conversation; text or packets
//	             internal/session/text.go      commands, parse        a batch of lines, warm what they will need
//	             protocol/parse.go             Parse                  word → table of verbs → keys that point into the input
//	             internal/session/binary.go    packets, parsePackets  the same for the heads of packets
//	             protocol/binary.go            ParsePacket            opcode → table of opcodes → key that points into the input
//	datagrams    internal/conn/udp.go          run, serve, reply      UDP: a session each, and all its replies
//	execute get  internal/session/get.go       get, retrieve          hash a batch of keys, warm them; fetch each; then END
//	             internal/session/binary.go    packetGet              a packet has one key; quiet ones are a multiget
//	             internal/session/commands.go  fetch                  Store.View, and count
//	             storage/store.go              View                   hash → shard → lock → index → item; over by now? a miss
//	execute set  internal/session/set.go       begin, receive, value  too large? refuse, when the block has been read
//	             internal/session/set.go       Stream                 a large value is read to where it will lie
//	             internal/session/binary.go    beginPacket            the same, of a packet
//	             internal/session/commands.go  put                    Store.Put or Incoming.Commit, count, tell who watches
//	             storage/store.go              Put                    hash → shard → lock → rule of the mode → room → append
//	             storage/incoming.go           Receive, Write, Commit the same for a large value, as it comes
//	look         internal/session/commands.go  look                   of a few requests a record is written …
//	             internal/insight/sampler.go   Saw, Publish, Drain    … which the tick reads: hot keys, the curve
//	reply        protocol/reply.go             AppendValueHead        VALUE <key> <flags> <bytes> into the worker's Replies
//	             protocol/binary.go            AppendHit              the same in a packet
//	             internal/session/replies.go   Pending, Parts         large values stay where they lie, pinned
//	             internal/conn/socket.go       writev, transfer       the only way to a client
//	             internal/conn/secure.go       seal, encrypt          TLS: records of them, as they lie
//	slow reader  internal/session/unsent.go    Keep, Sent, Release    what the socket does not take
//	             internal/conn/conn.go         block, keep, send      reading pauses until it is sent
//	             internal/conn/loop.go         whoHasCome             its socket takes more
//	             storage/hold.go               MayPin, mayArrive      how much replies and uploads may hold of a shard
//	             internal/conn/still.go        Tick, letGoOfPins      who stands still while others need the memory
//	             internal/conn/budget.go       hold, relieve          memory for connections, outside the store
//	close        internal/conn/conn.go         closed                 whoever has decided it
//	             internal/conn/leave.go        Drain, mayLeave        without haste, for a graceful end
//	             internal/conn/panic.go        recoverPanic           a mistake of ours costs one connection
//
// # Who holds which bytes
//
// The read buffer is gnet's, one a loop: a request points into it until Feed returns. The replies
// are the worker's, one a loop: sessions append to them, serve writes them out and empties them
// before the next connection's turn. What the socket does not take is the connection's: a copy of
// the text, and pins on the values. More of it in internal/session and storage/pin.go.
//
// # Who runs where
//
// Each event loop is a goroutine of gnet's, with a session.Worker that no other touches but for
// published counters. It accepts its clients itself (internal/conn/door.go). The tick is a goroutine
// of the server's; listeners with TLS have acceptors, which are internal/conn's. With
// Options.OwnProcess one goroutine more has the scheduler follow the load (internal/sched), and loops
// with little to do wait where they wake nobody (internal/conn/wait.go). A dump of
// all items that is longer than a turn is made by a goroutine (internal/session/dump.go), and one
// writes the log while there are lines (internal/events/log.go). A client has one while it shakes
// hands (internal/conn/handshake.go), and each UDP socket has one. Nothing else has: not a slow reader,
// nor one who watches, nor a connection with TLS.
//
// # Imports
//
//	cmd/gomemd ─▶ server ─▶ internal/conn ─▶ internal/session ─▶ internal/events ─▶ internal/stats ─▶ protocol
//	                │             │                 │                  │                  └────────▶ storage ─▶ expiry
//	                │             │                 ├──────────────────┴──▶ protocol, storage, expiry
//	                │             │                 └──▶ internal/insight ──▶ internal/stats, expiry
//	                │             └──▶ internal/sched, internal/stats, expiry; protocol for a line and a byte; gnet, in loop.go alone
//	                ├──▶ internal/sched, internal/certs
//	                └──▶ internal/session, internal/events, internal/insight, internal/stats, storage, expiry
//	cmd/gomemd ─▶ internal/estimate ─▶ internal/asks, storage, expiry; internal/top ─▶ internal/asks, bubbletea
//	cmd/gomemd ─▶ internal/admin ─▶ internal/stats; Prometheus' libraries, here alone
//	compat_test, bench ─▶ server, and the wire       internal/invariants ◀─ storage, server
//
// protocol and storage know nothing of each other; internal/session is where a request becomes a
// call of the store.
package server
