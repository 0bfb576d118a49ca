package session

import (
	"bytes"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// modes says how each storage command stores.
var modes = [protocol.NumOps]storage.Mode{
	protocol.OpSet:     storage.Set,
	protocol.OpAdd:     storage.Add,
	protocol.OpReplace: storage.Replace,
	protocol.OpAppend:  storage.Append,
	protocol.OpPrepend: storage.Prepend,
	protocol.OpCas:     storage.CompareAndSwap,
}

// lineEnd is what a block ends with, always both bytes.
const lineEnd = "\r\n"

// block is a storage command whose value has not come whole. Small values gather in buf and are
// copied into the store once; large ones go into their place there as they come, so that a
// half-sent one never sits in a growing buffer.
type block struct {
	storing // its key is the block's own copy
	answer
	bytes int
	ends  int               // bytes of the line end after the value: a packet has none
	buf   []byte            // the value and its line end, when it is small …
	lent  bool              // … which is the worker's, until Stream has read what there is
	large *storage.Incoming // the value, when it is large
	tail  []byte            // the line end after a large value
}

func (b *block) abort() {
	if b.large != nil {
		b.large.Abort()
	}
}

// begin serves a storage line, together with its block when that has come whole, and tells how many
// bytes of the input it used. A refusal, or a block that has only begun, leaves the session reading
// on.
func (s *Session) begin(req *request, in []byte) (consumed int) {
	w := s.w
	c, a := storing{mode: modes[req.Op], hash: req.hash}, answer{op: req.Op, noReply: req.NoReply}
	c.item.Key, c.item.Flags = req.Key, req.Flags
	if req.Op == protocol.OpMetaSet {
		c.mode = w.metaItem(&req.Meta, &c.item)
		a.flags, a.opaque = req.Meta.Flags, req.Meta.Opaque
	} else {
		c.item.Unique, c.item.Deadline = req.Unique, w.clock.Deadline(req.Exptime)
	}
	return s.receive(&c, &a, req.Bytes, req.Block, in)
}

// receive does that for a storage command with a value of n bytes, which with its line end are whole.
func (s *Session) receive(c *storing, a *answer, n, whole int, in []byte) (consumed int) {
	w := s.w
	c.drops = c.mode == storage.Set // a refused replace, append or cas leaves what there is
	if storage.Charge(len(c.item.Key), c.item.Flags, n, !w.env.Rules.DisableCAS) > w.env.Rules.ItemMax {
		w.turnAway(c)
		s.afterBlock(whole, func() { s.answerStored(a, &c.item, storage.TooLarge) })
		return 0
	}
	w.Counters.Add(stats.CmdSet, 1)
	if len(in) >= whole {
		if whole > n && !endsLine(in[:whole]) {
			s.refuse(a.noReply, protocol.BadChunk)
			return whole
		}
		c.item.Value = in[:n]
		s.answerStored(a, &c.item, w.put(c, nil))
		return whole
	}
	b := &block{storing: *c, answer: *a, bytes: n, ends: whole - n}
	b.item.Key, b.flags, b.opaque = bytes.Clone(c.item.Key), bytes.Clone(a.flags), bytes.Clone(a.opaque)
	if n >= w.store.LargeMin() || w.turn.short() && n >= pinMin {
		b.large, _ = w.store.Receive(b.hash, &b.item, n, s.wake) // it is not too large: that was asked
		b.tail = make([]byte, 0, b.ends)
	}
	s.state, s.want, s.block = StateValue, whole, b
	return 0
}

// value takes what has come of a block, and stores it when it is complete. Later: the store has no
// room for all of it yet.
func (s *Session) value(in []byte) (consumed int, _ Verdict) {
	b := s.block
	in = in[:min(len(in), s.want)]
	ofValue := min(len(in), max(0, s.want-b.ends))
	if b.large == nil && s.w.turn.short() {
		s.w.toStore(b, s.wake)
	}
	if b.large != nil && ofValue > 0 {
		taken, status := b.large.Write(in[:ofValue])
		s.want -= taken
		if status != storage.Stored {
			return taken, s.noRoom(status)
		}
		consumed, in = taken, in[taken:]
	}
	s.want -= len(in)
	consumed += len(in)
	if b.large == nil {
		switch need := len(b.buf) + len(in); {
		case b.buf == nil && s.w.Streams && s.want > 0:
			b.buf, b.lent = s.w.middle(b.bytes+b.ends), true
		case need > cap(b.buf):
			b.gather(need)
		}
		b.buf = append(b.buf, in...)
		if s.want == 0 {
			s.finish(b.buf)
		}
		return consumed, Idle
	}
	b.tail = append(b.tail, in...)
	if s.want == 0 {
		s.finish(b.tail)
	}
	return consumed, Idle
}

// gather gives the block a buffer of its own, for all of it if a quarter is here: who announces a value
// and sends none of it has no buffer either.
func (b *block) gather(need int) {
	b.buf, b.lent = append(make([]byte, 0, min(b.bytes+b.ends, 4*need)), b.buf...), false
}

// middle is a buffer for a small value whose end is not in the reader's buffer, but may be read at once.
func (w *Worker) middle(n int) []byte {
	if cap(w.lends) < n {
		w.lends = make([]byte, 0, w.store.LargeMin()+len(lineEnd))
	}
	return w.lends[:0]
}

// toStore has a small value that has half come go on in the store, like a large one, if there is room:
// memory outside is short.
func (w *Worker) toStore(b *block, wake func()) {
	if b.bytes < pinMin || len(b.buf) >= b.bytes {
		return
	}
	large, status := w.store.Receive(b.hash, &b.item, b.bytes, wake)
	if status != storage.Stored {
		return
	}
	if _, status = large.Write(b.buf); status != storage.Stored {
		large.Abort()
		return
	}
	b.large, b.buf, b.tail = large, nil, make([]byte, 0, b.ends)
}

// Stream has bytes of a value that are still to come read to where they will lie, or at least past the
// reader's buffer. read fills the rooms one after the other; more says that there may be more to read.
// Idle: there are no more at present. Full: it is the others' turn. When the value has come whole it is
// stored and answered.
func (s *Session) Stream(read func(rooms [][]byte) (n int, more bool)) (n int, _ Verdict) {
	w := s.w
	for more := true; more && s.Streams(); {
		if !w.turn.reads(n) {
			return n, Full
		}
		b, end, got := s.block, w.end[:s.block.ends], 0
		if b.large == nil {
			got, more = s.streamSmall(read)
			n += got
			continue
		}
		if s.want <= b.ends {
			w.one[0] = end[:s.want]
			got, more = read(w.one[:])
			n += got
			_, _ = s.value(end[:got])
			continue
		}
		rest, behind := s.want-b.ends, 0
		got, status := b.large.Fill(&w.rooms, func(rooms [][]byte) (got int) {
			size := 0
			for _, room := range rooms {
				size += len(room)
			}
			if size == rest && b.ends > 0 {
				rooms = append(rooms, end) // in the same call
			}
			got, more = read(rooms)
			behind = max(0, got-size)
			return got - behind
		})
		n += got + behind
		s.want -= got
		if status != storage.Stored {
			s.want -= behind
			return n, s.noRoom(status)
		}
		if behind > 0 || s.want == 0 {
			_, _ = s.value(end[:behind])
		}
	}
	return n, Idle
}

// streamSmall does that for a small value that has just begun.
func (s *Session) streamSmall(read func(rooms [][]byte) (n int, more bool)) (n int, more bool) {
	b := s.block
	have := len(b.buf)
	s.w.one[0] = b.buf[have : b.bytes+b.ends]
	n, more = read(s.w.one[:])
	b.buf = b.buf[:have+n]
	if s.want -= n; s.want == 0 {
		s.finish(b.buf)
		return n, false
	}
	b.gather(len(b.buf))
	return n, false
}

// Streams tells whether Stream has something to do: bytes of a value are still to come. It has to be
// called then, after Feed and before another session of the worker is fed.
func (s *Session) Streams() bool {
	return s.state == StateValue && (s.block.large != nil || s.block.lent)
}

// Uploads tells whether bytes of a large value are still to come.
func (s *Session) Uploads() bool { return s.state == StateValue && s.block.large != nil }

// finish stores a complete block, whose last bytes are given.
func (s *Session) finish(end []byte) {
	b := s.block
	s.state, s.block = StateCommand, nil
	s.op = b.op
	switch {
	case b.ends > 0 && !endsLine(end):
		b.abort()
		s.refuse(b.noReply, protocol.BadChunk)
	default:
		if b.large == nil {
			b.item.Value = b.buf[:b.bytes]
		}
		s.answerStored(&b.answer, &b.item, s.w.put(&b.storing, b.large))
	}
}

// noRoom is for a large value of which a part has come, and for which the store has no room: not
// yet, or not any more. Then what is still to come of it is read past.
func (s *Session) noRoom(status storage.Status) Verdict {
	if status == storage.Later {
		return Later
	}
	b := s.block
	b.abort()
	s.state, s.block = StateCommand, nil
	s.w.settle(&b.storing, storage.OutOfMemory)
	s.afterBlock(s.want, func() { s.answerStored(&b.answer, &b.item, storage.OutOfMemory) })
	return Idle
}

// Refuse gives up a large value of which a part is still to come, as if the store had no room for
// it.
func (s *Session) Refuse() {
	if s.Uploads() {
		s.noRoom(storage.OutOfMemory)
	}
}

func endsLine(block []byte) bool { return string(block[len(block)-len(lineEnd):]) == lineEnd }
