package field

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A pace lets so many bytes by in a second, in pieces: who reads steadily has a small window and
// opens it all the time.
type pace struct {
	rate int // 0: any
	due  time.Time
}

// slack is what may be caught up after a sleep that was too long.
const slack = 20 * time.Millisecond

// piece is what goes at once: five milliseconds' worth, but of very slow links a second's.
func (p *pace) piece() int {
	if p.rate == 0 {
		return 1 << 20
	}
	return min(max(p.rate/200, 1<<10), 1<<20)
}

// went is called when n bytes have gone, and returns when they might have.
func (p *pace) went(n int) {
	if p.rate == 0 {
		return
	}
	if earliest := time.Now().Add(-slack); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	if early := time.Until(p.due); early > time.Millisecond {
		time.Sleep(early)
	}
}

// paced is a connection that reads and writes at a pace, and gives up when nothing moves. A byte in
// either direction is a move: a server may well read on only when its replies are taken.
type paced struct {
	net.Conn
	patience time.Duration
	down, up pace
	moved    atomic.Int64 // when a byte last came or went, in nanoseconds of Unix time
}

func (p *paced) Read(dst []byte) (n int, err error) {
	for again := true; again; again = p.goesOn(err) {
		_ = p.SetReadDeadline(time.Now().Add(p.patience))
		n, err = p.Conn.Read(dst[:min(len(dst), p.down.piece())])
		p.went(n)
	}
	p.down.went(n)
	return n, err
}

func (p *paced) Write(src []byte) (n int, err error) {
	for n < len(src) && (err == nil || p.goesOn(err)) {
		_ = p.SetWriteDeadline(time.Now().Add(p.patience))
		var m int
		m, err = p.Conn.Write(src[n:min(len(src), n+p.up.piece())])
		p.went(m)
		p.up.went(m)
		n += m
	}
	return n, err
}

func (p *paced) went(n int) {
	if n > 0 {
		p.moved.Store(time.Now().UnixNano())
	}
}

// goesOn tells whether an error is only that this direction has had to wait, while the other moves.
func (p *paced) goesOn(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, p.moved.Load())) < p.patience
}
