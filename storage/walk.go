package storage

import (
	"math"
	"math/bits"
	"slices"
)

// Walk visits all items, in steps that other users of the store hardly notice. What is stored or deleted meanwhile may be
// met or not; an item that is there from the beginning to the end is met, however often the store itself moves it, and
// once unless it changes its bucket.
//
// The walk goes along the index, not the log: a record that moves keeps its place there. An item is in one of two places,
// its hash or the rehash of it, as parts of the whole index, and these stay the same while the index changes its size:
//
//	0                        at                                   2^64
//	├────────────────────────┼──────────────────────────────────────┤
//	│ visited                │ to come                              │ and then the stash
//	       ▲                          │
//	       └──── an item may go ──────┘  to its other bucket, when a third needs its place or the index is resized
//
// From behind to ahead is harmless. From ahead to behind it would be missed, so whoever moves an entry tells the walks.
type Walk struct {
	st       *Store
	shard    int      // the one that is walked at present
	entered  bool     // and knows of it
	at       uint64   // where the walk has come to
	finished bool     // with all the places: no item can be missed any more
	missed   []uint64 // hashes of items that went behind
}

const (
	// walkItems is after how many items somebody else may have the lock, and walkBuckets the same for a thin index: some
	// 10 µs, printing the items included.
	walkItems   = 24
	walkBuckets = 64
	// everywhere is behind all places in the index: there is the stash.
	everywhere = math.MaxUint64
)

// Walk begins a walk. It costs nothing until the first Next; it must be brought to its end or closed.
func (st *Store) Walk() *Walk { return &Walk{st: st} }

// Next hands some items to visit, or none: more tells whether there are others. Visiting is no use of an item, and the
// unique that is handed out does not count as told.
func (w *Walk) Next(visit func(*Item)) (more bool) {
	if w.shard == len(w.st.shards) {
		return false
	}
	s := &w.st.shards[w.shard]
	s.lock()
	over := s.walk(w, visit)
	if over {
		s.leave(w)
		*w = Walk{st: w.st, shard: w.shard + 1, missed: w.missed[:0]}
	}
	s.unlock()
	return w.shard < len(w.st.shards)
}

// Close ends a walk before its end.
func (w *Walk) Close() {
	if w.entered {
		s := &w.st.shards[w.shard]
		s.lock()
		s.leave(w)
		s.unlock()
	}
	*w = Walk{st: w.st, shard: len(w.st.shards)}
}

func (s *shard) leave(w *Walk) {
	s.walks = slices.DeleteFunc(s.walks, func(o *Walk) bool { return o == w })
}

// walk takes a step. It tells whether that was the last one in this shard.
func (s *shard) walk(w *Walk, visit func(*Item)) (over bool) {
	if !w.entered {
		w.entered = true
		s.walks = append(s.walks, w)
	}
	items := 0
	for ; len(w.missed) > 0 && items < walkItems; items++ {
		last := len(w.missed) - 1
		s.meetHash(w.missed[last], visit)
		w.missed = w.missed[:last]
	}
	for buckets := 0; !w.finished && items < walkItems && buckets < walkBuckets; buckets++ {
		n, end := s.walkBucket(w, visit)
		items += n
		w.at = end
		if end == everywhere {
			for i := range s.index.stashed {
				s.meet(slot{nil, i}, visit)
			}
			w.finished = true
		}
	}
	return w.finished && len(w.missed) == 0
}

// walkBucket meets what lives in the next bucket and tells where that ends.
func (s *shard) walkBucket(w *Walk, visit func(*Item)) (items int, end uint64) {
	x := &s.index
	i, swept := x.place(w.at)
	b := x.bucket(i)
	occupied := ^b.match(0) & (1<<slots - 1) &^ uint32(b.ghost)
	for m := occupied; m != 0; m &= m - 1 { // all their lines at once
		s.touched += uint32(*(*uint8)(s.at(b.loc[trailing(m)] & locMask)))
	}
	for m := occupied; m != 0; m &= m - 1 {
		e := slot{b, trailing(m)}
		// A bucket may reach back behind the walk: it has become larger, or another one than before.
		if x.placeOf(s.hashAt(x.loc(e)), e) >= w.at {
			s.meet(e, visit)
			items++
		}
	}
	return items, x.endOf(i, swept)
}

// placeOf is where in the index an entry with this hash is, as a part of the whole.
func (x *index) placeOf(h uint64, e slot) uint64 {
	switch {
	case e.b == nil:
		return everywhere
	case e.b == x.first(h):
		return h
	}
	return rehash(h)
}

// endOf is where a bucket of the one order or the other ends, as a part of the whole index.
func (x *index) endOf(i uint64, swept bool) uint64 {
	n := x.n
	if swept {
		n = x.next
	}
	end := border(i+1, n)
	if swept && !x.growing() { // the last one in the new order may reach into what is still in the old
		end = min(end, border(x.line, x.n))
	}
	return end
}

// border is the first place that belongs to bucket i of n.
func border(i, n uint64) uint64 {
	if i >= n {
		return everywhere
	}
	q, r := bits.Div64(i, 0, n)
	if r > 0 {
		q++
	}
	return q
}

// meet hands the item of an entry to the visitor, if it is alive.
func (s *shard) meet(e slot, visit func(*Item)) {
	f := found{slot: e, loc: s.index.loc(e)}
	f.read(s.at(f.loc))
	f.sg = s.segmentOf(f.loc)
	if s.fate(&f.record, f.sg) != alive {
		return
	}
	it := &s.item
	s.show(it, &f, false)
	it.Fetched, it.Idle = *f.ctrl()&ctrlFetched != 0, s.idle(&f)
	visit(it)
	s.item = Item{}
}

// meetHash meets the items with this hash, wherever they are by now: there is one, as a rule.
func (s *shard) meetHash(h uint64, visit func(*Item)) {
	x := &s.index
	tag, _ := tags(h)
	b1, b2 := x.first(h), x.second(h)
	for _, b := range []*bucket{b1, b2} {
		for m := b.match(tag) &^ uint32(b.ghost); m != 0; m &= m - 1 {
			if e := (slot{b, trailing(m)}); s.hashAt(x.loc(e)) == h {
				s.meet(e, visit)
			}
		}
		if b1 == b2 {
			break
		}
	}
	for i := range x.stashed {
		if x.stash[i].hash == h {
			s.meet(slot{nil, i}, visit)
		}
	}
}

// walked tells the walks that an entry has gone from one place to another.
func (s *shard) walked(h, from, to uint64) {
	for _, w := range s.walks {
		if !w.finished && from >= w.at && to < w.at {
			w.missed = append(w.missed, h)
		}
		if len(w.missed) > max(s.items, walkItems) { // it is slow, and much goes round: better begin this shard again
			w.at, w.missed = 0, w.missed[:0]
		}
	}
}

// landed does so for an entry that insert has put somewhere.
func (s *shard) landed(h uint64, loc uint32, from uint64) {
	if e, ok := s.entryOf(h, loc); ok {
		s.walked(h, from, s.index.placeOf(h, e))
	}
}
