package insight

import (
	"math"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

// Would more memory help? The hit ratio that other limits would have is found by miniature simulations
// (Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature
// simulations", USENIX ATC 2017): the policy of the store itself, for a sample of the keys, in limits that
// are as much smaller as the sample is. Which keys are in it, their hashes say, so it has all that
// happens to a key or nothing: SHARDS (Waldspurger, Park, Garthwaite and Ahmad, "Efficient MRC
// construction with SHARDS", FAST 2015). As there, the sample has at most so many keys: when there are
// more, the part of the hashes that are in it is lowered, and those that are not any more leave.

// Factors are the limits that are simulated, as multiples of the one in force.
var Factors = [...]float64{0.5, 0.75, 1, 1.5, 2, 4}

const (
	// CurveEntries is how many keys the sample may have, of 56 bytes each: those that one of the simulations
	// holds or remembers.
	CurveEntries = 16 << 10
	noEntry      = math.MaxUint16

	// When there are too many, the sample becomes thin times as large, and where it has had room for long, as much
	// larger again.
	thin = 7.0 / 8

	// getsLeast is from how many gets on there is a curve.
	getsLeast = 1000
	// halfLife, in seconds: of the curve, what is older counts half. Hits and misses by time to live are counters, which only grow.
	halfLife expiry.Instant = 3600
)

// ttlBounds are the classes of times that items are stored for, in seconds; then come those without an
// end.
var ttlBounds = [...]uint64{60, 600, 3600, 86400, math.MaxUint32}

const (
	ttlNever   = uint8(len(ttlBounds))
	ttlUnknown = ttlNever + 1
)

// Curve simulates. It belongs to one goroutine at a time.
type Curve struct {
	table
	sims  [len(Factors)]simulation
	limit int64
	part  float64 // of the hashes, what is in the sample

	crowded            expiry.Instant // when the sample last had no room to spare
	since              expiry.Instant // when counts, but for ttl, were last halved
	gets, hits         float64        // of keys in the sample, as the server answered them, scaled up
	sampled            float64        // gets of keys in the sample, as they are
	allGets, allHits   float64        // of all keys
	toldGets, toldHits uint64         // of all keys, at the last Tick …
	fresh              uint64         // … and gets between the last two
	ttl                [ttlNever + 1]struct{ hits, misses float64 }
}

// table has the keys of the sample.
type table struct {
	now     expiry.Instant
	entries []entry
	free    uint16 // list, by chain
	heads   []uint16
	n, most int
	bytes   int64 // of all entries
}

// entry is a key of the sample.
type entry struct {
	hash  uint64
	size  uint32
	ends  expiry.Instant
	chain uint16 // the next of the same head, or of free
	class uint8  // of the time that it was last stored for
	used  bool
	seats [len(Factors)]seat
}

// NewCurve makes one for a limit in bytes, with at most so many entries.
func NewCurve(limit int64, most int) *Curve {
	c := &Curve{limit: -1, part: 1, table: table{most: min(most, noEntry-1), free: noEntry}}
	for i := range c.sims {
		c.sims[i].init(i, Factors[i])
	}
	heads := 1
	for heads < c.most {
		heads *= 2
	}
	c.heads = make([]uint16, heads)
	for i := range c.heads {
		c.heads[i] = noEntry
	}
	c.SetLimit(limit)
	return c
}

// SetLimit changes the limit in force.
func (c *Curve) SetLimit(limit int64) {
	if limit != c.limit {
		c.limit = limit
		c.resize(1)
	}
}

func (c *Curve) resize(by float64) {
	for i := range c.sims {
		s := &c.sims[i]
		s.resize(&c.table, int64(math.Round(s.factor*float64(c.limit)*c.part)), by)
	}
}

// Threshold is the end of the upper halves of hashes of keys that are in the sample.
func (c *Curve) Threshold() uint64 { return uint64(c.part * (1 << 32)) }

func (c *Curve) has(hash uint64) bool { return hash>>32 < c.Threshold() }

func (t *table) head(hash uint64) *uint16 { return &t.heads[hash&uint64(len(t.heads)-1)] }

func (t *table) find(hash uint64) uint16 {
	i := *t.head(hash)
	for i != noEntry && t.entries[i].hash != hash {
		i = t.entries[i].chain
	}
	return i
}

// Get is a get, or a touch, of a key in the sample; hit is what the server answered. size is what the
// item takes there, 0 if it is not known, and ends when it ends.
func (c *Curve) Get(hash uint64, hit bool, size uint32, ends expiry.Instant) {
	if !c.has(hash) {
		return
	}
	i := c.find(hash)
	if i == noEntry && hit { // from before the sample: nobody can tell what other limits would have done
		if i = c.enter(hash); i == noEntry {
			return
		}
		c.take(i, size, ends, ttlUnknown)
		for s := range c.sims {
			c.sims[s].store(&c.table, i)
		}
		return
	}
	stands := 1 / c.part // for so many
	c.sampled++
	c.gets += stands
	if hit {
		c.hits += stands
	}
	if i == noEntry {
		return
	}
	e := &c.entries[i]
	if t := &c.ttl; e.class <= ttlNever {
		if hit {
			t[e.class].hits += stands
		} else {
			t[e.class].misses += stands
		}
	}
	switch {
	case !hit && e.ends.Passed(c.now):
		c.expire(i)
	case hit && (size > 0 || ends != expiry.Never): // else it was not read
		e.ends = ends
	}
	for s := range c.sims {
		sim, st := &c.sims[s], &e.seats[s]
		switch {
		case st.resident():
			sim.read(st)
			sim.hits += stands
		case hit: // whoever has the smaller limit would have stored it again
			sim.store(&c.table, i)
		}
	}
}

// Use is a command that reads an item and is not counted as a get.
func (c *Curve) Use(hash uint64) {
	if i := c.find(hash); i != noEntry {
		for s := range c.sims {
			if st := &c.entries[i].seats[s]; st.resident() {
				c.sims[s].read(st)
			}
		}
	}
}

// Set is an item that was stored, for ttl seconds if it ends.
func (c *Curve) Set(hash uint64, size uint32, ends expiry.Instant) {
	if !c.has(hash) {
		return
	}
	i := c.find(hash)
	if i == noEntry {
		if i = c.enter(hash); i == noEntry {
			return
		}
	}
	e := &c.entries[i]
	if e.ends.Passed(c.now) {
		c.expire(i)
	}
	var queues [len(Factors)]int
	for s := range c.sims {
		queues[s] = none
		if st := &e.seats[s]; st.resident() {
			queues[s] = int(c.sims[s].segments[st.at].queue)
			if e.size != size {
				c.sims[s].remove(&c.table, i)
			}
		}
	}
	c.take(i, size, ends, classOf(ends, c.now))
	for s := range c.sims {
		sim, st := &c.sims[s], &e.seats[s]
		switch {
		case st.resident():
		case queues[s] == none:
			sim.store(&c.table, i)
		case int64(size) <= sim.limit/4:
			sim.append(&c.table, i, queues[s], false)
		}
	}
}

// Delete is an item that was deleted.
func (c *Curve) Delete(hash uint64) {
	if i := c.find(hash); i != noEntry {
		c.drop(i)
	}
}

// Flush forgets all items. The sample begins anew, with all keys.
func (c *Curve) Flush() {
	for i := range c.entries {
		if c.entries[i].used {
			c.drop(uint16(i))
			c.leave(uint16(i))
		}
	}
	by := 1 / c.part
	c.part = 1
	c.resize(by)
}

func classOf(ends, now expiry.Instant) (class uint8) {
	if ends == expiry.Never {
		return ttlNever
	}
	for uint64(max(ends, now)-now) > ttlBounds[class] {
		class++
	}
	return class
}

// take gives an entry what is known of its item.
func (c *Curve) take(i uint16, size uint32, ends expiry.Instant, class uint8) {
	e := &c.entries[i]
	if size == 0 {
		if size = e.size; size == 0 {
			size = uint32(max(1, c.bytes/int64(max(c.n, 1))))
		}
	}
	c.bytes += int64(size) - int64(e.size)
	e.size, e.ends, e.class = size, ends, class
}

// drop takes an entry out of all simulations.
func (c *Curve) drop(i uint16) {
	for s := range c.sims {
		if st := &c.entries[i].seats[s]; st.resident() {
			c.sims[s].remove(&c.table, i)
		} else {
			st.at = nowhere
		}
	}
}

// expire does so when it has ended; ghosts stay.
func (c *Curve) expire(i uint16) {
	e := &c.entries[i]
	for s := range c.sims {
		if e.seats[s].resident() {
			c.sims[s].remove(&c.table, i)
		}
	}
	e.ends = expiry.Never
}

// enter makes an entry for a key. noEntry: it has left the sample.
func (c *Curve) enter(hash uint64) uint16 {
	for c.n == c.most {
		c.makeRoom()
		if !c.has(hash) {
			return noEntry
		}
	}
	i := c.table.free
	if i == noEntry {
		i = uint16(len(c.entries))
		c.entries = append(c.entries, entry{})
	} else {
		c.table.free = c.entries[i].chain
	}
	e := &c.entries[i]
	head := c.head(hash)
	*e = entry{hash: hash, chain: *head, used: true}
	for s := range e.seats {
		e.seats[s].at = nowhere
	}
	*head = i
	c.n++
	return i
}

// leave forgets an entry that has no seat.
func (c *Curve) leave(i uint16) {
	e := &c.entries[i]
	at := c.head(e.hash)
	for *at != i {
		at = &c.entries[*at].chain
	}
	*at = e.chain
	c.bytes -= int64(e.size)
	*e = entry{chain: c.table.free}
	c.table.free = i
	c.n--
}

// makeRoom forgets keys that no simulation holds or remembers, and, if these are few, takes a smaller part
// of the keys.
func (c *Curve) makeRoom() {
	before := c.n
	for i := range c.entries {
		if e := &c.entries[i]; e.used && !c.wanted(e) {
			c.leave(uint16(i))
		}
	}
	if before-c.n < before/16 {
		c.lower(thin)
	}
}

func (c *Curve) wanted(e *entry) bool {
	for s := range c.sims {
		if st := &e.seats[s]; st.resident() || c.sims[s].remembered(st) {
			return true
		}
	}
	return false
}

// lower takes a part of the keys that is by times as large. What is held grows smaller together with
// where it is held, so that nothing is evicted for it; where by is above 1 there is room for what comes.
func (c *Curve) lower(by float64) {
	c.part *= by
	for i := range c.entries {
		e := &c.entries[i]
		if !e.used || c.has(e.hash) {
			continue
		}
		for s := range c.sims {
			if e.seats[s].resident() {
				c.sims[s].leave(&c.table, uint16(i))
			}
		}
		c.leave(uint16(i))
	}
	for s := range c.sims {
		c.sims[s].shrink(by)
	}
	c.resize(by)
}

// Tick is what comes with time. gets and hits are of all keys, and only grow.
func (c *Curve) Tick(now expiry.Instant, gets, hits uint64) {
	c.now = now
	if gets < c.toldGets { // they were reset
		c.toldGets, c.toldHits = 0, 0
	}
	c.allGets += float64(gets - c.toldGets)
	c.allHits += float64(hits - c.toldHits)
	c.fresh = gets - c.toldGets
	c.toldGets, c.toldHits = gets, hits
	if now-c.since >= halfLife {
		c.since = now
		c.scale(0.5)
	}
}

// Reset starts the counts over. What the simulations hold stays.
func (c *Curve) Reset() {
	c.scale(0)
	clear(c.ttl[:])
}

func (c *Curve) scale(by float64) {
	for _, n := range []*float64{&c.gets, &c.hits, &c.sampled, &c.allGets, &c.allHits} {
		*n *= by
	}
	for s := range c.sims {
		c.sims[s].hits *= by
	}
}

// Report is the curve. Which keys are in the sample is luck, and a few of them may be much of what is
// asked for. By how much the server's own hit ratio for them is off is known, and the simulations' are off
// by about as much: a control variate. It leaves a fifth to a half of the error that the correction of
// SHARDS-adj leaves (docs/decisions/0134).
func (c *Curve) Report() (r stats.Curve) {
	r.Keys, r.Gets = uint64(c.n), uint64(c.sampled)
	if c.sampled < getsLeast {
		return r
	}
	r.Ratio = c.hits / c.gets
	luck := 0.0
	if c.allGets > 0 {
		luck = c.allHits/c.allGets - r.Ratio
	}
	for s := range c.sims {
		ratio := c.sims[s].hits/c.gets + luck
		r.Points = append(r.Points, stats.CurvePoint{Factor: Factors[s], HitRatio: max(0, min(1, ratio))})
	}
	return r
}

// add plays a record.
func (c *Curve) add(r *record) {
	size := charge(r.klen, r.size)
	switch Op(r.op & opMask) {
	case Lookup:
		if r.size == 0 {
			size = 0 // it was not read
		}
		c.Get(r.hash, r.op&opHit != 0, size, r.ends)
	case Use:
		c.Use(r.hash)
	case Store:
		c.Set(r.hash, size, r.ends)
	case Remove:
		c.Delete(r.hash)
	}
}

// charge is about what an item takes in the store: a header, and its share of the index (docs/store.md).
func charge(klen uint8, size uint32) uint32 {
	const header, index, longer = 4, 6, 128
	n := header + index + uint32(klen) + size
	if size >= longer {
		n++
	}
	return n
}

const (
	// The sample may cost one record of so many gets, and recordsLeast from tick to tick in any case: a
	// record costs some 200 ns, a request that is looked at by nobody 700 or more.
	recordsPart  = 100
	recordsLeast = 250
	// keysLeast is how many keys it keeps nevertheless.
	keysLeast = 1000
	// roomFor is after how many seconds with much room the sample grows again.
	roomFor expiry.Instant = 60
)

// adapt makes the sample smaller that has cost too much since the last time, and larger where it may.
// Of what was lost nobody knows what it was: the counts start over.
func (c *Curve) adapt(records int, lost uint32) {
	if lost > 0 {
		c.Reset()
	}
	most := max(recordsLeast, int(c.fresh/recordsPart))
	switch {
	case (records > most || lost > 0) && c.n > keysLeast:
		by := thin * float64(most) / float64(max(records, most))
		if lost > 0 {
			by /= 2
		}
		c.lower(max(by, float64(keysLeast)/2/float64(c.n)))
		c.crowded = c.now
	case records > most/4 || c.n > c.most/2 || c.part == 1:
		c.crowded = c.now
	case c.now-c.crowded >= roomFor:
		c.lower(min(1/thin, 1/c.part))
		c.crowded = c.now
	}
}

// byTTL has hits and misses by the time that keys were last stored for, since the start or Reset, scaled up
// to all keys. They only grow, as counters do: what is older does not count less.
func (c *Curve) byTTL() (list []stats.TTLHits) {
	for i, n := range c.ttl {
		t := stats.TTLHits{Hits: uint64(n.hits), Misses: uint64(n.misses)}
		if uint8(i) != ttlNever {
			t.Upto = ttlBounds[i]
		}
		list = append(list, t)
	}
	return list
}
