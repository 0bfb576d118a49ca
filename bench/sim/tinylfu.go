package main

import "math"

// tinyLFU is W-TinyLFU: a window of LRU, and behind it a segmented LRU that takes a key from the window only if it was asked for
// more often than the one that must go for it (Einziger, Friedman and Manes, 2017). With climbing it looks for the best size of
// the window by trying.
type tinyLFU struct {
	*lists
	sketch           *sketch
	capacity, window int
	climb            *climber
}

const (
	inWindow, probation, protected = 1, 2, 3
)

func newTinyLFU(distinct, capacity int, climbing bool) *tinyLFU {
	p := &tinyLFU{lists: newLists(distinct, 3), sketch: newSketch(capacity), capacity: capacity, window: max(1, capacity/100)}
	if climbing {
		p.climb = &climber{sample: 10 * capacity, step: climbStep * float64(capacity)}
	}
	return p
}

func (p *tinyLFU) held() int         { return p.len(inWindow) + p.len(probation) + p.len(protected) }
func (p *tinyLFU) protectedMax() int { return (p.capacity - p.window) * 8 / 10 }

func (p *tinyLFU) access(k int32) bool {
	p.sketch.add(k)
	hit := p.in[k] != 0
	switch p.in[k] {
	case inWindow:
		p.move(k, inWindow)
	case probation, protected:
		p.move(k, protected)
	default:
		p.move(k, inWindow)
	}
	if p.climb != nil {
		p.window += p.climb.heard(hit, p.capacity)
		p.window = min(max(1, p.window), p.capacity*8/10)
	}
	for p.len(protected) > p.protectedMax() {
		p.move(p.oldest(protected), probation)
	}
	for p.len(inWindow) > p.window {
		p.admit(p.oldest(inWindow))
	}
	for p.held() > p.capacity {
		p.move(p.victim(), 0)
	}
	return hit
}

func (p *tinyLFU) victim() int32 {
	if v := p.oldest(probation); v != none {
		return v
	}
	if v := p.oldest(protected); v != none {
		return v
	}
	return p.oldest(inWindow)
}

// admit decides between the candidate that leaves the window and the victim that would leave for it.
func (p *tinyLFU) admit(candidate int32) {
	if p.held() <= p.capacity {
		p.move(candidate, probation)
		return
	}
	v := p.victim()
	if v == candidate || p.sketch.count(candidate) <= p.sketch.count(v) {
		p.move(candidate, 0)
		return
	}
	p.move(v, 0)
	p.move(candidate, probation)
}

// A climber goes on in the direction that made the hit ratio better, and turns round otherwise.
type climber struct {
	sample, n, hits int
	last, step      float64
}

const (
	climbStep    = 0.0625 // of the capacity
	climbDecay   = 0.98
	climbRestart = 0.05 // a change of the hit ratio by more means that the load has changed
)

// heard counts a request and says by how much the window is to grow.
func (c *climber) heard(hit bool, capacity int) int {
	c.n++
	if hit {
		c.hits++
	}
	if c.n < c.sample {
		return 0
	}
	ratio := float64(c.hits) / float64(c.n)
	change := ratio - c.last
	amount := c.step
	if change < 0 {
		amount = -amount
	}
	c.step = climbDecay * amount
	if math.Abs(change) >= climbRestart {
		c.step = math.Copysign(climbStep*float64(capacity), amount)
	}
	c.last, c.hits, c.n = ratio, 0, 0
	return int(amount)
}

// A sketch counts roughly how often keys came of late: four rows of small counters, halved when there were ten additions for each
// key of the capacity.
type sketch struct {
	counts [][4]uint8
	added  int
	most   int
}

const countMost = 15 // 4 bits

func newSketch(capacity int) *sketch {
	n := 128
	for n < 2*capacity {
		n *= 2
	}
	return &sketch{counts: make([][4]uint8, n), most: 10 * capacity}
}

func (s *sketch) counter(k int32, row int) *uint8 {
	h := (uint64(k)*4 + uint64(row) + 1) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return &s.counts[h>>32&uint64(len(s.counts)-1)][row]
}

func (s *sketch) count(k int32) uint8 {
	least := uint8(countMost)
	for row := range 4 {
		least = min(least, *s.counter(k, row))
	}
	return least
}

func (s *sketch) add(k int32) {
	counted := false
	for row := range 4 {
		if c := s.counter(k, row); *c < countMost {
			*c++
			counted = true
		}
	}
	if !counted {
		return
	}
	if s.added++; s.added < s.most {
		return
	}
	for i := range s.counts {
		for row := range s.counts[i] {
			s.counts[i][row] /= 2
		}
	}
	s.added /= 2
}
