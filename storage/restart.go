package storage

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// What a process leaves in its file is whatever its threads had stored when they ended, at any instruction. The next
// one reads the segments from first to last, believes nothing that it can check, and builds the index anew.
//
//	record                                     because
//	dead                       skipped         it was never published, or is over
//	named by the intent        dropped         it was being changed in place
//	beyond used                not there       its header was being written
//	expired, flushed           dropped         as any lookup would
//	split, chain incomplete    dropped         it was on its way in or out
//	piece that no head owns    dropped         likewise
//	checksum not right         dropped         something has damaged it; a piece goes with its item
//	key twice                  the older one   it was being overwritten or moved: nobody was told of the end
//	                           dropped
//
// Dropped means marked dead in the file, so that a kill during the scan leaves no more work than
// before. A segment is believed if the check of its entry is right, and as far as its records
// follow one another; what comes after the first that cannot be one is cut off.

// Restored is what Open found in Options.File.
type Restored struct {
	Items   uint64
	Bytes   uint64 // of their records
	Ended   uint64 // expired or flushed
	Dropped uint64 // torn, on their way in, or twice there; a segment that ends in nonsense counts as one
	Took    time.Duration
}

// incarnationMax leaves an incarnation room for an offset beside it in a unique.
const incarnationMax = 1 << (64 - uniqueBits)

// Restored tells what was found in the file; the zero value when there was nothing.
func (st *Store) Restored() Restored { return st.restored }

// resumeClock lets the clock go on where a file's last user stopped. It does not go back, even if
// the wall clock has.
func (st *Store) resumeClock(was *fileHead, latest expiry.Instant) {
	head := st.file.head
	zero, unix := was.zero.Load(), st.clock.Unix(st.clock.Now())
	now := int64(max(latest, expiry.Instant(was.now.Load())))
	if passed := unix - zero - now; passed > 0 && passed < downMax {
		now += passed
	}
	st.clock.Resume(expiry.Instant(now), unix)
	head.zero.Store(st.clock.Unix(0))
	head.now.Store(uint32(now))
	st.file.resumed = true
}

// downMax is a longer time down, in seconds, than anybody has been: the wall clock is wrong, or the file.
const downMax = 1 << 30

// restore reads all shards, several at a time.
func (st *Store) restore() error {
	start := time.Now()
	readers := make([]reader, len(st.shards))
	for i := range readers {
		r := &readers[i]
		r.s = &st.shards[i]
		r.open(st.file.head)
		if err := r.back(); err != nil {
			return err
		}
		raise(st.incarnations, r.incarnation)
	}
	latest := expiry.Start
	for i := range readers {
		latest = max(latest, readers[i].latest)
		readers[i].floors(st.file.head)
	}
	st.resumeClock(st.file.head, latest)
	next := make(chan *reader)
	var scans sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(readers)) {
		scans.Go(func() {
			for r := range next {
				r.read()
			}
		})
	}
	for i := range readers {
		next <- &readers[i]
	}
	close(next)
	scans.Wait()
	st.file.setFormat(fileFormat)
	for i := range st.shards {
		s := &st.shards[i]
		s.shown = st.incarnations.Load() << uniqueBits // perhaps
		st.restored.Items += uint64(s.items)
		st.restored.Bytes += uint64(s.liveBytes)
		st.restored.Ended += readers[i].ended
		st.restored.Dropped += readers[i].dropped
	}
	st.restored.Took = time.Since(start)
	return nil
}

// raise makes a counter at least n.
func raise(counter *atomic.Uint64, n uint64) {
	if counter.Load() < n {
		counter.Store(n)
	}
}

// reader reads one shard.
type reader struct {
	s           *shard
	format      uint32
	segments    []int32 // with contents, in the order in which they were filled
	latest      expiry.Instant
	incarnation uint64 // the largest
	intent      uint32 // granule of the record that was being changed, or noPiece
	heads       []uint32
	pieces      map[uint32]bool // live pieces; true: a head owns it
	losers      []uint32        // records to be dropped when the index is complete
	ended       uint64
	dropped     uint64
}

// ahead is how many seconds a segment may have been opened after the clock was last written down.
const ahead = 60

// open reads the segment table.
func (r *reader) open(head *fileHead) {
	s := r.s
	s.fresh = min(int(s.line.fresh.Load()), len(s.segments))
	r.format = head.format
	r.intent = s.line.intent.Load() - 1
	r.pieces = map[uint32]bool{}
	end := expiry.Instant(head.now.Load()) + ahead
	seen := map[uint64]bool{}
	for g := range s.fresh {
		sg := &s.segments[g]
		good := sg.used > 0 && sg.used <= s.segSize && sg.used&(1<<s.granule-1) == 0 && sg.incarnation > 0 && !seen[sg.incarnation] &&
			sg.incarnation < incarnationMax && sg.queue < queues
		if r.format >= 3 {
			good = good && sg.check == sg.sum()
		} else {
			good = good && sg.created <= end
		}
		if !good {
			continue
		}
		seen[sg.incarnation] = true
		r.segments = append(r.segments, int32(g))
		r.latest = max(r.latest, sg.created)
		r.incarnation = max(r.incarnation, sg.incarnation)
	}
	slices.SortFunc(r.segments, func(a, b int32) int {
		return cmp.Compare(s.segments[a].incarnation, s.segments[b].incarnation)
	})
}

// back maps what has contents.
func (r *reader) back() error {
	s := r.s
	s.backedFresh = s.fresh
	with := slices.Clone(r.segments)
	slices.Sort(with)
	for len(with) > 0 { // those that lie one after the other at once
		n := 1
		for n < len(with) && with[n] == with[0]+int32(n) {
			n++
		}
		if err := s.store.back(s, int(with[0]), n); err != nil {
			return err
		}
		with = with[n:]
	}
	return nil
}

// floors reads what was flushed. It comes when the largest incarnation of all shards is known.
func (r *reader) floors(head *fileHead) {
	floor, pending := r.s.line.flushed(r.format, head.incarnations.Load())
	if raise(&head.incarnations, min(floor, incarnationMax-1)); floor >= incarnationMax {
		floor = incarnationMax - 1 // damaged, and so everything may have been flushed
	}
	if r.format >= formatPrefixes {
		var ok bool
		if r.s.prefixes, ok = r.s.prefixLines.read(); !ok {
			floor = incarnationMax - 1
		}
	}
	r.s.suspect = floor
	for i := range r.s.prefixes {
		r.s.suspect = max(r.s.suspect, r.s.prefixes[i].floor)
	}
	raise(&head.incarnations, min(r.s.suspect, incarnationMax-1))
	r.s.floor, r.s.pending = floor, expiry.Instant(pending)
}

// read does the rest.
func (r *reader) read() {
	s := r.s
	s.now = s.store.clock.Now() // nobody else has the store yet, so there is no lock to take
	s.line.setFloor(s.floor)
	s.line.setPending(uint32(s.pending))
	for _, g := range r.segments {
		r.count(g)
	}
	s.prefixes, s.suspect = nil, s.floor // all that was flushed is dropped
	s.prefixLines.forget()
	for _, loc := range r.heads {
		if !r.chain(loc) {
			r.dropped++
			r.drop(loc)
		}
	}
	for loc, owned := range r.pieces {
		if !owned {
			r.drop(loc)
		}
	}
	s.linkFreeChains()
	s.sizeIndex(len(r.segments))
	s.items, s.liveBytes = 0, 0
	for _, g := range r.segments {
		r.enter(g)
	}
	r.queue()
	for _, loc := range r.losers {
		var rec record
		rec.read(s.at(loc))
		s.killItem(&rec, s.segmentOf(loc))
	}
	r.dropped += uint64(len(r.losers))
	s.line.intent.Store(0)
}

func (r *reader) drop(loc uint32) { *(*uint8)(r.s.at(loc)) |= ctrlDead }

// each walks a segment's records as far as they follow one another, and tells how far that is.
func (r *reader) each(g int32, visit func(rec *record, loc uint32, sg *segment)) (off uint32) {
	s, sg := r.s, &r.s.segments[g]
	base := int64(g) << s.segShift
	for off < sg.used {
		loc := uint32((base + int64(off)) >> s.granule)
		var rec record
		rec.read(s.at(loc))
		n := s.padded(rec.size)
		if !rec.sane() || n > sg.used-off {
			break
		}
		off += n
		visit(&rec, loc, sg)
	}
	return off
}

// count walks a segment, drops what is no item any more, and counts the rest.
func (r *reader) count(g int32) {
	s := r.s
	whole := r.each(g, func(rec *record, loc uint32, sg *segment) {
		switch r.judge(rec, loc, sg) {
		case isDead:
			return
		case isTorn:
			r.dropped++
			r.drop(loc)
			return
		case hasEnded:
			r.ended++
			r.drop(loc)
			return
		case isPiece:
			r.pieces[loc] = false
			s.liveBytes += int64(s.padded(rec.size))
			return
		case isHead:
			r.heads = append(r.heads, loc)
		}
		s.items++
		s.liveBytes += int64(s.padded(rec.size))
	})
	if sg := &s.segments[g]; whole < sg.used {
		sg.used = whole
		r.dropped++
	}
}

// judge says what a record is worth by itself. A piece is worth what its head says, and a head what
// its pieces do.
func (r *reader) judge(rec *record, loc uint32, sg *segment) judgement {
	s := r.s
	switch {
	case *rec.ctrl()&ctrlDead != 0:
		return isDead
	case loc == r.intent:
		return isTorn
	case rec.piece():
		return isPiece
	case s.fate(rec, sg) != alive:
		return hasEnded
	case rec.split() && rec.coming(), !s.whole(rec, sg.incarnation, nil):
		return isTorn
	case rec.split():
		return isHead
	}
	return isItem
}

type judgement uint8

const (
	isDead judgement = iota
	isTorn
	hasEnded
	isPiece
	isHead
	isItem
)

// sane tells whether these bytes can be a record: its length is told in the way in which encode tells it.
func (r *record) sane() bool {
	first := *(*uint8)(unsafe.Add(r.p, offVlen))
	return r.klen <= keyMax && (first >= 0x80) == (r.vlen >= 1<<7) && (first >= 0xc0) == (r.vlen >= 1<<14) &&
		r.ext&extExptime != extExptime && (!r.piece() || *r.ctrl()&ctrlExt == 0) &&
		(!r.packed() || !r.split() && r.total()%packStep == 0 && r.total() <= packMax)
}

// chain walks a split item's pieces and enters it in the table of chains. False: there is something amiss.
func (r *reader) chain(loc uint32) bool {
	s := r.s
	var head, p record
	head.read(s.at(loc))
	number := *head.chain()
	if uint64(number) >= uint64(s.fresh)<<s.segShift/tailMin || int(number) < len(s.chains) && !s.chains[number].free {
		return false
	}
	own, ok := r.own(&head)
	if !ok {
		return false
	}
	for len(s.chains) <= int(number) {
		s.chains = append(s.chains, chain{free: true})
	}
	c := &s.chains[number]
	*c = chain{head: loc, last: loc}
	for _, at := range own {
		p.read(s.at(at))
		*p.prev() = c.last
		c.last = at
	}
	return true
}

// own finds a head's pieces, which are nobody else's from then on. False: there is something amiss.
func (r *reader) own(head *record) (own []uint32, ok bool) {
	s := r.s
	var p record
	n, at := int(head.vlen), *head.next()
	for at != noPiece {
		if owned, ok := r.pieces[at]; !ok || owned {
			break
		}
		p.read(s.at(at))
		if n += int(p.vlen); *p.chain() != *head.chain() || n > head.total() || !s.whole(&p, s.segmentOf(at).incarnation, head.key()) {
			break
		}
		r.pieces[at] = true
		own = append(own, at)
		at = *p.next()
	}
	if at == noPiece && n == head.total() {
		return own, true
	}
	for _, at := range own {
		r.pieces[at] = false
	}
	return nil, false
}

// linkFreeChains makes the free list of the numbers that no chain has.
func (s *shard) linkFreeChains() {
	for n := range s.chains {
		if s.chains[n].free {
			s.dropChain(uint32(n))
		}
	}
}

// sizeIndex makes the empty index as large as the items that were counted want it, and larger where there is room beside so many segments.
func (s *shard) sizeIndex(segments int) {
	x := &s.index
	need := uint64(s.items)*100/(slots*(s.loadMax()-2)) + 1
	room := max(0, s.store.share.Load()-int64(segments+reserve+overdraft)<<s.segShift-s.tableBytes()) / bucketSize
	x.n = max(x.min, need, min(s.foreseen(), 2*need, x.max, uint64(room)))
	if !s.openIndex(x.n) {
		x.n = x.min
	}
	x.touched = pageRound(x.n) / bucketSize
	s.buckets.Store(x.n)
}

// enter puts a segment's items into the index and counts its bytes.
func (r *reader) enter(g int32) {
	s, sg := r.s, &r.s.segments[g]
	sg.live, sg.due = 0, expiry.Never
	s.usedBytes += int64(sg.used)
	base := int64(g) << s.segShift
	var batch [16]struct {
		loc  uint32
		hash uint64
	}
	for off := uint32(0); off < sg.used; {
		n := 0
		for n < len(batch) && off < sg.used {
			loc := uint32((base + int64(off)) >> s.granule)
			var rec record
			rec.read(s.at(loc))
			size := s.padded(rec.size)
			off += size
			if *rec.ctrl()&ctrlDead != 0 {
				continue
			}
			sg.live += size
			s.liveBytes += int64(size)
			if rec.piece() {
				continue
			}
			sg.note(rec.deadline(sg.created))
			h := s.store.Hash(rec.key())
			if s.store.shard(h) != s { // nobody would look for it here
				r.losers = append(r.losers, loc)
				continue
			}
			s.touched += s.index.first(h).loc[0] // fetch the lines of all of the batch at once
			batch[n].loc, batch[n].hash = loc, h
			n++
		}
		for _, e := range batch[:n] {
			var rec record
			rec.read(s.at(e.loc))
			var f found
			if s.store.sizes != nil { // the losers too: they are killed later
				s.sized(&rec, +1)
			}
			switch {
			case s.find(e.hash, rec.key(), &f) && s.uniqueOf(&rec, e.loc) > s.uniqueOf(&f.record, f.loc):
				r.losers = append(r.losers, f.loc)
				s.index.setLoc(f.slot, e.loc)
			case f.sg != nil || !s.insert(e.hash, e.loc):
				r.losers = append(r.losers, e.loc)
			default:
				s.items++
			}
		}
	}
}

// queue gives every segment its place, and those that were being filled are filled on.
func (r *reader) queue() {
	s := r.s
	next := 0
	with := slices.Clone(r.segments)
	slices.Sort(with)
	for g := range s.fresh {
		if next < len(with) && with[next] == int32(g) {
			next++
			continue
		}
		s.push(&s.gone, int32(g), stateGone) // its blocks are taken, or used again, by provide
	}
	s.inUse = len(r.segments)
	s.backed = s.inUse
	s.measure()
	for _, g := range r.segments {
		sg := &s.segments[g]
		open := sg.state == stateOpen
		sg.state, sg.next, sg.prev, sg.pins = stateOpen, none, none, 0
		if sg.live == 0 {
			s.release(g)
			continue
		}
		s.seal(int(sg.queue)) // what is open is older, so it is not filled any more
		if open {
			s.queues[sg.queue].open = g
		} else {
			s.enqueue(g)
		}
	}
}
