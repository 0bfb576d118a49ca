package storage

import (
	"bytes"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// What is done to long values: it should cost what it changes. B/op is what goes over the Go heap.
func BenchmarkJoin(b *testing.B) {
	for _, bm := range []struct {
		name  string
		value []byte
		most  int // from that length on it begins anew
		do    func(st *Store, key []byte, h uint64) Status
	}{
		{"append 1 to 900k", pattern(900_000, 1), 1_000_000, func(st *Store, key []byte, h uint64) Status {
			return st.Put(h, Append, &Item{Key: key, Value: []byte("x")})
		}},
		{"gets, append 1 to 900k", pattern(900_000, 1), 1_000_000, func(st *Store, key []byte, h uint64) Status {
			st.ViewUnique(h, key, func(Item) {})
			return st.Put(h, Append, &Item{Key: key, Value: []byte("x")})
		}},
		{"prepend 1 to 300k", pattern(300_000, 1), 1_000_000, func(st *Store, key []byte, h uint64) Status {
			return st.Put(h, Prepend, &Item{Key: key, Value: []byte("x")})
		}},
		{"incr of 400k", append([]byte("1"), bytes.Repeat([]byte(" "), 400_000)...), 1_000_000, func(st *Store, key []byte, h uint64) Status {
			_, status := st.Incr(h, key, 1)
			return status
		}},
		{"gets, incr of 400k", append([]byte("1"), bytes.Repeat([]byte(" "), 400_000)...), 1_000_000, func(st *Store, key []byte, h uint64) Status {
			st.ViewUnique(h, key, func(Item) {})
			_, status := st.Incr(h, key, 1)
			return status
		}},
		{"received 100k appended to 300k", pattern(300_000, 1), 900_000, func(st *Store, key []byte, h uint64) Status {
			return commit(st, key, Append, joinedPart)
		}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			st, err := Open(Options{MemoryLimit: 64 << 20}, expiry.NewClock(someDay))
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			key := []byte("k")
			h := st.Hash(key)
			n := bm.most
			b.ReportAllocs()
			for b.Loop() {
				if n >= bm.most {
					b.StopTimer()
					if status := commit(st, key, Set, bm.value); status != Stored {
						b.Fatal(status)
					}
					b.StartTimer()
				}
				if status := bm.do(st, key, h); status != Stored {
					b.Fatal(status)
				}
				n = st.Peek(h, key).Len
			}
		})
	}
}

var joinedPart = pattern(100_000, 2)
