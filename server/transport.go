package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

// This file is the only one that knows gnet. Its loops read and call us; we write to the socket ourselves, because gnet
// neither tells when a socket can take more nor bounds what it would keep until then (drain.go has our way). Edges of gnet
// that shape this code:
//
//   - Peek's bytes die at the next Discard, and Discard(0) drops everything.
//   - What OnTraffic leaves undiscarded gnet keeps, without limit, and reading cannot be paused.
//   - OnClose runs while the descriptor is still open, before what was buffered is gone.
//   - Wake calls OnTraffic on the connection's loop after the events at hand; on a closed connection it does nothing.

// eventLoopText names the event loop and its version, in stats.
const eventLoopText = "gnet-2.10.0"

// inputMax is how many bytes a client may send on while its replies wait. Beyond it the connection is closed: reading
// cannot be paused, so this is where memory ends.
const inputMax = 1 << 20

// loops are gnet's event loops.
type loops struct {
	gnet.BuiltinEventEngine
	srv    *Server
	client *gnet.Client // an engine of loops without listeners; it is called a client for its usual use

	mu    sync.Mutex
	loops map[gnet.EventLoop]*loop
}

func (ls *loops) start(srv *Server) (err error) {
	ls.srv, ls.loops = srv, map[gnet.EventLoop]*loop{}
	ls.client, err = gnet.NewClient(ls,
		gnet.WithNumEventLoop(srv.opts.Loops),
		gnet.WithLogger(gnetLog{srv}))
	if err != nil {
		return err
	}
	return ls.client.Start()
}

func (ls *loops) stop() error { return ls.client.Stop() }

// adopt gives an accepted socket to the loop with the fewest connections. gnet duplicates the descriptor and closes ours.
func (ls *loops) adopt(c *conn, socket net.Conn) error {
	if _, err := ls.client.EnrollContext(socket, c); err != nil {
		return err
	}
	if !c.opened.Load() {
		return errors.New("its loop could not watch it")
	}
	return nil
}

// loop is what the connections of one event loop share.
type loop struct {
	*session.Worker
	turns  *turns       // of connections with large replies
	epoll  int32        // the loop's, 0 until it is looked for, -1 if it cannot be found; dwell.go
	iovecs []unix.Iovec // for writev
}

// loop finds, or makes, what the connections of a loop share.
func (ls *loops) loop(of gnet.EventLoop) *loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.loops[of]
	if l == nil {
		l = &loop{Worker: session.NewWorker(&ls.srv.env), turns: newTurns(&ls.srv.turns)}
		l.Out.Pins = true
		ls.srv.callers.Go(func() { l.turns.run(ls.srv.stop) })
		ls.loops[of] = l
	}
	return l
}

// conn is one client's connection: its session, and the socket under it.
type conn struct {
	session session.Session
	loop    *loop
	srv     *Server
	fd      int
	gc      gnet.Conn
	local   net.Addr
	remote  net.Addr
	opened  atomic.Bool

	drain   *drain // made when output first had to wait
	waiting bool   // output waits in drain, and the session rests
	closing bool   // the session is over once that is sent

	held    held // guarded by the budget
	holding int  // what it was last told

	lastServed atomic.Uint32 // for stats conns: when, and in which state the session was left
	lastState  atomic.Uint32
	lastTaken  atomic.Uint32 // when the socket took some of the replies that waited
	kicked     atomic.Bool   // closed because of IdleTimeout

	watching atomic.Pointer[watching] // once it watches

	leave atomic.Bool // Drain wants it closed between two commands
}

// OnOpen is called when a loop has taken a connection over.
func (ls *loops) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c := gc.Context().(*conn)
	c.gc, c.local, c.remote = gc, gc.LocalAddr(), gc.RemoteAddr()
	c.loop, c.fd = ls.loop(gc.EventLoop()), gc.Fd()
	c.session.Init(c.loop.Worker, c.fd, c.linesCame)
	c.lastServed.Store(uint32(ls.srv.clock.Now()))
	ls.srv.conns.add(c)
	c.opened.Store(true)
	c.loop.Events.ConnNew(c.fd, c.remote)
	return nil, gnet.None
}

// OnTraffic is called when input has come, and after a Wake.
func (ls *loops) OnTraffic(gc gnet.Conn) (action gnet.Action) {
	c := gc.Context().(*conn)
	defer c.recoverPanic(func() {
		c.loop.Out.Reset()
		action = gnet.Close
	})
	if c.waiting {
		if !c.drain.idle.Load() {
			left := gc.InboundBuffered()
			if left > inputMax {
				c.loop.Counters.Add(stats.InputDropped, 1)
				c.loop.Counters.Publish()
				return gnet.Close
			}
			c.hold(left)
			return gnet.None
		}
		c.waiting = false
		if c.closing {
			return gnet.Close
		}
	}
	return c.serve()
}

// serve feeds the session what has come and writes all its replies at once, or in partsAtOnce parts if they are large.
func (c *conn) serve() gnet.Action {
	l := c.loop
	in, _ := c.gc.Peek(-1) // everything there is: cannot fail
	n, sent, v, err := 0, 0, session.Full, error(nil)
	for part, large := 0, true; large && v == session.Full && part < partsAtOnce; part++ {
		l.Out.Reset()
		var more int
		more, v = c.session.Feed(in[n:])
		n += more
		large = l.Out.Pending() >= session.OutMax
		sent, err = l.write(c.fd)
		l.Counters.Add(stats.BytesWritten, uint64(sent))
		if err != nil || sent < l.Out.Pending() {
			break
		}
	}
	if n > 0 {
		_, _ = c.gc.Discard(n) // the same
	}
	left := len(in) - n
	if v == session.Idle && c.session.Streams() {
		n += c.session.Stream(c.read) // gnet's buffer is one copy too many
	}
	l.Counters.Add(stats.BytesRead, uint64(n))
	if v == session.Yield {
		l.Counters.Add(stats.ConnYields, 1)
	}
	l.EndEvent()
	c.note()
	c.hold(left)
	if err == nil && sent < l.Out.Pending() {
		c.waiting, c.closing = true, v == session.HangUp
		err = c.wait(l.Out.Rest(sent))
	}
	l.Out.Reset()
	if c.session.Watcher() != nil && !c.waiting && c.watching.Load() == nil {
		err = c.startWatching()
	}
	switch {
	case err != nil:
		return gnet.Close // the client is gone
	case c.waiting:
		return gnet.None
	case v == session.Idle:
		if c.mayLeave() {
			return gnet.Close
		}
		if n > 0 && c.srv.load.Dwell.Load() { // n is 0 after a Wake: gnet may have been asked for more, and would not look
			l.dwell(c.fd)
		}
		return gnet.None
	case v == session.HangUp:
		return gnet.Close
	case v == session.Full:
		l.turns.wait(c)
		return gnet.None
	default: // more to do, when those had their turn who are woken, too; what was read is served before gnet reads on
		_ = c.gc.Wake(nil)
		return gnet.None
	}
}

// read takes what has come since gnet read. The end of the stream and errors are left for gnet to find.
func (c *conn) read(room []byte) (n int, more bool) {
	n, _ = transfer(unix.SYS_READ, c.fd, unsafe.Pointer(unsafe.SliceData(room)), len(room))
	return n, n == len(room)
}

// wake calls OnTraffic from outside the loop, and then done, which is also told of a connection that is closed by then.
func (c *conn) wake(done func()) {
	_ = c.gc.Wake(func(gnet.Conn, error) error { done(); return nil })
}

// hold tells the budget what is kept of the client's input, of which so much has not been looked at.
func (c *conn) hold(left int) {
	if n := left + c.session.Gathered(); n != c.holding {
		c.holding = n
		c.srv.conns.budget.holdIn(c, n)
	}
}

// moved is when the client last sent or took something.
func (c *conn) moved() expiry.Instant {
	return expiry.Instant(max(c.lastServed.Load(), c.lastTaken.Load()))
}

// still is for how many seconds the client has neither sent nor taken anything; none if the clock has been set back since.
func (c *conn) still(now expiry.Instant) expiry.Instant { return now - min(now, c.moved()) }

// cut closes a connection from outside its loop.
func (c *conn) cut() {
	for _, d := range c.srv.conns.drains(true) {
		if d.c == c {
			_ = d.file.Close() // a write under way fails
		}
	}
	c.srv.unlessStopped(func() { _ = c.gc.Close() })
}

// note keeps what stats conns tells of a connection. The stores are skipped when nothing changed, which is nearly always.
func (c *conn) note() {
	if now := uint32(c.srv.clock.Now()); c.lastServed.Load() != now {
		c.lastServed.Store(now)
	}
	if state := uint32(c.session.State()); c.lastState.Load() != state {
		c.lastState.Store(state)
	}
}

// OnClose is called once for every connection that was opened, when it is closed by us (nil), by the client (io.EOF, which
// may mean only that it sends no more), or by an accident.
func (ls *loops) OnClose(gc gnet.Conn, err error) gnet.Action {
	c := gc.Context().(*conn)
	if errors.Is(err, io.EOF) {
		rest, _ := gc.Peek(-1)
		if c.waiting || len(rest) > 0 || c.session.Owes() {
			if c.finishAlone(rest) == nil {
				return gnet.None
			}
		}
	}
	if c.drain != nil {
		c.drain.abandon()
	}
	c.closeSession()
	c.loop.Events.ConnClose(c.fd, c.remote, c.reason(errors.Is(err, io.EOF)))
	ls.srv.conns.remove(c)
	return gnet.None
}

// gnetLog passes gnet's complaints on at -v, and drops its chatter.
type gnetLog struct{ srv *Server }

var _ logging.Logger = gnetLog{}

func (gnetLog) Debugf(string, ...any) {}
func (gnetLog) Infof(string, ...any)  {}

func (l gnetLog) Warnf(format string, args ...any)  { l.log(format, args) }
func (l gnetLog) Errorf(format string, args ...any) { l.log(format, args) }
func (l gnetLog) Fatalf(format string, args ...any) { l.log(format, args) }

func (l gnetLog) log(format string, args []any) {
	if l.srv.env.Verbosity.Load() > 0 {
		l.srv.env.Logf(format+"\n", args...)
	}
}
