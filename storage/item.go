package storage

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// An item is kept as a record. Most have the four bytes of header and nothing else; what is rarer than a key and a
// value is there only when it is needed, announced by the byte ext.
//
//	0      1        2      3       4,5,7
//	+------+--------+------+-------+ - - -+- - - - -+- - - - -+- - - -+- - - - - - - - +-----+-------+
//	| ctrl | access | klen | vlen  | ext  | flags   | exptime | cas   | more            | key | value |
//	|  1   |   1    |  1   | 1,2,4 | 0,1  | 0,1,2,4 | 0,2,4   | 0,8   | 0,12            |     |       |
//	+------+--------+------+-------+ - - -+- - - - -+- - - - -+- - - -+- - - - - - - - +-----+-------+
//
//	ctrl     bits 0-1 freq, 2 dead, 3 fetched, 4 stale, 5 won, 6 shown, 7 there is an ext
//	access   when the item was last read, after the segment was opened (accessCode)
//	klen     1..250; 0 marks a piece of a split value (see below)
//	vlen     0xxxxxxx, 10xxxxxx x, 11xxxxxx x x x: high bits first; the bytes of value that lie in this record
//	ext      bits 0-1 width of flags (0, 1, 2, 4 bytes), 2-3 of exptime (0, 2, 4), 4 cas, 5 more, 6 binary key, 7 packed (pack.go)
//	exptime  2 bytes: seconds after the segment was opened; 4 bytes: the instant itself
//	cas      the unique, when the record's place does not tell it (unique.go)
//	more     the value goes on elsewhere: its whole length (4; the highest bit: it is still on its way in), the
//	         granule of the next piece (4), its chain (4)
//
// A piece of a split value has a klen of 0, and instead of a key the granules of the next piece and of the record
// before it, and the number of its chain (split.go):
//
//	0      1        2      3
//	+------+--------+------+-------+------+------+-------+-------+
//	| ctrl |   0    |  0   | vlen  | next | prev | chain | value |
//	|  1   |   1    |  1   | 1,2,4 |  4   |  4   |   4   |       |
//	+------+--------+------+-------+------+------+-------+-------+
//
// Numbers of more than a byte are little endian, but for vlen, whose first bits tell its width.
// A record begins on a granule and is padded to a whole number of them.
const (
	ctrlFreq    = 1<<0 | 1<<1
	ctrlDead    = 1 << 2
	ctrlFetched = 1 << 3
	ctrlStale   = 1 << 4
	ctrlWon     = 1 << 5
	ctrlShown   = 1 << 6
	ctrlExt     = 1 << 7

	extFlags   = 1<<0 | 1<<1
	extExptime = 1<<2 | 1<<3
	extCas     = 1 << 4
	extMore    = 1 << 5
	extBinary  = 1 << 6
	extPacked  = 1 << 7

	offAccess = 1
	offKlen   = 2
	offVlen   = 3

	headerMin   = 4
	moreSize    = 12
	headerMax   = 3 + 4 + 1 + 4 + 4 + 8 + moreSize
	linksSize   = 12
	pieceHeader = 3 + 4 + linksSize // at most
	keyMax      = 250
	valueMax    = 1<<30 - 1 // vlen has 30 bits
	totalComing = 1 << 31
)

// width gives the bytes a two-bit code of ext stands for.
var (
	flagsWidth   = [4]uint8{0, 1, 2, 4}
	exptimeWidth = [4]uint8{0, 2, 4, 0}
)

// fields is what a record's header says, and what a new one is to say.
type fields struct {
	ctrl     uint8 // without ctrlExt: encode finds out
	binary   bool
	packed   bool
	klen     int
	vlen     int // bytes of value in this record, as they are kept
	flags    uint32
	deadline expiry.Instant
	roomy    bool   // whatever the deadline is, there is room for any other
	unique   uint64 // 0: told by the place
	given    bool   // the unique is not for write to choose
	split    bool   // more of the value lies elsewhere: the next three say where
	coming   bool   // it is not complete yet
	total    int    // bytes of the whole value
	next     uint32 // granule of the next piece
	chain    uint32
}

// layout is the shape of a header: equal layouts put equal fields into the same bytes.
type layout struct {
	ext    uint8
	vwidth uint8
	koff   uint16 // where the key begins
}

// layout of a record with these fields in a segment opened at created.
func (f *fields) layout(created expiry.Instant) layout {
	l := layout{vwidth: 1}
	switch {
	case f.vlen >= 1<<14:
		l.vwidth = 4
	case f.vlen >= 1<<7:
		l.vwidth = 2
	}
	n := offVlen + uint16(l.vwidth)
	switch {
	case f.flags == 0:
	case f.flags < 1<<8:
		l.ext |= 1
		n++
	case f.flags < 1<<16:
		l.ext |= 2
		n += 2
	default:
		l.ext |= 3
		n += 4
	}
	switch {
	case f.roomy:
		l.ext |= 2 << 2
		n += 4
	case f.deadline == expiry.Never:
	case f.deadline >= created && f.deadline-created < 1<<16:
		l.ext |= 1 << 2
		n += 2
	default:
		l.ext |= 2 << 2
		n += 4
	}
	if f.unique != 0 {
		l.ext |= extCas
		n += 8
	}
	if f.split {
		l.ext |= extMore
		n += moreSize
	}
	if f.binary {
		l.ext |= extBinary
	}
	if f.packed {
		l.ext |= extPacked
	}
	if l.ext != 0 {
		n++
	}
	l.koff = n
	return l
}

// encode writes the header of a record at p. There is room for layout(created).koff bytes.
func (f *fields) encode(p unsafe.Pointer, l layout, access uint8, created expiry.Instant) {
	h := unsafe.Slice((*byte)(p), l.koff)
	ctrl := f.ctrl &^ ctrlExt
	if l.ext != 0 {
		ctrl |= ctrlExt
	}
	h[0] = ctrl // at once: whoever reads the arena after a kill in the midst of this must be able to tell the record's length
	h[offAccess] = access
	h[offKlen] = uint8(f.klen)
	n := offVlen + int(l.vwidth)
	switch l.vwidth {
	case 1:
		h[offVlen] = uint8(f.vlen)
	case 2:
		binary.BigEndian.PutUint16(h[offVlen:], uint16(f.vlen)|0x8000)
	default:
		binary.BigEndian.PutUint32(h[offVlen:], uint32(f.vlen)|0xc0000000)
	}
	if l.ext == 0 {
		return
	}
	h[n] = l.ext
	n++
	switch l.ext & extFlags {
	case 1:
		h[n] = uint8(f.flags)
		n++
	case 2:
		binary.LittleEndian.PutUint16(h[n:], uint16(f.flags))
		n += 2
	case 3:
		binary.LittleEndian.PutUint32(h[n:], f.flags)
		n += 4
	}
	switch l.ext & extExptime >> 2 {
	case 1:
		binary.LittleEndian.PutUint16(h[n:], uint16(f.deadline-created))
		n += 2
	case 2:
		binary.LittleEndian.PutUint32(h[n:], uint32(f.deadline))
		n += 4
	}
	if l.ext&extCas != 0 {
		binary.LittleEndian.PutUint64(h[n:], f.unique)
		n += 8
	}
	if l.ext&extMore != 0 {
		total := uint32(f.total)
		if f.coming {
			total |= totalComing
		}
		binary.LittleEndian.PutUint32(h[n:], total)
		binary.LittleEndian.PutUint32(h[n+4:], f.next)
		binary.LittleEndian.PutUint32(h[n+8:], f.chain)
	}
}

// record is a record's header as read, and where it lies. It is a view: it ends with the lock, and sooner when the
// record moves.
type record struct {
	p    unsafe.Pointer
	size uint32 // header, key and value, without padding
	koff uint16
	klen uint8
	ext  uint8
	vlen uint32
}

// read reads the header at p as far as every lookup needs it.
func (r *record) read(p unsafe.Pointer) {
	r.p = p
	w := *(*uint32)(p)
	r.klen = uint8(w >> 16)
	v := w >> 24
	n := uint32(headerMin)
	if v >= 0x80 {
		if v < 0xc0 {
			v = (v&0x3f)<<8 | uint32(*(*uint8)(unsafe.Add(p, 4)))
			n = 5
		} else {
			v = bits.ReverseBytes32(*(*uint32)(unsafe.Add(p, offVlen))) & valueMax
			n = 7
		}
	}
	r.vlen = v
	r.ext = 0
	if w&ctrlExt != 0 {
		r.ext = *(*uint8)(unsafe.Add(p, n))
		n += 1 + uint32(flagsWidth[r.ext&extFlags]) + uint32(exptimeWidth[r.ext&extExptime>>2])
		n += uint32(r.ext & extCas >> 1) // 16 → 8
		if r.ext&extMore != 0 {
			n += moreSize
		}
	}
	if r.klen == 0 {
		n += linksSize
	}
	r.koff = uint16(n)
	r.size = n + uint32(r.klen) + v
}

// piece tells whether this is a piece of a split value.
func (r *record) piece() bool { return r.klen == 0 }

func (r *record) ctrl() *uint8   { return (*uint8)(r.p) }
func (r *record) access() *uint8 { return (*uint8)(unsafe.Add(r.p, offAccess)) }
func (r *record) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.p, r.koff)), int(r.klen))
}

// packed tells whether the value is kept in half its room.
func (r *record) packed() bool { return r.ext&extPacked != 0 }

// value is the part of the value that lies in the record itself, as it is kept.
func (r *record) value() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.p, uint32(r.koff)+uint32(r.klen))), int(r.vlen))
}

// offExt is where the optional fields begin.
func (r *record) offExt() uint32 {
	switch {
	case r.vlen >= 1<<14:
		return 8
	case r.vlen >= 1<<7:
		return 6
	}
	return 5
}

func (r *record) flags() uint32 {
	p := unsafe.Add(r.p, r.offExt())
	switch r.ext & extFlags {
	case 1:
		return uint32(*(*uint8)(p))
	case 2:
		return uint32(*(*uint16)(p))
	case 3:
		return *(*uint32)(p)
	}
	return 0
}

func (r *record) offExptime() uint32 { return r.offExt() + uint32(flagsWidth[r.ext&extFlags]) }

func (r *record) deadline(created expiry.Instant) expiry.Instant {
	switch r.ext & extExptime >> 2 {
	case 1:
		return created + expiry.Instant(*(*uint16)(unsafe.Add(r.p, r.offExptime())))
	case 2:
		return *(*expiry.Instant)(unsafe.Add(r.p, r.offExptime()))
	}
	return expiry.Never
}

// holds tells whether the record's field can hold a deadline.
func (r *record) holds(deadline, created expiry.Instant) bool {
	switch r.ext & extExptime >> 2 {
	case 1:
		return deadline != expiry.Never && deadline >= created && deadline-created < 1<<16
	case 2: // an instant of 0 is Never here too
		return true
	}
	return deadline == expiry.Never
}

// setDeadline rewrites the deadline where it stands. The field can hold it.
func (r *record) setDeadline(deadline, created expiry.Instant) {
	switch r.ext & extExptime >> 2 {
	case 1:
		*(*uint16)(unsafe.Add(r.p, r.offExptime())) = uint16(deadline - created)
	case 2:
		*(*expiry.Instant)(unsafe.Add(r.p, r.offExptime())) = deadline
	}
}

func (r *record) offCas() uint32 {
	return r.offExptime() + uint32(exptimeWidth[r.ext&extExptime>>2])
}

// unique is the one that is written down, 0 if none is.
func (r *record) unique() uint64 {
	if r.ext&extCas == 0 {
		return 0
	}
	return *(*uint64)(unsafe.Add(r.p, r.offCas()))
}

func (r *record) offMore() uint32 { return r.offCas() + uint32(r.ext&extCas>>1) }

// setUnique writes the unique of a record that has one.
func (r *record) setUnique(u uint64) { *(*uint64)(unsafe.Add(r.p, r.offCas())) = u }

// total is the length of the whole value.
func (r *record) total() int {
	switch {
	case r.packed():
		return 2 * int(r.vlen)
	case !r.split():
		return int(r.vlen)
	}
	return int(*(*uint32)(unsafe.Add(r.p, r.offMore())) & valueMax)
}

// setTotal changes the whole length of a split value that is complete.
func (r *record) setTotal(n int) { *(*uint32)(unsafe.Add(r.p, r.offMore())) = uint32(n) }

// coming tells whether a split value is still on its way in, complete that it has come.
func (r *record) coming() bool { return *(*uint32)(unsafe.Add(r.p, r.offMore()))&totalComing != 0 }

func (r *record) complete() { *(*uint32)(unsafe.Add(r.p, r.offMore())) &^= totalComing }

// publish makes a record that writeHeader made count, whatever its checksum: shard.publish knows
// both.
func (r *record) publish() { *r.ctrl() &^= ctrlDead }

// split tells whether the value goes on elsewhere.
func (r *record) split() bool { return r.ext&extMore != 0 }

// next is where the granule of the next piece is kept, in a piece or a split item's head. 0 in granule terms is a
// place like any other: the last piece has noPiece.
func (r *record) next() *uint32 {
	if r.piece() {
		return (*uint32)(unsafe.Add(r.p, uint32(r.koff)-linksSize))
	}
	return (*uint32)(unsafe.Add(r.p, r.offMore()+4))
}

// prev is the record before a piece: another piece or the head.
func (r *record) prev() *uint32 { return (*uint32)(unsafe.Add(r.p, uint32(r.koff)-linksSize+4)) }

// chain is the number of the chain that a piece or a split item's head belongs to.
func (r *record) chain() *uint32 {
	if r.piece() {
		return (*uint32)(unsafe.Add(r.p, uint32(r.koff)-4))
	}
	return (*uint32)(unsafe.Add(r.p, r.offMore()+8))
}

// noPiece is no granule.
const noPiece = 1<<32 - 1

// pieceLayout is the layout of a piece with n bytes of value.
func pieceLayout(n int) layout {
	f := fields{vlen: n}
	l := f.layout(0)
	l.koff += linksSize
	return l
}

// fields reads all of the header, to write it again elsewhere.
func (r *record) fields(created expiry.Instant) fields {
	f := fields{
		ctrl: *r.ctrl() &^ ctrlExt, binary: r.ext&extBinary != 0, packed: r.packed(), klen: int(r.klen), vlen: int(r.vlen),
		flags: r.flags(), deadline: r.deadline(created), unique: r.unique(),
	}
	if r.split() {
		f.split = true
		f.coming, f.total, f.next, f.chain = r.coming(), r.total(), *r.next(), *r.chain()
	}
	return f
}

// accessCode packs seconds into a byte: exact up to 31, then four bits of mantissa, so that it errs by less than a
// sixteenth; it ends at 6 days.
//
//	0000mmmm  m
//	eeeemmmm  (16+m) << (e-1)
func accessCode(seconds uint32) uint8 {
	if seconds < 16 {
		return uint8(seconds)
	}
	e := bits.Len32(seconds) - 5
	if e > 14 {
		return 255
	}
	return uint8((e+1)<<4 | int(seconds>>e&15))
}

func accessSeconds(code uint8) uint32 {
	e, m := uint32(code>>4), uint32(code&15)
	if e == 0 {
		return m
	}
	return (16 + m) << (e - 1)
}

// accessEnd is the last second that a code stands for.
func accessEnd(code uint8) uint32 {
	if code == 255 {
		return accessSeconds(code)
	}
	return accessSeconds(code+1) - 1
}
