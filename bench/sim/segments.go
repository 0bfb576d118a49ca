package main

import "slices"

// A log is memory in segments: keys are appended to an open one, and room is made by emptying a whole one. What stays is
// appended again.
type log struct {
	segments [][]int32
	free     []int32
	where    []int32 // the segment of a key, none when it is not held
	reads    []uint8
	length   int // keys in a segment
}

// segmentCount is how many a store has: as few as a shard of a small one.
const segmentCount = 64

func newLog(distinct, capacity int) log {
	length := max(1, (capacity+segmentCount/2)/segmentCount)
	l := log{segments: make([][]int32, max(4, capacity/length)), where: make([]int32, distinct), reads: make([]uint8, distinct), length: length}
	for i := range l.where {
		l.where[i] = none
	}
	for i := range l.segments {
		l.free = append(l.free, int32(i))
	}
	return l
}

func (l *log) take() (s int32) {
	s = l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.segments[s] = l.segments[s][:0]
	return s
}

func (l *log) put(k, s int32) {
	l.segments[s] = append(l.segments[s], k)
	l.where[k] = s
}

// merging is Segcache's way: of a few consecutive segments the keys that were read most often are left, as many as one segment
// holds (Yang, Yue and Rashmi, 2021).
type merging struct {
	log
	sealed []int32
	open   int32
	at     int // in sealed, where the next merge begins
}

const mergeWidth = 4

func newMerging(distinct, capacity int) *merging {
	p := &merging{log: newLog(distinct, capacity)}
	p.open = p.take()
	return p
}

func (p *merging) access(k int32) bool {
	if p.where[k] != none {
		p.reads[k] = min(p.reads[k]+1, 127)
		return true
	}
	if len(p.segments[p.open]) == p.length {
		p.sealed = append(p.sealed, p.open)
		if len(p.free) == 0 {
			p.merge()
		}
		p.open = p.take()
	}
	p.reads[k] = 0
	p.put(k, p.open)
	return false
}

func (p *merging) merge() {
	if p.at+mergeWidth > len(p.sealed) {
		p.at = 0
	}
	victims := p.sealed[p.at : p.at+min(mergeWidth, len(p.sealed))]
	var keys []int32
	for _, s := range victims {
		keys = append(keys, p.segments[s]...)
	}
	slices.SortStableFunc(keys, func(a, b int32) int { return int(p.reads[b]) - int(p.reads[a]) })
	for _, k := range keys[p.length:] {
		p.where[k] = none
	}
	p.segments[victims[0]] = p.segments[victims[0]][:0]
	for _, k := range keys[:p.length] {
		p.reads[k] = 0
		p.put(k, victims[0])
	}
	p.free = append(p.free, victims[1:]...)
	p.at++
	p.sealed = slices.Delete(p.sealed, p.at, p.at+len(victims)-1)
}

// queues are package storage's: small takes what is new and has a target size; what was read moves to main. With adapt the target
// moves, led by the ghosts of both, as storage's takeGhost does it; without, it stays at a tenth, and only small has ghosts.
type queues struct {
	log
	sealed [2][]int32
	open   [2]int32
	ghosts [2]*ghosts
	adapt  bool
	target float64 // of small, in segments
}

const (
	qSmall, qMain = 0, 1
	targetStart   = 0.10 // of the segments
	targetMin     = 0.02
	targetMax     = 0.90
)

func newQueues(distinct, capacity int, adapt bool) *queues {
	p := &queues{log: newLog(distinct, capacity), adapt: adapt}
	p.target = targetStart * float64(len(p.segments))
	p.ghosts[qSmall] = newGhosts(distinct, capacity*9/10)
	if adapt {
		p.ghosts = [2]*ghosts{newGhosts(distinct, capacity/2), newGhosts(distinct, capacity/2)}
	}
	p.open = [2]int32{none, none}
	return p
}

func (p *queues) access(k int32) bool {
	if p.where[k] != none {
		p.reads[k] = min(p.reads[k]+1, 3)
		return true
	}
	p.reads[k] = 0
	to := qSmall
	if p.haunted(k) {
		to = qMain
	}
	p.append(k, to, 1)
	return false
}

// haunted asks whether the key was evicted not long ago, and which queue should have been larger.
func (p *queues) haunted(k int32) bool {
	n := float64(len(p.segments))
	if p.ghosts[qSmall].forget(k) {
		if p.adapt {
			p.target = min(p.target+1/float64(p.length), targetMax*n)
		}
		return true
	}
	if p.adapt && p.ghosts[qMain].forget(k) {
		p.target = max(p.target-1/float64(p.length), max(1, targetMin*n))
		return true
	}
	return false
}

// append writes a key to the open segment of a queue. The one spare segment belongs to those that survive an eviction.
func (p *queues) append(k int32, to, spare int) {
	for p.open[to] == none || len(p.segments[p.open[to]]) == p.length {
		if p.open[to] != none {
			p.sealed[to] = append(p.sealed[to], p.open[to])
			p.open[to] = none
		}
		for len(p.free) <= spare {
			p.evict()
		}
		if p.open[to] == none { // a survivor may have opened one meanwhile
			p.open[to] = p.take()
		}
	}
	p.put(k, p.open[to])
}

func (p *queues) evict() {
	from := qMain
	if n := len(p.sealed[qSmall]); n > 0 && (float64(n) >= p.target || len(p.sealed[qMain]) == 0) {
		from = qSmall
	}
	victim := p.sealed[from][0]
	p.sealed[from] = p.sealed[from][1:]
	for _, k := range p.segments[victim] {
		switch {
		case p.reads[k] == 0:
			p.where[k] = none
			if p.ghosts[from] != nil {
				p.ghosts[from].add(k)
			}
			continue
		case from == qSmall:
			p.reads[k] = 0
		default:
			p.reads[k]--
		}
		p.append(k, qMain, 0)
	}
	p.free = append(p.free, victim)
}
