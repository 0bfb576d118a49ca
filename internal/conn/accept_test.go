package conn

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
)

func TestConnectionLimitIsExact(t *testing.T) {
	h := start(t, options{plain: true, maxConns: 5})
	var inside []*client
	for range 5 {
		c := dial(t, h)
		c.ping()
		inside = append(inside, c)
	}
	for range 3 {
		late := dial(t, h)
		late.hear("ERROR Too many open connections\r\n")
		late.hearEnd()
	}
	if got := inside[0].stat("rejected_connections"); got != "3" {
		t.Errorf("rejected_connections %s, want 3", got)
	}
	_ = inside[1].Close()
	eventually(t, "there is room again", func() bool { return h.conns.Numbers().Current == 4 })
	dial(t, h).ping()
}

func TestOneTooManyWaits(t *testing.T) {
	h := start(t, options{plain: true, maxConns: 2, maxConnsWait: true})
	a, b := dial(t, h), dial(t, h)
	a.ping()
	b.ping()
	c := dial(t, h)
	c.say("mn\r\n")
	eventually(t, "accepting rests", func() bool { return a.stat("accepting_conns") == "0" })
	_ = b.Close()
	c.hear("MN\r\n")
	eventually(t, "it goes on", func() bool { return a.stat("accepting_conns") == "1" })
	if n := a.stat("listen_disabled_num"); n != "1" {
		t.Errorf("listen_disabled_num %s", n)
	}
	if n := h.conns.Numbers().Rejected; n != 0 {
		t.Errorf("%d rejected", n)
	}
}

// The process runs out of descriptors, and when it has some again, serves on.
func TestServesOnAfterRunningOutOfDescriptors(t *testing.T) {
	h := start(t, options{plain: true})
	inside := dial(t, h)
	inside.ping()
	eventually(t, "a connection has one descriptor", func() bool {
		return descriptorsOf(t, inside.served().fd) == 1
	})

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	// Our own end of a connection needs a descriptor too: it is made before the limit falls on the
	// other end.
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
	addr := h.addr().(*net.TCPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "accepting rests", func() bool { return h.conns.Numbers().Pauses > 0 })
	inside.ping()

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

// Clients that come when all places are taken cost a line and nothing else: those inside are served
// meanwhile, and when a place is free the next one has it at once.
func TestRejectedClientsAreCheap(t *testing.T) {
	const limit = 20
	h := start(t, options{maxConns: limit})
	var inside []*client
	for range limit {
		c := dial(t, h)
		c.ping()
		inside = append(inside, c)
	}
	files := openFiles(t)
	const crowd = 500
	for range crowd {
		c, err := net.Dial("tcp", h.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 100)
		_ = c.SetDeadline(time.Now().Add(patience))
		if n, _ := c.Read(answer); string(answer[:n]) != "ERROR Too many open connections\r\n" {
			t.Fatalf("%q", answer[:n])
		}
		_ = c.Close()
	}
	if n := h.conns.Numbers().Rejected; n != crowd {
		t.Errorf("%d rejected, %d came", n, crowd)
	}
	eventually(t, "no descriptor is left of them", func() bool { return openFiles(t) <= files })
	inside[0].ping()
}

func TestStatsConnsListsRealConnections(t *testing.T) {
	h := start(t, options{clock: aClock()})
	a, b, waits := dial(t, h), dial(t, h), slow(t, h)
	b.say("set k 0 0 10\r\nabc")
	b.amid(session.StateValue)
	waits.fill("large", 500_000)
	waits.say("get large\r\n")
	waits.waits(blocked)
	h.step(7)
	a.say("stats conns\r\n")
	var text strings.Builder
	for line := ""; line != "END\r\n"; {
		var err error
		if line, err = a.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		text.WriteString(line)
	}
	for _, want := range []string{
		":addr tcp:" + h.addr().String() + "\r\n",
		":state conn_listening\r\n",
		fmt.Sprintf("STAT %d:addr tcp:%s\r\n", a.served().fd, a.LocalAddr()),
		fmt.Sprintf("STAT %d:listen_addr tcp:%s\r\n", a.served().fd, h.addr()),
		fmt.Sprintf("STAT %d:state conn_nread\r\n", b.served().fd),
		fmt.Sprintf("STAT %d:secs_since_last_cmd 7\r\n", b.served().fd),
		fmt.Sprintf("STAT %d:state conn_mwrite\r\n", waits.served().fd),
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

// OpenSIPS leaves with a reset (libmemcached sets SO_LINGER to 0): an ordinary goodbye, even in the
// middle of a value.
func TestResetIsAnOrdinaryGoodbye(t *testing.T) {
	var log bytes.Buffer // nobody writes to it
	h := start(t, options{verbosity: 1, log: &log})
	for _, last := range []string{"", "get k", "set k 0 0 100\r\nhalf a value", "set k 0 0 900000\r\nhalf a large value"} {
		c := dial(t, h)
		c.say("mn\r\n" + last)
		c.hear("MN\r\n")
		c.reset()
	}
	eventually(t, "they are counted out", func() bool { return h.conns.Numbers().Current == 0 })
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
}

// Stop waits for replies that a client is still reading, but not for long.
func TestStopSendsWhatItOwes(t *testing.T) {
	h := start(t, options{})
	c := slow(t, h)
	reply := c.fill("k", 500_000)
	c.say("get k\r\n")
	c.waits(blocked)
	down := make(chan time.Duration)
	go func() {
		began := time.Now()
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		down <- time.Since(began)
	}()
	eventually(t, "it does not accept", func() bool {
		other, err := net.Dial("tcp", h.addr().String())
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	got := make([]byte, len(reply))
	n := 0
	for n < len(got) {
		m, err := c.r.Read(got[n:])
		if n += m; err != nil {
			break
		}
	}
	if took := <-down; string(got[:n]) != reply[:n] || n < len(reply) && took < flushWithin {
		t.Errorf("%d of %d bytes were sent when it ended, after %v", n, len(reply), took)
	}
	c.hearGone()
}

// Who reads nothing is not waited for beyond that.
func TestStopDoesNotWaitForThoseWhoReadNothing(t *testing.T) {
	h := start(t, options{})
	for i := range 5 {
		c := slow(t, h)
		c.fill(fmt.Sprint("k", i), 500_000)
		c.say(fmt.Sprintf("get k%d\r\n", i))
		c.waits(blocked)
	}
	down := make(chan error)
	go func() { down <- h.stop() }()
	select {
	case err := <-down:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it waits")
	}
	if n := h.conns.sending.Load(); n != 0 {
		t.Errorf("replies of %d wait after the end", n)
	}
}

// Clients come until the very end: the last that was accepted finds loops that still take it, and
// Stop ends.
func TestStopWhileClientsConnect(t *testing.T) {
	for range 50 {
		h := start(t, options{loops: 2})
		addr := h.addr().String()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						return
					}
					_ = c.Close()
				}
			})
		}
		eventually(t, "clients come", func() bool { return h.conns.Numbers().Total > 10 })
		down := make(chan error, 1)
		go func() { down <- h.stop() }()
		select {
		case err := <-down:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("Stop waits for something that will not come")
		}
		clients.Wait()
	}
}

// Who is about to call a loop is waited for by Stop while the loops run, and who comes later does
// not call.
func TestStopWaitsForWhoCallsALoop(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	inside, release, down := make(chan bool), make(chan bool), make(chan error, 1)
	go h.conns.unlessStopped(func() {
		close(inside)
		<-release
	})
	<-inside
	go func() { down <- h.stop() }()
	select {
	case err := <-down:
		t.Fatalf("Stop did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	c.ping()
	close(release)
	if err := <-down; err != nil {
		t.Error(err)
	}
	h.conns.unlessStopped(func() { t.Error("a loop is called after Stop") })
}

// After Stop, nothing of the connections is left: loops, bells, acceptors.
func TestStopLeavesNoDescriptors(t *testing.T) {
	dial(t, start(t, options{loops: 2})).ping() // what the process opens once is open now
	before := openFiles(t)
	for range 10 {
		h := start(t, options{loops: 3})
		for range 5 {
			c := dial(t, h)
			c.ping()
			_ = c.Close()
		}
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
}

// A context that is done has Stop wait for nobody.
func TestStopAtOnce(t *testing.T) {
	h := start(t, options{})
	c := slow(t, h)
	c.fill("k", 500_000)
	c.say("get k\r\n")
	c.waits(blocked)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.stopped.Do(func() {
		close(h.quit)
		h.ticking.Wait()
		if err := h.conns.Stop(ctx); err != nil {
			t.Error(err)
		}
		h.env.Wait()
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
	c.hearGone()
}
