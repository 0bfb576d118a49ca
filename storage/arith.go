package storage

import (
	"encoding/binary"
	"strconv"
)

// incr adds to the number an item holds, or takes away from it. The number is read as C's strtoull reads it, because
// that is what memcached uses: white space, a sign, digits; then white space, NUL or the end of the value.
func (s *shard) incr(h uint64, key []byte, c *Count) (uint64, Status) {
	s.lock()
	defer s.unlockWhole()
	return s.add(h, key, c)
}

// numberMax is how large an item may be for its value to be read as a number. Source: memcached,
// which keeps larger ones in chunks (slab_chunk_max) and says of each that it is no number.
const numberMax = 512 << 10

func (s *shard) add(h uint64, key []byte, c *Count) (uint64, Status) {
	var f found
	if !s.get(h, key, &f) {
		return 0, NotFound
	}
	s.bump(&f)
	length := f.total()
	c.Length = length
	if Charge(int(f.klen), f.flags(), length, !s.store.opts.DisableCAS) > numberMax {
		return 0, NotNumber
	}
	if c.Compare != 0 && length > 0 && !s.is(&f, c.Compare) {
		return 0, Exists
	}
	n, ok := s.numberIn(&f.record)
	if !ok {
		return 0, NotNumber
	}
	switch {
	case !c.Down:
		n += c.Delta
	case c.Delta > n:
		n = 0
	default:
		n -= c.Delta
	}
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	// Not longer than before: the rest becomes blanks. memcached does so for incr as well.
	value := content{a: text, blanks: max(0, length-len(text))}
	if len(text) <= length && *f.ctrl()&ctrlShown == 0 && c.Explicit == 0 && s.changeable(&f.record) {
		s.intend(f.loc)
		s.change(&f.record, &value)
		s.done()
		return n, Stored
	}
	return n, s.renumber(h, key, &f, c.Explicit, &value)
}

// changeable tells whether a value's bytes may be changed where they are: they are there as they
// are read, and nobody is reading them.
func (s *shard) changeable(r *record) bool {
	if !r.split() {
		return !r.packed() && s.segmentOfRecord(r).pins == 0
	}
	for p := *r; ; p.read(s.at(*p.next())) {
		if s.segmentOfRecord(&p).pins > 0 {
			return false
		}
		if *p.next() == noPiece {
			return true
		}
	}
}

// change writes a value of the same length over the one that is there.
func (s *shard) change(r *record, c *content) {
	for p := *r; ; p.read(s.at(*p.next())) {
		c.fill(p.value())
		s.resum(&p)
		if !p.split() && !p.piece() || *p.next() == noPiece {
			return
		}
	}
}

// renumber writes a number anew.
func (s *shard) renumber(h uint64, key []byte, f *found, explicit uint64, value *content) Status {
	nf := f.fields(f.sg.created)
	nf.vlen, nf.packed, nf.split, nf.unique = value.len(), false, false, 0
	keep, longer := uint8(ctrlFetched|ctrlStale|ctrlWon), nf.vlen > f.total()
	if longer { // memcached: this is another item
		keep = 0
	}
	qi := int(f.sg.queue)
	before := s.moves
	n := headerMax + nf.klen + nf.vlen
	ok := s.makeRoomBeside(int64(f.loc), qi, n)
	if s.moves != before && !s.find(h, key, f) || !ok {
		return OutOfMemory
	}
	nf.ctrl = *f.ctrl() & (ctrlFreq | keep)
	if explicit != 0 && !s.store.opts.DisableCAS {
		nf.unique, nf.given = explicit, true
		nf.ctrl |= ctrlShown
	}
	var r record
	loc := s.writeContent(&r, qi, &nf, key, f, false, value)
	if s.store.sizes != nil {
		s.sized(&r, +1)
	}
	s.index.setLoc(f.slot, loc)
	s.killItem(&f.record, f.sg)
	s.moves++
	if longer {
		s.stats.TotalItems++
	}
	s.pace(uint32(n))
	return Stored
}

// numberIn reads an item's value as a number.
func (s *shard) numberIn(r *record) (uint64, bool) {
	var buf [packMax]byte
	var d numeral
	switch {
	case r.packed():
		d.read(unpack(buf[:0], r.value()))
	case !r.split():
		d.read(r.value())
	default:
		for p := *r; !d.read(p.value()) && *p.next() != noPiece; {
			p.read(s.at(*p.next()))
		}
	}
	return d.value()
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func parseNumber(value []byte) (uint64, bool) {
	var d numeral
	d.read(value)
	return d.value()
}

// numeral is a number that is being read, part by part.
type numeral struct {
	n        uint64
	part     part
	negative bool
	wrong    bool
}

type part uint8

const (
	partSpace part = iota
	partSign       // there was one, and no digit yet
	partDigits
	partEnd
)

// read reads the next bytes. True: what comes after them does not matter.
func (d *numeral) read(v []byte) (over bool) {
	i := 0
	if d.part == partSpace {
		for i < len(v) && isSpace(v[i]) {
			if i++; i+8 <= len(v) && v[i] == ' ' {
				i += leading(v[i:], ' ')
			}
		}
		if i == len(v) {
			return false
		}
		d.part = partSign
		if v[i] == '+' || v[i] == '-' {
			d.negative = v[i] == '-'
			i++
		}
	}
	if d.n == 0 {
		if zeros := leading(v[i:], '0'); zeros > 0 {
			d.part = partDigits
			i += zeros
		}
	}
	for ; i < len(v) && '0' <= v[i] && v[i] <= '9'; i++ {
		digit := uint64(v[i] - '0')
		if d.n > (1<<64-1-digit)/10 {
			d.part, d.wrong = partEnd, true // ERANGE
			return true
		}
		d.n = d.n*10 + digit
		d.part = partDigits
	}
	if i == len(v) {
		return false
	}
	d.wrong = d.part != partDigits || v[i] != 0 && !isSpace(v[i])
	d.part = partEnd
	return true
}

// leading counts the bytes c that v begins with.
func leading(v []byte, c byte) (n int) {
	for eight := uint64(c) * eachByte; n+8 <= len(v) && binary.LittleEndian.Uint64(v[n:]) == eight; n += 8 {
	}
	for n < len(v) && v[n] == c {
		n++
	}
	return n
}

// value is the number, if it is one.
func (d *numeral) value() (uint64, bool) {
	if d.wrong || d.part < partDigits {
		return 0, false
	}
	// strtoull negates in the ring; what is negative as an int64 then is refused, -(2^63+1) and below is not.
	if d.negative {
		d.n = -d.n
		if int64(d.n) < 0 {
			return 0, false
		}
	}
	return d.n, true
}
