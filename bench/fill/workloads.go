package main

import (
	"sync/atomic"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A workload fills a server and notes what it finds.
type workload struct {
	name string
	do   func(f *filler)
}

// The rows. Two numbers are bytes of key and value. Ratios are gomemd's to memcached's.
var workloads = []workload{
	{"20/8", fixedSize(20, 8, 2.36)},
	{"24/32", fixedSize(24, 32, 1.73)},
	{"30/100", fixedSize(30, 100, 1.30)},
	{"40/1000", fixedSize(40, 1000, 1.09)},
	{"40/10000", fixedSize(40, 10_000, 1.07)},
	{"40/100000", fixedSize(40, 100_000, 1.00)},
	{"mixed: 20 to 44, log-normal", mixed},
	{"20/8, a deadline each", everyDeadline},
	{"shrink: 20/8, then 40/1000", shrink},
	{"sizeshift: 30/100, then 30/700", sizeShift},
	{"ttl: half of them 5 s", func(f *filler) { f.expire(0.45) }},
	{"ttlfull: the same, over-filled", func(f *filler) { f.expire(f.factor) }},
	{"ttlrefill: half full of expired", refill},
	{"early: 6 s for each", early},
	{"update: overwrites of 40 %", update},
	{"hot: 2 % read in a cold flood", hot},
	{"deleterefill: half deleted", deleteRefill},
}

// A filler is one workload on one server.
type filler struct {
	kind    *pair.Kind
	server  *pair.Server
	memory  int     // MiB
	limit   float64 // the same in bytes
	factor  float64
	start   time.Time
	errors  int64
	figures []figure
}

func (f *filler) note(what string, value float64, u unit, b bar) {
	f.figures = append(f.figures, figure{what, value, u, b})
}

// overhead is what an item is said to cost besides key and value when it is decided how many are written.
const overhead = 24

// items that make up a part of the limit, at so many bytes each.
func (f *filler) items(part float64, bytes int) int64 { return int64(part * f.limit / float64(bytes)) }

// currItems waits until the statistics are even: memcached adds up its threads' numbers now and then.
func (f *filler) currItems() float64 {
	time.Sleep(1500 * time.Millisecond)
	return f.stat("curr_items")
}

func ident(i int64) int64 { return i }
func odd(i int64) int64   { return 2*i + 1 }

func fixed(nkey, nvalue int, prefix string) *maker {
	return &maker{prefix: prefix, klen: always(nkey), vlen: always(nvalue)}
}

func fixedSize(nkey, nvalue int, ratio float64) func(*filler) {
	return func(f *filler) {
		f.set(fixed(nkey, nvalue, "k:"), f.items(f.factor, nkey+nvalue+overhead), ident, nil)
		f.note("items kept", f.currItems(), items, bar{ratio: ratio})
	}
}

func everyDeadline(f *filler) {
	m := fixed(20, 8, "k:")
	m.ttl = func(i int64) int { return 3600 + int(mix(uint64(i))%36000) }
	f.set(m, f.items(f.factor, 20+8+overhead), ident, nil)
	f.note("items kept", f.currItems(), items, bar{ratio: 2.14})
}

func mixed(f *filler) {
	m := &maker{prefix: "obj:", klen: func(i int64) int { return 20 + int(mix(uint64(i)^0x55)%25) }, vlen: lognormal}
	n := int64(0)
	for sum := 0; float64(sum) < f.factor*f.limit; n++ {
		sum += m.klen(n) + m.vlen(n) + overhead
	}
	f.set(m, n, ident, nil)
	f.note("items kept", f.currItems(), items, bar{ratio: 1.13})
}

// sizeShift knows what is ideal: no header, no index, nothing but the new items' bytes.
func sizeShift(f *filler) {
	old, young := fixed(30, 100, "a:"), fixed(30, 700, "b:")
	f.set(old, f.items(f.factor, 30+100+overhead), ident, nil)
	n := f.items(f.factor, 30+700+overhead)
	f.set(young, n, ident, nil)
	f.note("new ones, of the ideal", f.kept(young, n, ident)*float64(n)/(f.limit/(30+700)), percent, bar{least: 0.94})
}

// shrink leaves an index made for small items to those that need less of it, and a fresh server keeps as many of them as can be.
func shrink(f *filler) {
	small, large := fixed(20, 8, "a:"), fixed(40, 1000, "b:")
	n := f.items(f.factor, 40+1000+overhead)
	f.set(small, f.items(f.factor, 20+8+overhead), ident, nil)
	f.set(large, n, ident, nil)
	s, err := start(f.kind, f.memory)
	must(err)
	defer s.Stop()
	fresh := &filler{server: s}
	fresh.set(large, n, ident, nil)
	f.note("new ones, of a fresh fill", f.kept(large, n, ident)/fresh.kept(large, n, ident), percent, bar{least: 0.93})
}

const (
	soon     = 5  // seconds
	patience = 20 // seconds to wait for a server to give back what has expired
)

// halfSoon gives every other item 5 seconds, and a day the rest.
func halfSoon(i int64) int {
	if i&1 == 0 {
		return soon
	}
	return 86400
}

// expire asks nothing but for the number of items, until the expired half is not in it any more.
func (f *filler) expire(part float64) {
	m := fixed(30, 100, "t:")
	m.ttl = halfSoon
	n := f.items(part, 30+100+overhead)
	f.set(m, n, ident, nil)
	deadline := time.Now().Add(soon * time.Second)
	first := f.stat("curr_items")
	long := f.kept(m, n/2, odd) * float64(n/2)
	gone := time.Duration(0)
	time.Sleep(time.Until(deadline))
	for gone <= patience*time.Second && f.stat("curr_items") > long+0.02*first {
		time.Sleep(100 * time.Millisecond)
		gone = time.Since(deadline)
	}
	f.note("until 98 % are gone", float64(gone)/1e9, seconds, bar{most: 2})
	long = f.kept(m, n/2, odd)
	if part < 1 {
		f.note("the others kept", long, percent, bar{least: 0.999})
	} else {
		f.note("the others kept", long*float64(n/2), items, bar{ratio: 1})
	}
}

func refill(f *filler) {
	m, young := fixed(30, 100, "t:"), fixed(30, 100, "n:")
	m.ttl = halfSoon
	young.ttl = func(int64) int { return 86400 }
	n := f.items(0.72, 30+100+overhead)
	f.set(m, n, ident, nil)
	time.Sleep((soon + 3) * time.Second)
	f.set(young, n/2, ident, nil)
	f.note("old live ones kept", f.kept(m, n/2, odd), percent, bar{least: 0.999})
	f.note("new ones kept", f.kept(young, n/2, ident), percent, bar{least: 0.999})
}

// early asks for items 2 seconds before their deadline: clocks count whole seconds, so one may be lost, not two. And
// then when none may be there any more.
func early(f *filler) {
	const ttl = 6
	m := fixed(30, 100, "t:")
	m.ttl = always(ttl)
	n := f.items(0.02, 30+100+overhead)
	f.set(m, n, ident, nil)
	written := time.Now()
	time.Sleep(time.Until(f.start.Add((ttl - 2) * time.Second)))
	f.note("kept 2 s before it", f.kept(m, n, ident), percent, bar{least: 1})
	time.Sleep(time.Until(written.Add(ttl*time.Second + 100*time.Millisecond)))
	f.note("gone at it", 1-f.kept(m, n, ident), percent, bar{least: 1})
}

func update(f *filler) {
	const each = 30 + 300 + overhead
	live := f.items(0.40, each)
	version := make([]atomic.Uint32, live)
	m := &maker{prefix: "u:", klen: always(30), vlen: func(i int64) int {
		return 100 + int(mix(uint64(i)*31+uint64(version[i].Load()))%401)
	}}
	f.set(m, live, ident, nil)
	f.set(m, f.items(f.factor, each), func(k int64) int64 {
		i := int64(mix(uint64(k)+0x9999) % uint64(live))
		version[i].Add(1)
		return i
	}, nil)
	f.note("kept", f.kept(m, live, ident), percent, bar{least: 1})
}

func hot(f *filler) {
	nHot, n := f.items(0.02, 30+100+overhead), f.items(f.factor, 30+100+overhead)
	warm, cold := fixed(30, 100, "hot:"), fixed(30, 100, "cold:")
	f.set(warm, nHot, ident, nil)
	var misses atomic.Int64
	f.set(cold, n, ident, func(c *conn, k int64) {
		var asked [8]int64
		for j := range asked {
			asked[j] = int64(mix(uint64(k)*uint64(len(asked))+uint64(j)) % uint64(nHot))
		}
		misses.Add(int64(len(asked) - c.getMany(warm, asked[:])))
	})
	f.note("kept", f.kept(warm, nHot, ident), percent, bar{least: 1})
	f.note("misses in the flood", float64(misses.Load()), items, bar{})
}

func deleteRefill(f *filler) {
	const mean = 730
	old := &maker{prefix: "d:", klen: always(30), vlen: lognormal}
	young := &maker{prefix: "e:", klen: always(30), vlen: func(i int64) int { return min(lognormal(i)*3, longest) }}
	n := f.items(1, mean)
	f.set(old, n, ident, nil)
	f.delete(old, n/2, func(i int64) int64 { return 2 * i })
	nYoung := f.items(0.5, mean*26/10)
	f.set(young, nYoung, ident, nil)
	f.note("old ones kept", f.kept(old, n/2, odd), percent, bar{ratio: 1})
	f.note("new ones kept", f.kept(young, nYoung, ident), percent, bar{ratio: 1})
}
