package main

import (
	"container/heap"
	"math"
)

const never = math.MaxInt32

// opt counts the hits of who knows the future: the key that is asked for last goes, and one that is never asked for again is
// not taken in (Belady, 1966).
func opt(requests []int32, distinct, capacity int) (hits int) {
	next := make([]int32, len(requests)) // of each request, when its key comes again
	last := make([]int32, distinct)
	for k := range last {
		last[k] = never
	}
	for i := len(requests) - 1; i >= 0; i-- {
		next[i], last[requests[i]] = last[requests[i]], int32(i)
	}
	due := make([]int32, distinct) // of a key that is held, when it is asked for; 0 when it is not held
	held := 0
	var byDue latest
	for i, k := range requests {
		if due[k] != 0 {
			hits++
			held--
			due[k] = 0
		}
		if next[i] == never {
			continue
		}
		if held == capacity {
			// Entries of keys that were asked for meanwhile lie about; they are older than what is held.
			for ; due[byDue[0].key] != byDue[0].due; heap.Pop(&byDue) {
			}
			if byDue[0].due < next[i] {
				continue // it is itself the last
			}
			due[byDue[0].key] = 0
			heap.Pop(&byDue)
			held--
		}
		due[k] = next[i]
		held++
		heap.Push(&byDue, entry{k, next[i]})
	}
	return hits
}

type entry struct{ key, due int32 }

// latest has the entry that is due last on top.
type latest []entry

func (h latest) Len() int           { return len(h) }
func (h latest) Less(i, j int) bool { return h[i].due > h[j].due }
func (h latest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *latest) Push(x any)        { *h = append(*h, x.(entry)) }
func (h *latest) Pop() any {
	all := *h
	x := all[len(all)-1]
	*h = all[:len(all)-1]
	return x
}
