package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
)

// fullStore is filled beyond its limit with items of 20+value bytes.
func fullStore(b *testing.B, limit int64, value int, large bool) (*Store, []byte, []byte, uint64) {
	b.Helper()
	st, err := Open(Options{MemoryLimit: limit, LargePages: large}, expiry.NewClock(1_700_000_000))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	key, v := make([]byte, 20), make([]byte, value)
	n := uint64(limit) * 3 / 2 / uint64(44+value)
	for i := range n {
		binary.LittleEndian.PutUint64(key, i)
		st.Put(st.Hash(key), Set, &Item{Key: key, Value: v})
		if i%100_000 == 0 {
			for st.Sweep() {
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return st, key, v, n
}

func BenchmarkSetWithEviction(b *testing.B) {
	for _, size := range []struct {
		name  string
		limit int64
		value int
	}{{"64MiB/8", 64 << 20, 8}, {"512MiB/100", 512 << 20, 100}} {
		b.Run(size.name, func(b *testing.B) {
			st, key, value, n := fullStore(b, size.limit, size.value, false)
			for i := range b.N {
				binary.LittleEndian.PutUint64(key, n+uint64(i))
				if st.Put(st.Hash(key), Set, &Item{Key: key, Value: value}) != Stored {
					b.Fatal("not stored")
				}
			}
		})
	}
}

// What the hash of a key costs, by its length. With a file there are two to make.
func BenchmarkHash(b *testing.B) {
	for _, file := range []string{"", filepath.Join(b.TempDir(), "items")} {
		st, err := Open(Options{MemoryLimit: 64 << 20, File: file}, expiry.NewClock(1_700_000_000))
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		for _, size := range []int{16, 36, 100, 250} {
			b.Run(fmt.Sprintf("file=%t/%d", file != "", size), func(b *testing.B) {
				b.ReportAllocs()
				keys := make([][]byte, 64)
				for i := range keys {
					keys[i] = fmt.Appendf(nil, "%0*d", size, i)
				}
				for i := range b.N {
					st.Hash(keys[i%len(keys)])
				}
			})
		}
	}
}

// Gets of a store far larger than any cache: what a pipeline of 16 pays for each, beside what a lone get pays.
func BenchmarkGetCold(b *testing.B) {
	for _, large := range []bool{false, true} {
		st, key, _, n := fullStore(b, 512<<20, 100, large)
		getCold(b, st, key, n, fmt.Sprintf("large=%v/", large))
	}
}

func getCold(b *testing.B, st *Store, key []byte, n uint64, name string) {
	visit := func(Item) {}
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprint(name, "batch", batch), func(b *testing.B) {
			b.ReportAllocs()
			draw := rand.New(rand.NewPCG(1, 2))
			keys := make([][20]byte, batch)
			hashes := make([]uint64, batch)
			hits := 0
			for i := 0; i < b.N; i += batch {
				for j := range keys {
					// The youngest two thirds are there.
					copy(keys[j][:], key)
					binary.LittleEndian.PutUint64(keys[j][:], n/2+draw.Uint64N(n/2))
					hashes[j] = st.Hash(keys[j][:])
				}
				if batch > 1 {
					st.Warm(hashes)
				}
				for j := range keys {
					if st.View(hashes[j], keys[j][:], visit) {
						hits++
					}
				}
			}
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
		})
	}
}

// A set of a key that is there, of the same size: in place.
func BenchmarkSetInPlace(b *testing.B) {
	st, key, value, n := fullStore(b, 64<<20, 100, false)
	for i := range b.N {
		binary.LittleEndian.PutUint64(key, n-1-uint64(i)%1000)
		st.Put(st.Hash(key), Set, &Item{Key: key, Value: value})
	}
}

// The slowest of many operations, on a store that grows its index, evicts, cleans and expires meanwhile, beside the same
// loop with nothing in it: what the machine itself adds.
func BenchmarkTail(b *testing.B) {
	for _, name := range []string{"control", "store", "sweep"} { // the time of Put and View, and that of Sweep
		b.Run(name, func(b *testing.B) {
			clock := expiry.NewClock(1_700_000_000)
			st, err := Open(Options{MemoryLimit: 64 << 20}, clock)
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			var took [1 << 20]uint32 // by steps of 16 ns, the last for all that is longer
			c := newChurn(st, clock, churn{keys: 3_000_000, shift: 1 << 20, tick: 100_000})
			longest := time.Duration(0)
			for i := range b.N {
				c.prepare(i)
				start := time.Now()
				if name != "control" {
					c.call(i)
				}
				d := time.Since(start)
				if c.sweeps(i) != (name == "sweep") {
					d = 0
				}
				longest = max(longest, d)
				took[min(d/16, time.Duration(len(took)-1))]++
			}
			rest := uint32(b.N / 10_000)
			for i := len(took) - 1; i >= 0; i-- {
				if rest < took[i] {
					b.ReportMetric(float64(i*16), "p99.99-ns")
					break
				}
				rest -= took[i]
			}
			b.ReportMetric(float64(longest), "max-ns")
		})
	}
}
