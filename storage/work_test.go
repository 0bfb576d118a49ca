package storage

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// Whoever calls the store waits for what it does under the lock, so no call may do much, whatever the store is busy with. It is
// counted, not timed: records that were moved, evicted or reclaimed, bytes that were copied, buckets that were swept. Sizes shift to
// and fro, items expire, the index changes its size, and hot items survive one scan after the other meanwhile.
func TestNoCallDoesMuch(t *testing.T) {
	const (
		records = paceStep + scanBatch // what a Put scans ahead of need, and itself
		bytes   = 64 << 10
		buckets = indexStep // a bucket may be empty, but counts as one
	)
	st, clock := newStore(t, Options{MemoryLimit: 16 << 20, Shards: 1})
	s := &st.shards[0]
	key, value := make([]byte, 20), make([]byte, 700)
	draw := rand.New(rand.NewPCG(1, 2))
	var mostRecords, mostBytes, mostBuckets uint64
	calls := 3_000_000
	if invariants.Enabled { // with one goroutine there is no race to see, and each step is dear
		calls = 400_000
	}
	for i := range calls {
		n := draw.Uint64N(750_000)
		if i%4 > 0 {
			n %= 100_000 // hot
		}
		binary.LittleEndian.PutUint64(key, n)
		size := int(draw.Uint64N(64))
		if i/300_000%2 == 1 {
			size *= 10
		}
		deadline := expiry.Never
		if n%4 == 0 {
			deadline = clock.Now() + expiry.Instant(n%40)
		}
		if i%25_000 == 0 {
			clock.Set(clock.Now() + 1)
		}
		h := Hash(key)
		moves, kept, line, next := s.moves, s.kept, s.index.line, s.index.next
		switch {
		case i%64 == 0:
			st.Sweep()
		case i%3 == 0:
			st.View(h, key, func(Item) {})
		default:
			if status := st.Put(h, Set, &Item{Key: key, Value: value[:size], Deadline: deadline}); status != Stored {
				t.Fatal(status)
			}
		}
		mostRecords = max(mostRecords, s.moves-moves)
		mostBytes = max(mostBytes, s.kept-kept)
		if next != 0 && s.index.next == next {
			mostBuckets = max(mostBuckets, max(line, s.index.line)-min(line, s.index.line))
		}
	}
	t.Logf("at most %d records, %d bytes moved, %d buckets swept", mostRecords, mostBytes, mostBuckets)
	if mostRecords > records || mostBytes > bytes || mostBuckets > buckets {
		t.Errorf("want at most %d records, %d bytes, %d buckets", records, bytes, buckets)
	}
}
