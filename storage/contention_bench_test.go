package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sort"
	"sync"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// How often goroutines meet at a shard's lock, counted and not timed, so that it can be seen with
// fewer cores than goroutines:
//
//	held/Mop     so many of a million operations found their shard's lock held: every eighth tries
//	waits/Mop    so many slept until they had it
//	hottest-%    so many of a hundred went to the shard that most went to
//
// There is a processor of Go's for each goroutine. With fewer cores the system takes the core from
// goroutines that hold a lock, too, and then all the others come to wait for it: what is counted is
// more than that many cores would see.
//
// The loops of a server meet less often: they do some hundred nanoseconds of other work for each
// operation here, in the kernel most of it.
func BenchmarkContention(b *testing.B) {
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	for _, limit := range []int64{64 << 20, 1024 << 20} {
		for _, work := range []string{"get", "set", "append", "evict"} {
			for _, dist := range []string{"uniform", "zipf"} {
				if work == "evict" && dist == "zipf" {
					continue // keys are new
				}
				b.Run(fmt.Sprintf("%dMiB/%s/%s", limit>>20, work, dist), func(b *testing.B) {
					c := newThrong(b, limit, work, dist)
					for _, n := range []int{1, 2, 4, 8, 16} {
						b.Run(fmt.Sprint(n), func(b *testing.B) { c.run(b, n) })
					}
				})
			}
		}
	}
}

// A throng is goroutines at one store.
type throng struct {
	st    *Store
	work  string
	names [][]byte
	draws [1 << 16]uint16 // of names, by their probability
	next  uint64          // of new keys
}

func newThrong(b *testing.B, limit int64, work, dist string) *throng {
	c := &throng{work: work}
	if work == "evict" {
		c.st, _, _, c.next = fullStore(b, limit, 100, false)
		return c
	}
	var err error
	if c.st, err = Open(Options{MemoryLimit: limit}, expiry.NewClock(1_700_000_000)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.st.Close() })
	const keys = 10_000
	var sums [keys]float64
	sum := 0.0
	for i := range sums {
		name := fmt.Appendf(nil, "key:%012d", i)
		c.names = append(c.names, name)
		c.st.Put(c.st.Hash(name), Set, &Item{Key: name, Value: make([]byte, 32)})
		if sums[i] = sum + 1; dist == "zipf" {
			sums[i] = sum + math.Pow(float64(i+1), -0.99)
		}
		sum = sums[i]
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range c.draws {
		c.draws[i] = uint16(sort.SearchFloat64s(sums[:], dice.Float64()*sum))
	}
	return c
}

func (c *throng) run(b *testing.B, goroutines int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(goroutines))
	waits := mutexWaits()
	visits := make([]struct {
		shards [256]int
		held   int
		_      [128]byte // two cache lines: processors fetch pairs
	}, goroutines)
	var all sync.WaitGroup
	b.ResetTimer()
	for g := range goroutines {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(3, uint64(g)))
			visit := func(Item) {}
			fresh, values := make([]byte, 20), bytes.Repeat([]byte("v"), 100)
			v := &visits[g]
			for i := g; i < b.N; i += goroutines {
				key := fresh
				if c.work == "evict" {
					binary.LittleEndian.PutUint64(key, c.next+uint64(i))
				} else {
					key = c.names[c.draws[dice.Uint32()>>16]]
				}
				h := c.st.Hash(key)
				s := c.st.shard(h)
				v.shards[h>>shardBit&uint64(len(c.st.shards)-1)]++
				if i/goroutines%8 == 0 {
					if s.mu.TryLock() {
						s.mu.Unlock()
					} else {
						v.held += 8
					}
				}
				n := 32
				switch c.work {
				case "get":
					c.st.View(h, key, visit)
					continue
				case "append":
					n += i & 8 // another length than before, often
				case "evict":
					n = 100
				}
				c.st.Put(h, Set, &Item{Key: key, Value: values[:n]})
			}
		})
	}
	all.Wait()
	b.StopTimer()
	c.next += uint64(b.N)
	held, hottest := 0, 0
	for s := range c.st.shards {
		n := 0
		for g := range visits {
			n += visits[g].shards[s]
		}
		hottest = max(hottest, n)
	}
	for g := range visits {
		held += visits[g].held
	}
	mops := float64(b.N) / 1e6
	b.ReportMetric(float64(held)/mops, "held/Mop")
	b.ReportMetric(float64(mutexWaits()-waits)/mops, "waits/Mop")
	b.ReportMetric(100*float64(hottest)/float64(b.N), "hottest-%")
}

// mutexWaits is how often a goroutine has slept for a lock.
func mutexWaits() (n int64) {
	records := make([]runtime.BlockProfileRecord, 1024)
	found, _ := runtime.MutexProfile(records)
	for _, r := range records[:min(found, len(records))] {
		n += r.Count
	}
	return n
}
