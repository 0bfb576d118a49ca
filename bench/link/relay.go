package main

import (
	"net"
	"sync"
	"time"
)

// A relay makes the way longer: what comes in goes out after a delay, in each direction. It holds
// no more than is under way on such a line, and then it reads no further, so that its two ends feel
// each other's slowness.
//
//	client ──▶ accepted ──▶ | pieces, and when each is due | ──▶ dialled ──▶ server
type relay struct {
	l     net.Listener
	delay time.Duration
	dial  func() (net.Conn, error)

	mu    sync.Mutex
	conns map[net.Conn]bool // of both sides
	over  bool
}

const (
	relayPiece = 16 << 10
	relayHolds = 16 // pieces, in each direction
)

type late struct {
	text []byte
	due  time.Time
}

// serve ends when it is closed.
func (r *relay) serve() {
	r.conns = map[net.Conn]bool{}
	for {
		near, err := r.l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer near.Close()
			far, err := r.dial()
			if err != nil {
				return
			}
			defer far.Close()
			if !r.note(near, far) {
				return
			}
			var both sync.WaitGroup
			both.Go(func() { r.carry(far, near) })
			both.Go(func() { r.carry(near, far) })
			both.Wait()
			r.forget(near, far)
		}()
	}
}

func (r *relay) note(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.over
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// close ends it and all connections by it.
func (r *relay) close() {
	_ = r.l.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for c := range r.conns {
		_ = c.Close()
	}
}

// carry goes on until the end of what from sends, and passes that end on.
func (r *relay) carry(to, from net.Conn) {
	line := make(chan late, relayHolds)
	go func() {
		defer close(line)
		for {
			text := make([]byte, relayPiece)
			n, err := from.Read(text)
			if n > 0 {
				line <- late{text[:n], time.Now().Add(r.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for piece := range line {
		time.Sleep(time.Until(piece.due))
		if _, err := to.Write(piece.text); err != nil {
			_ = from.Close() // whoever still sends should know
			break
		}
	}
	for range line { // until the reader has seen that it is over
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
