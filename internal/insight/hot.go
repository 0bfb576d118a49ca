package insight

import (
	"cmp"
	"slices"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

const (
	// hotCounters are for requests, and as many for bytes. A key of rank ten of a million by Zipf's
	// law (exponent 1) has 0.7 % of the requests; the lightest of 512 counters then has about 0.15 %,
	// and what got one in the beginning of the window is exact.
	hotCounters = 512
	// hotKept is how many are kept of the last window, and hotTold how many are told of.
	hotKept = 64
	hotTold = 20
	// window is how long one is, in seconds. To tell rank ten from rank eleven (0.69 and 0.63 %) takes
	// some 100,000 requests that were looked at; one of a hundred at 300,000 a second are that
	// after 30 seconds. And an operator wants to know what is hot now.
	window expiry.Instant = 60
)

// hot are the windows: the one that is running and the last one that is finished.
type hot struct {
	every  uint64
	now    side
	before side
}

// side is one window.
type side struct {
	since, until              expiry.Instant
	requests, samples         uint64 // how many requests there were, and how many were looked at, the lost included
	bytes                     uint64 // of values, in those
	byRequests, byBytes       top
	leastRequests, leastBytes uint64 // of before: what may be missing of a key that is not kept
}

// turn begins a window when its time has come.
func (h *hot) turn(now expiry.Instant) bool {
	switch {
	case h.now.since == 0: // the first
		h.now.since, h.now.until = now, now
		h.now.byRequests.init(hotCounters)
		h.now.byBytes.init(hotCounters)
		h.before.byRequests.init(hotKept)
		h.before.byBytes.init(hotKept)
		return false
	case now < h.now.since+window:
		h.now.until = now
		return false
	}
	h.now.until = now
	h.before.keep(&h.now)
	h.now.reset(now)
	return true
}

// reset begins it anew.
func (w *side) reset(now expiry.Instant) {
	w.since, w.until, w.requests, w.samples, w.bytes = now, now, 0, 0, 0
	w.byRequests.clear()
	w.byBytes.clear()
}

// keep becomes a shorter copy of another window.
func (w *side) keep(o *side) {
	w.since, w.until, w.requests, w.samples, w.bytes = o.since, o.until, o.requests, o.samples, o.bytes
	w.leastRequests = w.byRequests.keep(&o.byRequests)
	w.leastBytes = w.byBytes.keep(&o.byBytes)
}

// keep becomes a copy of the heaviest of another, and tells what one that is left out may weigh.
func (t *top) keep(o *top) (least uint64) {
	t.clear()
	order := slices.Clone(o.heap)
	slices.SortFunc(order, func(a, b light) int { return cmp.Compare(b.weight, a.weight) })
	for n, l := range order {
		c := &o.counters[l.of]
		if n == t.most {
			return c.weight
		}
		t.add(c.hash, c.name(), c.weight, c.other)
		t.counters[t.at[c.hash]].excess = c.excess
	}
	return 0
}

// add adds a record that stands for so many.
func (h *hot) add(r *record, n uint64) {
	w, size := &h.now, n*uint64(r.size)
	w.samples += n
	w.bytes += size
	w.byRequests.add(r.hash, r.key, n, size)
	if size > 0 {
		w.byBytes.add(r.hash, r.key, size, n)
	}
}

// standing is what both windows have of a key.
type standing struct {
	key                   []byte
	weight, excess, other uint64
}

// certain is what a key has at the least. They stand in that order: one that comes and goes may have only
// what others had before it.
func (st *standing) certain() uint64 { return st.weight - st.excess }

// podium has the first of those that enter.
type podium struct {
	places [hotTold]standing
	n      int
}

func (p *podium) enter(st standing) {
	if p.n == hotTold && p.places[p.n-1].certain() >= st.certain() {
		return
	}
	p.n = min(p.n+1, hotTold)
	i := p.n - 1
	for ; i > 0 && p.places[i-1].certain() < st.certain(); i-- {
		p.places[i] = p.places[i-1]
	}
	p.places[i] = st
}

// report is of both windows together.
func (h *hot) report(unix func(expiry.Instant) int64) stats.HotKeys {
	now, before := &h.now, &h.before
	requests, samples := now.requests+before.requests, now.samples+before.samples
	if samples == 0 {
		return stats.HotKeys{Sampled: h.every}
	}
	since := now.since
	if before.since != 0 {
		since = before.since
	}
	// Not by every: all that a loop had to tell may have been lost.
	scale := func(n uint64) uint64 { return uint64(float64(n) * float64(requests) / float64(samples)) }
	rank := func(now, before *top, missing uint64, show func(*standing) stats.HotKey) (keys []stats.HotKey) {
		var best podium
		least := now.least()
		for i := range now.counters {
			c := &now.counters[i]
			if j, ok := before.at[c.hash]; ok {
				o := &before.counters[j]
				best.enter(standing{c.name(), c.weight + o.weight, c.excess + o.excess, c.other + o.other})
			} else {
				best.enter(standing{c.name(), c.weight + missing, c.excess + missing, c.other})
			}
		}
		for i := range before.counters {
			if c := &before.counters[i]; !now.has(c.hash) {
				best.enter(standing{c.name(), c.weight + least, c.excess + least, c.other})
			}
		}
		for i := range best.n {
			keys = append(keys, show(&best.places[i]))
		}
		return keys
	}
	return stats.HotKeys{
		Since: time.Unix(unix(since), 0), Until: time.Unix(unix(now.until), 0),
		Sampled: h.every, Requests: requests, Bytes: scale(now.bytes + before.bytes),
		ByRequests: rank(&now.byRequests, &before.byRequests, before.leastRequests, func(st *standing) stats.HotKey {
			return stats.HotKey{Key: slices.Clone(st.key), Requests: scale(st.weight), Bytes: scale(st.other), Error: scale(st.excess)}
		}),
		ByBytes: rank(&now.byBytes, &before.byBytes, before.leastBytes, func(st *standing) stats.HotKey {
			return stats.HotKey{Key: slices.Clone(st.key), Requests: scale(st.other), Bytes: scale(st.weight), Error: scale(st.excess)}
		}),
	}
}
