package session

import (
	"bytes"

	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// The text protocol: lines are cut off the input and parsed a batch at a time, and what the
// commands do (commands.go) is worded. The meta commands are in meta.go.

// commands serves the lines that have come, up to a batch of them, each with its block as far as
// that has come. It stops early when a command leaves the session in another state, or when enough
// replies wait.
func (s *Session) commands(in []byte) (consumed int, _ Verdict) {
	w := s.w
	if s.long != nil {
		return s.gather(in)
	}
	n := s.parse(in, w.turn.batch())
	if n == 0 {
		return s.begun(in)
	}
	s.line = nil // it is being served; an idle connection keeps no buffer
	for i := range w.batch[:n] {
		if s.state != StateCommand || w.turn.full(&w.Out) || w.turn.tired() {
			return consumed, Idle
		}
		req := &w.batch[i]
		if w.env.Verbosity.Load() > 1 {
			s.logLine(req.line)
		}
		consumed = req.next
		s.op = req.Op
		w.turn.serve()
		if w.Events.Watched != 0 && req.err == nil && req.Op.HasKey() {
			w.turn.spend(eventWork)
			w.Events.Command(req.Op, req.hash, req.Key)
		}
		switch {
		case req.err != nil:
			if s.refused(req) == HangUp {
				return consumed, HangUp
			}
		case req.Block > 0:
			consumed += s.begin(req, in[consumed:])
		default:
			if v := handlers[req.Op](s, req); v != Idle {
				return consumed, v
			}
		}
	}
	return consumed, Idle
}

// begun keeps the beginning of a line whose end has not come.
func (s *Session) begun(in []byte) (consumed int, _ Verdict) {
	if len(s.line)+len(in) <= lineMax {
		s.line = append(s.line, in...)
		return len(in), Idle
	}
	if begin := append(s.line, in[:min(len(in), lineMax)]...); !mayBeLong(begin) {
		return len(in), HangUp
	}
	s.long = &longLine{}
	s.long.add(s.line)
	s.line = nil
	return s.gather(in)
}

// parse cuts up to limit commands off the input, hashes their keys, and has the store warm what
// they will need. It tells how many there are; 0 means that not even the first line has come whole.
// Nothing is decided here: a command may turn out to be the last that is served.
func (s *Session) parse(in []byte, limit int) (n int) {
	w := s.w
	lines := 0
	for pos, more := 0, true; more && n < limit; {
		end := bytes.IndexByte(in[pos:], '\n')
		if end < 0 {
			break
		}
		req := &w.batch[n]
		req.line, req.next = in[pos:pos+end], pos+end+1
		if n == 0 && len(s.line) > 0 {
			req.line = append(s.line, req.line...)
		}
		req.err = protocol.Parse(req.line, &req.Request)
		w.hashes[n] = 0
		if req.err == nil && req.Op.HasKey() {
			req.hash = w.store.Hash(req.Key)
			w.hashes[n] = req.hash
		}
		n++
		// What comes after a block that is not all here, or after a refusal, may not be a command.
		pos = req.next + req.Block
		lines += len(req.line)
		more = req.err == nil && pos < len(in) && lines < linesMax
	}
	if n > 1 {
		w.store.Warm(w.hashes[:n])
	}
	return n
}

// refused answers a line that could not be parsed.
func (s *Session) refused(req *request) Verdict {
	refusal, ok := req.err.(protocol.Refusal)
	if !ok {
		return HangUp
	}
	s.afterBlock(req.Block, func() { s.refuse(req.NoReply, refusal) })
	return Idle
}

// serveAgain has a line served when the store has room for what it asks for.
func (s *Session) serveAgain(req *request) Verdict {
	s.state, s.kept = StateAgain, bytes.Clone(req.line)
	return Later
}

// resumeAgain serves it.
func (s *Session) resumeAgain() Verdict {
	if s.wire == Binary {
		return s.resumePacket()
	}
	req := &s.w.batch[0]
	req.line = s.kept
	s.state, s.kept = StateCommand, nil
	req.err = protocol.Parse(req.line, &req.Request) // it could be parsed before
	req.hash = s.w.store.Hash(req.Key)
	return handlers[req.Op](s, req)
}

// reply appends a line unless the client wants none.
func (s *Session) reply(noReply bool, line string) {
	if !noReply {
		s.w.Out.buf = append(s.w.Out.buf, line...)
	}
}

// refuse appends a refusal unless the client wants none.
func (s *Session) refuse(noReply bool, why protocol.Refusal) { s.reply(noReply, why.Line()) }

// done says OK, or why not.
func (s *Session) done(noReply bool, why protocol.Refusal) {
	line := protocol.OK
	if why != protocol.None {
		line = why.Line()
	}
	s.reply(noReply, line)
}

// shows appends a hit, as the text protocol shows it.
func (w *Worker) shows(how *lookup) func(storage.Item) {
	if how.unique {
		return w.appendUnique
	}
	return w.appendValue
}

// mayShow tells whether an item's value can be appended now, or sees to it that the session says
// Later.
func (w *Worker) mayShow(it *storage.Item) bool {
	w.later, w.shown, w.ends = !w.Out.copies(it) && !it.MayPin(w.wake), it.Len(), it.Deadline
	return !w.later
}

func (w *Worker) appendValue(it storage.Item) {
	if !w.mayShow(&it) {
		return
	}
	w.Out.buf = protocol.AppendValueHead(w.Out.buf, it.Key, it.Flags, it.Len(), nil)
	w.Out.appendValueOf(&it)
	w.Out.buf = protocol.AppendValueEnd(w.Out.buf)
}

func (w *Worker) appendUnique(it storage.Item) {
	if !w.mayShow(&it) {
		return
	}
	w.Out.buf = protocol.AppendValueHead(w.Out.buf, it.Key, it.Flags, it.Len(), &it.Unique)
	w.Out.appendValueOf(&it)
	w.Out.buf = protocol.AppendValueEnd(w.Out.buf)
}

func (s *Session) incr(req *request) Verdict { return s.counts(req, false) }

func (s *Session) decr(req *request) Verdict { return s.counts(req, true) }

// counts serves incr and decr.
func (s *Session) counts(req *request, down bool) Verdict {
	w := s.w
	switch n, status := w.add(req.hash, req.Key, req.Delta, down); status {
	case storage.Stored:
		if !req.NoReply {
			w.Out.buf = protocol.AppendNumber(w.Out.buf, n)
		}
	case storage.NotFound:
		s.reply(req.NoReply, protocol.NotFound)
	case storage.NotNumber:
		s.refuse(req.NoReply, protocol.NotNumber)
	default:
		s.refuse(req.NoReply, protocol.OutOfMemoryIncr)
	}
	return Idle
}

func (s *Session) touch(req *request) Verdict {
	w := s.w
	status := w.touch(req.hash, req.Key, w.clock.Deadline(req.Exptime))
	if status == storage.OutOfMemory {
		s.refuse(req.NoReply, protocol.OutOfMemoryIncr)
		return Idle
	}
	return s.foundOrNot(req, status == storage.Stored, protocol.Touched)
}

func (s *Session) delete(req *request) Verdict {
	return s.foundOrNot(req, s.w.delete(req.hash, req.Key), protocol.Deleted)
}

func (s *Session) foundOrNot(req *request, found bool, line string) Verdict {
	if !found {
		line = protocol.NotFound
	}
	s.reply(req.NoReply, line)
	return Idle
}

// storeLines are the outcomes of the storage commands.
var storeLines = [...]string{
	storage.Stored: protocol.Stored, storage.NotStored: protocol.NotStored, storage.Exists: protocol.Exists,
	storage.NotFound: protocol.NotFound, storage.TooLarge: protocol.TooLarge.Line(), storage.OutOfMemory: protocol.OutOfMemory.Line(),
}

// answer is what the client of a storage command wants to hear of its outcome.
type answer struct {
	op      protocol.Op
	noReply bool
	flags   []byte       // of ms: what to tell, in this order …
	opaque  []byte       // … and what to say again
	tag     protocol.Tag // of a packet: what to say again
}

// answerStored tells the outcome of a storage command.
func (s *Session) answerStored(a *answer, item *storage.Item, status storage.Status) {
	if s.wire == Binary {
		s.packetStored(a, item, status)
		return
	}
	if a.op == protocol.OpMetaSet {
		s.w.metaStored(a, item, status)
		return
	}
	s.reply(a.noReply, storeLines[status])
}
