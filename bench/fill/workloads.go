package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

// all are the workloads that "all" runs, in this order.
const all = "k20v8 k24v32 k30v100 k40v1000 k40v10000 k40v100000 k20v8ttl mixed sizeshift shrink " +
	"ttl ttlfull ttlrefill early update hot deleterefill"

// workloads by name; kNvM, sizes of keys and values, is done by fixedSize.
var workloads = map[string]func(r *result){
	"mixed":         mixed,                                    // keys 20..44, values log-normal
	"k20v8ttl":      everyDeadline,                            // 20/8 with a TTL on every item
	"sizeshift":     func(r *result) { sizeShift(r, 0) },      // 100-byte values, then 700-byte values: what of the new ones stays
	"sizeshiftslow": func(r *result) { sizeShift(r, *slowS) }, // the same, spread over -slow seconds
	"shrink":        shrink,                                   // 20/8, then 40/1000, beside a fresh 40/1000: does the index shrink
	"ttl":           func(r *result) { expire(r, 0.45) },      // half TTL 5 s, half a day: when is curr_items down, with no reads
	"ttlfull":       func(r *result) { expire(r, *factor) },   // the same, over-filled
	"ttlrefill":     refill,                                   // who goes for new items, the living or the dead
	"early":         early,                                    // reads a second before the deadline, and at it
	"update":        update,                                   // overwrites of a live set of 40 %, with other sizes
	"hot":           hot,                                      // a hot set of 2 % under a cold flood
	"deleterefill":  deleteRefill,                             // half deleted, the volume written again in larger items
}

// result is what a workload has found out, and what it needs to know.
type result struct {
	o     map[string]any
	pid   int
	limit float64 // bytes
	start time.Time
}

func measure(name string, p int) map[string]any {
	if p == 0 {
		p = *pid
	}
	if p == 0 {
		p = int(num(stats(""), "pid"))
	}
	r := &result{pid: p, limit: float64(*memMB) * (1 << 20), start: time.Now()}
	before, _ := rss(p)
	r.o = map[string]any{"workload": name, "label": *label, "m_mb": *memMB, "factor": *factor, "rss_start_kb": before}
	var nkey, nvalue int
	if do := workloads[name]; do != nil {
		do(r)
	} else if n, _ := fmt.Sscanf(name, "k%dv%d", &nkey, &nvalue); n == 2 {
		fixedSize(r, nkey, nvalue)
	} else {
		fatal("unknown workload", name)
	}
	return r.o
}

func ident(i int64) int64 { return i }
func odd(i int64) int64   { return 2*i + 1 }

func fixed(nkey, nvalue int, prefix string) *gen {
	return &gen{prefix: prefix, klen: constI(nkey), vlen: constI(nvalue)}
}

// items that make up a part of the limit, at so many bytes each.
func (r *result) items(part, bytes float64) int64 { return int64(part * r.limit / bytes) }

func (r *result) counted(c counts) {
	r.o["stored"], r.o["not_stored"], r.o["errors"] = c.stored, c.notStored, c.errs
}

// snapshot waits for the server's statistics to settle and notes them.
func (r *result) snapshot(prefix string) {
	time.Sleep(*waitSet)
	s := stats("")
	for _, name := range []string{"curr_items", "evictions", "bytes", "total_malloced", "hash_bytes", "limit_maxbytes"} {
		if n := num(s, name); n >= 0 {
			r.o[prefix+name] = n
		}
	}
	r.o[prefix+"rss_kb"], r.o[prefix+"hwm_kb"] = rss(r.pid)
}

// kept is the part of n items that a sample finds.
func kept(g *gen, n int64, idx func(int64) int64) float64 {
	hit, asked := probe(g, n, idx, *probeN)
	return round(float64(hit)/float64(max(1, asked)), 5)
}

// filled ends a workload that wrote n items.
func (r *result) filled(g *gen, n int64) {
	seconds := time.Since(r.start).Seconds()
	r.snapshot("")
	part := kept(g, n, ident)
	r.o["n_set"], r.o["seconds"], r.o["sets_per_s"] = n, round(seconds, 2), int64(float64(n)/seconds)
	r.o["probe_hit_ratio"], r.o["resident_probe"] = part, int64(part*float64(n))
}

func fixedSize(r *result, nkey, nvalue int) {
	prefix := "k:"
	if nkey == 24 && nvalue == 32 {
		prefix = "passwd_"
	}
	g, n := fixed(nkey, nvalue, prefix), r.items(*factor, float64(nkey+nvalue+24))
	r.counted(setRange(g, n, ident, nil))
	r.filled(g, n)
}

func everyDeadline(r *result) {
	g, n := fixed(20, 8, "k:"), r.items(*factor, 52)
	g.ttl = func(i int64) int { return 3600 + int(mix(uint64(i))%36000) }
	r.counted(setRange(g, n, ident, nil))
	r.filled(g, n)
}

func mixed(r *result) {
	g := &gen{prefix: "obj:", klen: func(i int64) int { return 20 + int(mix(uint64(i)^0x55)%25) }, vlen: lognormal}
	sum, n := int64(0), int64(0)
	for ; float64(sum) < *factor*r.limit; n++ {
		sum += int64(g.klen(n)+g.vlen(n)) + 24
	}
	r.o["mean_kv"] = round(float64(sum)/float64(n)-24, 1)
	r.counted(setRange(g, n, ident, nil))
	r.filled(g, n)
}

func sizeShift(r *result, seconds int) {
	old, young := fixed(30, 100, "a:"), fixed(30, 700, "b:")
	nOld, nYoung := r.items(*factor, 154), r.items(*factor, 754)
	r.counted(setRange(old, nOld, ident, nil))
	r.snapshot("phase1_")
	var pace func(*conn, int64)
	if seconds > 0 {
		from := time.Now()
		pace = func(_ *conn, k int64) {
			if k%512 < 2 {
				time.Sleep(time.Until(from.Add(time.Duration(float64(k) / float64(nYoung) * float64(seconds) * 1e9))))
			}
		}
	}
	c := setRange(young, nYoung, ident, pace)
	r.snapshot("")
	resident := kept(young, nYoung, ident) * float64(nYoung)
	r.o["n_old"], r.o["n_new"], r.o["new_errors"] = nOld, nYoung, c.errs
	r.o["new_resident"], r.o["new_ideal"] = int64(resident), int64(r.limit/730)
	r.o["old_resident"] = int64(kept(old, nOld, ident) * float64(nOld))
	r.o["new_share_of_ideal"] = round(resident/(r.limit/730), 4)
}

func shrink(r *result) {
	small, large := fixed(20, 8, "a:"), fixed(40, 1000, "b:")
	r.counted(setRange(small, r.items(*factor, 52), ident, nil))
	r.snapshot("phase1_")
	n := r.items(*factor, 1064)
	c := setRange(large, n, ident, nil)
	r.snapshot("")
	r.o["new_errors"], r.o["new_resident"] = c.errs, int64(kept(large, n, ident)*float64(n))
}

// halfSoon gives every other item 5 seconds, and a day the rest.
func halfSoon(i int64) int {
	if i&1 == 0 {
		return 5
	}
	return 86400
}

func expire(r *result, part float64) {
	g := fixed(30, 100, "t:")
	g.ttl = halfSoon
	n := r.items(part, 154)
	r.counted(setRange(g, n, ident, nil))
	r.o["fill_seconds"] = round(time.Since(r.start).Seconds(), 2)
	var poll [][3]int64 // second, items, KiB resident; only changes
	from := time.Now()
	time.Sleep(300 * time.Millisecond)
	for i := 0; i <= *pollS; i++ {
		resident, _ := rss(r.pid)
		e := [3]int64{int64(time.Since(from).Seconds()), num(stats(""), "curr_items"), resident}
		if len(poll) < 2 || e[1] != poll[len(poll)-1][1] || i == *pollS {
			poll = append(poll, e)
		}
		time.Sleep(time.Until(from.Add(time.Duration(i+1) * time.Second)))
	}
	first, last := poll[0][1], poll[len(poll)-1][1]
	r.o["n_set"], r.o["poll_s_items_rss"], r.o["items_before"], r.o["items_after"] = n, poll, first, last
	for _, e := range poll {
		if float64(e[1]) <= float64(last)+0.02*float64(first) {
			r.o["t98_s"] = e[0]
			break
		}
	}
	r.o["long_lived_kept"] = int64(kept(g, n/2, odd) * float64(n/2))
	r.snapshot("")
}

func refill(r *result) {
	g, young := fixed(30, 100, "t:"), fixed(30, 100, "n:")
	g.ttl = halfSoon
	young.ttl = func(int64) int { return 86400 }
	n := r.items(0.72, 154)
	r.counted(setRange(g, n, ident, nil))
	time.Sleep(8 * time.Second)
	r.snapshot("phase1_")
	setRange(young, n/2, ident, nil)
	r.snapshot("")
	r.o["kept_old_long"], r.o["kept_new_long"] = kept(g, n/2, odd), kept(young, n/2, ident)
}

// early asks for items 2 seconds before their deadline: clocks count whole seconds, so one may be lost, not two. And
// then when none may be there any more.
func early(r *result) {
	g := fixed(30, 100, "t:")
	g.ttl = func(int64) int { return 6 }
	n := r.items(0.02, 154)
	r.counted(setRange(g, n, ident, nil))
	written := time.Now()
	time.Sleep(time.Until(r.start.Add(4 * time.Second)))
	r.o["kept_2s_before"] = kept(g, n, ident)
	time.Sleep(time.Until(written.Add(6100 * time.Millisecond)))
	r.o["served_after"] = kept(g, n, ident)
}

func update(r *result) {
	const nkey = 30
	live := r.items(0.40, nkey+300+24)
	version := make([]uint32, live)
	g := &gen{prefix: "u:", klen: constI(nkey), vlen: func(i int64) int {
		return 100 + int(mix(uint64(i)*31+uint64(atomic.LoadUint32(&version[i])))%401)
	}}
	r.counted(setRange(g, live, ident, nil))
	n := r.items(*factor, nkey+300+24)
	c := setRange(g, n, func(k int64) int64 {
		i := int64(mix(uint64(k)+0x9999) % uint64(live))
		atomic.AddUint32(&version[i], 1)
		return i
	}, nil)
	r.snapshot("")
	r.o["live_set"], r.o["overwrites"], r.o["update_errors"], r.o["live_kept"] = live, n, c.errs, kept(g, live, ident)
}

func hot(r *result) {
	nHot, n := r.items(0.02, 154), r.items(*factor, 154)
	warm, cold := fixed(30, 100, "hot:"), fixed(30, 100, "cold:")
	setRange(warm, nHot, ident, nil)
	var missed, reads atomic.Int64
	r.counted(setRange(cold, n, ident, func(c *conn, k int64) {
		if k%32 >= int64(*conns) {
			return
		}
		var is []int64
		for j := range int64(8) {
			is = append(is, int64(mix(uint64(k)*8+uint64(j))%uint64(nHot)))
		}
		reads.Add(8)
		missed.Add(int64(8 - c.getMany(warm, is)))
	}))
	r.o["hot_reads"], r.o["hot_read_misses"] = reads.Load(), missed.Load()
	r.filled(cold, n)
	r.o["hot_set"], r.o["hot_kept"] = nHot, kept(warm, nHot, ident)
}

func deleteRefill(r *result) {
	const mean = 730
	old := &gen{prefix: "d:", klen: constI(30), vlen: lognormal}
	young := &gen{prefix: "e:", klen: constI(30), vlen: func(i int64) int { return min(lognormal(i)*3, 200000) }}
	n := r.items(1, mean)
	r.counted(setRange(old, n, ident, nil))
	r.snapshot("phase1_")
	c, err := dial(*addr)
	must(err)
	defer c.c.Close()
	waiting := 0
	for i := int64(0); i < n; i += 2 {
		_, err := c.w.Write(append(old.key([]byte("delete "), i), "\r\n"...))
		must(err)
		if waiting++; waiting == 64 || i+2 >= n {
			must(c.w.Flush())
			for ; waiting > 0; waiting-- {
				c.line()
			}
		}
	}
	nYoung := r.items(0.5, mean*2.6)
	setRange(young, nYoung, ident, nil)
	r.snapshot("")
	r.o["n_old"], r.o["n_new"] = n/2, nYoung
	r.o["kept_old_share"], r.o["kept_new_share"] = kept(old, n/2, odd), kept(young, nYoung, ident)
}
