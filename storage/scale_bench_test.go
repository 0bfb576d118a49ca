package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
)

// How much more two goroutines get done than one, beside what two loops get done that share nothing (control), or nothing but as
// many locks (locks): 2.0 would be two cores of one's own. Ten thousand items of 32 bytes, in batches of 16 as a pipeline brings them. One and two are measured in
// turn, so that others' work on the machine burdens both alike; ns/op is of one goroutine.
func BenchmarkTwoGoroutines(b *testing.B) {
	const keys, batch = 10_000, 16
	st, err := Open(Options{MemoryLimit: 1024 << 20}, expiry.NewClock(1_700_000_000))
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	value := bytes.Repeat([]byte("v"), 32)
	var names [keys][]byte
	var hashes [keys]uint64
	for i := range names {
		names[i] = fmt.Appendf(nil, "key:%012d", i)
		hashes[i] = st.Hash(names[i])
		st.Put(hashes[i], Set, &Item{Key: names[i], Value: value})
	}
	visit := func(Item) {}
	locks := make([]struct { // as many as the store has, and nothing behind them
		sync.Mutex
		n int
		_ [112]byte // two cache lines: processors fetch pairs
	}, len(st.shards))
	for _, bb := range []struct {
		name string
		do   func(from int) // a batch
	}{
		{"control", func(from int) {
			for i := range batch {
				st.Hash(names[from+i])
			}
		}},
		{"locks", func(from int) {
			for i := from; i < from+batch; i++ {
				l := &locks[hashes[i]%uint64(len(locks))]
				l.Lock()
				l.n++
				l.Unlock()
			}
		}},
		{"get", func(from int) {
			st.Warm(hashes[from : from+batch])
			for i := from; i < from+batch; i++ {
				st.View(hashes[i], names[i], visit)
			}
		}},
		{"set", func(from int) {
			st.Warm(hashes[from : from+batch])
			for i := from; i < from+batch; i++ {
				st.Put(hashes[i], Set, &Item{Key: names[i], Value: value})
			}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			took := func(goroutines, n int) time.Duration {
				var all sync.WaitGroup
				start := time.Now()
				for g := range goroutines {
					all.Go(func() {
						draw := rand.New(rand.NewPCG(1, uint64(g)))
						for i := 0; i < n; i += batch {
							bb.do(int(draw.Uint64N(keys/batch)) * batch)
						}
					})
				}
				all.Wait()
				return time.Since(start)
			}
			const rounds = 10
			var one, two time.Duration
			for range rounds {
				one += took(1, b.N/rounds)
				two += took(2, b.N/rounds)
			}
			b.ReportMetric(float64(one)/float64(b.N), "ns/op")
			b.ReportMetric(2*float64(one)/float64(two), "times-one")
		})
	}
}
