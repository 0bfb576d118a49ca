package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
)

// ListenOptions are the addresses to listen on.
type ListenOptions struct {
	TCP      []Address
	UDP      []string     // "host:port" or ":port"
	Unix     string       // path of a unix socket, or ""
	UnixWire session.Wire // how clients may talk there
	UnixMask os.FileMode
	Backlog  int
}

// Address is where to listen, and how clients are talked to there.
type Address struct {
	Addr string // "host:port" or ":port"
	Wire session.Wire
	TLS  TLS
}

// TLS says whether connections of a listener are encrypted, and who may open them.
type TLS uint8

const (
	NoTLS  TLS = iota // they are not
	PerTLS            // clients are asked for certificates as the TLS configuration says
	Basic             // clients are not asked for certificates
	Mutual            // clients must have a certificate that can be verified
)

// Listener is an open socket to which clients come: with connections, or with datagrams.
type Listener struct {
	net.Listener // nil: Packets is not
	Packets      *net.UDPConn
	Wire         session.Wire
	TLS          TLS
}

// Addr is where it listens.
func (l Listener) Addr() net.Addr {
	if l.Packets != nil {
		return l.Packets.LocalAddr()
	}
	return l.Listener.Addr()
}

// Close closes it.
func (l Listener) Close() error {
	if l.Packets != nil {
		return l.Packets.Close()
	}
	return l.Listener.Close()
}

// Listen opens every address, or none: those for connections, then those for datagrams.
func Listen(opts ListenOptions) (open []Listener, err error) {
	defer func() {
		if err != nil {
			CloseAll(open)
		}
	}()
	for _, a := range opts.TCP {
		l, err := listenTCP(a.Addr, opts.Backlog)
		if err != nil {
			return open, err
		}
		open = append(open, Listener{Listener: l, Wire: a.Wire, TLS: a.TLS})
	}
	if opts.Unix != "" {
		l, err := listenUnix(opts.Unix, opts.UnixMask, opts.Backlog)
		if err != nil {
			return open, err
		}
		open = append(open, Listener{Listener: l, Wire: opts.UnixWire})
	}
	for _, addr := range opts.UDP {
		socket, err := listenUDP(addr)
		if socket != nil {
			open = append(open, Listener{Packets: socket})
		}
		if err != nil {
			return open, err
		}
	}
	return open, nil
}

func listenTCP(addr string, backlog int) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAlive: -1, // not Go's 15 seconds: idle clients would be probed all day. What follows is the kernel's two hours
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { // inherited by what is accepted
				return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			})
		},
	}
	l, err := config.Listen(context.Background(), networkOf("tcp", addr), addr)
	if err != nil {
		return nil, err
	}
	return l, setBacklog(l.(*net.TCPListener), backlog)
}

// networkOf keeps an address to its family: for package net, 0.0.0.0 means IPv6 too unless it is
// told otherwise.
func networkOf(protocol, addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil: // no host, or a name: both families
		return protocol
	case ip.Is4():
		return protocol + "4"
	default:
		return protocol + "6"
	}
}

func listenUnix(path string, mask os.FileMode, backlog int) (net.Listener, error) {
	if err := socketFile(path); err != nil {
		return nil, err
	}
	// The mask is set before the file exists, so that nobody connects in between who may not. It is
	// the whole process's, but this is start-up.
	old := unix.Umask(int(^mask & 0o777))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, setBacklog(l, backlog)
}

// setBacklog calls listen(2) once more, which is how the queue of a listening socket is resized:
// package net always asks for the system's maximum.
func setBacklog(l syscall.Conn, backlog int) error {
	c, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return os.NewSyscallError("listen", unix.Listen(fd, backlog)) })
}

// control runs f on a connection's descriptor.
func control(c syscall.RawConn, f func(fd int) error) (err error) {
	if outer := c.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// CloseAll closes listeners.
func CloseAll(listeners []Listener) {
	for _, l := range listeners {
		_ = l.Close() // nothing is lost with a listener
	}
}

// socketFile removes the socket of a server that was killed, and refuses a path where anything else
// stands: binding would fail, and removing it would lose a stranger's file, or take a live server's
// clients from it. (Of two servers that start at the same moment, one may still lose its socket.)
func socketFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return &os.PathError{Op: "listen", Path: path, Err: errors.New("exists and is not a socket")}
	}
	if err := unanswered(path); err != nil {
		return &os.PathError{Op: "listen", Path: path, Err: err}
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// unanswered makes sure that nobody listens on a unix socket. It does not wait: who has no room for
// one more client listens.
func unanswered(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case unix.ECONNREFUSED, unix.ENOENT:
		return nil
	case nil, unix.EAGAIN, unix.EPROTOTYPE: // the last one: it listens for other things than clients
		return unix.EADDRINUSE
	default: // who may not ask cannot know
		return err
	}
}
