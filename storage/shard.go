package storage

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// shard is one lock and all it guards: an arena of segments, the index of what is in them, the queues, the counters.
// Every method expects mu to be held, unless its comment says otherwise.
//
// What a lookup reads comes first, in three cache lines.
type shard struct {
	mu       sync.Mutex
	now      expiry.Instant // as read when the lock was taken
	pending  expiry.Instant // a flush that is due at that moment
	store    *Store
	suspect  uint64 // in segments with an older incarnation may be what was flushed
	arena    unsafe.Pointer
	granule  uint8 // log2 of the unit that loc counts
	segShift uint8 // log2 of segSize
	segSize  uint32
	sumSize  uint32 // of the checksum behind each record: 0 without a file (sum.go)
	granules uint32 // of the arena's address space, less warmReach; does not change
	segments []segment
	buckets  atomic.Uint64 // index.n, for Warm, which has no lock
	index    index

	floor       uint64          // segments with an older incarnation were flushed, …
	prefixes    []flushedPrefix // … and of some the keys that begin so: prefix.go
	clearing    clearing
	prefixLines *prefixLines   // what is kept of them in the memory file; nil without one
	line        *shardLine     // what is kept in it of the rest
	limit       int64          // bytes, for everything: room.go
	short       bool           // it has less than its share, and nothing can be drawn
	hungry      bool           // provide shall give more segments blocks …
	providing   bool           // … and is doing so
	deniedAt    expiry.Instant // when the system last refused to open more segments
	fresh       int            // from here on segments have never been used
	backedFresh int            // with a file: segments from here on have no blocks
	backed      int            // segments that can be used without asking the system
	free        list           // with pages
	gone        list           // without
	condemned   list           // on their way from the one to the other
	inUse       int
	leastSpare  int            // segments, …
	sparedAt    expiry.Instant // … since then
	bounds
	queues    [queues]queue
	usedBytes int64 // of all segments in use
	liveBytes int64

	items     int
	chains    []chain // of split items, by number
	freeChain uint32
	moves     uint64 // changes whenever a record or an index entry may have changed its place
	scratch   []byte // a split value that is being made whole
	touched   uint32 // sink for loads that are made for the cache's sake
	walks     []*Walk
	holds

	victim     scan
	guard      int64          // granule of a record that must not be dropped at present, or none
	force      bool           // evict what comes, used or not
	unsplit    bool           // room is made for a record that is to be in one piece
	debt       int64          // bytes of victims that should have been scanned
	kept       uint64         // bytes of victims that were moved, in all
	target     float64        // what part of all segments small may have
	evictedAge expiry.Instant // age of the last segment that was chosen for eviction

	visit   visit
	rate    [ttlLogs]uint32 // bytes a second stored in each TTL class
	stored  [ttlLogs]uint32 // in this second
	ratedAt expiry.Instant

	shown    uint64 // no unique larger than this was ever shown
	block    uint64 // the next unique that belongs to no place, see freshUnique
	blockEnd uint64

	item  Item // what Edit hands out: here, so that it does not escape to the heap at every call
	stats Stats
	_     [24]byte // to a multiple of pairOfLines: the next shard's lock is on lines of its own
}

// pairOfLines is what processors fetch together: two cache lines. What one core writes often is
// that far from what others read.
const pairOfLines = 128

// shardsOnPage is from how many shards on Go begins their array with a page, so that each shard
// begins with a cache line.
const shardsOnPage = 16

func panicf(format string, args ...any) { panic("storage: " + fmt.Sprintf(format, args...)) }

// lock takes the shard's lock and finds out what time it is. Reading the clock inside makes time monotonic for the
// shard, so "stored before the flush" has one meaning.
func (s *shard) lock() {
	s.mu.Lock()
	s.now = s.store.clock.Now()
	if s.pending != expiry.Never && s.pending <= s.now {
		s.flush()
	}
}

func (s *shard) unlock() {
	s.checkLimit()
	hungry := s.hungry
	s.mu.Unlock()
	if hungry {
		s.store.provide(s)
	}
	if invariants.Enabled {
		invariants.Yield()
	}
}

// unlockWhole is unlock for who defers it. After a panic the lock stays held: what it guards may be changed by half.
func (s *shard) unlockWhole() {
	if p := recover(); p != nil {
		s.store.broken.Store(true)
		panic(p)
	}
	s.unlock()
}

// found is where an item was found. It ends when s.moves changes.
type found struct {
	slot
	record
	loc uint32
	sg  *segment
}

// find looks a key up, dead or alive.
func (s *shard) find(h uint64, key []byte, f *found) bool {
	x := &s.index
	tag, top := tags(h)
	b := x.first(h)
	for choice := 0; ; choice++ {
		for m := b.match(tag) &^ uint32(b.ghost); m != 0; m &= m - 1 {
			i := trailing(m)
			loc := b.loc[i]
			if (loc^top)>>locBits != 0 {
				continue
			}
			loc &= locMask
			f.read(s.at(loc))
			if string(f.key()) == string(key) {
				f.slot, f.loc, f.sg = slot{b, i}, loc, s.segmentOf(loc)
				return true
			}
		}
		if choice == 1 || !x.mayContinue(b) {
			break
		}
		b = x.second(h)
	}
	for i := range x.stashed {
		if e := x.stash[i]; e.hash == h {
			f.read(s.at(e.loc))
			if string(f.key()) == string(key) {
				f.slot, f.loc, f.sg = slot{nil, i}, e.loc, s.segmentOf(e.loc)
				return true
			}
		}
	}
	return false
}

// entryOf finds the entry that points to a granule.
func (s *shard) entryOf(h uint64, loc uint32) (slot, bool) {
	x := &s.index
	tag, top := tags(h)
	b := x.first(h)
	for choice := 0; ; choice++ {
		for m := b.match(tag) &^ uint32(b.ghost); m != 0; m &= m - 1 {
			if i := trailing(m); b.loc[i] == top|loc {
				return slot{b, i}, true
			}
		}
		if choice == 1 || !x.mayContinue(b) {
			break
		}
		b = x.second(h)
	}
	for i := range x.stashed {
		if x.stash[i].loc == loc {
			return slot{nil, i}, true
		}
	}
	return slot{}, false
}

// live tells whether a record is neither expired nor flushed, and if not, which.
func (s *shard) fate(r *record, sg *segment) fate {
	switch {
	case sg.incarnation < s.suspect && s.suspected(r, sg):
		return flushed
	case r.ext&extExptime != 0 && r.deadline(sg.created).Passed(s.now):
		return expired
	}
	return alive
}

type fate uint8

const (
	alive fate = iota
	expired
	flushed
)

// kill marks a record dead: its bytes count no more. A sealed segment goes with its last live record.
func (s *shard) kill(r *record, sg *segment) {
	if invariants.Enabled && *r.ctrl()&ctrlDead != 0 {
		panicf("a dead record dies again")
	}
	*r.ctrl() |= ctrlDead
	n := s.padded(r.size)
	sg.live -= n
	s.liveBytes -= int64(n)
	if sg.live == 0 && sg.state == stateSealed {
		g := s.number(sg)
		s.dequeue(g)
		s.release(g)
	}
}

// unlink takes an item out of the index and marks it dead.
func (s *shard) unlink(h uint64, f *found) {
	s.index.remove(h, f.slot)
	s.killItem(&f.record, f.sg)
	s.items--
	s.moves++
}

// unlinkAt does so for an item of which only the place is known.
func (s *shard) unlinkAt(h uint64, f *found) {
	e, ok := s.entryOf(h, f.loc)
	if !ok {
		panicf("no index entry for the record at %d, key %q", f.loc, f.key())
	}
	f.slot = e
	s.unlink(h, f)
}

// reclaim counts an item that is taken away because it was dead already.
func (s *shard) reclaim(r *record, why fate) {
	s.stats.Reclaimed++
	if why != expired {
		return
	}
	s.stats.Expired++
	if *r.ctrl()&ctrlFetched == 0 {
		s.stats.ExpiredUnfetched++
	}
}

// get finds a live item for a reader. One that has died is removed on the way.
func (s *shard) get(h uint64, key []byte, f *found) bool {
	if !s.find(h, key, f) {
		return false
	}
	switch s.fate(&f.record, f.sg) {
	case expired:
		s.stats.GetExpired++
		s.stats.Expired++
	case flushed:
		s.stats.GetFlushed++
	default:
		return true
	}
	s.unlink(h, f)
	return false
}

// getForUpdate finds a live item for a writer. A dead one gives back its room.
func (s *shard) getForUpdate(h uint64, key []byte, f *found) bool {
	if !s.find(h, key, f) {
		return false
	}
	why := s.fate(&f.record, f.sg)
	if why == alive {
		return true
	}
	s.reclaim(&f.record, why)
	s.unlink(h, f)
	return false
}

// use marks an item as read. What is so already is not written again: another processor may be reading the line.
func (s *shard) use(f *found) {
	c := *f.ctrl()
	if c&ctrlFreq != ctrlFreq {
		c++
	}
	if c |= ctrlFetched; c != *f.ctrl() {
		*f.ctrl() = c
	}
	if code := accessCode(uint32(s.now - f.sg.created)); code != *f.access() {
		*f.access() = code
	}
}

// bump marks an item as used, but not as read.
func (s *shard) bump(f *found) {
	c := f.ctrl()
	if *c&ctrlFreq != ctrlFreq {
		*c++
	}
	*f.access() = accessCode(uint32(s.now - f.sg.created))
}

// idle is how many seconds ago an item was last used, at the least: the time of use is kept in a byte.
func (s *shard) idle(f *found) uint32 {
	code := *f.access()
	if code == 255 {
		return 0
	}
	passed := uint32(s.now - f.sg.created)
	return passed - min(passed, accessEnd(code))
}

// show fills in the item that is handed to a visitor.
func (s *shard) show(it *Item, f *found, unique bool) {
	it.Key, it.Value, it.Binary = f.key(), f.value(), f.ext&extBinary != 0
	it.shard, it.record = s, f.record
	switch {
	case f.split():
		it.Value = nil
	case f.packed():
		s.scratch = unpack(s.scratch[:0], it.Value)
		it.Value = s.scratch
	}
	it.Flags, it.Deadline = f.flags(), f.deadline(f.sg.created)
	it.Unique = 0
	if !s.store.opts.DisableCAS {
		it.Unique = s.uniqueOf(&f.record, f.loc)
		if unique {
			s.tell(&f.record, it.Unique)
		}
	}
}

// tell takes note that somebody learns an item's unique.
func (s *shard) tell(r *record, unique uint64) {
	*r.ctrl() |= ctrlShown
	// One that a client has chosen, out of reach of ours, keeps no order with others.
	if unique>>uniqueBits <= s.store.incarnations.Load() {
		s.shown = max(s.shown, unique)
	}
}

func (s *shard) view(h uint64, key []byte, unique bool, visit func(Item)) bool {
	s.lock()
	var f found
	hit := s.get(h, key, &f)
	if hit {
		var it Item
		s.show(&it, &f, unique)
		s.refused = false
		if visit(it); !s.refused {
			s.use(&f)
		}
	}
	s.unlock()
	return hit
}

func (s *shard) touch(h uint64, key []byte, deadline expiry.Instant, unique bool, visit func(Item)) Status {
	s.lock()
	defer s.unlockWhole()
	var f found
	if !s.get(h, key, &f) {
		return NotFound
	}
	// What has to be written anew for that is so before it is shown: then there is room for any deadline, or nothing has changed.
	written, status := s.makeHold(h, key, &f, deadline)
	if status != Stored {
		return status
	}
	if visit != nil { // it may have to wait
		var it Item
		s.show(&it, &f, unique)
		it.Deadline = deadline
		s.refused = false
		if visit(it); s.refused {
			return Stored
		}
	}
	s.use(&f)
	f.setDeadline(deadline)
	s.pace(written)
	return Stored
}

// makeHold sees to it that the item's record can hold a deadline, and tells how many bytes had to be written for that. The item is
// as it was, or, when the status is not Stored, gone.
func (s *shard) makeHold(h uint64, key []byte, f *found, deadline expiry.Instant) (written uint32, status Status) {
	if f.holds(deadline, f.sg.created) {
		return 0, Stored
	}
	status = s.rewrite(h, key, f, deadline, sameVersion, 0)
	return f.size, status
}

// setDeadline gives an item a deadline that its record holds.
func (f *found) setDeadline(deadline expiry.Instant) {
	f.record.setDeadline(deadline, f.sg.created)
	f.sg.note(deadline)
}

// version says what becomes of the unique of an item that is written again.
type version uint8

const (
	sameVersion version = iota
	nextVersion
	givenVersion
)

// rewrite appends a copy of an item, with a field that can hold any deadline and with the unique that its version wants. It has
// the deadline that it had; the one that is to come helps to choose the queue. NotFound: the item had to go for the room.
// OutOfMemory: there is none, and the item is as it was.
func (s *shard) rewrite(h uint64, key []byte, f *found, deadline expiry.Instant, v version, given uint64) Status {
	qi := queueMain
	if f.sg.queue != queueMain {
		qi = s.queueFor(deadline, int(f.size))
	}
	need := headerMax + int(f.klen) + int(f.vlen)
	before, ok := s.moves, false
	if f.split() {
		ok = s.makeRoomWhole(int64(f.loc), qi, need)
	} else {
		ok = s.makeRoomBeside(int64(f.loc), qi, need)
	}
	if s.moves != before && !s.find(h, key, f) {
		return NotFound
	}
	if !ok {
		return OutOfMemory
	}
	nf := f.fields(f.sg.created)
	nf.roomy = true
	switch v {
	case nextVersion:
		nf.ctrl &^= ctrlShown
	case givenVersion:
		nf.unique, nf.given = given, true
		nf.ctrl |= ctrlShown
	}
	var loc uint32
	var r record
	if f.split() { // its pieces stay where they are
		if s.tail(qi) < need {
			s.next(qi)
		}
		switch v {
		case sameVersion:
			nf.unique = s.keptUnique(f, qi)
		case nextVersion:
			nf.unique = s.newUnique(f, qi)
		}
		loc = s.writeHeader(&r, qi, &nf, f.key())
		copy(r.value(), f.value())
		s.publish(&r)
		s.movedHead(&r, f.loc, loc)
	} else {
		loc = s.write(&r, qi, &nf, f.key(), f, v == sameVersion, f.value(), nil)
	}
	s.index.setLoc(f.slot, loc)
	s.kill(&f.record, f.sg)
	f.loc, f.record, f.sg = loc, r, s.segmentOf(loc)
	s.moves++
	return Stored
}

// writeHeader appends a record without its value to a queue's open segment, which has room. The record is marked dead
// until it is published, but counted as live: docs/decisions/0106 has the order.
//
// It fills in r rather than returning one: a record that is returned is copied as a whole from the parts it was just
// stored in, and processors make such a load wait for all stores before it, the cold ones to the arena among them.
func (s *shard) writeHeader(r *record, qi int, nf *fields, key []byte) (loc uint32) {
	sg := &s.segments[s.queues[qi].open]
	nf.roomy = nf.roomy || s.store.opts.DisableEviction // nothing may go because its new deadline has no room
	l := nf.layout(sg.created)
	n := uint32(l.koff) + uint32(nf.klen) + uint32(nf.vlen)
	loc = s.coming(qi)
	p := s.at(loc)
	nf.ctrl |= ctrlDead
	nf.encode(p, l, accessCode(uint32(s.now-sg.created)), sg.created)
	s.append(qi, s.padded(n))
	sg.note(nf.deadline)
	r.p, r.size, r.koff, r.klen, r.ext, r.vlen = p, n, l.koff, uint8(nf.klen), l.ext, uint32(nf.vlen)
	copy(r.key(), key)
	return loc
}

// The rules of the storage commands:
//
//	                      absent       present
//	Set                   store        store
//	Add                   store        NotStored
//	Replace               NotStored    store
//	Append, Prepend       NotStored    store old+new, new+old; flags and deadline stay. With a unique: Exists if not the one
//	…OrSet                store        the same
//	CompareAndSwap        NotFound     store if the unique is the one given, else Exists
//	CompareAndSwapStale   NotFound     the same; if the one given is an older one, store as stale, deadline stays
func (s *shard) decide(mode Mode, present bool, f *found, unique uint64) Status {
	switch mode {
	case Add:
		if present {
			s.bump(f) // memcached: a refused add counts as an access
			return NotStored
		}
	case Replace:
		if !present {
			return NotStored
		}
	case Append, Prepend, AppendOrSet, PrependOrSet:
		switch {
		case !present && mode <= Prepend:
			return NotStored
		case present && unique != 0 && !s.store.opts.DisableCAS && !s.is(f, unique):
			return Exists
		}
	case CompareAndSwap, CompareAndSwapStale:
		switch {
		case !present:
			return NotFound
		case unique == 0 || !s.is(f, unique) && !s.outdated(mode, f, unique):
			return Exists
		}
	}
	return Stored
}

// is tells whether this is the version that somebody knows by the unique. What was never shown matches nothing: it is not
// a unique that anybody was told. Without uniques every version is 0.
func (s *shard) is(f *found, unique uint64) bool {
	if s.store.opts.DisableCAS {
		return unique == 0
	}
	return unique != 0 && *f.ctrl()&ctrlShown != 0 && s.uniqueOf(&f.record, f.loc) == unique
}

// outdated tells whether the mode lets somebody store who knows an older version by the unique.
func (s *shard) outdated(mode Mode, f *found, unique uint64) bool {
	return mode == CompareAndSwapStale && !s.store.opts.DisableCAS && unique < s.uniqueOf(&f.record, f.loc)
}

func joins(mode Mode) bool {
	return mode == Append || mode == Prepend || mode == AppendOrSet || mode == PrependOrSet
}

// fetchTail has the lines brought into the cache where a new record will most likely lie, while its bucket is fetched. It stores
// there, for a load from a page that is not there yet would cost two faults; nobody reads what lies beyond used.
func (s *shard) fetchTail(n int) {
	if g := s.queues[queueSmall].open; g != none {
		used := int64(s.segments[g].used)
		end := min(used+int64(min(n, 256)), int64(s.segSize))
		for ; used < end; used += 64 {
			*(*uint8)(unsafe.Add(s.arena, int64(g)<<s.segShift+used)) = 0
		}
	}
}

func (s *shard) put(h uint64, mode Mode, it *Item) Status {
	s.lock()
	defer s.unlockWhole()
	s.maintainIndex(indexStep)
	s.fetchTail(headerMin + len(it.Key) + len(it.Value))
	var f found
	present := s.getForUpdate(h, it.Key, &f)
	if status := s.decide(mode, present, &f, it.Unique); status != Stored {
		return status
	}
	return s.link(h, mode, present, &f, it)
}

// link stores an item as was decided.
func (s *shard) link(h uint64, mode Mode, present bool, f *found, it *Item) Status {
	value := it.Value
	nf := fields{klen: len(it.Key), vlen: len(value), flags: it.Flags, deadline: it.Deadline, binary: it.Binary}
	if it.Explicit != 0 && !s.store.opts.DisableCAS {
		nf.unique, nf.given = it.Explicit, true
	}
	keep := it.keep
	if present && s.outdated(mode, f, it.Unique) {
		nf.deadline = f.deadline(f.sg.created)
		keep = ctrlStale | *f.ctrl()&ctrlWon
	}
	joined := present && joins(mode)
	guard := int64(none)
	if joined {
		switch {
		case !s.mayJoin(f, len(value)):
			return NotStored
		case f.total() > gatherMax:
			return s.join(h, mode, f, it, nil)
		}
		nf.flags, nf.deadline = f.flags(), f.deadline(f.sg.created)
		nf.vlen += f.total()
		guard = int64(f.loc)
	} else if s.store.opts.PackHex {
		var buf [packMax / 2]byte
		if packed, ok := pack(&buf, value); ok {
			value, nf.vlen, nf.packed = packed, len(packed), true
		}
	}
	if present && !joined && s.overwrite(f, &nf, value, keep) {
		s.stats.TotalItems++
		if it.Show {
			s.answer(it, &f.record, f.loc)
		}
		return Stored
	}
	n := headerMax + nf.klen + nf.vlen
	qi := queueMain
	if present && f.sg.queue != queueMain || !present && !s.takeGhost(h, n) {
		qi = s.queueFor(nf.deadline, n)
	}
	before := s.moves
	ok := s.makeRoomBeside(guard, qi, n)
	if s.moves != before {
		present = s.find(h, it.Key, f)
	}
	if !ok || joined && !present { // a guarded item only goes when there is nowhere to move it
		return OutOfMemory
	}
	old := f
	nf.ctrl = keep
	if present {
		nf.ctrl |= *f.ctrl() & ctrlFreq
	} else {
		old = nil
	}
	a, b := value, []byte(nil)
	if joined {
		was := f.value()
		if f.split() || f.packed() {
			s.scratch = s.appendValue(s.scratch[:0], &f.record)
			was = s.scratch
		}
		if a, b = was, value; mode == Prepend || mode == PrependOrSet {
			a, b = b, a
		}
	}
	var r record
	loc := s.write(&r, qi, &nf, it.Key, old, false, a, b)
	if s.store.sizes != nil {
		s.sized(&r, +1)
	}
	if present {
		s.index.setLoc(f.slot, loc)
		s.killItem(&f.record, f.sg)
	} else if !s.enter(h, loc) {
		s.killItem(&r, s.segmentOf(loc))
		return OutOfMemory
	}
	s.moves++
	s.stats.TotalItems++
	if it.Show || nf.given {
		s.answer(it, &r, loc)
	}
	s.pace(uint32(n))
	return Stored
}

// answer tells whoever stored an item what it is now.
func (s *shard) answer(it *Item, r *record, loc uint32) {
	it.Unique, it.length = 0, r.total()
	if !s.store.opts.DisableCAS {
		it.Unique = s.uniqueOf(r, loc)
		s.tell(r, it.Unique)
	}
}

// overwrite puts a new value where the old one is, if it takes the same room, nobody can tell by the unique, and nobody
// is reading it.
func (s *shard) overwrite(f *found, nf *fields, value []byte, keep uint8) bool {
	if *f.ctrl()&ctrlShown != 0 || int(f.vlen) != nf.vlen || f.split() || f.sg.pins > 0 {
		return false
	}
	nf.roomy = s.store.opts.DisableEviction
	l := nf.layout(f.sg.created)
	if l.ext != f.ext {
		return false
	}
	nf.ctrl = *f.ctrl()&ctrlFreq | keep
	s.intend(f.loc)
	nf.encode(f.p, l, accessCode(uint32(s.now-f.sg.created)), f.sg.created)
	copy(f.value(), value)
	s.resum(&f.record)
	s.done()
	f.sg.note(nf.deadline)
	return true
}

// intend writes down that the record at loc is being changed in place, by more than one store; done, that it is whole
// again.
func (s *shard) intend(loc uint32) {
	if s.line != nil {
		s.line.intent.Store(loc + 1)
	}
}

func (s *shard) done() {
	if s.line != nil {
		s.line.intent.Store(0)
	}
}

// enter makes a new item findable. With both its buckets full of items that cannot move, one of those goes: that takes
// an adversary who makes keys collide, or an index that may not grow any more.
func (s *shard) enter(h uint64, loc uint32) bool {
	for !s.insert(h, loc) {
		if s.store.opts.DisableEviction {
			return false
		}
		s.evictFrom(s.index.first(h))
	}
	s.items++
	return true
}

// evictFrom evicts the least used item of a full bucket.
func (s *shard) evictFrom(b *bucket) {
	least, freq := 0, uint8(255)
	var r record
	for i := range slots {
		r.read(s.at(b.loc[i] & locMask))
		if c := *r.ctrl() & ctrlFreq; c < freq {
			least, freq = i, c
		}
	}
	loc := b.loc[least] & locMask
	r.read(s.at(loc))
	f := found{slot: slot{b, least}, record: r, loc: loc, sg: s.segmentOf(loc)}
	s.stats.EvictedIndex++
	s.countEviction(&f)
	s.unlink(s.hash(r.key()), &f)
}

func (s *shard) countEviction(f *found) {
	s.stats.Evictions++
	c := *f.ctrl()
	if c&ctrlFetched == 0 {
		s.stats.EvictedUnfetched++
	}
	if c&ctrlFreq != 0 {
		s.stats.EvictedActive++
	}
	if f.deadline(f.sg.created) != expiry.Never {
		s.stats.EvictedNonzero++
	}
	s.stats.EvictedIdle.note(expiry.Instant(s.idle(f)))
	if e := &s.store.evicted; e.watched.Load() {
		e.note(s, f)
	}
}

// drop gives up an item that is in no bucket at the moment.
func (s *shard) drop(h uint64, loc uint32) {
	f := found{loc: loc, sg: s.segmentOf(loc)}
	f.read(s.at(loc))
	s.stats.EvictedIndex++
	s.countEviction(&f)
	s.killItem(&f.record, f.sg)
	s.items--
	s.moves++
}

// number is a segment's.
func (s *shard) number(sg *segment) int32 {
	return int32((uintptr(unsafe.Pointer(sg)) - uintptr(unsafe.Pointer(&s.segments[0]))) / unsafe.Sizeof(segment{}))
}

func (s *shard) delete(h uint64, key []byte) bool {
	s.lock()
	defer s.unlockWhole()
	var f found
	if !s.getForUpdate(h, key, &f) {
		return false
	}
	s.unlink(h, &f)
	return true
}
