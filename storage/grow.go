package storage

// indexLoad is how full the index may get, in items per hundred slots, before it grows.
const indexLoad = 90

// maintainIndex does a step of a change of size, and begins one when the load asks for it.
func (s *shard) maintainIndex() {
	x := &s.index
	if x.next != 0 {
		for i := 0; i < 4 && x.next != 0; i++ {
			s.sweepBucket()
		}
		s.moves++
		return
	}
	if uint64(s.items)*100 > x.n*slots*indexLoad {
		s.grow()
	}
}

// grow begins to enlarge the index by an eighth.
func (s *shard) grow() {
	x := &s.index
	n := min(x.n+max(1, x.n/8), x.max)
	if n == x.n {
		return
	}
	x.resize(n)
	for s.spare() < 0 && s.scanVictim(scanStep, forRoom) {
	}
	s.condemn()
}
