package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/stats"
)

// A client of an encrypted listener shakes hands in a goroutine of its own, so that no loop waits
// for it or computes for it: that takes a thousand times as long as a get. Then its connection goes
// to a loop like any other.
//
//	accepted ── its first byte ─▶ a place ─▶ crypto/tls over the socket ─▶ a loop: secure.go
//	   │                            │           in turn with others who compute
//	   holds nothing                │           holds shakeHolds and more
//	                                waits for others to be done
//
// A client that shakes hands is one of those that -c counts. It is not in stats conns yet.

const (
	// shakeStill is for how long a client may send nothing.
	shakeStill = time.Minute
	// shakeHolds is what a client that has a place makes us hold at first, about: crypto/tls's buffers
	// and a stack. What it sends lies there twice, as it is and as a message. The budget counts it.
	shakeHolds = 16 << 10
	// shakeBytes is how much a client may send, and shakeBytesMutual the same with certificates.
	shakeBytes       = 32 << 10
	shakeBytesMutual = 96 << 10
	// placesMost is how many places there are, at most; they have a quarter of the budget.
	placesMost = 512
	// leaves is how long a client may keep its place while others wait for one.
	leaves = 20 * time.Second
)

// handshakes are those of all clients.
type handshakes struct {
	places    chan struct{} // one for each client that has one
	waiting   atomic.Int32  // clients without
	computing chan struct{} // one for each that computes: the other processors are for the loops
}

func newHandshakes(budget int64) handshakes {
	places := min(placesMost, max(1, budget/4/shakeHolds))
	return handshakes{places: make(chan struct{}, places), computing: make(chan struct{}, max(1, runtime.NumCPU()/2))}
}

// handshake is a client's that has been accepted and is not on a loop.
type handshake struct {
	*handshakes
	conn   *Conn
	socket net.Conn
	most   int // bytes that it may still send
	got    int
	begun  time.Time // it has its place since then
}

var (
	errMistake  = errors.New("a mistake of ours")
	errLong     = errors.New("the handshake is too long")
	errInTheWay = errors.New("the handshake stood still, or took long, while others waited for theirs")
	errNothing  = errors.New("it has sent nothing")
	errStill    = errors.New("the handshake stood still for a minute")
)

// shake has a client shake hands, and gives it to a loop.
func (cs *Conns) shake(socket net.Conn, c *Conn, config *tls.Config) {
	c.remote = socket.RemoteAddr()
	c.served.Store(uint32(cs.env.Clock.Now()))
	c.shaking.Store(&socket)
	h := &handshake{handshakes: &cs.handshakes, conn: c, socket: socket, most: shakeBytes}
	if config.ClientAuth != tls.NoClientCert {
		h.most = shakeBytesMutual
	}
	err := h.run(config)
	cs.budget.release(c)
	if err == nil {
		err = cs.engine.adopt(c, socket)
	} else {
		cs.env.Late.AddNow(stats.SSLHandshakeErrors, 1)
		_ = socket.Close() // crypto/tls has said why, if the client can be told
	}
	if err != nil {
		cs.current.Add(-1)
	}
	if err != nil && err != errNothing { // who only wanted to know whether somebody listens
		cs.env.Warn("cannot serve %s: %v\n", c.remote, err)
	}
}

// run lets crypto/tls shake hands, when the client has something to say and there is a place.
func (h *handshake) run(config *tls.Config) (err error) {
	cs := h.conn.conns
	_ = h.socket.SetDeadline(time.Now().Add(shakeStill))
	stop := context.AfterFunc(cs.life, func() { _ = h.socket.Close() })
	defer stop()
	if !h.speaks() {
		return errNothing
	}
	h.conn.set(held) // it waits for us
	h.waiting.Add(1)
	select {
	case h.places <- struct{}{}:
		h.waiting.Add(-1)
	case <-cs.life.Done():
		h.waiting.Add(-1)
		return cs.life.Err()
	}
	defer func() { <-h.places }()
	h.begun = time.Now()
	cs.budget.hold(h.conn, shakeHolds)
	h.computing <- struct{}{}
	defer func() { <-h.computing }()
	defer func() {
		if p := recover(); p != nil {
			cs.mistake(p, "a connection is closed")
			err = errMistake
		}
		h.conn.set(reading)
	}()
	x := newSecure(h, config)
	if err := x.tls.Handshake(); err != nil {
		return err
	}
	x.wire.shakes, h.conn.secure = nil, x
	return h.acknowledge()
}

// acknowledge has the system confirm at once what the client has sent last. It would wait 40 ms, because
// we say nothing to that, and as long a client waits with its first request that has not set
// TCP_NODELAY.
func (h *handshake) acknowledge() error {
	raw, err := h.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // or it is slow
		return nil
	})
}

// speaks waits for the client's first byte, and leaves it there.
func (h *handshake) speaks() bool {
	raw, err := h.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var first [1]byte
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	return err == nil && n > 0
}

// read waits for the client, and lets others compute meanwhile.
func (h *handshake) read(p []byte) (n int, err error) {
	if h.got >= h.most {
		return 0, errLong
	}
	h.waits(func() {
		for still := 0; ; still++ {
			_ = h.socket.SetReadDeadline(time.Now().Add(time.Second))
			n, err = h.socket.Read(p[:min(len(p), h.most-h.got)])
			if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			crowded := h.waiting.Load() > 0
			switch {
			case time.Duration(still)*time.Second >= shakeStill:
				err = errStill
				return
			case crowded && still >= int(stillAfter), crowded && time.Since(h.begun) >= leaves:
				err = errInTheWay
				return
			}
		}
	})
	h.got += n
	h.conn.served.Store(uint32(h.conn.conns.env.Clock.Now()))
	if h.got > 4<<10 {
		h.conn.conns.budget.hold(h.conn, shakeHolds+2*h.got)
	}
	return n, err
}

func (h *handshake) write(p []byte) (n int, err error) {
	h.waits(func() {
		_ = h.socket.SetWriteDeadline(time.Now().Add(shakeStill))
		n, err = h.socket.Write(p)
	})
	return n, err
}

// waits calls what may wait for the client. Others compute meanwhile.
func (h *handshake) waits(call func()) {
	h.conn.set(reading)
	<-h.computing
	call()
	h.conn.set(held)
	h.computing <- struct{}{}
}
