package insight

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// What looking costs: a request that is not looked at, one that is, and reading it; and who asks.
func BenchmarkHotKeys(b *testing.B) {
	dice := rand.New(rand.NewPCG(1, 2))
	law := newRanks(1_000_000)
	keys := make([][]byte, 1<<16)
	hashes := make([]uint64, len(keys))
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%010d", law.draw(dice))
		hashes[i] = hashOf(keys[i])
	}
	run := func(every int, drains bool) func(b *testing.B) {
		return func(b *testing.B) {
			s := New(Options{Every: every})
			var p Probe
			p.Init(s)
			for i := range b.N {
				i %= len(keys)
				if p.Wants(hashes[i]) {
					p.Saw(Request{Hash: hashes[i], Key: keys[i], Size: 100})
				}
				if i%16 == 0 {
					p.Publish()
				}
				if drains && i%1024 == 0 {
					s.Drain(expiry.Start, Totals{}, silent)
				}
			}
		}
	}
	b.Run("off", run(0, false))
	b.Run("one of 100", run(100, true))
	b.Run("each, written", run(1, false))
	b.Run("each, read too", run(1, true))
	b.Run("report", func(b *testing.B) {
		s := New(Options{Every: 1})
		var p Probe
		p.Init(s)
		for i := range keys {
			p.Wants(hashes[i])
			p.Saw(Request{Hash: hashes[i], Key: keys[i], Size: 100})
			p.Publish()
			if i%100 == 0 {
				s.Drain(expiry.Start+expiry.Instant(i/1000), Totals{}, silent)
			}
		}
		for b.Loop() {
			s.HotKeys(unix)
		}
	})
}

// Of a million keys by Zipf's law the true first ten are found after 30 million gets, in their windows,
// with one request of a hundred: go test ./internal/insight -run XXX -bench TrueTen -benchtime 1x
func BenchmarkTrueTen(b *testing.B) {
	for range b.N {
		trueTen(b)
	}
}

func trueTen(t testing.TB) {
	const requests, loops = 30_000_000, 4
	s := New(Options{Every: 100})
	var probes [loops]Probe
	for i := range probes {
		probes[i].Init(s)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	law := newRanks(1_000_000)
	keys, count := make([][]byte, len(law)), make([]int, len(law))
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%07d", i)
	}
	now := expiry.Start
	for i := range requests {
		k := law.draw(dice)
		count[k]++
		p, hash := &probes[dice.IntN(loops)], hashOf(keys[k])
		if p.Wants(hash) {
			p.Saw(Request{Hash: hash, Key: keys[k], Size: 100})
		}
		if i%20_000 == 0 { // 15 times a tick of 300,000 a second
			for j := range probes {
				probes[j].Publish()
			}
		}
		if i%75_000 == 0 {
			s.Drain(now, Totals{}, silent)
		}
		if i%300_000 == 0 {
			now++
		}
	}
	for i, k := range s.HotKeys(unix).ByRequests[:10] {
		var rank int
		_, _ = fmt.Sscanf(string(k.Key), "key:%d", &rank)
		t.Logf("%d: %s, %d requests; it had %d of all", i+1, k.Key, k.Requests, count[rank])
		if rank >= 10 {
			t.Errorf("%s is not one of the first ten", k.Key)
		}
	}
}
