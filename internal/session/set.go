package session

import (
	"bytes"

	"github.com/gomemd/gomemd/internal/events"
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

// block is a storage command whose value has not come whole. Small values gather in buf and are copied into the store
// once; large ones go into their place there as they come, so that a half-sent one never sits in a growing buffer.
type block struct {
	answer
	mode  storage.Mode
	hash  uint64
	item  storage.Item // Key is the block's own copy
	bytes int
	buf   []byte            // the value and its line end, when it is small
	large *storage.Incoming // the value, when it is large
	tail  []byte            // the line end after a large value
}

// answer is what the client of a storage command wants to hear of its outcome.
type answer struct {
	op      protocol.Op
	noReply bool
	flags   []byte // of ms: what to tell, in this order …
	opaque  []byte // … and what to say again
}

func (b *block) abort() {
	if b.large != nil {
		b.large.Abort()
	}
}

// begin serves a storage line, together with its block when that has come whole, and tells how many bytes of the input
// it used. A refusal, or a block that has only begun, leaves the session reading on.
func (s *Session) begin(req *request, in []byte) (consumed int) {
	w, hash := s.w, req.hash
	if storage.Charge(len(req.Key), req.Flags, req.Bytes, !w.env.Rules.DisableCAS) > w.env.Rules.ItemMax {
		w.Counters.Add(stats.StoreTooLarge, 1)
		s.cannotStore(req, protocol.TooLarge)
		return 0
	}
	w.Counters.Add(stats.CmdSet, 1)
	item, mode, a := storage.Item{Key: req.Key, Flags: req.Flags}, modes[req.Op], answer{op: req.Op, noReply: req.NoReply}
	if req.Op == protocol.OpMetaSet {
		mode = w.metaItem(&req.Meta, &item)
		a.flags, a.opaque = req.Meta.Flags, req.Meta.Opaque
	} else {
		item.Unique, item.Deadline = req.Unique, w.clock.Deadline(req.Exptime)
	}
	if len(in) >= req.Block {
		if !endsLine(in[:req.Block]) {
			s.refuse(req.NoReply, protocol.BadChunk)
			return req.Block
		}
		item.Value = in[:req.Bytes]
		s.keep(&a, hash, mode, &item, nil)
		return req.Block
	}
	b := &block{answer: a, mode: mode, hash: hash, item: item, bytes: req.Bytes}
	b.item.Key, b.flags, b.opaque = bytes.Clone(item.Key), bytes.Clone(a.flags), bytes.Clone(a.opaque)
	if req.Bytes >= w.store.LargeMin() {
		var status storage.Status
		if b.large, status = w.store.Receive(hash, &b.item, req.Bytes, nil); status != storage.Stored {
			w.Counters.Add(stats.StoreNoMemory, 1)
			s.cannotStore(req, protocol.OutOfMemory)
			return 0
		}
		b.tail = make([]byte, 0, len(lineEnd))
	}
	s.state, s.want, s.block = StateValue, req.Block, b
	return 0
}

// cannotStore refuses a value before it is read. A set, and an ms of any mode, takes the old value along: the client
// believes that it is being replaced, so serving it again would be serving what is stale.
func (s *Session) cannotStore(req *request, why protocol.Refusal) {
	if w := s.w; w.Events.Watched&events.Mutations != 0 {
		status := storage.TooLarge
		if why == protocol.OutOfMemory {
			status = storage.OutOfMemory
		}
		w.Events.Stored(req.hash, modes[req.Op], &storage.Item{Key: req.Key}, status)
	}
	s.refuse(req.NoReply, why)
	if dropsOld(req.Op) {
		s.w.store.Delete(req.hash, req.Key)
	}
	s.swallow(req.Block)
}

func dropsOld(op protocol.Op) bool { return op == protocol.OpSet || op == protocol.OpMetaSet }

// value takes what has come of a block, and stores it when it is complete.
func (s *Session) value(in []byte) (consumed int) {
	b := s.block
	in = in[:min(len(in), s.want)]
	ofValue := min(len(in), max(0, s.want-len(lineEnd)))
	s.want -= len(in)
	if b.large == nil {
		if need := len(b.buf) + len(in); need > cap(b.buf) {
			// At once if a quarter is here: who announces a value and sends none of it has no buffer either.
			b.buf = append(make([]byte, 0, min(b.bytes+len(lineEnd), 4*need)), b.buf...)
		}
		b.buf = append(b.buf, in...)
		if s.want == 0 {
			s.finish(b.buf)
		}
		return len(in)
	}
	if _, status := b.large.Write(in[:ofValue]); status != storage.Stored {
		s.outOfMemory()
		return len(in)
	}
	b.tail = append(b.tail, in[ofValue:]...)
	if s.want == 0 {
		s.finish(b.tail)
	}
	return len(in)
}

// Stream has bytes of a large value that are still to come read to where they will lie. It ends when there are no more at present, or
// enough for one turn; the line end is left to value.
func (s *Session) Stream(read func(room []byte) (n int, more bool)) (n int) {
	more := true
	for more && s.w.turn.reads(n) && s.Streams() {
		got, status := s.block.large.Fill(func(room []byte) (got int) {
			got, more = read(room)
			return got
		})
		n += got
		s.want -= got
		if status != storage.Stored {
			s.outOfMemory()
		}
	}
	return n
}

// Streams tells whether bytes of a large value are still to come.
func (s *Session) Streams() bool {
	return s.state == StateValue && s.block.large != nil && s.want > len(lineEnd)
}

// finish stores a complete block, whose last bytes are given.
func (s *Session) finish(end []byte) {
	b := s.block
	s.state, s.block = StateCommand, nil
	switch {
	case !endsLine(end):
		b.abort()
		s.refuse(b.noReply, protocol.BadChunk)
	default:
		if b.large == nil {
			b.item.Value = b.buf[:b.bytes]
		}
		s.keep(&b.answer, b.hash, b.mode, &b.item, b.large)
	}
}

// keep stores a value that is complete: the item's, or one that was received piece by piece.
func (s *Session) keep(a *answer, hash uint64, mode storage.Mode, item *storage.Item, large *storage.Incoming) {
	w := s.w
	if w.Events.AboutKeys() {
		w.Events.LookUp(hash, item.Key)
	}
	if large == nil {
		s.stored(a, hash, mode, item, w.store.Put(hash, mode, item))
		return
	}
	status := large.Commit(mode)
	large.Tell(item)
	s.stored(a, hash, mode, item, status)
}

// outOfMemory gives up a large value half-way and reads past the rest of it.
func (s *Session) outOfMemory() {
	b := s.block
	b.abort()
	s.block = nil
	s.state = StateCommand
	if s.want > 0 {
		s.swallow(s.want)
	}
	s.stored(&b.answer, b.hash, b.mode, &b.item, storage.OutOfMemory)
}

func endsLine(block []byte) bool { return string(block[len(block)-len(lineEnd):]) == lineEnd }

// stored answers and counts the outcome of a storage command.
func (s *Session) stored(a *answer, hash uint64, mode storage.Mode, item *storage.Item, status storage.Status) {
	w := s.w
	if w.Events.Watched&events.Mutations != 0 {
		w.Events.Stored(hash, mode, item, status)
	}
	line := protocol.Stored
	switch status {
	case storage.NotStored:
		line = protocol.NotStored
	case storage.Exists:
		line = protocol.Exists
	case storage.NotFound:
		line = protocol.NotFound
	case storage.TooLarge:
		line = protocol.TooLarge.Line()
	case storage.OutOfMemory:
		line = protocol.OutOfMemory.Line()
		w.Counters.Add(stats.StoreNoMemory, 1)
		if dropsOld(a.op) {
			w.store.Delete(hash, item.Key)
		}
	}
	if mode == storage.CompareAndSwap || mode == storage.CompareAndSwapStale {
		switch status {
		case storage.Stored:
			w.Counters.Add(stats.CasHits, 1)
		case storage.Exists:
			w.Counters.Add(stats.CasBadval, 1)
		case storage.NotFound:
			w.Counters.Add(stats.CasMisses, 1)
		}
	}
	if a.op == protocol.OpMetaSet {
		w.metaStored(a, item, status, line)
		return
	}
	s.reply(a.noReply, line)
}
