package load

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

const crlf = "\r\n"

// A conn is one connection: what is to be sent, and what was asked and is not yet answered, oldest first.
type conn struct {
	fd    int // -1 when there is none
	index int32

	out  []byte // requests, without the long values
	cuts []cut  // where those go
	sent int    // bytes of both that are on their way

	pend   []pending
	head   int       // pend[:head] are answered
	ids    []int64   // the keys of pend's mgets
	follow []request // what replies have led to: the set after a miss, the cas after a gets

	tls     *secure // nil: none
	in      stream
	packet  packet // the binary protocol's, in the place of in
	value   value  // under reception
	served  int    // requests, for -reconnect
	born    int64
	quit    bool // we have said so, and wait for the server to hang up
	waiting bool // for the socket to take more
}

// A cut is a value that is sent from where it lies in the block, not copied into out: memory traffic of a generator
// that copies megabytes would be counted against the server, which shares the cache with it.
type cut struct {
	at    int // in out
	bytes []byte
}

// cutMin is where sparing the copy begins to outweigh a longer writev.
const cutMin = 8 << 10

type request struct {
	op     op
	id     int64
	unique uint64
}

type pending struct {
	op     op
	keys   int32 // asked for
	found  int32
	first  int32 // of an mget's keys in conn.ids; moves on as they are found
	id     int64
	unique uint64
	sent   int64 // when; in an open loop, when it was due
}

// A value is known by its key: what arrives must be what the block holds at that key's place.
type value struct {
	want  []byte // what is still to come; nil when it is not compared
	wrong bool
}

func (c *conn) answered() bool { return c.head == len(c.pend) }

// forget makes room once all is answered, so that the slices never grow beyond a batch.
func (c *conn) forget() {
	if c.answered() {
		c.pend, c.head, c.ids = c.pend[:0], 0, c.ids[:0]
	}
}

// flush writes what it can, all of a batch in one call, and says whether all is gone.
func (c *conn) flush(iov []unix.Iovec) (bool, error) {
	if c.tls != nil {
		return c.tls.flush(c)
	}
	total := len(c.out)
	for _, cut := range c.cuts {
		total += len(cut.bytes)
	}
	for c.sent < total {
		var n int
		var e syscall.Errno
		if len(c.cuts) == 0 {
			n, e = rawWrite(c.fd, c.out[c.sent:])
		} else {
			n, e = rawWritev(c.fd, c.vectors(iov[:0]))
		}
		switch e {
		case 0:
			c.sent += n
		case unix.EAGAIN:
			return false, nil
		case unix.EINTR:
		default:
			return false, sockErr("write", e)
		}
	}
	c.out, c.cuts, c.sent = c.out[:0], c.cuts[:0], 0
	return true, nil
}

// vectorsMax is IOV_MAX; what is beyond waits for the next call.
const vectorsMax = 1024

// vectors lists out and the cuts in their order, without what is sent already.
func (c *conn) vectors(iov []unix.Iovec) []unix.Iovec {
	skip := c.sent
	add := func(b []byte) {
		if skip >= len(b) {
			skip -= len(b)
			return
		}
		if b = b[skip:]; len(iov) < vectorsMax {
			v := unix.Iovec{Base: &b[0]}
			v.SetLen(len(b))
			iov = append(iov, v)
		}
		skip = 0
	}
	from := 0
	for _, cut := range c.cuts {
		add(c.out[from:cut.at])
		add(cut.bytes)
		from = cut.at
	}
	add(c.out[from:])
	return iov
}

var (
	errUnasked  = errors.New("a reply to nothing")
	errHangUp   = errors.New("the server hung up")
	errWrongKey = errors.New("a value of a key that was not asked for")
)

func outOfStep(text []byte) error {
	return fmt.Errorf("unexpected reply %q", text[:min(len(text), 80)])
}

func isError(text []byte) bool {
	return string(text) == "ERROR" || bytes.HasPrefix(text, []byte("CLIENT_ERROR")) || bytes.HasPrefix(text, []byte("SERVER_ERROR")) ||
		bytes.HasPrefix(text, []byte("ERROR "))
}

// numbers reads up to three of them, one blank apart: flags, bytes and perhaps the unique of a VALUE line.
func numbers(text []byte) (n [3]uint64, count int, ok bool) {
	for len(text) > 0 && count < len(n) {
		i := 0
		for ; i < len(text) && text[i] != ' '; i++ {
			d := uint64(text[i] - '0')
			if d > 9 {
				return n, count, false
			}
			n[count] = n[count]*10 + d
		}
		if i == 0 {
			return n, count, false
		}
		count++
		if text = text[i:]; len(text) > 0 {
			text = text[1:]
		}
	}
	return n, count, len(text) == 0
}
