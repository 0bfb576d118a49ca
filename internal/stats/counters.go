package stats

import (
	"math/bits"
	"sync/atomic"
)

// Counter names one of the numbers that serving requests adds up. What the store itself sees
// (evictions, expiry) is counted there.
type Counter uint8

// The counters.
const (
	CmdGet        Counter = iota // keys asked for, not commands; gat counts in CmdTouch
	CmdSet                       // storage commands that got as far as room for their value
	CmdFlush                     // flush_all and flush_prefix, those refused too
	FlushPrefixes                // flush_prefix that was obeyed
	CmdTouch
	CmdMeta // me; the others count as what they do
	GetHits
	GetMisses
	TouchHits
	TouchMisses
	DeleteHits
	DeleteMisses
	IncrHits
	IncrMisses
	DecrHits
	DecrMisses
	CasHits
	CasMisses
	CasBadval
	StoredForever // items without a deadline that were stored
	StoreTooLarge
	StoreNoMemory
	AuthCmds   // attempts to log in
	AuthErrors // … that failed
	BytesRead
	BytesWritten
	ConnYields
	SlowReaders        // replies that a socket did not take at once: the client has to take some first
	IdleKicks          // connections closed because of an idle timeout
	BudgetDropped      // connections closed because memory for all of them was short
	PinsDropped        // connections closed because they stood still and pinned what others needed
	SSLHandshakeErrors // connections of TLS that ended before they were one
	SSLProtoErrors     // and after
	SSLNewSessions     // tickets for sessions of TLS that may be resumed
	ConnPanics         // connections closed, and datagrams dropped, because serving them hit a mistake of ours
	UDPDropped         // replies over UDP that were not sent whole
	NumCounters
)

// Counters are what one loop has counted. The loop adds to plain numbers and publishes them once a
// read event, so that a request costs no atomic operation and a pipeline of twenty costs those of
// one.
type Counters struct {
	pending [NumCounters]uint64
	touched uint64 // a bit for each counter with something pending
	total   [NumCounters]atomic.Uint64
}

// Add counts n. It is for the loop that owns the counters; others see it after Publish.
func (cs *Counters) Add(c Counter, n uint64) {
	cs.pending[c] += n
	cs.touched |= 1 << c
}

// HitOrMiss counts an outcome, as Add does.
func (cs *Counters) HitOrMiss(hit bool, hits, misses Counter) {
	if hit {
		cs.Add(hits, 1)
	} else {
		cs.Add(misses, 1)
	}
}

// AddNow counts n at once. It is for any goroutine.
func (cs *Counters) AddNow(c Counter, n uint64) { cs.total[c].Add(n) }

// Publish makes what was added visible to AddTo.
func (cs *Counters) Publish() {
	for ; cs.touched != 0; cs.touched &= cs.touched - 1 {
		c := bits.TrailingZeros64(cs.touched)
		cs.total[c].Add(cs.pending[c])
		cs.pending[c] = 0
	}
}

// Sums are totals of all counters.
type Sums [NumCounters]uint64

// AddTo adds what has been published to a sum.
func (cs *Counters) AddTo(sum *Sums) {
	for c := range cs.total {
		sum[c] += cs.total[c].Load()
	}
}

// Reset starts the published numbers over (stats reset).
func (cs *Counters) Reset() {
	for c := range cs.total {
		cs.total[c].Store(0)
	}
}
