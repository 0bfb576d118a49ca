package session

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// What lists all items: lru_crawler metadump and mgdump, and stats cachedump. The list may be longer than the store itself,
// so the session makes of it what its client takes, and has a state for that.

const (
	// cachedumpMax is how many bytes stats cachedump answers at most, and classMax the end of the slab classes. Source:
	// memcached's item_cachedump and MAX_NUMBER_OF_SLAB_CLASSES.
	cachedumpMax = 2 << 20
	classMax     = 64
)

// dump is a list of items that is under way.
type dump struct {
	env   *Env
	walk  *storage.Walk
	line  func(*Worker, *storage.Item) // appends an item's line, or nothing
	end   string
	lines int  // how many there may still be
	bytes int  // and how many bytes of them
	alone bool // there is no other at the same time
}

func (d *dump) close() {
	d.walk.Close()
	if d.alone {
		d.env.dumping.Store(false)
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
	case env.Rules.DisableDump:
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

// anyOurs reads a list of slab classes and tells whether class 1 is in it, where everything is. "hash" is for who may also
// walk the index, which is the same here.
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
	d := &dump{env: env, walk: env.Store.Walk(), line: (*Worker).appendCachedump, end: protocol.End,
		lines: int(lines), bytes: cachedumpMax - len(protocol.End) - 1}
	switch {
	case class != 1:
		d.lines = 0
	case lines == 0:
		d.lines = math.MaxInt
	}
	s.dump, s.state = d, StateDump
}

// resumeDump lists some more items.
func (s *Session) resumeDump() {
	w, d := s.w, s.dump
	meet := func(it *storage.Item) {
		before := len(w.Out.buf)
		d.line(w, it)
		switch n := len(w.Out.buf) - before; {
		case n == 0:
		case d.lines == 0 || n > d.bytes:
			w.Out.buf, d.lines = w.Out.buf[:before], 0
		default:
			d.lines--
			d.bytes -= n
		}
	}
	more := true
	for more && d.lines > 0 && w.turn.step(&w.Out) {
		more = d.walk.Next(meet)
	}
	if more && d.lines > 0 {
		return
	}
	w.Out.buf = append(w.Out.buf, d.end...)
	d.close()
	s.dump, s.state = nil, StateCommand
}

// appendMetadump tells all that is known of an item but its value.
func (w *Worker) appendMetadump(it *storage.Item) {
	out := protocol.AppendURI(append(w.Out.buf, "key="...), it.Key)
	exp, fetched := int64(-1), "no"
	if it.Deadline != expiry.Never {
		exp = w.clock.Unix(it.Deadline)
	}
	if it.Fetched {
		fetched = "yes"
	}
	out = strconv.AppendInt(append(out, " exp="...), exp, 10)
	out = strconv.AppendInt(append(out, " la="...), w.clock.Unix(w.clock.Now())-int64(it.Idle), 10)
	out = strconv.AppendUint(append(out, " cas="...), it.Unique, 10)
	out = append(append(out, " fetch="...), fetched...)
	size := storage.Charge(len(it.Key), it.Flags, it.Len(), !w.env.Rules.DisableCAS)
	out = strconv.AppendUint(append(out, " cls=1 size="...), uint64(size), 10)
	out = strconv.AppendUint(append(out, " flags="...), uint64(it.Flags), 10)
	w.Out.buf = append(out, " \n"...)
}

// appendMgdump makes of an item the mg that asks for it.
func (w *Worker) appendMgdump(it *storage.Item) {
	out := append(w.Out.buf, "mg "...)
	if it.Binary {
		out = append(base64.StdEncoding.AppendEncode(out, it.Key), " b"...)
	} else {
		out = append(out, it.Key...)
	}
	w.Out.buf = append(out, lineEnd...)
}

// appendCachedump leaves out what cannot be said: keys that came in base64.
func (w *Worker) appendCachedump(it *storage.Item) {
	if it.Binary {
		return
	}
	exp := int64(0)
	if it.Deadline != expiry.Never {
		exp = w.clock.Unix(it.Deadline)
	}
	out := append(append(w.Out.buf, "ITEM "...), it.Key...)
	out = strconv.AppendInt(append(out, " ["...), int64(it.Len()), 10)
	out = strconv.AppendInt(append(out, " b; "...), exp, 10)
	w.Out.buf = append(out, " s]"+lineEnd...)
}
