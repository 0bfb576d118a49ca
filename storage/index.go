package storage

import (
	"math/bits"
	"unsafe"
)

// The index finds items by hash. It is an array of buckets of one cache line:
//
//	0          12        13      14       16                                          64
//	+----------+---------+-------+--------+-------------------------------------------+
//	| tag × 12 | over[0] | [1]   | ghost  | loc × 12                                  |
//	|  1 each  |    1    |  1    |   2    |  4 each: 4 more bits of tag, 28 of granule |
//	+----------+---------+-------+--------+-------------------------------------------+
//
//	tag    8 bits of the hash, 0 for an empty slot
//	over   how many items have this bucket as their first choice and live in their second: with 0, a lookup that finds
//	       nothing here is over. Two of them, one for the present size and one for the next
//	ghost  bit i: slot i remembers an evicted item; its loc then tells which queue lost it
//
// An item may live in either of two buckets. That fills 92 of 100 slots before an insert fails that moves one item out
// of the way, at 1.1 lines a hit and 1.4 a miss.
//
// The number of buckets is not a power of two: bucket = high word of hash × n. That is monotone in the hash and in n, so
// the index can change its size in place, a few buckets at a time, with a line that tells where it has got to:
//
//	growing, from the top down:   0 … line-1 by the old n │ line … by the new n    an item never moves down
//	shrinking, from the bottom:   0 … line-1 by the new n │ line … by the old n    an item never moves up
//
// Either way an item that is moved lands in the part that is in the new order already, so each bucket belongs to one of
// the two orders at any moment and a lookup needs to know only the line.
const (
	slots      = 12
	bucketSize = 64
	locBits    = 28
	locMask    = 1<<locBits - 1
	overFull   = 255 // over has been this high: it is not known any more, look always

	stashMax = 32

	ghostSmall = 1 // loc of a ghost: evicted from small
	ghostMain  = 2
)

type bucket struct {
	tag   [slots]uint8
	over  [2]uint8
	ghost uint16
	loc   [slots]uint32
}

// index is a shard's. The stash takes the few items that find both their buckets full: as a rule there are none. When
// it is full, an item is evicted instead.
type index struct {
	base    unsafe.Pointer
	n       uint64 // buckets
	next    uint64 // buckets after the change of size that is under way, else 0
	line    uint64 // where that has got to
	order   uint8  // which of bucket.over is the present one
	stashed int
	max     uint64 // buckets that it may have
	reach   uint64 // buckets that there is address space for
	opened  uint64 // bytes of it that the system lets us use
	touched uint64 // buckets that may have pages
	min     uint64 // buckets it never has less of
	wanted  uint64 // buckets to grow to as soon as there is room
	ghosts  [3]int // by kind
	stash   [stashMax]stashed
}

type stashed struct {
	hash uint64
	loc  uint32
}

// slot is the place of an entry; the bucket is nil for the stash. It ends when the index is changed.
type slot struct {
	b *bucket
	i int
}

// bytes the index occupies: the room it is growing into, and pages it has left and not given back yet, included.
func (x *index) bytes() uint64 { return pageRound(max(x.n, x.next, x.touched)) }

// pageRound is how many bytes so many buckets take, in whole pages.
func pageRound(buckets uint64) uint64 {
	return (buckets + pageBuckets - 1) / pageBuckets * pageBuckets * bucketSize
}

func (x *index) growing() bool { return x.next > x.n }

func (x *index) bucket(i uint64) *bucket { return (*bucket)(unsafe.Add(x.base, i*bucketSize)) }

// place tells where a hash's bucket is at this moment and whether the new order holds there.
func (x *index) place(h uint64) (i uint64, swept bool) {
	i, _ = bits.Mul64(h, x.n)
	if x.next != 0 && (i >= x.line) == x.growing() {
		i, _ = bits.Mul64(h, x.next)
		return i, true
	}
	return i, false
}

func (x *index) first(h uint64) *bucket {
	i, _ := x.place(h)
	return x.bucket(i)
}

func (x *index) second(h uint64) *bucket { return x.first(rehash(h)) }

// rehash makes the hash of the second choice.
func rehash(h uint64) uint64 { return bits.RotateLeft64(h, 32) * 0x9e3779b97f4a7c15 }

// tags splits off the bits of the hash that an entry keeps: 8 in its tag, 4 at the top of its loc.
func tags(h uint64) (uint8, uint32) {
	return max(uint8(h), 1), uint32(h>>8) << locBits
}

// match gives a bit for each slot with this tag.
func (b *bucket) match(tag uint8) uint32 {
	lo := *(*uint64)(unsafe.Pointer(&b.tag[0])) ^ uint64(tag)*0x0101010101010101
	hi := uint64(*(*uint32)(unsafe.Pointer(&b.tag[8]))) ^ uint64(tag)*0x01010101 | 0xffffffff<<32
	return zeros(lo) | zeros(hi)<<8
}

// zeros gives a bit for each byte that is 0.
func zeros(x uint64) uint32 {
	const low7 = 0x7f7f7f7f7f7f7f7f
	z := ^((x&low7 + low7) | x | low7) // 0x80 for each zero byte, exactly
	return uint32(z >> 7 * 0x0102040810204080 >> 56)
}

// mayContinue tells whether an item of first choice b may live in its second.
func (x *index) mayContinue(b *bucket) bool { return x.next != 0 || b.over[x.order] != 0 }

// countOver notes that an item with hash h came to (by 1) or left (by -1) its second choice. During a change of size
// only the next order's counts are kept: those of items in buckets that are swept already. The others are counted when
// their bucket is swept, and nobody reads either count until the end.
func (x *index) countOver(h uint64, by int) {
	i, order := uint64(0), x.order
	if x.next == 0 {
		i, _ = bits.Mul64(h, x.n)
	} else {
		second, swept := x.place(rehash(h))
		i, _ = bits.Mul64(h, x.next)
		if !swept || i == second { // when both choices are to be one bucket, there is no second
			return
		}
		order ^= 1
	}
	if c := &x.bucket(i).over[order]; *c != overFull {
		*c += uint8(by)
	}
}

// set makes slot i of a bucket an entry.
func (b *bucket) set(i int, tag uint8, loc uint32) { b.tag[i], b.loc[i] = tag, loc }

// clear empties slot i, which holds no ghost.
func (b *bucket) clear(i int) { b.tag[i], b.loc[i] = 0, 0 }

// loc and setLoc reach the granule of an entry and leave its tag bits alone.
func (x *index) loc(e slot) uint32 {
	if e.b == nil {
		return x.stash[e.i].loc
	}
	return e.b.loc[e.i] & locMask
}

func (x *index) setLoc(e slot, loc uint32) {
	if e.b == nil {
		x.stash[e.i].loc = loc
		return
	}
	e.b.loc[e.i] = e.b.loc[e.i]&^locMask | loc
}

// dropGhost forgets one.
func (x *index) dropGhost(e slot) {
	x.ghosts[e.b.loc[e.i]&locMask]--
	e.b.ghost &^= 1 << e.i
	e.b.clear(e.i)
}

// room finds an empty slot in b, at the cost of a ghost if need be: one of the kind there are more of, so that neither
// kind crowds out the other (their balance steers the size of small).
func (x *index) room(b *bucket) (int, bool) {
	if m := b.match(0); m != 0 {
		return bits.TrailingZeros32(m), true
	}
	if b.ghost == 0 {
		return 0, false
	}
	kind := uint32(ghostSmall)
	if x.ghosts[ghostMain] > x.ghosts[ghostSmall] {
		kind = ghostMain
	}
	i := bits.TrailingZeros16(b.ghost)
	for m := b.ghost; m != 0; m &= m - 1 {
		if j := bits.TrailingZeros16(m); b.loc[j]&locMask == kind {
			i = j
			break
		}
	}
	x.dropGhost(slot{b, i})
	return i, true
}

// remove takes an entry with hash h out.
func (x *index) remove(h uint64, e slot) {
	if e.b == nil {
		x.stashed--
		x.stash[e.i] = x.stash[x.stashed]
		x.stash[x.stashed] = stashed{}
		return
	}
	e.b.clear(e.i)
	if e.b != x.first(h) {
		x.countOver(h, -1)
	}
}

// addGhost turns an entry into a ghost of this kind. Ghosts live in first choices only, since over counts items: an entry
// elsewhere is removed.
func (x *index) addGhost(h uint64, e slot, kind uint32) {
	if e.b == nil || e.b != x.first(h) {
		x.remove(h, e)
		return
	}
	e.b.ghost |= 1 << e.i
	e.b.loc[e.i] = e.b.loc[e.i]&^locMask | kind
	x.ghosts[kind]++
}

// insert enters an item. False: both its buckets are full, nothing in them can move, and so is the stash.
func (s *shard) insert(h uint64, loc uint32) bool {
	x := &s.index
	tag, top := tags(h)
	b1, b2 := x.first(h), x.second(h)
	if i, ok := x.room(b1); ok {
		b1.set(i, tag, top|loc)
		return true
	}
	if i, ok := x.room(b2); ok && b2 != b1 {
		b2.set(i, tag, top|loc)
		x.countOver(h, 1)
		return true
	}
	if i, ok := s.relocate(b1); ok {
		b1.set(i, tag, top|loc)
		return true
	}
	if b2 != b1 {
		if i, ok := s.relocate(b2); ok {
			b2.set(i, tag, top|loc)
			x.countOver(h, 1)
			return true
		}
	}
	if x.stashed == stashMax {
		return false
	}
	x.stash[x.stashed] = stashed{h, loc}
	x.stashed++
	return true
}

// relocate frees a slot of a full bucket by moving one of its items to that item's other bucket.
func (s *shard) relocate(b *bucket) (int, bool) {
	x := &s.index
	for i := range slots {
		h := s.hashAt(b.loc[i] & locMask)
		first, other := x.first(h), x.second(h)
		from, to := h, rehash(h)
		back := other == b // it lives in its second choice and would go to its first
		if back {
			other, from, to = first, to, from
		}
		if other == b {
			continue
		}
		j, ok := x.room(other)
		if !ok {
			continue
		}
		if back {
			x.countOver(h, -1)
		} else {
			x.countOver(h, 1)
		}
		other.set(j, b.tag[i], b.loc[i])
		b.clear(i)
		s.walked(h, from, to)
		s.stats.Relocations++
		return i, true
	}
	return 0, false
}

// hashAt reads the key of a granule's record and hashes it.
func (s *shard) hashAt(loc uint32) uint64 {
	var r record
	r.read(s.at(loc))
	return s.hash(r.key())
}

// resize begins a change to n buckets, if the system has memory for them.
func (s *shard) resize(n uint64) {
	x := &s.index
	if !s.openIndex(n) {
		return
	}
	x.next = n
	x.line = 0
	if x.growing() {
		x.line = x.n
	}
	x.touched = pageRound(max(x.touched, x.n, x.next)) / bucketSize
	s.measure()
}

// openIndex makes room for n buckets usable.
func (s *shard) openIndex(n uint64) bool {
	x := &s.index
	to := pageRound(n)
	if to > x.opened {
		if !s.store.access(x.base, int64(x.opened), int64(to)) {
			return false
		}
		x.opened = to
	}
	return true
}

// sweepBucket moves one bucket into the new order. At the end of the table the new order becomes the only one. It
// returns how many items it has moved.
func (s *shard) sweepBucket() int {
	x := &s.index
	i := x.line
	if x.growing() {
		i--
		x.line = i
	} else {
		x.line++
	}
	b := x.bucket(i)
	old := *b
	for m := old.ghost; m != 0; m &= m - 1 { // their hash is not known: they are forgotten
		j := bits.TrailingZeros16(m)
		x.ghosts[old.loc[j]&locMask]--
		old.clear(j)
	}
	// The count of the old order goes, for nobody reads it any more; that of the new order stays.
	*b = bucket{}
	b.over[x.order^1] = old.over[x.order^1]
	items := 0
	for j := range slots { // all their lines at once, not one after the other
		if old.tag[j] != 0 {
			s.touched += uint32(*(*uint8)(s.at(old.loc[j] & locMask)))
			items++
		}
	}
	for j := range slots {
		if old.tag[j] == 0 {
			continue
		}
		loc := old.loc[j] & locMask
		h := s.hashAt(loc)
		if !s.insert(h, loc) {
			s.drop(h, loc)
			continue
		}
		if len(s.walks) > 0 {
			from := h
			if first, _ := bits.Mul64(h, x.n); first != i {
				from = rehash(h)
			}
			s.landed(h, loc, from)
		}
	}
	if x.growing() && x.line == 0 || !x.growing() && x.line == x.n {
		x.n, x.next, x.line = x.next, 0, 0
		s.measure()
		x.order ^= 1
		s.buckets.Store(x.n)
	}
	if x.stashed > 0 {
		s.unstash()
	}
	return items
}

// unstash tries to give the last of the stash a place in its buckets.
func (s *shard) unstash() {
	x := &s.index
	last := x.stash[x.stashed-1]
	x.stashed--
	x.stash[x.stashed] = stashed{}
	s.insert(last.hash, last.loc) // at worst it goes where it was
	if len(s.walks) > 0 {
		s.landed(last.hash, last.loc, everywhere)
	}
}
