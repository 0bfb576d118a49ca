package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

func startServer(t testing.TB, opts Options) *Server {
	t.Helper()
	if opts.Listen == nil && opts.UnixSocket == "" {
		opts.Listen = []string{"127.0.0.1:0"}
	}
	srv, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.store.Check(); err != nil {
			t.Error(err)
		}
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// client is one end of a real connection, with a bound on its patience.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, srv *Server) *client {
	t.Helper()
	addr := srv.Addrs()[0]
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, c, bufio.NewReader(c)}
}

// served is the server's end of a TCP connection, nil while it has none. Descriptors do not say who came first.
func (c *client) served(srv *Server) *conn {
	for _, s := range srv.conns.list() {
		if s.remote.String() == c.LocalAddr().String() {
			return s
		}
	}
	return nil
}

// amidValue waits until the server knows that a client is in the middle of a value, which it notes when a read event ends.
func (c *client) amidValue(srv *Server) {
	c.t.Helper()
	eventually(c.t, "a client is in the middle of a value", func() bool {
		s := c.served(srv)
		return s != nil && s.lastState.Load() == uint32(session.StateValue)
	})
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

// eventually waits for what other goroutines are about to do.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("in 20 seconds it did not happen that %s", what)
}

// fill stores a value of n bytes and gives the reply that a get of it draws.
func (c *client) fill(key string, n int) (reply string) {
	value := strings.Repeat("v", n)
	c.say(fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, n, value))
	c.hear("STORED\r\n")
	return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, n, value)
}

// manyReplies is more than the socket buffers between two ends of a loopback connection hold.
const manyReplies = 40

// A client asks for more than the socket takes, says that it will ask no more, and only then reads.
func TestHalfCloseWithOutputWaiting(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	reply := c.fill("k", 500_000)
	c.say(strings.Repeat("get k\r\n", manyReplies))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the server has met the end of input by now, and has output waiting
	for range manyReplies {
		c.hear(reply)
	}
	c.hearEnd()
	eventually(t, "the connection is counted out", func() bool { return srv.conns.current.Load() == 0 })
	if n := srv.env.Sums()[stats.CmdGet]; n != manyReplies {
		t.Errorf("counted %d gets, want %d", n, manyReplies)
	}
}

func TestQuitWithOutputWaiting(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	reply := c.fill("k", 500_000)
	c.say(strings.Repeat("get k\r\n", manyReplies) + "quit\r\nget k\r\n")
	time.Sleep(50 * time.Millisecond)
	for range manyReplies {
		c.hear(reply)
	}
	c.hearEnd()
}

// A slow reader holds up nobody else, and gets everything in the end.
func TestSlowReaderIsServedInItsTime(t *testing.T) {
	srv := startServer(t, Options{Loops: 1})
	slow, quick := dial(t, srv), dial(t, srv)
	reply := slow.fill("k", 500_000)
	slow.say(strings.Repeat("get k\r\n", manyReplies))
	eventually(t, "output waits", func() bool { return len(srv.conns.drains(false)) == 1 })
	for range 100 {
		quick.say("mn\r\n")
		quick.hear("MN\r\n")
	}
	for range manyReplies {
		slow.hear(reply)
	}
	slow.say("mn\r\n")
	slow.hear("MN\r\n")
}

// Whoever sends on and on without reading is cut off before he fills our memory.
func TestFloodWithoutReadingIsCutOff(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	c.fill("k", 500_000)
	flood := []byte(strings.Repeat("get k\r\n", 10_000))
	var err error
	for range 1000 { // 70 MB; the server takes 1 and the sockets some
		if _, err = c.Write(flood); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("70 MB were taken from a client that read nothing")
	}
	watch := dial(t, srv)
	watch.say("mn\r\n")
	watch.hear("MN\r\n")
	eventually(t, "it is counted", func() bool { return srv.env.Sums()[stats.InputDropped] == 1 })
	eventually(t, "only the watcher is left", func() bool { return srv.conns.current.Load() == 1 })
}

// OpenSIPS leaves with a reset (libmemcached sets SO_LINGER to 0): an ordinary goodbye, even in the middle of a value.
func TestResetIsAnOrdinaryGoodbye(t *testing.T) {
	var log bytes.Buffer
	srv := startServer(t, Options{Verbosity: 1, Log: &log})
	for _, last := range []string{"", "get k", "set k 0 0 100\r\nhalf a value", "set k 0 0 900000\r\nhalf a large value"} {
		c := dial(t, srv)
		c.say("mn\r\n" + last)
		c.hear("MN\r\n")
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Conn.Close()
	}
	eventually(t, "they are counted out", func() bool { return srv.conns.current.Load() == 0 })
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
}

func TestConnectionLimitIsExact(t *testing.T) {
	srv := startServer(t, Options{MaxConns: 5})
	var inside []*client
	for range 5 {
		c := dial(t, srv)
		c.say("mn\r\n")
		c.hear("MN\r\n")
		inside = append(inside, c)
	}
	for range 3 {
		late := dial(t, srv)
		late.hear("ERROR Too many open connections\r\n")
		late.hearEnd()
	}
	if got := inside[0].stat("rejected_connections"); got != "3" {
		t.Errorf("rejected_connections %s, want 3", got)
	}
	_ = inside[1].Close()
	eventually(t, "there is room again", func() bool { return srv.conns.current.Load() == 4 })
	c := dial(t, srv)
	c.say("mn\r\n")
	c.hear("MN\r\n")
}

// The process runs out of descriptors, and when it has some again, serves on.
func TestServesOnAfterRunningOutOfDescriptors(t *testing.T) {
	srv := startServer(t, Options{})
	inside := dial(t, srv)
	inside.say("mn\r\n")
	inside.hear("MN\r\n")
	eventually(t, "the accepted descriptor is closed, of which the loop has a duplicate", func() bool {
		return descriptorsOf(t, srv.conns.list()[0].fd) == 1
	})

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	// Our own end of a connection needs a descriptor too: it is made before the limit falls on the server's end.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	tight := limit
	tight.Cur = uint64(fd) // every lower number is taken, or will be by the next lines
	var spare []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		spare = append(spare, f)
		if int(f.Fd()) > fd {
			break
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	addr := srv.Addrs()[0].(*net.TCPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "accepting rests", func() bool { return srv.conns.pauses.Load() > 0 })
	inside.say("mn\r\n")
	inside.hear("MN\r\n")

	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, f := range spare {
		_ = f.Close()
	}
	if _, err := unix.Write(fd, []byte("mn\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if n, err := unix.Read(fd, answer); err != nil || string(answer[:n]) != "MN\r\n" {
		t.Errorf("heard %q, %v", answer[:n], err)
	}
}

// descriptorsOf counts what leads to the same socket.
func descriptorsOf(t *testing.T, fd int) (n int) {
	const all = "/proc/self/fd"
	socket, err := os.Readlink(filepath.Join(all, strconv.Itoa(fd)))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if other, _ := os.Readlink(filepath.Join(all, e.Name())); other == socket { // the directory's own is gone by now
			n++
		}
	}
	return n
}

func TestReqsPerEventYieldsReally(t *testing.T) {
	srv := startServer(t, Options{ReqsPerEvent: 1})
	c := dial(t, srv)
	c.say(strings.Repeat("set k 0 0 1\r\nx\r\n", 6))
	c.hear(strings.Repeat("STORED\r\n", 6))
	if got := c.stat("conn_yields"); got != "5" {
		t.Errorf("conn_yields %s, want 5", got)
	}
}

func TestSocketOptionsOfAcceptedConnections(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	c.say("mn\r\n")
	c.hear("MN\r\n")
	fd := srv.conns.list()[0].fd
	for name, option := range map[string][2]int{
		"SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		"TCP_NODELAY":  {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		if on, err := unix.GetsockoptInt(fd, option[0], option[1]); err != nil || on == 0 {
			t.Errorf("%s is %d, %v", name, on, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	srv := startServer(t, Options{UnixSocket: path, UnixMask: 0o770})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o770 {
		t.Errorf("mode %v, %v; want 0770", info.Mode(), err)
	}
	c := dial(t, srv)
	c.say("set k 0 0 1\r\nx\r\nget k\r\n")
	c.hear("STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
}

// What stands at the socket's path is removed only if it is a socket that a dead server left.
func TestUnixSocketPathIsTaken(t *testing.T) {
	dir := t.TempDir()
	inDir := filepath.Join(dir, "precious", "file")
	if err := os.MkdirAll(filepath.Dir(inDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inDir, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(inDir), inDir} {
		if srv, err := Start(Options{UnixSocket: path}); err == nil {
			_ = srv.Shutdown(context.Background())
			t.Errorf("served at %s", path)
		}
	}
	if _, err := os.Stat(inDir); err != nil {
		t.Error(err)
	}

	stale := filepath.Join(dir, "stale")
	for range 2 { // the second finds the file of the first, which stays as memcached's does
		srv, err := Start(Options{UnixSocket: stale})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// memcached's -l 0.0.0.0 is IPv4 alone, so that -l 0.0.0.0,:: are two listeners.
func TestEveryFamilyHasItsListener(t *testing.T) {
	srv := startServer(t, Options{Listen: []string{"0.0.0.0:0"}})
	port := srv.Addrs()[0].(*net.TCPAddr).Port
	again, err := Start(Options{Listen: []string{fmt.Sprintf("[::]:%d", port)}})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Skip("no IPv6 on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Shutdown(context.Background())
}

func TestAddressInUse(t *testing.T) {
	srv := startServer(t, Options{})
	again, err := Start(Options{Listen: []string{srv.Addrs()[0].String()}})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Start on a taken address: %v, %v", again, err)
	}
}

// Shutdown closes connections, and waits for replies that a client is still reading.
func TestShutdownSendsWhatItOwes(t *testing.T) {
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, srv)
	reply := c.fill("k", 500_000)
	c.say(strings.Repeat("get k\r\n", 15))
	eventually(t, "output waits", func() bool { return len(srv.conns.drains(false)) == 1 })
	down := make(chan error)
	go func() { down <- srv.Shutdown(context.Background()) }()
	for range 2 {
		c.hear(reply)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", srv.Addrs()[0].String()); err == nil {
		t.Error("still accepting after Shutdown")
	}
}

func TestStatsConnsListsRealConnections(t *testing.T) {
	clock := expiry.NewClock(1_700_000_000)
	srv := startServer(t, Options{Clock: clock})
	a, b := dial(t, srv), dial(t, srv)
	a.say("mn\r\n")
	a.hear("MN\r\n")
	b.say("set k 0 0 10\r\nabc")
	b.amidValue(srv)
	clock.Set(clock.Now() + 7)
	a.say("stats conns\r\n")
	var text strings.Builder
	for line := ""; line != "END\r\n"; {
		line, _ = a.r.ReadString('\n')
		text.WriteString(line)
	}
	for _, want := range []string{
		":addr tcp:" + srv.Addrs()[0].String() + "\r\n",
		":state conn_listening\r\n",
		fmt.Sprintf("STAT %d:addr tcp:%s\r\n", a.served(srv).fd, a.LocalAddr()),
		fmt.Sprintf("STAT %d:listen_addr tcp:%s\r\n", a.served(srv).fd, srv.Addrs()[0]),
		fmt.Sprintf("STAT %d:state conn_nread\r\n", b.served(srv).fd),
		fmt.Sprintf("STAT %d:secs_since_last_cmd 7\r\n", b.served(srv).fd),
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

// Clients come until the very end: the last that was accepted finds loops that still take it, and Shutdown ends.
func TestShutdownWhileClientsConnect(t *testing.T) {
	for range 50 {
		srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, MemoryLimit: 4 << 20, Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for {
					c, err := net.Dial("tcp", srv.Addrs()[0].String())
					if err != nil {
						return
					}
					_ = c.Close()
				}
			})
		}
		eventually(t, "clients come", func() bool { return srv.conns.total.Load() > 10 })
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background()) }()
		select {
		case err := <-down:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Shutdown waits for something that will not come")
		}
		clients.Wait()
	}
}

// Who is about to call a loop is waited for by Shutdown while the loops run, and who comes later does not call.
func TestShutdownWaitsForWhoCallsALoop(t *testing.T) {
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, srv)
	inside, release, down := make(chan bool), make(chan bool), make(chan error, 1)
	go srv.unlessStopped(func() {
		close(inside)
		<-release
	})
	<-inside
	go func() { down <- srv.Shutdown(context.Background()) }()
	select {
	case err := <-down:
		t.Fatalf("Shutdown did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	c.say("mn\r\n")
	c.hear("MN\r\n")
	close(release)
	if err := <-down; err != nil {
		t.Error(err)
	}
	srv.unlessStopped(func() { t.Error("a loop is called after Shutdown") })
}
