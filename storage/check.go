package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
)

// Check walks everything the store holds and names each rule that it finds broken. It takes one shard's lock at a time,
// for as long as it needs: it is for tests.
func (st *Store) Check() error {
	var errs []error
	sizes := map[int]int32{}
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		c := checker{s: s, shard: i, sizes: sizes}
		c.segments()
		c.entries()
		c.records()
		c.prefixes()
		s.unlock()
		errs = append(errs, c.errs...)
	}
	return errors.Join(append(errs, st.checkSizes(sizes), st.checkLimits(), st.checkPrefixes())...)
}

// checkLimits: the shards' limits and the pool are the store's limit. What one has drawn from the
// pool, or gives, must not be on its way meanwhile, so all are locked.
func (st *Store) checkLimits() error {
	for i := range st.shards {
		st.shards[i].lock()
		defer st.shards[i].unlock()
	}
	sum, short := st.pool.Load(), int32(0)
	for i := range st.shards {
		s := &st.shards[i]
		sum += s.limit
		if s.short {
			short++
		}
	}
	if limit := st.limit.Load(); sum != limit || short != st.short.Load() {
		return fmt.Errorf("the limits of shards and the pool are %d instead of %d; %d shards are short, %d known", sum, limit, short, st.short.Load())
	}
	return nil
}

// checkPrefixes: what the shards are through with is under way no more, and the rest is. Nobody
// else may use the store meanwhile.
func (st *Store) checkPrefixes() error {
	ps := &st.prefixes
	ps.mu.Lock()
	defer ps.mu.Unlock()
	under := 0
	for n := range ps.slots {
		left := 0
		for i := range st.shards {
			for _, p := range st.shards[i].prefixes {
				if p.slot == n {
					left++
				}
			}
		}
		sl := &ps.slots[n]
		if left != sl.left || (left > 0) != (sl.prefix != nil) {
			return fmt.Errorf("prefix %q is under way in %d shards instead of %d", sl.prefix, sl.left, left)
		}
		if left > 0 {
			under++
		}
	}
	if under != int(ps.under.Load()) {
		return fmt.Errorf("%d prefixes under way instead of %d", ps.under.Load(), under)
	}
	if st.file != nil && (st.file.head.format == formatPrefixes) != (under > 0) {
		return fmt.Errorf("the file's format is %d with %d prefixes under way", st.file.head.format, under)
	}
	return nil
}

type checker struct {
	s     *shard
	shard int
	errs  []error
	owned map[uint32]uint64 // granule → hash, of every entry of the index
	sizes map[int]int32     // items by size, of all shards together
}

// checkSizes: what has been counted as it came and went is what there is. Nobody else may use the store meanwhile.
func (st *Store) checkSizes(there map[int]int32) error {
	if st.sizes == nil {
		return nil
	}
	var errs []error
	for i := range st.sizes.buckets {
		if n := st.sizes.buckets[i].Load(); n != there[i] {
			errs = append(errs, fmt.Errorf("%d items of up to %d bytes instead of %d", n, i*sizeStep, there[i]))
		}
	}
	return errors.Join(errs...)
}

func (c *checker) fail(format string, args ...any) {
	if len(c.errs) < 20 {
		c.errs = append(c.errs, fmt.Errorf("shard %d: "+format, append([]any{c.shard}, args...)...))
	}
}

// segments: every segment is in exactly one place, and the place says what its state says.
func (c *checker) segments() {
	s := c.s
	seen := make([]int, len(s.segments))
	used := 0
	for qi := range s.queues {
		q := &s.queues[qi]
		n, prev, last := 0, int32(none), uint64(0)
		for g := q.head; g != none; g = s.segments[g].next {
			sg := &s.segments[g]
			seen[g]++
			n++
			used++
			if sg.state != stateSealed || int(sg.queue) != qi || sg.prev != prev {
				c.fail("segment %d in queue %d: state %d, queue %d, prev %d instead of %d", g, qi, sg.state, sg.queue, sg.prev, prev)
			}
			if sg.incarnation <= last {
				c.fail("segment %d in queue %d is older than the one before it", g, qi)
			}
			prev, last = g, sg.incarnation
			if n > len(s.segments) {
				c.fail("queue %d has a ring", qi)
				return
			}
		}
		if n != q.sealed || q.tail != prev {
			c.fail("queue %d: %d segments instead of %d, tail %d instead of %d", qi, n, q.sealed, q.tail, prev)
		}
		if q.open != none {
			seen[q.open]++
			used++
			if sg := &s.segments[q.open]; sg.state != stateOpen || int(sg.queue) != qi {
				c.fail("open segment %d of queue %d: state %d, queue %d", q.open, qi, sg.state, sg.queue)
			}
		}
	}
	if v := s.victim.seg; v != none {
		seen[v]++
		used++
		if s.segments[v].state != stateVictim {
			c.fail("victim %d: state %d", v, s.segments[v].state)
		}
	}
	for g := range s.segments[:s.fresh] {
		if sg := &s.segments[g]; sg.state == statePinned {
			seen[g]++
			used++
			if sg.pins == 0 || sg.live != 0 {
				c.fail("segment %d is kept for %d pins, with %d live bytes", g, sg.pins, sg.live)
			}
		}
	}
	pinned, deadPinned, arriving := 0, 0, int64(0)
	for g := range s.segments[:s.fresh] {
		if s.segments[g].pins > 0 {
			pinned++
		}
		if s.segments[g].state == statePinned {
			deadPinned++
		}
	}
	for _, in := range s.arrivals {
		arriving += int64(in.room)
	}
	if pinned != s.pinned || deadPinned != s.deadPinned || arriving != s.arriving {
		c.fail("%d segments pinned instead of %d, %d of them dead instead of %d, %d bytes arriving instead of %d",
			s.pinned, pinned, s.deadPinned, deadPinned, s.arriving, arriving)
	}
	if used != s.inUse {
		c.fail("%d segments in use instead of %d", used, s.inUse)
	}
	for _, l := range []struct {
		list  *list
		state segmentState
	}{{&s.free, stateFree}, {&s.gone, stateGone}, {&s.condemned, stateCondemned}} {
		n := 0
		for g := l.list.head; g != none && n <= len(s.segments); g = s.segments[g].next {
			seen[g]++
			n++
			if s.segments[g].state != l.state {
				c.fail("segment %d in the list of state %d has state %d", g, l.state, s.segments[g].state)
			}
		}
		if n != l.list.n {
			c.fail("list of state %d: %d segments instead of %d", l.state, n, l.list.n)
		}
	}
	if n := s.inUse + s.free.n + s.condemned.n + s.backedFresh - s.fresh; s.line != nil && n != s.backed {
		c.fail("%d segments have blocks, %d are known", s.backed, n)
	}
	for g, n := range seen {
		if n != 1 && g < s.fresh || n != 0 && g >= s.fresh {
			c.fail("segment %d is in %d places", g, n)
		}
	}
}

// entries: every entry of the index points to a live record of its own hash, in a bucket where a lookup comes by, and
// the counts agree.
func (c *checker) entries() {
	s, x := c.s, &c.s.index
	c.owned = map[uint32]uint64{}
	var ghosts [3]int
	over := map[uint64]int{}
	entry := func(where string, loc uint32, want *uint64) (uint64, bool) {
		at := int64(loc) << s.granule
		g := at >> s.segShift
		if int(g) >= len(s.segments) || uint32(at)&(s.segSize-1) >= s.segments[g].used {
			c.fail("%s points to %d, outside what is used", where, loc)
			return 0, false
		}
		var r record
		r.read(s.at(loc))
		h := s.hash(r.key())
		if s.store.Hash(r.key()) != h {
			c.fail("%s points to a record of another shard, key %q", where, r.key())
		}
		if *r.ctrl()&ctrlDead != 0 {
			c.fail("%s points to a dead record, key %q", where, r.key())
		}
		if want != nil && *want != h {
			c.fail("%s: the record's hash is %x instead of %x", where, h, *want)
		}
		if _, twice := c.owned[loc]; twice {
			c.fail("%s: a second entry for granule %d", where, loc)
		}
		c.owned[loc] = h
		return h, true
	}
	for i := range max(x.n, x.next) {
		b := x.bucket(i)
		for j := range slots {
			where := fmt.Sprintf("bucket %d slot %d", i, j)
			switch {
			case b.ghost>>j&1 != 0:
				kind := b.loc[j] & locMask
				if b.tag[j] == 0 || kind != ghostSmall && kind != ghostMain {
					c.fail("%s: ghost with tag %d and kind %d", where, b.tag[j], kind)
					continue
				}
				ghosts[kind]++
			case b.tag[j] == 0:
				if b.loc[j] != 0 {
					c.fail("%s is empty but has a loc", where)
				}
			default:
				h, ok := entry(where, b.loc[j]&locMask, nil)
				if !ok {
					continue
				}
				if tag, top := tags(h); tag != b.tag[j] || (b.loc[j]^top)>>locBits != 0 {
					c.fail("%s: tags do not fit the hash", where)
				}
				if x.first(h) == b {
					continue
				}
				if x.second(h) != b {
					c.fail("%s: neither choice of its item", where)
				}
				if x.next == 0 {
					f, _ := bits.Mul64(h, x.n)
					over[f]++
				} else if second, swept := x.place(rehash(h)); swept {
					if f, _ := bits.Mul64(h, x.next); f != second {
						over[f]++
					}
				}
			}
		}
	}
	for i := range x.stashed {
		e := x.stash[i]
		entry(fmt.Sprintf("stash %d", i), e.loc, &e.hash)
	}
	order := x.order
	if x.next != 0 {
		order ^= 1
	}
	for i := range max(x.n, x.next) {
		if got := x.bucket(i).over[order]; got != overFull && int(got) != over[i] {
			c.fail("bucket %d: over is %d, %d items live in their second choice", i, got, over[i])
		}
		if idle := x.bucket(i).over[order^1]; x.next == 0 && idle != 0 {
			c.fail("bucket %d: the idle count is %d", i, idle)
		}
	}
	if ghosts != x.ghosts {
		c.fail("ghosts %v instead of %v", ghosts, x.ghosts)
	}
	if len(c.owned) != s.items {
		c.fail("%d entries for %d items", len(c.owned), s.items)
	}
}

// records: segments are whole chains of records; each live one is pointed to; bytes add up; a segment is due before the
// first of its items ends, or has been visited since.
func (c *checker) records() {
	s := c.s
	var usedBytes, liveBytes int64
	pieces := map[uint32]uint32{} // live piece → its chain
	for g := range s.segments[:s.fresh] {
		sg := &s.segments[g]
		if sg.state != stateOpen && sg.state != stateSealed && sg.state != stateVictim && sg.state != statePinned {
			continue
		}
		live := uint32(0)
		off := uint32(0)
		for off < sg.used {
			var r record
			loc := uint32((int64(g)<<s.segShift + int64(off)) >> s.granule)
			r.read(s.at(loc))
			n := s.padded(r.size)
			if off+n > sg.used {
				c.fail("segment %d: the record at %d ends beyond what is used", g, off)
				break
			}
			off += n
			if *r.ctrl()&ctrlDead != 0 {
				continue
			}
			live += n
			c.sum(&r, sg, off-n)
			if r.piece() {
				pieces[loc] = *r.chain()
				continue
			}
			if r.split() && s.chains[*r.chain()].incoming != nil {
				continue
			}
			if _, ok := c.owned[loc]; !ok {
				c.fail("segment %d: no entry for the record at %d, key %q", g, off, r.key())
			}
			delete(c.owned, loc)
			c.taken(&r, sg, g, off-n)
			c.sizes[sizeBucket(Charge(int(r.klen), r.flags(), r.total(), !s.store.opts.DisableCAS))]++
			if d := r.deadline(sg.created); d != 0 && !d.Passed(s.now) && sg.due == 0 && s.visit.seg != int32(g) && sg.state != stateVictim {
				c.fail("segment %d: deadline %d at %d, and it is never due", g, d, off)
			}
		}
		if live != sg.live {
			c.fail("segment %d: %d live bytes instead of %d", g, live, sg.live)
		}
		if sg.live == 0 && sg.state == stateSealed {
			c.fail("segment %d is empty and not free", g)
		}
		usedBytes += int64(sg.used)
		liveBytes += int64(live)
	}
	if usedBytes != s.usedBytes || liveBytes != s.liveBytes {
		c.fail("%d bytes used, %d live instead of %d, %d", usedBytes, liveBytes, s.usedBytes, s.liveBytes)
	}
	for loc := range c.owned {
		c.fail("the entry for granule %d meets no record", loc)
	}
	c.chains(pieces)
}

// prefixes: lookups suspect all that was flushed and no more, what is flushed is written down, and
// none of it is left behind the walk that takes it away.
func (c *checker) prefixes() {
	s := c.s
	suspect, written := s.floor, 0
	for i := range s.prefixes {
		p := &s.prefixes[i]
		suspect = max(suspect, p.floor)
		if sl := &s.store.prefixes.slots[p.slot]; !bytes.Equal(sl.prefix, p.prefix) {
			c.fail("prefix %q is under way as %q", p.prefix, sl.prefix)
		}
		if s.prefixLines == nil {
			continue
		}
		l := &s.prefixLines[p.line]
		if l.sum.Load() != l.check() || l.floor != p.floor || l.marks != p.marks || !bytes.Equal(l.prefix[:l.length], p.prefix) {
			c.fail("prefix %q is not in line %d", p.prefix, p.line)
		}
	}
	if suspect != s.suspect {
		c.fail("suspect is %d instead of %d", s.suspect, suspect)
	}
	if s.prefixLines != nil {
		for i := range s.prefixLines {
			if s.prefixLines[i].sum.Load() != 0 {
				written++
			}
		}
		if written != len(s.prefixes) {
			c.fail("%d prefixes are written down instead of %d", written, len(s.prefixes))
		}
	}
}

// taken: the walk has taken away what was flushed where it has been.
func (c *checker) taken(r *record, sg *segment, g int, off uint32) {
	s := c.s
	if w := &s.clearing; g > int(w.seg) || g == int(w.seg) && off >= w.off {
		return
	}
	for i := range s.prefixes {
		if p := &s.prefixes[i]; p.round == s.clearing.round && s.before(p, r, sg) && bytes.HasPrefix(r.key(), p.prefix) {
			c.fail("segment %d: the walk has left %q there, whose prefix %q was flushed", g, r.key(), p.prefix)
		}
	}
}

// sum: with a file each record's checksum is right, but of a value on its way in.
func (c *checker) sum(r *record, sg *segment, off uint32) {
	key := []byte(nil)
	if r.piece() || r.split() {
		ch := &c.s.chains[*r.chain()]
		if ch.incoming != nil {
			return
		}
		var head record
		head.read(c.s.at(ch.head))
		key = head.key()
	}
	if !c.s.whole(r, sg.incarnation, key) {
		c.fail("segment %d: the checksum of the record at %d is wrong, key %q", c.s.number(sg), off, key)
	}
}

// chains: from each head its pieces can be walked there and back, they hold the whole value, and no piece is left over.
func (c *checker) chains(pieces map[uint32]uint32) {
	s := c.s
	free := 0
	for n := s.freeChain; n != noChain && free <= len(s.chains); n = s.chains[n].head {
		if !s.chains[n].free {
			c.fail("chain %d is on the free list and in use", n)
		}
		free++
	}
	for number := range s.chains {
		ch := &s.chains[number]
		if ch.free {
			free--
			continue
		}
		var r record
		r.read(s.at(ch.head))
		if r.piece() || !r.split() || *r.ctrl()&ctrlDead != 0 || *r.chain() != uint32(number) {
			c.fail("chain %d: its head at %d is none of its own", number, ch.head)
			continue
		}
		n, last := int(r.vlen), ch.head
		for loc := *r.next(); loc != noPiece; loc = *r.next() {
			if got, ok := pieces[loc]; !ok || got != uint32(number) {
				c.fail("chain %d: the piece at %d is dead or another's", number, loc)
				break
			}
			delete(pieces, loc)
			r.read(s.at(loc))
			n += int(r.vlen)
			if *r.prev() != last {
				c.fail("chain %d: before the piece at %d comes %d, not %d", number, loc, last, *r.prev())
			}
			last = loc
		}
		if last != ch.last {
			c.fail("chain %d: ends at %d instead of %d", number, last, ch.last)
		}
		r.read(s.at(ch.head))
		if want := r.total(); ch.incoming == nil && n != want || ch.incoming != nil && n != ch.incoming.room {
			c.fail("chain %d: %d bytes of %d", number, n, want)
		}
	}
	if free != 0 {
		c.fail("the free list of chains misses %d", -free)
	}
	for loc, number := range pieces {
		c.fail("the piece at %d of chain %d belongs to nobody", loc, number)
	}
}
