package insight

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// check walks all that a curve has.
func (c *Curve) check(t *testing.T) {
	t.Helper()
	n, bytes := 0, int64(0)
	for i := range c.entries {
		e := &c.entries[i]
		if !e.used {
			continue
		}
		n++
		bytes += int64(e.size)
		if !c.has(e.hash) || c.find(e.hash) != uint16(i) {
			t.Fatalf("entry %d is not where it is looked for", i)
		}
	}
	if n != c.n || bytes != c.bytes || n > c.most {
		t.Fatalf("%d entries of %d bytes, counted %d of %d; at most %d", n, bytes, c.n, c.bytes, c.most)
	}
	for s := range c.sims {
		c.sims[s].check(t, &c.table)
	}
}

func (s *simulation) check(t *testing.T, c *table) {
	t.Helper()
	seen, used, dead, spare := map[uint16]bool{}, int64(0), int64(0), segmentsMost
	walk := func(g int, open bool) {
		sg := &s.segments[g]
		live, before := int64(0), uint16(noEntry)
		for i := sg.head; i != noEntry; i = c.entries[i].seats[s.is].next {
			st := &c.entries[i].seats[s.is]
			if int(st.at) != g || st.prev != before || seen[i] || !c.entries[i].used {
				t.Fatalf("%g: entry %d in segment %d: %+v after %d", s.factor, i, g, *st, before)
			}
			seen[i], before = true, i
			live += int64(c.entries[i].size)
		}
		if live != sg.live || live > sg.used || sg.tail != before {
			t.Fatalf("%g: segment %d has %d live bytes, counted %d of %d", s.factor, g, live, sg.live, sg.used)
		}
		used, dead, spare = used+sg.used, dead+sg.used-live, spare-1
		if open {
			used += s.taken(g) - sg.used
		}
	}
	for q := range s.sealed {
		for i := range s.sealed[q].n {
			walk(s.sealed[q].at(i), false)
		}
		if g := s.open[q]; g != none {
			walk(g, true)
		}
	}
	for i := range c.entries {
		if e := &c.entries[i]; e.used && e.seats[s.is].resident() != seen[uint16(i)] {
			t.Fatalf("%g: entry %d is at %d, and in no segment", s.factor, i, e.seats[s.is].at)
		}
	}
	if used != s.used || dead != s.dead || spare != len(s.spare) {
		t.Fatalf("%g: %d bytes used, %d dead, %d segments free; counted %d, %d, %d", s.factor, used, dead, spare, s.used, s.dead, len(s.spare))
	}
}

// Whatever happens, in whatever order, everything is in one place and counted, and no simulation holds
// more than it may.
func TestCurveHoldsTogether(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 5))
		c := NewCurve(50_000, 600+dice.IntN(1000))
		c.now = expiry.Start
		for step := range 30_000 {
			hash := uint64(dice.IntN(1+dice.IntN(4000)))*0x9e3779b97f4a7c15 ^ seed
			ends := expiry.Never
			if dice.IntN(3) == 0 {
				ends = c.now + expiry.Instant(dice.IntN(100))
			}
			size := uint32(20 + dice.IntN(4)*100)
			switch dice.IntN(20) {
			case 0:
				c.Delete(hash)
			case 1, 2, 3, 4, 5, 6:
				c.Set(hash, size, ends)
			case 7:
				c.Use(hash)
			case 8:
				c.Set(hash, uint32(dice.IntN(30_000)), ends)
			default:
				c.Get(hash, dice.IntN(2) == 0, size, ends)
			}
			if step%500 == 0 {
				c.Tick(c.now+1, uint64(step), uint64(step/2))
				c.check(t)
			}
			switch dice.IntN(10_000) {
			case 0:
				c.Flush()
			case 1, 2:
				c.SetLimit(20_000 + dice.Int64N(100_000))
			case 3, 4, 5:
				c.lower(thin)
			case 6, 7:
				c.adapt(0, 1)
			}
		}
		c.check(t)
		for i := range c.sims {
			s := &c.sims[i]
			if s.used > s.limit+s.limit/2 { // an item of a quarter may be written behind what is nearly full
				t.Errorf("seed %d, %g: %d bytes of %d", seed, s.factor, s.used, s.limit)
			}
		}
	}
}

// Where everything has room, and where nothing has, all simulations say the same; an item that has ended,
// was deleted or flushed misses in all of them.
func TestCurveOfTheObvious(t *testing.T) {
	const keys = 100
	rounds := func(c *Curve, limit int64, before func(c *Curve)) (points [len(Factors)]float64) {
		c.SetLimit(limit)
		for range 100 {
			for k := range uint64(keys) {
				hash := k * 0x9e3779b97f4a7c15
				i := c.find(hash)
				hit := i != noEntry && c.entries[i].seats[2].resident() && !c.entries[i].ends.Passed(c.now)
				c.Get(hash, hit, 50, expiry.Never)
				if !hit {
					c.Set(hash, 50, c.now+10)
				}
				before(c)
			}
		}
		for i, p := range c.Report().Points {
			points[i] = math.Round(100 * p.HitRatio)
		}
		return points
	}
	all := func(n float64) (points [len(Factors)]float64) {
		for i := range points {
			points[i] = n
		}
		return points
	}
	for _, tt := range []struct {
		name   string
		limit  int64
		before func(c *Curve)
		want   float64
	}{
		{"room for all", 1 << 20, func(*Curve) {}, 99},
		{"items end at once", 1 << 20, func(c *Curve) { c.now++ }, 0},
		{"all is deleted", 1 << 20, func(c *Curve) {
			for i := range c.entries {
				c.Delete(c.entries[i].hash)
			}
		}, 0},
		{"all is flushed", 1 << 20, func(c *Curve) { c.Flush() }, 0},
	} {
		c := NewCurve(1<<20, 1000)
		c.now = expiry.Start
		if got := rounds(c, tt.limit, tt.before); got != all(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	// A loop over ten times what there is room for, and over less than twice as much.
	c := NewCurve(keys*50*10/16, 1000)
	if got := rounds(c, keys*50*10/16, func(*Curve) {}); got[5] != 99 || got[4] != 99 || got[2] > 60 {
		t.Errorf("a loop over 1.6 times the limit: %v", got)
	}
}

// Gets of a sampled key count in the class of the time that it was last stored for, whether the item is
// still there or has ended.
func TestHitsByTimeToLive(t *testing.T) {
	c := NewCurve(1<<20, 1000)
	c.now = expiry.Start
	for i, ttl := range []expiry.Instant{1, 60, 61, 600, 3600, 86400, 86401, 0} {
		ends := expiry.Never
		if ttl > 0 {
			ends = c.now + ttl
		}
		c.Set(uint64(i), 50, ends)
		c.Get(uint64(i), true, 50, ends)
	}
	c.now += 100_000
	for i := range uint64(8) {
		c.Get(i, i == 7, 50, expiry.Never)
	}
	c.Get(99, false, 0, expiry.Never) // nobody knows
	c.Tick(c.now+halfLife, 0, 0)      // they are counters, and do not become less
	want := "[{60 2 2} {600 2 2} {3600 1 1} {86400 1 1} {4294967295 1 1} {0 2 0}]"
	if got := fmt.Sprint(c.byTTL()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.Tick(c.now+halfLife, 17, 9) // the curve forgets, a counter must not
	if got := fmt.Sprint(c.byTTL()); got != want {
		t.Errorf("an hour later %s, want %s", got, want)
	}
	c.Reset()
	want = "[{60 0 0} {600 0 0} {3600 0 0} {86400 0 0} {4294967295 0 0} {0 0 0}]"
	if got := fmt.Sprint(c.byTTL()); got != want {
		t.Errorf("after a reset %s, want %s", got, want)
	}
}

// The curve is of what came not long ago, and starts over when something was lost. By how much the sample hits
// more than all keys do is taken off.
func TestWhatTheCurveIsOf(t *testing.T) {
	c := NewCurve(1<<20, 1000)
	c.now = expiry.Start
	gets := func(n int) {
		for range n {
			c.Get(1, true, 50, expiry.Never)
		}
	}
	c.Set(1, 50, expiry.Never)
	gets(2 * getsLeast)
	c.Tick(c.now, 100, 60)
	for _, p := range c.Report().Points {
		if math.Abs(p.HitRatio-0.6) > 1e-9 {
			t.Errorf("all keys have 60 %%; %g times has %.3f", p.Factor, p.HitRatio)
		}
	}
	c.Tick(c.now+halfLife, 100, 60)
	if n := c.Report().Gets; n != getsLeast {
		t.Errorf("an hour later %d gets, want half of them", n)
	}
	c.Tick(c.now+halfLife-1, 100, 60)
	if n := c.Report().Gets; n != getsLeast {
		t.Errorf("nearly an hour later %d gets", n)
	}
	c.adapt(0, 1)
	if r := c.Report(); r.Gets != 0 || r.Keys != 1 {
		t.Errorf("after a loss %+v", r)
	}
}

// Loops look at the keys that are in the sample when it has become smaller, and the limit in force is the store's.
func TestLoopsFollowTheSample(t *testing.T) {
	s := New(Options{Curve: true})
	var p Probe
	p.Init(s)
	for i := range 2 * CurveEntries {
		store(&p, fmt.Sprint("key", i))
		if i%100 == 0 {
			p.Publish()
			s.Drain(expiry.Start, Totals{Limit: 1 << 30}, silent)
		}
	}
	p.Publish()
	if n := s.curve.Threshold(); p.part != n || n == 1<<32 {
		t.Errorf("it looks at hashes below %#x, the sample has those below %#x", p.part, n)
	}
	if s.curve.limit != 1<<30 {
		t.Errorf("the limit is taken for %d", s.curve.limit)
	}
}

// A sample that costs too much becomes smaller, and grows again when there is room for a minute.
func TestTheSampleAdapts(t *testing.T) {
	c := NewCurve(1<<20, 8000)
	c.now = expiry.Start
	for k := range uint64(4000) {
		c.Set(k*0x9e3779b97f4a7c15, 50, expiry.Never)
	}
	c.adapt(recordsLeast*2, 0)
	if c.part > 0.5 || c.n > 2000 || c.n < 1500 {
		t.Errorf("twice too much: %.2f, %d keys", c.part, c.n)
	}
	c.adapt(1, 0)
	small := c.part
	c.now += roomFor
	c.adapt(1, 0)
	if c.part <= small {
		t.Errorf("with room: %.2f, before %.2f", c.part, small)
	}
	for range 100 {
		c.now += roomFor
		c.adapt(1, 0)
	}
	if c.part != 1 {
		t.Errorf("after hours: %.2f", c.part)
	}
	c.check(t)
}

// A get of a key counts for as many as its key stands for, when it comes.
func TestKeysStandForThoseThatAreNotInTheSample(t *testing.T) {
	c := NewCurve(1<<20, 8000)
	c.now = expiry.Start
	for range 3 {
		for k := range uint64(100) { // hashes that stay in the sample when it becomes smaller
			c.Set(k, 50, expiry.Never)
			c.Get(k, true, 50, expiry.Never)
			c.Get(k, false, 0, expiry.Never)
		}
		c.lower(1.0 / 4)
	}
	want := float64(100 + 400 + 1600)
	for what, n := range map[string]float64{
		"gets": c.gets / 2, "hits": c.hits, "hits of those without an end": c.ttl[ttlNever].hits, "misses of those": c.ttl[ttlNever].misses,
		"hits in the largest limit": c.sims[len(c.sims)-1].hits / 2, // of both
	} {
		if n != want {
			t.Errorf("%.0f %s, want %.0f", n, what, want)
		}
	}
}

// remembers lists the ghosts of one limit.
func (c *Curve) remembers(s int) map[uint64]bool {
	all := map[uint64]bool{}
	for i := range c.entries {
		if e := &c.entries[i]; e.used && c.sims[s].remembered(&e.seats[s]) {
			all[e.hash] = true
		}
	}
	return all
}

// A ghost is of the queue that it was evicted from, leads the target towards that, and comes back to main. A
// sample that becomes smaller remembers of what stays what it remembered.
func TestGhostsLeadTheTarget(t *testing.T) {
	const at = 2 // the limit in force
	dice := rand.New(rand.NewPCG(3, 5))
	c := NewCurve(1<<18, 6000)
	c.now = expiry.Start
	zipf := rand.NewZipf(dice, 1.1, 20, 4000)
	sim, back := &c.sims[at], [2]int{}
	var was []entry
	for step := range 20_000 {
		hash := zipf.Uint64() * 0x9e3779b97f4a7c15
		i := c.find(hash)
		if i != noEntry && c.entries[i].seats[at].resident() {
			c.Get(hash, true, 400, expiry.Never)
			continue
		}
		c.Get(hash, false, 0, expiry.Never)
		kind, target := seat{at: nowhere}, sim.target
		if i != noEntry && sim.remembered(&c.entries[i].seats[at]) {
			kind = c.entries[i].seats[at]
		}
		was = append(was[:0], c.entries...)
		from := func(i int) int { return int(sim.segments[was[i].seats[at].at].queue) }
		queues := make([]int, len(was))
		for i := range was {
			if was[i].used && was[i].seats[at].resident() {
				queues[i] = from(i)
			}
		}
		c.Set(hash, 400, expiry.Never)
		for i := range was {
			st := &c.entries[i].seats[at]
			if !was[i].used || !was[i].seats[at].resident() || !st.ghost() || queues[i] == simSmall && was[i].seats[at].reads > 0 {
				continue
			}
			if want := []uint8{simSmall: ghostSmall, simMain: ghostMain}[queues[i]]; st.at != want {
				t.Fatalf("step %d: evicted from queue %d it is %d, want %d", step, queues[i], st.at, want)
			}
		}
		grown := sim.target - target
		switch st := &c.entries[c.find(hash)].seats[at]; {
		case kind.at == nowhere:
			if grown != 0 || int(sim.segments[st.at].queue) != simSmall {
				t.Fatalf("step %d: a new one comes to queue %d, and the target grows by %g", step, sim.segments[st.at].queue, grown)
			}
		case int(sim.segments[st.at].queue) != simMain:
			t.Fatalf("step %d: a ghost comes back to small", step)
		case kind.at == ghostSmall && grown < 0 || kind.at == ghostMain && grown > 0:
			t.Fatalf("step %d: for a ghost of %d the target grows by %g", step, kind.at, grown)
		default:
			back[ghostSmall-int(kind.at)]++
		}
	}
	if back[simSmall] < 100 || back[simMain] < 100 {
		t.Errorf("%d ghosts came back", back)
	}
	for _, by := range []float64{thin, thin, 0.5} {
		before := c.remembers(at)
		c.lower(by)
		after, differ := c.remembers(at), 0
		for hash := range before {
			if c.has(hash) && !after[hash] {
				differ++
			}
		}
		for hash := range after {
			if !before[hash] {
				differ++
			}
		}
		if len(after) < 100 || differ > len(after)/20 {
			t.Errorf("by %g: of %d ghosts %d are others than before", by, len(after), differ)
		}
	}
}

// store has a probe see an item that is stored.
func store(p *Probe, key string) {
	if hash := hashOf([]byte(key)); p.Wants(hash) {
		p.Saw(Request{Hash: hash, Key: []byte(key), Op: Store, Size: 1})
	}
}

// A flush ends the sample, now or when it is due, and what was looked at before it does not come back.
func TestAFlushForgetsTheSample(t *testing.T) {
	s := New(Options{Curve: true})
	var p Probe
	p.Init(s)
	now := expiry.Start
	keys := func() uint64 {
		p.Publish()
		s.Drain(now, Totals{Limit: 1 << 20}, silent)
		curve, _ := s.Look()
		return curve.Keys
	}
	store(&p, "a")
	if n := keys(); n != 1 {
		t.Fatalf("%d keys", n)
	}
	store(&p, "b")
	p.Flush(expiry.Never)
	if n := keys(); n != 0 {
		t.Errorf("after a flush %d keys", n)
	}
	store(&p, "c")
	if n := keys(); n != 1 {
		t.Errorf("then %d keys", n)
	}
	p.Flush(now + 10)
	now += 9
	if n := keys(); n != 1 {
		t.Errorf("before a flush is due %d keys", n)
	}
	now++
	store(&p, "d")
	if n := keys(); n != 0 {
		t.Errorf("when a flush is due %d keys", n)
	}
}
