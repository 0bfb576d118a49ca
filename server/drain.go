package server

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

// lingerMax is how long replies may take to be sent on a connection that is over: after quit, or when the client has
// closed its sending half.
const lingerMax = 30 * time.Second

// drain sends what a socket did not take at once. It is a goroutine with a duplicate of the descriptor, made when a
// connection first falls behind and kept until it closes, so that only slow readers cost one. While it has work the
// session rests; when it is done it wakes the connection on its loop.
//
// It also outlives the loop's side of the connection: gnet closes its descriptor when the client stops sending, but
// what the client asked for before is still owed, and the duplicate keeps the socket open.
type drain struct {
	c    *conn
	file *os.File
	next chan []byte // replies to send, at most one at a time; closed when the loop has let go of the connection
	idle atomic.Bool // the last replies given to it are sent

	alone bool   // written before next is closed: the session is ours to finish …
	rest  []byte // … with this input
}

// wait hands replies to the connection's drain, which keeps them.
func (c *conn) wait(out []byte) error {
	if err := c.needDrain(); err != nil {
		return err
	}
	d := c.drain
	if c.closing {
		_ = d.file.SetWriteDeadline(time.Now().Add(lingerMax)) // the file can have deadlines: it is a socket
	}
	d.idle.Store(false)
	c.srv.conns.budget.holdOut(c, len(out))
	d.next <- out
	return nil
}

func (c *conn) needDrain() error {
	if c.drain != nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	d := &drain{c: c, file: os.NewFile(uintptr(fd), "client"), next: make(chan []byte, 1)}
	d.idle.Store(true)
	c.drain = d
	c.srv.conns.addDrain(d)
	go d.run()
	return nil
}

// run sends until the loop lets go.
func (d *drain) run() {
	srv := d.c.srv
	defer srv.conns.removeDrain(d)
	defer d.c.recoverPanic(func() { _ = d.file.Close(); srv.unlessStopped(func() { _ = d.c.gc.Close() }) })
	for out := range d.next {
		err := d.send(out)
		d.idle.Store(true)
		srv.unlessStopped(func() {
			if err != nil {
				_ = d.c.gc.Close()
			} else {
				_ = d.c.gc.Wake(nil)
			}
		})
	}
	if d.alone {
		d.finish()
	}
	_ = d.file.Close()
}

// send writes replies piece by piece, so that progress shows.
func (d *drain) send(out []byte) (err error) {
	srv := d.c.srv
	for len(out) > 0 && err == nil {
		var n int
		n, err = d.file.Write(out[:min(len(out), session.OutMax)])
		out = out[n:]
		srv.env.Late.AddNow(stats.BytesWritten, uint64(n))
		srv.conns.budget.holdOut(d.c, -n)
		d.c.lastTaken.Store(uint32(srv.clock.Now()))
	}
	srv.conns.budget.holdOut(d.c, -len(out))
	return err
}

// abandon ends the drain of a connection that is no more.
func (d *drain) abandon() {
	_ = d.file.Close() // a write under way fails
	close(d.next)
}

// finishAlone leaves the connection, whose client will send no more, to its drain: what waits is sent and what the client
// asked for before it stopped is served, within lingerMax.
func (c *conn) finishAlone(rest []byte) error {
	if err := c.needDrain(); err != nil {
		return err
	}
	d := c.drain
	_ = d.file.SetWriteDeadline(time.Now().Add(lingerMax))
	d.alone = true
	d.idle.Store(false)
	if !c.closing {
		d.rest = append([]byte(nil), rest...)
	}
	close(d.next)
	return nil
}

// finish serves the rest of a session whose loop is gone.
func (d *drain) finish() {
	c, srv := d.c, d.c.srv
	w := session.NewWorker(&srv.env)
	defer w.Close()
	c.loop = &loop{Worker: w}
	c.session.MoveTo(w)
	for v := session.Yield; !c.closing && (v == session.Yield || v == session.Full); {
		var n, sent int
		var err error
		n, v = c.session.Feed(d.rest)
		d.rest = d.rest[n:]
		waits := w.Out.Pending()
		srv.conns.budget.holdOut(c, waits)
		for _, part := range w.Out.Parts() { // one at most: nothing is pinned
			sent, err = d.file.Write(part)
		}
		srv.conns.budget.holdOut(c, -waits)
		w.Out.Reset()
		w.Counters.Add(stats.BytesRead, uint64(n))
		w.Counters.Add(stats.BytesWritten, uint64(sent))
		if err != nil {
			break
		}
	}
	c.closeSession()
	w.EndEvent()
	w.Events.ConnClose(c.fd, c.remote, c.reason(true))
	srv.conns.remove(c)
}

func (cs *connections) addDrain(d *drain) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.draining == nil {
		cs.draining = map[*drain]struct{}{}
	}
	cs.draining[d] = struct{}{}
}

func (cs *connections) removeDrain(d *drain) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.draining, d)
}

// drains lists the drains with work to do, or all of them.
func (cs *connections) drains(all bool) (list []*drain) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for d := range cs.draining {
		if all || !d.idle.Load() {
			list = append(list, d)
		}
	}
	return list
}

// waitDrained waits until no replies wait, or the context is done.
func (cs *connections) waitDrained(ctx context.Context) {
	for len(cs.drains(false)) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// closeDrains ends the drains that outlived their loops, and waits for them: they use the store.
func (cs *connections) closeDrains() {
	for len(cs.drains(true)) > 0 {
		for _, d := range cs.drains(true) {
			_ = d.file.Close()
		}
		time.Sleep(time.Millisecond)
	}
}
