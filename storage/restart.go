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
//	key seen already           dropped         it was being overwritten or moved: nobody was told of the end
//
// Dropped means marked dead in the file, so that a kill during the scan leaves no more work than before. A segment is
// believed as far as its records follow one another; what comes after the first that cannot be one is cut off.

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

// resumeClock lets the clock go on where the file's last user stopped. It does not go back, even if the wall clock has.
func (st *Store) resumeClock(latest expiry.Instant) {
	head := st.file.head
	zero, unix := head.zero.Load(), st.clock.Unix(st.clock.Now())
	now := int64(max(latest, expiry.Instant(head.now.Load())))
	if passed := unix - zero - now; passed > 0 && passed < downMax {
		now += passed
	}
	st.clock.Resume(expiry.Instant(now), unix)
	head.zero.Store(st.clock.Unix(0))
	head.now.Store(uint32(now))
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
		if err := r.open(); err != nil {
			return err
		}
		raise(st.incarnations, r.incarnation)
	}
	latest := expiry.Start
	for i := range readers {
		latest = max(latest, readers[i].latest)
	}
	st.resumeClock(latest)
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

// open reads the segment table and maps what has contents.
func (r *reader) open() error {
	s := r.s
	s.fresh = min(int(s.line.fresh.Load()), len(s.segments))
	s.backedFresh = s.fresh
	end := expiry.Instant(s.store.file.head.now.Load()) + ahead
	seen := map[uint64]bool{}
	run := 0 // segments with contents, one after the other
	flush := func(g int) error {
		err := s.store.back(s, g-run, run)
		run = 0
		return err
	}
	for g := range s.fresh {
		sg := &s.segments[g]
		if sg.used > 0 && sg.used <= s.segSize && s.padded(sg.used) == sg.used && sg.incarnation > 0 && !seen[sg.incarnation] &&
			sg.incarnation < incarnationMax && sg.queue < queues && sg.created <= end {
			seen[sg.incarnation] = true
			r.segments = append(r.segments, int32(g))
			r.latest = max(r.latest, sg.created)
			r.incarnation = max(r.incarnation, sg.incarnation)
			run++
		} else if err := flush(g); err != nil {
			return err
		}
	}
	if err := flush(s.fresh); err != nil {
		return err
	}
	slices.SortFunc(r.segments, func(a, b int32) int {
		return cmp.Compare(s.segments[a].incarnation, s.segments[b].incarnation)
	})
	return nil
}

// read does the rest.
func (r *reader) read() {
	s := r.s
	s.now = s.store.clock.Now() // nobody else has the store yet, so there is no lock to take
	s.floor, s.pending = s.line.floor.Load(), expiry.Instant(s.line.pending.Load())
	r.intent = s.line.intent.Load() - 1
	r.pieces = map[uint32]bool{}
	for _, g := range r.segments {
		r.count(g)
	}
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
	s.sizeIndex()
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

// count walks a segment, drops what is no item any more, and counts the rest.
func (r *reader) count(g int32) {
	s, sg := r.s, &r.s.segments[g]
	base := int64(g) << s.segShift
	for off := uint32(0); off < sg.used; {
		loc := uint32((base + int64(off)) >> s.granule)
		var rec record
		rec.read(s.at(loc))
		n := s.padded(rec.size)
		if !rec.sane() || n > sg.used-off {
			sg.used = off
			r.dropped++
			return
		}
		off += n
		switch {
		case *rec.ctrl()&ctrlDead != 0:
			continue
		case loc == r.intent:
			r.dropped++
			r.drop(loc)
			continue
		case rec.piece():
			r.pieces[loc] = false
			s.liveBytes += int64(n)
			continue
		case s.fate(&rec, sg) != alive:
			r.ended++
			r.drop(loc)
			continue
		case rec.split() && rec.coming():
			r.dropped++
			r.drop(loc)
			continue
		case rec.split():
			r.heads = append(r.heads, loc)
		}
		s.items++
		s.liveBytes += int64(n)
	}
}

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
	n, own, at := int(head.vlen), []uint32(nil), *head.next()
	for at != noPiece {
		if owned, ok := r.pieces[at]; !ok || owned {
			break
		}
		p.read(s.at(at))
		if n += int(p.vlen); *p.chain() != number || n > head.total() {
			break
		}
		r.pieces[at] = true
		own = append(own, at)
		at = *p.next()
	}
	if at != noPiece || n != head.total() {
		for _, at := range own {
			r.pieces[at] = false
		}
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

// linkFreeChains makes the free list of the numbers that no chain has.
func (s *shard) linkFreeChains() {
	for n := range s.chains {
		if s.chains[n].free {
			s.dropChain(uint32(n))
		}
	}
}

// sizeIndex makes the empty index as large as the items that were counted want it.
func (s *shard) sizeIndex() {
	x := &s.index
	need := uint64(s.items)*100/(slots*(s.loadMax()-2)) + 1
	x.n = max(x.min, need, min(s.foreseen(), 2*need, x.max))
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
			h := s.hash(rec.key())
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
			if s.find(e.hash, rec.key(), &f) || !s.insert(e.hash, e.loc) {
				r.losers = append(r.losers, e.loc)
				continue
			}
			s.items++
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
