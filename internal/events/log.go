package events

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// logMax is how many bytes of lines wait for the log's reader. Beyond it lines are dropped.
const logMax = 512 << 10

// Log takes lines for a writer that may be slow, stuck or broken, and nobody waits for it: lines
// that find no room are dropped and counted, and so are those that could not be written. How many
// are missing is said in the log itself, at the place where they are missing.
//
//	Write ─▶ │ waiting, at most logMax │ ─▶ one goroutine, while there are lines ─▶ out
//
// Its methods may be called by any goroutine. A line is one call of Write and ends with "\n".
type Log struct {
	out io.Writer

	mu      sync.Mutex // guards the rest; it is not held while out is written to
	waiting []byte     // lines to be written
	spare   []byte     // the buffer that is not in use
	writing bool       // there is a goroutine that writes
	before  uint64     // lines missing in front of those that wait …
	after   uint64     // … and behind them
	dropped uint64     // lines ever dropped

	halved bool // the last line written lacks its end, and counts as missing; only who writes looks at it
}

// NewLog makes a log that writes to out.
func NewLog(out io.Writer) *Log { return &Log{out: out} }

// Write takes a line, or drops and counts it. The line is the caller's again when Write returns.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.after > 0 || len(l.waiting)+len(line) > logMax {
		l.after += l.drop(line) // and so are the next ones, even a short one, until there is room again
		return len(line), nil
	}
	l.waiting = append(l.waiting, line...)
	if !l.writing {
		l.writing = true
		go l.write()
	}
	return len(line), nil
}

// Dropped is how many lines were dropped so far.
func (l *Log) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// drop counts lines.
func (l *Log) drop(lines []byte) uint64 {
	n := uint64(bytes.Count(lines, []byte("\n")))
	l.dropped += n
	return n
}

// write writes what waits, until nothing does. What cannot be written is not tried again, and how
// much that was is said before the next line.
func (l *Log) write() {
	var err error
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 || l.before > 0 && err == nil {
		lines, missing := l.waiting, l.before
		l.waiting, l.spare = l.spare, nil
		l.before, l.after = l.after, 0
		l.mu.Unlock()
		var rest []byte
		if _, err = l.put(l.head(missing)); err == nil {
			missing = 0
			rest, err = l.put(lines)
		} else {
			rest = lines
		}
		l.mu.Lock()
		l.before += missing + l.drop(rest)
		l.spare = lines[:0]
	}
	l.writing = false
}

// head is what has to be written before the next line.
func (l *Log) head(missing uint64) (head []byte) {
	if l.halved {
		head = append(head, '\n')
	}
	if missing > 0 {
		head = fmt.Appendf(head, "warning: %d lines of the log are missing here, they could not be written in time\n", missing)
	}
	return head
}

func (l *Log) put(text []byte) (rest []byte, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	n, err := l.out.Write(text)
	if n > 0 {
		l.halved = text[n-1] != '\n'
	}
	if n < len(text) && err == nil {
		err = io.ErrShortWrite
	}
	return text[n:], err
}

const (
	// flushPause is how often Flush looks whether all is written.
	flushPause = time.Millisecond
	// flushMost bounds Flush beside a reader that takes a little now and then.
	flushMost = 500 * time.Millisecond
)

// Flush waits until all lines are written, but not for a reader: it gives up when nothing can be
// written for as long as patience, and after half a second in any case.
func (l *Log) Flush(patience time.Duration) {
	begin := time.Now()
	for able := begin; l.busy() && time.Since(able) < patience && time.Since(begin) < flushMost; time.Sleep(flushPause) {
		if l.able() {
			able = time.Now()
		}
	}
}

func (l *Log) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writing
}

// able tells whether a file could be written to now. Of other writers it is not known.
func (l *Log) able() bool {
	f, ok := l.out.(*os.File)
	if !ok {
		return false
	}
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = c.Control(func(fd uintptr) { // not f.Fd, which would make it block
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	})
	return err == nil && n > 0
}
