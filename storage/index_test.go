package storage

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func TestMatchFindsEveryTag(t *testing.T) {
	for tag := range 256 {
		var b bucket
		for i := range slots {
			b.tag[i] = uint8(tag + i)
		}
		b.over, b.ghost = [2]uint8{uint8(tag), uint8(tag)}, uint16(tag)
		want := uint32(0)
		for i := range slots {
			if b.tag[i] == uint8(tag) {
				want |= 1 << i
			}
		}
		if got := b.match(uint8(tag)); got != want {
			t.Fatalf("tag %d: %012b, want %012b", tag, got, want)
		}
	}
}

// Keys that have the same two buckets, as nobody can choose them who does not know the secret. What the buckets and the
// stash do not take is evicted, and the rest of the store does not notice.
func TestKeysOfTwoBuckets(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	for i := range 1000 {
		put(st, Set, fmt.Sprint("bystander", i), "v", 0)
	}
	keys := crowd(st, 500, 0, 127)
	for i, key := range keys {
		if got := st.Put(st.Hash(key), Set, &Item{Key: key, Value: key}); got != Stored {
			t.Fatalf("set %d: %d", i, got)
		}
		if !st.View(st.Hash(key), key, func(it Item) {
			if string(it.Value) != string(key) {
				t.Fatalf("%x holds %x", key, it.Value)
			}
		}) {
			t.Fatalf("%x is gone at once", key)
		}
	}
	if n := st.shards[0].index.n; n > 128 {
		t.Fatalf("the index has %d buckets: their keys have more than two", n)
	}
	lost := 0 // in those two buckets somebody may be in the way
	for i := range 1000 {
		if _, ok := get(st, fmt.Sprint("bystander", i)); !ok {
			lost++
		}
	}
	left := 0
	for _, key := range keys {
		if st.View(st.Hash(key), key, func(Item) {}) {
			left++
		}
	}
	if s := st.Stats(); lost > 2*slots || left+lost < 2*slots || left > 2*slots+stashMax || s.Evictions != uint64(500-left+lost) {
		t.Errorf("%d of two buckets are left, %d of the others lost, %d evicted", left, lost, s.Evictions)
	}
	// The index grows several times: then they have to find a place again.
	for i := range 5000 {
		put(st, Set, fmt.Sprint("more", i), "v", 0)
	}
	if s := st.Stats(); s.CurrItems+s.Evictions != 6500 {
		t.Errorf("%d items and %d evicted of 6500", s.CurrItems, s.Evictions)
	}
}

// crowd makes n keys whose two places in the index are in the a-th and in the b-th of 128 equal parts of it.
func crowd(st *Store, n int, a, b uint64) (keys [][]byte) {
	for i := uint64(0); len(keys) < n; i++ {
		key := binary.LittleEndian.AppendUint64(nil, i)
		h := st.Hash(key)
		if p, q := h>>57, rehash(h)>>57; p == a && q == b || p == b && q == a {
			keys = append(keys, key)
		}
	}
	return keys
}
