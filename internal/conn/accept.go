package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/internal/sched"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// We accept connections ourselves, on gnet's loops (door.go) or for them. gnet's own acceptor ends
// the whole engine on EMFILE, removes whatever stands at a unix socket's path, and cannot be given a backlog:
// docs/decisions/0001-accept-outside-gnet.md.

const (
	// acceptors is how many goroutines accept on a listener from which loops do not (door.go): handing
	// a connection to its loop waits for that loop, which may be busy for a moment.
	acceptors = 2
	// acceptPause is how long accepting rests when the process is out of file descriptors, or full,
	// before it looks again.
	acceptPause = 10 * time.Millisecond
	// reservedFiles are the descriptors that are not for clients: listeners, epoll, standard
	// streams and the like.
	reservedFiles = 64
	// flushWithin bounds how long Stop waits for replies that clients are still reading.
	flushWithin = 500 * time.Millisecond
)

// Options are what the connections are told.
type Options struct {
	Loops        int
	MaxConns     int                   // clients at a time; the next one gets an error line …
	MaxConnsWait bool                  // … or waits until somebody leaves
	IdleTimeout  time.Duration         // clients that have said nothing for longer are closed; 0: never
	Memory       int64                 // bytes that all of them may make us hold outside the store
	Sockets      int64                 // bytes that the kernel should hold of them in all (buffers.go); 0: as many as it likes
	TLS          func(TLS) *tls.Config // the configuration in force, of a listener that is encrypted so
	OwnProcess   bool                  // nobody else in this process uses gnet
	Load         *sched.Load           // tells how loops shall wait (wait.go); nil: as gnet does
	UnixSocket   string                // the name of the unix socket, for stats conns
}

// Conns are the clients' connections, their loops and the acceptors.
type Conns struct {
	opts      Options
	env       *session.Env
	began     time.Time // what times are counted from
	listeners []Listener
	doors     []*door // of some of the listeners
	packets   []*packets
	engine    engine

	budget budget // every request reads what is above, and its first word; what is below is written

	current  atomic.Int64
	total    atomic.Uint64
	errands  atomic.Uint64 // those of total who were accepted by goroutines
	rejected atomic.Uint64
	sending  atomic.Int64 // those with replies that wait

	pausedNow    atomic.Int32
	pauses       atomic.Uint64
	pausedMicros atomic.Uint64

	life       context.Context // done when nobody shakes hands any more
	end        func()
	handshakes handshakes

	mu  sync.Mutex
	all map[*Conn]struct{}

	stop      chan struct{}  // closed by Stop
	calling   sync.RWMutex   // held for reading while a loop is called by who does not wait for stop
	accepting sync.WaitGroup // the acceptors and handshakes, who call the loops, and who serve datagrams
}

// New prepares connections that share an Env.
func New(opts Options, env *session.Env) *Conns {
	cs := &Conns{opts: opts, env: env, began: time.Now(), all: map[*Conn]struct{}{}, stop: make(chan struct{})}
	cs.engine.conns = cs
	cs.life, cs.end = context.WithCancel(context.Background())
	cs.handshakes = newHandshakes(opts.Memory)
	cs.budget.max, cs.budget.holders, cs.budget.close = opts.Memory, map[*Conn]int{}, (*Conn).close
	return cs
}

// Start serves the clients who come to the listeners, which are the connections' own from here on,
// also when it fails.
func (cs *Conns) Start(listeners []Listener) error {
	cs.listeners = listeners
	var err error
	if err = cs.openDoors(); err == nil {
		err = cs.engine.start(cs.opts.Loops)
	}
	if err != nil {
		cs.StopAccepting()
		return err
	}
	for _, d := range cs.doors {
		if err := d.watch(cs.engine.fewest(nil)); err != nil {
			cs.StopAccepting()
			return errors.Join(err, cs.engine.stop())
		}
	}
	for _, l := range listeners {
		if l.Packets != nil {
			cs.packets = append(cs.packets, newPackets(cs, l.Packets))
		}
	}
	for _, p := range cs.packets {
		cs.accepting.Go(p.run)
	}
	for _, l := range listeners {
		if l.Packets != nil || loopsAccept(l) {
			continue
		}
		for range acceptors {
			cs.accepting.Go(func() { cs.accept(l) })
		}
	}
	return nil
}

// Addrs are the addresses of the listeners.
func (cs *Conns) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(cs.listeners))
	for i, l := range cs.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// StopAccepting closes the listeners.
func (cs *Conns) StopAccepting() {
	for _, d := range cs.doors {
		d.close()
	}
	CloseAll(cs.listeners)
}

// Stop stops accepting, gives replies in flight half a second (or until the context is done) to be
// sent, and closes all connections and loops. It is called once.
func (cs *Conns) Stop(ctx context.Context) error {
	cs.calling.Lock()
	close(cs.stop)
	cs.calling.Unlock()
	cs.end()
	cs.StopAccepting()
	cs.accepting.Wait() // while the loops run: one that has ended leaves whoever hands it a client waiting forever
	ctx, cancel := context.WithTimeout(ctx, flushWithin)
	defer cancel()
	for cs.sending.Load() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	if n := cs.sending.Load(); n > 0 {
		cs.env.Warn("the server ends: %d clients have not taken all of their replies in time\n", n)
	}
	return cs.engine.stop()
}

// unlessStopped calls what calls a loop from outside, unless the loops are going away. Whoever
// looked at stop before that is waited for: gnet's Wake and Close write to a descriptor of the
// loop's, which ending it closes, and which may be somebody else's by then. (Of gnet 2.10.0 it can
// be shown that they do not: a loop that was told to end leaves the mark that it has been woken,
// and then nothing is written. That is nothing to rely on.)
func (cs *Conns) unlessStopped(call func()) {
	cs.calling.RLock()
	defer cs.calling.RUnlock()
	if !cs.stopped() {
		call()
	}
}

// stopped tells whether Stop has been called.
func (cs *Conns) stopped() bool {
	select {
	case <-cs.stop:
		return true
	default:
		return false
	}
}

// accept takes clients from a listener until it is closed, and hands them to loops: those who shake
// hands first. From other listeners loops accept (door.go). A client beyond MaxConns gets memcached's
// line and is closed, or waits.
func (cs *Conns) accept(l Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or a client that left while it was queued
			cs.sayNoFiles(err)
			cs.rest(func() { time.Sleep(acceptPause) })
			continue
		}
		if !cs.admit() {
			_, _ = c.Write([]byte(protocol.TooManyConns.Line())) // a courtesy; it fits any socket's buffer
			_ = c.Close()
			continue
		}
		cs.total.Add(1)
		cs.errands.Add(1)
		if tcp, ok := c.(*net.TCPConn); ok {
			cs.prepare(descriptorOf(tcp))
		}
		client := &Conn{conns: cs, wire: l.Wire}
		if l.TLS != NoTLS {
			config := cs.opts.TLS(l.TLS)
			cs.accepting.Go(func() { cs.shake(c, client, config) })
			continue
		}
		if err := cs.engine.adopt(client, c); err != nil {
			cs.current.Add(-1)
			cs.env.Warn("cannot serve %s: %v\n", c.RemoteAddr(), err)
		}
	}
}

// admit counts a client in, or not. With MaxConnsWait it takes the time until there is room.
func (cs *Conns) admit() bool {
	admitted := cs.admitAtOnce()
	switch {
	case admitted:
	case cs.opts.MaxConnsWait:
		cs.sayCrowded()
		cs.rest(func() { admitted = cs.await(cs.admitAtOnce) })
	default:
		cs.sayCrowded()
		cs.rejected.Add(1)
	}
	return admitted
}

// admitAtOnce counts a client in unless there are MaxConns of them.
func (cs *Conns) admitAtOnce() bool {
	for {
		n := cs.current.Load()
		if n >= int64(cs.opts.MaxConns) {
			return false
		}
		if cs.current.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// hasRoom tells whether one more could be admitted.
func (cs *Conns) hasRoom() bool { return cs.current.Load() < int64(cs.opts.MaxConns) }

// await looks every acceptPause whether something is so. False: it was not when the server ended.
func (cs *Conns) await(what func() bool) bool {
	for !what() {
		select {
		case <-cs.stop:
			return false
		case <-time.After(acceptPause):
		}
	}
	return true
}

func (cs *Conns) sayNoFiles(err error) {
	cs.env.Say(session.NoFiles, "cannot accept a client (open files: ulimit -n): %v\n", err)
}

func (cs *Conns) sayCrowded() {
	cs.env.Say(session.Crowded, "as many clients as -c allows, %d: the next is turned away, or waits with -o no_maxconns_fast\n", cs.opts.MaxConns)
}

// rest counts the time that an acceptor rests.
func (cs *Conns) rest(rest func()) {
	cs.pauses.Add(1)
	cs.pausedNow.Add(1)
	start := time.Now()
	rest()
	cs.pausedNow.Add(-1)
	cs.pausedMicros.Add(uint64(time.Since(start).Microseconds()))
}

// Numbers is what stats tells of them.
func (cs *Conns) Numbers() stats.Conns {
	return stats.Conns{
		Current: uint64(cs.current.Load()), Behind: uint64(max(cs.sending.Load(), 0)), Total: cs.total.Load(), Rejected: cs.rejected.Load(), ReservedFDs: reservedFiles,
		Paused: cs.pausedNow.Load() > 0, Pauses: cs.pauses.Load(), PausedMicros: cs.pausedMicros.Load(),
	}
}

// Errands is how many clients have needed goroutines beside the loops before they were served.
func (cs *Conns) Errands() uint64 { return cs.errands.Load() }

// ResetCounts starts the counts over (stats reset).
func (cs *Conns) ResetCounts() {
	cs.total.Store(0)
	cs.rejected.Store(0)
}

// Memory is what is held for all of them outside the store, and the most that ever was.
func (cs *Conns) Memory() (now, peak int64) { return cs.budget.total() }

func (cs *Conns) add(c *Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all[c] = struct{}{}
}

func (cs *Conns) remove(c *Conn) {
	cs.mu.Lock()
	delete(cs.all, c)
	cs.mu.Unlock()
	cs.budget.release(c)
	cs.current.Add(-1)
}

// list is the clients in the order of their descriptors.
func (cs *Conns) list() []*Conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.SortedFunc(maps.Keys(cs.all), func(a, b *Conn) int { return a.fd - b.fd })
}

// List gives the listeners, those for datagrams last, then the clients there are now, by descriptor:
// one with each call.
func (cs *Conns) List() (next func() (stats.Conn, bool)) {
	clock, listeners, packets, clients := cs.env.Clock, cs.listeners, cs.packets, cs.list()
	return func() (stats.Conn, bool) {
		for len(listeners) > 0 {
			l := listeners[0]
			listeners = listeners[1:]
			if l.Packets != nil {
				continue
			}
			return stats.Conn{FD: descriptorOf(l.Listener.(syscall.Conn)), Addr: addressText(l.Addr()), State: "conn_listening",
				Quiet: uint64(clock.Now() - clock.Started())}, true
		}
		if len(packets) > 0 {
			p := packets[0]
			packets = packets[1:]
			return p.stat(), true
		}
		for len(clients) > 0 {
			c := clients[0]
			clients = clients[1:]
			if c.phase() == gone {
				continue
			}
			local := c.local
			if _, ok := local.(*net.UnixAddr); ok {
				local = &net.UnixAddr{Name: cs.opts.UnixSocket} // an accepted one has no name
			}
			return stats.Conn{FD: c.fd, Addr: addressText(c.remote), Listen: addressText(local),
				State: c.stateText(), Quiet: uint64(clock.Now()) - uint64(c.served.Load())}, true
		}
		return stats.Conn{}, false
	}
}

// stateText is the state's name in stats conns, which is memcached's.
func (c *Conn) stateText() string {
	if c.phase() == blocked {
		return "conn_mwrite"
	}
	return session.State(c.state.Load()).String()
}

// addressText is an address as stats conns prints it.
func addressText(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		if strings.Contains(a.IP.String(), ":") {
			return "tcp6:" + a.String()
		}
		return "tcp:" + a.String()
	case *net.UDPAddr:
		if strings.Contains(a.IP.String(), ":") {
			return "udp6:" + a.String()
		}
		return "udp:" + a.String()
	case *net.UnixAddr:
		return "unix:" + a.Name
	default:
		return "?"
	}
}
