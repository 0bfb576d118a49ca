package server

import (
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
	op      protocol.Op
	noReply bool
	hash    uint64
	item    storage.Item // Key is the block's own copy
	bytes   int
	buf     []byte            // the value and its line end, when it is small
	large   *storage.Incoming // the value, when it is large
	tail    []byte            // the line end after a large value
}

func (b *block) abort() {
	if b.large != nil {
		b.large.Abort()
	}
}

// begin serves a storage line, together with its block when that has come whole, and tells how many bytes of the input
// it used. A refusal, or a block that has only begun, leaves the session reading on.
func (s *session) begin(req *request, in []byte) (consumed int) {
	w, hash := s.w, req.hash
	if storage.Charge(len(req.Key), req.Flags, req.Bytes, !w.srv.opts.DisableCAS) > w.srv.opts.ItemMax {
		w.tally.add(storeTooLarge, 1)
		s.cannotStore(req, protocol.TooLarge)
		return 0
	}
	w.tally.add(cmdSet, 1)
	item := storage.Item{Key: req.Key, Flags: req.Flags, Unique: req.Unique, Deadline: w.clock.Deadline(req.Exptime)}
	if len(in) >= req.Block {
		if !endsLine(in[:req.Block]) {
			s.reply(req.NoReply, string(protocol.BadChunk))
			return req.Block
		}
		item.Value = in[:req.Bytes]
		s.stored(req.Op, req.NoReply, hash, item.Key, w.store.Put(hash, modes[req.Op], &item))
		return req.Block
	}
	b := &block{op: req.Op, noReply: req.NoReply, hash: hash, item: item, bytes: req.Bytes}
	b.item.Key = append([]byte(nil), req.Key...)
	if req.Bytes >= w.store.LargeMin() {
		var status storage.Status
		if b.large, status = w.store.Receive(hash, &b.item, req.Bytes); status != storage.Stored {
			w.tally.add(storeNoMemory, 1)
			s.cannotStore(req, protocol.OutOfMemory)
			return 0
		}
		b.tail = make([]byte, 0, len(lineEnd))
	}
	s.state, s.want, s.block = stateValue, req.Block, b
	return 0
}

// cannotStore refuses a value before it is read. A set takes the old value along: the client believes that it is being
// replaced, so serving it again would be serving what is stale.
func (s *session) cannotStore(req *request, why protocol.Refusal) {
	s.reply(req.NoReply, string(why))
	if req.Op == protocol.OpSet {
		s.w.store.Delete(req.hash, req.Key)
	}
	s.swallow(req.Block)
}

// value takes what has come of a block, and stores it when it is complete.
func (s *session) value(in []byte) (consumed int) {
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
	if status := b.large.Write(in[:ofValue]); status != storage.Stored {
		s.outOfMemory()
		return len(in)
	}
	b.tail = append(b.tail, in[ofValue:]...)
	if s.want == 0 {
		s.finish(b.tail)
	}
	return len(in)
}

// finish stores a complete block, whose last bytes are given.
func (s *session) finish(end []byte) {
	b := s.block
	s.state, s.block = stateCommand, nil
	switch {
	case !endsLine(end):
		b.abort()
		s.reply(b.noReply, string(protocol.BadChunk))
	case b.large != nil:
		s.stored(b.op, b.noReply, b.hash, b.item.Key, b.large.Commit(modes[b.op]))
	default:
		b.item.Value = b.buf[:b.bytes]
		s.stored(b.op, b.noReply, b.hash, b.item.Key, s.w.store.Put(b.hash, modes[b.op], &b.item))
	}
}

// outOfMemory gives up a large value half-way and reads past the rest of it.
func (s *session) outOfMemory() {
	b := s.block
	b.abort()
	s.block = nil
	s.state = stateCommand
	if s.want > 0 {
		s.swallow(s.want)
	}
	s.stored(b.op, b.noReply, b.hash, b.item.Key, storage.OutOfMemory)
}

func endsLine(block []byte) bool { return string(block[len(block)-len(lineEnd):]) == lineEnd }

// stored answers and counts the outcome of a storage command.
func (s *session) stored(op protocol.Op, noReply bool, hash uint64, key []byte, status storage.Status) {
	w := s.w
	line := protocol.Stored
	switch status {
	case storage.NotStored:
		line = protocol.NotStored
	case storage.Exists:
		line = protocol.Exists
	case storage.NotFound:
		line = protocol.NotFound
	case storage.TooLarge:
		line = string(protocol.TooLarge)
	case storage.OutOfMemory:
		line = string(protocol.OutOfMemory)
		w.tally.add(storeNoMemory, 1)
		if op == protocol.OpSet {
			w.store.Delete(hash, key)
		}
	}
	if op == protocol.OpCas {
		switch status {
		case storage.Stored:
			w.tally.add(casHits, 1)
		case storage.Exists:
			w.tally.add(casBadval, 1)
		case storage.NotFound:
			w.tally.add(casMisses, 1)
		}
	}
	s.reply(noReply, line)
}
