package server

import (
	"sync"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

// stallMax is how many seconds a client may stand still, sending nothing and reading nothing, when memory for connections is
// short.
const stallMax = 2

// budget is the memory that all clients together make us hold outside the store: replies that their sockets do not take,
// input that waits behind these, and the beginnings of lines and values. Replies, input and beginnings of one client have
// bounds of their own (outMax, inputMax, multigetMax); this bounds the sum.
//
// Beyond max the clients go that have stood still for stallMax: whoever moves, however slowly, is not the one who fills the
// memory. That takes a moment, and a crowd may come within it: from a quarter more than max on, the clients that hold most go
// at once.
type budget struct {
	mu      sync.Mutex
	max     int64
	sum     int64
	peak    int64
	holders map[*conn]struct{} // those that hold something
	looked  expiry.Instant     // for some that stand still
}

// held is a connection's part of the budget, which guards it.
type held struct {
	in, out int  // bytes
	gone    bool // counted no more
}

// holdIn says how much of a client's input we keep.
func (b *budget) holdIn(c *conn, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(c, n-c.held.in, 0)
}

// holdOut says how many bytes more wait to be sent to a client, or less.
func (b *budget) holdOut(c *conn, delta int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(c, 0, delta)
}

// release is for a connection that is no more.
func (b *budget) release(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(c, -c.held.in, -c.held.out)
	c.held.gone = true // its drain may not know yet
}

func (b *budget) change(c *conn, in, out int) {
	h := &c.held
	if h.gone {
		return
	}
	h.in += in
	h.out += out
	b.sum += int64(in + out)
	b.peak = max(b.peak, b.sum)
	if h.in+h.out == 0 {
		delete(b.holders, c)
		return
	}
	b.holders[c] = struct{}{}
	if b.sum > b.max && in+out > 0 {
		b.relieve(c.srv.clock.Now())
	}
}

// relieve makes room.
func (b *budget) relieve(now expiry.Instant) {
	if b.looked != now {
		b.looked = now
		for c := range b.holders {
			if c.still(now) >= stallMax {
				b.drop(c)
			}
		}
	}
	for b.sum > b.max+b.max/4 {
		var most *conn
		for c := range b.holders {
			if most == nil || c.held.in+c.held.out > most.held.in+most.held.out {
				most = c
			}
		}
		b.drop(most)
	}
}

// drop closes a connection, which takes a while, and counts what it holds as given back already.
func (b *budget) drop(c *conn) {
	b.sum -= int64(c.held.in + c.held.out)
	c.held = held{gone: true}
	delete(b.holders, c)
	c.srv.env.Late.AddNow(stats.BudgetDropped, 1)
	go c.cut() // not under the lock: closing may call us
}

// total is what is held now, and the most that ever was.
func (b *budget) total() (now, peak int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum, b.peak
}
