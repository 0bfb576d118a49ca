package storage

import (
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// A shard's arena is cut into segments of one size. A segment is filled by appending records, sealed when the next one
// does not fit, and emptied as a whole, record by record, when its turn comes (evict.go).
//
//	            ┌───────── taken by a queue ────────┐
//	free ──▶ open ──▶ sealed, in its queue ──▶ victim ──▶ free ──▶ condemned ──▶ gone     (pinned: before free, see pin.go)
//	 ▲                                                                             │
//	 └──────────────────────── when the limit allows more again ◀──────────────────┘
//
// Condemned segments wait for their pages to be given back to the system; gone ones have no pages.
type segmentState uint8

const (
	stateGone segmentState = iota
	stateFree
	stateOpen
	stateSealed
	stateVictim
	stateCondemned
	statePinned // nothing in it lives, but somebody is still reading
)

// The queues. A new item starts in small, or in one of the TTL logs (expire.go), and the most of a large one in whole;
// one that proved itself goes to main.
const (
	queueSmall = 0
	queueMain  = 1
	queueWhole = queueTTL + ttlLogs // segments that are one piece of a large value each (incoming.go)
	queues     = queueWhole + 1
)

const none = -1

// segment is what a shard knows of one segment.
type segment struct {
	incarnation uint64 // of its present contents: never the same twice in a store, and growing
	used        uint32 // bytes appended
	live        uint32 // bytes of records that are not dead
	next, prev  int32  // in its queue, or the next of the free list
	created     expiry.Instant
	due         expiry.Instant // when it is worth looking for expired items; Never: there will be none
	state       segmentState
	queue       uint8
	check       uint16 // with a file: sum
	pins        uint32 // how often somebody reads a value here without the lock
}

// queue is a list of sealed segments, oldest first, and the one that is being filled.
type queue struct {
	head, tail int32
	sealed     int
	open       int32
}

// list is a stack of segments without contents.
type list struct {
	head int32
	n    int
}

func (s *shard) push(l *list, g int32, state segmentState) {
	s.segments[g] = segment{next: l.head, prev: none, state: state}
	l.head = g
	l.n++
}

func (s *shard) pop(l *list) int32 {
	g := l.head
	l.head = s.segments[g].next
	l.n--
	return g
}

// enqueue puts a sealed segment at the young end of its queue.
func (s *shard) enqueue(g int32) {
	sg := &s.segments[g]
	q := &s.queues[sg.queue]
	sg.state, sg.next, sg.prev = stateSealed, none, q.tail
	if q.tail != none {
		s.segments[q.tail].next = g
	} else {
		q.head = g
	}
	q.tail = g
	q.sealed++
}

// dequeue takes a sealed segment out, from wherever it stands.
func (s *shard) dequeue(g int32) {
	sg := &s.segments[g]
	q := &s.queues[sg.queue]
	if sg.prev != none {
		s.segments[sg.prev].next = sg.next
	} else {
		q.head = sg.next
	}
	if sg.next != none {
		s.segments[sg.next].prev = sg.prev
	} else {
		q.tail = sg.prev
	}
	sg.next, sg.prev = none, none
	q.sealed--
}

// seal ends the filling of a queue's open segment. One in which nothing lives is free at once.
func (s *shard) seal(qi int) {
	q := &s.queues[qi]
	if q.open == none {
		return
	}
	g := q.open
	q.open = none
	if s.segments[g].live == 0 {
		s.release(g)
		return
	}
	s.enqueue(g)
}

// take makes a segment the open one of a queue. The caller knows that there is one to spare.
func (s *shard) take(qi int) int32 {
	var g int32
	switch {
	case s.free.n > 0:
		g = s.pop(&s.free)
	case s.condemned.n > 0: // the limit has risen again before its pages were given back
		g = s.pop(&s.condemned)
	case s.gone.n > 0 && s.line == nil: // in a file it would have to get blocks first: provide does that
		g = s.pop(&s.gone)
	default:
		g = int32(s.fresh)
		if s.fresh++; int64(s.fresh) > s.limit>>s.segShift { // the table takes more than was thought
			s.measure()
		}
		if s.line != nil {
			s.line.fresh.Store(uint32(s.fresh))
		}
	}
	s.inUse++
	s.leastSpare = min(s.leastSpare, s.spare())
	s.segments[g] = segment{
		incarnation: s.store.incarnations.Add(1), next: none, prev: none, created: s.now, state: stateOpen, queue: uint8(qi),
	}
	if s.line != nil {
		s.segments[g].check = s.segments[g].sum()
	}
	s.queues[qi].open = g
	return g
}

// release frees a segment that has been emptied.
func (s *shard) release(g int32) {
	if invariants.Enabled {
		if live := s.segments[g].live; live != 0 {
			panicf("segment %d is released with %d live bytes", g, live)
		}
	}
	if s.segments[g].pins > 0 {
		s.segments[g].state = statePinned
		s.deadPinned++
		return
	}
	s.usedBytes -= int64(s.segments[g].used)
	s.push(&s.free, g, stateFree)
	if invariants.Enabled { // not sooner: a kill in the midst of it would leave records that nobody has written
		clear(s.bytes(int64(g)*int64(s.segSize), int(s.segSize)))
	}
	s.inUse--
	s.condemn()
}

// condemn sets free segments aside that the limit does not cover any more, so that their pages can be given back.
func (s *shard) condemn() {
	for keep := s.most; s.free.n > 0 && s.inUse+s.free.n > keep; {
		s.push(&s.condemned, s.pop(&s.free), stateCondemned)
	}
}

// coming is where the next record of a queue goes.
func (s *shard) coming(qi int) uint32 {
	g := s.queues[qi].open
	return uint32((int64(g)<<s.segShift + int64(s.segments[g].used)) >> s.granule)
}

// append takes n bytes into the queue's open segment, which has room for them. They count as live from here on, and
// the header of a record is there already.
func (s *shard) append(qi int, n uint32) {
	sg := &s.segments[s.queues[qi].open]
	sg.used += n
	sg.live += n
	s.usedBytes += int64(n)
	s.liveBytes += int64(n)
}

// padded is what a record of n bytes takes: its checksum, and whole granules.
func (s *shard) padded(n uint32) uint32 {
	mask := uint32(1)<<s.granule - 1
	return (n + s.sumSize + mask) &^ mask
}

// at is where the record of a granule lies.
func (s *shard) at(loc uint32) unsafe.Pointer {
	return unsafe.Add(s.arena, int64(loc)<<s.granule)
}

func (s *shard) bytes(from int64, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(s.arena, from)), n)
}

// segmentAt is the number of the segment in which an address lies.
func (s *shard) segmentAt(p unsafe.Pointer) int32 {
	return int32((uintptr(p) - uintptr(s.arena)) >> s.segShift)
}

// segmentOf tells in which segment a granule lies.
func (s *shard) segmentOf(loc uint32) *segment { return &s.segments[s.segmentNumber(loc)] }

func (s *shard) segmentNumber(loc uint32) int32 { return int32(int64(loc) << s.granule >> s.segShift) }

// note keeps the segment's due date right when a record with this deadline is put there.
func (sg *segment) note(deadline expiry.Instant) {
	if deadline != expiry.Never {
		sg.noteDue(deadline)
	}
}

func (sg *segment) noteDue(at expiry.Instant) {
	if sg.due == expiry.Never || at < sg.due {
		sg.due = at
	}
}
