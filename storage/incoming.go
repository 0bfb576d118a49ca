package storage

import (
	"bytes"

	"github.com/gomemd/gomemd/expiry"
)

// Incoming is a large value on its way in. Its bytes are put where they will stay; only at Commit the index hears of
// them. It is used by one goroutine and ends with Commit or Abort.
type Incoming struct {
	st       *Store
	s        *shard
	hash     uint64
	key      []byte
	flags    uint32
	deadline expiry.Instant
	unique   uint64 // what CompareAndSwap compares
	binary   bool
	explicit uint64 // as an Item's …
	show     bool
	answered Item // … and what Put would have told
	n        int  // bytes that were announced
	queue    int

	// Guarded by the shard's lock, for the shard may have to take the room back.
	came   int    // bytes that have come
	room   int    // bytes that the chain has room for; only its last record is not full
	chain  uint32 // noChain: it is over
	failed Status // and this is why
}

// writeStep bounds what Write copies while it holds the lock.
const writeStep = 16 << 10

// Receive begins a value of n bytes that will arrive in parts. The item's Value is ignored; its key is copied. What is
// on its way may occupy an eighth of the store together, or one item may if it is the only one.
func (st *Store) Receive(hash uint64, it *Item, n int) (*Incoming, Status) {
	if len(it.Key) == 0 || len(it.Key) > keyMax || Charge(len(it.Key), it.Flags, n, !st.opts.DisableCAS) > st.opts.ItemMax {
		return nil, TooLarge
	}
	if all := st.incoming.Add(int64(n)); all > int64(n) && all > st.limit.Load()/8 {
		st.incoming.Add(-int64(n))
		return nil, OutOfMemory
	}
	in := &Incoming{
		st: st, s: st.shard(hash), hash: hash, key: bytes.Clone(it.Key), flags: it.Flags, deadline: it.Deadline,
		unique: it.Unique, binary: it.Binary, explicit: it.Explicit, show: it.Show, n: n, chain: noChain,
	}
	s := in.s
	s.lock()
	defer s.unlock()
	in.queue = s.queueFor(it.Deadline, headerMax+len(it.Key)+n)
	if status := s.begin(in); status != Stored {
		in.end(status)
		return nil, status
	}
	return in, Stored
}

// begin writes the head, with room for the first bytes.
func (s *shard) begin(in *Incoming) Status {
	// The unique is only known when the value is complete; there is room for it.
	nf := fields{klen: len(in.key), vlen: in.n, flags: in.flags, deadline: in.deadline, binary: in.binary, unique: 1, coming: true}
	if s.store.opts.DisableCAS {
		nf.unique = 0
	}
	first := headerMax + len(in.key) + tailMin
	if !s.makeRoom(in.queue, first) {
		return OutOfMemory
	}
	if s.tail(in.queue) < first {
		s.next(in.queue)
	}
	var r record
	s.writeHead(&r, in.queue, &nf, in.key)
	r.publish()
	in.chain, in.room = nf.chain, int(r.vlen)
	s.chains[in.chain].incoming = in
	s.pace(r.size)
	return Stored
}

// Write takes the next part. More than was announced is TooLarge; OutOfMemory says that the room is gone, and what had
// come with it. Either ends the Incoming.
func (in *Incoming) Write(p []byte) Status {
	for {
		part := p[:min(len(p), writeStep)]
		if status := in.locked(func(s *shard) Status { return s.receive(in, part) }); status != Stored {
			return status
		}
		if p = p[len(part):]; len(p) == 0 {
			return Stored
		}
	}
}

// Fill is Write for who can put bytes in place himself, such as by reading a socket. It may be called while some are missing: fill
// is given room for one to recordMax of these, and tells how many it has put there. It holds the shard's lock, and must not wait.
func (in *Incoming) Fill(fill func(room []byte) int) (n int, status Status) {
	status = in.locked(func(s *shard) Status {
		room, status := s.room(in)
		if status != Stored {
			return status
		}
		n = fill(room)
		return s.came(in, n)
	})
	// So much at once is owed more than one step of pace.
	for paid := writeStep; paid < n && status == Stored; paid += writeStep {
		status = in.locked(func(s *shard) Status { return s.came(in, 0) })
	}
	return n, status
}

// locked runs f under the shard's lock unless the value is over.
func (in *Incoming) locked(f func(s *shard) Status) Status {
	in.s.lock()
	defer in.s.unlock()
	if in.chain == noChain {
		return in.failed
	}
	return f(in.s)
}

// receive puts a part where it belongs.
func (s *shard) receive(in *Incoming, p []byte) Status {
	if len(p) > in.n-in.came {
		s.abandon(in, TooLarge)
		return TooLarge
	}
	for len(p) > 0 {
		room, status := s.room(in)
		if status != Stored {
			return status
		}
		n := copy(room, p)
		p = p[n:]
		if status := s.came(in, n); status != Stored {
			return status
		}
	}
	return Stored
}

// room is where the next bytes of a value belong: what is left of the chain's last record, or else a new piece.
func (s *shard) room(in *Incoming) ([]byte, Status) {
	if in.came == in.room {
		const least = pieceHeader + tailMin
		ok := s.makeRoom(in.queue, least)
		if in.chain == noChain { // the room was made at this value's own cost
			return nil, in.failed
		}
		if !ok {
			s.abandon(in, OutOfMemory)
			return nil, OutOfMemory
		}
		if s.tail(in.queue) < least {
			s.next(in.queue)
		}
		// The piece is made for what will come, not only for what is here.
		n := min(in.n-in.came, min(s.tail(in.queue), recordMax)-pieceHeader)
		s.linkPiece(in.queue, in.chain, n, in.deadline)
		in.room += n
	}
	var last record
	last.read(s.at(s.chains[in.chain].last))
	v := last.value()
	return v[len(v)-(in.room-in.came):], Stored
}

// came counts n bytes that have been put in their place, and pays for them.
func (s *shard) came(in *Incoming, n int) Status {
	in.came += n
	s.pace(uint32(n))
	if in.chain == noChain {
		return in.failed
	}
	return Stored
}

// Commit stores the value by the rule of the mode. The value is complete, else NotStored.
func (in *Incoming) Commit(mode Mode) Status {
	return in.locked(func(s *shard) Status { return s.commit(in, mode) })
}

// Tell tells an Item what Put would have told it of what Commit has stored.
func (in *Incoming) Tell(it *Item) {
	it.Unique, it.length = in.answered.Unique, max(in.answered.length, in.n)
}

func (s *shard) commit(in *Incoming, mode Mode) Status {
	if in.came != in.n {
		s.abandon(in, NotStored)
		return NotStored
	}
	var f found
	present := s.getForUpdate(in.hash, in.key, &f)
	status := s.decide(mode, present, &f, in.unique)
	if status != Stored {
		s.abandon(in, status)
		return status
	}
	c := &s.chains[in.chain]
	loc := c.head
	var r record
	r.read(s.at(loc))
	if present && (joins(mode) || s.outdated(mode, &f, in.unique)) {
		// Large values are seldom appended to: this goes by way of the heap.
		in.answered = Item{
			Key: in.key, Value: s.appendValue(make([]byte, 0, in.n), &r), Flags: in.flags, Unique: in.unique,
			Binary: in.binary, Explicit: in.explicit, Show: in.show,
		}
		s.abandon(in, NotStored)
		status = s.link(in.hash, mode, present, &f, &in.answered)
		in.answered.Value = nil
		return status
	}
	if !s.store.opts.DisableCAS {
		u := uint64(0)
		if present {
			u = s.uniqueOf(&f.record, f.loc)
		}
		if in.explicit != 0 {
			r.setUnique(in.explicit)
		} else {
			r.setUnique(s.freshUnique(u))
		}
	}
	r.complete()
	if present {
		*r.ctrl() |= *f.ctrl() & ctrlFreq
		s.index.setLoc(f.slot, loc)
		s.killItem(&f.record, f.sg)
	} else if !s.enter(in.hash, loc) {
		s.abandon(in, OutOfMemory)
		return OutOfMemory
	}
	if in.show || in.explicit != 0 {
		s.answer(&in.answered, &r, loc)
	}
	c.incoming = nil
	if s.store.sizes != nil {
		s.sized(&r, +1)
	}
	in.end(NotStored) // for whoever goes on with it
	s.moves++
	s.stats.TotalItems++
	return Stored
}

// abandon gives back the room of a value that will not be completed.
func (s *shard) abandon(in *Incoming, why Status) {
	loc := s.chains[in.chain].head
	var r record
	r.read(s.at(loc))
	s.killItem(&r, s.segmentOf(loc))
	s.moves++
	in.end(why)
}

func (in *Incoming) end(why Status) {
	in.st.incoming.Add(-int64(in.n))
	in.chain, in.failed = noChain, why
}

// Abort gives the room back. It may be called at any time, and again.
func (in *Incoming) Abort() {
	in.locked(func(s *shard) Status {
		s.abandon(in, NotStored)
		return NotStored
	})
}
