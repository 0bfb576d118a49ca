package storage

import (
	"math/bits"
	"unsafe"
)

// warmReach is how far into a record Warm looks: headers and keys mostly end there, often in the next cache line.
const warmReach = 40

// Warm touches what a batch of up to 16 lookups will need, so that the memory's latency is paid once for all of them: in
// a large store that is most of what a lookup costs. First the buckets of all hashes are touched, then the items that
// they point to.
//
// Nothing that is read here decides anything but which line to touch next; what is served is looked up again, under
// the lock. So this takes no lock, but to learn where the index has got to: sixteen locks would put the misses in a row
// again. A bucket may change while it is looked at; then a line is touched in vain. Every granule lies in the arena's
// address space, and a read of a page that was given back gets the system's page of zeros and costs no memory.
func (st *Store) Warm(hashes []uint64) {
	if st.opts.HeapArena { // the race detector would see what is said above, and be right
		return
	}
	var buckets [16]*bucket
	var second [16]uint8 // who may live in the second choice, by number
	seconds, sink := 0, uint32(0)
	hashes = hashes[:min(len(hashes), len(buckets))]
	for i, h := range hashes {
		s := st.shard(h)
		buckets[i] = s.warmBucket(h)
		sink += uint32(buckets[i].tag[0])
	}
	for i, h := range hashes {
		s, b := st.shard(h), buckets[i]
		found, n := s.warmRecord(b, h)
		sink += n
		if !found && b.over[0]|b.over[1] != 0 {
			buckets[i] = s.warmBucket(rehash(h))
			sink += uint32(buckets[i].tag[0])
			second[seconds] = uint8(i)
			seconds++
		}
	}
	for _, i := range second[:seconds] {
		_, n := st.shard(hashes[i]).warmRecord(buckets[i], hashes[i])
		sink += n
	}
	if sink == 1<<32-1 { // never true, but the compiler does not know
		st.warmed.Store(sink)
	}
}

// warmBucket is where a hash's bucket was not long ago.
func (s *shard) warmBucket(h uint64) *bucket {
	n, _ := bits.Mul64(h, s.buckets.Load())
	return s.index.bucket(n)
}

// warmRecord touches the records in a bucket that may be the one with this hash, and tells whether there are any.
func (s *shard) warmRecord(b *bucket, h uint64) (found bool, sink uint32) {
	tag, top := tags(h)
	for m := b.match(tag) &^ uint32(b.ghost); m != 0; m &= m - 1 {
		if loc := b.loc[trailing(m)]; (loc^top)>>locBits == 0 && loc&locMask < s.granules {
			found = true
			sg := s.segmentOf(loc & locMask)
			if sg.state == stateGone || sg.state == stateCondemned { // in a file it may be a hole by now
				continue
			}
			p := s.at(loc & locMask)
			sink += uint32(*(*uint8)(p)) + sg.live
			if uint32(int64(loc&locMask)<<s.granule)&(s.segSize-1)+warmReach < s.segSize {
				sink += uint32(*(*uint8)(unsafe.Add(p, warmReach)))
			}
		}
	}
	return found, sink
}
