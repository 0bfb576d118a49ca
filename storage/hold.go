package storage

import (
	"cmp"
	"slices"

	"github.com/gomemd/gomemd/expiry"
)

// Some memory of a shard cannot be had back by evicting: segments that somebody reads from without
// the lock (pin.go), and values of which only a part has come (incoming.go). Both last as long as a
// client takes or sends, so both are bounded together:
//
//	0                    1/4                            3/4                   all
//	├─────────────────────┼──────────────────────────────┼─────────────────────┤
//	│ anybody             │ who stands still loses his   │ only the first      │
//	│                     │ pins (PinsCrowd), and of     │ reply, the first    │
//	│                     │ what he sends, when room is  │ value: MayPin,      │
//	│                     │ needed                       │ Fill say Later      │
//
// A quarter of each shard always turns over, so that sets find room. The first reply and the value
// that began to come first are exempt, or a value larger than the bound would never arrive; these
// two end, and then the next are the first.
//
// Who is told Later is called when something has been let go, and once a second by Sweep.
const (
	// stillAfter is how many seconds without stillLeast more bytes a value on its way in may take
	// when somebody needs its room: 4 KiB a second are less than any network that people use. The
	// clock knows whole seconds: it may be one less.
	stillAfter expiry.Instant = 5
	stillLeast                = 16 << 10
	// callsAtOnce is how many of those who wait are called when something is let go. All of them
	// would find room for one.
	callsAtOnce = 4
	// callsASecond is how many Sweep calls: about 1 µs each, under the lock.
	callsASecond = 32
)

// holds is what a shard knows of memory that is held.
type holds struct {
	pinned     int         // segments with pins …
	deadPinned int         // … and of these, in which nothing lives any more
	arriving   int64       // bytes of records of values on their way in
	arrivals   []*Incoming // those that have begun, the first first
	waiting    []waiter    // who was told Later, the first to come first
	places     uint64      // that have been given to them
	calledAt   expiry.Instant
	refused    bool // MayPin has said no to the visitor
	scarce     bool // one large value more might be too much
	crowded    bool // pins take more than a quarter
}

// waiter is somebody who was told Later. Who has to wait again keeps his place.
type waiter struct {
	place uint64
	later func()
}

// usable is what items may have of the limit.
func (s *shard) usable() int64 { return s.prospect() - int64(s.index.bytes()) }

// unevictable is how much cannot be evicted.
func (s *shard) unevictable() int64 { return int64(s.pinned)*int64(s.segSize) + s.arriving }

func (s *shard) unevictableMost() int64 { return s.usable() / 4 * 3 }

// noteHolds is called when what is held has changed, and when the limit has.
func (s *shard) noteHolds() {
	s.scarce = s.unevictable()+int64(s.store.opts.ItemMax)+2*int64(s.segSize) > s.unevictableMost()
	if crowded := int64(s.pinned)*int64(s.segSize) > s.usable()/4; crowded != s.crowded {
		s.crowded = crowded
		if crowded {
			s.store.crowded.Add(1)
		} else {
			s.store.crowded.Add(-1)
		}
	}
}

// call calls some of those who wait, and the value that began to come first if it does: nobody else
// need find room. They must not call the store from there. Half are those who came first, and half
// who came last: behind a crowd that takes all room there is and then stands still, each would
// else wait for as many times stillAfter as that takes.
func (s *shard) call(n int) {
	if len(s.arrivals) > 0 && s.arrivals[0].waits && s.arrivals[0].later != nil {
		s.arrivals[0].later()
	}
	n = min(n, len(s.waiting))
	for i := range n {
		at := 0
		if i%2 == 1 {
			at = len(s.waiting) - 1
		}
		s.waiting[at].later()
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	if len(s.waiting) == 0 {
		s.waiting = nil
	}
}

// wait has somebody called, and tells his place: 0 asks for the last.
func (s *shard) wait(place uint64, later func()) uint64 {
	if later == nil {
		return place
	}
	if place == 0 {
		s.places++
		place = s.places
	}
	i, _ := slices.BinarySearchFunc(s.waiting, place, func(w waiter, place uint64) int { return cmp.Compare(w.place, place) })
	s.waiting = slices.Insert(s.waiting, i, waiter{place, later})
	return place
}

// Scarce tells a visitor whether memory that may be pinned is, so that he should rather copy a
// value.
func (it *Item) Scarce() bool { return it.shard.scarce }

// MayPin tells a visitor whether he may Pin the value. If not, the visit is no use of the item and changes nothing, and later is called when it is worth
// asking again: at any time and from any goroutine, where it must not call the store or wait.
func (it *Item) MayPin(later func()) bool {
	s := it.shard
	if !s.scarce || s.pinned == 0 {
		return true
	}
	if more := s.unpinned(&it.record); more == 0 || s.unevictable()+more*int64(s.segSize) <= s.unevictableMost() {
		return true
	}
	s.wait(0, later)
	s.refused = true
	return false
}

// unpinned is in how many segments without pins an item lies, at most.
func (s *shard) unpinned(r *record) (n int64) {
	if !r.split() {
		if s.segmentOfRecord(r).pins == 0 {
			return 1
		}
		return 0
	}
	piece, last, seen := *r, int32(none), 0
	for {
		if g := s.segmentAt(piece.p); g != last {
			last = g
			if s.segments[g].pins == 0 {
				n++
			}
		}
		next := *piece.next()
		if next == noPiece {
			return n
		}
		if seen += int(piece.vlen); seen > 16<<20 { // to look at all of it would take too long under the lock
			return n + int64(r.total()-seen)/int64(s.segSize) + 1
		}
		piece.read(s.at(next))
	}
}

func (s *shard) segmentOfRecord(r *record) *segment { return &s.segments[s.segmentAt(r.p)] }

// PinsCrowd tells whether pins take so much of a shard, or keep somebody waiting, that who reads
// nothing should lose his.
func (st *Store) PinsCrowd() bool { return st.crowded.Load() != 0 }

// arrive counts room for a value on its way in.
func (s *shard) arrive(in *Incoming, n int) {
	in.room += n
	s.arriving += int64(n)
	s.noteHolds()
}

// mayArrive tells whether a value on its way in may take n bytes more.
func (s *shard) mayArrive(in *Incoming, n int) bool {
	return s.unevictable()+int64(n) <= s.unevictableMost() || len(s.arrivals) == 0 || s.arrivals[0] == in
}

// mayWait tells whether room may come that cannot be made now: pins and other values on their way
// will end.
func (s *shard) mayWait(in *Incoming) bool {
	if len(s.arrivals) > 0 && s.arrivals[0] != in || s.deadPinned > 0 {
		return true
	}
	return s.pinned > 0 && !s.store.opts.DisableEviction
}

// dropStill ends a value on its way in whose client has stood still while somebody needs the room.
// Its client is told when it goes on.
func (s *shard) dropStill() bool {
	for _, in := range s.arrivals {
		if !in.waits && in.movedAt+stillAfter <= s.now {
			s.abandon(in, OutOfMemory)
			return true
		}
	}
	return false
}
