package server

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// vectorsMax is how many parts a writev takes. Source: IOV_MAX of Linux.
const vectorsMax = 1024

// write sends what the socket takes now of the loop's replies.
func (l *loop) write(fd int) (sent int, err error) {
	parts := l.Out.Parts()
	if len(parts) > 1 {
		return l.writeParts(fd, parts)
	}
	for _, part := range parts {
		for sent < len(part) {
			n, err := transfer(unix.SYS_WRITE, fd, unsafe.Pointer(&part[sent]), len(part)-sent)
			if n == 0 {
				return sent, err
			}
			sent += n
		}
	}
	return sent, nil
}

// writeParts is write for several parts.
func (l *loop) writeParts(fd int, parts [][]byte) (sent int, err error) {
	for len(parts) > 0 {
		l.iovecs = l.iovecs[:0]
		for _, part := range parts[:min(len(parts), vectorsMax)] {
			l.iovecs = append(l.iovecs, unix.Iovec{Base: unsafe.SliceData(part), Len: uint64(len(part))})
		}
		n, err := transfer(unix.SYS_WRITEV, fd, unsafe.Pointer(&l.iovecs[0]), len(l.iovecs))
		if n == 0 {
			return sent, err
		}
		sent += n
		for len(parts) > 0 && n >= len(parts[0]) {
			n -= len(parts[0])
			parts = parts[1:]
		}
		if n > 0 {
			parts[0] = parts[0][n:]
		}
	}
	return sent, nil
}

// transfer reads from a socket or writes to it as many bytes as go now; none if it would have to
// wait, at the end of the stream, or with an error. The call is a raw one, which the scheduler does
// not hear of: it cannot block, and told that it might, the scheduler takes the processor away from
// a loop whose write takes longer than 20 µs (docs/decisions/0002-processors-follow-the-load.md).
func transfer(call uintptr, fd int, p unsafe.Pointer, size int) (n int, err error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(p), uintptr(size))
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
