package conn

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is done with a client's socket. All bytes from and to a client pass here (or, before that,
// through gnet's read), so this is where another kind of connection differs:
//
//	read       into place, what gnet has not read
//	writev     as much as the socket takes
//	pause      input stays in the kernel
//	resume     input is read again
//	wake       the loop looks after the connection; from any goroutine
//	close      end, from its loop; ask, from elsewhere; reset before it, if nothing of what was sent matters any more

// vectorsMax is how many parts a writev takes. Source: IOV_MAX of Linux.
const vectorsMax = 1024

// read takes what has come since gnet read: it fills the rooms, one after the other. more: all are full.
// The end of the stream and errors are left for gnet to find.
func (s *socket) read(rooms [][]byte) (n int, more bool) {
	if s.secure != nil {
		for _, room := range rooms {
			got := s.decrypt(room, s.fd)
			if n += got; got < len(room) {
				return n, false
			}
		}
		return n, true
	}
	l, size := s.loop, 0
	l.iovecs = l.iovecs[:0]
	for _, room := range rooms {
		l.iovecs = append(l.iovecs, unix.Iovec{Base: unsafe.SliceData(room), Len: uint64(len(room))})
		size += len(room)
	}
	n, _ = transfer(unix.SYS_READV, s.fd, unsafe.Pointer(&l.iovecs[0]), len(l.iovecs))
	return n, n == size
}

// writev sends what the socket takes now of the parts, up to most bytes. full: it takes no more.
func (s *socket) writev(parts [][]byte, most int) (sent int, full bool, err error) {
	if s.secure != nil {
		return s.seal(parts, most)
	}
	l := s.loop
	for len(parts) > 0 && sent < most {
		if len(parts) == 1 {
			part := parts[0][:min(len(parts[0]), most-sent)]
			n, err := transfer(unix.SYS_SENDTO, s.fd, unsafe.Pointer(unsafe.SliceData(part)), len(part)) // cheaper than write
			return sent + n, n < len(part), err
		}
		l.iovecs = l.iovecs[:0]
		want := 0
		for _, part := range parts[:min(len(parts), vectorsMax)] {
			n := min(len(part), most-sent-want)
			l.iovecs = append(l.iovecs, unix.Iovec{Base: unsafe.SliceData(part), Len: uint64(n)})
			if want += n; want == most-sent {
				break
			}
		}
		n, err := transfer(unix.SYS_WRITEV, s.fd, unsafe.Pointer(&l.iovecs[0]), len(l.iovecs))
		sent += n
		if n < want {
			return sent, true, err
		}
		parts = parts[len(l.iovecs):] // all of them but maybe the last, and then sent is most
	}
	return sent, false, nil
}

// transfer reads from a socket or writes to it as many bytes as go now; none if it would have to
// wait, at the end of the stream, or with an error. The call is a raw one, which the scheduler does
// not hear of: it cannot block, and told that it might, the scheduler takes the processor away from
// a loop whose write takes longer than 20 µs (docs/decisions/0002-processors-follow-the-load.md). It
// is read, readv, write, writev or, without flags and address, sendto.
func transfer(call uintptr, fd int, p unsafe.Pointer, size int) (n int, err error) {
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(p), uintptr(size), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// pause leaves input in the kernel.
func (s *socket) pause() {
	if !s.paused {
		s.paused = true
		s.loop.forget(s.fd)
	}
}

// resume has input read again. False: the system has no memory for that.
func (s *socket) resume() bool {
	if s.paused {
		s.paused = false
		return s.loop.add(s.loop.epoll, s.fd, s.fd, readEvents) == nil
	}
	return true
}

// reset has close drop what the kernel has still to send. Else that stays in its memory, and a
// client who takes nothing never learns that it has been closed.
func (s *socket) reset() {
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// unread is how many bytes the kernel has of the client that nobody has read.
func (s *socket) unread() int {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// untaken is how many bytes written to the socket the client has not taken yet: it, or its kernel.
func (s *socket) untaken() int64 {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return int64(n)
}
