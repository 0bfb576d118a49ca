package storage

import (
	"encoding/binary"
	"hash/crc32"
	"unsafe"
)

// With Options.File every record carries a checksum, so that the next start drops what was damaged
// in the file instead of serving it. It stands directly behind the record and is not counted in its
// size; padded, tail and fits know of it.
//
//	+---------------------------+-------------+ - - - - +
//	| record                    | CRC-32C   4 | padding |
//	+---------------------------+-------------+ - - - - +
//	|◀───────── size ──────────▶|
//
// It covers what does not change while a record stays where it is: klen, vlen, ext, flags, unique,
// key and value; of a piece also the key of its item. What changes in place is outside: ctrl,
// access, exptime, and whatever links the parts of a split value. It begins with the record's place
// and the incarnation of its segment, so that what an earlier use of the memory has left is not
// believed, nor a page that is older than its neighbours, or was meant for another place.
//
// publish writes it before the record counts. Who changes a record in place calls resum between
// intend and done.
const sumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// publish makes a record that writeHeader or appendPiece made count: its value is in place, and a
// piece's links are.
func (s *shard) publish(r *record) {
	s.resum(r)
	r.publish()
}

// resum writes a record's checksum anew.
func (s *shard) resum(r *record) {
	if s.sumSize != 0 {
		s.writeSum(r)
	}
}

func (s *shard) writeSum(r *record) {
	key := []byte(nil)
	if r.piece() {
		var head record
		head.read(s.at(s.chains[*r.chain()].head))
		key = head.key()
	}
	*s.sumAt(r) = s.sum(r, s.segmentOfRecord(r).incarnation, key)
}

func (s *shard) sumAt(r *record) *uint32 { return (*uint32)(unsafe.Add(r.p, r.size)) }

// whole tells whether a record's checksum is right. key is that of its item, if it is a piece.
func (s *shard) whole(r *record, incarnation uint64, key []byte) bool {
	return s.sumSize == 0 || *s.sumAt(r) == s.sum(r, incarnation, key)
}

// sum is the checksum of a record.
func (s *shard) sum(r *record, incarnation uint64, key []byte) uint32 {
	c := uint32(incarnation)*0x9e3779b1 ^ uint32(uintptr(r.p)-uintptr(s.arena))
	b := unsafe.Slice((*byte)(r.p), r.size)
	switch {
	case r.piece():
		c = crc32.Update(c, castagnoli, key)
		c = crc32.Update(c, castagnoli, b[offKlen:r.koff-linksSize])
		return crc32.Update(c, castagnoli, b[r.koff:])
	case r.ext&(extExptime|extMore) == 0:
		return crc32.Update(c, castagnoli, b[offKlen:])
	}
	c = crc32.Update(c, castagnoli, b[offKlen:r.offExptime()])
	c = crc32.Update(c, castagnoli, b[r.offCas():r.offMore()])
	return crc32.Update(c, castagnoli, b[r.koff:])
}

// sum is a check of what does not change in a segment's entry while the segment is in use.
func (sg *segment) sum() uint16 {
	var b [13]byte
	binary.LittleEndian.PutUint64(b[:], sg.incarnation)
	binary.LittleEndian.PutUint32(b[8:], uint32(sg.created))
	b[12] = sg.queue
	c := crc32.Update(0, castagnoli, b[:])
	return uint16(c ^ c>>16)
}
