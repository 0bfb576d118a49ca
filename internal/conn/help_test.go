package conn

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/invariants"
	"github.com/gomemd/gomemd/internal/sched"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// options say what a test's fixture is like. The zero value of a field is the server's default.
type options struct {
	tls   bool // -tls sets it for all tests …
	plain bool // … but for those that are about the bytes of a socket

	config *tls.Config // nil: testTLS

	loops        int
	maxConns     int
	maxConnsWait bool
	idle         time.Duration
	memory       int64
	sockets      int64
	quiet        bool

	addr string // where to listen; "": 127.0.0.1:0
	unix bool   // a unix socket instead of TCP …
	mask uint32 // … with this mask
	udp  string // beside it, an address for datagrams

	passwords string // a file; "": nobody has to log in

	reqs      int
	store     storage.Options
	verbosity uint32
	log       io.Writer
	clock     *expiry.Clock // moved by hand, with step; nil: real time, and it ticks by itself
}

// fixture is what package server makes of this package, without package server.
type fixture struct {
	t     testing.TB
	tls   bool
	env   session.Env
	clock *expiry.Clock
	store *storage.Store
	conns *Conns

	quit    chan struct{}
	ticking sync.WaitGroup
	stopped sync.Once
}

// start opens a fixture that stands until the test ends.
func start(t testing.TB, o options) *fixture {
	t.Helper()
	orElse(&o.loops, 4)
	orElse(&o.maxConns, 1024)
	orElse(&o.memory, 16<<20)
	orElse(&o.reqs, 20)
	orElse(&o.mask, 0o700)
	o.tls = (o.tls || *overTLS) && !o.unix && !o.plain
	orElse(&o.store.MemoryLimit, 64<<20)
	orElse(&o.store.ItemMax, 1<<20)
	if o.log == nil {
		o.log = os.Stderr
	}
	h := &fixture{t: t, tls: o.tls, clock: o.clock, quit: make(chan struct{})}
	started := time.Now()
	started = started.Add(-time.Duration(started.Nanosecond()))
	if h.clock == nil {
		h.clock = expiry.NewClock(started.Unix())
	}
	o.store.HeapArena = invariants.Enabled
	var err error
	if h.store, err = storage.Open(o.store, h.clock); err != nil {
		t.Fatal(err)
	}
	listen := ListenOptions{TCP: []Address{{Addr: cmp.Or(o.addr, "127.0.0.1:0")}}, UnixMask: os.FileMode(o.mask), Backlog: 1024}
	if o.tls {
		listen.TCP[0].TLS = PerTLS
	}
	if o.unix {
		listen.TCP, listen.Unix = nil, filepath.Join(t.TempDir(), "socket")
	}
	if o.udp != "" {
		listen.UDP = []string{o.udp}
	}
	listeners, err := Listen(listen)
	if err != nil {
		t.Fatal(err)
	}
	env := &h.env
	env.Store, env.Clock, env.Started, env.Log = h.store, h.clock, started, o.log
	env.Hub = events.NewHub(h.store, 256<<10, ':')
	env.Rules = session.Rules{ReqsPerEvent: o.reqs, ItemMax: o.store.ItemMax}
	env.Settings = stats.Settings{IdleTimeout: o.idle, MaxConns: o.maxConns, MaxConnsWait: o.maxConnsWait, ReqsPerEvent: o.reqs}
	env.Version, env.EventLoop = "a test", EventLoop
	if o.passwords != "" {
		if env.Passwords, err = session.LoadPasswords(o.passwords, nil); err != nil {
			t.Fatal(err)
		}
	}
	env.Verbosity.Store(o.verbosity)
	env.End = func(bool) {}
	load := sched.New(nil)
	load.Quiet.Store(o.quiet)
	h.conns = New(Options{
		Loops: o.loops, MaxConns: o.maxConns, MaxConnsWait: o.maxConnsWait, IdleTimeout: o.idle,
		Memory: o.memory, Sockets: o.sockets, Load: load, UnixSocket: listen.Unix,
		TLS: func(TLS) *tls.Config { return cmp.Or(o.config, testTLS()) },
	}, env)
	env.Conns, env.ResetConns, env.Clients = h.conns.Numbers, h.conns.ResetCounts, h.conns.List
	env.HeldByClients = func() uint64 { return uint64(h.holds()) }
	if err := h.conns.Start(listeners); err != nil {
		t.Fatal(err)
	}
	if o.clock == nil {
		h.ticking.Go(h.ticks)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func orElse[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// stop ends it as server.Shutdown does, and looks the store over. Only the first call does.
func (h *fixture) stop() (err error) {
	h.stopped.Do(func() {
		close(h.quit)
		h.ticking.Wait()
		err = h.conns.Stop(context.Background())
		h.env.Wait()
		if e := h.store.Check(); e != nil {
			h.t.Error(e)
		}
		if e := h.store.Close(); e != nil {
			h.t.Error(e)
		}
	})
	return err
}

func (h *fixture) ticks() {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-h.quit:
			return
		case <-ticker.C:
			h.env.SetClock()
			h.tick()
		}
	}
}

func (h *fixture) tick() {
	for h.store.Sweep() {
	}
	h.env.FlushEvictions()
	h.conns.Tick()
}

// step lets seconds go by, of a clock that is moved by hand.
func (h *fixture) step(seconds int) {
	h.clock.Set(h.clock.Now() + expiry.Instant(seconds))
	h.tick()
}

// aClock is one that is moved by hand, forwards or back.
func aClock() *expiry.Clock {
	clock := expiry.NewClock(1_700_000_000)
	clock.Set(expiry.Start + 10_000)
	return clock
}

func (h *fixture) addr() net.Addr { return h.conns.Addrs()[0] }

// holds is what is held for all clients, outside the store.
func (h *fixture) holds() int64 { now, _ := h.conns.Memory(); return now }

func (h *fixture) counted(c stats.Counter) uint64 { return h.env.Sums()[c] }

// in counts the connections that are in a phase.
func (h *fixture) in(p phase) (n int) {
	for _, c := range h.conns.list() {
		if c.phase() == p {
			n++
		}
	}
	return n
}

// client is one end of a real connection, with a bound on its patience.
type client struct {
	t testing.TB
	h *fixture
	net.Conn
	r *bufio.Reader
}

const patience = 30 * time.Second

func dial(t testing.TB, h *fixture) *client {
	t.Helper()
	return dialSmall(t, h, 0)
}

// dialSmall makes a client whose system takes no more than some bytes of what it does not read; 0:
// as much as usual.
func dialSmall(t testing.TB, h *fixture, buffer int) *client {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if buffer == 0 {
				return nil
			}
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		})
	}}
	c, err := dialer.Dial(h.addr().Network(), h.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	if h.tls {
		over := tls.Client(c, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
		go func() { _ = over.Handshake() }() // whoever reads or writes waits for it, and sees how it ends
		c = over
	}
	return clientOf(t, h, c)
}

// slow makes a client for whom the sockets at both ends take little: what it does not read waits
// with us.
func slow(t testing.TB, h *fixture) *client {
	t.Helper()
	c := dialSmall(t, h, 4<<10)
	if err := unix.SetsockoptInt(c.served().fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil {
		t.Fatal(err)
	}
	return c
}

// served is the other end of a TCP connection, when it is there. Descriptors do not say who came
// first.
func (c *client) served() (served *Conn) {
	c.t.Helper()
	eventually(c.t, "a client is there", func() bool { served = c.there(); return served != nil })
	return served
}

func (c *client) there() *Conn {
	for _, s := range c.h.conns.list() {
		if s.remote.String() == c.LocalAddr().String() {
			return s
		}
	}
	return nil
}

// onLoop runs f where everything of the connection belongs, and waits for it.
func (c *Conn) onLoop(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := c.gc.EventLoop().Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		f()
		close(done)
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("a loop does nothing")
	}
}

// stand asks the loop of a connection to stand, and does not wait for that: stands tells that it
// does, until goOn is called.
func (c *Conn) stand(t testing.TB) (stands <-chan bool, goOn func()) {
	t.Helper()
	standing, going := make(chan bool), make(chan bool)
	if err := c.gc.EventLoop().Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		close(standing)
		<-going
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	return standing, func() { close(going) }
}

// standing has the loop of a connection stand while f is run, so that all of what f says comes at
// once. Nobody can be let in meanwhile.
func (c *Conn) standing(t testing.TB, f func()) {
	t.Helper()
	stands, goOn := c.stand(t)
	defer goOn()
	<-stands
	f()
}

// sayAtOnce says what is found at the other end all together.
func (c *client) sayAtOnce(text string) {
	c.t.Helper()
	s := c.served()
	s.standing(c.t, func() {
		c.say(text)
		eventually(c.t, "all of it is there", func() bool { return s.unread() == len(text) })
	})
}

// waits waits until the other end is in a phase.
func (c *client) waits(p phase) *Conn {
	c.t.Helper()
	s := c.served()
	eventually(c.t, fmt.Sprint("a connection is in phase ", p), func() bool { return s.phase() == p })
	return s
}

// amid waits until a session is known to be in a state, which is noted when a read event ends.
func (c *client) amid(state session.State) *Conn {
	c.t.Helper()
	s := c.served()
	eventually(c.t, "a client is in the middle of "+state.String(), func() bool { return s.state.Load() == uint32(state) })
	return s
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if string(got[:n]) != want {
		c.t.Fatalf("heard %.200q (%v), want %.200q", got[:n], err, want)
	}
}

func (c *client) hearEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("heard %.200q (%v), want the end", rest, err)
	}
}

// hearGone hears whatever comes until the connection ends, however it does.
func (c *client) hearGone() {
	c.t.Helper()
	var late net.Error
	if _, err := io.Copy(io.Discard, c.r); err != nil && errors.As(err, &late) && late.Timeout() {
		c.t.Fatal("the connection does not end")
	}
}

// halfClose says that nothing more will be said.
func (c *client) halfClose() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// reset leaves without a goodbye.
func (c *client) reset() {
	_ = socketOf(c.Conn).SetLinger(0)
	_ = c.Close()
}

// ping asks for next to nothing, and hears it.
func (c *client) ping() {
	c.t.Helper()
	c.say("mn\r\n")
	c.hear("MN\r\n")
}

// stat asks for one statistic, memcached's or one of ours.
func (c *client) stat(name string) string {
	c.t.Helper()
	c.say("stats\r\nstats gomemd\r\n")
	value := ""
	for ends := 0; ; {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line == "END\r\n" {
			if ends++; ends == 2 {
				return value
			}
		}
		if words := strings.Fields(line); len(words) == 3 && words[1] == name {
			value = words[2]
		}
	}
}

// fill stores a value of n bytes and gives the reply that a get of it draws.
func (c *client) fill(key string, n int) (reply string) {
	c.t.Helper()
	value := text(len(key)+int(key[len(key)-1]), n)
	c.say(fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, n, value))
	c.hear("STORED\r\n")
	return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, n, value)
}

// text is n letters in which no place looks like another nearby.
func text(seed, n int) string {
	all := make([]byte, n)
	state := uint32(seed)*2654435761 + 1
	for i := range all {
		state = state*1664525 + 1013904223
		all[i] = 'a' + byte(state>>24)%26
	}
	return string(all)
}

// eventually waits for what other goroutines are about to do.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("in %v it did not happen that %s", patience, what)
}

// manyReplies of 500,000 bytes are more than the sockets between two ends of a loopback connection
// hold.
const manyReplies = 40

// notes is a log that tests may read while it is written.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(line)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(line []byte) (int, error) { return f(line) }

const ourFiles = "/proc/self/fd"

// openFiles is how many descriptors this process has.
func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir(ourFiles)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// descriptorsOf counts what leads to the same socket.
func descriptorsOf(t testing.TB, fd int) (n int) {
	t.Helper()
	socket, err := os.Readlink(filepath.Join(ourFiles, strconv.Itoa(fd)))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(ourFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if other, _ := os.Readlink(filepath.Join(ourFiles, e.Name())); other == socket { // the directory's own is gone by now
			n++
		}
	}
	return n
}

// written is how many bytes of replies that had to wait have been written since.
func (c *Conn) written() int64 {
	if b := c.behind.Load(); b != nil {
		return b.written.Load()
	}
	return 0
}

// taken is as many of them as the client was last seen to have taken.
func (c *Conn) taken() int64 {
	if b := c.behind.Load(); b != nil {
		return b.taken.Load()
	}
	return 0
}

func clientOf(t testing.TB, h *fixture, c net.Conn) *client {
	return &client{t, h, c, bufio.NewReader(c)}
}
