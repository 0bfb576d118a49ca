package conn

import "runtime"

// Whose turn it is. A connection has its turn when gnet finds input for it, and then, if it is not
// done with that, when it comes to the head of its loop's line. Between two turns of the line
// everybody else who has input has theirs: the line moves on by an event (loop.go, the bell), not
// by a call.
//
// How long a turn is, for pipelines, multigets, large replies, dumps and uploads alike, is the
// session's Turn; what is written in one is bounded by writeMost.

// writeMost is how many bytes are written to a socket in one turn, some 150 µs of the kernel's
// work. A value of 1 MB in two writes costs its client, and with it the pair, 1.8 times as much as
// in one (go run ./bench/compare -only get-1m).
const writeMost = 1 << 20

// line is the connections that wait for their turn, in the order in which they came.
type line struct {
	waiting []*Conn
	first   int
}

func (ln *line) add(c *Conn) { ln.waiting = append(ln.waiting, c) }

// next takes the first, or nil.
func (ln *line) next() *Conn {
	if ln.first == len(ln.waiting) {
		return nil
	}
	c := ln.waiting[ln.first]
	ln.waiting[ln.first] = nil
	if ln.first++; ln.first == len(ln.waiting) {
		ln.waiting, ln.first = ln.waiting[:0], 0
	}
	return c
}

func (ln *line) empty() bool { return ln.first == len(ln.waiting) }

// turn is the line's: the next connection has its turn.
func (l *loop) turn() {
	l.whoHasCome()
	for {
		c := l.line.next()
		if c == nil {
			break
		}
		if c.phase() != inLine { // it was closed meanwhile
			continue
		}
		if !c.turn() {
			c.end()
		}
		break
	}
	l.ringIfNeeded()
	// The loop of a connection that always has more never waits. Where loops share a processor the
	// clients of another would wait for 10 to 20 ms, until the scheduler takes it away.
	if l.conns.opts.Loops > 1 {
		runtime.Gosched()
	}
}

// ringIfNeeded has the bell reported while there is somebody in line.
func (l *loop) ringIfNeeded() {
	if needed := !l.line.empty(); needed != l.rings {
		l.rings = needed
		l.report(needed)
	}
}
