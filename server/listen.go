package server

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// We accept connections ourselves and hand them to gnet's loops. gnet's own acceptor ends the whole engine on EMFILE,
// removes whatever stands at a unix socket's path, and cannot be given a backlog; see
// docs/decisions/0001-accept-outside-gnet.md.

const (
	// acceptors is how many goroutines accept on one listener: handing a connection to its loop waits for that loop,
	// which may be busy for a moment.
	acceptors = 2
	// acceptPause is how long accepting rests when the process is out of file descriptors, or full, before it looks again.
	acceptPause = 10 * time.Millisecond
	// reservedFiles are the descriptors that are not for clients: listeners, epoll, standard streams and the like.
	reservedFiles = 64
)

// listen opens every address of the options, or none.
func listen(opts Options) (open []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(open)
		}
	}()
	for _, addr := range opts.Listen {
		l, err := listenTCP(addr, opts.Backlog)
		if err != nil {
			return open, err
		}
		open = append(open, l)
	}
	if opts.UnixSocket != "" {
		l, err := listenUnix(opts.UnixSocket, opts.UnixMask, opts.Backlog)
		if err != nil {
			return open, err
		}
		open = append(open, l)
	}
	return open, nil
}

func listenTCP(addr string, backlog int) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAlive: -1, // not Go's 15 seconds: idle clients would be probed all day. What follows is the kernel's two hours
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { // inherited by what is accepted
				return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			})
		},
	}
	l, err := config.Listen(context.Background(), networkOf(addr), addr)
	if err != nil {
		return nil, err
	}
	return l, setBacklog(l.(*net.TCPListener), backlog)
}

// networkOf keeps an address to its family: for package net, 0.0.0.0 means IPv6 too unless it is told otherwise.
func networkOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil: // no host, or a name: both families
		return "tcp"
	case ip.Is4():
		return "tcp4"
	default:
		return "tcp6"
	}
}

func listenUnix(path string, mask os.FileMode, backlog int) (net.Listener, error) {
	if err := socketFile(path); err != nil {
		return nil, err
	}
	// The mask is set before the file exists, so that nobody connects in between who may not. It is the whole
	// process's, but this is start-up.
	old := unix.Umask(int(^mask & 0o777))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, setBacklog(l, backlog)
}

// setBacklog calls listen(2) once more, which is how the queue of a listening socket is resized: package net always asks
// for the system's maximum.
func setBacklog(l syscall.Conn, backlog int) error {
	c, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return os.NewSyscallError("listen", unix.Listen(fd, backlog)) })
}

// control runs f on a connection's descriptor.
func control(c syscall.RawConn, f func(fd int) error) (err error) {
	if outer := c.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // nothing is lost with a listener
	}
}

// accept takes clients from a listener until it is closed. One beyond MaxConns gets memcached's line and is closed, or waits.
func (srv *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or a client that left while it was queued
			srv.conns.pause(func() { time.Sleep(acceptPause) })
			continue
		}
		if !srv.admit() {
			_, _ = c.Write([]byte(protocol.TooManyConns.Line())) // a courtesy; it fits any socket's buffer
			_ = c.Close()
			continue
		}
		if err := srv.loops.adopt(&conn{srv: srv}, c); err != nil {
			srv.conns.current.Add(-1)
			if srv.env.Verbosity.Load() > 0 {
				srv.env.Logf("cannot serve %s: %v\n", c.RemoteAddr(), err)
			}
		}
	}
}

// admit counts a client in, or not. With MaxConnsWait it takes the time until there is room.
func (srv *Server) admit() bool {
	cs, limit := &srv.conns, srv.opts.MaxConns
	if cs.admit(limit) {
		return true
	}
	if !srv.opts.MaxConnsWait {
		cs.rejected.Add(1)
		return false
	}
	admitted := false
	cs.pause(func() {
		for !admitted {
			select {
			case <-srv.stop:
				return
			case <-time.After(acceptPause):
				admitted = cs.admit(limit)
			}
		}
	})
	return admitted
}

// connections counts and lists the clients.
type connections struct {
	current  atomic.Int64
	total    atomic.Uint64
	rejected atomic.Uint64

	pausedNow    atomic.Int32
	pauses       atomic.Uint64
	pausedMicros atomic.Uint64

	budget budget

	mu       sync.Mutex
	all      map[*conn]struct{}
	draining map[*drain]struct{}
}

// admit counts a client in unless there are limit of them.
func (cs *connections) admit(limit int) bool {
	for {
		n := cs.current.Load()
		if n >= int64(limit) {
			return false
		}
		if cs.current.CompareAndSwap(n, n+1) {
			cs.total.Add(1)
			return true
		}
	}
}

// pause counts the time that an acceptor rests.
func (cs *connections) pause(rest func()) {
	cs.pauses.Add(1)
	cs.pausedNow.Add(1)
	start := time.Now()
	rest()
	cs.pausedNow.Add(-1)
	cs.pausedMicros.Add(uint64(time.Since(start).Microseconds()))
}

// numbers is what stats tells of them.
func (cs *connections) numbers() stats.Conns {
	return stats.Conns{
		Current: uint64(cs.current.Load()), Total: cs.total.Load(), Rejected: cs.rejected.Load(), ReservedFDs: reservedFiles,
		Paused: cs.pausedNow.Load() > 0, Pauses: cs.pauses.Load(), PausedMicros: cs.pausedMicros.Load(),
	}
}

func (cs *connections) add(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.all == nil {
		cs.all = map[*conn]struct{}{}
	}
	cs.all[c] = struct{}{}
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	delete(cs.all, c)
	cs.mu.Unlock()
	cs.budget.release(c)
	cs.current.Add(-1)
}

// closeIdle closes the TCP clients between two commands that have said nothing for more than IdleTimeout. A request that is on
// its way at this very moment is lost, as with any such timeout.
func (srv *Server) closeIdle() {
	allowed := expiry.Instant(srv.opts.IdleTimeout / time.Second)
	now := srv.clock.Now()
	for _, c := range srv.conns.list() {
		_, byTCP := c.remote.(*net.TCPAddr)
		waits := session.State(c.lastState.Load()).Waits()
		if byTCP && waits && c.still(now) > allowed && !c.kicked.Swap(true) {
			srv.env.Late.AddNow(stats.IdleKicks, 1)
			_ = c.gc.Close() // by its loop
		}
	}
}

// clients are the listeners, then the clients, by descriptor.
func (srv *Server) clients() (all []stats.Conn) {
	for _, l := range srv.listeners {
		fd := 0
		if c, err := l.(syscall.Conn).SyscallConn(); err == nil {
			_ = control(c, func(n int) error { fd = n; return nil })
		}
		all = append(all, stats.Conn{FD: fd, Addr: addressText(l.Addr()), State: "conn_listening",
			Quiet: uint64(srv.clock.Now() - srv.clock.Started())})
	}
	for _, c := range srv.conns.list() {
		local := c.local
		if _, ok := local.(*net.UnixAddr); ok {
			local = &net.UnixAddr{Name: srv.opts.UnixSocket} // an accepted one has no name
		}
		all = append(all, stats.Conn{FD: c.fd, Addr: addressText(c.remote), Listen: addressText(local),
			State: session.State(c.lastState.Load()).String(), Quiet: uint64(srv.clock.Now()) - uint64(c.lastServed.Load())})
	}
	return all
}

// resetStats starts over what is a count.
func (cs *connections) resetStats() {
	cs.total.Store(0)
	cs.rejected.Store(0)
}

// list is the clients in the order of their descriptors.
func (cs *connections) list() []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.SortedFunc(maps.Keys(cs.all), func(a, b *conn) int { return a.fd - b.fd })
}

// addressText is an address as stats conns prints it.
func addressText(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		if strings.Contains(a.IP.String(), ":") {
			return "tcp6:" + a.String()
		}
		return "tcp:" + a.String()
	case *net.UnixAddr:
		return "unix:" + a.Name
	default:
		return "?"
	}
}
