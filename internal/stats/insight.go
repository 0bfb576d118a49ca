package stats

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts whole numbers by powers of two. Sum is of the numbers themselves.
type Histogram struct {
	Counts [HistogramClasses]uint64 // Counts[i] is of the n that Class says belong to i
	Sum    uint64
}

// HistogramClasses is how many classes a Histogram has: the last one has all that is above 2^31.
const HistogramClasses = 33

// Class is 0 for 0 and 1, and for a larger n the least i for which n <= 2^i: the bounds are
// Prometheus', where a bound belongs to the class below.
func Class(n uint64) int {
	if n <= 1 {
		return 0
	}
	return min(bits.Len64(n-1), HistogramClasses-1)
}

// Tally counts a Histogram as Counters count: a loop adds, and others see it after Publish.
type Tally struct {
	pending [HistogramClasses]uint32
	sum     uint64
	touched uint64 // a bit for each class with something pending
	total   [HistogramClasses]atomic.Uint64
	sums    atomic.Uint64
}

// Add counts n. It is for the loop that owns the tally.
func (t *Tally) Add(n uint64) {
	c := Class(n)
	t.pending[c]++
	t.sum += n
	t.touched |= 1 << c
}

// Publish makes what was added visible to AddTo.
func (t *Tally) Publish() {
	if t.touched == 0 {
		return
	}
	for ; t.touched != 0; t.touched &= t.touched - 1 {
		c := bits.TrailingZeros64(t.touched)
		t.total[c].Add(uint64(t.pending[c]))
		t.pending[c] = 0
	}
	t.sums.Add(t.sum)
	t.sum = 0
}

// AddTo adds what has been published to a histogram.
func (t *Tally) AddTo(h *Histogram) {
	for c := range t.total {
		h.Counts[c] += t.total[c].Load()
	}
	h.Sum += t.sums.Load()
}

// Reset starts the published numbers over (stats reset).
func (t *Tally) Reset() {
	for c := range t.total {
		t.total[c].Store(0)
	}
	t.sums.Store(0)
}

// Insight is what is found out by looking at some of what is served. What it is of, is scaled up.
type Insight struct {
	Stored    Histogram            // bytes of key and value of each item that was stored
	TTL       Histogram            // seconds that items were stored for, those with a deadline
	Ended     uint64               // about how many bytes have expired or been flushed, and are not taken back yet
	Latency   [NumKinds]TimesTaken // of requests, by kind
	TTLHits   []TTLHits            // hits and misses of a sample of keys, by the time that they were stored for
	Curve     Curve                // what more memory would do
	Warnings  []Warning            // the last ones, the oldest first
	Prefixing int                  // flush_prefix whose memory is still being taken back
}

// TTLHits are the gets of sampled keys that were last stored for at most Upto seconds, and for more
// than the entry before this one says. Upto is 0 in the last entry, which is of those without an end.
// A miss counts if the key is known to have been stored: not the first get of a key, before it is stored,
// nor one that comes long after the item was evicted, when four times the memory would have evicted it,
// too, and half of that again was evicted there since. So the ratio is higher than that of all gets.
type TTLHits struct {
	Upto         uint64
	Hits, Misses uint64
}

// Curve says which hit ratio other memory limits would have, by simulation of a sample of keys.
type Curve struct {
	Points []CurvePoint // by Factor; none while too little is known
	Keys   uint64       // keys in the sample …
	Gets   uint64       // … and gets of them that the curve is made of
	Ratio  float64      // the hit ratio of these gets in the server itself
}

// CurvePoint is one limit, as a multiple of the one in force.
type CurvePoint struct {
	Factor   float64
	HitRatio float64
}

// Warning is a line of the log that tells of a setting that stood in somebody's way.
type Warning struct {
	Time time.Time
	Text string // without "\n"
	Key  bool   // it names a key, which is not for everybody to read
}

// Kind is what a request is, as far as its latency is concerned.
type Kind uint8

// The kinds.
const (
	KindGet    Kind = iota // get, gets, gat, gats, mg
	KindSet                // storage commands, ms
	KindDelete             // delete, md
	KindCount              // incr, decr, ma
	KindTouch
	KindOther
	NumKinds
)

var kindNames = [NumKinds]string{"get", "set", "delete", "count", "touch", "other"}

func (k Kind) String() string { return kindNames[k] }

// TimesTaken counts how long requests took, from when their bytes were read until their reply was
// given to the socket, in classes whose bounds are a quarter of an octave apart.
type TimesTaken struct {
	Counts [TimeClasses]uint64 // Counts[i] is of what took more than TimeBounds[i-1], at most TimeBounds[i]
	Sum    time.Duration
}

// TimeClasses is how many classes there are: the last one has all that took more than 16 seconds.
const TimeClasses = timeOctaves*4 + 2

const timeOctaves = 24

// TimeBounds are the bounds of the classes, in seconds: 2^(i/4-20), from a microsecond on. The last
// class has none.
var TimeBounds = func() (bounds [TimeClasses - 1]float64) {
	for i := range bounds {
		bounds[i] = math.Exp2(float64(i)/4 - 20)
	}
	return bounds
}()

// timeBounds are these in nanoseconds, rounded down: no time is between the two.
var timeBounds = func() (bounds [TimeClasses - 1]time.Duration) {
	for i, bound := range TimeBounds {
		bounds[i] = time.Duration(bound * 1e9)
	}
	return bounds
}()

// Times counts TimesTaken. Any goroutine may add.
type Times struct {
	counts [TimeClasses]atomic.Uint64
	sum    atomic.Int64
}

// Add counts a time.
func (t *Times) Add(took time.Duration) {
	c := 0
	if octave := bits.Len64(uint64(max(took, 0))>>10) - 1; octave >= 0 { // 2^10 ns is a bit more than the first bound
		c = min(4*octave, TimeClasses-1)
	}
	for c < len(timeBounds) && took > timeBounds[c] {
		c++
	}
	t.counts[c].Add(1)
	t.sum.Add(int64(took))
}

// AddTo adds what was counted to a sum.
func (t *Times) AddTo(sum *TimesTaken) {
	for c := range t.counts {
		sum.Counts[c] += t.counts[c].Load()
	}
	sum.Sum += time.Duration(t.sum.Load())
}

// Reset starts over (stats reset).
func (t *Times) Reset() {
	for c := range t.counts {
		t.counts[c].Store(0)
	}
	t.sum.Store(0)
}

// HotKeys are the keys that were asked for most in a window of time, by a sample.
type HotKeys struct {
	Since, Until time.Time
	Sampled      uint64 // one request of so many was looked at; 0: none is, the feature is off
	Requests     uint64 // all requests with a key in the window, scaled up
	Bytes        uint64 // and what was read or written of values
	ByRequests   []HotKey
	ByBytes      []HotKey
}

// HotKey is one of them. What is counted is scaled up, and may be too much by Error, never too
// little but for what sampling does.
type HotKey struct {
	Key      []byte
	Requests uint64
	Bytes    uint64
	Error    uint64 // in the unit of the list that it is in
}
