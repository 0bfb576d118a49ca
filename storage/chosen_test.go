package storage

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// Keys that somebody has made so that their XXH64 agree are stored as any others are: in a store
// that has room none is lost, neither of them nor of what was there before. With a file they are
// all in one shard, of which they take half, and the next store finds them there.
func TestChosenKeysHarmNobody(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		key  func(i int) []byte
	}{
		{"of one hash", 100_000, twin},
		{"of few hashes, whatever the seed", 4096, cousin},
	} {
		for _, file := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, file %t", tt.name, file), func(t *testing.T) {
				opts := Options{MemoryLimit: 64 << 20}
				if file {
					opts.File = filepath.Join(t.TempDir(), "items")
				}
				st, _ := openAt(t, opts, someDay)
				for i := range 1000 {
					put(st, Set, fmt.Sprint("bystander", i), "v", 0)
				}
				for i := range tt.n {
					if got := put(st, Set, string(tt.key(i)), "v", 0); got != Stored {
						t.Fatalf("set %d: %d", i, got)
					}
				}
				check := func(when string) {
					t.Helper()
					left, bystanders := 0, 0
					for i := range tt.n {
						if _, ok := get(st, string(tt.key(i))); ok {
							left++
						}
					}
					for i := range 1000 {
						if _, ok := get(st, fmt.Sprint("bystander", i)); ok {
							bystanders++
						}
					}
					if left != tt.n || bystanders != 1000 {
						t.Errorf("%s: %d of %d are left, and of 1000 bystanders %d", when, left, tt.n, bystanders)
					}
				}
				check("stored")
				if n := st.Stats().Evictions; n > 0 {
					t.Errorf("%d evicted", n)
				}
				closeStore(t, st)
				if file {
					st, _ = openAt(t, opts, someDay)
					check("after a restart")
					closeStore(t, st)
				}
			})
		}
	}
}

// What the test above stores is what its names say.
func TestChosenKeysAgree(t *testing.T) {
	for i := range 1000 {
		if h := xxhash.Sum64(twin(i)); h != xxhash.Sum64(twin(0)) {
			t.Fatalf("twin %d has hash %x", i, h)
		}
	}
	for seed := range uint64(8) {
		hashes, keys := map[uint64]bool{}, map[string]bool{}
		for i := range 4096 {
			h := xxhash.NewWithSeed(seed * 0x9e3779b97f4a7c15)
			_, _ = h.Write(cousin(i))
			hashes[h.Sum64()], keys[string(cousin(i))] = true, true
		}
		if len(keys) != 4096 || len(hashes) > 256 {
			t.Errorf("seed %d: %d keys have %d hashes", seed, len(keys), len(hashes))
		}
	}
}

// The arithmetic of XXH64: multiplication by odd numbers, which can be undone, and rotation.
var (
	prime1, prime2 uint64 = 11400714785074694791, 14029467366897019727
	undo1, undo2          = inverse(prime1), inverse(prime2)
)

// inverse is 1/p modulo 2^64.
func inverse(p uint64) uint64 {
	x := p
	for range 6 {
		x *= 2 - p*x
	}
	return x
}

// mix is XXH64's step for 8 bytes of key, and unmix finds the bytes that lead from one state to
// another.
func mix(state, word uint64) uint64 { return bits.RotateLeft64(state+word*prime2, 31) * prime1 }

func unmix(from, to uint64) (word uint64) {
	return (bits.RotateLeft64(to*undo1, -31) - from) * undo2
}

// twin makes keys of one XXH64. A key of 64 bytes is hashed in four lanes of two words each; the
// second word can be chosen so that a lane ends in the same state whatever the first was.
func twin(i int) []byte {
	key := make([]byte, 64)
	start := prime1 + prime2 // the first lane's
	target := mix(mix(start, 0), 0)
	binary.LittleEndian.PutUint64(key, uint64(i))
	binary.LittleEndian.PutUint64(key[32:], unmix(mix(start, uint64(i)), target))
	return key
}

// cousin makes 4,096 keys without knowing the seed. A key of 248 bytes is hashed in four lanes of
// seven words each, and three words at the end. Each bit of i chooses between two ways to write a
// pair of words of which the second undoes what the first has done: at the end always, in the lanes
// with about every second seed. So some 2^5 hashes are left.
func cousin(i int) []byte {
	key := make([]byte, 248)
	bit := func(n int) uint64 { return uint64(i>>n) & 1 }
	put := func(word int, w uint64) { binary.LittleEndian.PutUint64(key[8*word:], w) }
	for n := range 10 {
		lane, pair := n%4, n/4
		// Bit 63 becomes bit 30 by rotation: 2^30 × prime1 are added to the lane's state, or taken
		// away. The second word expects the former.
		put(8*pair+lane, bit(n)<<63)
		put(8*pair+4+lane, -bit(n)<<30*prime1*undo2)
	}
	// Bit 36 of the state becomes bit 63 by rotation, and a product with an odd number leaves that
	// alone: the next word flips it back.
	put(28, unmix(0, bit(10)<<36))
	put(29, unmix(0, bit(10)<<63^bit(11)<<36))
	put(30, unmix(0, bit(11)<<63))
	return key
}

// Keys chosen for one shard by its XXH64 spread over all, where no file wants them to stay: half a
// limit of them has nobody evicted.
func TestKeysChosenForOneShard(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 16 << 20, Shards: 4})
	for i := range 1000 {
		put(st, Set, fmt.Sprint("bystander", i), "v", 0)
	}
	value := string(make([]byte, 1000))
	for i, n := 0, 0; n < 8000; i++ {
		key := fmt.Sprint("chosen", i)
		if xxhash.Sum64String(key)>>12&3 != 0 {
			continue
		}
		if got := put(st, Set, key, value, 0); got != Stored {
			t.Fatalf("set %d: %d", n, got)
		}
		n++
	}
	if s := st.Stats(); s.CurrItems != 9000 || s.Evictions > 0 {
		t.Errorf("%d items of 9000, %d evicted", s.CurrItems, s.Evictions)
	}
}
