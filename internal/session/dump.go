package session

import (
	"bytes"
	"encoding/base64"
	"math"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// What lists all items: lru_crawler metadump and mgdump, and stats cachedump. The list may be
// longer than the store itself, so it is made as its client takes it. Making it is all work and no
// waiting: done by the loop, a few steps a turn, it still kept the loop's thread so busy that the
// system let it wait for others in the midst of everybody's requests. So a goroutine makes the
// lines, a chunk at a time, and the session hands on what is there. A short list ends in the turn
// in which it begins.
//
//	goroutine: walk ── lines ──▶ chunk ──▶ session: Feed ──▶ Replies
//	                      ▲── empty ──┘ wake

const (
	// dumpChunk is how many bytes of lines are handed on at once: a loop copies them to a socket in
	// 20 µs. dumpChunks is how many there are: one is made while the client takes the other.
	dumpChunk  = 64 << 10
	dumpChunks = 2
	// dumpRest is how long the goroutine rests after a chunk, which took it longer: whoever is asked
	// for something meanwhile finds a processor.
	dumpRest = 240 * time.Microsecond
	// cachedumpMax is how many bytes stats cachedump answers at most, and classMax the end of the
	// slab classes. Source: memcached's item_cachedump and MAX_NUMBER_OF_SLAB_CLASSES.
	cachedumpMax = 2 << 20
	classMax     = 64
)

// dump is a list of items that is under way.
type dump struct {
	env   *Env
	walk  *storage.Walk
	line  func(e *Env, out []byte, it *storage.Item) []byte // appends an item's line, or nothing
	end   string
	lines int  // how many there may still be
	bytes int  // and how many bytes of them
	alone bool // there is no other at the same time

	// From when the goroutine runs, which has all of the above:
	chunks chan []byte // closed after the last
	empty  chan []byte
	stop   chan struct{}
}

// close ends it.
func (d *dump) close() {
	if d.stop != nil {
		close(d.stop)
	} else {
		d.walk.Close()
	}
	if d.alone {
		d.env.dumping.Store(false)
	}
}

// make appends lines until there is a chunk of them, or no more.
func (d *dump) make(out []byte, steps int) (_ []byte, more bool) {
	meet := func(it *storage.Item) {
		before := len(out)
		out = d.line(d.env, out, it)
		switch n := len(out) - before; {
		case n == 0:
		case d.lines == 0 || n > d.bytes:
			out, d.lines = out[:before], 0
		default:
			d.lines--
			d.bytes -= n
		}
	}
	more = true
	for ; more && d.lines > 0 && len(out) < dumpChunk && steps > 0; steps-- {
		more = d.walk.Next(meet)
		// Somebody may wait for the shard. Without this he is passed over, step after step, for the
		// millisecond after which a sync.Mutex is handed over.
		runtime.Gosched()
	}
	if more = more && d.lines > 0; !more {
		out = append(out, d.end...)
	}
	return out, more
}

// run makes the lines, and wakes who waits for them.
func (d *dump) run(wake func()) {
	defer d.env.dumpers.Done()
	defer d.walk.Close()
	defer wake() // who waits for another chunk hears that there is none
	defer close(d.chunks)
	if d.env.Beside != nil {
		d.env.Beside(+1)
		defer d.env.Beside(-1)
	}
	for more := true; more; {
		var chunk []byte
		select {
		case chunk = <-d.empty:
		case <-d.stop:
			return
		}
		for len(chunk) == 0 && more { // not all steps find something
			chunk, more = d.make(chunk, 1000)
			select {
			case <-d.stop:
				return
			default:
			}
		}
		d.chunks <- chunk // there is room for all there are
		wake()
		_ = syscall.Nanosleep(&syscall.Timespec{Nsec: dumpRest.Nanoseconds()}, nil) // time.Sleep takes a millisecond
	}
}

// dumpAll serves metadump and mgdump of these classes.
func (s *Session) dumpAll(req *request, classes []byte, forbidden, notFirst protocol.Refusal, d dump) Verdict {
	env := s.w.env
	d.env, d.walk, d.lines, d.bytes, d.alone = env, env.Store.Walk(), math.MaxInt, math.MaxInt, true
	ours, refusal := anyOurs(classes, true)
	switch {
	case env.CrawlerOff.Load():
		refusal = protocol.CrawlerDisabled
	case env.Rules.DisableDump, s.w.Datagrams:
		refusal = forbidden
	case len(s.w.Out.buf) > 0: // memcached's rule, and its tests count on it: dumps come alone
		refusal = notFirst
	case refusal != protocol.None:
	case !env.dumping.CompareAndSwap(false, true):
		refusal = protocol.CrawlerBusy
	}
	if refusal != protocol.None {
		s.refuse(req.NoReply, refusal)
		return Idle
	}
	if !ours {
		d.lines = 0
	}
	env.dumps.Add(1)
	s.w.Out.buf = append(s.w.Out.buf, protocol.OK...)
	s.dump, s.state = &d, StateDump
	return Idle
}

// anyOurs reads a list of slab classes and tells whether class 1 is in it, where everything is.
// "hash" is for who may also walk the index, which is the same here.
func anyOurs(classes []byte, mayHash bool) (ours bool, refusal protocol.Refusal) {
	switch string(classes) {
	case "all":
		return true, protocol.None
	case "hash":
		if !mayHash {
			refusal = protocol.CrawlerError
		}
		return true, refusal
	}
	refusal = protocol.CrawlerNoClass
	for class := range bytes.SplitSeq(classes, []byte(",")) {
		if len(class) == 0 {
			continue
		}
		n, ok := protocol.ParseUint32(class)
		if !ok || n < 1 || n >= classMax {
			return false, protocol.CrawlerBadClass
		}
		ours, refusal = ours || n == 1, protocol.None
	}
	return ours, refusal
}

// cachedump serves stats cachedump <class> <lines>, where 0 lines are all.
func (s *Session) cachedump(args [][]byte) {
	env := s.w.env
	switch {
	case env.Rules.DisableDump:
		s.refuse(false, protocol.CachedumpNotAllowed)
		return
	case len(args) < 2:
		s.refuse(false, protocol.CachedumpUsage)
		return
	}
	class, classOK := protocol.ParseUint32(args[0])
	lines, linesOK := protocol.ParseUint32(args[1])
	switch {
	case !classOK || !linesOK:
		s.refuse(false, protocol.BadFormat)
		return
	case class >= classMax:
		s.refuse(false, protocol.IllegalClass)
		return
	}
	d := &dump{env: env, walk: env.Store.Walk(), line: appendCachedump, end: protocol.End,
		lines: int(lines), bytes: cachedumpMax - len(protocol.End) - 1}
	switch {
	case class != 1:
		d.lines = 0
	case lines == 0:
		d.lines = math.MaxInt
	}
	s.dump, s.state = d, StateDump
}

// resumeDump hands on what there is of the list. Later: there will be more.
func (s *Session) resumeDump() Verdict {
	w, d := s.w, s.dump
	if d.stop == nil { // its first turn
		begin := len(w.Out.buf)
		w.turn.spend(dumpSteps * stepWork)
		lines, more := d.make(w.Out.buf[begin:], dumpSteps)
		w.Out.buf = append(w.Out.buf[:begin], lines...)
		if !more {
			s.endDump()
			return Idle
		}
		d.chunks, d.empty, d.stop = make(chan []byte, dumpChunks), make(chan []byte, dumpChunks), make(chan struct{})
		for range dumpChunks {
			d.empty <- make([]byte, 0, dumpChunk+dumpChunk/4)
		}
		d.env.dumpers.Add(1)
		go d.run(s.wake)
		return Later
	}
	select {
	case chunk, more := <-d.chunks:
		if !more {
			s.endDump()
			return Idle
		}
		w.Out.buf = append(w.Out.buf, chunk...)
		d.empty <- chunk[:0]
		return Full // or not, but it is the others' turn
	default:
		return Later
	}
}

func (s *Session) endDump() {
	s.dump.close()
	s.dump, s.state = nil, StateCommand
}

// appendMetadump tells all that is known of an item but its value.
func appendMetadump(e *Env, out []byte, it *storage.Item) []byte {
	out = protocol.AppendURI(append(out, "key="...), it.Key)
	exp, fetched := int64(-1), "no"
	if it.Deadline != expiry.Never {
		exp = e.Clock.Unix(it.Deadline)
	}
	if it.Fetched {
		fetched = "yes"
	}
	out = strconv.AppendInt(append(out, " exp="...), exp, 10)
	out = strconv.AppendInt(append(out, " la="...), e.Clock.Unix(e.Clock.Now())-int64(it.Idle), 10)
	out = strconv.AppendUint(append(out, " cas="...), it.Unique, 10)
	out = append(append(out, " fetch="...), fetched...)
	size := storage.Charge(len(it.Key), it.Flags, it.Len(), !e.Rules.DisableCAS)
	out = strconv.AppendUint(append(out, " cls=1 size="...), uint64(size), 10)
	out = strconv.AppendUint(append(out, " flags="...), uint64(it.Flags), 10)
	return append(out, " \n"...)
}

// appendMgdump makes of an item the mg that asks for it.
func appendMgdump(e *Env, out []byte, it *storage.Item) []byte {
	out = append(out, "mg "...)
	if it.Binary {
		out = append(base64.StdEncoding.AppendEncode(out, it.Key), " b"...)
	} else {
		out = append(out, it.Key...)
	}
	return append(out, lineEnd...)
}

// appendCachedump leaves out what cannot be said: keys that came in base64.
func appendCachedump(e *Env, out []byte, it *storage.Item) []byte {
	if it.Binary {
		return out
	}
	exp := int64(0)
	if it.Deadline != expiry.Never {
		exp = e.Clock.Unix(it.Deadline)
	}
	out = append(append(out, "ITEM "...), it.Key...)
	out = strconv.AppendInt(append(out, " ["...), int64(it.Len()), 10)
	out = strconv.AppendInt(append(out, " b; "...), exp, 10)
	return append(out, " s]"+lineEnd...)
}
