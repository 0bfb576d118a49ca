package server

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// After floods of clients of every rude kind there is not one descriptor or goroutine more than before, and after the server's end
// none at all.
func TestFloodsLeaveNothingBehind(t *testing.T) {
	const limit, crowd = 50, 400
	others := goleak.IgnoreCurrent()
	before := openFiles(t)
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, MaxConns: limit, ConnMemory: 1 << 20, Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	addr := srv.Addrs()[0].String()
	good, err := net.Dial("tcp", addr) // connected before all others, and served all the time
	if err != nil {
		t.Fatal(err)
	}
	g := &client{t, good, nil}
	ask := func() {
		t.Helper()
		g.say("mn\r\n")
		answer := make([]byte, 4)
		_ = good.SetDeadline(time.Now().Add(30 * time.Second))
		if n, err := good.Read(answer); err != nil || string(answer[:n]) != "MN\r\n" {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	ask()
	g.say("set k 0 0 100000 noreply\r\n" + strings.Repeat("v", 100_000) + "\r\n")
	ask()
	during := openFiles(t)

	polite := uint64(0) // who leave without a reset
	for _, flood := range []struct {
		name, says string
		reset      bool
	}{
		{"connect", "", false},
		{"connect and reset", "", true},
		{"half a line", "get k", false},
		{"half a line and reset", "get k", true},
		{"half a value", "set h 0 0 1000\r\nhalf", true},
		{"half a large value", "set h 0 0 900000\r\n" + strings.Repeat("v", 10_000), true},
		{"unread replies", strings.Repeat("get k k k k k k k k k k\r\n", 20), false},
		{"unread replies and reset", strings.Repeat("get k k k k k k k k k k\r\n", 20), true},
	} {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range crowd / 8 {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.SetDeadline(time.Now().Add(time.Second))
					_, _ = c.Write([]byte(flood.says)) // those beyond the limit are closed already
					if flood.reset {
						_ = c.(*net.TCPConn).SetLinger(0)
					}
					_ = c.Close()
				}
			})
		}
		all.Wait()
		if !flood.reset {
			polite += crowd
		}
		ask()
		eventually(t, "the "+flood.name+" are gone", func() bool { return srv.conns.current.Load() == 1 })
		eventually(t, "their descriptors are closed", func() bool { return openFiles(t) <= during })
		eventually(t, "nothing is held for the "+flood.name, func() bool { return srv.holds() == 0 })
	}
	// A reset may end a client while it waits to be accepted, and some systems never show such a one. The others have all come, the
	// last of them perhaps only now: current says 1 too while clients wait.
	came := func() uint64 { return srv.conns.total.Load() + srv.conns.rejected.Load() }
	eventually(t, "all who took their leave are counted", func() bool { return came() > polite })
	if came() > 1+8*crowd {
		t.Errorf("%d are counted of %d", came(), 1+8*crowd)
	}
	_ = good.Close()
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
	// gnet keeps a pool of goroutines, and what cleans it, for the life of the process.
	pool := []goleak.Option{goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock")}
	for range 10 { // a busy machine takes its time
		if err = goleak.Find(append(pool, others)...); err == nil {
			return
		}
	}
	t.Error(err)
}

// Clients that come when all places are taken cost a line and nothing else: those inside are served meanwhile, and when a place is
// free the next one has it at once.
func TestRejectedClientsAreCheap(t *testing.T) {
	const limit = 20
	srv := startServer(t, Options{MaxConns: limit})
	var inside []*client
	for range limit {
		c := dial(t, srv)
		c.say("mn\r\n")
		c.hear("MN\r\n")
		inside = append(inside, c)
	}
	files := openFiles(t)
	const crowd = 500
	for range crowd {
		c, err := net.Dial("tcp", srv.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 100)
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if n, _ := c.Read(answer); string(answer[:n]) != "ERROR Too many open connections\r\n" {
			t.Fatalf("%q", answer[:n])
		}
		_ = c.Close()
	}
	if n := srv.conns.rejected.Load(); n != crowd {
		t.Errorf("%d rejected, %d came", n, crowd)
	}
	eventually(t, "no descriptor is left of them", func() bool { return openFiles(t) <= files })
	inside[0].say("mn\r\n")
	inside[0].hear("MN\r\n")
}
