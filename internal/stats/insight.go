package stats

import (
	"math/bits"
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

// Insight is what is found out by looking at some of what is served. What it is of, is scaled up.
type Insight struct {
	Stored    Histogram            // bytes of key and value of each item that was stored
	TTL       Histogram            // seconds that items were stored for
	Immortal  uint64               // items that were stored without a deadline: they are not in TTL
	Latency   [NumKinds]TimesTaken // of requests, by kind
	TTLHits   []TTLHits            // hits and misses of a sample of keys, by the time that they were stored for
	Curve     Curve                // what more memory would do
	Warnings  []Warning            // the last ones, the oldest first
	Prefixing int                  // flush_prefix whose memory is still being taken back
}

// TTLHits are the gets of sampled keys that were last stored for at most Upto seconds, and for more
// than the entry before this one says. Upto is 0 in the last entry, which is of those without an end.
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
	Text string
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
// given to the socket, in classes whose bounds are a quarter of an octave apart: class i is of more
// than 2^((i-1)/4) µs and at most 2^(i/4) µs.
type TimesTaken struct {
	Counts [TimeClasses]uint64
	Sum    time.Duration
}

// TimeClasses is how many classes there are: the last one has all that took more than 16 seconds.
const TimeClasses = 4*24 + 2

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
