package storage

import (
	"encoding/binary"
	"fmt"
	"math/bits"
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

// Keys whose hashes are all the same: an attacker's, for the hash is public. What the two buckets and the stash do not
// take is evicted, and the rest of the store does not notice.
func TestKeysOfOneHash(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	for i := range 1000 {
		put(st, Set, fmt.Sprint("bystander", i), "v", 0)
	}
	hash := Hash(twin(0))
	for i := range 500 {
		key := twin(i)
		if Hash(key) != hash {
			t.Fatalf("twin %d has a hash of its own", i)
		}
		if got := st.Put(hash, Set, &Item{Key: key, Value: key}); got != Stored {
			t.Fatalf("set %d: %d", i, got)
		}
		if !st.View(hash, key, func(it Item) {
			if string(it.Value) != string(key) {
				t.Fatalf("%s holds %q", key, it.Value)
			}
		}) {
			t.Fatalf("%s is gone at once", key)
		}
	}
	lost := 0 // in the twins' own two buckets somebody may be in the way
	for i := range 1000 {
		if _, ok := get(st, fmt.Sprint("bystander", i)); !ok {
			lost++
		}
	}
	left := 0
	for i := range 500 {
		if st.View(hash, twin(i), func(Item) {}) {
			left++
		}
	}
	if s := st.Stats(); lost > 2*slots || left+lost < 2*slots || left > 2*slots+stashMax || s.Evictions != uint64(500-left+lost) {
		t.Errorf("%d of one hash are left, %d of the others lost, %d evicted", left, lost, s.Evictions)
	}
	// The index grows several times: then the twins have to find a place again, and some do not.
	for i := range 5000 {
		put(st, Set, fmt.Sprint("more", i), "v", 0)
	}
	if s := st.Stats(); s.CurrItems+s.Evictions != 6500 {
		t.Errorf("%d items and %d evicted of 6500", s.CurrItems, s.Evictions)
	}
}

// twin makes keys of one xxhash. A key of 64 bytes is hashed in four lanes of two words each; the second word can be
// chosen so that a lane ends in the same state whatever the first was:
//
//	state = rotl(state + word·p2, 31) · p1, twice
func twin(i int) []byte {
	const p1, p2 uint64 = 11400714785074694791, 14029467366897019727
	round := func(state, word uint64) uint64 { return bits.RotateLeft64(state+word*p2, 31) * p1 }
	inverse := func(p uint64) uint64 { // of an odd number, modulo 2^64
		x := p
		for range 6 {
			x *= 2 - p*x
		}
		return x
	}
	start := p1 // not a constant expression: it overflows
	start += p2
	target := round(round(start, 0), 0)
	mid := round(start, uint64(i))
	second := (bits.RotateLeft64(target*inverse(p1), -31) - mid) * inverse(p2)
	key := make([]byte, 64)
	binary.LittleEndian.PutUint64(key, uint64(i))
	binary.LittleEndian.PutUint64(key[32:], second)
	return key
}
