package storage

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
)

// A memory file has its layout from the limit and the largest item that it was made for, and its
// format from the program that made it. A start with a limit or items that do not suit it, or of a
// later program, makes a file of its own beside it, stores the old one's items there, in the order
// in which they were stored, and gives it the old one's name. Until then the old file is only read.
//
// What a start drops from a file that it uses (restart.go) is left out here. An item whose unique
// somebody was told keeps it; incarnations go on where the old file's were, so that none comes
// again.
type oldFile struct {
	f     *os.File
	head  *fileHead
	carry bool // it is good: its items are to be carried over

	readers []reader
	memory  [][]byte // what close gives back
}

// carried counts what has become of the items.
type carried struct{ tooLarge, noRoom uint64 }

// carryOver fills an empty store with what the old file has.
func (st *Store) carryOver() error {
	start := time.Now()
	old := st.file.old
	if err := old.read(st); err != nil {
		return err
	}
	latest, most, pending := expiry.Start, old.head.incarnations.Load(), expiry.Never
	for i := range old.readers {
		r := &old.readers[i]
		latest, most = max(latest, r.latest), max(most, r.incarnation)
	}
	raise(&old.head.incarnations, most)
	for i := range old.readers {
		r := &old.readers[i]
		r.floors(old.head)
		if at := r.s.pending; at != expiry.Never && (pending == expiry.Never || at < pending) {
			pending = at
		}
	}
	raise(st.incarnations, old.head.incarnations.Load())
	st.resumeClock(old.head, latest)
	for i := range st.shards {
		st.shards[i].shown = st.incarnations.Load() << uniqueBits // perhaps
	}

	type part struct {
		r *reader
		g int32
	}
	var parts []part
	for i := range old.readers {
		r := &old.readers[i]
		if r.s.now = st.clock.Now(); r.s.pending.Passed(r.s.now) {
			continue // all of it is flushed
		}
		for _, g := range r.segments {
			r.each(g, func(rec *record, loc uint32, sg *segment) {
				if r.judge(rec, loc, sg) == isPiece {
					r.pieces[loc] = false
				}
			})
			parts = append(parts, part{r, g})
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Compare(a.r.s.segments[a.g].incarnation, b.r.s.segments[b.g].incarnation)
	})
	var c carried
	stored := uint64(0)
	for _, p := range parts {
		p.r.each(p.g, func(rec *record, loc uint32, sg *segment) {
			switch p.r.judge(rec, loc, sg) {
			case hasEnded:
				st.restored.Ended++
				return
			case isTorn:
				st.restored.Dropped++
				return
			case isHead:
				if own, ok := p.r.own(rec); ok {
					stored += st.carry(p.r.s, rec, loc, sg, own, &c)
				} else {
					st.restored.Dropped++
				}
			case isItem:
				stored += st.carry(p.r.s, rec, loc, sg, nil, &c)
			}
		})
	}
	for i := range st.shards {
		s := &st.shards[i]
		if pending.Passed(st.clock.Now()) {
			pending = expiry.Never
		}
		s.setPending(pending)
		s.stats, s.debt = Stats{}, 0
		st.restored.Items += uint64(s.items)
		st.restored.Bytes += uint64(s.liveBytes)
	}
	c.noRoom += stored - min(stored, st.restored.Items)
	if c != (carried{}) {
		st.warnOfFile(fmt.Sprintf("%d of its items found no room in %d bytes, and %d are larger than the %d bytes that one may have: %d are here",
			c.noRoom, st.opts.MemoryLimit, c.tooLarge, st.opts.ItemMax, st.restored.Items))
	}
	st.restored.Took = time.Since(start)
	return nil
}

// read maps what was used of an old file, to be read and not changed, and makes readers for it.
func (old *oldFile) read(st *Store) error {
	shape := &old.head.shape
	was := &Store{opts: st.opts, clock: st.clock, shards: make([]shard, shape.shards), file: &file{head: old.head}}
	lines := make([]shardLine, shape.shards)
	if err := old.readAt(unsafe.Pointer(&lines[0]), len(lines)*int(unsafe.Sizeof(lines[0])), fileLines); err != nil {
		return err
	}
	prefixes := make([]prefixLines, shape.shards)
	if old.head.format >= formatPrefixes {
		if err := old.readAt(unsafe.Pointer(&prefixes[0]), len(prefixes)*int(unsafe.Sizeof(prefixes[0])), shape.prefixes()); err != nil {
			return err
		}
	}
	old.readers = make([]reader, shape.shards)
	for i := range was.shards {
		s := &was.shards[i]
		s.store, s.line, s.prefixLines, s.granule, s.segSize = was, &lines[i], &prefixes[i], uint8(shape.granule), shape.segSize
		s.segShift = uint8(trailing(shape.segSize))
		if old.head.format >= 3 {
			s.sumSize = sumSize
		}
		fresh := min(s.line.fresh.Load(), shape.segments)
		if fresh == 0 {
			continue
		}
		s.segments = make([]segment, fresh)
		if err := old.readAt(unsafe.Pointer(&s.segments[0]), len(s.segments)*int(unsafe.Sizeof(segment{})), shape.table(i)); err != nil {
			return err
		}
		// A record's header is read in words, the last one's beyond the end: there is some memory
		// behind it.
		n := int64(fresh) * int64(shape.segSize)
		b, err := unix.Mmap(-1, 0, int(n)+os.Getpagesize(), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
		if err != nil {
			return fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
		}
		old.memory = append(old.memory, b)
		s.arena = unsafe.Pointer(&b[0])
		if _, err := unix.MmapPtr(int(old.f.Fd()), shape.arena(i), s.arena, uintptr(n), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED); err != nil {
			return fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
		}
		_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	}
	for i := range old.readers {
		r := &old.readers[i]
		r.s = &was.shards[i]
		r.open(old.head)
		r.segments = slices.DeleteFunc(r.segments, func(g int32) bool {
			return !old.there(shape.arena(i)+int64(g)*int64(shape.segSize), r.s.segments[g].used)
		})
	}
	return nil
}

func (old *oldFile) readAt(p unsafe.Pointer, n int, off int64) error {
	_, err := old.f.ReadAt(unsafe.Slice((*byte)(p), n), off)
	return err
}

// there sees to it that the file has blocks for these bytes, as it has unless it is damaged: to
// read where there are none would ask for them, which a full disk answers with a signal.
func (old *oldFile) there(off int64, n uint32) bool {
	return (&file{f: old.f}).allocate(off, int64(n)) == nil
}

// close gives back what read has mapped, and the file.
func (old *oldFile) close() error {
	errs := []error{old.f.Close()}
	for _, b := range old.memory {
		errs = append(errs, unix.Munmap(b))
	}
	return errors.Join(errs...)
}

// carry stores an item of another store's shard, and returns 1 if it was stored. What it was read
// and invalidated goes with it; one that had proved itself does not need to do so again.
func (st *Store) carry(from *shard, r *record, loc uint32, sg *segment, own []uint32, c *carried) uint64 {
	h := st.Hash(r.key())
	it := Item{Key: r.key(), Flags: r.flags(), Deadline: r.deadline(sg.created), Binary: r.ext&extBinary != 0,
		keep: *r.ctrl() & (ctrlFreq | ctrlFetched | ctrlStale | ctrlWon)}
	if sg.queue == queueMain && it.keep&ctrlFreq == 0 {
		it.keep++
	}
	if *r.ctrl()&ctrlShown != 0 && !st.opts.DisableCAS {
		it.Explicit = from.uniqueOf(r, loc)
	}
	n := r.total()
	if Charge(len(it.Key), it.Flags, n, !st.opts.DisableCAS) > st.opts.ItemMax {
		c.tooLarge++
		return 0
	}
	s, status := st.shard(h), Stored
	if n <= st.LargeMin() {
		it.Value = r.value()
		if r.split() || r.packed() {
			from.scratch = from.appendValue(from.scratch[:0], r)
			it.Value = from.scratch
		}
		var f found
		s.lock()
		s.maintainIndex(indexStep)
		status = s.link(h, Set, s.getForUpdate(h, it.Key, &f), &f, &it)
		s.unlock()
	} else {
		status = st.carryLarge(from, s, h, r, &it, n, own)
	}
	if status != Stored {
		c.noRoom++
		return 0
	}
	return 1
}

// carryLarge copies a value piece by piece.
func (st *Store) carryLarge(from, s *shard, h uint64, r *record, it *Item, n int, own []uint32) Status {
	in, status := st.Receive(h, it, n, nil)
	if status != Stored {
		return status
	}
	_, status = in.Write(r.value())
	for _, at := range own {
		if status != Stored {
			break
		}
		var p record
		p.read(from.at(at))
		_, status = in.Write(p.value())
	}
	if status == Stored {
		status = in.Commit(Set)
	}
	in.Abort()
	var f found
	s.lock()
	if status == Stored && s.find(h, it.Key, &f) {
		*f.ctrl() |= it.keep
	}
	s.unlock()
	return status
}
