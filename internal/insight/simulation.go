package insight

// simulation is the store's way of eviction (storage/evict.go) for a sample of its keys, in a limit of its
// own: small takes what is new and has a target size, what was read since moves to main, and ghosts of
// both lead the target. It knows sizes and no bytes. bench/sim has the same policy for keys of one size,
// written independently; where all keys are in the sample both have the same hits.
type simulation struct {
	is       int     // which of the seats of an entry are its own
	factor   float64 // of the limit in force
	capacity int64   // bytes
	length   int64   // of a segment
	limit    int64   // bytes, whole segments
	unit     int64   // bytes of a tick of the ghosts' clocks

	segments [segmentsMost]simSegment
	sealed   [2]fifo
	open     [2]int // none
	spare    []uint8
	used     int64 // bytes of all segments; of open ones, all of their length
	dead     int64 // of sealed and open ones
	target   float64
	evicted  [2]int64 // bytes, in all: what the clocks are made of

	hits float64
}

// simSegment is a segment: a list of entries in the order in which they came.
type simSegment struct {
	head, tail uint16 // noEntry
	queue      uint8
	used, live int64
}

const (
	// segmentCount is how many a simulation has: as few as a shard of a small store, and bench/sim.
	segmentCount = 64
	// segmentsMost is how many there may be, when they are less than full.
	segmentsMost = 240

	simSmall, simMain = 0, 1
	none              = -1

	// storage/evict.go has the reasons of these.
	targetStart  = 0.10
	targetMin    = 0.02
	targetMax    = 0.90
	cleanAll     = 8
	cleanSegment = 15

	readsMost = 3
	// ghostPart is how many bytes of evicted items are remembered of each queue: one of so many of the
	// capacity.
	ghostPart = 2
)

// seat is where an entry is in one simulation.
type seat struct {
	next, prev uint16 // in the segment's list; of a ghost, the two halves of when it was evicted
	at         uint8  // the segment, or one of these:
	reads      uint8
}

const (
	nowhere    = 255
	ghostSmall = 254 // less its queue: ghostSmall - simMain is of main
	ghostMain  = 253
)

func (s *seat) resident() bool { return s.at < segmentsMost }
func (s *seat) ghost() bool    { return s.at == ghostSmall || s.at == ghostMain }
func (s *seat) stamp() uint32  { return uint32(s.next)<<16 | uint32(s.prev) }

func (s *seat) setStamp(t uint32) { s.next, s.prev = uint16(t>>16), uint16(t) }

// fifo has the numbers of segments, the oldest first.
type fifo struct {
	ring    [256]uint8
	head, n int
}

func (f *fifo) push(g int)   { f.ring[(f.head+f.n)%len(f.ring)] = uint8(g); f.n++ }
func (f *fifo) at(i int) int { return int(f.ring[(f.head+i)%len(f.ring)]) }
func (f *fifo) drop(i int) (g int) {
	g = f.at(i)
	for ; i > 0; i-- {
		f.ring[(f.head+i)%len(f.ring)] = f.ring[(f.head+i-1)%len(f.ring)]
	}
	f.head, f.n = (f.head+1)%len(f.ring), f.n-1
	return g
}

func (s *simulation) init(is int, factor float64) {
	*s = simulation{is: is, factor: factor, open: [2]int{none, none}, spare: make([]uint8, 0, segmentsMost)}
	for g := segmentsMost - 1; g >= 0; g-- {
		s.spare = append(s.spare, uint8(g))
	}
}

// resize changes the capacity. The sample has become by times as large.
func (s *simulation) resize(t *table, capacity int64, by float64) {
	const least = 16
	capacity = max(capacity, least)
	before, unit := s.limit/max(s.length, 1), s.unit
	for _, g := range s.open {
		if g != none {
			s.used -= s.taken(g)
		}
	}
	s.capacity = capacity
	s.length = max(1, (capacity+segmentCount/2)/segmentCount)
	n := max(4, capacity/s.length)
	s.limit = n * s.length
	s.unit = max(1, capacity>>16)
	for _, g := range s.open {
		if g != none {
			s.used += s.taken(g)
		}
	}
	if before == 0 {
		s.target = targetStart * float64(n)
		return
	}
	s.target *= float64(n) / float64(before)
	if by == 1 && unit == s.unit {
		return
	}
	for i := range t.entries {
		if st := &t.entries[i].seats[s.is]; t.entries[i].used && st.ghost() {
			q := ghostSmall - int(st.at)
			ago := float64(uint32(s.evicted[q]/unit)-st.stamp()) * float64(unit) * by
			st.setStamp(s.clock(q) - uint32(ago/float64(s.unit)))
		}
	}
}

// taken is what an open segment takes.
func (s *simulation) taken(g int) int64 { return max(s.length, s.segments[g].used) }

// clock tells how much has been evicted from a queue.
func (s *simulation) clock(q int) uint32 { return uint32(s.evicted[q] / s.unit) }

// remembered tells whether a ghost has not been forgotten yet.
func (s *simulation) remembered(st *seat) bool {
	return st.ghost() && int64(s.clock(ghostSmall-int(st.at))-st.stamp())*s.unit < s.capacity/ghostPart
}

// read is a hit.
func (s *simulation) read(st *seat) { st.reads = min(st.reads+1, readsMost) }

// store takes an entry in that has no place.
func (s *simulation) store(t *table, i uint16) {
	e := &t.entries[i]
	st := &e.seats[s.is]
	size := int64(e.size)
	if size > s.limit/4 {
		st.at = nowhere
		return
	}
	to := simSmall
	if s.remembered(st) {
		to = simMain
		step := float64(size) / float64(s.length)
		n := float64(s.limit / s.length)
		if st.at == ghostSmall {
			s.target = min(s.target+step, targetMax*n)
		} else {
			s.target = max(s.target-step, max(1, targetMin*n))
		}
	}
	st.at, st.reads = nowhere, 0
	s.append(t, i, to, false)
}

// append puts an entry at the young end of a queue. The one spare segment is for those that survive.
func (s *simulation) append(t *table, i uint16, q int, survives bool) {
	for s.open[q] == none || s.segments[s.open[q]].used >= s.length {
		s.seal(q)
		for !survives && (s.used+2*s.length > s.limit || len(s.spare) < 4) && s.evict(t) {
		}
		if s.open[q] == none { // a survivor may have opened one meanwhile
			s.take(q)
		}
		if survives {
			break
		}
	}
	e := &t.entries[i]
	st, g := &e.seats[s.is], s.open[q]
	sg := &s.segments[g]
	s.used -= s.taken(g)
	sg.used += int64(e.size)
	sg.live += int64(e.size)
	s.used += s.taken(g)
	st.at, st.next, st.prev = uint8(g), noEntry, sg.tail
	if sg.tail == noEntry {
		sg.head = i
	} else {
		t.entries[sg.tail].seats[s.is].next = i
	}
	sg.tail = i
}

func (s *simulation) take(q int) {
	g := int(s.spare[len(s.spare)-1])
	s.spare = s.spare[:len(s.spare)-1]
	s.segments[g] = simSegment{head: noEntry, tail: noEntry, queue: uint8(q)}
	s.open[q] = g
	s.used += s.length
}

func (s *simulation) seal(q int) {
	g := s.open[q]
	if g == none {
		return
	}
	s.open[q] = none
	s.used += s.segments[g].used - s.taken(g)
	s.sealed[q].push(g)
}

// remove takes an entry out: its bytes are dead.
func (s *simulation) remove(t *table, i uint16) {
	e := &t.entries[i]
	st := &e.seats[s.is]
	sg := &s.segments[st.at]
	if st.prev == noEntry {
		sg.head = st.next
	} else {
		t.entries[st.prev].seats[s.is].next = st.next
	}
	if st.next == noEntry {
		sg.tail = st.prev
	} else {
		t.entries[st.next].seats[s.is].prev = st.prev
	}
	sg.live -= int64(e.size)
	s.dead += int64(e.size)
	st.at = nowhere
}

// evict empties a segment: one with much dead space, else the oldest of small or of main. False: there is
// none.
func (s *simulation) evict(t *table) bool {
	if g, ok := s.mostDead(); ok {
		s.empty(t, g, func(*seat) int { return int(s.segments[g].queue) })
		return true
	}
	q := simMain
	if n := s.sealed[simSmall].n; n > 0 && (float64(n) >= s.target || s.sealed[simMain].n == 0) {
		q = simSmall
	}
	if s.sealed[q].n == 0 {
		return false
	}
	g := s.sealed[q].drop(0)
	s.empty(t, g, func(st *seat) int {
		switch {
		case st.reads == 0:
			return none
		case q == simSmall:
			st.reads = 0
		default:
			st.reads--
		}
		return simMain
	})
	return true
}

// mostDead finds the sealed segment with most dead bytes, if there are enough of them, here and in all, and
// takes it from its queue.
func (s *simulation) mostDead() (int, bool) {
	if s.dead*100 <= s.limit*cleanAll {
		return none, false
	}
	queue, place, most := 0, none, s.length*cleanSegment/100
	for q := range s.sealed {
		for i := range s.sealed[q].n {
			if sg := &s.segments[s.sealed[q].at(i)]; sg.used-sg.live > most {
				queue, place, most = q, i, sg.used-sg.live
			}
		}
	}
	if place == none {
		return none, false
	}
	return s.sealed[queue].drop(place), true
}

// empty moves what lives in a segment to the queue that to says, or evicts it.
func (s *simulation) empty(t *table, g int, to func(*seat) int) {
	sg := &s.segments[g]
	queue := int(sg.queue)
	for i := sg.head; i != noEntry; {
		e := &t.entries[i]
		st := &e.seats[s.is]
		next := st.next
		switch q := to(st); {
		case e.ends.Passed(t.now):
			st.at = nowhere
		case q == none:
			s.evicted[queue] += int64(e.size)
			st.at = uint8(ghostSmall - queue)
			st.setStamp(s.clock(queue))
		default:
			s.append(t, i, q, true)
		}
		i = next
	}
	s.used -= sg.used
	s.dead -= sg.used - sg.live
	s.spare = append(s.spare, uint8(g))
}

// leave takes an entry out that is not in the sample any more: that makes no dead space.
func (s *simulation) leave(t *table, i uint16) {
	size := int64(t.entries[i].size)
	sg := &s.segments[t.entries[i].seats[s.is].at]
	s.remove(t, i)
	sg.used -= size
	s.dead -= size
}

// shrink is called when the sample has become so much smaller: so has the dead space.
func (s *simulation) shrink(by float64) {
	s.used, s.dead = 0, 0
	each := func(g int) {
		sg := &s.segments[g]
		dead := int64(by * float64(sg.used-sg.live))
		sg.used = sg.live + dead
		s.used += sg.used
		s.dead += dead
	}
	for q := range s.sealed {
		for i := range s.sealed[q].n {
			each(s.sealed[q].at(i))
		}
		if g := s.open[q]; g != none {
			each(g)
			s.used += s.taken(g) - s.segments[g].used
		}
	}
}
