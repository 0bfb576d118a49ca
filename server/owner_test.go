package server

import (
	"errors"
	"runtime"
	"testing"
)

func TestLimitGoesNoHigherThanItMay(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 64 << 20, MemoryLimitMax: 80 << 20})
	c := dial(t, srv)
	c.say("cache_memlimit 81\r\ncache_memlimit 80\r\n")
	c.hear("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\nOK\r\n")
}

func TestShutdownIsForTheOwnerToCarryOut(t *testing.T) {
	for command, why := range map[string]error{"shutdown": ErrShutdown, "shutdown graceful": ErrShutdownGraceful} {
		srv := startServer(t, Options{EnableShutdown: true})
		c := dial(t, srv)
		c.say(command + "\r\n")
		c.hearEnd()
		select {
		case <-srv.Done():
		default:
			t.Errorf("%s: not done", command)
		}
		if !errors.Is(srv.Err(), why) {
			t.Errorf("%s: the server wants to end: %v", command, srv.Err())
		}
	}
}

// A program that has its own server reads numbers, not lines.
func TestStatsAreTyped(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 8 << 20, Verbosity: 0})
	c := dial(t, srv)
	c.say("set k 0 0 1\r\nx\r\nget k none\r\n")
	c.hear("STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
	// A reply may be heard before what it counts for can be seen.
	eventually(t, "both gets are counted", func() bool { n := srv.Stats().Served; return n.GetHits == 1 && n.GetMisses == 1 })
	s := srv.Stats()
	if s.Served.GetHits != 1 || s.Served.GetMisses != 1 || s.Store.CurrItems != 1 || s.Store.LimitBytes != 8<<20 || s.Conns.Current != 1 ||
		len(s.Clients) != 2 || s.Memory.Resident == 0 || s.Settings.ReqsPerEvent != 20 || s.Process.Uptime == 0 {
		t.Errorf("%+v", s)
	}
}

// The process is adjusted for a server that has it for itself, until that ends, and for no other.
func TestOwnProcess(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	startServer(t, Options{Loops: 2})
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, Loops: 2, OwnProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is one processor while it is quiet", func() bool { return runtime.GOMAXPROCS(0) == 1 && srv.load.Quiet.Load() })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 7 || srv.load.Quiet.Load() {
		t.Errorf("%d processors after the end, want 7; quiet: %v", n, srv.load.Quiet.Load())
	}
}
