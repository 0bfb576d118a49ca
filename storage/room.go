package storage

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// The memory limit is one number, and no path passes it. A shard begins with a small part of it; the rest
// is the store's pool, from which shards draw as they fill. So a shard that gets more than its share
// evicts nothing while others have room.
//
//	limit of the store   = limits of all shards + pool
//	limit of a shard    >= index + segment table + segments in use
//
// When the pool is empty, a shard below its fair share draws on: those above theirs evict and give. After
// the store's limit has been lowered the pool is negative, and they do so until it is not. A shard's limit
// only ever falls by what lies unused in it, so the second line holds at every moment.
//
//	     what a shard's limit covers, in segments
//	├──────────────────────────────────────┬─────────┬───────────┤
//	│ in use                               │ reserve │ overdraft │
//	└──────────────────────────────────────┴─────────┴───────────┘
//	  new items take from here               survivors of a victim may have these, too
const (
	// reserve is how many segments a new item may not take, so that a victim's survivors have somewhere to go.
	reserve = 1
	// overdraft is how many segments only the survivors of a victim may take: more than one segment's worth they are not,
	// and the victim is free afterwards.
	overdraft = 1

	// drawStep is how many segments a shard draws at once: fewer than it keeps free while it evicts.
	drawStep = 2
	// surplusKept is how many unused segments a shard keeps. What is more than twice that goes back to the pool …
	surplusKept = 8
	// … when it has not been used for as many seconds: a shard whose large values are written over uses a value's worth of
	// segments for a moment, again and again. While the pool is less than 1/surplusPool of the limit it goes back at once.
	surplusAfter expiry.Instant = 10
	surplusPool                 = 16
	// openStep is how many segments a shard has opened by the system at once, up to its fair share: 1 MiB, as a rule.
	openStep = 16
	// floorSegments is the least that a shard's limit covers: it can work with that. With leastSegments it has room for a small
	// index and its table beside them.
	floorSegments = segmentsMin + reserve + overdraft
	leastSegments = floorSegments + 2
)

// firstLimit is what a shard begins with.
func (st *Store) firstLimit(segSize int64, index int64) int64 {
	share := st.share.Load()
	return min(share, max(share/16, floorSegments*segSize+index))
}

// prospect is what a shard may hope for: its limit, or what the pool would make of it up to its share.
func (s *shard) prospect() int64 {
	return max(s.limit, min(s.store.share.Load(), s.limit+s.store.pool.Load()))
}

// covered is how many segments the limit covers beside so many bytes of index.
func (s *shard) covered(index uint64) int {
	return max(0, int((s.limit-int64(index)-s.tableBytes())>>s.segShift))
}

// bounds are how many segments a shard may use. Every Put asks, so it is kept; measure is called when something has changed that it
// depends on.
type bounds struct {
	most    int // may be in use, be it for survivors
	allowed int // should be in use at most for items: fewer than may be while the index wants room to grow
}

func (s *shard) measured() bounds {
	return bounds{
		most:    min(s.covered(s.index.bytes()), s.backed),
		allowed: min(s.covered(max(s.index.bytes(), pageRound(s.index.wanted))), s.backed) - overdraft,
	}
}

func (s *shard) measure() { s.bounds = s.measured() }

// left is how many more segments may be taken for new items, reserve included.
func (s *shard) left() int { return s.most - overdraft - s.inUse }

// spare is how many segments are free to be taken. It is negative while the index wants room to grow.
func (s *shard) spare() int { return s.allowed - s.inUse }

// mayTake tells whether survivors may have another segment.
func (s *shard) mayTake() bool { return s.inUse < s.most }

func (s *shard) tableBytes() int64 {
	return int64(unsafe.Sizeof(segment{})) * max(int64(s.fresh), s.limit>>s.segShift)
}

// more gets the shard room for further segments, a few at a time. False: there is none to be had.
func (s *shard) more() bool {
	before := s.covered(s.index.bytes())
	if before <= s.backed && !s.draw() {
		return false
	}
	before = min(before, s.backed)
	if s.covered(s.index.bytes()) > s.backed {
		s.open()
	}
	return s.most > before
}

// draw raises the shard's limit by what the pool has.
func (s *shard) draw() bool {
	st := s.store
	short := s.limit+int64(s.segSize) <= st.share.Load()
	step := min(drawStep, int64(len(s.segments))-s.limit>>s.segShift) << s.segShift
	for step > 0 {
		pool := st.pool.Load()
		free := pool
		if !short {
			free -= s.promised()
		}
		step = min(step, free>>s.segShift<<s.segShift)
		if step > 0 && st.pool.CompareAndSwap(pool, pool-step) {
			s.setLimit(s.limit + step)
			s.setShort(false)
			return true
		}
	}
	s.setShort(short)
	return false
}

// promised is how much of the pool is left to shards below their share: what they draw next. One of them may be asked
// for nothing for a long time, so it is no more than that.
func (s *shard) promised() int64 { return int64(s.store.short.Load()) * drawStep << s.segShift }

// setShort lets shards above their share know whether this one needs what it lacks of its own.
func (s *shard) setShort(short bool) {
	if short == s.short {
		return
	}
	s.short = short
	if short {
		s.store.short.Add(1)
	} else {
		s.store.short.Add(-1)
	}
}

// owes tells whether the shard has to give something back: it has more than its share, and others less, or all too much.
func (s *shard) owes() bool {
	st := s.store
	share := st.share.Load()
	return s.limit > max(share, s.floorBytes()) && (st.pool.Load() < 0 || s.limit >= share+int64(s.segSize) && st.pool.Load() < s.promised())
}

// floorBytes is what the shard's limit does not fall below: its segments, a small index, and the
// table of all that were ever used.
func (s *shard) floorBytes() int64 {
	const entry = int64(unsafe.Sizeof(segment{}))
	return (floorSegments+1)<<s.segShift + int64(pageRound(s.index.min)) + entry*int64(s.fresh)
}

// nearlyFull tells whether shards will soon find the pool empty.
func (st *Store) nearlyFull() bool { return st.pool.Load() < st.limit.Load()/surplusPool }

// give returns an unused segment to the pool. False: every one is in use.
func (s *shard) give() bool {
	if s.left() <= reserve || s.most <= floorSegments {
		return false
	}
	s.setLimit(s.limit - int64(s.segSize))
	s.store.pool.Add(int64(s.segSize))
	return true
}

// giveSurplus returns what the shard has not used for want of items.
func (s *shard) giveSurplus() {
	if s.spare() > surplusKept {
		s.setShort(false)
	}
	unused := s.spare()
	if !s.store.nearlyFull() { // nobody waits for it
		if s.now-s.sparedAt < surplusAfter {
			return
		}
		unused = min(unused, s.leastSpare)
	}
	if unused > 2*surplusKept {
		for ; unused > surplusKept && s.give(); unused-- {
		}
	}
	s.leastSpare, s.sparedAt = s.spare(), s.now
}

// setLimit changes what the shard itself may use. It covers what is in use.
func (s *shard) setLimit(limit int64) {
	s.limit = limit
	s.fit()
}

// fit is called when the limit, the share or the index has changed.
func (s *shard) fit() {
	s.measure()
	s.index.max = max(s.index.min, min(uint64(s.prospect())/2/bucketSize, s.index.reach))
	s.condemn()
	s.noteHolds()
}

// open has further segments made usable by the system, as many as the limit covers and some in advance. With a memory
// file, provide will do it, without the lock. Where the system refuses, it is asked again in a second.
func (s *shard) open() {
	if s.deniedAt == s.now {
		return
	}
	if s.line != nil {
		s.hungry = true
		return
	}
	want := s.covered(s.index.bytes())
	ahead := min(s.backed+openStep, int(s.store.share.Load()>>s.segShift))
	if !s.openTo(min(max(want, ahead), len(s.segments))) && !s.openTo(s.backed+1) {
		s.deniedAt = s.now
		s.store.withheld.Store(int32(unix.ENOMEM))
	}
}

// Withheld tells why the system has given no more memory since it was last asked, or nil.
func (st *Store) Withheld() error {
	if errno := st.withheld.Swap(0); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// openTo makes the first segments usable, and their entries in the table.
func (s *shard) openTo(to int) bool {
	const entry = int64(unsafe.Sizeof(segment{}))
	from := s.backed
	table := unsafe.Pointer(unsafe.SliceData(s.segments))
	if !s.store.access(table, int64(from)*entry, int64(to)*entry) {
		return false
	}
	if !s.store.access(s.arena, int64(from)<<s.segShift, int64(to)<<s.segShift) {
		return false
	}
	s.backed = to
	s.measure()
	return true
}

// checkLimit panics where the limit is passed.
func (s *shard) checkLimit() {
	if !invariants.Enabled {
		return
	}
	if now := s.measured(); now != s.bounds {
		panicf("the shard has room for %v, and believes in %v", now, s.bounds)
	}
	if n := s.bytesInUse(); n > s.limit {
		panicf("%d bytes are in use, the limit is %d: %d segments of %d, %d free, index %d", n, s.limit, s.inUse, s.segSize, s.free.n, s.index.bytes())
	}
}

// bytesInUse is what the limit counts.
func (s *shard) bytesInUse() int64 {
	return int64(s.inUse)<<s.segShift + int64(s.index.bytes()) + s.tableBytes()
}
