package storage

import "slices"

// A value that is too long for a segment, or that would leave too much of one unused, is split: its head holds the key
// and the first bytes, and pieces hold the rest, one linked to the next.
//
//	head                      piece                piece
//	+--------+-----+------+   +-------+--------+   +-------+------+
//	| header | key | val… |──▶| links | …ue in |──▶| links | bits |
//	+--------+-----+------+◀──+-------+--------+◀──+-------+------+
//	     ▲  └──────── chain number ───┴────────────────┘
//	     └───────── chains[number].head
//
// Head and pieces are records of the log like any other, so each moves when its own segment is emptied, and only its
// neighbours are told. The chain's number, which all of them carry, leads from a piece to its head without a walk.
// A value that is still on its way in is a chain whose head the index does not know yet.
type chain struct {
	head     uint32 // granule; of a free number: the next free one
	last     uint32 // granule of the last record
	incoming *Incoming
	free     bool
}

const (
	// splitMin is the size from which a record is rather split than moved to the next segment. A split costs about 30
	// bytes and a second cache miss; not to split costs half a record at the end of a segment.
	splitMin = 512
	// tailMin is the least value that a part is worth its header for.
	tailMin = 64
	// gatherMax is up to which length a split value is made whole again when its head moves.
	gatherMax = 16 << 10
	// pieceMin is the least length to which pieces are cut when they move: unlike values, they are not made whole again.
	pieceMin = 1 << 10
	// recordMax bounds what is copied at once when a record moves.
	recordMax = 64 << 10

	// joinMost bounds how much of a value is copied for what is joined to it, but for the first
	// time: a part that is shorter is written again with what is new, a longer one stays as it is.
	joinMost = 4 << 10

	noChain = 1<<32 - 1
)

func (s *shard) newChain() uint32 {
	if c := s.freeChain; c != noChain {
		s.freeChain = s.chains[c].head
		s.chains[c] = chain{}
		return c
	}
	s.chains = append(s.chains, chain{})
	return uint32(len(s.chains) - 1)
}

func (s *shard) dropChain(c uint32) {
	s.chains[c] = chain{head: s.freeChain, free: true}
	s.freeChain = c
}

// fits tells whether a queue can take a record of n bytes, header included, split if it is long and may be.
func (s *shard) fits(qi int, n int) bool {
	room := s.tail(qi)
	if n <= room && n <= recordMax {
		return true
	}
	spare := s.left()
	if n < splitMin || spare <= 0 || s.unsplit {
		return n <= room && n <= recordMax || spare > 0
	}
	if room < keyMax+headerMax+tailMin {
		room = 0
	}
	// Every part may leave tailMin unused behind it.
	parts := n/min(recordMax, int(s.segSize)) + 2
	return n+parts*(pieceHeader+tailMin+int(s.sumSize)) <= room+spare*int(s.segSize)
}

// makeRoomWhole is makeRoomBeside for a record that is not to be split.
func (s *shard) makeRoomWhole(guard int64, qi int, n int) bool {
	if n > int(s.segSize)-int(s.sumSize) {
		return false
	}
	s.unsplit = true
	ok := s.makeRoomBeside(guard, qi, n)
	s.unsplit = false
	return ok
}

// tail is how long a record may be that is put into what is left of a queue's open segment.
func (s *shard) tail(qi int) int {
	g := s.queues[qi].open
	if g == none {
		return 0
	}
	return int(s.segSize-s.segments[g].used) - int(s.sumSize)
}

// next opens another segment for a queue.
func (s *shard) next(qi int) {
	s.seal(qi)
	s.take(qi)
}

// content is what a value is made of: a, then b, then blanks. What is written of it is taken off.
type content struct {
	a, b   []byte
	blanks int
}

func (c *content) len() int { return len(c.a) + len(c.b) + c.blanks }

// fill writes as much as fits into v.
func (c *content) fill(v []byte) {
	n := copy(v, c.a)
	c.a, v = c.a[n:], v[n:]
	n = copy(v, c.b)
	c.b, v = c.b[n:], v[n:]
	n = min(c.blanks, len(v))
	blank(v[:n])
	c.blanks -= n
}

// blank fills v with blanks.
func blank(v []byte) {
	n := copy(v, "                                                                ")
	for 0 < n && n < len(v) {
		n += copy(v[n:], v[:n])
	}
}

// write appends an item to a queue, which holds it. The value comes in two parts, for append and prepend. old is the
// version that this one replaces, or nil; with same it is this very version, which moves.
func (s *shard) write(r *record, qi int, nf *fields, key []byte, old *found, same bool, a, b []byte) (loc uint32) {
	return s.writeContent(r, qi, nf, key, old, same, &content{a: a, b: b})
}

func (s *shard) writeContent(r *record, qi int, nf *fields, key []byte, old *found, same bool, c *content) (loc uint32) {
	n := headerMax + len(key) + c.len()
	if room := s.tail(qi); n > room && (n < splitMin || room < headerMax+len(key)+tailMin) {
		s.next(qi)
	}
	switch {
	case nf.given:
	case same:
		nf.unique = s.keptUnique(old, qi)
	case old != nil:
		nf.unique = s.newUnique(old, qi)
	}
	if n <= s.tail(qi) && n <= recordMax {
		loc = s.writeHeader(r, qi, nf, key)
		c.fill(r.value())
		s.publish(r)
		return loc
	}
	loc = s.writeHead(r, qi, nf, key, min(s.tail(qi), recordMax))
	c.fill(r.value())
	for c.len() > 0 {
		s.writePiece(qi, *r.chain(), c, nf.deadline)
	}
	s.publish(r)
	return loc
}

// writeHead appends the head of a split item of nf.vlen bytes: a record of up to most bytes.
func (s *shard) writeHead(r *record, qi int, nf *fields, key []byte, most int) (loc uint32) {
	nf.split, nf.total = true, nf.vlen
	nf.vlen = min(nf.vlen, most-headerMax-len(key))
	nf.next, nf.chain = noPiece, s.newChain()
	loc = s.writeHeader(r, qi, nf, key)
	c := &s.chains[nf.chain]
	c.head, c.last = loc, loc
	return loc
}

// writePiece appends another piece to a chain, with as much as fits.
func (s *shard) writePiece(qi int, number uint32, c *content, deadline expiryInstant) {
	if s.tail(qi) < pieceHeader+tailMin && s.tail(qi) < pieceHeader+c.len() {
		s.next(qi)
	}
	n := min(c.len(), min(s.tail(qi), recordMax)-pieceHeader)
	r := s.linkPiece(qi, number, n, deadline)
	c.fill(r.value())
	s.publish(&r)
}

// linkPiece appends a piece with n bytes of value to the log and to a chain.
func (s *shard) linkPiece(qi int, number uint32, n int, deadline expiryInstant) record {
	c := &s.chains[number]
	loc, r := s.appendPiece(qi, n, 0, deadline)
	*r.next(), *r.prev(), *r.chain() = noPiece, c.last, number
	var before record
	before.read(s.at(c.last))
	*before.next() = loc
	c.last = loc
	return r
}

// appendPiece reserves a piece with n bytes of value.
func (s *shard) appendPiece(qi int, n int, ctrl uint8, deadline expiryInstant) (uint32, record) {
	f := fields{vlen: n, ctrl: ctrl}
	l := pieceLayout(n)
	size := uint32(l.koff) + uint32(n)
	loc := s.coming(qi)
	f.encode(s.at(loc), l, 0, 0)
	s.append(qi, s.padded(size))
	s.segmentOf(loc).note(deadline)
	return loc, record{p: s.at(loc), size: size, koff: l.koff, vlen: uint32(n)}
}

// killItem marks an item's record dead, and its pieces with it.
func (s *shard) killItem(r *record, sg *segment) {
	if s.store.sizes != nil {
		s.sized(r, -1)
	}
	if !r.split() {
		s.kill(r, sg)
		return
	}
	number, next := *r.chain(), *r.next()
	s.kill(r, sg)
	s.killPieces(number, next)
}

// killPieces ends a chain from a piece on.
func (s *shard) killPieces(number, loc uint32) {
	var p record
	for loc != noPiece {
		p.read(s.at(loc))
		next := *p.next()
		s.kill(&p, s.segmentOf(loc))
		loc = next
	}
	s.dropChain(number)
}

// movePiece copies a piece to the open segment of a queue, in two if it does not fit, and tells its neighbours.
func (s *shard) movePiece(r *record, qi int, deadline expiryInstant) bool {
	value, next, prev, number := r.value(), *r.next(), *r.prev(), *r.chain()
	n := len(value)
	if tail := s.tail(qi) - pieceHeader; n > tail {
		switch {
		case !s.mayTake():
			return false
		case s.chains[number].incoming != nil && next == noPiece:
			s.next(qi) // what is still to come has its room reserved in the last piece, and in that alone
		case tail >= pieceMin && n-tail >= pieceMin:
			n = tail
		default:
			s.next(qi)
		}
	}
	first, last := uint32(noPiece), prev
	var before record
	for {
		loc, p := s.appendPiece(qi, n, 0, deadline)
		copy(p.value(), value[:n])
		value = value[n:]
		*p.next(), *p.prev(), *p.chain() = next, last, number
		s.publish(&p)
		if first == noPiece {
			first = loc
		} else {
			*before.next() = loc
		}
		before, last = p, loc
		if n = len(value); n == 0 {
			break
		}
		s.next(qi)
	}
	var other record
	other.read(s.at(prev))
	*other.next() = first // all at once: the chain is whole at every moment
	if next != noPiece {
		other.read(s.at(next))
		*other.prev() = last
	} else {
		s.chains[number].last = last
	}
	s.moves++
	return true
}

// insertPiece appends a piece with this value and puts it behind a head that is not published yet.
func (s *shard) insertPiece(head *record, at uint32, qi int, value []byte, deadline expiryInstant) {
	number, next := *head.chain(), *head.next()
	loc, p := s.appendPiece(qi, len(value), 0, deadline)
	copy(p.value(), value)
	*p.next(), *p.prev(), *p.chain() = next, at, number
	s.publish(&p)
	if next == noPiece {
		s.chains[number].last = loc
	} else {
		var other record
		other.read(s.at(next))
		*other.prev() = loc
	}
	*head.next() = loc
}

// movedHead tells a split item's neighbours that its head has gone elsewhere.
func (s *shard) movedHead(r *record, from, to uint32) {
	c := &s.chains[*r.chain()]
	c.head = to
	if c.last == from {
		c.last = to
	}
	if next := *r.next(); next != noPiece {
		var p record
		p.read(s.at(next))
		*p.prev() = to
	}
}

// appendValue appends the whole value of a record to dst.
func (s *shard) appendValue(dst []byte, r *record) []byte {
	switch {
	case r.packed():
		return unpack(dst, r.value())
	case !r.split():
		return append(dst, r.value()...)
	}
	dst = append(slices.Grow(dst, r.total()), r.value()...)
	var p record
	for loc := *r.next(); loc != noPiece; loc = *p.next() {
		p.read(s.at(loc))
		dst = append(dst, p.value()...)
	}
	return dst
}
