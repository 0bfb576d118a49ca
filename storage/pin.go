package storage

import "bytes"

// A large value need not be copied to be sent: its segment is pinned, the reply is written from where the value lies, and then
// the pin goes. Meanwhile the item may be deleted, moved or evicted like any other. Only the segment, when nothing in it lives any
// more, waits for its last pin before somebody else's bytes come into it, and no value in it is overwritten in place.
//
// What changes in a pinned segment is headers of records: a value, once written, stays as it is.

// Pinned are values that are held where they are. The zero one holds nothing.
type Pinned struct {
	Pieces [][]byte // in the order in which they were pinned; to be read only, and until Release
	Bytes  int      // of all Pieces
	held   []heldSegment
}

type heldSegment struct {
	shard *shard
	seg   int32
}

// Pin adds the value of an item to what is held. Only a visitor may call it.
func (it *Item) Pin(p *Pinned) {
	s, r := it.shard, it.record
	if r.packed() {
		p.Pieces = append(p.Pieces, bytes.Clone(it.Value)) // it is not there as it is read
		p.Bytes += len(it.Value)
		return
	}
	for {
		sg := s.segmentAt(r.p)
		s.segments[sg].pins++
		p.held = append(p.held, heldSegment{s, sg})
		p.Pieces = append(p.Pieces, r.value())
		p.Bytes += int(r.vlen)
		if !r.piece() && !r.split() || *r.next() == noPiece {
			return
		}
		r.read(s.at(*r.next()))
	}
}

// Release lets go of everything. It takes the locks of shards, one after the other, so no visitor may call it.
func (p *Pinned) Release() {
	for i := 0; i < len(p.held); {
		s := p.held[i].shard
		s.lock()
		for ; i < len(p.held) && p.held[i].shard == s; i++ {
			s.unpin(p.held[i].seg)
		}
		s.unlock()
	}
	clear(p.Pieces)
	p.Pieces, p.held, p.Bytes = p.Pieces[:0], p.held[:0], 0
}

func (s *shard) unpin(g int32) {
	sg := &s.segments[g]
	sg.pins--
	if sg.pins == 0 && sg.state == statePinned {
		s.release(g)
	}
}
