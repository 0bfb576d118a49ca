package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// A thread drives its connections until the time or its share of the requests is used up.
type thread struct {
	*workload
	to       netip.AddrPort
	base     time.Time // times are nanoseconds since then
	pipeline int
	again    int // -reconnect
	dice     *rand.PCG

	ep      int
	conns   []*conn
	alive   int
	resting []*conn // those that -active leaves alone
	events  []unix.EpollEvent
	iov     []unix.Iovec
	buf     []byte // for all reads
	plain   []byte // for what TLS makes of them
	text    []byte // for the key that a reply should have

	// time
	from, until int64 // of the measured phase
	due         *schedule
	turn        int   // of the connections, in an open loop
	left        int64 // requests still to be sent, when they are counted
	under       int   // sent and not answered
	heard       int64 // when we last read something

	// what came of it
	counts    Counts
	hist      *hdrhistogram.Histogram
	last      int64 // when the last measured reply came
	tally     int   // of values, to compare every n-th
	complaint string
}

// A schedule says when requests of an open loop are due: one each gap, from the start on, however late we are.
type schedule struct {
	start, gap float64
	issued     int64
}

func (s *schedule) next() int64 { return int64(s.start + float64(s.issued)*s.gap) }

const (
	nap      = int64(50 * time.Millisecond) // the longest wait; bounds how late the end is noticed
	patience = int64(10 * time.Second)      // a server that says nothing for so long is given up
	grace    = int64(2 * time.Second)       // for replies that are under way at the end
	latest   = int64(100 * time.Second)     // what the histogram can hold
	pendMax  = 1 << 10                      // a connection with so many in its list rests until all are answered and forgotten
	bufLen   = 256 << 10                    // of a read: large enough that a megabyte takes few
)

func (t *thread) now() int64 { return int64(time.Since(t.base)) }

func (t *thread) complain(err string) {
	t.counts.Errors++
	if t.complaint == "" {
		t.complaint = err
	}
}

func (t *thread) over(now int64) bool { return now >= t.until || t.left <= 0 }

func (t *thread) run() {
	// To one thread of the kernel: its timer slack is set, and the descriptors' cache lines stay where they are.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns; the usual 50 µs would be booked as the server's
	defer undisturbed()()
	now := t.now()
	t.heard = now
	if t.due == nil {
		for _, c := range t.conns {
			t.ready(c, now)
		}
	}
	for !t.finished(now) {
		wait := nap
		if t.due != nil {
			t.issue(now)
			wait = min(max(t.due.next()-t.now(), 0), nap)
			if t.over(now) {
				wait = nap
			}
		}
		n := epollWait(t.ep, t.events, wait)
		for i := range t.events[:n] {
			ev := &t.events[i]
			t.event(t.conns[ev.Fd], ev.Events)
		}
		now = t.now()
	}
	t.writeOff(now)
}

func (t *thread) finished(now int64) bool {
	if t.alive == 0 {
		return true
	}
	if t.under > 0 && now-t.heard > patience {
		t.complain("no reply for 10 s")
		return true
	}
	if !t.over(now) {
		return false
	}
	behind := t.under > 0 || t.due != nil && t.due.next() < t.until
	return !behind || now > t.until+grace
}

// issue sends what is due. Connections take turns; one that has a pipeline full of questions, or a socket that takes no
// more, is passed over; when all are, the requests wait, and their time counts.
func (t *thread) issue(now int64) {
	tried := 0
	for tried < len(t.conns) {
		due := t.due.next()
		if due > now || due >= t.until {
			return
		}
		c := t.conns[t.turn]
		if t.turn++; t.turn == len(t.conns) {
			t.turn = 0
		}
		if c.fd < 0 || c.waiting || len(c.pend)-c.head >= t.pipeline || len(c.pend) >= max(t.pipeline, pendMax) {
			tried++
			continue
		}
		tried = 0
		t.due.issued++
		t.write(c, t.pick(), due)
		t.push(c)
	}
}

// ready is called when a connection has nothing under way: its next batch goes out, or another's.
func (t *thread) ready(c *conn, now int64) {
	c.forget()
	if t.over(now) {
		return
	}
	if t.again > 0 && c.served >= t.again {
		c.out = append(c.out, "quit\r\n"...)
		c.quit = true
		t.push(c)
		return
	}
	if len(t.resting) > 0 && len(c.follow) == 0 {
		i := below(t.dice, uint64(len(t.resting)))
		c, t.resting[i] = t.resting[i], c
	}
	if c.fd < 0 {
		return
	}
	start := t.now()
	if t.again > 0 && c.served == 0 {
		start = c.born // a client that connects for each request waits for that too
	}
	n := 0
	for ; n < len(c.follow); n++ {
		t.write(c, c.follow[n], start)
	}
	c.follow = c.follow[:0]
	for ; n < t.pipeline && t.left > 0; n++ {
		t.write(c, t.pick(), start)
		if t.left--; t.again > 0 {
			c.served++
		}
	}
	t.push(c)
}

func (t *thread) event(c *conn, events uint32) {
	if c.fd < 0 {
		return
	}
	if events&unix.EPOLLOUT != 0 {
		t.push(c)
	}
	if events&^unix.EPOLLOUT == 0 || c.fd < 0 {
		return
	}
	n, e := rawRead(c.fd, t.buf)
	now := t.now()
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		return
	case c.quit && (e != 0 || n == 0):
		t.reconnect(c)
		return
	case e != 0:
		t.drop(c, sockErr("read", e))
		return
	case n == 0:
		t.drop(c, errHangUp)
		return
	}
	t.heard = now
	if err := t.understand(c, t.buf[:n], now); err != nil {
		t.drop(c, err)
		return
	}
	switch {
	case t.due != nil:
		c.forget()
		for _, r := range c.follow {
			t.write(c, r, now)
		}
		if len(c.follow) > 0 {
			c.follow = c.follow[:0]
			t.push(c)
		}
	case c.answered() && !c.quit:
		t.ready(c, now)
	}
}

// understand takes what has come, in whatever it is wrapped.
func (t *thread) understand(c *conn, in []byte, now int64) error {
	take := t.take
	if t.binary {
		take = t.takePackets
	}
	if c.tls == nil {
		return take(c, in, now)
	}
	c.tls.in = in
	for {
		n, err := c.tls.conn.Read(t.plain)
		if err == errDry {
			return nil
		}
		if err == nil {
			err = take(c, t.plain[:n], now)
		}
		if err != nil {
			return err
		}
	}
}

// take understands lines and their blocks.
func (t *thread) take(c *conn, in []byte, now int64) error {
	for {
		tok, text, rest, err := c.in.next(in)
		if err != nil {
			return err
		}
		switch in = rest; tok {
		case more:
			return nil
		case line:
			if err := t.line(c, text, now); err != nil {
				return err
			}
		case piece:
			v := &c.value
			if v.want != nil {
				v.wrong = v.wrong || !bytes.Equal(v.want[:len(text)], text)
				v.want = v.want[len(text):]
			}
		case blockEnd:
			if c.value.wrong {
				t.complain("a value that is not its key's")
			}
			if p := &c.pend[c.head]; p.op == metaGet {
				t.done(c, p, now) // no END comes
			}
		}
	}
}

// line is a reply, or the head of a value in one. An error line is an answer, counted; what does not belong where it
// stands means that we no longer know which reply is whose, and the connection is given up.
func (t *thread) line(c *conn, text []byte, now int64) error {
	if c.answered() {
		return errUnasked
	}
	p := &c.pend[c.head]
	if isError(text) {
		t.complain(string(text))
		t.done(c, p, now)
		return nil
	}
	yes, no, counted := "", "NOT_FOUND", false
	switch p.op {
	case get, mget, aside, gets:
		if string(text) == "END" {
			t.endOfGet(c, p, now)
			return nil
		}
		return t.valueLine(c, p, text)
	case set, seed:
		yes, no = "STORED", "NOT_STORED"
	case cas:
		yes, no = "STORED", "EXISTS"
		if string(text) == "NOT_FOUND" {
			no = "NOT_FOUND" // it was evicted or its time came meanwhile
		}
	case metaGet:
		if string(text) != "EN" {
			return t.metaValueLine(c, p, text)
		}
		no = "EN"
	case metaSet:
		yes, no = "HD", "NS"
	case metadump:
		if bytes.HasPrefix(text, []byte("key=")) || string(text) == "OK" { // which 1.6.18 does not say
			return nil
		}
		yes = "END"
	case stats:
		if bytes.HasPrefix(text, []byte("STAT ")) {
			return nil
		}
		yes = "END"
	case touch:
		yes = "TOUCHED"
	case del:
		yes = "DELETED"
	case incr:
		_, n, ok := numbers(text)
		counted = ok && n == 1
	}
	switch {
	case counted || string(text) == yes:
		p.found = 1
	case string(text) != no:
		return outOfStep(text)
	}
	t.done(c, p, now)
	return nil
}

func (t *thread) endOfGet(c *conn, p *pending, now int64) {
	switch {
	case t.over(now):
	case p.op == aside && p.found == 0:
		c.follow = append(c.follow, request{op: set, id: p.id})
	case p.op == gets && p.found == 1:
		c.follow = append(c.follow, request{op: cas, id: p.id, unique: p.unique})
	}
	t.done(c, p, now)
}

// valueLine reads VALUE <key> <flags> <bytes> [<unique>]. The key must be the next of those asked for, misses left out.
func (t *thread) valueLine(c *conn, p *pending, text []byte) error {
	id := p.id
	for {
		if p.op == mget {
			if int(p.first) == len(c.ids) {
				return errWrongKey
			}
			id = c.ids[p.first]
			p.first++
		}
		t.text = append(t.keys.append(append(t.text[:0], "VALUE "...), id), ' ')
		if bytes.HasPrefix(text, t.text) {
			break
		}
		if !bytes.HasPrefix(text, t.text[:len("VALUE ")]) {
			return outOfStep(text)
		}
		if p.op != mget {
			return errWrongKey
		}
	}
	n, count, ok := numbers(text[len(t.text):])
	if !ok || p.op != gets && count != 2 || p.op == gets && count != 3 || p.found == p.keys {
		return outOfStep(text)
	}
	p.unique = n[2]
	return t.expect(c, p, id, n[1])
}

// metaValueLine reads VA <bytes>: whose value it is, its place tells.
func (t *thread) metaValueLine(c *conn, p *pending, text []byte) error {
	size, ok := bytes.CutPrefix(text, []byte("VA "))
	n, count, isNumber := numbers(size)
	if !ok || !isNumber || count != 1 {
		return outOfStep(text)
	}
	return t.expect(c, p, p.id, n[0])
}

// expect gets ready for a value. Every n-th is compared.
func (t *thread) expect(c *conn, p *pending, id int64, size uint64) error {
	if size > uint64(t.longest) {
		return fmt.Errorf("a value of %d bytes, none was set so long", size)
	}
	p.found++
	c.in.block(int(size))
	c.value = value{}
	if t.tally++; t.tally == t.verify {
		t.tally = 0
		t.counts.Checked++
		c.value.want = t.block[offset(id):][:size]
	}
	return nil
}

// done books an answered request.
func (t *thread) done(c *conn, p *pending, now int64) {
	c.head++
	t.under--
	if when := t.bookedAt(p, now); when < t.from || when >= t.until {
		return
	}
	n := &t.counts
	n.Ops++
	switch p.op {
	case get, mget, aside, gets, metaGet:
		n.Hits += int64(p.found)
		n.Misses += int64(p.keys - p.found)
	case set, seed, cas, metaSet:
		n.Stored += int64(p.found)
		n.NotStored += 1 - int64(p.found)
	default:
		n.Hits += int64(p.found)
		n.Misses += 1 - int64(p.found)
	}
	t.last = now
	_ = t.hist.RecordValue(min(now-p.sent, latest))
}

// bookedAt decides whether a request belongs to the measured phase: in a closed loop by its answer, so that work and CPU
// time are of the same seconds; in an open loop by when it was due, so that no late answer is left out.
func (t *thread) bookedAt(p *pending, now int64) int64 {
	if t.due != nil {
		return p.sent
	}
	return now
}

// writeOff books what was not answered, at the end: in an open loop with the time it has waited so far.
func (t *thread) writeOff(now int64) {
	t.counts.Lost += int64(t.under)
	if t.due == nil {
		return
	}
	late := func(sent int64) {
		if sent >= t.from && sent < t.until {
			_ = t.hist.RecordValue(min(now-sent, latest))
		}
	}
	for _, c := range t.conns {
		for _, p := range c.pend[c.head:] {
			late(p.sent)
		}
	}
	for ; t.due.next() < t.until; t.due.issued++ {
		t.counts.Lost++
		late(t.due.next())
	}
}

// drop gives a connection up. It is not made again: a server that closes connections should look bad.
func (t *thread) drop(c *conn, err error) {
	t.complain(err.Error())
	lost := len(c.pend) - c.head
	t.counts.Lost += int64(lost)
	t.under -= lost
	t.hangUp(c)
	t.alive--
}

func (t *thread) hangUp(c *conn) {
	_ = unix.Close(c.fd)
	*c = conn{fd: -1, index: c.index, out: c.out[:0], pend: c.pend[:0]}
}

func (t *thread) reconnect(c *conn) {
	t.hangUp(c)
	now := t.now()
	if t.over(now) {
		t.alive--
		return
	}
	if err := t.open(c); err != nil {
		t.complain(err.Error())
		t.alive--
		return
	}
	t.ready(c, now)
}

func (t *thread) open(c *conn) (err error) {
	c.born = t.now()
	if c.fd, err = dial(t.to, t.again > 0); err != nil {
		c.fd = -1
		return err
	}
	if t.secure {
		if c.tls, err = newSecure(c.fd); err != nil {
			return err
		}
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.index}
	return unix.EpollCtl(t.ep, unix.EPOLL_CTL_ADD, c.fd, &ev)
}

// push sends what the socket takes, and asks to be told when it takes more.
func (t *thread) push(c *conn) {
	all, err := c.flush(t.iov)
	if err != nil {
		t.drop(c, err)
		return
	}
	if c.waiting == !all {
		return
	}
	c.waiting = !all
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.index}
	if c.waiting {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(t.ep, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		t.drop(c, sockErr("epoll_ctl", err))
	}
}

func (t *thread) pick() request {
	return request{op: t.picks[below(t.dice, uint64(len(t.picks)))], id: t.key()}
}

func (t *thread) key() int64 {
	if t.fresh > 0 && t.dice.Uint64() < t.fresh {
		return t.freshNext.Add(1)
	}
	return t.choose.next(t.dice)
}

// statsKinds are what collectors ask for.
var statsKinds = []string{"stats", "stats items", "stats slabs", "stats settings", "stats conns"}

// write puts a request into the batch.
func (t *thread) write(c *conn, r request, when int64) {
	p := pending{op: r.op, keys: 1, id: r.id, sent: when}
	if t.binary {
		c.request(t, r)
		t.asked(c, p, when)
		return
	}
	switch r.op {
	case get, aside:
		c.out = t.keys.append(append(c.out, "get "...), r.id)
	case gets:
		c.out = t.keys.append(append(c.out, "gets "...), r.id)
	case mget:
		p.first, p.keys = int32(len(c.ids)), int32(t.multi)
		c.out = append(c.out, "get"...)
		for i := range t.multi {
			if i > 0 {
				r.id = t.key()
			}
			c.ids = append(c.ids, r.id)
			c.out = t.keys.append(append(c.out, ' '), r.id)
		}
	case set, cas, metaSet:
		c.store(t, r)
	case metadump:
		c.out = append(c.out, "lru_crawler metadump all"...)
	case stats:
		c.out = append(c.out, statsKinds[r.id%int64(len(statsKinds))]...)
	case metaGet:
		c.out = append(t.keys.append(append(c.out, "mg "...), r.id), " v"...)
	case seed:
		c.out = append(t.counters.append(append(c.out, "set "...), r.id), " 0 0 10\r\n1000000000"...)
	case incr:
		c.out = append(t.counters.append(append(c.out, "incr "...), r.id), " 1"...)
	case touch:
		c.out = t.keys.append(append(c.out, "touch "...), r.id)
		c.out = strconv.AppendInt(append(c.out, ' '), int64(t.exptime()), 10)
	case del:
		c.out = t.keys.append(append(c.out, "delete "...), r.id)
	}
	c.out = append(c.out, crlf...)
	t.asked(c, p, when)
}

func (t *thread) asked(c *conn, p pending, when int64) {
	c.pend = append(c.pend, p)
	if t.under++; t.under == 1 {
		t.heard = max(t.heard, when) // patience begins with the question
	}
}

func (t *thread) exptime() int {
	if t.expTo == t.expFrom {
		return t.expFrom
	}
	return t.expFrom + int(below(t.dice, uint64(t.expTo-t.expFrom+1)))
}

// store writes what cas, ms and set begin with, and the value.
//
//	set <key> 0 <exptime> <bytes>
//	cas <key> 0 <exptime> <bytes> <unique>
//	ms <key> <bytes> T<exptime>
func (c *conn) store(t *thread, r request) {
	size, exptime := t.sizes.size(t.dice, r.id), int64(t.exptime())
	switch r.op {
	case metaSet:
		c.out = append(t.keys.append(append(c.out, "ms "...), r.id), ' ')
		c.out = strconv.AppendInt(c.out, int64(size), 10)
		if exptime != 0 {
			c.out = strconv.AppendInt(append(c.out, " T"...), exptime, 10)
		}
	default:
		verb := "set "
		if r.op == cas {
			verb = "cas "
		}
		c.out = t.keys.append(append(c.out, verb...), r.id)
		c.out = strconv.AppendInt(append(c.out, " 0 "...), exptime, 10)
		c.out = strconv.AppendInt(append(c.out, ' '), int64(size), 10)
		if r.op == cas {
			c.out = strconv.AppendUint(append(c.out, ' '), r.unique, 10)
		}
	}
	c.out = append(c.out, crlf...)
	c.data(t, r.id, size)
}

// data writes a value.
func (c *conn) data(t *thread, id int64, size int) {
	bytes := t.block[offset(id):][:size]
	if size >= cutMin {
		c.cuts = append(c.cuts, cut{len(c.out), bytes})
	} else {
		c.out = append(c.out, bytes...)
	}
}
