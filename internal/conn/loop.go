package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"
	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
)

// This file is the only one that knows gnet. Its loops wait, read and call us; we write to the
// sockets ourselves, because gnet neither tells when a socket takes more nor bounds what it would
// keep until then. Edges of gnet 2.10.0 that shape this code:
//
//   - Peek's bytes die at the next Discard, and Discard(0) drops everything.
//   - What OnTraffic leaves undiscarded gnet keeps, without limit. It cannot be asked to stop reading.
//   - What was woken (Wake) is run until nothing is left, and only then gnet asks who else has come.
//   - OnClose runs while the descriptor is still open. An event without input or output closes with io.EOF.
//   - Inside OnTraffic a connection is closed by returning Close, elsewhere on its loop by EventLoop.Close.
//
// # Pausing
//
// gnet waits with one epoll instance a loop, level-triggered, and finds a connection by the
// descriptor in the event. The kernel lets anybody who knows the instance change what is registered
// there, so that is what pausing does: a descriptor that is not registered is not reported, and its
// input stays in the kernel. (Registered for no events it would still be reported when the other
// end of a unix socket has gone, and gnet would close it with all that has not been read.) gnet
// itself changes a registration only when it has output to send, and we give it none, and when it
// closes, and then it does not mind that there is none. A test (TestGnetKeepsTo…) holds gnet to
// that. The other way, to take the connection out of the loop and give it back, costs 38 to 110 µs
// for what costs 0.7 here (docs/decisions/0116).
//
// # The bell
//
// A loop's own work, connections whose turn has come, should have its share among the events of
// others, so it has to come as an event. Each loop has a pair of unix sockets. One end, the bell,
// is a connection of gnet's, in which a byte is always waiting; whether that is reported is up to
// us. A second epoll instance, of sockets that take no more, is registered with the first under the
// bell's descriptor:
//
//	gnet's epoll ──┬── clients: input, unless paused
//	               ├── the bell: while connections are in line
//	               └── writable ──── clients in phase blocked: output, once
//	                   (reported as the bell)

// EventLoop is gnet's name and version, for stats.
const EventLoop = "gnet-" + gnetVersion

const (
	gnetPath    = "github.com/panjf2000/gnet/v2"
	gnetVersion = "2.10.0"
	ourPath     = "github.com/gomemd/gomemd"
)

// direct tells whether loops may call gnet's own functions.
var direct = isGnet(debug.ReadBuildInfo())

// isGnet tells whether gnet is the one that is known here. The binary of a test does not say which it
// has: of ours it is known.
func isGnet(info *debug.BuildInfo, ok bool) bool {
	if !ok {
		return false
	}
	for _, m := range info.Deps {
		if m.Path == gnetPath {
			return m.Version == "v"+gnetVersion && m.Replace == nil
		}
	}
	return len(info.Deps) == 0 && info.Main.Path == ourPath
}

// newStreamConn makes a connection of an event loop's. Its addresses are for who asks gnet for them.
//
//go:linkname newStreamConn github.com/panjf2000/gnet/v2.newStreamConn
func newStreamConn(proto string, fd int, eventLoop unsafe.Pointer, remote unix.Sockaddr, localAddr, remoteAddr net.Addr) unsafe.Pointer

// register0 has the loop wait for the connection, and calls OnOpen. It closes the descriptor when it
// fails before that.
//
//go:linkname register0 github.com/panjf2000/gnet/v2.(*eventloop).register0
func register0(eventLoop, conn unsafe.Pointer) error

// engine is gnet's engine and what it calls.
type engine struct {
	gnet.BuiltinEventEngine
	conns  *Conns
	client *gnet.Client // an engine of loops without listeners; it is called a client for its usual use

	// asked is how many things other goroutines have asked gnet to do that it has not done yet.
	asked atomic.Int32

	awake atomic.Bool // ticks are needed; since Conns.Asleep

	mu    sync.Mutex
	loops map[gnet.EventLoop]*loop
	all   []*loop
}

// loop is one event loop's part of the work. Only its goroutine uses it.
type loop struct {
	conns *Conns
	w     *session.Worker
	crowd atomic.Int32 // clients' connections; others may look

	untimed int // events until the next one is timed

	bell   gnet.Conn
	bellFd int
	rope   int // the other end of the bell
	epoll  int // gnet's
	err    error

	line  line
	rings bool // the bell is reported
	waits waits

	writable int             // our epoll instance
	blocked  map[int32]*Conn // by descriptor: who waits there, and who is held
	events   [64]unix.EpollEvent
	iovecs   []unix.Iovec // for writev

	// Of connections with TLS (secure.go):
	plain    []byte   // what is decrypted
	gathered []byte   // what is to be encrypted
	sealed   []byte   // what is encrypted; empty between two turns
	records  [][]byte // buffers for records that nobody uses
}

// readBuffer is how much gnet reads at once. What is larger than that is read to where it belongs
// (Session.Stream), and the less of it gnet has read before, the less is copied.
const readBuffer = 32 << 10

// start makes n loops, each with its bell.
func (e *engine) start(n int) (err error) {
	if e.conns.opts.OwnProcess {
		goroutine.DefaultWorkerPool.Release() // we give it nothing to do, and it wakes the process twice a second
	}
	e.loops = map[gnet.EventLoop]*loop{}
	for range n {
		e.all = append(e.all, &loop{conns: e.conns, blocked: map[int32]*Conn{}})
	}
	if e.client, err = gnet.NewClient(e, gnet.WithNumEventLoop(n), gnet.WithReadBufferCap(readBuffer), gnet.WithLogger(gnetLog{e.conns})); err != nil {
		return err
	}
	if err := e.client.Start(); err != nil {
		return err
	}
	// gnet gives a connection to the loop with the fewest: one bell for each.
	for _, l := range e.all {
		if err := e.addBell(l); err != nil {
			return errors.Join(err, e.stop())
		}
	}
	if len(e.loops) != n {
		return errors.Join(fmt.Errorf("%d of %d loops have a bell", len(e.loops), n), e.stop())
	}
	return nil
}

// addBell hangs up a loop's bell in one of gnet's that has none.
func (e *engine) addBell(l *loop) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(ends[0]), "bell")
	bell, err := net.FileConn(file) // a duplicate
	_ = file.Close()
	if err != nil {
		_ = unix.Close(ends[1])
		return err
	}
	l.rope = ends[1]
	if l.writable, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		_, _ = bell.Close(), unix.Close(l.rope)
		return os.NewSyscallError("epoll_create1", err)
	}
	l.w = session.NewWorker(e.conns.env)
	l.w.Out.Pins, l.w.Streams = true, true
	if _, err := e.client.EnrollContext(bell, l); err != nil {
		l.close()
		return err
	}
	return l.err // EnrollContext has waited for OnOpen; from there on stop closes it
}

// stop ends the loops, which closes all connections, and waits for that.
func (e *engine) stop() error {
	err := e.client.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.loops {
		l.close()
	}
	return err
}

func (l *loop) close() {
	_ = unix.Close(l.rope)
	_ = unix.Close(l.writable)
	if w := &l.waits; w.file != nil {
		_ = w.file.Close()
		if w.both >= 0 {
			_ = unix.Close(w.both)
		}
	}
}

// opened is called on the loop when its bell is there.
func (l *loop) opened(gc gnet.Conn) {
	l.bell, l.bellFd = gc, gc.Fd()
	if l.epoll, l.err = epollOf(l.bellFd); l.err != nil {
		return
	}
	l.report(false)
	l.err = errors.Join(l.openGate(), l.add(l.epoll, l.writable, l.bellFd, unix.EPOLLIN))
	l.ring()
}

// epollOf finds the epoll instance that has a descriptor of ours, which gnet keeps to itself: the
// one that lets us change it. What it is changed to is what gnet has asked for.
func epollOf(fd int) (int, error) {
	ev := unix.EpollEvent{Events: readEvents, Fd: int32(fd)}
	epoll := findEpoll(func(epoll int) bool { return unix.EpollCtl(epoll, unix.EPOLL_CTL_MOD, fd, &ev) == nil })
	if epoll < 0 {
		return 0, errors.New("gnet does not wait with an epoll instance of this process")
	}
	return epoll, nil
}

// findEpoll is the first descriptor that passes, or -1.
func findEpoll(passes func(fd int) bool) int {
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // 0 then: not found
	for fd := range int(min(limit.Cur, 1<<20)) {
		if passes(fd) {
			return fd
		}
	}
	return -1
}

// readEvents is what gnet asks for.
const readEvents = unix.EPOLLIN | unix.EPOLLPRI

func (l *loop) add(epoll, fd, as int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(as)}))
}

// report says whether the bell is reported while there is a byte in it, which is always.
func (l *loop) report(bell bool) {
	ev := unix.EpollEvent{Fd: int32(l.bellFd)}
	if bell {
		ev.Events = unix.EPOLLIN
	}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, l.bellFd, &ev) // it is there
}

// forget takes a descriptor out of gnet's epoll instance.
func (l *loop) forget(fd int) { _ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) } // it is there

// ring puts the next byte into the bell.
func (l *loop) ring() {
	one := [1]byte{}
	_, _ = transfer(unix.SYS_WRITE, l.rope, unsafe.Pointer(&one[0]), 1) // it has room: what was there has been read
}

// whoHasCome puts those in line whose sockets take more, and accepts.
func (l *loop) whoHasCome() {
	for len(l.blocked) > 0 || len(l.conns.doors) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.writable), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0)
		if errno != 0 {
			return
		}
		for _, ev := range l.events[:n] {
			if ev.Pad > 0 {
				l.accept(l.conns.doors[ev.Pad-1])
				continue
			}
			c := l.blocked[ev.Fd]
			delete(l.blocked, ev.Fd)
			switch {
			case c == nil:
			case c.phase() == held: // it is no more
				c.end()
			default:
				c.queue()
			}
		}
		if int(n) < len(l.events) {
			return
		}
	}
}

// block waits until a connection's socket takes more.
func (l *loop) block(c *Conn) bool { return l.register(c, unix.EPOLLOUT) }

// watch waits until a connection that is held is no more: reset, that is. Who has only stopped sending
// may still read. Of a unix socket one cannot tell.
func (l *loop) watch(c *Conn) {
	if _, ok := c.remote.(*net.TCPAddr); ok {
		_ = l.register(c, 0) // or it will be noticed when it is served
	}
}

func (l *loop) register(c *Conn, events uint32) bool {
	l.blocked[int32(c.fd)] = c
	ev := unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(c.fd)}
	return unix.EpollCtl(l.writable, unix.EPOLL_CTL_MOD, c.fd, &ev) == nil ||
		unix.EpollCtl(l.writable, unix.EPOLL_CTL_ADD, c.fd, &ev) == nil // the first time
}

// take has the loop serve a descriptor that it has accepted. When it fails the descriptor is closed.
func (l *loop) take(fd int, c *Conn) error {
	type value struct{ _, data unsafe.Pointer } // an interface's
	gc, eventLoop := l.bell, l.bell.EventLoop() // gc has the type for now
	of := (*value)(unsafe.Pointer(&eventLoop)).data
	made := newStreamConn("tcp", fd, of, nil, nil, nil)
	(*value)(unsafe.Pointer(&gc)).data = made
	gc.SetContext(c)
	c.loop = l
	return register0(of, made)
}

// fewest is the loop with the fewest connections: the one that is preferred, if it is among them.
func (e *engine) fewest(preferred *loop) *loop {
	for _, l := range e.all {
		if preferred == nil || l.crowd.Load() < preferred.crowd.Load() {
			preferred = l
		}
	}
	return preferred
}

// adopt gives an accepted socket to the loop with the fewest connections. gnet duplicates the
// descriptor and closes ours.
func (e *engine) adopt(c *Conn, socket net.Conn) error {
	e.asked.Add(+1)
	defer e.asked.Add(-1)
	if _, err := e.client.EnrollContext(socket, c); err != nil {
		return err
	}
	if !c.opened.Load() {
		return errors.New("its loop could not watch it")
	}
	return nil
}

// OnOpen is called when a loop has taken a connection over.
func (e *engine) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	switch c := gc.Context().(type) {
	case *loop:
		c.opened(gc)
		e.mu.Lock()
		e.loops[gc.EventLoop()] = c
		e.mu.Unlock()
	case *Conn:
		if c.loop == nil { // adopted
			e.mu.Lock()
			c.loop = e.loops[gc.EventLoop()]
			e.mu.Unlock()
		}
		c.open(gc)
		c.begin()
	}
	return nil, gnet.None
}

// OnTraffic is called when input has come, and after a Wake.
func (e *engine) OnTraffic(gc gnet.Conn) gnet.Action {
	var l *loop
	switch c := gc.Context().(type) {
	case *Conn:
		if !c.event() {
			return gnet.Close
		}
		l = c.loop
	case *loop:
		_, _ = gc.Discard(-1)
		c.ring()
		c.turn()
		l = c
	}
	seldom := false
	switch {
	case l.mayWait():
		seldom = l.wait()
	case l.conns.quiet():
		l.tellWork()
	}
	if (!seldom || l.conns.opts.Sockets > 0) && !e.awake.Load() { // or what the kernel holds has to be bounded
		e.awake.Store(true)
	}
	return gnet.None
}

// OnClose is called once for every connection that was opened, when it is closed by us (nil), by
// the client (io.EOF), or by an accident.
func (e *engine) OnClose(gc gnet.Conn, err error) gnet.Action {
	if c, ok := gc.Context().(*Conn); ok {
		c.closed(errors.Is(err, io.EOF))
	}
	return gnet.None
}

// socket is a client's socket. What is done with it is in socket.go, but for what needs gnet.
type socket struct {
	loop          *loop
	secure        *secure // nil: what is said is not encrypted
	gc            gnet.Conn
	fd            int
	local, remote net.Addr
	paused        bool
}

func (s *socket) open(gc gnet.Conn) {
	s.gc, s.fd = gc, gc.Fd()
	if s.local == nil {
		s.local = gc.LocalAddr()
	}
	if s.remote == nil { // who shakes hands has one, and others may look at it
		s.remote = gc.RemoteAddr()
	}
	if s.secure != nil {
		s.secure.open(s.loop)
	}
}

// input is what gnet has read and nobody has consumed. It is gnet's, until consume.
func (s *socket) input() []byte {
	if s.secure != nil {
		return s.decrypted()
	}
	in, _ := s.gc.Peek(-1) // everything there is: cannot fail
	return in
}

// left is how much input there is that nobody has consumed.
func (s *socket) left() int { return s.gc.InboundBuffered() + s.secure.left() }

// consume drops the first n bytes of input.
func (s *socket) consume(n int) {
	switch {
	case s.secure != nil:
		s.secure.consume(n)
	case n > 0:
		_, _ = s.gc.Discard(n)
	}
}

// wake has the loop call event. It may be called from any goroutine; of a connection that is no
// more nothing happens.
func (s *socket) wake() { s.loop.conns.engine.ask(s.gc.Wake) }

// ask has the loop close the connection; from any goroutine.
func (s *socket) ask() { s.loop.conns.engine.ask(s.gc.CloseWithCallback) }

// ask has gnet do something, unless the loops are going away.
func (e *engine) ask(call func(gnet.AsyncCallback) error) {
	e.conns.unlessStopped(func() {
		e.asked.Add(+1)
		if call(e.done) != nil {
			e.asked.Add(-1)
		}
	})
}

// done is called when gnet has done it.
func (e *engine) done(gnet.Conn, error) error {
	e.asked.Add(-1)
	return nil
}

// end closes the connection, on its loop, but not from within event.
func (s *socket) end() { _ = s.gc.EventLoop().Close(s.gc) }

// gnetLog passes gnet's complaints on at -v, and drops its chatter.
type gnetLog struct{ conns *Conns }

var _ logging.Logger = gnetLog{}

func (gnetLog) Debugf(string, ...any) {}
func (gnetLog) Infof(string, ...any)  {}

func (l gnetLog) Warnf(format string, args ...any)  { l.conns.env.Warn(format+"\n", args...) }
func (l gnetLog) Errorf(format string, args ...any) { l.conns.env.Warn(format+"\n", args...) }
func (l gnetLog) Fatalf(format string, args ...any) { l.conns.env.Warn(format+"\n", args...) }
