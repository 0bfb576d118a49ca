package admin

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
)

// Options are what the listener is told. The zero value of each but Addr will do.
type Options struct {
	Addr    string   // host:port; without a host it is 127.0.0.1's, and * is everywhere. Port 0 lets the system choose
	Hosts   []string // names that requests may have for this host, beside those of guard.go; "*" is any
	Keys    bool     // tell keys of items to everybody who is answered
	Pprof   bool     // serve /debug/pprof/
	Version string   // of gomemd
	Log     io.Writer
}

// Source is a running server.
type Source interface {
	Brief() stats.Snapshot  // everything but the list of clients
	HotKeys() stats.HotKeys // of the last window
}

// MaxFiles is how many descriptors the listener may have open: itself, its connections, and what is
// read in /proc.
const MaxFiles = maxConns + 8

// Limits on what clients of the listener may take. Who reads a profile or a stream is given more time
// by the handler.
const (
	maxConns    = 64 // when there are more, the one is closed on which nothing has been asked for the longest
	maxHeader   = 16 << 10
	readWithin  = 5 * time.Second
	writeWithin = 10 * time.Second
	idleFor     = 2 * time.Minute // Prometheus asks every 15 s to 60 s, on one connection
)

// The hosts of Options.Addr that are no host's.
const (
	anyHost  = "*" // all addresses, of IPv4 and IPv6
	loopback = "127.0.0.1"
)

// Server is the listener. It is in one state after the other: starting, serving, draining. A nil one
// is that of a process without a listener.
type Server struct {
	opts     Options
	names    map[string]bool // that requests may have for this host
	local    bool            // it listens on loopback
	listener net.Listener
	http     http.Server
	end      context.CancelFunc // ends all requests

	source   atomic.Pointer[Source] // nil while the server starts
	draining atomic.Bool
	live     live

	conns   conns
	running sync.WaitGroup
}

// Listen listens and answers: that the process lives, and is not ready yet. The error is that of
// [net.Listen].
func Listen(opts Options) (*Server, error) {
	host, port, err := net.SplitHostPort(opts.Addr)
	if err != nil {
		return nil, err
	}
	bind := host
	switch host {
	case "":
		bind = loopback
	case anyHost:
		bind = ""
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(bind, port))
	if err != nil {
		return nil, err
	}
	a := &Server{opts: opts, listener: listener, live: live{every: liveEvery, within: takeWithin}, conns: conns{quiet: map[net.Conn]uint64{}}}
	a.local = isLoopback(listener.Addr())
	a.names = namesOf(host, opts.Hosts, a.local)
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	ctx, end := context.WithCancel(context.Background())
	a.end = end
	a.http = http.Server{
		Handler:           a.guard(a.routes()),
		ReadHeaderTimeout: readWithin,
		ReadTimeout:       readWithin,
		WriteTimeout:      writeWithin,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(opts.Log, "admin: ", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withConn,
		ConnState:         a.count,
	}
	a.running.Go(func() { _ = a.http.Serve(listener) }) // ErrServerClosed
	return a, nil
}

// Addr is where it listens.
func (a *Server) Addr() net.Addr { return a.listener.Addr() }

// Serve tells that the server has started: from now on its numbers are served.
func (a *Server) Serve(source Source) {
	if a != nil {
		a.source.Store(&source)
	}
}

// Drain tells that the server is about to end: whoever sends it clients shall stop doing so.
func (a *Server) Drain() {
	if a != nil {
		a.draining.Store(true)
	}
}

// Close ends the requests under way and the listener. When it returns nothing of it runs.
func (a *Server) Close() {
	if a == nil {
		return
	}
	a.end()
	_ = a.http.Close() // connections that are closed already
	a.running.Wait()
	a.live.running.Wait() // no reader is left who could have it begin again
}

// server is the server, if it has started.
func (a *Server) server() (Source, bool) {
	source := a.source.Load()
	if source == nil {
		return nil, false
	}
	return *source, true
}

// routes are all pages. Whoever gets here has passed the guard, and the method is GET or HEAD.
func (a *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", a.healthz)
	mux.HandleFunc("/readyz", a.readyz)
	mux.HandleFunc("/hotkeys", a.hotkeys)
	mux.HandleFunc("/events", a.events)
	page(mux)
	mux.Handle("/metrics", a.metrics())
	if a.opts.Pprof { // profiles and traces may run for longer than writeWithin: the library sees to that
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// conns are the connections.
type conns struct {
	mu    sync.Mutex
	open  int
	quiet map[net.Conn]uint64 // those on which no request is being answered, by when that began
	began uint64
}

// count keeps the number of connections within maxConns. Who opens them and asks nothing shall not
// keep out an orchestrator, which would take a server for dead that does not answer.
func (a *Server) count(c net.Conn, state http.ConnState) {
	cs := &a.conns
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case http.StateNew:
		a.running.Add(1)
		cs.open++
		cs.fallQuiet(c)
		if cs.open > maxConns {
			cs.closeOne()
		}
	case http.StateIdle:
		cs.fallQuiet(c)
	case http.StateActive:
		delete(cs.quiet, c)
	case http.StateClosed, http.StateHijacked:
		delete(cs.quiet, c)
		cs.open--
		a.running.Done()
	}
}

func (cs *conns) fallQuiet(c net.Conn) {
	cs.began++
	cs.quiet[c] = cs.began
}

// closeOne closes the one that has been quiet the longest: the newcomer, if all others are at work.
func (cs *conns) closeOne() {
	var oldest net.Conn
	for c, began := range cs.quiet {
		if oldest == nil || began < cs.quiet[oldest] {
			oldest = c
		}
	}
	delete(cs.quiet, oldest)
	_ = oldest.Close() // its goroutine finds that out and ends
}

// refuse answers with a sentence of plain text.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), status)
}
