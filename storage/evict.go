package storage

import "math/bits"

func trailing(m uint32) int { return bits.TrailingZeros32(m) }

// Room is made by emptying segments, one at a time: the victim is scanned record by record, in steps, so that nobody
// waits for a whole segment. What is found alive is moved or lost, by the reason for which the segment was chosen.
type scan struct {
	seg    int32 // none: there is no victim
	off    uint32
	reason reason
}

type reason uint8

const (
	forRoom reason = iota // the oldest of its queue: what has not been used is evicted
	forDead               // its items have expired or were flushed; whatever is alive is moved
)

const (
	// reserve is how many segments a new item may not take, so that a victim's survivors have somewhere to go.
	reserve = 1
	// scanStep is how many records are scanned at most before somebody else may have the lock.
	scanStep = 32
)

// makeRoom sees to it that n bytes fit into the open segment of a queue. False: there is no room to be had.
func (s *shard) makeRoom(qi int, n uint32) bool { return s.makeRoomBeside(none, qi, n) }

// makeRoomBeside does so without losing the record at guard, which may move.
func (s *shard) makeRoomBeside(guard int64, qi int, n uint32) bool {
	if s.fits(qi, n) {
		return true
	}
	if n > s.segSize {
		return false
	}
	s.guard = guard
	ok := true
	for ok && !s.fits(qi, n) {
		switch {
		case s.spare() > reserve:
			s.seal(qi)
			s.take(qi)
		default:
			ok = s.scanVictim(scanStep, forRoom)
		}
	}
	s.guard = none
	return ok
}

// scanVictim goes on emptying the victim for some records, and chooses one first if there is none. False: there is
// none to choose.
func (s *shard) scanVictim(records int, why reason) bool {
	v := &s.victim
	if v.seg == none && !s.chooseVictim(why) {
		return false
	}
	sg := &s.segments[v.seg]
	base := int64(v.seg) << s.segShift
	var r record
	for ; records > 0 && v.off < sg.used; records-- {
		loc := uint32((base + int64(v.off)) >> s.granule)
		r.read(s.at(loc))
		v.off += s.padded(r.size)
		if *r.ctrl()&ctrlDead == 0 {
			s.settle(loc, &r, sg)
		}
	}
	if v.off >= sg.used {
		g := v.seg
		v.seg = none
		s.release(g)
	}
	return true
}

// chooseVictim takes the oldest segment out of its queue.
func (s *shard) chooseVictim(why reason) bool {
	if why == forRoom && s.store.opts.DisableEviction {
		return false
	}
	for qi := range s.queues {
		if s.queues[qi].sealed == 0 {
			s.seal(qi)
		}
		if g := s.queues[qi].head; g != none {
			s.startScan(g, why)
			return true
		}
	}
	return false
}

func (s *shard) startScan(g int32, why reason) {
	s.dequeue(g)
	s.segments[g].state = stateVictim
	s.victim = scan{seg: g, reason: why}
}

// settle decides what becomes of a live record in the victim.
func (s *shard) settle(loc uint32, r *record, sg *segment) {
	h := Hash(r.key())
	e, ok := s.entryOf(h, loc)
	if !ok {
		panicf("no index entry for the record at %d, key %q", loc, r.key())
	}
	f := found{slot: e, record: *r, loc: loc, sg: sg}
	why := s.fate(r, sg)
	switch {
	case why != alive:
		s.reclaim(r, why)
		s.unlink(h, &f)
	case s.victim.reason == forDead || int64(loc) == s.guard:
		if !s.move(&f, int(sg.queue)) {
			s.countEviction(r)
			s.unlink(h, &f)
		}
	default:
		s.countEviction(r)
		s.unlink(h, &f)
	}
}

// move copies a record to the open segment of a queue, taking the reserve if need be. False: there is not even that.
func (s *shard) move(f *found, qi int) bool {
	if n := f.size + headerMax; !s.fits(qi, n) {
		if s.free.n+s.gone.n == 0 {
			return false
		}
		s.seal(qi)
		s.take(qi)
	}
	nf := f.fields(f.sg.created)
	nf.unique = s.keptUnique(f, qi)
	access := f.sg.created + expiryInstant(accessSeconds(*f.access()))
	loc, r := s.writeHeader(qi, &nf, f.key())
	copy(r.value(), f.value())
	sg := s.segmentOf(loc)
	*r.access() = 0
	if access > sg.created {
		*r.access() = accessCode(uint32(access - sg.created))
	}
	s.kill(&f.record, f.sg)
	s.index.setLoc(f.slot, loc)
	if s.guard == int64(f.loc) {
		s.guard = int64(loc)
	}
	s.moves++
	return true
}
