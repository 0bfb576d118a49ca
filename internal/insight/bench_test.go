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
