package storage

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/gomemd/gomemd/expiry"
)

// Whatever is packed comes back as it was, and what is packed is what can be: hexadecimal digits as encoding/hex writes them.
func TestPackedComesBack(t *testing.T) {
	check := func(t *rapid.T, value []byte) {
		var buf [packMax / 2]byte
		packed, ok := pack(&buf, value)
		raw, err := hex.DecodeString(string(value))
		can := err == nil && hex.EncodeToString(raw) == string(value) && len(value)%8 == 0 && len(value) >= 24 && len(value) <= 256
		if ok != can {
			t.Fatalf("%q: packed %v, can be %v", value, ok, can)
		}
		if ok && (string(packed) != string(raw) || string(unpack(nil, packed)) != string(value)) {
			t.Fatalf("%q: %x comes back as %q", value, packed, unpack(nil, packed))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		value := hexGen(300).Draw(t, "value")
		check(t, value)
		if len(value) > 0 { // any other byte anywhere
			value[rapid.IntRange(0, len(value)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			check(t, value)
		}
	})
}

// One byte that is no digit, of any kind and at any place, and the value stays as it is.
func TestEveryOtherByteIsLeftAlone(t *testing.T) {
	value := []byte("00112233445566778899aabbccddeeff")
	var buf [packMax / 2]byte
	for at := range value {
		was := value[at]
		for c := range 256 {
			value[at] = byte(c)
			digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
			if packed, ok := pack(&buf, value); ok != digit || ok && string(unpack(nil, packed)) != string(value) {
				t.Fatalf("%q: packed %v", value, ok)
			}
		}
		value[at] = was
	}
}

func TestPackedItemsAreLikeOthers(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096, PackHex: true})
	hash := strings.Repeat("0123456789abcdef", 4)
	put(st, Set, "hash", hash, 0)
	if n := st.Stats().Bytes; n > uint64(headerMax+len("hash")+len(hash)/2) {
		t.Fatalf("it takes %d bytes", n)
	}
	key := []byte("hash")
	var p Pinned
	st.View(st.Hash(key), key, func(it Item) { it.Pin(&p) })
	if got := bytes.Join(p.Pieces, nil); string(got) != hash || p.Bytes != len(hash) {
		t.Errorf("pinned %q, %d bytes", got, p.Bytes)
	}
	p.Release()

	key = []byte("number")
	put(st, Set, "number", strings.Repeat("0", 22)+"41", 0)
	if n, status := st.Incr(st.Hash(key), key, 1); n != 42 || status != Stored {
		t.Errorf("%d, %d", n, status)
	}
	if got, _ := get(st, "number"); got != "42"+strings.Repeat(" ", 22) {
		t.Errorf("the number is %q", got)
	}
}

// What a damaged file says is packed must be what unpack can take.
func TestPackedRecordsOfAFile(t *testing.T) {
	for _, tt := range []struct {
		f    fields
		sane bool
	}{
		{fields{packed: true, klen: 1, vlen: packMin / 2}, true},
		{fields{packed: true, klen: 1, vlen: packMax / 2}, true},
		{fields{packed: true, klen: 1, vlen: packMax/2 + packStep/2}, false},
		{fields{packed: true, klen: 1, vlen: packMin/2 + 1}, false},
		{fields{packed: true, split: true, total: 100, klen: 1, vlen: packMin / 2}, false},
	} {
		b := make([]byte, 1000)
		tt.f.encode(unsafe.Pointer(&b[0]), tt.f.layout(0), 0, 0)
		var r record
		r.read(unsafe.Pointer(&b[0]))
		if r.sane() != tt.sane {
			t.Errorf("%+v: sane %v", tt.f, r.sane())
		}
	}
}

func hexGen(maxLen int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.OneOf(rapid.IntRange(0, maxLen), rapid.SampledFrom([]int{16, 24, 32, 40, 64, 128, 256, 264})).Draw(t, "length")
		return rapid.SliceOfN(rapid.SampledFrom([]byte("0123456789abcdef")), n, n).Draw(t, "digits")
	})
}

// What packing costs those whose values are digits, and all others.
func BenchmarkPackHex(b *testing.B) {
	for _, pack := range []bool{false, true} {
		for _, value := range []string{"0123456789abcdef0123456789abcdef", "what anybody writes, 32 bytes of"} {
			st, err := Open(Options{MemoryLimit: 64 << 20, PackHex: pack}, expiry.NewClock(1_700_000_000))
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			it := Item{Key: []byte("0123456789abcdef.0123456"), Value: []byte(value)}
			hash := st.Hash(it.Key)
			name := fmt.Sprintf("pack=%t/%.4s", pack, value)
			b.Run(name+"/set", func(b *testing.B) {
				for b.Loop() {
					st.Put(hash, Set, &it)
				}
			})
			out := make([]byte, 0, 64)
			copied := func(it Item) { out = append(out[:0], it.Value...) }
			b.Run(name+"/get", func(b *testing.B) {
				for b.Loop() {
					st.View(hash, it.Key, copied)
				}
			})
		}
	}
}
