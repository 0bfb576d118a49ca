package load

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets are bare descriptors that never block. Reads, writes and waits go past Go's scheduler (raw system calls): to it
// the thread is simply busy, so it neither takes the processor away nor wakes a helper to look after it, and the client's
// share of the machine stays small and even. That is right only because the first two never wait and the third is bounded.

// A socketError names the call, as os.SyscallError does, without reaching for os.
func sockErr(call string, e error) error { return fmt.Errorf("%s: %w", call, e) }

// sources spreads connections over 127.0.0.x, x from firstSource: a client that connects again and again would otherwise
// run out of ports, which belong to an address each.
var sources atomic.Uint32

const (
	firstSource = 2
	manySources = 200
)

// dial begins a connection. On loopback the handshake is over before connect returns, though a socket that does not block
// says EINPROGRESS all the same; should it not be over, the first write says so and is tried again.
func dial(to netip.AddrPort, spreadOut bool) (fd int, err error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, sockErr("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return -1, sockErr("setsockopt TCP_NODELAY", err)
	}
	// RST instead of FIN: no port waits in TIME_WAIT, so runs can follow each other.
	if err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return -1, sockErr("setsockopt SO_LINGER", err)
	}
	if spreadOut && to.Addr().Is4() {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return -1, sockErr("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
		}
		x := byte(firstSource + sources.Add(1)%manySources)
		if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, x}}); err != nil {
			return -1, sockErr("bind", err)
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	if err = unix.Connect(fd, sa); err != nil && err != unix.EINPROGRESS {
		return -1, sockErr("connect", err)
	}
	return fd, nil
}

func rawRead(fd int, into []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
	return int(n), e
}

func rawWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), e
}

func rawWritev(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return int(n), e
}

// timespec is the kernel's own, of 64 bits everywhere.
type timespec struct{ sec, nsec int64 }

// epollWait waits at most ns nanoseconds. An open loop needs them: a wait in milliseconds would be late by half of one on
// average, and that lateness would be booked as the server's.
func epollWait(ep int, events []unix.EpollEvent, ns int64) int {
	wait := timespec{ns / 1e9, ns % 1e9}
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&wait)), 0, 0)
	if e == unix.ENOSYS { // before Linux 5.11
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
			uintptr((ns+999_999)/1e6), 0, 0)
	}
	if e != 0 {
		return 0 // EINTR
	}
	return int(n)
}

// undisturbed keeps Go's scheduler from waking this thread, which is locked: every 10 ms it would send SIGURG to one that looks
// busy, and ours do while they wait. undo belongs on the same thread.
func undisturbed() (undo func()) {
	var urgent, before unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, &before) != nil {
		return func() {}
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }
}

// awaitSocket waits until it can be read or written, before and after anybody measures.
func awaitSocket(fd int, events int16) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(fds, 5000)
		if err == unix.EINTR {
			continue
		}
		if n == 0 && err == nil {
			err = unix.ETIMEDOUT
		}
		return err
	}
}

// AllowFiles makes room for n descriptors.
func AllowFiles(n int) error {
	const spare = 64
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(n + spare); limit.Cur < need {
		limit.Cur, limit.Max = need, max(limit.Max, need)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("%d open files: %w", need, err)
		}
	}
	return nil
}
