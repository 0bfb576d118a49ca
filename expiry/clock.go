// Package expiry says when items end. It turns an exptime, the number a client sends, into a deadline, the second an
// item ends on this server's clock, and it owns that clock. It knows nothing of items, and it never asks the operating
// system what time it is: someone who does (the server's tick, or a test) moves the clock.
//
// Terms:
//
//	exptime   as sent: 0 never, 1..2592000 seconds from now, larger a Unix time, negative already over
//	instant   a whole second of this server's clock
//	deadline  the instant an item ends; from then on it is never served again
package expiry

import "sync/atomic"

// Instant is a whole second of the server's clock. The clock starts at Start, so that 0 is free to mean Never and 1
// lies before everything that was ever stored.
type Instant uint32

const (
	// Never is the deadline of an item that does not expire.
	Never Instant = 0
	// Past is a deadline that has gone by whatever the time.
	Past Instant = 1
	// Start is where a new clock stands. It is memcached's 2, so that "the second before now" exists from the
	// first second on and uptime, which is counted from it, can be told from an instant.
	Start Instant = 2
)

// Passed tells whether an item with this deadline is over at now. The second of the deadline itself is over, as in
// memcached, so an exptime of 1 lives between 0 and 1 seconds.
func (deadline Instant) Passed(now Instant) bool {
	return deadline != Never && deadline <= now
}

// Clock is a number that someone moves: the server's tick from the monotonic clock, a test by hand. Reading it is one
// atomic load. All methods may be called from any goroutine; Set is meant for one.
type Clock struct {
	now     atomic.Uint32
	zero    int64 // Unix time of Instant 0
	started Instant
	_       [128 - 24]byte // all loops read now with each request: nothing else is on these cache lines
}

// NewClock makes a clock that stands at Start, which is unix in Unix seconds. The wall clock is read this once:
// absolute exptimes are placed relative to it, and a later step of the wall clock moves no deadline (memcached's rule).
func NewClock(unix int64) *Clock {
	c := &Clock{}
	c.Resume(Start, unix)
	return c
}

// Resume puts a new clock, which nobody has read yet, where another one left off, so that its instants keep their
// meaning. It stands at now then, which is unix in Unix seconds.
func (c *Clock) Resume(now Instant, unix int64) {
	c.zero, c.started = unix-int64(now), now
	c.Set(now)
}

// Started is the instant at which the clock was made or resumed.
func (c *Clock) Started() Instant { return c.started }

// Now is the current instant.
func (c *Clock) Now() Instant { return Instant(c.now.Load()) }

// Set moves the clock. A late tick sets the second that it is, rather than adding one, so that no time is lost.
func (c *Clock) Set(now Instant) { c.now.Store(uint32(now)) }

// Unix is the Unix time of an instant.
func (c *Clock) Unix(i Instant) int64 { return c.zero + int64(i) }
