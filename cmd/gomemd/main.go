// Command gomemd is the server with memcached's command line: what starts memcached starts it, under either name, and
// what memcached refuses it refuses with the same text and exit code. It holds what belongs to a process (flags, user,
// limits, daemon, pid file, signals); what it serves is package server's.
//
//	main.go        the walk: flags → server.Options → the admin listener → server.Start → signals
//	flags.go       the table of options
//	extended.go    the tables of -o suboptions
//	configfile.go  --config
//	help.go        what -h, -i and -V print
//	tls.go         -Z and the -o suboptions of it
//	listen.go      -p, -l and -s → addresses; the port file
//	admin.go       --admin and --healthcheck
//	daemon.go      -d
//	pidfile.go     -P
//	privileges.go  -u, and the limit that -r asks for
//	limits.go      the system's limits: what -c and -m ask for
//	memory.go      --memory-total, shared out
//	subcommands.go gomemd top, gomemd estimate
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/server"
)

// Exit codes: sysexits.h where memcached uses it, 1 where it does not.
const (
	exFailure = 1
	exUsage   = 64
	exNoUser  = 67
	exOSErr   = 71
)

// stopWithin bounds a stop. Who sent SIGTERM was promised an end within the second.
const stopWithin = 900 * time.Millisecond

// exit is an error that knows what the process should say and end with.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }

func quit(code int, format string, args ...any) error {
	return exit{code, fmt.Sprintf(format, args...)}
}

// log has all that the process says but the pages of -h, -i and -V. Nobody waits for its reader.
var log = server.NewLog(os.Stderr)

// logPatience is how long an end waits for a log that takes nothing.
const logPatience = 100 * time.Millisecond

func main() {
	if sub := subcommand(os.Args); sub != nil {
		os.Exit(sub.run(os.Args[2:], os.Stdout, os.Stderr))
	}
	signal.Ignore(syscall.SIGPIPE) // or a line for a reader that is gone would end us
	code := run(os.Args)
	log.Flush(logPatience)
	os.Exit(code)
}

func run(argv []string) int {
	c, err := parse(argv[0], argv[1:])
	for _, w := range c.warnings {
		warn("%s", w)
	}
	switch {
	case errors.Is(err, errShown):
		fmt.Print(c.page)
		return 0
	case err != nil:
		return sayWhy(err)
	case c.healthcheck:
		if err := c.checkHealth(); err != nil {
			return sayWhy(err)
		}
		return 0
	case c.daemon && !inBackground():
		log.Flush(logPatience) // before the child has something to say
		return startInBackground(argv)
	}
	if err := serve(c); err != nil {
		return sayWhy(err)
	}
	return 0
}

// sayWhy prints the reason and returns the exit code.
func sayWhy(err error) int {
	warn("%s", err)
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	return exFailure
}

func warn(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }

// serve is the process from here to its end. The order is memcached's: keys first, which may be root's alone; then limits and
// user, so that nothing else is opened by a root that is about to leave; the pid file last, so that whoever waits for it may connect.
func serve(c *config) error {
	if err := c.loadTLS(); err != nil {
		return err
	}
	if c.daemon && !c.cores { // a core file is better off where we were started
		if err := os.Chdir("/"); err != nil {
			return quit(exFailure, "chdir: %s", reasonOf(err))
		}
	}
	if c.cores {
		if err := allowCores(); err != nil {
			return err
		}
	}
	if err := c.allowFiles(); err != nil {
		return err
	}
	if err := assumeUser(c.user); err != nil {
		return err
	}
	if err := c.fitLimits(); err != nil {
		return err
	}
	if c.opts.Verbosity > 0 && len(c.noops) > 0 {
		warn("accepted, and without meaning here: %s", strings.Join(c.noops, " "))
	}

	// Before the first client: a signal that comes early is answered, not died of.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP)

	// Before the store: a memory file may take minutes, and meanwhile it tells that we are not ready.
	admin, err := c.listenAdmin()
	if err != nil {
		return err
	}
	defer admin.Close()

	srv, first, err := startUntil(c, signals)
	switch {
	case err != nil && wantsEnd(first):
		return nil // who is told to end need not say why it could not begin
	case err != nil:
		return err
	}
	if srv != nil {
		admin.Serve(srv)
	}
	if c.pidfile != "" {
		writePidfile(c.pidfile)
	}
	if c.daemon {
		leaveParent(c.opts.Verbosity > 0)
	}

	leaveFilePages()
	graceful := waitForEnd(first, signals, srv)
	admin.Drain()
	if graceful {
		warn("Gracefully stopping")
		if srv != nil {
			drain(srv, c.drainTimeout, signals)
		}
	} else if c.opts.Verbosity > 0 {
		warn("Exiting normally")
	}
	admin.Close() // it reads the store, which is about to go
	if srv != nil {
		shutDown(srv)
	}
	if c.daemon && c.pidfile != "" {
		removePidfile(c.pidfile)
	}
	return nil
}

// wantsEnd tells whether a signal, which may be none, wants the end.
func wantsEnd(sig os.Signal) bool { return sig != nil && sig != syscall.SIGHUP }

// startUntil starts, but waits no longer for others when a signal wants the end. It also gives the
// signal that came meanwhile, one that wants the end before others.
func startUntil(c *config, signals <-chan os.Signal) (srv *server.Server, came os.Signal, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv, err = start(ctx, c)
	}()
	for {
		select {
		case <-done:
			return srv, came, err
		case sig := <-signals:
			if !wantsEnd(came) {
				came = sig
			}
			if wantsEnd(came) {
				cancel()
			}
		}
	}
}

// waitForEnd serves signals until one of them, or a client, wants the end. The first one may be
// there already.
//
//	TERM, INT, shutdown        the end
//	USR1, shutdown graceful    the end, gracefully: drain
//	HUP                        files are read again; a terminal that hangs up takes no cache with it
func waitForEnd(first os.Signal, signals <-chan os.Signal, srv *server.Server) (graceful bool) {
	var done <-chan struct{}
	reload := make(chan struct{}, 1)
	if srv != nil {
		done = srv.Done()
		go reloads(srv, reload)
		defer close(reload)
	}
	for sig := first; ; {
		switch sig {
		case nil:
		case syscall.SIGHUP:
			select {
			case reload <- struct{}{}:
			default: // it is going to be done
			}
		default:
			return sig == syscall.SIGUSR1
		}
		select {
		case <-done:
			return errors.Is(srv.Err(), server.ErrShutdownGraceful)
		case sig = <-signals:
		}
	}
}

// reloads reads files again, beside the signals: a file that is being written takes a moment.
func reloads(srv *server.Server, wanted <-chan struct{}) {
	for range wanted {
		if err := srv.Reload(); err != nil {
			warn("%s", err)
		}
	}
}

// start listens and serves. With TCP off and no unix socket nobody can be served, and there is no server: memcached runs all
// the same, and so do we, for the sake of scripts that count on a process.
func start(ctx context.Context, c *config) (*server.Server, error) {
	tcp, err := addresses(ctx, c, "TCP")
	if err != nil {
		return nil, err
	}
	udp, err := addresses(ctx, c, "UDP")
	if err != nil {
		return nil, err
	}
	for _, a := range tcp {
		c.opts.Listen = append(c.opts.Listen, a.words+a.addr)
	}
	for _, a := range udp {
		c.opts.UDP = append(c.opts.UDP, a.addr)
	}
	asked := append(tcp, udp...)
	if len(asked) == 0 && c.opts.UnixSocket == "" {
		warn("warning: no TCP port and no unix socket: nobody can connect")
		writePortFile(nil, nil)
		return nil, nil
	}
	c.opts.Settings.Threads = c.opts.Loops
	c.opts.Loops = loopsFor(c.opts.Loops, min(runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	c.opts.OwnProcess = true
	c.opts.Log, c.opts.Cancel = log, ctx.Done()
	c.limitRuntime()
	srv, err := server.Start(c.opts)
	if err != nil {
		return nil, startError(c, err)
	}
	if len(asked) > 0 {
		writePortFile(asked, srv.Addrs())
	}
	return srv, nil
}

// loopsFor is how many event loops serve -t threads: no more than there are cores, or than a control
// group allows in CPU time. Of two or three one is left to the kernel's network code and to whoever
// asks (docs/decisions/0002-processors-follow-the-load.md).
func loopsFor(threads, cores int) int {
	if cores < 4 {
		cores = max(1, cores-1)
	}
	return min(threads, cores)
}

// startError words a refusal of Start as memcached does.
func startError(c *config, err error) error {
	reason := reasonOf(err)
	var op *net.OpError
	var path *os.PathError
	var passwords *server.AuthFileError
	switch {
	case errors.Is(err, syscall.ENOMEM):
		return c.noMemory(err)
	case errors.As(err, &passwords):
		return quit(exFailure, "%s", passwords)
	case errors.As(err, &path) && path.Path == c.opts.MemoryFile:
		return quit(exOSErr, "failed to open memory file: %s: %s", c.opts.MemoryFile, reason)
	case errors.As(err, &op) && op.Addr != nil && op.Addr.Network() == "tcp":
		return listenError(c, "TCP", reason)
	case errors.As(err, &op) && op.Addr != nil && op.Addr.Network() == "udp":
		return listenError(c, "UDP", reason)
	case errors.As(err, &op), errors.As(err, &path) && path.Path == c.opts.UnixSocket:
		return quit(exOSErr, "failed to listen on UNIX socket: %s: %s", c.opts.UnixSocket, reason)
	}
	return quit(exOSErr, "failed to start: %s", err)
}

func listenError(c *config, network, reason string) error {
	if len(c.inter) > 0 {
		return quit(exOSErr, "failed to listen on one of interface(s) %s: %s", strings.Join(c.inter, ","), reason)
	}
	port := c.opts.Settings.Port
	if network == "UDP" {
		port = c.opts.Settings.UDPPort
	}
	return quit(exOSErr, "failed to listen on %s port %d: %s", network, port, reason)
}

// reasonOf is the system's word for an error, without the address or path that our sentence already names.
func reasonOf(err error) string {
	var errno syscall.Errno
	var path *os.PathError
	switch {
	case errors.As(err, &errno):
		s := errno.Error()
		return strings.ToUpper(s[:1]) + s[1:] // as perror has it
	case errors.As(err, &path):
		return path.Err.Error()
	}
	return err.Error()
}

// drain lets clients finish what they began, until all are gone, the time is over, or a second signal says that it is enough.
func drain(srv *server.Server, within time.Duration, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	go func() {
		for sig := range signals {
			if sig != syscall.SIGHUP {
				cancel()
			}
		}
	}()
	srv.Drain(ctx)
}

// shutDown stops the server, or stops waiting for it: the process ends after this either way.
func shutDown(srv *server.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(ctx) }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			warn("while stopping: %s", err)
		}
	case <-ctx.Done():
	}
}
