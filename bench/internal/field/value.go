package field

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// A Value is what a key has in one of its versions. Its bytes are made where they are sent and made
// once more where they are compared: nobody holds a gigabyte to know what it was.
//
//	| stamp 24 | of the block 4072 | stamp 24 | of the block 4072 | …
//	| key, hashed 8 | version 8 | page 8 |
//
// The stamps tell another key's value, an older version and a page in another's place. Where in the
// block a value begins depends on key and version, so a byte that is wrong between them shows, too.
type Value struct {
	Key     string
	Version uint32 // sent as the item's flags as well
	Size    int    // not below a stamp's
}

const (
	page  = 4096
	stamp = 24
)

// block holds all bytes there are, CR and LF among them.
var block = func() []byte {
	dice := rand.NewPCG(1, 0xf1e1d)
	b := make([]byte, 0, 1<<20)
	for len(b) < cap(b) {
		b = binary.LittleEndian.AppendUint64(b, dice.Uint64())
	}
	return b
}()

func hashed(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // it never fails
	return h.Sum64()
}

// Put writes the bytes from offset on to dst, which must not reach beyond the value's end.
func (v Value) Put(dst []byte, offset int) {
	key := hashed(v.Key)
	start := int((key ^ uint64(v.Version)*0x9e3779b97f4a7c15) >> 1 % uint64(len(block)))
	for n := 0; n < len(dst); {
		n += copy(dst[n:], block[(start+offset+n)%len(block):])
	}
	var text [stamp]byte
	for p := offset / page; p*page < offset+len(dst); p++ {
		binary.LittleEndian.PutUint64(text[0:], key)
		binary.LittleEndian.PutUint64(text[8:], uint64(v.Version))
		binary.LittleEndian.PutUint64(text[16:], uint64(p))
		if at := p*page - offset; at >= 0 {
			copy(dst[at:], text[:])
		} else if -at < stamp {
			copy(dst, text[-at:])
		}
	}
}

// differs tells where, and what the first whole stamp behind that place says of the bytes there.
func (v Value) differs(have, want []byte, offset int) string {
	first := 0
	for have[first] == want[first] {
		first++
	}
	text := fmt.Sprintf("%s, version %d: the byte at %d of %d",
		v.Key, v.Version, offset+first, v.Size)
	for at := first; at+stamp <= len(have); at++ {
		if binary.LittleEndian.Uint64(have[at:]) == hashed(v.Key) {
			version, p := versionOf(have[at:]), binary.LittleEndian.Uint64(have[at+16:])
			return text + fmt.Sprintf("; at %d page %d of version %d", offset+at, p, version)
		}
	}
	return text + fmt.Sprintf("; there is %.24q", have[first:])
}

// versionOf reads a stamp.
func versionOf(text []byte) uint32 { return binary.LittleEndian.Uint32(text[8:]) }
