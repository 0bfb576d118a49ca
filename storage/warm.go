package storage

import (
	"math/bits"
)

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
	sink := uint32(0)
	hashes = hashes[:min(len(hashes), len(buckets))]
	for i, h := range hashes {
		s := st.shard(h)
		n, _ := bits.Mul64(h, s.buckets.Load())
		b := s.index.bucket(n)
		buckets[i] = b
		sink += uint32(b.tag[0])
	}
	for i, h := range hashes {
		s, b := st.shard(h), buckets[i]
		tag, top := tags(h)
		for m := b.match(tag) &^ uint32(b.ghost); m != 0; m &= m - 1 {
			if loc := b.loc[trailing(m)]; (loc^top)>>locBits == 0 && loc&locMask < s.granules {
				// The record's first line, and the next, where the key ends or the value begins.
				p := s.at(loc & locMask)
				sink += uint32(*(*uint8)(p))
			}
		}
	}
	if sink == 1<<32-1 { // never true, but the compiler does not know
		st.warmed.Store(sink)
	}
}
