package conn

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

// Who stands still. A client that takes what waits for it, or sends what it has announced, is not
// closed, however slow it is, as long as it takes stillLeast bytes in stillAfter seconds. One that
// is slower is closed when, and only when, others need the memory:
//
//	it holds                         and                                    then
//	values of the store (pins)       pins take more than a quarter of a     they are copied, if the budget has room,
//	                                 shard (storage, hold.go)               or it is closed
//	copies, input, parts of lines    the budget is used up                  it is closed
//	a part of a large value          the store needs its room               the value is given up (storage, hold.go)
//	anything, or nothing             idle_timeout is over, and it has       it is closed
//	                                 sent and taken nothing at all
//	replies after quit               endAfter is over                       it is closed
const (
	// stillAfter is in seconds of a clock that knows whole seconds: it may be one less.
	stillAfter expiry.Instant = 5
	stillLeast                = 16 << 10
	// endAfter is for a connection that is over but for its last replies.
	endAfter expiry.Instant = 30
)

// reason is why we close a connection of which the client has not said quit.
type reason uint32

const (
	noReason reason = iota
	idleTimeout
	stoodStillPins
	stoodStillMemory
	heldMost
	stoodStillEnding
	noWatch
)

// texts are for the log at -v: what it did, and which setting was in the way; %s is the budget.
var texts = map[reason]string{
	idleTimeout:      "it sent and took nothing for longer than idle_timeout",
	stoodStillPins:   "it stood still while large replies took more than a quarter of the memory (-m) that others needed",
	stoodStillMemory: "it stood still while memory for connections (%s) was used up",
	heldMost:         "it held more memory for connections (%s) than any other, and there was no more",
	stoodStillEnding: "it had said quit and did not take its last replies",
	noWatch:          "the system has no memory to wait for its socket (fs.epoll.max_user_watches)",
}

// close has a connection closed from outside its loop, and says why. Only the first reason counts.
func (c *Conn) close(why reason) {
	if !c.why.CompareAndSwap(uint32(noReason), uint32(why)) {
		return
	}
	switch why {
	case idleTimeout:
		c.conns.env.Late.AddNow(stats.IdleKicks, 1)
	case stoodStillPins:
		c.conns.env.Late.AddNow(stats.PinsDropped, 1)
	case stoodStillMemory, heldMost:
		c.conns.env.Late.AddNow(stats.BudgetDropped, 1)
	}
	c.say(why)
	c.ask()
}

// say logs why a connection is closed. It is not kept, says the result.
func (c *Conn) say(why reason) (kept bool) {
	text := texts[why]
	if strings.Contains(text, "%s") {
		text = fmt.Sprintf(text, c.conns.budget.text())
	}
	c.sayClosed(text)
	return false
}

// sayClosed logs it at -v.
func (c *Conn) sayClosed(why any) { c.conns.env.Warn("closed %s: %v\n", c.remote, why) }

// Tick looks for those who stand still. It is called every 250 ms by one goroutine
// while there may be such (Asleep).
func (cs *Conns) Tick() {
	if cs.opts.Sockets > 0 {
		cs.boundBuffers()
	}
	now := cs.env.Clock.Now()
	idle := expiry.Instant(cs.opts.IdleTimeout / time.Second)
	if cs.sending.Load() == 0 && idle == 0 {
		return
	}
	var still []*Conn
	for _, c := range cs.list() {
		switch p := c.phase(); {
		case p == blocked:
			b := c.behind.Load()
			b.note(now, c.untaken())
			if c.still(now) >= stillAfter {
				still = append(still, c)
			}
			if idle > 0 && c.mayIdle() && now > max(b.tookWhen, expiry.Instant(c.served.Load()))+idle {
				c.close(idleTimeout)
			}
		case p == reading && idle > 0 && c.still(now) > idle && c.mayIdle():
			c.close(idleTimeout)
		}
	}
	if len(still) == 0 {
		return
	}
	slices.SortFunc(still, func(a, b *Conn) int { return cmp.Compare(a.moved(), b.moved()) })
	if cs.env.Store.PinsCrowd() {
		pinning := slices.DeleteFunc(slices.Clone(still), func(c *Conn) bool { return !c.behind.Load().pins.Load() })
		for _, c := range pinning[:(len(pinning)+3)/4] { // those who have stood still the longest; the others have another 250 ms
			c.letGo.Store(true)
			c.wake()
		}
	}
	for _, c := range still {
		if c.over.Load() && c.still(now) >= endAfter {
			c.close(stoodStillEnding)
		}
	}
}

// note notes how much of what waits for a client it has taken.
func (b *behind) note(now expiry.Instant, untaken int64) {
	taken := b.written.Load() - untaken
	if taken != b.took {
		b.took, b.tookWhen = taken, now
	}
	if taken >= b.taken.Load()+stillLeast || untaken == 0 {
		b.taken.Store(taken)
		b.takenWhen.Store(uint32(now))
	}
}

// mayIdle tells whether idle_timeout is for it: a TCP client that is expected to say something.
func (c *Conn) mayIdle() bool {
	_, byTCP := c.remote.(*net.TCPAddr)
	return byTCP && session.State(c.state.Load()) != session.StateWatch
}

// letGoOfPins is called on the loop: what waits for the client must not be held in the store any
// more.
func (c *Conn) letGoOfPins() {
	u := c.unsent()
	switch {
	case u == nil || u.Pinned() == 0:
	case c.conns.budget.room(u.Pinned()):
		u.Copy()
		c.behind.Load().pins.Store(false)
		c.hold(c.left())
	default:
		c.close(stoodStillPins)
	}
}
