package storage

import (
	"math/bits"

	"github.com/gomemd/gomemd/expiry"
)

type expiryInstant = expiry.Instant

// Nobody is ever served an item after its deadline: every lookup compares. This file is about the memory of those that
// nobody asks for.
//
// Items that end soon are kept together in TTL logs, one queue for each factor of 4 in time to live, so that whole
// segments end at once. A log needs an open segment, so it is only used while the traffic of its class fills one
// within that time; otherwise, and for long times, items go to small like all others.
//
// For the rest each segment knows when it is worth a visit (due). The visit unlinks what has expired, and, having seen
// every deadline, says when the next one pays: when dueShare of the segment will have ended. The dead bytes that
// visits leave behind are the cleaner's (evict.go).
const (
	queueTTL  = 2  // the first TTL log
	ttlLogs   = 7  // up to 4, 16, … 16384 seconds
	ttlShards = 64 // segments a shard must have before it affords TTL logs
	dueShare  = 64 // a visit should find 1/64 of the segment
)

// ttlClass is the TTL log for items that live this long, or ttlLogs if that is too long for one.
func ttlClass(ttl expiry.Instant) int {
	if ttl <= 4 {
		return 0
	}
	return min((bits.Len32(uint32(ttl-1))+1)/2-1, ttlLogs)
}

// queueFor tells where a new item of n bytes goes.
func (s *shard) queueFor(deadline expiry.Instant, n int) int {
	if deadline == expiry.Never || deadline.Passed(s.now) || int(s.prospect()>>s.segShift) <= ttlShards {
		return queueSmall
	}
	ttl := deadline - s.now
	c := ttlClass(ttl)
	if c == ttlLogs {
		return queueSmall
	}
	if passed := s.now - s.ratedAt; passed > 0 {
		for i := range s.rate {
			s.rate[i] = (s.rate[i] + s.stored[i]/uint32(passed)) / 2
			s.stored[i] = 0
		}
		s.ratedAt = s.now
	}
	s.stored[c] += uint32(n)
	// What comes in less than a second counts for the whole of it: that errs to the careful side.
	perSecond := max(s.rate[c], s.stored[c])
	if uint64(perSecond)<<(2*c+2) < uint64(s.segSize) {
		return queueSmall
	}
	if s.stats.Evictions > 0 && ttl > s.evictedAge {
		return queueSmall // it will be evicted before it expires
	}
	return queueTTL + c
}

// flush ends everything that is stored in this shard. Open segments are sealed, so that an item belongs to one side of
// the line or the other by its segment's incarnation alone. Where nothing was stored since the last flush there is
// nothing to seal or to look into again: who flushes all the time pays for a line in each shard, not for all segments.
func (s *shard) flush() {
	unflushed := s.victim.seg != none // it may go back to its queue
	for qi := range s.queues {
		q := &s.queues[qi]
		// The tail is the youngest of those that are sealed.
		unflushed = unflushed || q.open != none || q.tail != none && s.segments[q.tail].incarnation >= s.floor
		s.seal(qi)
	}
	s.floor = s.store.incarnations.Add(1)
	s.suspect = s.floor // no prefix was flushed later
	if s.line != nil {
		s.line.setFloor(s.floor)
	}
	s.setPending(expiry.Never) // after the floor: a flush may come twice, but not be lost
	if !unflushed {
		return
	}
	for g := range s.segments[:s.fresh] {
		s.segments[g].due = expiry.Past
	}
}

// setPending notes a flush that is due at that moment.
func (s *shard) setPending(at expiry.Instant) {
	s.pending = at
	if s.line != nil {
		s.line.setPending(uint32(at))
	}
}

// tick does some of what time brings. It tells whether there is more to do at once.
func (s *shard) tick() bool {
	s.lock()
	defer s.unlockWhole()
	work := scanStep
	if s.owes() {
		work *= 8
	}
	busy := s.maintainIndex(work)
	s.giveSurplus()
	if s.calledAt != s.now {
		s.calledAt = s.now
		s.call(callsASecond) // somebody may have stood still for long enough
	}
	switch {
	case s.visit.seg != none:
		s.visitSome(scanStep)
	case s.owes():
		if s.give() || busy && s.index.next != 0 { // rather what the index leaves than items
			return true
		}
		scanned, _ := s.scanVictim(scanStep)
		return scanned >= 0
	case s.spare() < 0 && !s.more() && !s.hungry:
		scanned, _ := s.scanVictim(scanStep)
		return scanned >= 0
	case s.chooseDue():
	default:
		return busy
	}
	return true
}

// visit is a walk over a segment that stays where it is.
type visit struct {
	seg         int32
	incarnation uint64
	off         uint32
	mortal      uint32
	ends        [256]uint32 // bytes that will end, by accessCode of the seconds until then
}

// due finds a segment that it is time to look into: an open one, too, and one that is pinned, if it stays where it is.
func (s *shard) dueSegment(open bool) int32 {
	for g := range s.segments[:s.fresh] {
		sg := &s.segments[g]
		if sg.due.Passed(s.now) && (open && sg.state == stateOpen || sg.state == stateSealed && (open || sg.pins == 0)) {
			return int32(g)
		}
	}
	return none
}

// chooseDue begins the visit of such a segment.
func (s *shard) chooseDue() bool {
	g := s.dueSegment(true)
	if g == none {
		return false
	}
	sg, v := &s.segments[g], &s.visit
	v.seg, v.incarnation, v.off, v.mortal = g, sg.incarnation, 0, 0
	clear(v.ends[:])
	sg.due = expiry.Never // from here on it notes what is new
	return true
}

// holdsItem tells whether a record is an item's, as far as those are concerned who look for what has ended. A piece goes with
// its head, and a value that is on its way in is nobody's yet.
func (s *shard) holdsItem(r *record) bool {
	return *r.ctrl()&ctrlDead == 0 && !r.piece() && !(r.split() && s.chains[*r.chain()].incoming != nil)
}

// takeAway takes an item away that such a look has found dead.
func (s *shard) takeAway(r *record, loc uint32, sg *segment, why fate) {
	f := found{record: *r, loc: loc, sg: sg}
	s.reclaim(r, why)
	s.stats.Swept++
	s.unlinkAt(s.hash(r.key()), &f)
}

// visitSome goes on with the visit for some records.
func (s *shard) visitSome(records int) {
	v := &s.visit
	sg := &s.segments[v.seg]
	if sg.incarnation != v.incarnation || sg.state == stateVictim {
		v.seg = none
		return
	}
	base := int64(v.seg) << s.segShift
	for ; records > 0 && v.off < sg.used && sg.incarnation == v.incarnation; records-- {
		loc := uint32((base + int64(v.off)) >> s.granule)
		var r record
		r.read(s.at(loc))
		n := s.padded(r.size)
		v.off += n
		if !s.holdsItem(&r) {
			continue
		}
		if why := s.fate(&r, sg); why != alive {
			s.takeAway(&r, loc, sg, why)
			continue
		}
		deadline := r.deadline(sg.created)
		if deadline == expiry.Never {
			continue
		}
		v.mortal += n
		v.ends[accessCode(uint32(deadline-s.now))] += n
	}
	if sg.incarnation != v.incarnation {
		v.seg = none // its last item went, and it with it
		return
	}
	if v.off < sg.used {
		return
	}
	v.seg = none
	if sg.live == 0 && sg.state == stateOpen {
		s.seal(int(sg.queue))
	}
	if v.mortal == 0 {
		return
	}
	enough := min(v.mortal, s.segSize/dueShare)
	sum := uint32(0)
	for code := range v.ends {
		if sum += v.ends[code]; sum >= enough {
			sg.noteDue(s.now + expiry.Instant(accessEnd(uint8(code))))
			return
		}
	}
}
