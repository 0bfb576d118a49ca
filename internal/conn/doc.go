// Package conn keeps the clients' connections: it accepts them, reads what they send and feeds it
// to their sessions, writes the replies, lets those wait whose sockets take no more, and closes. It
// knows no command; package session knows no socket.
//
//	listen.go    the listening sockets
//	accept.go    who is let in; Conns, all connections there are
//	door.go      loops accept
//	handshake.go TLS: a client shakes hands before it comes to a loop
//	loop.go      the event loops, and all that is known of gnet
//	udp.go       datagrams
//	conn.go      Conn: one connection, its phases, and what it does in a turn
//	turns.go     whose turn it is
//	socket.go    the system calls on a client's socket: there is no other way to a client
//	secure.go    TLS: what lies between the socket and the session
//	budget.go    how much memory all connections may take
//	buffers.go   how much the kernel may hold for all of them
//	still.go     who stands still, and what is done about it
//	leave.go     closing without haste, for a graceful end
//	panic.go     what becomes of a mistake of ours
//	wait.go      how a loop waits while there is little to do
//	pollopt.go   a build tag of gnet's that is refused
//
// # The phases of a connection
//
//	        input, all of it served and sent
//	         ┌────────┐
//	         ▼        │
//	open ─▶ reading ──┴─▶ in line ◀──▶ blocked     its socket takes no more: until it does
//	         ▲              │  ▲
//	         │              │  └─────▶ held        the store has no room: until it calls
//	         └──────────────┘
//	          nothing is left to do
//
// Only a connection that is reading is read: in any other phase what its client sends on stays in
// the kernel, and TCP tells the sender to wait. So nobody is closed for sending much, and the end
// of a client's stream is seen when everything before it has been answered.
//
// A connection that is never behind stays in phase reading, and costs nothing for the others.
//
// # Who runs where
//
// Everything of a connection belongs to its loop's goroutine. From elsewhere one may only ask it to
// look (Conn.wake) and read what is atomic. A loop accepts its connections itself, but for those with
// TLS: their acceptors are goroutines, and a client has one while it shakes hands. Each UDP socket has
// one that serves it. Tick is called by the server's, every
// 250 ms, or every second while little is asked for (Asleep).
package conn
