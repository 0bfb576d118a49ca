package storage

import "unsafe"

// The index grows when it is too full and shrinks when it is too empty, each time by a sweep over its buckets that
// every Put and every tick pushes on a little.
const (
	// indexStep is how many items a Put moves at most.
	indexStep = 24

	// growthMin is the least step, as a part of the buckets there are: each step rehashes every item.
	growthMin = 16

	// pageBuckets is how many buckets a page of memory holds.
	pageBuckets = 4096 / bucketSize

	// leastIndexPart is what part of a shard's first limit its index has at least.
	leastIndexPart = 256

	loadMin    = 45
	loadShrunk = 75
)

// loadMax is how full the index may get, in items per hundred slots, by the mean size of an item. Small items need the
// index dense; for larger ones its bytes hardly count, and the slots that stay free are room for ghosts.
func (s *shard) loadMax() uint64 { return loadOf(uint64(s.liveBytes) / uint64(max(1, s.items))) }

func loadOf(mean uint64) uint64 {
	switch {
	case mean < 100:
		return 90
	case mean < 256:
		return 80
	}
	return 65
}

// maintainIndex does a step of a change of size, of about so many items, or begins one when the load asks for it. It
// tells whether there is more to do.
func (s *shard) maintainIndex(work int) bool {
	x := &s.index
	if x.next != 0 {
		for ; work > 0 && x.next != 0; work-- {
			work -= s.sweepBucket()
		}
		s.moves++
		if x.next == 0 {
			s.fit()
		}
		return true
	}
	if s.trim() {
		return true
	}
	n := x.n * slots
	load := uint64(s.items) * 100
	switch {
	case load > n*s.loadMax():
		s.grow(load)
	case x.n > x.max && load < x.max*slots*s.loadMax():
		s.resize(max(x.max, x.min))
	case s.owes(): // the index shrinks with the items, or it would cost more of them
		s.want(0)
		if to := max(x.min, load/(s.loadMax()-2)/slots+1); to < x.n-x.n/8 {
			s.resize(to)
		}
	case load < n*loadMin && x.n > x.min:
		s.want(0)
		// Not below what a full shard will need, or it would grow again at once.
		if to := max(x.min, load/loadShrunk/slots, s.foreseen()); to < x.n-x.n/4 {
			s.resize(to)
		}
	default:
		s.want(0)
	}
	return x.next != 0
}

// grow begins to enlarge the index, as soon as there is room for it: segments are emptied step by step first.
func (s *shard) grow(load uint64) {
	x := &s.index
	s.want(min(max(x.n+x.n/growthMin+1, min(s.foreseen(), 2*x.n)), x.max))
	for s.spare() <= reserve && s.more() {
	}
	if x.wanted <= x.n || s.store.opts.DisableEviction && s.spare() < reserve {
		s.want(0)
		return
	}
	if s.spare() >= reserve { // or a victim's survivors would find no room
		s.resize(x.wanted)
		s.want(0)
		s.condemn()
	}
}

// want sets to how many buckets the index is to grow, as soon as there is room: 0 for none.
func (s *shard) want(buckets uint64) {
	if buckets != s.index.wanted {
		s.index.wanted = buckets
		s.measure()
	}
}

// foreseen is how many buckets the shard will need when it is full, if what comes is as large as what is there. That
// saves most of the steps while a store fills. With i items a byte, n buckets leave limit-64n bytes for items:
//
//	12 n load = i (limit - 64 n)
func (s *shard) foreseen() uint64 {
	perByte := float64(s.items) / float64(max(1, s.liveBytes))
	load := float64(s.loadMax()-2) / 100
	return uint64(perByte * float64(s.prospect()) / (slots*load + bucketSize*perByte))
}

// trim gives back pages of the index that it has shrunk out of, a slice at a time. They are clear: a sweep leaves
// nothing behind, so it makes no difference when somebody grows into them again. This is done under the lock, some 10 µs
// a slice, and before segments may take the room: the limit holds at every moment.
func (s *shard) trim() bool {
	x := &s.index
	if x.next != 0 || x.touched <= x.n {
		return false
	}
	const slice = 64 << 10 / bucketSize
	keep := (x.n + pageBuckets - 1) / pageBuckets * pageBuckets
	from := max(keep, x.touched-min(x.touched, slice))
	if from < x.touched {
		s.store.discard(unsafe.Add(x.base, from*bucketSize), (x.touched-from)*bucketSize)
	}
	x.touched = from
	if from == keep {
		x.touched = x.n
	}
	s.measure()
	return x.touched > x.n
}
