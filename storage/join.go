package storage

// What is joined to a long value costs what it adds. The pieces that are there stay where they are,
// and readers may hold them: bytes of a value never change, but for numbers. An item's value is put
// together of these, any of which may be missing:
//
//	front              first              middle             second
//	+------+-----+     +---+    +---+     +------+           +---+
//	| head | new |──▶  |   |──▶ |   |──▶  | new  |──▶ …  ──▶ |   |──▶ …
//	+------+-----+     +---+    +---+     +------+           +---+
//
//	                   front              first       middle                  second
//	append             its head           its pieces  a short last one, new   those that have come
//	prepend            new, its head      its pieces
//	prepend, Incoming  what has come      and pieces  its head                its pieces
//
// The front is written anew if the item's unique has to change, and else stays where it is. One
// store links middle behind first; a chain whose pieces do not make up the whole length that its
// head tells is dropped by a restart. So a kill leaves the old item until that store and, with a
// new front, the new one from then on. Without one there is no item until the next store has told
// the new length (docs/decisions/0122).
type joint struct {
	front  content // of a new head, and of pieces for what it does not take
	first  run
	middle content // of new pieces
	second run
}

// run is some pieces of a chain, one linked to the next.
type run struct{ first, last uint32 }

var noRun = run{noPiece, noPiece}

// joinMin is the length below which the last piece of a value, or its head, is written again with
// what is joined to it.
func (s *shard) joinMin() int { return min(joinMost, int(s.segSize)/8) }

// mayJoin tells whether an item may become n bytes longer.
func (s *shard) mayJoin(f *found, n int) bool {
	return Charge(int(f.klen), f.flags(), f.total()+n, !s.store.opts.DisableCAS) <= s.store.opts.ItemMax
}

// join joins the value of it, or what has come with in, to an item, as was decided.
func (s *shard) join(h uint64, mode Mode, f *found, it *Item, in *Incoming) Status {
	before := mode == Prepend || mode == PrependOrSet
	nf := fields{
		klen: len(it.Key), flags: f.flags(), deadline: f.deadline(f.sg.created), binary: it.Binary,
		split: true,
	}
	if it.Explicit != 0 && !s.store.opts.DisableCAS {
		nf.unique, nf.given = it.Explicit, true
	}
	added := it.Value
	nf.total = f.total() + len(added)
	if in != nil {
		head := s.headOf(in)
		added = head.value()
		nf.total = f.total() + in.n
	}
	anew := before || !f.split() || nf.given || *f.ctrl()&ctrlShown != 0 ||
		it.Binary != (f.ext&extBinary != 0)

	n, last := pieceHeader+len(added), 0
	if !before && len(added) > 0 {
		last = s.shortLast(f, s.joinMin())
	}
	if n += last; anew {
		n += headerMax + nf.klen + s.headMost(f)
	}
	if n >= splitMin {
		n += 2 * (s.joinMin() + keyMax + headerMax + tailMin) // what may be left of segments
	}
	qi := queueMain
	if f.sg.queue != queueMain {
		qi = s.queueFor(nf.deadline, n)
	}
	moves := s.moves
	if in != nil {
		in.waits = true // for this room: it must not be made of what has come
	}
	ok := s.makeRoomBeside(int64(f.loc), qi, n)
	switch {
	case in != nil && in.over: // the room was made at this value's own cost
		return in.failed
	case s.moves != moves && !s.find(h, it.Key, f), !ok:
		return OutOfMemory
	}

	// Only now: records may have moved.
	j := joint{first: noRun, second: noRun}
	if f.split() {
		nf.chain = *f.chain()
		j.first = s.behind(&f.record)
	} else if in != nil {
		nf.chain = in.chain
	} else {
		nf.chain = s.newChain()
	}
	was, came, coming := f.value(), noRun, record{}
	if f.packed() {
		s.scratch = unpack(s.scratch[:0], was)
		was = s.scratch
	}
	if in != nil {
		coming = s.headOf(in)
		added, came = coming.value(), s.behind(&coming)
		if nf.chain != in.chain {
			s.adopt(came, nf.chain)
		}
	}
	var short record
	switch {
	case !before:
		j.front.b, j.middle.b, j.second = was, added, came
		if n := s.shortLast(f, s.joinMin()); n > 0 && n <= last {
			short.read(s.at(j.first.last))
			j.middle.a = short.value()
			if j.first.last = *short.prev(); j.first.last == f.loc {
				j.first = noRun
			}
		}
	case in == nil:
		j.front = content{a: added, b: was}
	default:
		j.front.a, j.middle.a, j.second = added, was, j.first
		j.first = came
	}
	if s.store.sizes != nil {
		s.sized(&f.record, -1)
	}
	if anew {
		nf.ctrl = *f.ctrl() & ctrlFreq
		var r record
		loc := s.splice(&r, qi, &nf, it.Key, f, &j)
		s.index.setLoc(f.slot, loc)
		s.kill(&f.record, f.sg)
		f.record, f.loc, f.sg = r, loc, s.segmentOf(loc)
	} else {
		s.lengthen(qi, &nf, f, &j)
	}
	if short.p != nil {
		s.kill(&short, s.segmentOfRecord(&short))
	}
	if in != nil {
		s.kill(&coming, s.segmentOfRecord(&coming))
		if nf.chain != in.chain {
			s.dropChain(in.chain)
		}
		s.chains[nf.chain].incoming = nil
		s.end(in, NotStored) // for whoever goes on with it
	}
	if s.store.sizes != nil {
		s.sized(&f.record, +1)
	}
	s.moves++
	s.stats.TotalItems++
	if it.Show || nf.given {
		s.answer(it, &f.record, f.loc)
	}
	s.pace(uint32(n))
	return Stored
}

// shortLast is how many bytes the last piece of an item has, if that is fewer than most; the head
// is no piece.
func (s *shard) shortLast(f *found, most int) int {
	if !f.split() {
		return 0
	}
	var p record
	if p.read(s.at(s.chains[*f.chain()].last)); !p.piece() || int(p.vlen) >= most {
		return 0
	}
	return int(p.vlen)
}

// headMost is how many bytes of value an item's head has, at most, after it was moved.
func (s *shard) headMost(f *found) int {
	if f.split() && f.total() > gatherMax {
		return int(f.vlen)
	}
	return f.total()
}

// headOf is the head of a value that is on its way.
func (s *shard) headOf(in *Incoming) (r record) {
	r.read(s.at(s.chains[in.chain].head))
	return r
}

// behind is the pieces of a split item.
func (s *shard) behind(head *record) run {
	if *head.next() == noPiece {
		return noRun
	}
	return run{*head.next(), s.chains[*head.chain()].last}
}

// adopt gives pieces to another chain.
func (s *shard) adopt(pieces run, number uint32) {
	var p record
	for loc := pieces.first; loc != noPiece; loc = *p.next() {
		p.read(s.at(loc))
		*p.chain() = number
	}
}

// splice appends a head for a joint, and what else of it is new, and puts it together. nf says what
// the head shall be and which chain it all becomes; the pieces that are there have its number
// already.
func (s *shard) splice(
	r *record, qi int, nf *fields, key []byte, old *found, j *joint,
) (loc uint32) {
	n := j.front.len()
	if len(j.front.b) >= s.joinMin() { // the next head will not have all of that to copy
		n = len(j.front.a) + tailMin
	}
	s.nextFor(qi, headerMax+len(key), n)
	if !nf.given {
		nf.unique = s.newUnique(old, qi)
	}
	nf.next, nf.vlen = noPiece, min(n, min(s.tail(qi), recordMax)-headerMax-len(key))
	loc = s.writeHeader(r, qi, nf, key)
	c := &s.chains[nf.chain]
	c.head = loc // the pieces' checksums have its key in them
	j.front.fill(r.value())
	front := s.concat(run{loc, loc}, s.writeRun(qi, nf.chain, &j.front, nf.deadline))
	rest := s.concat(s.writeRun(qi, nf.chain, &j.middle, nf.deadline), j.second)
	front = s.concat(front, j.first)
	s.publish(r)
	c.last = s.concat(front, rest).last
	return loc
}

// lengthen puts a joint together whose head stays.
func (s *shard) lengthen(qi int, nf *fields, f *found, j *joint) {
	rest := s.concat(s.writeRun(qi, nf.chain, &j.middle, nf.deadline), j.second)
	last := f.loc
	if j.first != noRun {
		last = j.first.last
	}
	s.chains[nf.chain].last = s.concat(run{f.loc, last}, rest).last
	f.setTotal(nf.total)
	*f.ctrl() &= ctrlFreq | ctrlExt
	*f.access() = accessCode(uint32(s.now - f.sg.created))
}

// writeRun appends new pieces, which nothing leads to yet.
func (s *shard) writeRun(qi int, number uint32, c *content, deadline expiryInstant) run {
	all := noRun
	for c.len() > 0 {
		s.nextFor(qi, pieceHeader, c.len())
		loc, p := s.appendPiece(qi, min(c.len(), min(s.tail(qi), recordMax)-pieceHeader), 0, deadline)
		*p.next(), *p.prev(), *p.chain() = noPiece, noPiece, number
		c.fill(p.value())
		s.publish(&p)
		all = s.concat(all, run{loc, loc})
	}
	return all
}

// nextFor opens another segment for a queue unless a good part of n bytes has room behind a header:
// a value that grows bit by bit would be cut at the end of each segment that it has passed.
func (s *shard) nextFor(qi int, header, n int) {
	if s.tail(qi) < header+min(n, s.joinMin()) {
		s.next(qi)
	}
}

// concat links b behind a, by one store that matters after a kill.
func (s *shard) concat(a, b run) run {
	switch {
	case a == noRun:
		return b
	case b == noRun:
		return a
	}
	var last, next record
	last.read(s.at(a.last))
	next.read(s.at(b.first))
	*last.next() = b.first
	*next.prev() = a.last
	return run{a.first, b.last}
}
