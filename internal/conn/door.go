package conn

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/protocol"
)

// Who comes to a listener without TLS is accepted by the loop that will serve it. The listener is
// watched by one loop at a time, in that loop's epoll instance (loop.go, the bell): the one with the
// fewest connections when the last client had come. So nobody is handed from one goroutine
// to another before the first reply, which costs more than accepting does
// (docs/decisions/0129-loops-that-accept.md).
//
//	             ┌── somebody has come: accept4, its connection is this loop's
//	watched by ──┼── another loop has fewer connections: watched by that one
//	a loop       ├── out of descriptors, or full: by nobody, until a goroutine has waited for that to change
//	             └── closed

// acceptsAtOnce is how many clients a loop accepts before others have their turn.
const acceptsAtOnce = 8

// door is a listener from which the loops accept.
type door struct {
	Listener
	mark int32    // of its events, from 1
	own  net.Addr // the address of connections at our end; nil: it depends on which of ours they came to

	mu   sync.Mutex
	fd   int                 // -1: it is closed, or about to be
	at   *loop               // who watches it, or nobody
	from unix.RawSockaddrAny // for system calls
	last *net.TCPAddr        // where the last one came to, if own is nil
}

// loopsAccept tells whether loops accept from a listener. Elsewhere goroutines do: clients who shake
// hands are not given to a loop before they have done so.
func loopsAccept(l Listener) bool { return l.Packets == nil && l.TLS == NoTLS && direct }

// openDoors makes doors of the listeners from which loops accept.
func (cs *Conns) openDoors() error {
	for _, l := range cs.listeners {
		if !loopsAccept(l) {
			continue
		}
		d := &door{Listener: l, mark: int32(len(cs.doors) + 1), fd: descriptorOf(l.Listener.(syscall.Conn))}
		cs.doors = append(cs.doors, d)
		tcp, ok := l.Addr().(*net.TCPAddr)
		if !ok || !tcp.IP.IsUnspecified() {
			d.own = l.Addr()
		}
		if !ok {
			continue
		}
		// What is accepted inherits it.
		if err := unix.SetsockoptInt(d.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// watch has a loop accept, instead of the one that has until now. Of a listener that is closed
// nothing happens.
func (d *door) watch(l *loop) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 || d.at == l {
		return nil
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(d.fd), Pad: d.mark}
	if err := unix.EpollCtl(l.writable, unix.EPOLL_CTL_ADD, d.fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	d.forget()
	d.at = l
	return nil
}

// leave has nobody accept until somebody watches again.
func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
}

// forget is leave with the lock held.
func (d *door) forget() {
	if d.at != nil {
		_ = unix.EpollCtl(d.at.writable, unix.EPOLL_CTL_DEL, d.fd, nil) // it is there
		d.at = nil
	}
}

// close has nobody accept any more. The listener is closed after that: as long as another process
// has it open, too, the kernel would go on to report it.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	d.fd = -1
}

// accept takes the next client. EAGAIN: there is none.
func (d *door) accept() (fd int, local, remote net.Addr, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.fd >= 0 {
		fd, errno := d.call(unix.SYS_ACCEPT4, d.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch errno {
		case 0:
			remote = address(&d.from)
			return fd, d.local(fd), remote, nil
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return -1, nil, nil, errno
		}
	}
	return -1, nil, nil, unix.EAGAIN
}

// local is the address of a client's connection at our end.
func (d *door) local(fd int) net.Addr {
	if d.own != nil {
		return d.own
	}
	_, _ = d.call(unix.SYS_GETSOCKNAME, fd, 0) // it has a name
	a, ok := address(&d.from).(*net.TCPAddr)
	if !ok {
		return d.Addr()
	}
	if d.last == nil || !d.last.IP.Equal(a.IP) {
		d.last = a
	}
	return d.last
}

// call asks for a socket's address. Like those that transfer makes, these calls do not block.
func (d *door) call(call uintptr, fd, flags int) (result int, errno syscall.Errno) {
	d.from = unix.RawSockaddrAny{}
	size := uint32(unsafe.Sizeof(d.from))
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&d.from)), uintptr(unsafe.Pointer(&size)), uintptr(flags), 0, 0)
	return int(n), errno
}

// noName is the address of a unix socket's client that has not bound its own, as package net gives it.
var noName net.Addr = &net.UnixAddr{Name: "@", Net: "unix"}

// address is what a system call has filled in. What it returns is one allocation, because there is
// one for each connection.
func address(raw *unix.RawSockaddrAny) net.Addr {
	switch raw.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		a := &struct {
			net.TCPAddr
			ip [4]byte
		}{ip: in.Addr}
		a.IP, a.Port = a.ip[:], hostOrder(in.Port)
		return &a.TCPAddr
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		a := &struct {
			net.TCPAddr
			ip [16]byte
		}{ip: in.Addr}
		a.IP, a.Port = a.ip[:], hostOrder(in.Port)
		return &a.TCPAddr
	case unix.AF_UNIX:
		path := (*unix.RawSockaddrUnix)(unsafe.Pointer(raw)).Path
		if path[0] != 0 {
			return &net.UnixAddr{Name: unix.ByteSliceToString(unsafe.Slice((*byte)(unsafe.Pointer(&path[0])), len(path))), Net: "unix"}
		}
	}
	return noName
}

func hostOrder(port uint16) int { return int(port>>8 | port<<8) }

// accept takes clients from a listener, to be served here. One beyond MaxConns gets memcached's line
// and is closed, or is left in the kernel's queue until there is room.
func (l *loop) accept(d *door) {
	cs := l.conns
	for n := range acceptsAtOnce {
		if cs.opts.MaxConnsWait && !cs.admitAtOnce() {
			if n == 0 { // or it is not known that somebody waits
				cs.sayCrowded()
				l.rest(d, func() { cs.await(cs.hasRoom) })
			}
			return
		}
		fd, local, remote, err := d.accept()
		if err != nil {
			if cs.opts.MaxConnsWait {
				cs.current.Add(-1)
			}
			if err != unix.EAGAIN {
				cs.sayNoFiles(err)
				l.rest(d, func() { time.Sleep(acceptPause) })
			}
			return
		}
		if !cs.opts.MaxConnsWait && !cs.admitAtOnce() {
			cs.sayCrowded()
			cs.rejected.Add(1)
			line := []byte(protocol.TooManyConns.Line())
			_, _ = transfer(unix.SYS_WRITE, fd, unsafe.Pointer(&line[0]), len(line)) // a courtesy; it fits any socket's buffer
			_ = unix.Close(fd)
			continue
		}
		cs.total.Add(1)
		cs.prepare(fd)
		c := &Conn{conns: cs, wire: d.Wire}
		c.local, c.remote = local, remote
		if err := l.take(fd, c); err != nil {
			cs.current.Add(-1)
			cs.env.Warn("cannot serve %s: %v\n", remote, err)
		}
		if next := cs.engine.fewest(l); next != l && d.watch(next) == nil {
			return // or it stays here
		}
	}
}

// rest has nobody accept from a listener until something has been waited for.
func (l *loop) rest(d *door, wait func()) {
	d.leave()
	cs := l.conns
	cs.unlessStopped(func() {
		cs.accepting.Go(func() {
			cs.rest(wait)
			for d.watch(l) != nil { // the system has no memory for that
				cs.rest(func() { time.Sleep(acceptPause) })
			}
		})
	})
}
