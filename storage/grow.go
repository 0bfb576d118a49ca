package storage

// The index grows when it is too full and shrinks when it is too empty, each time by a sweep over its buckets that
// every Put and every tick pushes on a little.
const (
	// indexStep is how many items a Put moves at most.
	indexStep = 24

	growthSmall = 8 // grow by 1/8 when memory is full: the index takes segments away
	growthLarge = 2 // by 1/2 as long as there are segments that nobody uses
	loadMin     = 45
	loadShrunk  = 75
)

// loadMax is how full the index may get, in items per hundred slots, by the mean size of an item. Small items need the
// index dense; for larger ones its bytes hardly count, and the slots that stay free are room for ghosts.
func (s *shard) loadMax() uint64 {
	switch mean := uint64(s.liveBytes) / uint64(max(1, s.items)); {
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
			s.condemn()
		}
		return x.next != 0
	}
	n := x.n * slots
	load := uint64(s.items) * 100
	switch {
	case load > n*s.loadMax():
		s.grow(load)
	case load < n*loadMin && x.n > x.min:
		x.wanted = 0
		if to := max(x.min, load/loadShrunk/slots); to < x.n-x.n/8 {
			x.resize(to)
		}
	default:
		x.wanted = 0
	}
	return x.next != 0
}

// grow begins to enlarge the index, as soon as there is room for it: segments are emptied step by step first.
func (s *shard) grow(load uint64) {
	x := &s.index
	by := x.n / growthSmall
	if s.inUse < s.allowed()/2 {
		by = x.n / growthLarge
	}
	x.wanted = min(x.n+max(1, by), x.max)
	if x.wanted <= x.n || s.store.opts.DisableEviction && s.spare() < reserve {
		x.wanted = 0
		return
	}
	// If emptying cannot keep up, the limit is exceeded by the growth for a moment, rather than that items find no slot.
	if s.spare() >= 0 || load > x.n*slots*(s.loadMax()+4) {
		x.resize(x.wanted)
		x.wanted = 0
		s.condemn()
	}
}
