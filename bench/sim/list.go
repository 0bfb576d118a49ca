package main

// lists are rows of keys, linked by their numbers; a key is in one of them or in none. They share their links.
type lists struct {
	next, prev []int32
	in         []uint8 // which list, from 1; 0 is none
	ends       []ends
}

// The newest is at the head, the oldest at the tail.
type ends struct {
	head, tail int32 // none when there is none
	n          int
}

const none = -1

func newLists(distinct, n int) *lists {
	l := &lists{make([]int32, distinct), make([]int32, distinct), make([]uint8, distinct), make([]ends, n+1)}
	for i := range l.ends {
		l.ends[i] = ends{head: none, tail: none}
	}
	return l
}

func (l *lists) len(list uint8) int        { return l.ends[list].n }
func (l *lists) oldest(list uint8) int32   { return l.ends[list].tail }
func (l *lists) take(list uint8) (k int32) { k = l.oldest(list); l.move(k, 0); return k }

// move puts a key at the head of another list, or of its own; 0 takes it out.
func (l *lists) move(k int32, to uint8) {
	if from := l.in[k]; from != 0 {
		e := &l.ends[from]
		next, prev := l.next[k], l.prev[k]
		if prev == none {
			e.head = next
		} else {
			l.next[prev] = next
		}
		if next == none {
			e.tail = prev
		} else {
			l.prev[next] = prev
		}
		e.n--
	}
	l.in[k] = to
	if to == 0 {
		return
	}
	e := &l.ends[to]
	l.prev[k], l.next[k] = none, e.head
	if e.head == none {
		e.tail = k
	} else {
		l.prev[e.head] = k
	}
	e.head = k
	e.n++
}

// ghosts remember the last so many keys that were evicted.
type ghosts struct {
	ring []int32
	at   []int32 // of each key, the time of its newest entry; 0 is none
	now  int32
}

func newGhosts(distinct, n int) *ghosts {
	return &ghosts{make([]int32, max(n, 1)), make([]int32, distinct), 0}
}

func (g *ghosts) add(k int32) {
	n := int32(len(g.ring))
	slot := &g.ring[g.now%n]
	g.now++
	if g.at[*slot] == g.now-n {
		g.at[*slot] = 0
	}
	*slot, g.at[k] = k, g.now
}

// forget tells whether the key was remembered, and remembers it no more.
func (g *ghosts) forget(k int32) bool {
	was := g.at[k] != 0
	g.at[k] = 0
	return was
}
