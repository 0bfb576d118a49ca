package storage

// An item's unique is told by its place: the incarnation of its segment and the offset there. Incarnations are counted
// once for the whole store, so no unique ever comes again, and nothing needs to be written down, until
//
//   - the unique has been shown and the item is moved: the copy gets it written (cas);
//   - the unique has been shown and the value changes: never in place, so that the place, and the unique, changes;
//   - an item gets into a segment that was opened before the one it was in: its unique would go back. Then a larger
//     one is written, from a block of its own.
//
// Most items are never asked for their unique and never pay.
const uniqueBits = 24 // of offset; a segment is smaller

func (s *shard) placeUnique(loc uint32) uint64 {
	at := int64(loc) << s.granule
	return s.segments[at>>s.segShift].incarnation<<uniqueBits | uint64(at)&uint64(s.segSize-1)
}

// uniqueOf is a record's unique, shown or not.
func (s *shard) uniqueOf(r *record, loc uint32) uint64 {
	if u := r.unique(); u != 0 {
		return u
	}
	return s.placeUnique(loc)
}

// comingUnique is what the place of the next record of a queue will tell.
func (s *shard) comingUnique(qi int) uint64 {
	sg := &s.segments[s.queues[qi].open]
	return sg.incarnation<<uniqueBits | uint64(sg.used)
}

// newUnique is what has to be written into the next version of an item, when it is appended to a queue: 0 if its place
// says enough.
func (s *shard) newUnique(old *found, qi int) uint64 {
	if s.store.opts.DisableCAS {
		return 0
	}
	u := s.uniqueOf(&old.record, old.loc)
	if s.comingUnique(qi) > u {
		return 0
	}
	return s.freshUnique(u)
}

// freshUnique is larger than u and belongs to no place.
func (s *shard) freshUnique(u uint64) uint64 {
	if s.block <= u || s.block == s.blockEnd {
		s.block = s.store.incarnations.Add(1) << uniqueBits
		s.blockEnd = s.block + 1<<uniqueBits
	}
	s.block++
	return s.block - 1
}

// keptUnique is what has to be written when the same version of an item moves to a queue's open segment.
func (s *shard) keptUnique(f *found, qi int) uint64 {
	if s.store.opts.DisableCAS {
		return 0
	}
	u := s.uniqueOf(&f.record, f.loc)
	// Somebody may know this one, or an earlier one of this key that the new place would fall behind.
	if *f.ctrl()&ctrlShown != 0 || s.comingUnique(qi) <= min(u, s.shown) {
		return u
	}
	return 0
}
