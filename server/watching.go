package server

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/events"
)

// watching is the goroutine that sends a watcher its lines, through a duplicate of the socket.
type watching struct {
	file *os.File
	more chan struct{} // there are lines
	over chan struct{} // closed when the connection is
}

// startWatching begins to send lines. What was answered before has been written.
func (c *conn) startWatching() error {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	wg := &watching{os.NewFile(uintptr(fd), "watcher"), make(chan struct{}, 1), make(chan struct{})}
	c.watching.Store(wg)
	c.linesCame() // those that came before
	watcher := c.session.Watcher()
	c.srv.running.Go(func() { wg.run(watcher) })
	return nil
}

func (wg *watching) run(watcher *events.Watcher) {
	var lines []byte
	for {
		select {
		case <-wg.over:
			return
		case <-wg.more:
		}
		lines = watcher.Take(lines)
		if _, err := wg.file.Write(lines); err != nil {
			return // the client is gone, and its loop will hear of it
		}
	}
}

// linesCame is called, by any goroutine, when there are lines.
func (c *conn) linesCame() {
	if wg := c.watching.Load(); wg != nil {
		select {
		case wg.more <- struct{}{}:
		default: // it has been called already
		}
	}
}

// closeSession ends the session and what belongs to it.
func (c *conn) closeSession() {
	c.session.Close()
	if wg := c.watching.Load(); wg != nil {
		close(wg.over)
		_ = wg.file.Close() // a write under way fails
	}
}
