package conn

import (
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

// phase is where a connection is: doc.go has the picture.
type phase uint32

const (
	reading phase = iota
	inLine
	blocked
	held
	gone
)

// Conn is one client's connection: its session, and the socket under it.
type Conn struct {
	session.Session
	socket
	conns *Conns
	wire  session.Wire

	behind atomic.Pointer[behind] // nil until replies have to wait for the first time
	timed  time.Duration          // when what is being served came, since the start; 0: its time is not taken
	held   int                    // what the budget was last told
	life

	// What the loop notes for others to read.
	served atomic.Uint32 // when input was last served …
	state  atomic.Uint32 // … and in which state the session was left
}

// behind is what is known of a client who is behind, or has been: most never are.
type behind struct {
	unsent *session.Unsent // replies that wait for the socket; the loop's
	slow   bool            // the socket has taken no more of them; the loop's

	written   atomic.Int64  // bytes of them that were written, while some wait
	pins      atomic.Bool   // some of them lie in the store
	taken     atomic.Int64  // as many of them as the client had taken when it …
	takenWhen atomic.Uint32 // … had last taken stillLeast

	// Tick's:
	took     int64 // bytes that it had taken, when …
	tookWhen expiry.Instant
}

// unsent is what waits for the socket, or nil.
func (c *Conn) unsent() *session.Unsent {
	if b := c.behind.Load(); b != nil {
		return b.unsent
	}
	return nil
}

// life is a connection's life cycle.
type life struct {
	now     atomic.Uint32            // phase; only the loop changes it
	shaking atomic.Pointer[net.Conn] // its socket, from when it begins to shake hands until opened
	opened  atomic.Bool
	over    atomic.Bool   // it is closed when its last replies are sent
	leave   atomic.Bool   // it shall be closed between two commands (Drain) …
	letGo   atomic.Bool   // … or let go of the store's memory (still.go) …
	refuse  atomic.Bool   // … or of the value that waits for room there (budget.go)
	bulky   atomic.Bool   // the kernel may hold much of it: replies had to wait, or a large value came
	small   bool          // it has small socket buffers; Tick's
	why     atomic.Uint32 // reason, when we have decided that it is closed
}

func (l *life) phase() phase { return phase(l.now.Load()) }

func (l *life) set(p phase) {
	if l.phase() != p {
		l.now.Store(uint32(p))
	}
}

// waitsForUs tells whether it is not the client who has to do something next.
func (l *life) waitsForUs() bool { p := l.phase(); return p == held || p == inLine }

// ask has the connection closed; from any goroutine.
func (c *Conn) ask() {
	if socket := c.shaking.Load(); socket != nil && !c.opened.Load() {
		_ = (*socket).Close()
		return
	}
	c.socket.ask()
}

// begin is called on the loop that has taken the connection over.
func (c *Conn) begin() {
	c.Init(c.loop.w, c.fd, c.wake, c.wire)
	c.served.Store(uint32(c.conns.env.Clock.Now()))
	c.conns.add(c)
	c.loop.crowd.Add(1)
	c.opened.Store(true)
	c.shaking.Store(nil)
	c.loop.w.Events.ConnNew(c.fd, c.remote)
	if c.why.Load() != 0 {
		c.ask() // it was closed in this moment
	}
	if c.secure != nil {
		c.queue() // some input may have come with the handshake
	}
}

// event is called when input has come, or somebody has woken the connection. It is closed when
// event returns false.
func (c *Conn) event() (goOn bool) {
	defer c.recoverPanic(&goOn)
	if c.letGo.Load() {
		c.letGo.Store(false)
		c.letGoOfPins()
	}
	if c.refuse.Load() {
		c.refuse.Store(false)
		c.refuseValue()
	}
	switch c.phase() {
	case reading:
		return c.serve()
	case held:
		delete(c.loop.blocked, int32(c.fd))
		c.queue()
	}
	return true
}

// turn goes on with what could not be done at once. The connection is closed when turn returns
// false.
func (c *Conn) turn() (goOn bool) {
	defer c.recoverPanic(&goOn)
	if c.unsent() == nil {
		return c.serve()
	}
	full, err := c.send()
	switch {
	case err != nil:
		return false // the client is gone
	case full:
		return c.block()
	case c.unsent() != nil:
		c.queue()
		return true
	}
	return !c.over.Load() && c.serve()
}

// queue puts the connection at the end of its loop's line.
func (c *Conn) queue() {
	c.pause()
	c.set(inLine)
	c.loop.line.add(c)
	c.loop.ringIfNeeded()
}

// block has it wait until its socket takes more. False: the system has no memory for that.
func (c *Conn) block() bool {
	c.pause()
	c.set(blocked)
	if b := c.behind.Load(); !b.slow {
		b.slow = true
		c.conns.env.Late.AddNow(stats.SlowReaders, 1)
	}
	return c.loop.block(c) || c.say(noWatch)
}

// serve feeds the session what has come and writes the replies.
func (c *Conn) serve() bool {
	w := c.loop.w
	c.maybeTime()
	tight := c.conns.budget.tight.Load()
	w.Short(tight)
	in := c.input()
	n, sent, v, full, err := 0, 0, session.Full, false, error(nil)
	for part, written, worked, again := 0, 0, 0, true; again; part++ {
		w.Out.Reset()
		var more int
		more, v = c.Feed(in[n:])
		worked += w.Worked()
		if n += more; v == session.Idle && c.Streams() {
			c.consume(n)
			w.Counters.Add(stats.BytesRead, uint64(n))
			in, n = nil, 0
			uploads := c.Uploads()
			more, v = c.Stream(c.read) // gnet's buffer is one copy too many
			if more > 0 && uploads && !c.bulky.Load() {
				c.bulky.Store(true)
			}
			w.Counters.Add(stats.BytesRead, uint64(more))
		}
		large := w.Full()
		sent, full, err = c.writev(w.Out.Parts(), writeMost)
		w.Counters.Add(stats.BytesWritten, uint64(sent))
		written += sent
		again = large && v == session.Full && part < partsAtOnce-1 && worked < session.TurnWork/2
		if tight && (v == session.Full || v == session.Yield) && n < len(in) &&
			written < writeMost && worked < workTight {
			again = true // what is served now need not be kept
		}
		again = again && err == nil && sent == w.Out.Pending()
	}
	c.consume(n)
	w.Counters.Add(stats.BytesRead, uint64(n))
	if v == session.Yield {
		w.Counters.Add(stats.ConnYields, 1)
	}
	waits := err == nil && (sent < w.Out.Pending() || c.secure.waits())
	if waits {
		c.keep(sent)
		c.over.Store(v == session.HangUp)
	}
	w.Out.Reset()
	w.EndEvent()
	c.note(n > 0 || v != session.Later)
	c.timeIsUp(v, waits)
	if v == session.HangUp && !c.Quits() {
		c.sayClosed(c.Breach())
	}
	switch {
	case err != nil:
		return false // the client is gone
	case waits && full:
		if !c.block() {
			return false
		}
	case waits:
		c.queue()
	case v == session.HangUp:
		return false
	case v == session.Later:
		c.pause()
		c.set(held)
		c.loop.watch(c)
	case v != session.Idle, c.secure.more():
		c.queue() // also when others are not waiting: they may be, by then
	default:
		c.hold(len(in) - n)
		return c.rest()
	}
	c.hold(len(in) - n) // now that it is known to wait for us, or not
	return true
}

// timedOf is how many events there are for each whose time is taken: two looks at the clock, 0.1 µs,
// are then some 0.1 % of what the least of events takes.
const timedOf = 16

// maybeTime takes the time of some events, unless it runs already.
func (c *Conn) maybeTime() {
	if c.loop.untimed--; c.loop.untimed <= 0 && c.timed == 0 {
		c.loop.untimed = 1 + rand.IntN(2*timedOf-1) // clients may come in turn
		c.timed = time.Since(c.conns.began)
		c.Time()
	}
}

// timeIsUp counts the time that has been taken when all is answered. It runs on while others have
// their turn or the store has no room. What waits for the client is not ours to count: its replies,
// and what it has not sent yet.
func (c *Conn) timeIsUp(v session.Verdict, waits bool) {
	switch {
	case c.timed == 0, !waits && v != session.Idle && v != session.HangUp:
		return
	case !waits && (v == session.HangUp || c.BetweenCommands()):
		c.Took(time.Since(c.conns.began) - c.timed)
	}
	c.timed = 0
}

// rest leaves the connection until more input comes.
func (c *Conn) rest() bool {
	switch {
	case c.secure.ended():
		return c.sayEnded()
	case c.mayLeave():
		return false
	}
	c.set(reading)
	return !c.paused || c.resume() || c.say(noWatch)
}

// sayEnded is for a client who has said, by TLS, that it will send no more, or who broke its rules. It
// is not kept, says the result.
func (c *Conn) sayEnded() (kept bool) {
	if !c.secure.endedWell() {
		c.conns.env.Late.AddNow(stats.SSLProtoErrors, 1)
		c.sayClosed(c.secure.over)
	}
	return false
}

// partsAtOnce is how often a turn writes a part of a reply and makes the next: fewer would have a
// large multiget wait for its turn more often than its bytes take to be copied.
const partsAtOnce = 4

// workTight is how much work a turn may do while memory is short, so that little input waits: what
// gnet reads at once of gets is all served.
const workTight = 40 * session.TurnWork

// keep keeps the replies that are not sent yet, from the byte sent on.
func (c *Conn) keep(sent int) {
	b := c.behind.Load()
	if b == nil {
		b = new(behind)
		c.behind.Store(b)
	}
	b.unsent, b.slow = c.loop.w.Out.Keep(sent), false
	c.conns.sending.Add(1)
	c.bulky.Store(true)
	b.pins.Store(b.unsent.Pinned() > 0)
	b.written.Store(0)
	b.taken.Store(-c.untaken())
	b.takenWhen.Store(uint32(c.conns.env.Clock.Now()))
}

// send goes on with them. full: the socket takes no more.
func (c *Conn) send() (full bool, err error) {
	w, b := c.loop.w, c.behind.Load()
	n, full, err := c.writev(b.unsent.Parts(), writeMost)
	w.Counters.Add(stats.BytesWritten, uint64(n))
	w.Counters.Publish()
	b.written.Add(int64(n))
	if b.unsent.Sent(n); b.unsent.Bytes() == 0 && !c.secure.waits() {
		c.drop()
		c.hold(c.left())
		full = false
	} else if c.secure != nil {
		c.hold(c.left()) // what is encrypted and waits changes
	}
	return full, err
}

// drop lets go of what is not sent, and of what is.
func (c *Conn) drop() {
	if b := c.behind.Load(); b != nil && b.unsent != nil {
		b.unsent.Release()
		b.unsent = nil
		b.pins.Store(false)
		c.conns.sending.Add(-1)
	}
}

// note keeps what others may want to know of the connection. The stores are skipped when nothing
// changed, which is nearly always.
func (c *Conn) note(served bool) {
	if now := uint32(c.conns.env.Clock.Now()); served && c.served.Load() != now {
		c.served.Store(now)
	}
	if state := uint32(c.State()); c.state.Load() != state {
		c.state.Store(state)
	}
}

// hold tells the budget what is kept for the client outside the store; left is how much of its
// input.
func (c *Conn) hold(left int) {
	n := left + c.Gathered()
	if c.secure != nil {
		n += c.secure.kept() + c.gc.InboundBuffered()
	}
	if u := c.unsent(); u != nil {
		n += u.Copied()
	}
	if n != c.held {
		c.held = n
		c.conns.budget.hold(c, n)
	}
}

// closed is called once, on the loop, when the connection is no more.
func (c *Conn) closed(byItself bool) {
	c.set(gone)
	delete(c.loop.blocked, int32(c.fd))
	if c.why.Load() != 0 && (reason(c.why.Load()) != idleTimeout || c.untaken() > 0) {
		c.reset()
	} else {
		c.farewell()
	}
	c.drop()
	c.Session.Close()
	c.loop.w.Events.ConnClose(c.fd, c.remote, c.reason(byItself || c.secure.endedWell()))
	c.loop.crowd.Add(-1)
	c.conns.remove(c)
}

// moved is when the client last sent something or took some of what waits for it.
func (c *Conn) moved() expiry.Instant {
	moved := c.served.Load()
	if b := c.behind.Load(); b != nil {
		moved = max(moved, b.takenWhen.Load())
	}
	return expiry.Instant(moved)
}

// still is for how many seconds it has done neither, if it could; none if the clock has been set
// back since.
func (c *Conn) still(now expiry.Instant) expiry.Instant {
	if c.waitsForUs() {
		return 0
	}
	return now - min(now, c.moved())
}

// reason is why a client goes, as watchers are told.
func (c *Conn) reason(byItself bool) string {
	switch {
	case reason(c.why.Load()) == idleTimeout:
		return "idle_timeout"
	case c.conns.stopped():
		return "shutdown"
	case byItself || c.Quits():
		return "normal"
	}
	return "error"
}
