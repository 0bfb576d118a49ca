package storage

import (
	"fmt"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
)

func bigStore(b *testing.B, items int) *Store {
	st, err := Open(Options{MemoryLimit: 512 << 20}, expiry.NewClock(someDay))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	value := make([]byte, 100)
	for i := range items {
		key := fmt.Appendf(nil, "user:%07d", i)
		st.Put(st.Hash(key), Set, &Item{Key: key, Value: value})
	}
	return st
}

// A get of an item that is older than so many prefixes under way.
func BenchmarkGetBesidePrefixes(b *testing.B) {
	for _, under := range []int{0, 1, PrefixesMost} {
		b.Run(fmt.Sprint(under), func(b *testing.B) {
			st := bigStore(b, 1000)
			for n := range under {
				st.FlushPrefix(fmt.Appendf(nil, "user:x%d", n), 0, nil)
			}
			key := []byte("user:0000500")
			h := st.Hash(key)
			for b.Loop() {
				st.View(h, key, func(Item) {})
			}
		})
	}
}

// The command itself, on a store of a million items.
func BenchmarkFlushPrefix(b *testing.B) {
	st := bigStore(b, 1_000_000)
	for b.Loop() {
		st.FlushPrefix([]byte("none"), 0, nil)
	}
	b.ReportMetric(float64(len(st.shards)), "shards")
}

// What takes the items away: all of a million, or none.
func BenchmarkClear(b *testing.B) {
	for _, prefix := range []string{"user:", "none"} {
		b.Run(prefix, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				st := bigStore(b, 1_000_000)
				st.FlushPrefix([]byte(prefix), 0, nil)
				var steps []time.Duration
				b.StartTimer()
				for n := 0; st.Prefixing() > 0; n++ {
					start := time.Now()
					st.shards[n%len(st.shards)].clear()
					steps = append(steps, time.Since(start))
				}
				b.StopTimer()
				var sum time.Duration
				over := 0
				for _, d := range steps {
					if sum += d; d > 20*time.Microsecond {
						over++
					}
				}
				b.ReportMetric(float64(sum.Nanoseconds())/float64(len(steps)), "ns/step")
				b.ReportMetric(float64(over)/float64(len(steps))*1e6, "over20µs/Msteps")
				st.Close()
				b.StartTimer()
			}
		})
	}
}
