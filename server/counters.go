package server

import (
	"math/bits"
	"sync/atomic"
)

// counter names one of the numbers that serving requests adds up. What the store itself sees (evictions, expiry) is
// counted there.
type counter uint8

const (
	cmdGet counter = iota // keys asked for, not commands; gat counts in cmdTouch
	cmdSet                // storage commands that got as far as room for their value
	cmdFlush
	cmdTouch
	cmdMeta // me; the others count as what they do
	getHits
	getMisses
	touchHits
	touchMisses
	deleteHits
	deleteMisses
	incrHits
	incrMisses
	decrHits
	decrMisses
	casHits
	casMisses
	casBadval
	storeTooLarge
	storeNoMemory
	authCmds   // attempts to log in
	authErrors // … that failed
	bytesRead
	bytesWritten
	connYields
	idleKicks     // connections closed because of IdleTimeout
	inputDropped  // connections closed because they sent on and on without reading their replies
	budgetDropped // connections closed because memory for all of them was short
	connPanics    // connections closed because serving them hit a mistake of ours
	numCounters
)

// tally is one loop's counters. The loop adds to plain numbers and publishes them once a read event, so that a request
// costs no atomic operation and a pipeline of twenty costs those of one.
type tally struct {
	pending [numCounters]uint64
	touched uint64 // a bit for each counter with something pending
	total   [numCounters]atomic.Uint64
}

func (t *tally) add(c counter, n uint64) {
	t.pending[c] += n
	t.touched |= 1 << c
}

// hitOrMiss counts an outcome.
func (t *tally) hitOrMiss(hit bool, hits, misses counter) {
	if hit {
		t.add(hits, 1)
	} else {
		t.add(misses, 1)
	}
}

// publish makes what was added visible to stats.
func (t *tally) publish() {
	for ; t.touched != 0; t.touched &= t.touched - 1 {
		c := bits.TrailingZeros64(t.touched)
		t.total[c].Add(t.pending[c])
		t.pending[c] = 0
	}
}

// addTo sums what has been published.
func (t *tally) addTo(sum *[numCounters]uint64) {
	for c := range t.total {
		sum[c] += t.total[c].Load()
	}
}

// reset starts the published numbers over (stats reset).
func (t *tally) reset() {
	for c := range t.total {
		t.total[c].Store(0)
	}
}
