package storage

import "bytes"

// A large value need not be copied to be sent: its segments are pinned, the reply is written from
// where the value lies, for as long as the client takes, and what has been sent is released.
// Meanwhile the item may be deleted, moved or evicted like any other. Only the segment, when
// nothing in it lives any more, waits for its last pin before somebody else's bytes come into it,
// and no value in it is overwritten in place. A segment with pins is not chosen to be emptied. How
// much may be pinned: hold.go.
//
// What changes in a pinned segment is headers of records: a value, once written, stays as it is.

// Pinned are values that are held where they are. The zero one holds nothing.
type Pinned struct {
	Pieces [][]byte // in the order in which they were pinned; to be read only, and until they are released
	Bytes  int      // of all Pieces
	held   []heldSegment
	gone   int // Pieces that are released already
}

// heldSegment is what holds a piece. A piece without a shard is a copy.
type heldSegment struct {
	shard *shard
	seg   int32
}

// Pin adds the value of an item to what is held. Only a visitor may call it.
func (it *Item) Pin(p *Pinned) {
	s, r := it.shard, it.record
	if r.packed() {
		p.add(bytes.Clone(it.Value), heldSegment{}) // it is not there as it is read
		return
	}
	for {
		g := s.segmentAt(r.p)
		s.pin(g)
		p.add(r.value(), heldSegment{s, g})
		if !r.piece() && !r.split() || *r.next() == noPiece {
			return
		}
		r.read(s.at(*r.next()))
	}
}

func (p *Pinned) add(piece []byte, held heldSegment) {
	p.Pieces = append(p.Pieces, piece)
	p.held = append(p.held, held)
	p.Bytes += len(piece)
}

// Release lets go of everything. It takes the locks of shards, one after the other, so no visitor
// may call it.
func (p *Pinned) Release() {
	p.ReleaseFirst(len(p.Pieces))
	p.Pieces, p.held, p.gone = p.Pieces[:0], p.held[:0], 0
}

// ReleaseFirst lets go of the first n Pieces, which are nil after that.
func (p *Pinned) ReleaseFirst(n int) {
	for p.gone < n {
		s, before := p.held[p.gone].shard, 0
		if s != nil {
			s.lock()
			before = s.pinned
		}
		for ; p.gone < n && p.held[p.gone].shard == s; p.gone++ {
			p.Bytes -= len(p.Pieces[p.gone])
			p.Pieces[p.gone] = nil
			if s != nil {
				s.unpin(p.held[p.gone].seg)
			}
		}
		if s != nil {
			if s.pinned < before {
				s.call(callsAtOnce)
			}
			s.unlock()
		}
	}
}

func (s *shard) pin(g int32) {
	sg := &s.segments[g]
	sg.pins++
	if sg.pins == 1 {
		s.pinned++
		s.noteHolds()
	}
}

func (s *shard) unpin(g int32) {
	sg := &s.segments[g]
	sg.pins--
	if sg.pins > 0 {
		return
	}
	s.pinned--
	s.noteHolds()
	if sg.state == statePinned {
		s.deadPinned--
		s.release(g)
	}
}
