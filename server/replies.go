package server

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/storage"
)

// The replies of a read event gather in worker.out. A large value is not copied there: it is pinned in the store, cuts says where
// in out it belongs, and one writev sends it all from where it lies:
//
//	out      VALUE a 0 9000\r\n │ \r\nVALUE b 0 7000\r\n │ \r\nEND\r\n
//	cuts                       18                       36
//	pinned                     [9000 bytes]              [7000 bytes]
//
// What the socket does not take at once is copied, so no pin outlives the event.

// pinMin is the length from which a value is pinned: below, copying is cheaper than another lock and a longer writev
// (docs/decisions/0109).
const pinMin = 4 << 10

// vectorsMax is how many parts a writev takes. Source: IOV_MAX of Linux.
const vectorsMax = 1024

// appendStored appends the value of an item.
func (w *worker) appendStored(it *storage.Item) {
	if !w.pins || it.Len() < pinMin {
		w.out = it.AppendTo(w.out)
		return
	}
	it.Pin(&w.pinned)
	for len(w.cuts) < len(w.pinned.Pieces) {
		w.cuts = append(w.cuts, len(w.out))
	}
}

// pending is how many bytes of replies there are.
func (w *worker) pending() int { return len(w.out) + w.pinned.Bytes }

// parts lays the replies out in the order in which they are sent.
func (w *worker) parts() [][]byte {
	parts, from := w.vector[:0], 0
	for i, cut := range w.cuts {
		if cut > from {
			parts = append(parts, w.out[from:cut])
		}
		parts = append(parts, w.pinned.Pieces[i])
		from = cut
	}
	if from < len(w.out) {
		parts = append(parts, w.out[from:])
	}
	w.vector = parts
	return parts
}

// rest copies the replies from some byte on.
func (w *worker) rest(from int) []byte {
	rest := make([]byte, 0, w.pending()-from)
	for _, part := range w.parts() {
		skip := min(from, len(part))
		from -= skip
		rest = append(rest, part[skip:]...)
	}
	return rest
}

// outKeep is the largest reply buffer a loop keeps; a larger one served a rare large value.
const outKeep = 2 << 20

// recycle empties the reply buffer.
func (w *worker) recycle() {
	if cap(w.out) > outKeep {
		w.out = nil
	}
	w.out = w.out[:0]
	if len(w.cuts) > 0 {
		w.cuts = w.cuts[:0]
		clear(w.vector)
		w.pinned.Release()
	}
}

// write sends what the socket takes now.
func (w *worker) write(fd int) (sent int, err error) {
	if len(w.cuts) > 0 {
		return w.writeParts(fd)
	}
	for sent < len(w.out) {
		n, err := transfer(unix.SYS_WRITE, fd, unsafe.Pointer(&w.out[sent]), len(w.out)-sent)
		if n == 0 {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// writeParts is write for replies with pinned values.
func (w *worker) writeParts(fd int) (sent int, err error) {
	parts := w.parts()
	for len(parts) > 0 {
		w.iovecs = w.iovecs[:0]
		for _, part := range parts[:min(len(parts), vectorsMax)] {
			w.iovecs = append(w.iovecs, unix.Iovec{Base: unsafe.SliceData(part), Len: uint64(len(part))})
		}
		n, err := transfer(unix.SYS_WRITEV, fd, unsafe.Pointer(&w.iovecs[0]), len(w.iovecs))
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

// transfer reads from a socket or writes to it as many bytes as go now; none if it would have to wait, at the end of the stream, or
// with an error. The call is a raw one, which the scheduler does not hear of: it cannot block, and told that it might, the scheduler
// takes the processor away from a loop whose write takes longer than 20 µs (docs/decisions/0002-processors-follow-the-load.md).
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
