package storage

import (
	"math/bits"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// Stats is a snapshot of what a store holds and has done.
type Stats struct {
	CurrItems  uint64 // items in the index, the expired ones that nobody has noticed yet included
	TotalItems uint64 // how often an item was stored
	Bytes      uint64 // what CurrItems occupy, their share of the index included
	LimitBytes uint64

	Evictions        uint64 // live items lost
	EvictedUnfetched uint64 // of these, never read
	EvictedNonzero   uint64 // of these, with a deadline
	EvictedActive    uint64 // of these, used not long ago: nothing less used could go
	EvictedIndex     uint64 // of these, for room in the index
	EvictedIdle      Ages   // how long these had not been used
	Expired          uint64 // items whose deadline had passed when they went
	ExpiredUnfetched uint64 // expired, reclaimed, never read
	Reclaimed        uint64 // expired or flushed items whose room was taken back or that were overwritten
	Swept            uint64 // of these, found by Sweep
	GetExpired       uint64 // misses that found an expired item
	GetFlushed       uint64 // misses that found a flushed item

	// In seconds, the most of all shards. Items that were used move on to younger segments.
	EvictedAge uint64 // of the last segment chosen for eviction
	OldestAge  uint64 // of the oldest segment in use

	HeldBytes    uint64 // what the system has given us pages for: segments, free ones too, index and table
	SegmentBytes uint64 // segments in use
	IndexBytes   uint64
	TableBytes   uint64
	DeadBytes    uint64 // in segments in use: overwritten, deleted, moved away
	FreeBytes    uint64 // segments that could be taken at once
	Relocations  uint64 // items moved to their other bucket to make place
	GhostHits    uint64 // items stored again soon after their eviction
}

func (s *Stats) add(o *Stats) {
	s.CurrItems += o.CurrItems
	s.TotalItems += o.TotalItems
	s.Bytes += o.Bytes
	s.LimitBytes += o.LimitBytes
	s.Evictions += o.Evictions
	s.EvictedUnfetched += o.EvictedUnfetched
	s.EvictedNonzero += o.EvictedNonzero
	s.EvictedActive += o.EvictedActive
	s.EvictedIndex += o.EvictedIndex
	s.EvictedIdle.add(&o.EvictedIdle)
	s.Expired += o.Expired
	s.ExpiredUnfetched += o.ExpiredUnfetched
	s.Reclaimed += o.Reclaimed
	s.Swept += o.Swept
	s.GetExpired += o.GetExpired
	s.GetFlushed += o.GetFlushed
	s.EvictedAge = max(s.EvictedAge, o.EvictedAge)
	s.HeldBytes += o.HeldBytes
	s.OldestAge = max(s.OldestAge, o.OldestAge)
	s.SegmentBytes += o.SegmentBytes
	s.IndexBytes += o.IndexBytes
	s.TableBytes += o.TableBytes
	s.DeadBytes += o.DeadBytes
	s.FreeBytes += o.FreeBytes
	s.Relocations += o.Relocations
	s.GhostHits += o.GhostHits
}

// Ages counts seconds by powers of two: Counts[0] is of 0 and 1, Counts[i] of more than 2^(i-1) and at most 2^i. Sum is of
// the seconds themselves.
type Ages struct {
	Counts [33]uint64
	Sum    uint64
}

func (a *Ages) note(age expiry.Instant) {
	class := 0
	if age > 1 {
		class = bits.Len32(uint32(age - 1))
	}
	a.Counts[class]++
	a.Sum += uint64(age)
}

func (a *Ages) add(o *Ages) {
	for i := range a.Counts {
		a.Counts[i] += o.Counts[i]
	}
	a.Sum += o.Sum
}

// snapshot is the shard's counters and what can be counted now.
func (s *shard) snapshot() Stats {
	s.lock()
	defer s.unlockWhole()
	st := s.stats
	st.CurrItems = uint64(s.items)
	st.EvictedAge = uint64(s.evictedAge)
	st.OldestAge = uint64(s.oldestAge())
	st.LimitBytes = uint64(s.limit)
	st.IndexBytes = s.index.bytes()
	st.TableBytes = uint64(s.tableBytes())
	st.SegmentBytes = uint64(s.inUse) * uint64(s.segSize)
	st.FreeBytes = uint64(max(0, s.spare())) * uint64(s.segSize)
	st.HeldBytes = uint64(s.held())
	st.DeadBytes = uint64(s.usedBytes - s.liveBytes)
	st.Bytes = uint64(s.liveBytes)
	// An item's share of the index is its slot: 5⅓ bytes.
	st.Bytes += uint64(s.items) * bucketSize / slots
	return st
}

// held is what has been written to and not given back. While a shard fills for the first time, the ends of its segments have
// not.
func (s *shard) held() int64 {
	bytes := int64(s.inUse+s.free.n+s.condemned.n) << s.segShift
	if s.fresh == s.inUse {
		bytes = s.usedBytes
	}
	return bytes + int64(s.index.bytes()) + int64(s.fresh)*int64(unsafe.Sizeof(segment{}))
}

// oldestAge is the age of the oldest segment in use. A queue has its oldest at the head.
func (s *shard) oldestAge() (age expiry.Instant) {
	for i := range s.queues {
		q := &s.queues[i]
		for _, g := range []int32{q.head, q.open} {
			if g != none {
				age = max(age, s.now-s.segments[g].created)
			}
		}
	}
	return age
}

// Stats sums up the shards, one after the other.
func (st *Store) Stats() Stats {
	var sum Stats
	for i := range st.shards {
		one := st.shards[i].snapshot()
		sum.add(&one)
	}
	sum.LimitBytes = uint64(st.limit.Load())
	return sum
}

// Ended is about how many bytes belong to items that have expired or been flushed and whose room has not been taken back
// yet: all of a flushed segment and of one of a TTL log that is due, and of others what makes a visit worth it. What was flushed by
// prefix is left out: how much of a segment that is nobody knows before the walk has been there, and then it is dead. It looks at
// every segment: ask once a second, not for each request.
func (st *Store) Ended() (bytes uint64) {
	for i := range st.shards {
		bytes += st.shards[i].ended()
	}
	return bytes
}

func (s *shard) ended() (bytes uint64) {
	s.lock()
	defer s.unlockWhole()
	for g := range s.segments[:s.fresh] {
		sg := &s.segments[g]
		if !sg.due.Passed(s.now) || sg.state != stateOpen && sg.state != stateSealed {
			continue
		}
		waits := sg.live
		if sg.incarnation >= s.floor && (sg.queue < queueTTL || sg.queue == queueWhole) {
			waits = min(waits, s.segSize/dueShare)
		}
		bytes += uint64(waits)
	}
	return bytes
}

// ResetStats sets the counters to 0; what is held at present is not counted but looked up, and stays.
func (st *Store) ResetStats() {
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		s.stats = Stats{}
		s.unlock()
	}
}
