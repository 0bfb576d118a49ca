package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type options struct {
	commands, conns, itemMax, show int
	seed                           uint64
	protocol, grammar              string
	patience                       time.Duration
}

func (o options) check() error {
	switch {
	case o.conns < 1 || o.conns > 16:
		return fmt.Errorf("-conns %d: 1 to 16", o.conns)
	case o.grammar != "full" && o.grammar != "1.6.18":
		return fmt.Errorf("-grammar %q: full or 1.6.18", o.grammar)
	case o.protocol != "" && o.protocol != "text" && o.protocol != "binary":
		return fmt.Errorf("-protocol %q: text or binary", o.protocol)
	case o.itemMax < 4096:
		return fmt.Errorf("-item-max %d: 4096 at least", o.itemMax)
	}
	return nil
}

// compare is the run: every connection says its share of the commands.
func compare(servers [2]*peer, opt options, out io.Writer) (*report, error) {
	rep := newReport(servers, opt, out)
	before, err := countersOf(servers)
	if err != nil {
		return nil, err
	}
	var (
		everybody sync.RWMutex // read: a batch; write: a command that touches everybody's keys
		talkers   sync.WaitGroup
		failed    = make(chan error, opt.conns)
	)
	for i := range opt.conns {
		t := &talker{
			conn: i, opt: opt, servers: servers, everybody: &everybody, rep: rep,
			cuts:    rand.New(rand.NewPCG(opt.seed, uint64(1000+i))),
			uniques: make(map[string][]pair),
		}
		talk := t.talk
		if opt.protocol == "binary" {
			talk = (&packetTalker{talker: t, packets: newPacketGrammar(opt.seed, i, opt)}).talk
		} else {
			t.grammar, t.marker = newGrammar(opt.seed, i, opt), fmt.Sprintf("%c-marker", 'a'+i)
		}
		share := opt.commands / opt.conns
		if i < opt.commands%opt.conns {
			share++
		}
		talkers.Go(func() {
			if err := talk(share); err != nil {
				failed <- err
			}
		})
	}
	talkers.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return nil, err
	}
	if opt.grammar == "full" {
		// After known differences, and after stats reset, nothing can be said of counters.
		return rep, rep.compareDumps(servers)
	}
	return rep, rep.compareCounters(servers, before)
}

// A talker has one connection to each server, and keys that no other talker touches.
type talker struct {
	conn      int
	opt       options
	servers   [2]*peer
	everybody *sync.RWMutex
	rep       *report
	grammar   *grammar
	cuts      *rand.Rand // apart from the grammar's, so that -n and -conns alone decide what is said
	held      *command   // said, but it must begin the next batch
	marker    string     // the key of the markers
	marks     int        // how many there were
	said      int
	sides     [2]side
	uniques   map[string][]pair // by key, latest last
	misnamed  string            // what was wrong with a unique just now
	past      [500]command      // what was said lately, by index modulo its length
}

// A side is one end of the conversation in one batch.
type side struct {
	conn    net.Conn
	text    []byte // what we say
	heard   []byte
	end     ending
	replies []reply
}

// A pair is what A and B called the same version of a key.
type pair [2]uint64

// How hearing a batch came to its end.
type ending uint8

const (
	complete ending = iota // the last marker came
	closed
	silent
)

func (e ending) String() string { return [...]string{"complete", "closed", "silent"}[e] }

// A reply is what was heard between two markers. A lost one's own marker never came.
type reply struct {
	text []byte
	lost bool
}

func (t *talker) talk(commands int) error {
	if err := t.connect(); err != nil {
		return err
	}
	defer t.disconnect()
	for t.said < commands {
		batch := t.nextBatch(commands - t.said)
		if batch[0].exclusive {
			t.everybody.Lock()
		} else {
			t.everybody.RLock()
		}
		err := t.play(batch)
		if batch[0].exclusive {
			t.everybody.Unlock()
		} else {
			t.everybody.RUnlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nextBatch is what goes out before anything is waited for. Some commands must be alone in it, begin it or end it.
func (t *talker) nextBatch(most int) []command {
	size := 1
	switch n := t.cuts.IntN(10); {
	case n >= 7:
		size = 11 + t.cuts.IntN(40)
	case n >= 3:
		size = 2 + t.cuts.IntN(9)
	}
	size = min(size, most)
	var (
		batch []command
		read  = make(map[string]bool) // keys whose items the server may still hold for replies
	)
	for len(batch) < size {
		c := t.nextCommand()
		alone := c.whole || c.exclusive || c.leaves == goesAway
		// memcached rewrites a number in place only if no reply holds the item; else it makes a new one, without the
		// blanks. Whether an earlier reply of this pipeline is out by then is chance.
		held := c.writes && read[c.keys[0]]
		if len(batch) > 0 && (alone || c.fresh || held) {
			t.held = &c
			break
		}
		batch = append(batch, c)
		if alone || c.hangsUp || c.leaves != stays {
			break
		}
		if c.reads {
			for _, key := range c.keys {
				read[key] = true
			}
		}
	}
	return batch
}

func (t *talker) nextCommand() command {
	if c := t.held; c != nil {
		t.held = nil
		return *c
	}
	return t.grammar.next()
}

// play says a batch to both servers, hears them, and compares.
func (t *talker) play(batch []command) error {
	last := batch[len(batch)-1]
	first := t.marks
	for i := range t.sides {
		t.marks = first
		t.write(i, batch)
	}
	var writers sync.WaitGroup
	for i := range t.sides {
		s := &t.sides[i]
		pieces := t.cut(s.text, last)
		writers.Go(func() { s.say(pieces, last.leaves) })
	}
	for i := range t.sides {
		s := &t.sides[i]
		// Where the server hangs up, or we half-close, we hear to the end; where we go away, nothing.
		mark := t.markReply(t.marks)
		if last.hangsUp || last.leaves == halfClose {
			mark = nil
		}
		if last.leaves == goesAway {
			s.heard, s.end = s.heard[:0], closed
			continue
		}
		s.hear(mark, t.opt.patience)
	}
	writers.Wait()
	for i := range t.sides {
		t.split(i, batch, first)
	}
	for i, c := range batch {
		t.past[(t.said+i)%len(t.past)] = c
	}
	agreed := t.judge(batch)
	t.said += len(batch)
	t.rep.count(len(batch))
	return t.recover(agreed)
}

// A verdict says what must be done before the next batch means anything.
type verdict struct {
	tainted []string // keys that the two servers may see differently
	shifted bool     // the conversation itself is out of step, or over
}

// judge compares reply by reply. What follows from a difference is not counted as another.
func (t *talker) judge(batch []command) verdict {
	var v verdict
	a, b := &t.sides[0], &t.sides[1]
	for i := range batch {
		c := &batch[i]
		ra, rb := a.replies[i], b.replies[i]
		lost := ra.lost || rb.lost
		together := ra.lost == rb.lost && (!lost || a.end == b.end)
		t.misnamed = ""
		switch same := t.same(c, ra.text, rb.text); {
		case !together, !same && !v.doubts(c):
			t.differ(i, c, a.describe(i), b.describe(i))
			v.taint(c)
		case !same, t.rep.inDoubt(c):
			v.taint(c)
		}
		if lost {
			v.shifted = true
			for n := range batch[i:] { // who knows which of them were carried out
				v.taint(&batch[i+n])
			}
			return v
		}
	}
	return v
}

// doubts says whether the servers may see one of c's keys differently because of an earlier difference.
func (v *verdict) doubts(c *command) bool {
	return slices.ContainsFunc(c.keys, func(key string) bool { return slices.Contains(v.tainted, key) })
}

// taint says that the servers may disagree about c's keys. An older server may have read a key only up to its NUL.
func (v *verdict) taint(c *command) {
	for _, key := range c.keys {
		short, _, _ := strings.Cut(key, "\x00")
		v.tainted = append(v.tainted, key, short)
	}
}

// describe is a reply for people: with how it ended, if it did.
func (s *side) describe(i int) []byte {
	if !s.replies[i].lost {
		return s.replies[i].text
	}
	return append(bytes.Clone(s.replies[i].text), "<"+s.end.String()+">"...)
}

func (t *talker) differ(i int, c *command, ra, rb []byte) {
	d := difference{conn: t.conn, index: t.said + i, command: c, replies: [2][]byte{ra, rb}, before: t.before(c, i)}
	if t.misnamed != "" {
		d.before = append(d.before, t.misnamed)
	}
	t.rep.difference(d)
}

// before finds the latest commands on c's keys, oldest first.
func (t *talker) before(c *command, i int) []string {
	const few = 6
	// A batch holds up to 50 commands, which have taken the place of the oldest.
	var found []string
	last := t.said + i - 1
	for n := last; n >= 0 && n > last+50-len(t.past) && len(found) < few; n-- {
		past := &t.past[n%len(t.past)]
		if slices.ContainsFunc(past.keys, func(key string) bool { return slices.Contains(c.keys, key) }) {
			found = append(found, fmt.Sprintf("%d: %s", n, quote(past.text, 120)))
		}
	}
	slices.Reverse(found)
	return found
}

// recover brings both servers back to the same state.
func (t *talker) recover(v verdict) error {
	if v.shifted {
		t.disconnect()
		if err := t.connect(); err != nil {
			return err
		}
	}
	if len(v.tainted) == 0 {
		return nil
	}
	slices.Sort(v.tainted)
	var deletes []command
	for _, key := range slices.Compact(v.tainted) {
		delete(t.uniques, key) // what was learned of it in doubt may be two versions
		if len(key) > 0 && len(key) <= 250 && !bytes.ContainsAny([]byte(key), " \n") {
			deletes = append(deletes, command{text: []byte("delete " + key + "\r\n")})
		}
	}
	for batch := range slices.Chunk(deletes, 50) {
		if err := t.both(batch); err != nil {
			return err
		}
	}
	return nil
}

// both says a batch to one server after the other, and again on new connections if somebody has lost the thread.
func (t *talker) both(batch []command) error {
	for range 3 {
		first, done := t.marks, true
		for i := range t.sides {
			s := &t.sides[i]
			t.marks = first
			t.write(i, batch)
			go s.say([][]byte{s.text}, stays)
			s.hear(t.markReply(t.marks), t.opt.patience)
			done = done && s.end == complete
		}
		if done {
			return nil
		}
		t.disconnect()
		if err := t.connect(); err != nil {
			return err
		}
	}
	return fmt.Errorf("connection %d: A is %s and B %s where only deletes were said: %q %q",
		t.conn, t.sides[0].end, t.sides[1].end, tail(t.sides[0].heard), tail(t.sides[1].heard))
}

// Saying

// write puts the batch as this side shall hear it, with markers, into side.text.
func (t *talker) write(i int, batch []command) {
	s := &t.sides[i]
	s.text = s.text[:0]
	for _, c := range batch {
		if c.uniqueAt > 0 {
			s.text = append(s.text, c.text[:c.uniqueAt]...)
			s.text = strconv.AppendUint(s.text, t.uniqueOf(c, i), 10)
			s.text = append(s.text, c.text[c.uniqueAt:]...)
		} else {
			s.text = append(s.text, c.text...)
		}
		if !c.hangsUp && c.leaves == stays {
			t.marks++
			s.text = fmt.Appendf(s.text, "set %s 0 0 10 noreply\r\n%010d\r\nget %s\r\n", t.marker, t.marks, t.marker)
		}
	}
}

func (t *talker) markReply(n int) []byte {
	return fmt.Appendf(nil, "VALUE %s 0 10\r\n%010d\r\nEND\r\n", t.marker, n)
}

func (t *talker) uniqueOf(c command, side int) uint64 {
	seen := t.uniques[c.keys[0]]
	if len(seen) <= c.uniqueAge {
		return 0 // nobody's unique
	}
	return seen[len(seen)-1-c.uniqueAge][side]
}

// cut says where each write ends. Half of the batches go out whole, as most clients would have it.
func (t *talker) cut(text []byte, last command) [][]byte {
	if last.whole || t.cuts.IntN(2) == 0 || len(text) < 2 {
		return [][]byte{text}
	}
	var at []int
	for range 1 + t.cuts.IntN(8) {
		at = append(at, 1+t.cuts.IntN(len(text)-1))
	}
	if t.cuts.IntN(8) == 0 { // byte by byte for a while
		for i := range 1 + t.cuts.IntN(30) {
			at = append(at, min(at[0]+i, len(text)-1))
		}
	}
	slices.Sort(at)
	var (
		pieces [][]byte
		from   int
	)
	for _, to := range slices.Compact(at) {
		pieces = append(pieces, text[from:to])
		from = to
	}
	return append(pieces, text[from:])
}

// say writes the pieces. That the server hangs up meanwhile is for hear to find out.
func (s *side) say(pieces [][]byte, l leave) {
	for i, piece := range pieces {
		if i > 0 && i%4 == 0 {
			time.Sleep(50 * time.Microsecond) // or the server reads them as one after all
		}
		if _, err := s.conn.Write(piece); err != nil {
			return
		}
	}
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && l == halfClose {
		_ = half.CloseWrite()
	}
}

// Hearing

// hear reads until the marker, or until the server closes when there is none to wait for.
func (s *side) hear(mark []byte, patience time.Duration) {
	s.heard = s.heard[:0]
	s.end = complete
	_ = s.conn.SetReadDeadline(time.Now().Add(patience))
	for mark == nil || !bytes.HasSuffix(s.heard, mark) {
		s.heard = slices.Grow(s.heard, 16<<10)
		n, err := s.conn.Read(s.heard[len(s.heard):cap(s.heard)])
		s.heard = s.heard[:len(s.heard)+n]
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.end = silent
			return
		default: // EOF, or a reset because the server had not read everything: it is gone either way
			s.end = closed
			return
		}
	}
}

// split cuts what was heard at the markers. What stands before a marker that never came goes to the first command that
// misses it.
func (t *talker) split(i int, batch []command, first int) {
	s := &t.sides[i]
	s.replies = slices.Grow(s.replies[:0], len(batch))
	rest := s.heard
	for n, c := range batch {
		if c.hangsUp || c.leaves != stays {
			s.replies = append(s.replies, reply{text: rest, lost: true})
			continue
		}
		text, after, found := bytes.Cut(rest, t.markReply(first+1+n))
		if found {
			rest = after
		}
		s.replies = append(s.replies, reply{text: text, lost: !found})
	}
}

func (t *talker) connect() error {
	for i, server := range t.servers {
		var err error
		for range 100 { // a server that is busy closing our last connection
			if t.sides[i].conn, err = net.DialTimeout(server.network, server.addr, t.opt.patience); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("server %c is gone: %w", 'A'+i, err)
		}
	}
	return nil
}

func (t *talker) disconnect() {
	for i := range t.sides {
		if t.sides[i].conn != nil {
			t.sides[i].conn.Close()
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-200):] }
