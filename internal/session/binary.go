package session

import (
	"bytes"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// The binary protocol: packets are cut off the input a batch at a time, and what the commands do
// (commands.go) is answered in packets. Their values come as those of text do (set.go).

// packet is one packet of a batch.
type packet struct {
	protocol.Packet
	err  error
	head []byte
	next int    // where in the input its value begins, or the next packet
	hash uint64 // of Key
}

// packets serves the packets that have come, up to a batch of them, each with its value as far as
// that has come. It stops early when a command leaves the session in another state, or when enough
// replies wait.
func (s *Session) packets(in []byte) (consumed int, _ Verdict) {
	w := s.w
	n := s.parsePackets(in, w.turn.batch())
	if n == 0 {
		s.line = append(s.line, in...) // shorter than a head
		return len(in), Idle
	}
	s.line = nil
	for i := range w.packets[:n] {
		if s.state != StateCommand || w.turn.full(&w.Out) || w.turn.spent() {
			return consumed, Idle
		}
		p := &w.packets[i]
		consumed, s.op = p.next, p.Op
		if w.env.Verbosity.Load() > 1 {
			s.logPacket(p)
		}
		if p.Quiet && p.Op.Retrieves() { // it is what a key of a multiget is in text
			w.turn.spend(quietWork)
		} else {
			w.turn.serve()
		}
		if err := s.mayServe(p); err != nil {
			return consumed, s.refusePacket(p, err)
		}
		if w.Events.Watched != 0 && p.Op.HasKey() {
			w.turn.spend(eventWork)
			w.Events.Command(p.Op, p.hash, p.Key)
		}
		if p.Op.Stores() {
			consumed += s.beginPacket(p, in[consumed:])
		} else if v := packetHandlers[p.Op](s, p); v != Idle {
			return consumed, v
		}
	}
	return consumed, Idle
}

// packetHandlers says what serves an Op that comes in a packet. The storage commands have none.
var packetHandlers = [protocol.NumOps]func(*Session, *packet) Verdict{
	protocol.OpGet:        (*Session).packetGet,
	protocol.OpGat:        (*Session).packetGet,
	protocol.OpDelete:     (*Session).packetDelete,
	protocol.OpIncr:       (*Session).packetCount,
	protocol.OpDecr:       (*Session).packetCount,
	protocol.OpFlushAll:   (*Session).packetFlush,
	protocol.OpVersion:    (*Session).packetVersion,
	protocol.OpNoop:       (*Session).packetNoop,
	protocol.OpQuit:       (*Session).packetQuit,
	protocol.OpStats:      (*Session).packetStats,
	protocol.OpMechanisms: (*Session).mechanisms,
	protocol.OpAuth:       (*Session).auth,
	protocol.OpAuthStep:   (*Session).auth,
}

// parsePackets cuts up to limit heads off the input, hashes their keys, and has the store warm what
// they will need. It tells how many there are; 0 means that not even the first has come whole.
// Nothing is decided here: a command may turn out to be the last that is served.
func (s *Session) parsePackets(in []byte, limit int) (n int) {
	w := s.w
	for pos, more := 0, true; more && n < limit; {
		p := &w.packets[n]
		from, before := in[pos:], len(s.line)
		if n > 0 || before == 0 {
			before = 0
		} else {
			from = append(s.line, in[:min(len(in), protocol.HeadMax-before)]...)
		}
		head, err := protocol.ParsePacket(from, &p.Packet)
		if head == 0 {
			break
		}
		p.err, p.head, p.next = err, from[:head], pos+head-before
		w.hashes[n] = 0
		if err == nil && p.Op.HasKey() {
			p.hash = w.store.Hash(p.Key)
			w.hashes[n] = p.hash
		}
		n++
		// What comes after a value that is not all here, or after a refusal, may not be a packet.
		pos = p.next + p.Value
		more = err == nil && pos < len(in)
	}
	if n > 1 {
		w.store.Warm(w.hashes[:n])
	}
	return n
}

// mayServe tells why a packet is not served, in memcached's order: who has not logged in is told
// nothing else, unless the packet is none.
func (s *Session) mayServe(p *packet) error {
	switch p.err {
	case protocol.ErrHangUp, protocol.BodyTooShort, protocol.BodyTooLong:
		return p.err
	}
	if !s.admitted && !servesAnybody(p.Op) {
		return protocol.Unauthenticated
	}
	return p.err
}

// servesAnybody tells whether a command is for those too who have not logged in.
func servesAnybody(op protocol.Op) bool {
	switch op {
	case protocol.OpVersion, protocol.OpMechanisms, protocol.OpAuth, protocol.OpAuthStep:
		return true
	}
	return false
}

// refusePacket answers a packet that is not served. Only what is unknown is read past: after what is
// wrong otherwise nothing can be understood.
func (s *Session) refusePacket(p *packet, err error) Verdict {
	why, ok := err.(protocol.Refusal)
	s.breach = breachOf(why)
	if !ok {
		return HangUp
	}
	if why == protocol.Unknown {
		s.afterBlock(p.Value, func() { s.sayNo(p, why) })
		return Idle
	}
	s.sayNo(p, why)
	return HangUp
}

// sayNo appends a refusal; quiet commands too are told.
func (s *Session) sayNo(p *packet, why protocol.Refusal) {
	s.w.Out.buf = protocol.AppendRefusal(s.w.Out.buf, p.Tag, why)
}

// sayStatus is sayNo with an outcome that is no refusal.
func (s *Session) sayStatus(p *packet, status protocol.Status) {
	s.w.Out.buf = protocol.AppendStatus(s.w.Out.buf, p.Tag, status)
}

// packetDone answers what succeeds and has nothing to tell.
func (s *Session) packetDone(p *packet, unique uint64) {
	if !p.Quiet {
		s.w.Out.buf = protocol.AppendDone(s.w.Out.buf, p.Tag, unique)
	}
}

// packetGet serves the retrievals, and touch, which is one without the value.
func (s *Session) packetGet(p *packet) Verdict { return s.packetFetch(p, false) }

func (s *Session) packetFetch(p *packet, told bool) Verdict {
	w := s.w
	how := lookup{unique: true, told: told}
	if how.touch = p.Op.Touches(); how.touch {
		how.deadline = w.deadline(p.Exptime)
	}
	w.asked = p
	hit := w.fetch(p.hash, p.Key, &how, w.showsHit)
	switch {
	case w.later:
		s.state, s.kept = StateAgain, bytes.Clone(p.head)
		return Later
	case hit, p.Quiet:
	case p.ShowKey:
		w.Out.buf = protocol.AppendMiss(w.Out.buf, p.Tag, p.Key)
	default:
		s.sayStatus(p, protocol.StatusNotFound)
	}
	return Idle
}

// resumePacket has a retrieval served for which the store had no room.
func (s *Session) resumePacket() Verdict {
	p := &s.w.packets[0]
	p.head = s.kept
	s.state, s.kept = StateCommand, nil
	_, p.err = protocol.ParsePacket(p.head, &p.Packet) // it could be parsed before
	p.hash = s.w.store.Hash(p.Key)
	return s.packetFetch(p, true)
}

// appendHit appends the hit that a packet asks for.
func (w *Worker) appendHit(it storage.Item) {
	p, key, n := w.asked, []byte(nil), 0
	if p.ShowKey {
		key = it.Key
	}
	if p.ShowValue {
		if !w.mayShow(&it) {
			return
		}
		n = it.Len()
	}
	w.Out.buf = protocol.AppendHit(w.Out.buf, p.Tag, key, it.Flags, n, it.Unique)
	if n > 0 {
		w.Out.appendValueOf(&it)
	}
}

// deadline is when an item ends by the exptime of a packet: it is unsigned, so none is over already,
// and the largest is a date in 2106.
func (w *Worker) deadline(exptime uint32) expiry.Instant {
	if int32(exptime) >= 0 {
		return w.clock.Deadline(int32(exptime))
	}
	return expiry.Instant(int64(exptime) - w.clock.Unix(0))
}

// beginPacket serves a storage command, together with its value when that has come whole, and tells
// how many bytes of the input it used. With a unique, set, add and replace are all a cas.
func (s *Session) beginPacket(p *packet, in []byte) (consumed int) {
	w := s.w
	c := storing{mode: modes[p.Op], hash: p.hash}
	c.item.Key, c.item.Flags, c.item.Deadline = p.Key, p.Flags, w.deadline(p.Exptime)
	c.item.Show, c.item.Binary = !p.Quiet, !protocol.Nameable(p.Key)
	if p.Unique != 0 && !w.env.Rules.DisableCAS {
		c.item.Unique = p.Unique
		if !joins(c.mode) {
			c.mode = storage.CompareAndSwap
		}
	}
	a := answer{op: p.Op, noReply: p.Quiet, tag: p.Tag}
	return s.receive(&c, &a, p.Value, p.Value, in)
}

// packetStored tells the outcome of a storage command.
func (s *Session) packetStored(a *answer, item *storage.Item, status storage.Status) {
	out := s.w.Out.buf
	switch status {
	case storage.Stored:
		if !a.noReply {
			out = protocol.AppendDone(out, a.tag, item.Unique)
		}
	case storage.Exists:
		out = protocol.AppendStatus(out, a.tag, protocol.StatusExists)
	case storage.NotFound:
		out = protocol.AppendStatus(out, a.tag, protocol.StatusNotFound)
	case storage.NotStored:
		out = protocol.AppendStatus(out, a.tag, notStored(a.op))
	case storage.TooLarge:
		out = protocol.AppendRefusal(out, a.tag, protocol.TooLarge)
	default:
		out = protocol.AppendRefusal(out, a.tag, protocol.OutOfMemory)
	}
	s.w.Out.buf = out
}

// notStored is the status of what the rule of a storage command forbids.
func notStored(op protocol.Op) protocol.Status {
	switch op {
	case protocol.OpAdd:
		return protocol.StatusExists
	case protocol.OpReplace:
		return protocol.StatusNotFound
	}
	return protocol.StatusNotStored
}

func (s *Session) packetDelete(p *packet) Verdict {
	switch s.w.deleteIf(p.hash, p.Key, p.Unique) {
	case storage.Stored:
		s.packetDone(p, 0)
	case storage.Exists:
		s.sayStatus(p, protocol.StatusExists)
	default:
		s.sayStatus(p, protocol.StatusNotFound)
	}
	return Idle
}

// packetCount serves increment and decrement.
func (s *Session) packetCount(p *packet) Verdict {
	w := s.w
	c := storage.Count{Delta: p.Delta, Down: p.Op == protocol.OpDecr, Compare: p.Unique,
		Create: p.Exptime != protocol.NoInitial, Initial: p.Initial, Binary: !protocol.Nameable(p.Key)}
	if c.Create {
		c.Deadline = w.deadline(p.Exptime)
	}
	w.asked = p
	switch w.count(p.hash, p.Key, c, w.showsCount) {
	case storage.Stored: // the number has been appended
	case storage.NotFound:
		s.sayStatus(p, protocol.StatusNotFound)
	case storage.Exists:
		s.sayStatus(p, protocol.StatusExists)
	case storage.NotNumber:
		s.sayNo(p, protocol.NotNumber)
	case storage.TooLarge:
		s.sayNo(p, protocol.OutOfMemoryNew)
	default:
		s.sayNo(p, protocol.OutOfMemoryIncr)
	}
	return Idle
}

func (w *Worker) appendCount(it *storage.Item, n uint64) {
	if p := w.asked; !p.Quiet {
		w.Out.buf = protocol.AppendCount(w.Out.buf, p.Tag, n, it.Unique)
	}
}

// packetFlush serves flush. memcached does not count one that it refuses.
func (s *Session) packetFlush(p *packet) Verdict {
	if s.w.env.Rules.DisableFlush {
		s.sayNo(p, protocol.FlushNotAllowed)
		return Idle
	}
	s.w.Counters.Add(stats.CmdFlush, 1)
	s.w.flushAt(s.w.deadline(p.Exptime))
	s.packetDone(p, 0)
	return Idle
}

func (s *Session) packetVersion(p *packet) Verdict {
	s.w.Out.buf = protocol.AppendStatusText(s.w.Out.buf, p.Tag, protocol.StatusOK, s.w.env.Version)
	return Idle
}

func (s *Session) packetNoop(p *packet) Verdict {
	s.packetDone(p, 0)
	return Idle
}

func (s *Session) packetQuit(p *packet) Verdict {
	s.packetDone(p, 0)
	s.quits = true
	return HangUp
}

// packetStats serves stat: a reply for each name, and one without a name at the end. What there is
// depends on the whole key, blanks and all.
func (s *Session) packetStats(p *packet) Verdict {
	w := s.w
	begin := len(w.Out.buf)
	defer w.spendLines(begin)
	switch word := string(p.Key); word {
	case "reset":
		s.resetStats()
	case "detail on", "detail off", "detail dump":
		if w.env.Rules.DisableDump {
			s.sayNo(p, protocol.DetailNotAllowed)
			return Idle
		}
		if word == "detail dump" {
			w.Out.buf = protocol.AppendPacketStat(w.Out.buf, p.Tag, []byte("detailed"), w.env.Hub.AppendDetail(nil))
		} else {
			s.setDetail(word == "detail on")
		}
	case "hotkeys":
		if why := s.hotKeys(); why != protocol.None {
			s.sayNo(p, why)
			return Idle
		}
		w.wrapStats(p.Tag, begin)
	default:
		if !s.appendStats(word) {
			s.sayStatus(p, protocol.StatusNotFound)
			return Idle
		}
		w.wrapStats(p.Tag, begin)
	}
	w.Out.buf = protocol.AppendPacketStat(w.Out.buf, p.Tag, nil, nil)
	return Idle
}

// wrapStats makes packets of the STAT lines from begin on.
func (w *Worker) wrapStats(tag protocol.Tag, begin int) {
	lines := bytes.Clone(w.Out.buf[begin:])
	w.Out.buf = w.Out.buf[:begin]
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSuffix(bytes.TrimPrefix(line, []byte("STAT ")), []byte(lineEnd))
		name, value, _ := bytes.Cut(line, []byte(" "))
		w.Out.buf = protocol.AppendPacketStat(w.Out.buf, tag, name, value)
	}
}

// logPacket is for -vv. Of a value nothing is told.
func (s *Session) logPacket(p *packet) {
	if p.err == protocol.ErrHangUp {
		return
	}
	s.w.env.Logf("<%d 0x%02x %s\n", s.fd, p.Opcode, protocol.AppendURI(nil, p.Key))
}
