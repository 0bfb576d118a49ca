package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/conn"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/invariants"
	"github.com/gomemd/gomemd/internal/sched"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// tickEvery is how often the clock is set and expired memory looked for. Four times a second keeps
// a deadline's second sharp to a quarter and gives memory back well within two seconds.
const tickEvery = 250 * time.Millisecond

// tickAsleep is how often while little is asked for, or nothing: what wakes an idle process costs it
// more than what it does then. Loops that wake set the clock themselves.
const tickAsleep = time.Second

// logPatience is how long a server that ends waits for a log that takes nothing.
const logPatience = 100 * time.Millisecond

// Server is a running server.
type Server struct {
	opts  Options
	clock *expiry.Clock
	store *storage.Store
	env   session.Env // what the conversations share
	load  *sched.Load
	log   *Log

	conns *conn.Conns

	life context.Context         // done when the server wants to end
	end  context.CancelCauseFunc // says why

	early   chan struct{} // somebody waits for the next sweep
	stop    chan struct{} // closed by Shutdown
	stopped sync.Once
	running sync.WaitGroup // the tick, and who follows the load
}

// Start opens the store, listens, and serves. When it returns without an error, clients can
// connect. An address that cannot be listened on is an error, and leaves nothing behind.
func Start(opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	// Before anybody can connect: it may have to wait for who is writing the file.
	var passwords *session.Passwords
	var err error
	switch {
	case opts.AuthFile != "":
		passwords, err = session.LoadPasswords(opts.AuthFile, opts.Cancel)
	case opts.SASL:
		passwords, err = session.LoadRealm(opts.SASLFile, opts.Cancel)
	}
	if err != nil {
		return nil, err
	}
	if opts.TLS != nil {
		if opts.TLS, err = opts.TLS.take(); err != nil {
			return nil, err
		}
	}
	// Before the store: who connects while a memory file is read waits for it, and is not refused.
	addrs, err := opts.addresses()
	if err != nil {
		return nil, err
	}
	listeners, err := conn.Listen(conn.ListenOptions{
		TCP: addrs, Unix: opts.UnixSocket, UnixWire: session.Wire(opts.protocol()), UnixMask: opts.UnixMask, Backlog: opts.Backlog,
		UDP: opts.UDP,
	})
	if err != nil {
		return nil, err
	}
	srv, err := open(opts, passwords)
	if err != nil {
		conn.CloseAll(listeners)
		return nil, err
	}
	if opts.Clock == nil {
		srv.env.SetClock() // a memory file may have taken seconds to read
	}
	if err := srv.conns.Start(listeners); err != nil {
		return nil, errors.Join(err, srv.store.Close())
	}
	if opts.Clock == nil {
		ticker := sched.NewTicker(tickEvery)
		srv.running.Go(func() { srv.tick(ticker) })
	}
	if opts.OwnProcess { // not sooner: a memory file is read with all cores
		srv.running.Go(func() { srv.load.Follow(opts.Loops, srv.stop) })
	}
	return srv, nil
}

// open makes a server that serves nobody yet.
func open(opts Options, passwords *session.Passwords) (*Server, error) {
	clock, started := opts.Clock, time.Now()
	// All servers' seconds begin with the wall clock's: after a restart the clock must not be up to
	// a second ahead of the last server's, or items would end a second sooner than anybody was
	// promised.
	started = started.Add(-time.Duration(started.Nanosecond()))
	if clock == nil {
		clock = expiry.NewClock(started.Unix())
	}
	srv := &Server{opts: opts, clock: clock, log: opts.log(), stop: make(chan struct{}), early: make(chan struct{}, 1)}
	srv.life, srv.end = context.WithCancelCause(context.Background())
	env := &srv.env
	env.Passwords = passwords
	var err error
	srv.store, err = storage.Open(storage.Options{
		MemoryLimit:     opts.MemoryLimit,
		ItemMax:         opts.ItemMax,
		DisableEviction: opts.DisableEviction,
		DisableCAS:      opts.DisableCAS,
		LockMemory:      opts.LockMemory,
		LargePages:      opts.LargePages,
		TrackSizes:      opts.TrackSizes,
		PackHex:         opts.PackHex,
		File:            opts.MemoryFile,
		Cancel:          opts.Cancel,
		HeapArena:       invariants.Enabled, // the race detector sees only memory of the Go heap
	}, clock)
	if err != nil {
		return nil, err
	}
	env.Store, env.Clock, env.Started, env.Log = srv.store, clock, started, srv.log
	env.LogDropped = srv.log.Dropped
	env.Hub = events.NewHub(srv.store, opts.WatcherBuffer, opts.PrefixDelimiter)
	env.Hub.SetDetail(opts.StatsDetail)
	env.Insight = insight.New(opts.insight())
	env.Rules, env.Settings = opts.rules(), opts.settings()
	env.Version, env.EventLoop = versionText, conn.EventLoop
	env.Verbosity.Store(uint32(opts.Verbosity))
	env.CrawlerOff.Store(opts.Settings.NoCrawler)
	env.End = func(graceful bool) {
		if graceful {
			srv.end(ErrShutdownGraceful)
		} else {
			srv.end(ErrShutdown)
		}
	}
	env.Sweep = func() {
		select {
		case srv.early <- struct{}{}:
		default: // it has been asked to
		}
	}
	var tlsConfig func(conn.TLS) *tls.Config
	if t := opts.TLS; t != nil {
		tlsConfig, env.RefreshCerts, env.CertsRead = t.config, srv.reloadTLS, t.source.Refreshed
		t.source.NewSession = func() { env.Late.AddNow(stats.SSLNewSessions, 1) }
	}
	srv.load = sched.New(func() uint64 { return srv.conns.Errands() })
	srv.conns = conn.New(conn.Options{
		Loops: opts.Loops, MaxConns: opts.MaxConns, MaxConnsWait: opts.MaxConnsWait, IdleTimeout: opts.IdleTimeout,
		Memory: opts.ConnMemory, Sockets: opts.SocketMemory, Load: srv.load, OwnProcess: opts.OwnProcess, UnixSocket: opts.UnixSocket,
		TLS: tlsConfig,
	}, env)
	env.Conns, env.ResetConns, env.Clients = srv.conns.Numbers, srv.conns.ResetCounts, srv.conns.List
	env.HeldByClients = func() uint64 { now, _ := srv.conns.Memory(); return uint64(now) }
	env.Beside = srv.load.Beside
	if passwords != nil && passwords.Warning() != "" {
		env.WarnOfStart(passwords.Warning())
	}
	if opts.TLS != nil {
		opts.TLS.say(env.Logf, opts.Verbosity > 0, time.Now())
	}
	for _, w := range srv.store.Warnings() {
		env.WarnOfStart(w)
	}
	if r := srv.store.Restored(); r.Took > 0 && opts.Verbosity > 0 {
		env.Logf("%d items restored from %s in %v; %d had ended, %d were not whole\n",
			r.Items, opts.MemoryFile, r.Took.Round(time.Millisecond), r.Ended, r.Dropped)
	}
	return srv, nil
}

// Run serves until the context is done, or a client says shutdown.
func Run(ctx context.Context, opts Options) error {
	srv, err := Start(opts)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-srv.Done():
	}
	return srv.Shutdown(context.Background())
}

// Why a server ends, as [Server.Err] tells it.
var (
	ErrClosed           = errors.New("the server has been shut down")
	ErrShutdown         = errors.New("a client said shutdown")
	ErrShutdownGraceful = errors.New("a client said shutdown graceful")
)

// Done is closed when the server wants to end: a client has said shutdown (Options.EnableShutdown),
// or Shutdown has been called. In the first case it serves on until its owner calls Shutdown.
func (srv *Server) Done() <-chan struct{} { return srv.life.Done() }

// Err is why Done is closed, and nil until it is.
func (srv *Server) Err() error { return context.Cause(srv.life) }

// Reload reads again what is in files: the passwords and the certificates. Clients that have logged
// in or made their handshake stay. When a file of the passwords, or one of the certificates, cannot
// be read or understood, what was read before stays in force of those, and the others are read.
func (srv *Server) Reload() error {
	var passwords, certificates error
	if srv.env.RefreshCerts != nil {
		certificates = srv.env.RefreshCerts()
	}
	if srv.env.Passwords != nil {
		passwords = srv.env.Passwords.Reload()
	}
	return errors.Join(passwords, certificates)
}

// reloadTLS reads certificates again.
func (srv *Server) reloadTLS() error {
	err := srv.opts.TLS.reload()
	if err == nil {
		srv.opts.TLS.say(srv.env.Logf, srv.env.Verbosity.Load() > 0, time.Now())
	}
	return err
}

// Addrs are the addresses the server listens on, in the order of Options.Listen, then the unix
// socket, then Options.UDP.
func (srv *Server) Addrs() []net.Addr { return srv.conns.Addrs() }

// Drain ends a server so that its clients notice little: it stops accepting, and closes each
// connection at a moment when nothing is asked on it, those first that have been quiet the longest,
// over half of the time that the context gives. Drain returns when all are gone or the context is
// done; then comes Shutdown.
func (srv *Server) Drain(ctx context.Context) { srv.conns.Drain(ctx) }

// Shutdown stops accepting, gives replies in flight half a second (or until the context is done) to
// be sent, closes all connections and frees the store. The unix socket's file stays, as memcached's
// does.
func (srv *Server) Shutdown(ctx context.Context) (err error) {
	srv.stopped.Do(func() {
		srv.end(ErrClosed)
		close(srv.stop)
		srv.running.Wait()
		err = srv.conns.Stop(ctx)
		srv.env.Wait()
		err = errors.Join(err, srv.store.Close())
		srv.log.Flush(logPatience)
	})
	return err
}

// tick sets the clock and frees what has expired, until the server stops.
func (srv *Server) tick(ticker *sched.Ticker) {
	defer ticker.Stop()
	for {
		select {
		case <-srv.stop:
			return
		case <-srv.early:
			srv.sweep(ticker.C)
		case <-ticker.C:
			srv.onTick()
			srv.sweep(ticker.C)
			if srv.conns.Asleep() {
				ticker.Reset(tickAsleep)
			} else {
				ticker.Reset(tickEvery)
			}
		}
	}
}

// onTick does what comes with each tick.
func (srv *Server) onTick() {
	srv.env.SetClock()
	srv.load.Tick()
	srv.conns.Tick()
	srv.env.Look()
	if why := srv.store.Withheld(); why != nil {
		srv.env.Say(session.Withheld, "the system gives no more memory for items, so there are fewer than -m allows: %v\n", why)
	}
}

// Sweep frees the memory of what has expired or was flushed. The tick does so by itself; a test
// that moves the clock calls it.
func (srv *Server) Sweep() { srv.sweep(nil) }

// sweepRest is how long it rests while items of a prefix are taken away, after some 100 µs: nobody
// waits for that, and loops that have work find a processor.
const sweepRest = 240 * time.Microsecond

// sweep does so. Where it takes long, time goes on meanwhile.
func (srv *Server) sweep(ticks <-chan time.Time) {
	for srv.store.Sweep() {
		select {
		case <-srv.stop:
			return
		case <-ticks:
			srv.onTick()
		default:
			if srv.store.Prefixing() > 0 {
				_ = syscall.Nanosleep(&syscall.Timespec{Nsec: sweepRest.Nanoseconds()}, nil) // time.Sleep takes a millisecond
			} else {
				runtime.Gosched() // the loops may have this processor alone
			}
		}
	}
	srv.env.FlushEvictions() // a limit that was lowered is reached by sweeping
}
