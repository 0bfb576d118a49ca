// Package load puts a memcached-protocol server under load and measures how it answers. It is for measuring on one machine,
// where the client's own work is taken from the same cores: so it costs as little as it can, and it knows no addresses but
// loopback ones.
//
// # How it works
//
//	Spec ──▶ workload (keys, sizes, mix: shared, never changed)
//	            │
//	            ▼
//	         thread: one epoll, its own connections, dice, histogram ── merged at the end ──▶ Result
//	            │ requests of a batch in one write; a big read buffer for all connections
//	            ▼
//	         conn: what was asked and not yet answered, oldest first
//	            ▲
//	         stream: bytes, cut anywhere ──▶ lines and value blocks
//	      or packet: the same of the binary protocol
//
// With -tls a secure stands between the socket and the conn: crypto/tls, given what was read and never the socket itself, so
// that the thread stays as it is. Hands are shaken before anybody measures; -mix handshake measures that alone, with
// goroutines, since crypto/tls waits inside of a handshake.
//
// A thread without TLS neither allocates nor asks Go's scheduler for anything while it measures: reads, writes and waits are raw system
// calls on descriptors that never block, and the garbage collector is off. The processor stays with the thread while it
// sleeps in epoll; nobody else needs it.
//
// # What is measured
//
// In a closed loop each connection sends a batch, waits for all its replies, and sends the next: latency is from the
// write of a batch to the reply, and a server that stalls is asked less meanwhile. In an open loop requests are due at a
// fixed rate whatever the server does, and latency counts from when a request was due: a stall of 100 ms is then seen by
// all the requests that it delayed, not only by those that happened to be under way.
//
// A closed loop counts what was answered inside the measured phase, an open loop what was due inside it, answered or
// not: what never went out is recorded with the time it has waited.
//
// Every reply is checked: the shape of each line, the key of each value, and byte by byte the value of one reply in a few.
// Values are cut from one random block, at a place that depends on the key, so a value that was swapped with another key's
// or torn is noticed, and so is one whose CRLFs confused somebody: the block has some.
package load
