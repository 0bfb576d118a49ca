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
	want := "[{60 2 2} {600 2 2} {3600 1 1} {86400 1 1} {4294967295 1 1} {0 2 0}]"
	if got := fmt.Sprint(c.byTTL()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.Tick(c.now+halfLife, 17, 9) // the curve forgets, a counter must not
	if got := fmt.Sprint(c.byTTL()); got != want {
		t.Errorf("an hour later %s, want %s", got, want)
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
