package session

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/insight"
)

// watched is a fixture that looks at every request.
func watched(t testing.TB, opts options) *fixture {
	opts.Insight = insight.Options{Every: 1}
	return newFixture(t, opts)
}

// Each key of each command counts, in both protocols, with the bytes of values that were read or
// written.
func TestWhichRequestsAreLookedAt(t *testing.T) {
	const value = "1234567890"
	large := strings.Repeat("l", 100_000)
	for _, tt := range []struct {
		said            string
		requests, bytes int // of key k
	}{
		{"get k\r\n", 1, 10},
		{"get no k no k\r\n", 2, 20},
		{"gats 100 k\r\n", 1, 10},
		{"mg k\r\n", 1, 0},
		{"mg k v\r\n", 1, 10},
		{"mg aw== b v\r\n", 1, 10},
		{"set k 0 0 4\r\nabcd\r\n", 1, 4},
		{"ms k 4\r\nabcd\r\n", 1, 4},
		{"add k 0 0 4\r\nabcd\r\n", 1, 4},
		{fmt.Sprintf("set k 0 0 %d\r\n%s\r\n", len(large), large), 1, len(large)},
		{fmt.Sprintf("set k 0 0 %d\r\n%s\r\nget k\r\n", len(large), large), 2, 2 * len(large)},
		{"append k 0 0 4\r\nabcd\r\n", 1, 4},
		{"incr k 1\r\ndecr k 1\r\nma k\r\n", 3, 0},
		{"touch k 10\r\n", 1, 0},
		{"delete k\r\ndelete k\r\nmd k\r\n", 3, 0},
		{"me k\r\nmn\r\nstats\r\nget no\r\n", 0, 0},
		{bGet(0x00, "k"), 1, 10},
		{bGet(0x09, "k") + bGet(0x09, "k"), 2, 20},
		{bSet(0x01, "k", "abcd"), 1, 4},
		{ask(0x1c, u32(0), "k", "", 0), 1, 0},
		{ask(0x04, "", "k", "", 0), 1, 0},
	} {
		p := watched(t, options{})
		p.env.Store.FlushAll(0)
		p.client().say("set k 0 0 10\r\n" + value + "\r\n")
		before := p.looked("k")
		p.client().say(tt.said)
		after := p.looked("k")
		if got := [2]int{after[0] - before[0], after[1] - before[1]}; got != [2]int{tt.requests, tt.bytes} {
			t.Errorf("%.40q: %d requests, %d bytes; want %d, %d", tt.said, got[0], got[1], tt.requests, tt.bytes)
		}
	}
}

// looked tells how many requests of a key were looked at, and how many bytes.
func (p *fixture) looked(key string) (n [2]int) {
	p.env.Look()
	hot := p.env.HotKeys()
	for _, k := range hot.ByRequests {
		if string(k.Key) == key {
			n = [2]int{int(k.Requests), int(k.Bytes)}
		}
	}
	return n
}

func TestStatsHotkeys(t *testing.T) {
	p := watched(t, options{})
	v := p.client()
	if got := v.say("stats hotkeys\r\n"); got != "STAT sampled 1\r\nEND\r\n" {
		t.Errorf("before the first request: %q", got)
	}
	v.say("set k 0 0 10\r\n1234567890\r\nget k\r\nget k\r\n" + bInKey())
	p.env.Look()
	want := "STAT sampled 1\r\nSTAT seconds 0\r\nSTAT requests 4\r\nSTAT bytes 31\r\n" +
		"STAT by_requests:1 key=k,requests=3,bytes=30,share=75.00,error=0\r\n" +
		"STAT by_requests:2 key=%00%20%FF%0A,requests=1,bytes=1,share=25.00,error=0\r\n" +
		"STAT by_bytes:1 key=k,requests=3,bytes=30,share=96.77,error=0\r\n" +
		"STAT by_bytes:2 key=%00%20%FF%0A,requests=1,bytes=1,share=3.23,error=0\r\nEND\r\n"
	if got := v.say("stats hotkeys\r\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	got := bRead(t, p.client().say(bStat("hotkeys")))
	if !strings.Contains(got, "key by_requests:1 key=k,requests=3,") {
		t.Errorf("in packets: %s", got)
	}
}

// bInKey is a set of a key that no line of text could hold.
func bInKey() string { return "ms ACD/Cg== 1 b\r\nx\r\n" }

// With -X nobody is shown keys; and without the feature there is nothing to show.
func TestStatsHotkeysAreRefused(t *testing.T) {
	p := watched(t, options{Rules: Rules{DisableDump: true}})
	if got := p.client().say("stats hotkeys\r\n"); got != "CLIENT_ERROR stats hotkeys not allowed\r\n" {
		t.Errorf("with -X: %q", got)
	}
	if got := bRead(t, p.client().say(bStat("hotkeys"))); got != "10 status 01 Not found" {
		t.Errorf("with -X, in packets: %q", got)
	}
	if got := newFixture(t, options{}).client().say("get k\r\nstats hotkeys\r\n"); got != "END\r\nSTAT sampled 0\r\nEND\r\n" {
		t.Errorf("off: %q", got)
	}
}

// A key that takes much of a loop is logged at -v, and not without.
func TestALoudKeyIsLogged(t *testing.T) {
	for verbosity, want := range map[uint32]string{
		0: "",
		1: `^one key takes 100 % of what an event loop serves, and all on that loop wait for it: loud%00\n$`,
	} {
		p := watched(t, options{})
		var log strings.Builder
		p.env.Log = &log
		p.env.Verbosity.Store(verbosity)
		for range 100 {
			p.client().say(strings.Repeat("mg bG91ZAA= b\r\n", 50))
			p.env.Look()
		}
		if ok, err := regexp.MatchString(want, log.String()); !ok || err != nil || want == "" && log.Len() > 0 {
			t.Errorf("verbosity %d: %q", verbosity, log.String())
		}
	}
}

// A server tells what another one with more memory, or less, would do, and it does so.
func TestTheCurveComesTrue(t *testing.T) {
	const limit, requests = 4 << 20, 100_000
	play := func(limit int64) (ratio float64, gone int, p *fixture) {
		stored := map[uint64]bool{}
		p = newFixture(t, options{MemoryLimit: limit, Insight: insight.Options{Curve: true}, Rules: Rules{ItemMax: 16 << 10}})
		v := p.client()
		dice := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(dice, 1.1, 20, 40_000)
		hits := 0
		for i := range requests {
			k := zipf.Uint64()
			if v.say(fmt.Sprintf("mg key%d v\r\n", k)) != "EN\r\n" {
				hits++
			} else {
				if stored[k] {
					gone++
				}
				stored[k] = true
				n := 100 + int(k*7919%900)
				v.say(fmt.Sprintf("ms key%d %d T1000\r\n%0*d\r\n", k, n, n, 0))
			}
			if i%100 == 0 {
				p.env.Look()
			}
		}
		p.env.Look()
		return float64(hits) / requests, gone, p
	}
	own, gone, p := play(limit)
	all := p.env.Snapshot().Insight
	if got := all.Curve.Ratio; math.Abs(got-own) > 0.005 || len(all.Curve.Points) == 0 {
		t.Fatalf("the hit ratio of the sample is %.3f, of all %.3f; %+v", got, own, all.Curve)
	}
	for i, point := range all.Curve.Points {
		if point.Factor == 0.75 || point.Factor == 1.5 || point.Factor == 4 {
			continue // this takes long enough, and with 4 hardly anything is evicted
		}
		is := own
		if point.Factor != 1 {
			is, _, _ = play(int64(point.Factor * limit))
		}
		if off := math.Abs(point.HitRatio - is); off > 0.015 {
			t.Errorf("with %g times as much %.3f is said, %.3f is so", insight.Factors[i], point.HitRatio, is)
		}
	}
	sum, misses := uint64(0), 0.0
	for _, class := range all.TTLHits {
		misses += float64(class.Misses)
		if sum += class.Hits + class.Misses; class.Hits > 0 && class.Upto != 3600 {
			t.Errorf("%d hits of items stored for up to %d seconds", class.Hits, class.Upto)
		}
	}
	if sum < requests*8/10 {
		t.Errorf("%d gets are in classes", sum)
	}
	if math.Abs(misses-float64(gone)) > 0.05*float64(gone) {
		t.Errorf("%.0f misses are in classes, %d were of keys that had been evicted", misses, gone)
	}
	if heard := p.client().say("stats gomemd\r\n"); !strings.Contains(heard, fmt.Sprintf("STAT curve_200 %.0f\r\n", 10_000*all.Curve.Points[4].HitRatio)) {
		t.Errorf("%s", heard)
	}
	p.client().say("stats reset\r\n")
	if curve := p.env.Snapshot().Insight.Curve; curve.Gets != 0 || curve.Keys == 0 {
		t.Errorf("after a reset %+v", curve)
	}
	p.client().say("flush_all\r\n")
	p.env.Look()
	if curve := p.env.Snapshot().Insight.Curve; curve.Keys != 0 {
		t.Errorf("after a flush %+v", curve)
	}
}
