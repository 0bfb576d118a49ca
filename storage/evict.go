package storage

import "math/bits"

func trailing(m uint32) int { return bits.TrailingZeros32(m) }

// Room is made by emptying segments, one at a time: the victim is scanned record by record, in steps, so that nobody
// waits for a whole segment. What is found alive is moved or lost, by the reason for which the segment was chosen:
//
//	             a live item of small        of main
//	forRoom      used: to main               used: to the young end of main, a little less used
//	             not used: evicted           not used: evicted
//	forDead      to the young end of the same queue, always
//
// A segment is chosen forDead when so much of it is dead that the copying pays, or when all of it should have ended.
//
// New items go to small. How much small may hold before its oldest has to prove itself is not fixed (10 % suits skewed
// traffic and ruins a loop): an evicted item leaves a ghost in the index, and when it is stored again while the ghost
// is there, the queue that lost it should have been larger. So a ghost of small raises the target, one of main lowers
// it, each by the item's own size, and by more when its kind is the rarer one: with a common pool the more numerous
// kind drowns the other and the target runs away.
type scan struct {
	seg    int32 // none: there is no victim
	off    uint32
	reason reason
}

type reason uint8

const (
	forRoom reason = iota
	forDead
)

const (
	// scanStep is how many records are scanned at most before somebody else may have the lock.
	scanStep = 32
	// paceStep is how many a Put scans at most, ahead of need: some 10 µs.
	paceStep = 3 * scanStep
	// hurryAfter is how many a Put that has no room scans before what comes next goes, used or not, and hurryBytes how many
	// bytes it copies before that.
	hurryAfter = 8 * scanStep
	hurryBytes = 1 << 20
	// scanBatch is how many records are looked up together, so that the index's cache misses overlap.
	scanBatch = 16

	// Cleaning begins when more than cleanShard percent of a shard is dead, with the segment that has most, if that is
	// cleanSegment percent of it. Without, overwrites of a live set of 40 % lost 11 % of it.
	cleanShard   = 8
	cleanSegment = 15

	targetStart = 0.10 // of the segments
	targetMin   = 0.02
	targetMax   = 0.90
)

// makeRoom sees to it that a queue holds n bytes of a new record. False: there is no room to be had.
func (s *shard) makeRoom(qi int, n int) bool { return s.makeRoomBeside(none, qi, n) }

// makeRoomBeside does so without losing the record at guard, which may move.
func (s *shard) makeRoomBeside(guard int64, qi int, n int) bool {
	for !s.has(qi, n) {
		if !s.more() && !s.backNow() {
			break
		}
	}
	s.guard = guard // whoever moves it says where it is now
	for !s.has(qi, n) && !s.scanForRoom(qi, n) {
		if !s.dropStill() {
			s.guard = none
			return s.fits(qi, n) && (s.tail(qi) >= n || s.left() > reserve)
		}
	}
	s.guard = none
	return true
}

// has tells whether a queue holds n bytes, and the survivors of a victim still find room after that: those of the one that is being
// scanned, and then those of the next.
func (s *shard) has(qi int, n int) bool {
	if !s.fits(qi, n) {
		return false
	}
	free, size := s.most-s.inUse, int(s.segSize)
	left := s.tail(qi) - n
	if left >= 0 && free > overdraft+reserve+1 {
		return true
	}
	for ; left < 0; left += size {
		free--
	}
	v := s.victim.seg
	if v == none {
		return free >= overdraft+reserve || s.tail(qi) >= n && free > 0
	}
	// What survives goes to the end of a queue, perhaps of this very one, and then to new segments. The victim is one itself when it
	// has been scanned.
	sg := &s.segments[v]
	switch to := int(sg.queue); {
	case s.victim.reason == forRoom && qi != queueMain:
		left = s.tail(queueMain)
	case s.victim.reason == forDead && qi != to:
		left = s.tail(to)
	}
	if more := int(sg.live+sg.live/8) - left; more > 0 {
		free -= (more + size - 1) / size
	}
	return free >= 0 && (s.tail(qi) >= n || free+1 >= overdraft+reserve)
}

// within is how many of n bytes may go into a queue at once: some, in any case.
func (s *shard) within(qi int, n int) int {
	for n/2 >= headerMax+keyMax+tailMin && !s.has(qi, n) {
		n /= 2
	}
	return n
}

// scanForRoom empties victims until a queue holds n bytes.
func (s *shard) scanForRoom(qi int, n int) bool {
	if n > s.allowed*int(s.segSize)/2 {
		return false
	}
	// Survivors may fill what was won, for as long as five rounds over everything, which wear out every frequency. Before
	// that takes long, whatever comes next goes, used or not. What is guarded or on its way in stays even then.
	ok := true
	bytes, all := int64(0), s.usedBytes+4*int64(s.segSize)
	for records := 0; ok && !s.has(qi, n); records += scanStep {
		hurry := (records > hurryAfter || bytes > hurryBytes) && bytes > 2*(int64(n)+int64(s.segSize))
		s.force = !s.store.opts.DisableEviction && (bytes > 5*all || hurry)
		scanned, _ := s.scanVictim(scanStep)
		bytes += int64(scanned)
		ok = scanned >= 0 && bytes < 7*all
	}
	s.force = false
	return ok
}

// pace does the evicting that storing n bytes should pay for, so that room is there before somebody needs it: a victim is
// scanned until a quarter more than n bytes of it are free, or paceStep records have been seen. What is left to do is owed by the
// next Put. Where survivors are so many that the debt only grows, they are not kept when the last spare segment is at stake. While
// no segment is left for new items, and while the shard owes some, each Put scans as much as it may.
func (s *shard) pace(n uint32) {
	ahead := reserve + 1 + s.allowed/256 // so many segments free, and nothing needs to be done
	for s.spare() <= ahead && s.more() {
	}
	owes := s.owes()
	if s.spare() > ahead && !owes || s.hungry {
		s.debt = 0
		return
	}
	s.debt += int64(n + n/4)
	for records := paceStep; records > 0 && (owes || s.spare() <= reserve || s.debt > 0 && s.spare() <= ahead); records -= scanBatch {
		if owes && s.give() {
			owes = s.owes()
			continue
		}
		s.force = s.hurry()
		scanned, freed := s.scanVictim(scanBatch)
		if scanned < 0 {
			break
		}
		s.debt -= int64(freed)
	}
	s.force = false
	s.debt = max(0, min(s.debt, int64(s.segSize)))
}

// hurry tells whether pace falls behind: then live items that would survive are evicted, and dead space that is spread thin waits.
// Where a quarter is dead, cleaning will win what is needed: no live item is given up for being a little late.
func (s *shard) hurry() bool {
	scarce := s.usedBytes-s.liveBytes < s.usedBytes/4
	return scarce && !s.store.opts.DisableEviction && s.debt > int64(s.segSize)/8 && s.left() <= reserve
}

// scanVictim goes on emptying the victim for some records, and chooses one first if there is none. It returns how many
// bytes it has dealt with, or -1 if there is no victim to choose, and how many of these were not kept.
func (s *shard) scanVictim(records int) (scanned, freed int) {
	v := &s.victim
	if v.seg == none && !s.chooseVictim() {
		return -1, 0
	}
	if v.seg == none { // a segment became free without a scan
		return 0, int(s.segSize)
	}
	kept, inUse := s.kept, s.inUse
	g := v.seg
	sg := &s.segments[g]
	from := v.off
	base := int64(g) << s.segShift
	for records > 0 && v.off < sg.used {
		var batch [scanBatch]struct {
			loc  uint32
			hash uint64
		}
		n := 0
		var r record
		for n < min(records, scanBatch) && v.off < sg.used {
			loc := uint32((base + int64(v.off)) >> s.granule)
			r.read(s.at(loc))
			v.off += s.padded(r.size)
			records--
			if *r.ctrl()&ctrlDead != 0 {
				continue
			}
			h := uint64(0)
			if !r.piece() {
				h = s.hash(r.key())
				s.touched += s.index.first(h).loc[0] // fetch the line now, all of the batch at once
				if r.split() {                       // segments may become free with it: no more goes before that is known
					records = 0
				}
			}
			batch[n].loc, batch[n].hash = loc, h
			n++
		}
		for _, e := range batch[:n] {
			// What came before in the batch may have ended this one: a head its pieces.
			if r.read(s.at(e.loc)); *r.ctrl()&ctrlDead == 0 && !s.settle(e.hash, e.loc, &r, sg) {
				v.off = uint32(int64(e.loc)<<s.granule - base) // it stays, and the victim with it, until there is room
				return -1, 0
			}
		}
	}
	scanned = int(v.off - from)
	if v.off >= sg.used {
		v.seg = none
		s.release(g)
	}
	return scanned, max(scanned-int(s.kept-kept), (inUse-s.inUse)*int(s.segSize))
}

// chooseVictim decides which segment is emptied next. True: there is one, or a segment has become free without.
func (s *shard) chooseVictim() bool {
	for s.arriving > s.usable()/4 && s.dropStill() {
		// Rather than that somebody's items go.
	}
	if g := s.mostDead(); g != none && !s.hurry() {
		s.startScan(g, forDead)
		return true
	}
	if s.store.opts.DisableEviction {
		if g := s.dueSegment(false); g != none {
			s.startScan(g, forDead)
			return true
		}
		return false
	}
	qi, n := s.oldestOfSmall()
	if qi == none || s.queues[queueMain].sealed > 0 && float64(n) < s.target*float64(s.allowed) {
		qi = queueMain
	}
	if s.queues[qi].head == none {
		if qi = s.sealFullest(); qi == none {
			return false
		}
		if s.queues[qi].head == none {
			return true // nothing lived in what was sealed: it is free now
		}
	}
	g := s.oldestUnpinned(qi)
	for i := 0; g == none; i++ { // all of that queue are pinned
		if i == len(s.queues) {
			return false
		}
		g = s.oldestUnpinned(i)
	}
	s.evictedAge = s.now - s.segments[g].created
	s.startScan(g, forRoom)
	return true
}

// oldestUnpinned finds the oldest sealed segment of a queue that nobody reads from. One that is pinned would be emptied in vain:
// its room comes back with the last pin. And what is in it is in use.
func (s *shard) oldestUnpinned(qi int) int32 {
	g := s.queues[qi].head
	for g != none && s.segments[g].pins > 0 {
		g = s.segments[g].next
	}
	return g
}

// sealFullest seals an open segment, for there is no sealed one. It finds none when nothing is stored.
func (s *shard) sealFullest() (qi int) {
	qi, used := none, uint32(0)
	for i := range s.queues {
		if g := s.queues[i].open; g != none && s.segments[g].used > used {
			qi, used = i, s.segments[g].used
		}
	}
	if qi != none {
		s.seal(qi)
	}
	return qi
}

// oldestOfSmall finds the queue, small or a TTL log, with the oldest sealed segment, and how many they have together.
func (s *shard) oldestOfSmall() (qi, n int) {
	qi = none
	oldest := uint64(0)
	for i := range s.queues {
		q := &s.queues[i]
		if i == queueMain || q.sealed == 0 {
			continue
		}
		n += q.sealed
		if inc := s.segments[q.head].incarnation; qi == none || inc < oldest {
			qi, oldest = i, inc
		}
	}
	return qi, n
}

// mostDead finds the sealed segment with most dead bytes, if there are enough of them, here and in all.
func (s *shard) mostDead() int32 {
	percent := int64(cleanShard)
	least := int64(s.segSize) * cleanSegment / 100
	if s.store.opts.DisableEviction {
		percent, least = 1, int64(s.segSize)/64 // there is nothing else to win; for less than that too much would be copied
	}
	if dead := s.usedBytes - s.liveBytes; dead*100 <= int64(s.inUse)*int64(s.segSize)*percent {
		return none
	}
	best, most := int32(none), uint32(least)
	for g := range s.segments[:s.fresh] {
		if sg := &s.segments[g]; sg.state == stateSealed && sg.pins == 0 && sg.used-sg.live > most {
			best, most = int32(g), sg.used-sg.live
		}
	}
	return best
}

func (s *shard) startScan(g int32, why reason) {
	s.dequeue(g)
	s.segments[g].state = stateVictim
	s.victim = scan{seg: g, reason: why}
}

// settle decides what becomes of a live record in the victim. h is its key's hash, if it has a key. False: it can neither be
// moved nor lost.
func (s *shard) settle(h uint64, loc uint32, r *record, sg *segment) bool {
	if r.piece() || r.split() {
		if c := &s.chains[*r.chain()]; c.incoming != nil {
			// To main, or it would go round and round in small and nothing else ever have its turn.
			in, to := c.incoming, queueMain
			if s.victim.reason == forDead {
				to = int(sg.queue)
			}
			if !s.moveEither(r, loc, sg, to) {
				s.abandon(in, OutOfMemory)
			}
			return true
		}
	}
	var f found
	if r.piece() {
		s.itemOf(r, &f)
		h = s.hash(f.key())
	} else {
		f = found{record: *r, loc: loc, sg: sg}
	}
	if why := s.fate(&f.record, f.sg); why != alive {
		s.reclaim(&f.record, why)
		s.unlinkAt(h, &f)
		return true
	}
	to, keep := int(sg.queue), true
	if s.victim.reason == forRoom && int64(f.loc) != s.guard {
		freq := *f.ctrl() & ctrlFreq
		switch {
		case !r.piece():
			keep = freq > 0
		case sg.queue == queueMain && f.sg.queue != queueMain:
			// The head is still in small and its turn may be far: its pieces wear it out, or they would go round.
			if keep = freq > 0; keep {
				*f.ctrl()--
			}
		case sg.queue == queueMain: // a head that was kept has moved on before its pieces
			keep = freq > 0 || f.sg.incarnation > sg.incarnation
		default:
			keep = freq > 0 || f.sg.queue == queueMain
		}
		to, keep = queueMain, keep && !s.force
	}
	if keep && s.moveEither(r, loc, sg, to) {
		s.kept += uint64(r.size)
		return true
	}
	if s.store.opts.DisableEviction {
		return false
	}
	s.countEviction(&f)
	ghost := uint32(ghostSmall)
	if f.sg.queue == queueMain {
		ghost = ghostMain
	}
	e, _ := s.entryOf(h, f.loc)
	s.index.addGhost(h, e, ghost)
	s.killItem(&f.record, f.sg)
	s.items--
	s.moves++
	return true
}

// itemOf finds the head that a piece belongs to.
func (s *shard) itemOf(r *record, f *found) {
	f.loc = s.chains[*r.chain()].head
	f.read(s.at(f.loc))
	f.sg = s.segmentOf(f.loc)
}

// moveEither moves a record of the victim to a queue, be it an item, a head or a piece, known to the index or not yet.
// False: there is no room even for that.
func (s *shard) moveEither(r *record, loc uint32, sg *segment, qi int) bool {
	if r.piece() {
		if !s.movePiece(r, qi, s.deadlineOf(r)) {
			return false
		}
		s.kill(r, sg)
		return true
	}
	if s.tail(qi) < int(r.size)+headerMax && !s.mayTake() {
		return false
	}
	if r.split() && s.chains[*r.chain()].incoming != nil {
		nf := r.fields(sg.created)
		var n record
		s.moveHead(&n, r, loc, sg, qi, &nf)
		return true
	}
	f := found{record: *r, loc: loc, sg: sg}
	h := s.hash(r.key())
	e, ok := s.entryOf(h, loc)
	if !ok {
		panicf("no index entry for the record at %d, key %q", loc, r.key())
	}
	f.slot = e
	nf := f.fields(sg.created)
	if s.victim.reason == forRoom && nf.ctrl&ctrlFreq != 0 && int64(loc) != s.guard {
		if sg.queue == queueMain {
			nf.ctrl--
		} else {
			nf.ctrl &^= ctrlFreq
		}
	}
	access := sg.created + expiryInstant(accessSeconds(*r.access()))
	var to uint32
	var n record
	switch {
	case !r.split():
		to = s.write(&n, qi, &nf, r.key(), &f, true, r.value(), nil)
	// Not while cleaning: the pieces' old places would be dead space for the next round, and so on.
	case s.victim.reason == forRoom && r.total() <= gatherMax && r.total()+int(r.klen)+headerMax+pieceHeader <= int(s.segSize):
		s.scratch = s.appendValue(s.scratch[:0], r)
		nf.split, nf.vlen = false, r.total()
		to = s.write(&n, qi, &nf, r.key(), &f, true, s.scratch, nil)
		s.killPieces(*r.chain(), *r.next())
	default:
		if !s.headFits(r, qi) {
			s.next(qi) // before the unique, which is told by the place
		}
		nf.unique = s.keptUnique(&f, qi)
		to = s.moveHead(&n, r, loc, sg, qi, &nf)
		r = nil
	}
	*n.access() = 0
	if created := s.segmentOf(to).created; access > created {
		*n.access() = accessCode(uint32(access - created))
	}
	if r != nil {
		s.kill(r, sg)
	}
	s.index.setLoc(f.slot, to)
	if s.guard == int64(loc) {
		s.guard = int64(to)
	}
	s.moves++
	return true
}

// moveHead moves the head of a split item, or of one that is on its way in: as it is, where headFits, else in two, the second of
// which is a piece.
func (s *shard) moveHead(n *record, r *record, loc uint32, sg *segment, qi int, nf *fields) (to uint32) {
	if !s.headFits(r, qi) {
		s.next(qi)
	}
	rest := r.value()
	nf.vlen = min(nf.vlen, s.tail(qi)-headerMax-nf.klen)
	to = s.writeHeader(n, qi, nf, r.key())
	rest = rest[copy(n.value(), rest):]
	s.movedHead(n, loc, to)
	if len(rest) > 0 {
		s.next(qi)
		s.insertPiece(n, to, qi, rest, nf.deadline)
	}
	s.publish(n)
	s.kill(r, sg)
	s.moves++
	return to
}

// headFits tells whether the head of a chain may go into what is left of a queue's segment: all of it, or a good part.
func (s *shard) headFits(r *record, qi int) bool {
	room := s.tail(qi) - headerMax - int(r.klen)
	if room >= int(r.vlen) {
		return true
	}
	// What is still to come has its room reserved in the last record, and in that alone.
	whole := s.chains[*r.chain()].incoming == nil || *r.next() != noPiece
	return whole && room >= pieceMin && int(r.vlen)-room >= pieceMin
}

// deadlineOf is the deadline of the item that a piece belongs to.
func (s *shard) deadlineOf(r *record) expiryInstant {
	var f found
	s.itemOf(r, &f)
	return f.deadline(f.sg.created)
}

// takeGhost asks whether a new item's key was evicted not long ago, and lets the ghost steer the target of small.
func (s *shard) takeGhost(h uint64, n int) bool {
	x := &s.index
	tag, top := tags(h)
	b := x.first(h)
	for m := b.match(tag) & uint32(b.ghost); m != 0; m &= m - 1 {
		i := trailing(m)
		if (b.loc[i]^top)>>locBits != 0 {
			continue
		}
		small, main := float64(max(1, x.ghosts[ghostSmall])), float64(max(1, x.ghosts[ghostMain]))
		step := float64(n) / float64(s.segSize) / float64(max(1, s.allowed))
		if b.loc[i]&locMask == ghostSmall {
			s.target = min(s.target+step*max(1, main/small), targetMax)
		} else {
			s.target = max(s.target-step*max(1, small/main), targetMin)
		}
		x.dropGhost(slot{b, i})
		s.stats.GhostHits++
		return true
	}
	return false
}
