package server

import (
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
)

func TestIdleClientsAreClosed(t *testing.T) {
	clock := expiry.NewClock(1_700_000_000)
	srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, IdleTimeout: 5 * time.Second, Clock: clock})
	idle, busy, sending := dial(t, srv), dial(t, srv), dial(t, srv)
	sending.say("set k 0 0 5\r\nab")
	sending.amidValue(srv)
	eventually(t, "the idle one is there", func() bool { return idle.served(srv) != nil })
	clock.Set(clock.Now() + 4)
	busy.say("mn\r\n")
	busy.hear("MN\r\n")
	eventually(t, "that is noted", func() bool { return busy.served(srv).lastServed.Load() == uint32(clock.Now()) })
	clock.Set(clock.Now() + 3)
	srv.closeIdle()
	srv.closeIdle() // it may be there still, but is counted once
	idle.hearEnd()
	if kicks := busy.stat("idle_kicks"); kicks != "1" {
		t.Errorf("%s kicks", kicks)
	}
	sending.say("cde\r\n")
	sending.hear("STORED\r\n")
}

// And that goes by itself.
func TestTheTickClosesIdleClients(t *testing.T) {
	srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, IdleTimeout: time.Second})
	dial(t, srv).hearEnd()
}

func TestOneTooManyWaits(t *testing.T) {
	srv := startServer(t, Options{MaxConns: 2, MaxConnsWait: true})
	enter := func() *client {
		early := dial(t, srv)
		early.say("mn\r\n")
		early.hear("MN\r\n")
		return early
	}
	a, b := enter(), enter()
	c := dial(t, srv)
	c.say("mn\r\n")
	eventually(t, "accepting rests", func() bool { return a.stat("accepting_conns") == "0" })
	_ = b.Close()
	c.hear("MN\r\n")
	eventually(t, "it goes on", func() bool { return a.stat("accepting_conns") == "1" })
	if n := a.stat("listen_disabled_num"); n != "1" {
		t.Errorf("listen_disabled_num %s", n)
	}
	if n := a.stat("rejected_connections"); n != "0" {
		t.Errorf("rejected_connections %s", n)
	}
}

func TestDoneTellsWhy(t *testing.T) {
	srv := startServer(t, Options{})
	if srv.Err() != nil {
		t.Errorf("%v", srv.Err())
	}
	srv.end(ErrShutdown)
	<-srv.Done()
	if srv.Err() != ErrShutdown {
		t.Errorf("%v", srv.Err())
	}
	c := dial(t, srv) // it serves until the owner calls Shutdown
	c.say("mn\r\n")
	c.hear("MN\r\n")
}
