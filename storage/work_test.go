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
	c := newChurn(st, clock, churn{keys: 750_000, hot: 100_000, shift: 300_000, tick: 25_000})
	var mostRecords, mostBytes, mostBuckets uint64
	calls := 3_000_000
	if invariants.Enabled { // with one goroutine there is no race to see, and each step is dear
		calls = 400_000
	}
	for i := range calls {
		c.prepare(i)
		moves, kept, line, next := s.moves, s.kept, s.index.line, s.index.next
		if status := c.call(i); status != Stored {
			t.Fatal(status)
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

// A churn is a load under which nothing stays as it is: sizes shift to and fro, a quarter of the keys have values that end, and
// sets, gets and sweeps take turns.
type churn struct {
	keys, hot   uint64 // of all calls but one in four the key is a hot one, if there are any
	shift, tick int    // after how many calls sizes shift, and a second passes

	st    *Store
	clock *expiry.Clock
	draw  *rand.Rand
	value []byte
	item  Item
	hash  uint64
}

func newChurn(st *Store, clock *expiry.Clock, c churn) *churn {
	c.st, c.clock, c.draw = st, clock, rand.New(rand.NewPCG(1, 2))
	c.value, c.item.Key = make([]byte, 700), make([]byte, 20)
	return &c
}

// prepare draws what the i-th call is about.
func (c *churn) prepare(i int) {
	n := c.draw.Uint64N(c.keys)
	if c.hot > 0 && i%4 > 0 {
		n %= c.hot
	}
	binary.LittleEndian.PutUint64(c.item.Key, n)
	c.hash = c.st.Hash(c.item.Key)
	size := c.draw.Uint64N(64)
	if i/c.shift%2 == 1 {
		size *= 10
	}
	c.item.Value = c.value[:size]
	c.item.Deadline = expiry.Never
	if n%4 == 0 {
		c.item.Deadline = c.clock.Now() + expiry.Instant(n%40)
	}
	if i%c.tick == 0 {
		c.clock.Set(c.clock.Now() + 1)
	}
}

func (c *churn) sweeps(i int) bool { return i%64 == 0 }

// call does it, and says what the store said of a set.
func (c *churn) call(i int) Status {
	switch {
	case c.sweeps(i):
		c.st.Sweep()
	case i%3 == 0:
		c.st.View(c.hash, c.item.Key, func(Item) {})
	default:
		return c.st.Put(c.hash, Set, &c.item)
	}
	return Stored
}
