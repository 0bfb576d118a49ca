package storage

import (
	"encoding/binary"
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// fullStore is filled beyond its limit with items of 20+value bytes.
func fullStore(b *testing.B, limit int64, value int) (*Store, []byte, []byte, uint64) {
	b.Helper()
	st, err := Open(Options{MemoryLimit: limit}, expiry.NewClock(1_700_000_000))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	key, v := make([]byte, 20), make([]byte, value)
	n := uint64(limit) * 3 / 2 / uint64(44+value)
	for i := range n {
		binary.LittleEndian.PutUint64(key, i)
		st.Put(Hash(key), Set, &Item{Key: key, Value: v})
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
			st, key, value, n := fullStore(b, size.limit, size.value)
			for i := range b.N {
				binary.LittleEndian.PutUint64(key, n+uint64(i))
				if st.Put(Hash(key), Set, &Item{Key: key, Value: value}) != Stored {
					b.Fatal("not stored")
				}
			}
		})
	}
}
