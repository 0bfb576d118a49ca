package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
)

// A client of an encrypted listener shakes hands in a goroutine of its own, so that no loop waits
// for it or computes for it: that takes a thousand times as long as a get. Then its connection goes
// to a loop like any other.
//
//	accept ─▶ shake: crypto/tls over the socket, in turn with others ─▶ adopt ─▶ loop: secure.go
//	            └── too long, no memory, no such certificate, stop ─▶ closed
//
// A client that shakes hands is one of those that -c counts. It is not in stats conns yet.

const (
	// shakeWithin bounds how long a handshake may take: some 5 KB to and fro on a link of 1 kbit/s.
	shakeWithin = time.Minute
	// shakeHolds is what a client in it may make us hold, about: crypto/tls's buffers and a stack. The
	// budget counts it, so who stands still here goes when others need the memory.
	shakeHolds = 16 << 10
)

// computing is for how many handshakes may compute at the same time: the other processors are for
// the loops.
func computing() chan struct{} { return make(chan struct{}, max(1, runtime.NumCPU()/2)) }

// handshake is a client's that has been accepted and is not on a loop.
type handshake struct {
	conn  *Conn
	turns chan struct{} // one for each that computes
}

// read waits for the client, and lets others compute meanwhile.
func (h *handshake) read(socket net.Conn, p []byte) (int, error) {
	<-h.turns
	n, err := socket.Read(p)
	h.turns <- struct{}{}
	h.conn.served.Store(uint32(h.conn.conns.env.Clock.Now()))
	return n, err
}

// shake has a client shake hands, and gives it to a loop.
func (cs *Conns) shake(socket net.Conn, c *Conn, config *tls.Config) {
	x := newSecure(socket, config)
	h := &handshake{conn: c, turns: cs.computing}
	x.wire.shakes = h
	c.remote, c.secure = socket.RemoteAddr(), x
	c.served.Store(uint32(cs.env.Clock.Now()))
	c.shaking.Store(&socket)
	_ = socket.SetDeadline(time.Now().Add(shakeWithin))
	cs.budget.hold(c, shakeHolds)
	err := h.run(x.tls)
	cs.budget.release(c)
	if err == nil {
		x.wire.socket, x.wire.shakes = nil, nil
		err = cs.engine.adopt(c, socket)
	} else {
		cs.env.Late.AddNow(stats.SSLHandshakeErrors, 1)
		_ = socket.Close() // crypto/tls has said why, if the client can be told
	}
	if err != nil {
		cs.current.Add(-1)
	}
	if err != nil && err != io.EOF { // who only wanted to know whether somebody listens
		cs.logf("cannot serve %s: %v\n", c.remote, err)
	}
}

// run lets crypto/tls shake hands.
func (h *handshake) run(c *tls.Conn) (err error) {
	cs := h.conn.conns
	h.turns <- struct{}{}
	defer func() { <-h.turns }()
	defer func() {
		if p := recover(); p != nil {
			cs.mistake(p, "a connection is closed")
			err = errMistake
		}
	}()
	return c.HandshakeContext(cs.life)
}

// errMistake ends a connection for a mistake of ours.
var errMistake = errors.New("a mistake of ours")
