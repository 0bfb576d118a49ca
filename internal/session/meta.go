package session

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// The meta commands. What they tell stands in the order in which it was asked for, and a flag that
// changes something counts for the flags behind it: "t T30" tells the time to live that was, "T30
// t" the new one.

// metaGet serves mg.
func (s *Session) metaGet(req *request) Verdict {
	w, m := s.w, &req.Meta
	v := storage.Visit{Unique: m.Has('c') || m.Has('C'), Unnoticed: m.Has('u')}
	if m.Has('N') {
		v.Create, v.Deadline, v.Explicit, v.Binary = true, w.deadlineOfNew(m), m.Explicit, m.Has('b')
	}
	if m.Has('T') {
		v.Touches, v.Touch = true, w.clock.Deadline(m.TTL)
	}
	status := w.edit(req.hash, req.Key, v, func(it *storage.Item) { w.appendMetaItem(m, it) })
	switch {
	case w.later:
		return s.serveAgain(req)
	case status == storage.OutOfMemory:
		s.refuse(false, protocol.OutOfMemoryIncr)
	case status == storage.NotFound && !m.Has('q'):
		w.appendMetaOutcome(protocol.MetaMiss, req)
	}
	return Idle
}

// appendMetaItem answers an mg that hits, and sets what it changes of the item.
func (w *Worker) appendMetaItem(m *protocol.Meta, it *storage.Item) {
	out, value := w.Out.buf, m.Has('v') && !(m.Has('C') && it.Unique == m.Compare)
	if value && !w.mayShow(it) {
		return // and nothing is changed
	}
	if value {
		out = strconv.AppendUint(append(out, protocol.MetaValue...), uint64(it.Len()), 10)
	} else {
		out = append(out, protocol.MetaHead...)
	}
	deadline, win := it.Deadline, it.Stale && !it.Won
	if it.Created {
		deadline, win = expiry.Never, true
	}
	for _, letter := range m.Flags {
		deadline = w.amend(m, letter, deadline, it.Created)
		switch letter {
		case 'R':
			if !it.Created && !it.Won && deadline != expiry.Never && deadline < w.clock.Deadline(m.Recache) {
				win = true
			}
		case 's':
			out = protocol.AppendFlag(out, 's', uint64(it.Len()))
		case 't':
			out = w.appendTTL(out, deadline)
		case 'c':
			out = protocol.AppendFlag(out, 'c', it.Unique)
		case 'f':
			out = protocol.AppendFlag(out, 'f', uint64(it.Flags))
		case 'l':
			out = protocol.AppendFlag(out, 'l', uint64(it.Idle))
		case 'h':
			fetched := uint64(0)
			if it.Fetched {
				fetched = 1
			}
			out = protocol.AppendFlag(out, 'h', fetched)
		case 'O':
			out = protocol.AppendOpaque(out, m.Opaque)
		case 'k':
			// Decoded bytes could be anything, a line end too: whoever sends base64 is answered in
			// base64.
			out = protocol.AppendKeyFlag(out, it.Key, it.Binary || m.Has('b'))
		}
	}
	if it.Won {
		out = protocol.AppendMark(out, 'Z')
	}
	if it.Stale {
		out = protocol.AppendMark(out, 'X')
	}
	if win {
		out = protocol.AppendMark(out, 'W')
		it.Won = true
	}
	it.Deadline = deadline
	w.Out.buf = protocol.AppendValueEnd(out)
	if value {
		w.Out.appendValueOf(it)
		w.Out.buf = protocol.AppendValueEnd(w.Out.buf)
	}
}

// amend is the deadline after a flag, when it was deadline before.
func (w *Worker) amend(m *protocol.Meta, letter byte, deadline expiry.Instant, created bool) expiry.Instant {
	switch {
	case letter == 'T':
		return w.clock.Deadline(m.TTL)
	case letter == 'N' && created:
		return w.clock.Deadline(m.Vivify)
	}
	return deadline
}

// deadlineOfNew is the deadline of an item that comes to be by N.
func (w *Worker) deadlineOfNew(m *protocol.Meta) expiry.Instant {
	deadline := expiry.Never
	for _, letter := range m.Flags {
		deadline = w.amend(m, letter, deadline, true)
	}
	return deadline
}

// appendTTL tells how many seconds are left. Of an item that the same command has ended it is a
// large number, as in memcached: less than none, in 32 bits.
func (w *Worker) appendTTL(out []byte, deadline expiry.Instant) []byte {
	if deadline == expiry.Never {
		return append(out, " t-1"...)
	}
	return protocol.AppendFlag(out, 't', uint64(deadline-w.clock.Now()))
}

// appendMetaOutcome appends an answer that tells nothing of an item.
func (w *Worker) appendMetaOutcome(code string, req *request) {
	out, m := append(w.Out.buf, code...), &req.Meta
	for _, letter := range m.Flags {
		switch letter {
		case 'O':
			out = protocol.AppendOpaque(out, m.Opaque)
		case 'k':
			out = protocol.AppendKeyFlag(out, req.Key, m.Has('b'))
		}
	}
	w.Out.buf = protocol.AppendValueEnd(out)
}

// metaItem says how ms stores: what it finds in the flags goes into the item. The modes:
//
//	        without C        with C                           with N
//	S, R    Set, Replace     CompareAndSwap, …Stale with I    (no matter)
//	E       Add              Add                              (no matter)
//	A, P    Append, Prepend  the same, compared               AppendOrSet, PrependOrSet; N is the deadline, not T
func (w *Worker) metaItem(m *protocol.Meta, item *storage.Item) storage.Mode {
	item.Deadline = w.clock.Deadline(m.TTL)
	item.Unique, item.Explicit, item.Binary, item.Show = m.Compare, m.Explicit, m.Has('b'), m.Has('c') || m.Has('s')
	if m.Has('N') && (m.Mode == 'A' || m.Mode == 'P') {
		item.Deadline = w.clock.Deadline(m.Vivify)
	}
	switch {
	case m.Mode == 'E':
		return storage.Add
	case m.Mode == 'A' && m.Has('N'):
		return storage.AppendOrSet
	case m.Mode == 'A':
		return storage.Append
	case m.Mode == 'P' && m.Has('N'):
		return storage.PrependOrSet
	case m.Mode == 'P':
		return storage.Prepend
	case m.Has('C') && m.Has('I'):
		return storage.CompareAndSwapStale
	case m.Has('C'):
		return storage.CompareAndSwap
	case m.Mode == 'R':
		return storage.Replace
	}
	return storage.Set
}

// metaStored answers ms. Where it is refused it hears what a set would.
func (w *Worker) metaStored(a *answer, item *storage.Item, status storage.Status) {
	code, unique := "", uint64(0)
	switch status {
	case storage.Stored:
		if bytes.IndexByte(a.flags, 'q') >= 0 {
			return
		}
		code, unique = protocol.MetaHead, item.Unique
	case storage.NotStored:
		code = protocol.MetaNotStored
	case storage.Exists:
		code = protocol.MetaExists
	case storage.NotFound:
		code = protocol.MetaNotFound
	default:
		w.Out.buf = append(w.Out.buf, storeLines[status]...)
		return
	}
	out := append(w.Out.buf, code...)
	for _, letter := range a.flags {
		switch letter {
		case 'O':
			out = protocol.AppendOpaque(out, a.opaque)
		case 'k':
			out = protocol.AppendKeyFlag(out, item.Key, item.Binary)
		case 'c':
			out = protocol.AppendFlag(out, 'c', unique)
		case 's':
			out = protocol.AppendFlag(out, 's', uint64(item.Len()))
		}
	}
	w.Out.buf = protocol.AppendValueEnd(out)
}

// metaDelete serves md.
func (s *Session) metaDelete(req *request) Verdict {
	w, m := s.w, &req.Meta
	switch w.remove(req.hash, req.Key, storage.Removal{
		Compare: m.Has('C'), Unique: m.Compare,
		Empty: m.Has('x'), Flags: req.Flags,
		Stale: m.Has('I'), Touch: m.Has('T'), Deadline: w.clock.Deadline(m.TTL),
		Explicit: m.Explicit, Binary: m.Has('b'),
	}) {
	case storage.Stored:
		if !m.Has('q') {
			w.appendMetaOutcome(protocol.MetaHead, req)
		}
	case storage.NotFound:
		w.appendMetaOutcome(protocol.MetaNotFound, req)
	case storage.Exists:
		w.appendMetaOutcome(protocol.MetaExists, req)
	default:
		s.refuse(false, protocol.OutOfMemoryIncr)
	}
	return Idle
}

// metaArith serves ma.
func (s *Session) metaArith(req *request) Verdict {
	w, m := s.w, &req.Meta
	c := storage.Count{Delta: m.Delta, Down: m.Mode == 'D' || m.Mode == '-', Compare: m.Compare, Explicit: m.Explicit, Binary: m.Has('b')}
	if m.Has('N') {
		c.Create, c.Initial, c.Deadline = true, m.Initial, w.deadlineOfNew(m)
	}
	switch w.count(req.hash, req.Key, c, func(it *storage.Item, n uint64) { w.appendMetaNumber(m, it, n) }) {
	case storage.Stored: // the number has been appended
	case storage.NotFound:
		w.appendMetaOutcome(protocol.MetaNotFound, req)
	case storage.Exists:
		w.appendMetaOutcome(protocol.MetaExists, req)
	case storage.NotNumber:
		s.refuse(false, protocol.NotNumber)
	case storage.TooLarge:
		s.refuse(false, protocol.OutOfMemoryNew)
	default:
		s.refuse(false, protocol.OutOfMemoryIncr)
	}
	return Idle
}

// appendMetaNumber answers an ma that counted, and sets the item's deadline.
func (w *Worker) appendMetaNumber(m *protocol.Meta, it *storage.Item, n uint64) {
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], n, 10)
	begin, out := len(w.Out.buf), w.Out.buf
	if m.Has('v') {
		out = strconv.AppendUint(append(out, protocol.MetaValue...), uint64(len(number)), 10)
	} else {
		out = append(out, protocol.MetaHead...)
	}
	deadline := it.Deadline
	if it.Created {
		deadline = expiry.Never
	}
	for _, letter := range m.Flags {
		deadline = w.amend(m, letter, deadline, it.Created)
		switch letter {
		case 't':
			out = w.appendTTL(out, deadline)
		case 'c':
			out = protocol.AppendFlag(out, 'c', it.Unique)
		case 'O':
			out = protocol.AppendOpaque(out, m.Opaque)
		case 'k':
			out = protocol.AppendKeyFlag(out, it.Key, m.Has('b'))
		}
	}
	it.Deadline = deadline
	out = protocol.AppendValueEnd(out)
	if m.Has('v') {
		out = protocol.AppendValueEnd(append(out, number...))
	}
	if m.Has('q') {
		out = out[:begin]
	}
	w.Out.buf = out
}

// metaDebug serves me, which is for people: what is known of an item, without using it.
func (s *Session) metaDebug(req *request) Verdict {
	w := s.w
	w.Counters.Add(stats.CmdMeta, 1)
	status := w.store.Edit(req.hash, req.Key, storage.Visit{Unique: true, Unnoticed: true}, func(it *storage.Item) {
		out := append(w.Out.buf, protocol.MetaDebug...)
		if it.Binary {
			out = base64.StdEncoding.AppendEncode(out, it.Key)
		} else {
			out = append(out, it.Key...)
		}
		ttl, fetched := int64(-1), "no"
		if it.Deadline != expiry.Never {
			ttl = int64(it.Deadline) - int64(w.clock.Now())
		}
		if it.Fetched {
			fetched = "yes"
		}
		out = strconv.AppendInt(append(out, " exp="...), ttl, 10)
		out = strconv.AppendUint(append(out, " la="...), uint64(it.Idle), 10)
		out = strconv.AppendUint(append(out, " cas="...), it.Unique, 10)
		out = append(append(out, " fetch="...), fetched...)
		size := storage.Charge(len(it.Key), it.Flags, it.Len(), !w.env.Rules.DisableCAS)
		out = strconv.AppendUint(append(out, " cls=1 size="...), uint64(size), 10)
		w.Out.buf = protocol.AppendValueEnd(out)
	})
	if status == storage.NotFound {
		w.Out.buf = append(w.Out.buf, protocol.MetaMiss+lineEnd...)
	}
	return Idle
}
