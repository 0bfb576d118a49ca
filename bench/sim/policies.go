package main

// A policy is asked for a key and, when it has not got it, takes it in. It holds no more keys than its capacity.
type policy interface {
	access(k int32) (hit bool)
}

// The policies, with the words under which others know them.
var policies = []struct {
	name string
	make func(distinct, capacity int) policy
}{
	{"fifo", func(d, c int) policy { return &clock{lists: newLists(d, 1), reads: make([]uint8, d), capacity: c} }},
	{"clock", func(d, c int) policy {
		return &clock{lists: newLists(d, 1), reads: make([]uint8, d), capacity: c, most: 3}
	}},
	{"lru", func(d, c int) policy { return &lru{newLists(d, 1), c} }},
	{"memcached", func(d, c int) policy { return &memcached{newLists(d, 3), make([]uint8, d), c} }},
	{"sieve", func(d, c int) policy { return &sieve{newLists(d, 1), make([]bool, d), none, c} }},
	{"2q", func(d, c int) policy { return &twoQueues{newLists(d, 2), newGhosts(d, c/2), c} }},
	{"arc", func(d, c int) policy { return &arc{lists: newLists(d, 4), capacity: c} }},
	{"s3-fifo", func(d, c int) policy { return &s3fifo{newLists(d, 2), make([]uint8, d), newGhosts(d, c*9/10), c} }},
	{"w-tinylfu", func(d, c int) policy { return newTinyLFU(d, c, false) }},
	{"…climbing", func(d, c int) policy { return newTinyLFU(d, c, true) }},
	{"segcache", func(d, c int) policy { return newMerging(d, c) }},
	{"seg-s3", func(d, c int) policy { return newQueues(d, c, false) }},
	{"gomemd", func(d, c int) policy { return newQueues(d, c, true) }},
}

// clock is first in, first out, but a key that was read goes round again, once for each read up to most.
type clock struct {
	*lists
	reads    []uint8
	capacity int
	most     uint8
}

func (p *clock) access(k int32) bool {
	if p.in[k] != 0 {
		p.reads[k] = min(p.reads[k]+1, p.most)
		return true
	}
	for p.len(1) >= p.capacity {
		if v := p.oldest(1); p.reads[v] > 0 {
			p.reads[v]--
			p.move(v, 1)
		} else {
			p.move(v, 0)
		}
	}
	p.reads[k] = 0
	p.move(k, 1)
	return false
}

type lru struct {
	*lists
	capacity int
}

func (p *lru) access(k int32) bool {
	hit := p.in[k] != 0
	if !hit && p.len(1) >= p.capacity {
		p.take(1)
	}
	p.move(k, 1)
	return hit
}

// memcached is its segmented LRU with lru_maintainer, as it would be if the maintainer never lagged behind: HOT takes what is
// new, WARM what was read twice or more, COLD the rest; the oldest of COLD goes.
type memcached struct {
	*lists
	reads    []uint8 // 2 is ACTIVE
	capacity int
}

const (
	hot, warm, cold = 1, 2, 3
	active          = 2
)

func (p *memcached) access(k int32) bool {
	hit := p.in[k] != 0
	if hit {
		p.reads[k] = min(p.reads[k]+1, active)
		if p.reads[k] == active && p.in[k] == cold {
			p.toWarm(k)
		}
	} else {
		p.makeRoom()
		p.reads[k] = 0
		p.move(k, hot)
	}
	for p.len(hot) > max(1, p.capacity*20/100) {
		p.pass(p.oldest(hot))
	}
	for tries := 0; p.len(warm) > max(1, p.capacity*40/100) && tries < 1000; tries++ {
		p.pass(p.oldest(warm))
	}
	return hit
}

func (p *memcached) makeRoom() {
	if p.len(hot)+p.len(warm)+p.len(cold) < p.capacity {
		return
	}
	for _, list := range []uint8{cold, hot, warm} {
		if p.len(list) > 0 {
			p.take(list)
			return
		}
	}
}

func (p *memcached) pass(k int32) {
	if p.reads[k] == active {
		p.toWarm(k)
	} else {
		p.move(k, cold)
	}
}

func (p *memcached) toWarm(k int32) {
	p.reads[k] = 1
	p.move(k, warm)
}

// sieve leaves keys in the order in which they came. Its hand goes from old to new and takes the first that was not read
// since it last came by.
type sieve struct {
	*lists
	read     []bool
	hand     int32
	capacity int
}

func (p *sieve) access(k int32) bool {
	if p.in[k] != 0 {
		p.read[k] = true
		return true
	}
	if p.len(1) >= p.capacity {
		v := p.hand
		for {
			if v == none {
				v = p.oldest(1)
			}
			if !p.read[v] {
				break
			}
			p.read[v] = false
			v = p.prev[v]
		}
		p.hand = p.prev[v]
		p.move(v, 0)
	}
	p.read[k] = false
	p.move(k, 1)
	return false
}

// twoQueues is 2Q with a quarter for what is new and ghosts for half of the capacity (Johnson and Shasha, 1994).
type twoQueues struct {
	*lists
	ghosts   *ghosts
	capacity int
}

const (
	fresh    = 1
	frequent = 2
)

func (p *twoQueues) access(k int32) bool {
	switch p.in[k] {
	case frequent:
		p.move(k, frequent)
		return true
	case fresh:
		return true
	}
	known := p.ghosts.forget(k)
	if p.len(fresh)+p.len(frequent) >= p.capacity {
		if p.len(fresh) > p.capacity/4 || p.len(frequent) == 0 {
			p.ghosts.add(p.take(fresh))
		} else {
			p.take(frequent)
		}
	}
	if known {
		p.move(k, frequent)
	} else {
		p.move(k, fresh)
	}
	return false
}

// arc balances what came once and what came more often by the ghosts of both (Megiddo and Modha, 2003).
type arc struct {
	*lists
	capacity, target int
}

const (
	once, often           = 1, 2
	ghostOnce, ghostOften = 3, 4
)

func (p *arc) access(k int32) bool {
	from := p.in[k]
	switch from {
	case once, often:
		p.move(k, often)
		return true
	case ghostOnce:
		p.target = min(p.capacity, p.target+max(1, p.len(ghostOften)/p.len(ghostOnce)))
	case ghostOften:
		p.target = max(0, p.target-max(1, p.len(ghostOnce)/p.len(ghostOften)))
	}
	if from != 0 {
		p.replace(from == ghostOften)
		p.move(k, often)
		return false
	}
	resident := p.len(once) + p.len(often)
	all := resident + p.len(ghostOnce) + p.len(ghostOften)
	switch {
	case p.len(once)+p.len(ghostOnce) < p.capacity:
		if all >= 2*p.capacity {
			p.take(ghostOften)
		}
		if all >= p.capacity && resident >= p.capacity {
			p.replace(false)
		}
	case p.len(once) < p.capacity:
		p.take(ghostOnce)
		p.replace(false)
	default:
		p.take(once)
	}
	p.move(k, once)
	return false
}

func (p *arc) replace(wasOften bool) {
	n := p.len(once)
	if n > 0 && (n > p.target || wasOften && n == p.target || p.len(often) == 0) {
		p.move(p.oldest(once), ghostOnce)
	} else {
		p.move(p.oldest(often), ghostOften)
	}
}

// s3fifo is a small FIFO of a tenth, a main one, and ghosts of what the small one let go (Yang and others, 2023).
type s3fifo struct {
	*lists
	reads    []uint8
	ghosts   *ghosts
	capacity int
}

const (
	inSmall = 1
	inMain  = 2
)

func (p *s3fifo) access(k int32) bool {
	if p.in[k] != 0 {
		p.reads[k] = min(p.reads[k]+1, 3)
		return true
	}
	known := p.ghosts.forget(k)
	for p.len(inSmall)+p.len(inMain) >= p.capacity {
		if p.len(inSmall) >= max(1, p.capacity/10) || p.len(inMain) == 0 {
			p.evictSmall()
		} else {
			p.evictMain()
		}
	}
	p.reads[k] = 0
	if known {
		p.move(k, inMain)
	} else {
		p.move(k, inSmall)
	}
	return false
}

func (p *s3fifo) evictSmall() {
	v := p.oldest(inSmall)
	if p.reads[v] >= 2 {
		p.reads[v] = 0
		p.move(v, inMain)
		return
	}
	p.move(v, 0)
	p.ghosts.add(v)
}

func (p *s3fifo) evictMain() {
	v := p.oldest(inMain)
	if p.reads[v] == 0 {
		p.move(v, 0)
		return
	}
	p.reads[v]--
	p.move(v, inMain)
}
