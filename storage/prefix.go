package storage

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// FlushPrefix ends all items whose keys begin alike, at once and whatever the size of the store: it
// writes down, shard by shard, what was stored before, and every lookup compares (fate). A walk over
// the segments then takes the items away, in steps, and when it has been everywhere, nothing needs
// to be compared any more.
//
// What was stored before is told by the place alone:
//
//	                      mark
//	open segment    ▒▒▒▒▒▒▒│      ▒ before: what lies in a segment of an incarnation below the
//	sealed          ▒▒▒▒▒▒▒▒▒▒      floor, but for what was appended behind the mark of one that
//	opened later                    was open then
//
// Nothing is sealed: who ends prefixes all the time would leave segments behind that are nearly
// empty. Whoever moves a live record has asked for its fate, and moves it behind all marks, so it is
// never taken for an old one. A value that was on its way in is stored when it is complete (commit).
//
// While none is under way, suspect is floor, and a lookup compares what it compares for FlushAll.
type flushedPrefix struct {
	slot   int
	prefix []byte
	floor  uint64
	marks  marks
	round  uint32 // of the walk, with which it is over
	line   int    // where it is written down in the memory file
}

// marks are the segments that were open, by queue, and how far they were filled.
type marks struct {
	seg  [queues]int32
	used [queues]uint32
}

const (
	// PrefixesMost is how many prefixes may be under way at once. Each costs a lookup of an older
	// item some nanoseconds.
	PrefixesMost = 8
	// clearStep is how many records the walk looks at before somebody else may have the lock; one
	// that it takes away counts as clearWork.
	clearStep = 64
	clearWork = 8
	// clearSteps is how many steps Sweep takes: who calls it can rest between.
	clearSteps = 64
	// prefixCalls is how many of those who wait are called when there is room for one, or when the
	// first may have given up.
	prefixCalls = 4
)

// prefixes are those under way, in the whole store. The lock may be taken inside a shard's.
type prefixes struct {
	under   atomic.Int32
	mu      sync.Mutex
	slots   [PrefixesMost]prefixSlot
	waiting []waiter      // who was told to wait, the first to come first
	places  uint64        // that have been given to them
	next    atomic.Uint32 // shard that is cleared
}

// prefixSlot is one of them.
type prefixSlot struct {
	prefix []byte // nil: it is free
	left   int    // shards that are not through, and calls that are at work on it
}

// FlushPrefix ends everything that was stored before the call under a key that begins with prefix,
// which is not empty, and returns 0. Else nothing has changed, as PrefixesMost are under way: what it
// returns is the caller's place among those who wait, which he gives when he asks again, and 0 the
// first time. later, which must not wait nor call the store, is called when that is worth it.
func (st *Store) FlushPrefix(prefix []byte, place uint64, later func()) (waits uint64) {
	n, place := st.takeSlot(prefix, place, later)
	if place != 0 {
		return place
	}
	prefix = st.prefixes.slots[n].prefix
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		s.flushPrefix(n, prefix)
		s.unlock()
	}
	st.prefixes.through(st, n)
	return 0
}

// Prefixing is how many prefixes are under way: items that begin so may still take memory.
func (st *Store) Prefixing() int { return int(st.prefixes.under.Load()) }

// takeSlot finds a slot: the one that has this prefix already, or a free one. Else it gives a place.
func (st *Store) takeSlot(prefix []byte, place uint64, later func()) (n int, waits uint64) {
	ps := &st.prefixes
	ps.mu.Lock()
	defer ps.mu.Unlock()
	n = slices.IndexFunc(ps.slots[:], func(sl prefixSlot) bool { return sl.prefix != nil && bytes.Equal(sl.prefix, prefix) })
	if n < 0 && (place > 0 || len(ps.waiting) == 0) {
		if n = slices.IndexFunc(ps.slots[:], func(sl prefixSlot) bool { return sl.prefix == nil }); n >= 0 {
			ps.slots[n].prefix = bytes.Clone(prefix)
			if ps.under.Add(1) == 1 && st.file != nil {
				st.file.setFormat(formatPrefixes) // before a shard writes its line
			}
		}
	}
	if n < 0 {
		return 0, ps.wait(place, later)
	}
	if i, waits := ps.find(place); waits {
		ps.waiting = slices.Delete(ps.waiting, i, i+1)
	}
	ps.slots[n].left++
	return n, 0
}

// wait has somebody called, once, and tells his place.
func (ps *prefixes) wait(place uint64, later func()) uint64 {
	if place == 0 {
		ps.places++
		place = ps.places
	}
	if i, waits := ps.find(place); !waits && later != nil {
		ps.waiting = slices.Insert(ps.waiting, i, waiter{place, later})
	}
	return place
}

func (ps *prefixes) find(place uint64) (i int, waits bool) {
	return slices.BinarySearchFunc(ps.waiting, place, func(w waiter, place uint64) int { return cmp.Compare(w.place, place) })
}

// through is called when a shard, or a call, is through with a prefix. With the last one it is over.
func (ps *prefixes) through(st *Store, n int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	sl := &ps.slots[n]
	if sl.left--; sl.left > 0 {
		return
	}
	sl.prefix = nil
	if ps.under.Add(-1) == 0 && st.file != nil {
		st.file.setFormat(fileFormat)
	}
	ps.call()
}

// begin is called when a shard begins with one.
func (ps *prefixes) begin(n int) {
	ps.mu.Lock()
	ps.slots[n].left++
	ps.mu.Unlock()
}

// call calls some of those who wait.
func (ps *prefixes) call() {
	n := min(prefixCalls, len(ps.waiting))
	for _, w := range ps.waiting[:n] {
		w.later()
	}
	if ps.waiting = slices.Delete(ps.waiting, 0, n); len(ps.waiting) == 0 {
		ps.waiting = nil
	}
}

// clear takes some items away. It tells whether there is more to do.
func (st *Store) clear() bool {
	ps := &st.prefixes
	for steps := clearSteps; steps > 0 && ps.under.Load() > 0; steps-- {
		st.shards[ps.next.Add(1)%uint32(len(st.shards))].clear()
	}
	ps.mu.Lock()
	if len(ps.waiting) > 0 && int(ps.under.Load()) < PrefixesMost { // who was called may be gone
		ps.call()
	}
	waits := len(ps.waiting) > 0
	ps.mu.Unlock()
	return waits || ps.under.Load() > 0
}

// flushPrefix ends what is stored in this shard under keys that begin so.
func (s *shard) flushPrefix(n int, prefix []byte) {
	old := slices.IndexFunc(s.prefixes, func(p flushedPrefix) bool { return p.slot == n })
	if s.items == 0 && old < 0 {
		return
	}
	p := flushedPrefix{slot: n, prefix: prefix, floor: s.store.incarnations.Add(1), round: s.clearing.round}
	if s.clearing.seg > 0 || s.clearing.off > 0 {
		p.round++ // what is behind the walk has its turn in the next one
	}
	for qi := range s.queues {
		g := s.queues[qi].open
		if p.marks.seg[qi] = g; g != none {
			p.marks.used[qi] = s.segments[g].used
		}
	}
	if s.prefixLines != nil {
		p.line = s.prefixLines.write(&p)
	}
	if old >= 0 {
		if s.prefixLines != nil {
			s.prefixLines[s.prefixes[old].line].sum.Store(0) // not sooner than the new one counts
		}
		s.prefixes[old] = p
	} else {
		s.prefixes = append(s.prefixes, p)
		s.store.prefixes.begin(n)
	}
	s.suspect = max(s.suspect, p.floor)
}

// suspected tells whether a record in a segment older than suspect was flushed.
func (s *shard) suspected(r *record, sg *segment) bool {
	if sg.incarnation < s.floor {
		return true
	}
	for i := range s.prefixes {
		if p := &s.prefixes[i]; s.before(p, r, sg) && bytes.HasPrefix(r.key(), p.prefix) {
			return true
		}
	}
	return false
}

// before tells whether a record was stored, or moved where it is, before that flush.
func (s *shard) before(p *flushedPrefix, r *record, sg *segment) bool {
	if sg.incarnation >= p.floor {
		return false
	}
	off := uint32(uintptr(r.p)-uintptr(s.arena)) & (s.segSize - 1)
	return p.marks.seg[sg.queue] != s.number(sg) || off < p.marks.used[sg.queue]
}

// clearing is the walk that takes away what was flushed by prefix: along the segments, round after
// round, while there is a prefix. It needs no list of them, for none that is opened later holds what
// was stored before, and none of it moves.
type clearing struct {
	round       uint32
	seg         int32
	off         uint32
	incarnation uint64
}

// clear takes a step of the walk.
func (s *shard) clear() {
	s.lock()
	defer s.unlockWhole()
	if len(s.prefixes) > 0 {
		s.clearSome(clearStep)
	}
}

func (s *shard) clearSome(records int) {
	c := &s.clearing
	for ; records > 0 && int(c.seg) < s.fresh; records-- {
		sg := &s.segments[c.seg]
		if c.off == 0 {
			c.incarnation = sg.incarnation
		}
		holds := sg.state == stateOpen || sg.state == stateSealed || sg.state == stateVictim
		if !holds || sg.incarnation != c.incarnation || sg.incarnation >= s.suspect || c.off >= sg.used {
			c.seg, c.off = c.seg+1, 0
			continue
		}
		loc := uint32((int64(c.seg)<<s.segShift + int64(c.off)) >> s.granule)
		var r record
		r.read(s.at(loc))
		c.off += s.padded(r.size)
		if !s.holdsItem(&r) {
			continue
		}
		if why := s.fate(&r, sg); why != alive {
			s.takeAway(&r, loc, sg, why)
			if records -= clearWork - 1; r.split() { // its pieces may be many
				records = 0
			}
		}
	}
	if int(c.seg) < s.fresh {
		return
	}
	over := c.round
	*c = clearing{round: over + 1}
	s.prefixes = slices.DeleteFunc(s.prefixes, func(p flushedPrefix) bool {
		if p.round > over {
			return false
		}
		if s.prefixLines != nil {
			s.prefixLines[p.line].sum.Store(0)
		}
		s.store.prefixes.through(s.store, p.slot)
		return true
	})
	s.suspect = s.floor
	for i := range s.prefixes {
		s.suspect = max(s.suspect, s.prefixes[i].floor)
	}
}

// prefixLine is a flushed prefix in the memory file. It counts while sum is not 0, which is written
// last; the file's format is formatPrefixes meanwhile, for a program that knows no prefixes would
// serve what was flushed.
type prefixLine struct {
	sum    atomic.Uint64 // of all that comes after it
	floor  uint64
	marks  marks
	length uint32
	prefix [keyMax + 2]byte
}

// prefixLines are a shard's: one more than there may be prefixes, for a prefix that is flushed once
// more has two lines for a moment.
type prefixLines [PrefixesMost + 1]prefixLine

// write writes a prefix down in a line that is free.
func (ls *prefixLines) write(p *flushedPrefix) (line int) {
	for ls[line].sum.Load() != 0 {
		line++
	}
	l := &ls[line]
	l.floor, l.marks, l.length = p.floor, p.marks, uint32(copy(l.prefix[:], p.prefix))
	clear(l.prefix[l.length:])
	l.sum.Store(l.check())
	return line
}

// check is what sum should be. It is not 0, nor is it when one bit of it is lost.
func (l *prefixLine) check() uint64 {
	all := unsafe.Slice((*byte)(unsafe.Pointer(l)), unsafe.Sizeof(*l))
	return xxhash.Sum64(all[unsafe.Sizeof(l.sum):]) | 3
}

// read reads what counts. False: a line is damaged, so that anything may have been flushed.
func (ls *prefixLines) read() (all []flushedPrefix, ok bool) {
	for i := range ls {
		l := &ls[i]
		sum := l.sum.Load()
		if sum == 0 {
			continue
		}
		if sum != l.check() || l.length > keyMax {
			return nil, false
		}
		all = append(all, flushedPrefix{prefix: bytes.Clone(l.prefix[:l.length]), floor: l.floor, marks: l.marks, line: i})
	}
	return all, true
}

// forget ends all lines: what they were about is dropped, or they are of no concern.
func (ls *prefixLines) forget() {
	for i := range ls {
		ls[i].sum.Store(0)
	}
}
