package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An address that is taken, or a path, is an error, and leaves nothing behind: neither a listener
// nor a store.
func TestStartRefusesAnAddress(t *testing.T) {
	srv := startServer(t, Options{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := files()
	again, err := Start(Options{Listen: []string{"127.0.0.1:0", srv.Addrs()[0].String()}})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Start on a taken address: %v, %v", again, err)
	}
	if again, err := Start(Options{Listen: []string{"127.0.0.1:0"}, UnixSocket: file}); err == nil {
		_ = again.Shutdown(context.Background())
		t.Error("serves at a file")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing stays open", func() bool { return files() <= before })
}

// The unix socket has its mode, and its file stays, for the next server to find.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 {
		srv, err := Start(Options{UnixSocket: path, UnixMask: 0o770})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o770 {
			t.Errorf("mode %v, %v; want 0770", info.Mode(), err)
		}
		c := dial(t, srv)
		c.say("set k 0 0 1\r\nx\r\nget k\r\n")
		c.hear("STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// Shutdown closes connections and listeners, and may be called again.
func TestShutdownCloses(t *testing.T) {
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, srv)
	c.say("mn\r\n")
	c.hear("MN\r\n")
	for range 2 {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	c.hearEnd()
	if _, err := net.Dial("tcp", srv.Addrs()[0].String()); err == nil {
		t.Error("still accepting after Shutdown")
	}
	if !errors.Is(srv.Err(), ErrClosed) {
		t.Errorf("%v", srv.Err())
	}
}

// Drain lets a client finish what it is about, and everybody goes.
func TestDrain(t *testing.T) {
	srv := startServer(t, Options{})
	idle, sends := dial(t, srv), dial(t, srv)
	idle.say("mn\r\n")
	idle.hear("MN\r\n")
	sends.say("mn\r\nset k 0 0 5\r\nab")
	sends.hear("MN\r\n")
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	done := make(chan bool)
	go func() { srv.Drain(ctx); close(done) }()
	idle.hearEnd()
	sends.say("cde\r\n")
	sends.hear("STORED\r\n")
	sends.hearEnd()
	<-done
	if n := srv.conns.Numbers().Current; n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Run serves until its context is done.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Run(ctx, Options{UnixSocket: path}) }()
	eventually(t, "it serves", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// And that goes by itself.
func TestTheTickClosesIdleClients(t *testing.T) {
	srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, IdleTimeout: time.Second})
	c := dial(t, srv)
	rest, _ := io.ReadAll(c.r) // the end may be a reset
	if len(rest) > 0 {
		t.Errorf("%q", rest)
	}
	eventually(t, "it is counted", func() bool { return srv.Stats().Served.IdleKicks == 1 })
}

// What the connections hold of memory is in stats, and so is who was closed for it.
func TestConnMemory(t *testing.T) {
	srv := startServer(t, Options{ConnMemory: 100 << 10})
	asks := dial(t, srv)
	for range 40 {
		_, _ = dial(t, srv).Write([]byte("get " + strings.Repeat("key ", 5_000))) // it may be closed
	}
	eventually(t, "some are closed", func() bool { return asks.stat("conn_budget_dropped") != "0" })
	now, peak := srv.conns.Memory()
	if now == 0 || now > 125<<10 || peak > 200<<10 {
		t.Errorf("%d bytes are held, %d at most", now, peak)
	}
	if got := asks.stat("conn_pins_dropped"); got != "0" {
		t.Errorf("conn_pins_dropped %s", got)
	}
	if got := asks.stat("conn_input_dropped"); got != "" {
		t.Errorf("conn_input_dropped is gone, and says %s", got)
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
