package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func zipfish(n, distinct int) []int32 {
	dice := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(dice, 1.1, 2, uint64(distinct-1))
	requests := make([]int32, n)
	for i := range requests {
		requests[i] = int32(z.Uint64())
	}
	return requests
}

func hitsOf(p policy, requests []int32) (hits int) {
	for _, k := range requests {
		if p.access(k) {
			hits++
		}
	}
	return hits
}

// Whoever has room for all misses each key once, whatever his policy; and nobody holds more than he may: of a scan that is
// longer than the capacity, no more than the capacity is there when it comes again backwards.
func TestPoliciesHoldWhatTheyMay(t *testing.T) {
	const distinct, capacity = 3000, 640
	requests := zipfish(20_000, distinct)
	seen := map[int32]bool{}
	for _, k := range requests {
		seen[k] = true
	}
	var scan []int32
	for k := range int32(distinct) {
		scan = append(scan, k)
	}
	for k := range int32(distinct) {
		scan = append(scan, distinct-1-k)
	}
	for _, p := range policies {
		// A segment that is open is room that is not used; and survivors need one.
		if got, want := hitsOf(p.make(distinct, 2*distinct), requests), len(requests)-len(seen); got != want {
			t.Errorf("%s with room for all: %d hits, want %d", p.name, got, want)
		}
		if got := hitsOf(p.make(distinct, capacity), scan); got > capacity {
			t.Errorf("%s: %d of a scan are there, capacity %d", p.name, got, capacity)
		}
	}
}

// brute tries everything: of each miss, every key that could go, and not to take the new one.
func brute(requests []int32, held uint64, capacity int, known map[string]int) int {
	if len(requests) == 0 {
		return 0
	}
	at := fmt.Sprint(len(requests), held)
	if best, ok := known[at]; ok {
		return best
	}
	k, rest := requests[0], requests[1:]
	best := 0
	switch n := count(held); {
	case held>>k&1 == 1:
		best = 1 + brute(rest, held, capacity, known)
	case n < capacity:
		best = brute(rest, held|1<<k, capacity, known)
	default:
		best = brute(rest, held, capacity, known)
		for v := range 64 {
			if held>>v&1 == 1 {
				best = max(best, brute(rest, held&^(1<<v)|1<<k, capacity, known))
			}
		}
	}
	known[at] = best
	return best
}

func count(set uint64) (n int) {
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

func TestOptIsTheBestThereIs(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		distinct, capacity := 2+dice.IntN(6), 1+dice.IntN(4)
		requests := make([]int32, 24)
		for i := range requests {
			requests[i] = dice.Int32N(int32(distinct))
		}
		if got, want := opt(requests, distinct, capacity), brute(requests, 0, capacity, map[string]int{}); got != want {
			t.Fatalf("%v, capacity %d: %d hits, the best is %d", requests, capacity, got, want)
		}
	}
}

func TestNobodySurpassesOpt(t *testing.T) {
	const distinct = 2000
	requests := zipfish(30_000, distinct)
	for _, capacity := range []int{16, 100, 700} {
		best := opt(requests, distinct, capacity)
		for _, p := range policies {
			if got := hitsOf(p.make(distinct, capacity), requests); got > best || got == 0 {
				t.Errorf("%s, capacity %d: %d hits, the best is %d", p.name, capacity, got, best)
			}
		}
	}
}

// lru has a second way to be told: a key hits when fewer different ones than the capacity came since.
func TestLRUByDistances(t *testing.T) {
	const distinct, capacity = 300, 40
	requests := zipfish(3000, distinct)
	want := 0
	for i, k := range requests {
		between := map[int32]bool{}
		for j := i - 1; j >= 0; j-- {
			if requests[j] == k {
				if len(between) < capacity {
					want++
				}
				break
			}
			between[requests[j]] = true
		}
	}
	if got := hitsOf(&lru{newLists(distinct, 1), capacity}, requests); got != want {
		t.Errorf("%d hits, by distances %d", got, want)
	}
}
