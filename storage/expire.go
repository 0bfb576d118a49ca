package storage

import "github.com/gomemd/gomemd/expiry"

type expiryInstant = expiry.Instant

// flush ends everything that is stored in this shard. Open segments are sealed, so that an item belongs to one side of
// the line or the other by its segment's incarnation alone.
func (s *shard) flush() {
	s.pending = expiry.Never
	for qi := range s.queues {
		s.seal(qi)
	}
	s.floor = s.store.incarnations.Add(1)
}

// tick does some of what time brings: it frees segments all of whose items are over. It tells whether there is more to
// do at once.
func (s *shard) tick() bool {
	s.lock()
	defer s.unlock()
	s.maintainIndex()
	if s.victim.seg == none && !s.chooseOver() {
		return s.index.next != 0
	}
	s.scanVictim(scanStep, forDead)
	return true
}

// chooseOver makes a segment the victim all of whose items have expired or were flushed.
func (s *shard) chooseOver() bool {
	for qi := range s.queues {
		if g := s.queues[qi].open; g != none && s.segments[g].used > 0 && s.segments[g].over(s.now) {
			s.seal(qi)
		}
	}
	for g := range s.segments {
		sg := &s.segments[g]
		if sg.state == stateSealed && (sg.live == 0 || sg.over(s.now) || sg.incarnation < s.floor) {
			s.startScan(int32(g), forDead)
			return true
		}
	}
	return false
}
