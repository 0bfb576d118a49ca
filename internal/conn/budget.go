package conn

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
)

// budget is the memory that all clients together make us hold outside the store: copies of replies
// that their sockets do not take, input that waits behind these, and the beginnings of lines and of
// small values. Each client has bounds of its own: of replies a turn's worth, of input what gnet
// reads at once, of a line multigetMax. This bounds the sum.
//
// Long replies over UDP are counted, too, which belong to no connection: they have the first half.
//
//	0 ────────── 1/2 ──────────────── max ───────────────── 5/4 ────────────── twice
//	    as usual  │ little is made     │ who has stood still  │ those go who     │ those who
//	              │ that must be kept  │ for stillAfter goes  │ hold most, but   │ wait for us,
//	              │ (Worker.Short)     │                      │ do not wait for  │ too, but values
//	              │                    │                      │ us               │ that wait for room in
//	              │                    │                      │                  │ the store are refused
//	              │                    │                      │                  │ before anybody goes
type budget struct {
	tight atomic.Bool // more than half is held; every request asks
	_     [128]byte   // two cache lines: what follows is written whenever something has to be kept

	mu      sync.Mutex
	max     int64
	sum     int64
	peak    int64
	holders map[*Conn]int  // bytes of each that holds something
	looked  expiry.Instant // for some that stand still
	close   func(c *Conn, why reason)
}

// hold says how many bytes are held for a client.
func (b *budget) hold(c *Conn, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, known := b.holders[c]
	if c.phase() == gone || !known && c.why.Load() != 0 { // what it holds is given back already
		return
	}
	b.add(n - before)
	if n == 0 {
		delete(b.holders, c)
		return
	}
	b.holders[c] = n
	if b.sum > b.max && n > before {
		b.relieve(c.conns.env.Clock.Now())
	}
}

// lend counts n bytes that are held for no connection, unless more than half would be held then. A
// negative n gives them back.
func (b *budget) lend(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 && b.sum+int64(n) > b.max/2 {
		return false
	}
	b.add(n)
	return true
}

// release is for a connection that is no more, or is about to be closed.
func (b *budget) release(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(c)
}

func (b *budget) forget(c *Conn) {
	b.add(-b.holders[c])
	delete(b.holders, c)
}

func (b *budget) add(n int) {
	b.sum += int64(n)
	b.peak = max(b.peak, b.sum)
	if tight := b.sum > b.max/2; tight != b.tight.Load() { // a store takes the line from all loops
		b.tight.Store(tight)
	}
}

// relieve makes room.
func (b *budget) relieve(now expiry.Instant) {
	if b.looked != now {
		b.looked = now
		for c := range b.holders {
			if c.still(now) >= stillAfter {
				b.giveUp(c, stoodStillMemory)
			}
		}
	}
	for b.sum > b.max+b.max/4 {
		var most, waited *Conn
		share := int(b.max) / len(b.holders)
		for c, n := range b.holders {
			if n < share { // it is not why this is too much
				continue
			}
			if (most == nil || c.goesBefore(most, n, b.holders[most])) && (!c.waitsForUs() || b.sum > 2*b.max) {
				most = c
			}
			if c.valueWaits() && (waited == nil || c.served.Load() < waited.served.Load()) {
				waited = c
			}
		}
		switch {
		case b.sum > 2*b.max && waited != nil:
			b.forget(waited)
			waited.refuse.Store(true)
			waited.wake()
		case most != nil:
			b.giveUp(most, heldMost)
		default:
			return
		}
	}
}

// goesBefore tells which of two goes first: who is shaking hands or logging in (clients who have done
// so must not go for those who may never), then who holds more.
func (c *Conn) goesBefore(other *Conn, holds, otherHolds int) bool {
	if logsIn := c.logsIn(); logsIn != other.logsIn() {
		return logsIn
	}
	return holds > otherHolds
}

func (c *Conn) logsIn() bool {
	return c.shaking.Load() != nil || session.State(c.state.Load()) == session.StateToken
}

// valueWaits tells whether the client's value waits for room in the store, and has not been refused
// for that.
func (c *Conn) valueWaits() bool {
	return c.waitsForUs() && session.State(c.state.Load()) == session.StateValue && !c.refuse.Load()
}

// refuseValue is called on the loop: a value that waits for room in the store, so that what has been
// read of it is kept here, gets none. The budget counts that as given back already.
func (c *Conn) refuseValue() {
	c.held = 0
	switch in := c.left(); {
	case c.waitsForUs() && in > 0:
		c.Refuse() // and it is read past in the next turn
	case c.phase() != reading: // or it is about to be served, and what is left then is counted
		c.hold(in)
	}
}

// giveUp closes a connection, which takes a while, and counts what it holds as given back already.
func (b *budget) giveUp(c *Conn, why reason) {
	b.forget(c)
	b.close(c, why)
}

// room tells whether n bytes more would do.
func (b *budget) room(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum+int64(n) <= b.max
}

// text names the bound for the log.
func (b *budget) text() string {
	return fmt.Sprintf("%d KiB, less with a smaller --memory-total", b.max>>10)
}

// total is what is held now, and the most that ever was.
func (b *budget) total() (now, peak int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum, b.peak
}
