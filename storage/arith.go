package storage

import "strconv"

// incr adds to the number an item holds, or takes away from it. The number is read as C's strtoull reads it, because
// that is what memcached uses: white space, a sign, digits; then white space, NUL or the end of the value.
func (s *shard) incr(h uint64, key []byte, c *Count) (uint64, Status) {
	s.lock()
	defer s.unlockWhole()
	return s.add(h, key, c)
}

func (s *shard) add(h uint64, key []byte, c *Count) (uint64, Status) {
	var f found
	if !s.get(h, key, &f) {
		return 0, NotFound
	}
	s.bump(&f)
	if c.Compare != 0 && f.total() > 0 && !s.is(&f, c.Compare) {
		return 0, Exists
	}
	value := f.value()
	apart := f.split() || f.packed() || f.size >= splitMin
	if apart {
		value = s.appendValue(make([]byte, 0, f.total()), &f.record)
	}
	n, ok := parseNumber(value)
	if !ok {
		return 0, NotNumber
	}
	switch {
	case !c.Down:
		n += c.Delta
	case c.Delta > n:
		n = 0
	default:
		n -= c.Delta
	}
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	keep := *f.ctrl() & (ctrlFetched | ctrlStale | ctrlWon)
	if len(text) > f.total() { // memcached: this is another item
		keep = 0
	}
	if apart { // a number with so many blanks or zeros: nobody minds the way over the heap
		value = append(value, make([]byte, max(0, len(text)-len(value)))...)
		pad(value, text)
		it := Item{Key: key, Value: value, Flags: f.flags(), Deadline: f.deadline(f.sg.created),
			Binary: f.ext&extBinary != 0, Explicit: c.Explicit, keep: keep}
		return n, s.link(h, Set, true, &f, &it)
	}
	// Not longer than before: the rest becomes blanks. memcached does so for incr as well.
	if len(text) <= int(f.vlen) && *f.ctrl()&ctrlShown == 0 && c.Explicit == 0 {
		s.intend(f.loc)
		pad(f.value(), text)
		s.resum(&f.record)
		s.done()
		return n, Stored
	}
	nf := f.fields(f.sg.created)
	nf.vlen = max(nf.vlen, len(text))
	qi := int(f.sg.queue)
	before := s.moves
	need := int(f.size) + headerMax + len(text)
	ok = s.makeRoomWhole(int64(f.loc), qi, need)
	if s.moves != before && !s.find(h, key, &f) {
		return 0, OutOfMemory
	}
	if !ok {
		return 0, OutOfMemory
	}
	if s.tail(qi) < need {
		s.next(qi)
	}
	nf.ctrl = *f.ctrl()&ctrlFreq | keep
	if nf.unique = s.newUnique(&f, qi); c.Explicit != 0 && !s.store.opts.DisableCAS {
		nf.unique = c.Explicit
		nf.ctrl |= ctrlShown
	}
	var r record
	loc := s.writeHeader(&r, qi, &nf, key)
	pad(r.value(), text)
	s.publish(&r)
	if s.store.sizes != nil {
		s.sized(&f.record, -1)
		s.sized(&r, +1)
	}
	s.kill(&f.record, f.sg)
	s.index.setLoc(f.slot, loc)
	s.moves++
	s.pace(r.size)
	return n, Stored
}

// pad writes text into value and fills up with blanks.
func pad(value, text []byte) {
	for i := copy(value, text); i < len(value); i++ {
		value[i] = ' '
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func parseNumber(value []byte) (uint64, bool) {
	i := 0
	for i < len(value) && isSpace(value[i]) {
		i++
	}
	negative := false
	if i < len(value) && (value[i] == '+' || value[i] == '-') {
		negative = value[i] == '-'
		i++
	}
	first, n := i, uint64(0)
	for ; i < len(value) && '0' <= value[i] && value[i] <= '9'; i++ {
		d := uint64(value[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, false // ERANGE
		}
		n = n*10 + d
	}
	if i == first || i < len(value) && value[i] != 0 && !isSpace(value[i]) {
		return 0, false
	}
	// strtoull negates in the ring; what is negative as an int64 then is refused, -(2^63+1) and below is not.
	if negative {
		n = -n
		if int64(n) < 0 {
			return 0, false
		}
	}
	return n, true
}
