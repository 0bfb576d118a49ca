package server

import (
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// watch turns a connection into a watcher: from then on it hears what happens in the server, a line each, and what it says
// is not heard. Nobody waits for a watcher. It has a buffer of its own; when that is full, it misses lines, and is told how
// many before the next one.
//
//	loop ── lines of one read event ──▶ lookout ── to whom they concern ──▶ watcher's buffer ── its goroutine ──▶ socket
//	store ── the evicted ──▶ a short list ──┘
//
// With no watcher a loop knows so from one number, which it looks at once a read event.

// events are what can be watched.
type events uint32

const (
	fetchers    events = 1 << iota // every lookup of a key, be it for a get or before a set
	mutations                      // what became of storage commands
	deletions                      // keys that delete and md have removed
	evictions                      // items that had to go
	connEvents                     // clients that come and go
	countPrefix                    // not to be watched: stats detail counts what is done to keys by their prefixes

	aboutKeys = fetchers | mutations | deletions
)

// eventNames are what watch takes. Those without events are of parts of memcached that are not here.
var eventNames = map[string]events{
	"fetchers": fetchers, "mutations": mutations, "deletions": deletions, "evictions": evictions, "connevents": connEvents,
	"sysevents": 0, "rawcmds": 0, "proxyreqs": 0, "proxyevents": 0, "proxyuser": 0,
}

const (
	// watchersMax is how many there may be. Source: memcached's WATCHER_LIMIT.
	watchersMax = 20
	// skippedMax is the room that is kept for "skipped=<n>".
	skippedMax = 32
	// linesMax is how many bytes of lines a loop gathers before it hands them on. Source: memcached's worker_logbuf_size.
	linesMax = 64 << 10
)

// watcher is a connection that watches.
type watcher struct {
	wants   events
	lines   []byte // to be sent; guarded by the lookout, as skipped is
	skipped uint64 // lines missed since the last one that was not
	more    chan struct{}
	file    *os.File // a duplicate of the socket; nil until the goroutine runs
}

// watch answers OK. Lines follow when that has been written.
func (s *session) watch(req *request) verdict {
	w := s.w
	wants, known := eventsNamed(req.Args())
	switch {
	case w.srv.opts.DisableWatch:
		s.reply(false, string(protocol.WatchNotAllowed))
	case len(w.out) > 0:
		s.reply(false, string(protocol.WatchPipelined))
	case !known:
		s.reply(false, string(protocol.Unknown))
	default:
		if s.watcher = w.srv.lookout.add(wants); s.watcher == nil {
			s.reply(false, string(protocol.TooManyWatchers))
			return idle
		}
		s.state = stateWatch
		s.reply(false, protocol.OK)
	}
	return idle
}

func eventsNamed(names [][]byte) (wants events, known bool) {
	for _, name := range names {
		one, ok := eventNames[string(name)]
		if !ok {
			return 0, false
		}
		wants |= one
	}
	if len(names) == 0 {
		wants = fetchers
	}
	return wants, true
}

// lookout is where lines go to those whom they concern.
type lookout struct {
	wants atomic.Uint32 // events that somebody wants to hear of
	gid   atomic.Uint64 // the number of the last line
	lines atomic.Uint64 // that were handed on
	lost  atomic.Uint64 // evictions that the store could not keep for us

	mu       sync.Mutex
	store    *storage.Store
	bufMax   int
	watchers []*watcher
	sent     uint64 // lines that went into buffers …
	skipped  uint64 // … and that did not
	detail   bool   // stats detail is on
}

// add makes a watcher, unless there are too many.
func (l *lookout) add(wants events) *watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) == watchersMax {
		return nil
	}
	wt := &watcher{wants: wants, more: make(chan struct{}, 1)}
	l.watchers = append(l.watchers, wt)
	l.update()
	return wt
}

// remove ends a watcher.
func (l *lookout) remove(wt *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.watchers, wt)
	l.watchers = slices.Delete(l.watchers, i, i+1)
	l.update()
	close(wt.more)
	if wt.file != nil {
		_ = wt.file.Close() // a write under way fails
	}
}

// setDetail turns stats detail on or off.
func (l *lookout) setDetail(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detail = on
	l.update()
}

// update finds out what is wanted now.
func (l *lookout) update() {
	wants := events(0)
	for _, wt := range l.watchers {
		wants |= wt.wants
	}
	if l.detail {
		wants |= countPrefix
	}
	if before := events(l.wants.Load()); (before^wants)&evictions != 0 {
		l.store.WatchEvictions(wants&evictions != 0)
	}
	l.wants.Store(uint32(wants))
}

// tell hands lines on.
func (l *lookout) tell(e *eventLines) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, wt := range l.watchers {
		begin := 0
		for _, line := range e.ends {
			if wt.wants&line.kind != 0 {
				l.push(wt, e.text[begin:line.end])
			}
			begin = line.end
		}
		select {
		case wt.more <- struct{}{}:
		default: // it has been called already
		}
	}
	l.lines.Add(uint64(len(e.ends)))
}

func (l *lookout) push(wt *watcher, line []byte) {
	if len(wt.lines)+skippedMax+len(line) > l.bufMax {
		wt.skipped++
		l.skipped++
		return
	}
	if wt.skipped > 0 {
		wt.lines = protocol.AppendSkipped(wt.lines, wt.skipped)
		wt.skipped = 0
	}
	wt.lines = append(wt.lines, line...)
	l.sent++
}

// take gives a watcher's goroutine the lines to send, for an empty buffer.
func (l *lookout) take(wt *watcher, empty []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := wt.lines
	wt.lines = empty
	return lines
}

// startWatching begins to send lines. What was answered before has been written.
func (c *conn) startWatching() error {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	wt, l := c.watcher, &c.srv.lookout
	wt.file = os.NewFile(uintptr(fd), "watcher")
	c.srv.running.Go(func() {
		var lines []byte
		for range wt.more {
			lines = l.take(wt, lines[:0])
			if _, err := wt.file.Write(lines); err != nil {
				return // the client is gone, and its loop will hear of it
			}
		}
	})
	return nil
}

// eventLines are lines that wait to be handed on.
type eventLines struct {
	text []byte
	ends []eventEnd
}

// eventEnd is where a line ends, and what it is about.
type eventEnd struct {
	kind events
	end  int
}

// begin begins a line.
func (w *worker) begin(kind string) []byte {
	now := time.Now()
	return protocol.AppendEventHead(w.lines.text, now.Unix(), now.Nanosecond()/1000, w.srv.lookout.gid.Add(1), kind)
}

// end ends it.
func (w *worker) end(kind events, text []byte) {
	e := &w.lines
	e.text = protocol.AppendEventEnd(text)
	e.ends = append(e.ends, eventEnd{kind, len(e.text)})
	if len(e.text) > linesMax {
		w.handOn()
	}
}

// handOn gives what was gathered to the watchers.
func (w *worker) handOn() {
	w.srv.lookout.tell(&w.lines)
	w.lines.text, w.lines.ends = w.lines.text[:0], w.lines.ends[:0]
}

// tellWatchers is called at the end of a read event while somebody watches.
func (w *worker) tellWatchers() {
	if w.watched&evictions != 0 {
		w.srv.lookout.lost.Add(w.store.TakeEvictions(w.tellEvicted))
	}
	if len(w.lines.ends) > 0 {
		w.handOn()
	}
	if cap(w.lines.text) > linesMax && w.watched == 0 {
		w.lines = eventLines{}
	}
}

// spy is called before a command is served, while somebody watches. It tells, or counts by prefix, what is the same for all
// commands. Retrievals tell of each key (fetched), and values when they are complete.
func (w *worker) spy(req *request) {
	if req.err != nil || !req.Op.HasKey() {
		return
	}
	switch {
	case req.Op.Retrieves():
		return
	case req.Op.Stores():
		if w.watched&countPrefix != 0 && req.Op != protocol.OpMetaSet {
			w.srv.prefixes.count(req.Key, func(p *prefix) { p.sets++ })
		}
		return
	case req.Op == protocol.OpDelete && w.watched&countPrefix != 0:
		w.srv.prefixes.count(req.Key, func(p *prefix) { p.deletes++ })
	}
	w.lookUp(req.hash, req.Key)
}

// fetched tells of one key of a retrieval.
func (w *worker) fetched(hash uint64, key []byte) {
	w.lookUp(hash, key)
	if w.watched&countPrefix != 0 {
		hit := w.seen.State == storage.Present
		w.srv.prefixes.count(key, func(p *prefix) {
			p.gets++
			if hit {
				p.hits++
			}
		})
	}
}

// lookUp tells what a command is going to find. It is also what a deletion wants to know.
func (w *worker) lookUp(hash uint64, key []byte) {
	w.seen = w.store.Peek(hash, key)
	if w.watched&fetchers == 0 {
		return
	}
	out := protocol.AppendEventKey(w.begin("item_get"), key)
	out = protocol.AppendEventWord(out, "status", lookupTexts[w.seen.State])
	class := int64(0)
	if w.seen.State == storage.Present {
		class = 1
	}
	out = protocol.AppendEventNumber(out, "clsid", class)
	out = protocol.AppendEventNumber(out, "cfd", int64(w.fd))
	w.end(fetchers, protocol.AppendEventNumber(out, "size", int64(w.seen.Len)))
}

var lookupTexts = [...]string{storage.Absent: "not_found", storage.Present: "found", storage.Flushed: "flushed", storage.Expired: "expired"}

// tellStored tells what became of a storage command.
func (w *worker) tellStored(hash uint64, mode storage.Mode, item *storage.Item, status storage.Status) {
	n, deadline := item.Len(), item.Deadline
	if status == storage.Stored && (mode >= storage.AppendOrSet || mode == storage.Append || mode == storage.Prepend) {
		after := w.store.Peek(hash, item.Key)
		n, deadline = after.Len, after.Deadline
	}
	out := protocol.AppendEventKey(w.begin("item_store"), item.Key)
	out = protocol.AppendEventWord(out, "status", storeTexts[status])
	out = protocol.AppendEventWord(out, "cmd", modeTexts[mode])
	out = protocol.AppendEventNumber(out, "ttl", w.ttl(deadline, 0))
	out = protocol.AppendEventNumber(out, "clsid", 1)
	out = protocol.AppendEventNumber(out, "cfd", int64(w.fd))
	w.end(mutations, protocol.AppendEventNumber(out, "size", int64(n)))
}

var storeTexts = [...]string{
	storage.Stored: "stored", storage.NotStored: "not_stored", storage.Exists: "exists", storage.NotFound: "not_found",
	storage.TooLarge: "too_large", storage.OutOfMemory: "no_memory",
}

var modeTexts = [...]string{
	storage.Set: "set", storage.Add: "add", storage.Replace: "replace", storage.CompareAndSwap: "cas", storage.CompareAndSwapStale: "cas",
	storage.Append: "append", storage.AppendOrSet: "append", storage.Prepend: "prepend", storage.PrependOrSet: "prepend",
}

// tellDeleted tells that a key is gone that was there when last looked up.
func (w *worker) tellDeleted(command string, key []byte, n int) {
	out := protocol.AppendEventKey(w.begin("deleted"), key)
	out = protocol.AppendEventWord(out, "cmd", command)
	out = protocol.AppendEventNumber(out, "clsid", 1)
	w.end(deletions, protocol.AppendEventNumber(out, "size", int64(n)))
}

func (w *worker) tellEvicted(e *storage.Evicted) {
	out := protocol.AppendEventKey(w.begin("eviction"), e.Key)
	fetched := "no"
	if e.Fetched {
		fetched = "yes"
	}
	out = protocol.AppendEventWord(out, "fetch", fetched)
	out = protocol.AppendEventNumber(out, "ttl", w.ttl(e.Deadline, -1))
	out = protocol.AppendEventNumber(out, "la", int64(e.Idle))
	out = protocol.AppendEventNumber(out, "clsid", 1)
	w.end(evictions, protocol.AppendEventNumber(out, "size", int64(e.Len)))
}

// ttl is how many seconds are left, or never. What is over already has a large number, as in memcached: less than none, in
// 32 bits.
func (w *worker) ttl(deadline expiry.Instant, never int64) int64 {
	if deadline == expiry.Never {
		return never
	}
	return int64(deadline - w.clock.Now())
}

// tellConn tells of a client that comes, or, with a reason, goes.
func (c *conn) tellConn(kind, reason string) {
	w := c.w
	if w.watched = c.srv.watched(); w.watched&connEvents == 0 {
		return
	}
	ip, port, transport := "unix", 0, "local"
	if a, ok := c.remote.(*net.TCPAddr); ok {
		ip, port, transport = a.IP.String(), a.Port, "tcp"
	}
	out := protocol.AppendEventWord(w.begin(kind), "rip", ip)
	out = protocol.AppendEventNumber(out, "rport", int64(port))
	out = protocol.AppendEventWord(out, "transport", transport)
	if reason != "" {
		out = protocol.AppendEventWord(out, "reason", reason)
	}
	w.end(connEvents, protocol.AppendEventNumber(out, "cfd", int64(c.fd)))
	w.tellWatchers()
}

// reason is why a client goes.
func (c *conn) reason(byItself bool) string {
	switch {
	case c.kicked.Load():
		return "idle_timeout"
	case c.srv.life.Err() != nil:
		return "shutdown"
	case byItself || c.quits:
		return "normal"
	}
	return "error"
}

// watched is what somebody wants to hear of at present.
func (srv *Server) watched() events { return events(srv.lookout.wants.Load()) }

// numbers is what stats tells of it.
func (l *lookout) numbers() stats.Watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return stats.Watch{Watchers: len(l.watchers), Written: l.lines.Load(), Dropped: l.lost.Load(), Sent: l.sent, Skipped: l.skipped}
}

// resetStats starts the counters over.
func (l *lookout) resetStats() {
	l.lines.Store(0)
	l.lost.Store(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.skipped = 0, 0
}
