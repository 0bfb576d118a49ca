package field

import (
	"net"
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

// paced is a connection that reads and writes at a pace, and gives up when nothing moves.
type paced struct {
	net.Conn
	patience time.Duration
	down, up pace
}

func (p *paced) Read(dst []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(p.patience))
	n, err := p.Conn.Read(dst[:min(len(dst), p.down.piece())])
	p.down.went(n)
	return n, err
}

func (p *paced) Write(src []byte) (n int, err error) {
	for n < len(src) && err == nil {
		_ = p.SetWriteDeadline(time.Now().Add(p.patience))
		var m int
		m, err = p.Conn.Write(src[n:min(len(src), n+p.up.piece())])
		p.up.went(m)
		n += m
	}
	return n, err
}
