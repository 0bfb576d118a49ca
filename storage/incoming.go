package storage

import (
	"bytes"
	"slices"

	"github.com/gomemd/gomemd/expiry"
)

// Incoming is a large value on its way in. Its bytes are put where they will stay; only at Commit
// the index hears of them. It is used by one goroutine and ends with Commit or Abort.
//
// It costs nothing before its first byte comes, and then what has come, up to a record more. Room
// for that is made like room for anything else. Who stands still while somebody needs room loses
// what has come (hold.go).
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
	later    func()

	// Guarded by the shard's lock, for the shard may have to take the room back.
	came    int            // bytes that have come
	room    int            // bytes that the chain has room for; but for Fill, only its last record is not full
	rooms   uint8          // how many of them Fill hands out at once, at most: few if its client is slow
	chain   uint32         // noChain: it has none yet, or it is over
	over    bool           // it has been committed, aborted or dropped …
	failed  Status         // … and this is what whoever goes on with it is told
	waits   bool           // for us, and not for its client …
	place   uint64         // … and where it has waited, or 0
	moved   int            // of the bytes that have come, those that had at movedAt …
	movedAt expiry.Instant // … when at least stillLeast had come since the time before
}

// writeStep bounds what Write copies while it holds the lock.
const writeStep = 16 << 10

// Receive begins a value of n bytes that will arrive in parts. The item's Value is ignored; its key
// is copied. later is called, as MayPin's, when Write or Fill have said Later and it is worth
// trying again.
func (st *Store) Receive(hash uint64, it *Item, n int, later func()) (*Incoming, Status) {
	if len(it.Key) == 0 || len(it.Key) > keyMax || Charge(len(it.Key), it.Flags, n, !st.opts.DisableCAS) > st.opts.ItemMax {
		return nil, TooLarge
	}
	in := &Incoming{
		st: st, s: st.shard(hash), hash: hash, key: bytes.Clone(it.Key), flags: it.Flags, deadline: it.Deadline,
		unique: it.Unique, binary: it.Binary, explicit: it.Explicit, show: it.Show, n: n, chain: noChain, rooms: roomsMost, later: later,
	}
	s := in.s
	s.lock()
	defer s.unlockWhole()
	in.queue = s.queueFor(it.Deadline, headerMax+len(it.Key)+n)
	return in, Stored
}

// begin writes the head, with room for the first bytes.
func (s *shard) begin(in *Incoming) {
	// The unique is only known when the value is complete; there is room for it.
	nf := fields{klen: len(in.key), vlen: in.n, flags: in.flags, deadline: in.deadline, binary: in.binary, unique: 1, coming: true}
	if s.store.opts.DisableCAS {
		nf.unique = 0
	}
	if s.tail(in.queue) < headerMax+len(in.key)+tailMin {
		s.next(in.queue)
	}
	most := min(s.tail(in.queue), recordMax)
	if n := s.shared(in); n < in.n {
		most = min(most, headerMax+len(in.key)+max(n, tailMin))
	}
	var r record
	s.writeHead(&r, in.queue, &nf, in.key, s.within(in.queue, most))
	r.publish() // its checksum comes when its value has
	in.chain = nf.chain
	s.chains[in.chain].incoming = in
	s.arrivals = append(s.arrivals, in)
	s.arrive(in, int(r.vlen))
	s.pace(r.size)
}

// wholeRecord is how long a record is that takes a segment of its own.
func (s *shard) wholeRecord() int { return int(s.segSize - s.sumSize) }

// wholePiece is how many bytes of a value it holds.
func (s *shard) wholePiece() int { return s.wholeRecord() - pieceHeader }

// shared is how many of the bytes of a large value that have no room yet share segments with others. The
// rest is in pieces that have a segment of their own each, so that these are free, and the first to
// be used again, when the value goes, whatever was stored before and after it:
//
//	shared    … others │ head │ others …
//	whole     │ piece            │  │ piece            │  │ piece            │
//
// With its head a quarter of a segment is shared, or else a whole piece more: a victim full of short
// heads would take a hundred values with it. And all of it is when memory is nearly full: queues in
// which all bytes are in the order in which they came evict better.
func (s *shard) shared(in *Incoming) int {
	rest, whole := in.n-in.room, s.wholePiece()
	if rest < whole || whole > recordMax || s.store.nearlyFull() {
		return rest
	}
	if head := in.n % whole; head < whole/4 && in.room < head+whole {
		return head + whole - in.room
	}
	if rest %= whole; rest < tailMin {
		return 0
	}
	return rest
}

// hasWhole tells whether such a segment can be had without evicting anything.
func (s *shard) hasWhole() bool {
	s.unsplit = true
	for !s.has(queueWhole, s.wholeRecord()) && s.more() {
	}
	has := s.has(queueWhole, s.wholeRecord())
	s.unsplit = false
	return has
}

// linkWhole appends such a piece to the chain.
func (s *shard) linkWhole(in *Incoming) {
	s.next(queueWhole)
	s.linkPiece(queueWhole, in.chain, s.wholePiece(), in.deadline)
	s.seal(queueWhole)
	s.arrive(in, s.wholePiece())
}

// unlinkWhole gives back the last one, in which nothing has come.
func (s *shard) unlinkWhole(in *Incoming) {
	c := &s.chains[in.chain]
	var last, before record
	last.read(s.at(c.last))
	sg := s.segmentOf(c.last)
	c.last = *last.prev()
	before.read(s.at(c.last))
	*before.next() = noPiece
	s.kill(&last, sg)
	s.moves++
	s.arrive(in, -int(last.vlen))
}

// extend makes room for the next bytes. Later: there will be, and then in.later is called; nothing
// has changed.
func (s *shard) extend(in *Incoming) Status {
	in.waits = true
	status := s.tryExtend(in)
	for status == Later && s.dropStill() {
		status = s.tryExtend(in)
	}
	switch status {
	case Stored:
		in.waits, in.moved, in.movedAt = false, in.came, s.now
	case Later:
		in.place = s.wait(in.place, in.later)
	default:
		s.abandon(in, status)
	}
	return status
}

func (s *shard) tryExtend(in *Incoming) Status {
	n := s.shared(in)
	if n == 0 && in.chain != noChain && s.mayArrive(in, s.wholePiece()) && s.makeRoomWhole(none, queueWhole, s.wholeRecord()) {
		if in.over { // the room was made at this value's own cost
			return in.failed
		}
		s.linkWhole(in)
		return Stored
	}
	if n == 0 {
		n = in.n - in.room
	}
	n = min(n, recordMax)
	if !s.mayArrive(in, n) {
		return Later
	}
	least := pieceHeader + tailMin
	if in.chain == noChain {
		least = headerMax + len(in.key) + tailMin
	}
	if !s.makeRoom(in.queue, least) {
		if s.mayWait(in) {
			return Later
		}
		return OutOfMemory
	}
	if in.over {
		return in.failed
	}
	if in.chain == noChain {
		s.begin(in)
		return Stored
	}
	if s.tail(in.queue) < least {
		s.next(in.queue)
	}
	// The piece is made for what will come, not only for what is here.
	n = min(n, min(s.tail(in.queue), recordMax)-pieceHeader)
	n = s.within(in.queue, n+pieceHeader) - pieceHeader
	s.linkPiece(in.queue, in.chain, n, in.deadline)
	s.arrive(in, n)
	return Stored
}

// Write takes the next part, and tells how many bytes of it it has taken: all, or with Later as
// many as there is room for at present. More than was announced is TooLarge; OutOfMemory says that
// the room is gone, and what had come with it. Either ends the Incoming.
func (in *Incoming) Write(p []byte) (taken int, status Status) {
	if len(p) >= writeStep { // a client who sends as fast as we read
		in.rooms = roomsMost
	}
	for taken < len(p) && status == Stored {
		part := p[taken:min(len(p), taken+writeStep)]
		status = in.locked(func(s *shard) Status {
			n, status := s.receive(in, part)
			taken += n
			return status
		})
	}
	return taken, status
}

// Rooms are the places for the next bytes of a value, as Fill hands them out. They are for one goroutine,
// which may use them for one value after the other.
type Rooms struct {
	parts [][]byte
	at    []uint32 // granules of the records in which they lie
}

const (
	// roomsBytes bounds what Fill hands out at once, and so what is read with one call of the system.
	roomsBytes = 512 << 10
	roomsMost  = 16
)

// Fill is Write for who can put bytes in place himself, such as by reading a socket. It may be
// called while some are missing: fill is given rooms for some of these, to be filled one after the
// other, and tells how many bytes it has put there; it may append to the rooms, and keeps none of
// them. With Later fill was not called. No lock is held meanwhile, as a rule, so what lies beside the
// rooms is pinned; fill must not wait all the same.
func (in *Incoming) Fill(r *Rooms, fill func(rooms [][]byte) int) (n int, status Status) {
	r.parts, r.at = r.parts[:0], r.at[:0]
	status = in.locked(func(s *shard) Status {
		room, status := s.room(in)
		if status != Stored {
			return status
		}
		if s.segmentOf(s.chains[in.chain].last).state == stateVictim { // it may be moved: not without the lock
			n = fill(append(r.parts, room))
			return s.came(in, n)
		}
		s.hand(in, r, room)
		return Stored
	})
	if len(r.at) == 0 {
		return n, status
	}
	for size := len(r.parts[0]); size < roomsBytes && len(r.at) < int(in.rooms) && status == Stored; size += len(r.parts[len(r.at)-1]) {
		handed := len(r.at)
		if status = in.locked(func(s *shard) Status { return s.handMore(in, r) }); len(r.at) == handed {
			break
		}
	}
	if status == Stored {
		n = in.let(fill, r.parts)
	}
	return n, in.filled(r, n)
}

// let calls fill. After a panic the rooms stay pinned: then the store is unusable.
func (in *Incoming) let(fill func(rooms [][]byte) int, rooms [][]byte) int {
	defer func() {
		if p := recover(); p != nil {
			in.st.broken.Store(true)
			panic(p)
		}
	}()
	return fill(rooms)
}

// hand adds a room, which is what is free of the chain's last record.
func (s *shard) hand(in *Incoming, r *Rooms, room []byte) {
	last := s.chains[in.chain].last
	s.pin(s.segmentNumber(last))
	r.parts, r.at = append(r.parts, room), append(r.at, last)
}

// handMore adds another, if a segment of its own is free for it.
func (s *shard) handMore(in *Incoming, r *Rooms) Status {
	if in.room == in.n || s.shared(in) != 0 || !s.mayArrive(in, s.wholePiece()) || !s.hasWhole() {
		return Stored
	}
	s.linkWhole(in)
	var last record
	last.read(s.at(s.chains[in.chain].last))
	s.hand(in, r, last.value())
	return Stored
}

// filled counts n bytes that have been put into the rooms, and gives back those that have got none.
func (in *Incoming) filled(r *Rooms, n int) (status Status) {
	owes := false
	count := func(s *shard) Status {
		var full record
		left := n
		for i, at := range r.at {
			size := len(r.parts[i])
			if left < size {
				break
			}
			left -= size
			full.read(s.at(at))
			s.resum(&full)
		}
		for i := len(r.at) - 1; i > 0 && in.room-len(r.parts[i]) >= in.came+n; i-- {
			s.unlinkWhole(in)
		}
		if in.rooms = min(2*in.rooms, roomsMost); in.came+n < in.room || len(r.at) == 0 {
			in.rooms = 1
		}
		in.came += n
		status := s.paid(in, min(n, writeStep))
		owes = s.debt > 0
		return status
	}
	func() {
		s := in.s
		s.lock()
		defer s.unlockWhole()
		pinned := s.pinned
		for _, at := range r.at {
			s.unpin(s.segmentNumber(at))
		}
		if status = in.failed; !in.over {
			status = count(s)
		}
		if s.pinned < pinned {
			s.call(callsAtOnce)
		}
	}()
	// So much at once is owed more than one step of pace.
	for paid := writeStep; owes && paid < n && status == Stored; paid += writeStep {
		status = in.locked(func(s *shard) Status {
			status := s.paid(in, min(n-paid, writeStep))
			owes = s.debt > 0
			return status
		})
	}
	return status
}

// locked runs f under the shard's lock unless the value is over.
func (in *Incoming) locked(f func(s *shard) Status) Status {
	in.s.lock()
	defer in.s.unlockWhole()
	if in.over {
		return in.failed
	}
	return f(in.s)
}

// receive puts a part where it belongs.
func (s *shard) receive(in *Incoming, p []byte) (taken int, _ Status) {
	if len(p) > in.n-in.came {
		s.abandon(in, TooLarge)
		return 0, TooLarge
	}
	for taken < len(p) {
		room, status := s.room(in)
		if status != Stored {
			return taken, status
		}
		n := copy(room, p[taken:])
		taken += n
		if status := s.came(in, n); status != Stored {
			return taken, status
		}
	}
	return taken, Stored
}

// room is where the next bytes of a value belong: what is left of the chain's last record, or else
// a new piece.
func (s *shard) room(in *Incoming) ([]byte, Status) {
	if in.came == in.room {
		if status := s.extend(in); status != Stored {
			return nil, status
		}
		if in.over { // pace has found nothing else to give up
			return nil, in.failed
		}
	}
	var last record
	last.read(s.at(s.chains[in.chain].last))
	v := last.value()
	return v[len(v)-(in.room-in.came):], Stored
}

// came counts n bytes that have been put in their place, and pays for them.
func (s *shard) came(in *Incoming, n int) Status {
	if in.came += n; n > 0 && in.came == in.room { // its last record is full
		var last record
		last.read(s.at(s.chains[in.chain].last))
		s.resum(&last)
	}
	return s.paid(in, n)
}

// paid pays for n bytes that have come.
func (s *shard) paid(in *Incoming, n int) Status {
	if in.came-in.moved >= stillLeast {
		in.moved, in.movedAt = in.came, s.now
	}
	s.pace(uint32(n))
	if in.over {
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
	if in.n == 0 && s.extend(in) != Stored { // an empty value has no head yet
		s.abandon(in, OutOfMemory)
		return OutOfMemory
	}
	var f found
	present := s.getForUpdate(in.hash, in.key, &f)
	status := s.decide(mode, present, &f, in.unique)
	if status != Stored {
		s.abandon(in, status)
		return status
	}
	if present && joins(mode) {
		in.answered = Item{Key: in.key, Binary: in.binary, Explicit: in.explicit, Show: in.show}
		if status = NotStored; s.mayJoin(&f, in.n) {
			status = s.join(in.hash, mode, &f, &in.answered, in)
		}
		s.abandon(in, status) // if it was not stored
		return status
	}
	deadline, keep, guard := in.deadline, uint8(0), int64(none)
	if present && s.outdated(mode, &f, in.unique) {
		deadline, keep, guard = f.deadline(f.sg.created), ctrlStale|*f.ctrl()&ctrlWon, int64(f.loc)
	}
	head := s.headOf(in)
	if sg := s.segmentOfRecord(&head); deadline != in.deadline || sg.incarnation < s.suspect && s.suspected(&head, sg) {
		// It began before a flush, and an item is as old as its head.
		moves := s.moves
		if !s.headAnew(in, guard, deadline) {
			s.abandon(in, OutOfMemory)
			return OutOfMemory
		}
		present = present && (s.moves == moves || s.find(in.hash, in.key, &f))
	}
	c := &s.chains[in.chain]
	loc := c.head
	var r record
	r.read(s.at(loc))
	s.segmentOf(loc).note(deadline) // whoever came by looked for items
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
	*r.ctrl() |= keep
	s.resum(&r)
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
	s.end(in, NotStored) // for whoever goes on with it
	s.moves++
	s.stats.TotalItems++
	return Stored
}

// headAnew writes the head of a value that is on its way once more, with this deadline. False:
// there is no room.
func (s *shard) headAnew(in *Incoming, guard int64, deadline expiry.Instant) bool {
	in.waits = true // for this room: it must not be made of what has come
	r := s.headOf(in)
	ok := s.makeRoomWhole(guard, in.queue, headerMax+int(r.klen)+int(r.vlen))
	if in.waits = false; !ok || in.over {
		return false
	}
	loc := s.chains[in.chain].head
	r.read(s.at(loc))
	sg := s.segmentOf(loc)
	nf := r.fields(sg.created)
	nf.deadline = deadline
	var n record
	s.moveHead(&n, &r, loc, sg, in.queue, &nf)
	return true
}

// abandon gives back the room of a value that will not be completed.
func (s *shard) abandon(in *Incoming, why Status) {
	if in.over {
		return
	}
	if in.chain != noChain {
		loc := s.chains[in.chain].head
		var r record
		r.read(s.at(loc))
		s.killItem(&r, s.segmentOf(loc))
		s.moves++
	}
	s.end(in, why)
}

// end is the end of a value's way, be it stored or not.
func (s *shard) end(in *Incoming, why Status) {
	if i := slices.Index(s.arrivals, in); i >= 0 {
		s.arrivals = slices.Delete(s.arrivals, i, i+1)
	}
	s.arriving -= int64(in.room)
	in.chain, in.over, in.failed = noChain, true, why
	s.noteHolds()
	s.call(callsAtOnce)
}

// Abort gives the room back. It may be called at any time, and again.
func (in *Incoming) Abort() {
	in.locked(func(s *shard) Status {
		s.abandon(in, NotStored)
		return NotStored
	})
}
