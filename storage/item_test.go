package storage

import (
	"encoding/hex"
	"strings"
	"testing"
	"unsafe"
)

// Records as they lie in memory, against the pictures in item.go.
func TestRecordBytes(t *testing.T) {
	const created = 1000
	for _, tt := range []struct {
		name  string
		f     fields
		key   string
		value string
		want  string // hex: header | key | value
	}{
		{"the common item has four bytes of header", fields{}, "ab", "xyz", "00 00 02 03 | 6162 | 78797a"},
		{"an empty value", fields{}, "a", "", "00 00 01 00 | 61 |"},
		{"the longest length of one byte", fields{}, "a", strings.Repeat("v", 127), "00 00 01 7f | 61 | " + strings.Repeat("76", 127)},
		{"lengths of two bytes", fields{}, "a", strings.Repeat("v", 128), "00 00 01 8080 | 61 | " + strings.Repeat("76", 128)},
		{"the longest of two", fields{}, "a", strings.Repeat("v", 16383), "00 00 01 bfff | 61 | " + strings.Repeat("76", 16383)},
		{"lengths of four bytes", fields{}, "a", strings.Repeat("v", 16384), "00 00 01 c0004000 | 61 | " + strings.Repeat("76", 16384)},
		{"flags of one byte", fields{flags: 5}, "a", "v", "80 00 01 01 01 05 | 61 | 76"},
		{"of two", fields{flags: 0x102}, "a", "v", "80 00 01 01 02 0201 | 61 | 76"},
		{"of four", fields{flags: 0x01020304}, "a", "v", "80 00 01 01 03 04030201 | 61 | 76"},
		{"a deadline soon", fields{deadline: created + 258}, "a", "v", "80 00 01 01 04 0201 | 61 | 76"},
		{"a deadline late", fields{deadline: created + 65536}, "a", "v", "80 00 01 01 08 e8030100 | 61 | 76"},
		{"a deadline before the segment", fields{deadline: 1}, "a", "v", "80 00 01 01 08 01000000 | 61 | 76"},
		{"a unique", fields{unique: 0x0102030405060708}, "a", "v", "80 00 01 01 10 0807060504030201 | 61 | 76"},
		{"packed", fields{packed: true}, "a", "\x01\xef", "80 00 01 02 80 | 61 | 01ef"},
		{"more elsewhere", fields{split: true, total: 9, next: 7, chain: 3}, "a", "v", "80 00 01 01 20 09000000 07000000 03000000 | 61 | 76"},
		{"all of it", fields{ctrl: 3 | ctrlFetched, flags: 5, deadline: created + 1, unique: 1, split: true, total: 9, next: 7, chain: 3},
			"a", "v", "8b 00 01 01 35 05 0100 0100000000000000 09000000 07000000 03000000 | 61 | 76"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.f
			f.klen, f.vlen = len(tt.key), len(tt.value)
			l := f.layout(created)
			b := make([]byte, int(l.koff)+f.klen+f.vlen+8)
			p := unsafe.Pointer(&b[0])
			f.encode(p, l, 0, created)
			copy(b[l.koff:], tt.key+tt.value)
			want, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(tt.want))
			if err != nil {
				t.Fatal(err)
			}
			got := b[:len(b)-8]
			if string(got) != string(want) {
				t.Fatalf("bytes\n%x, want\n%x", got[:min(40, len(got))], want[:min(40, len(want))])
			}
			var r record
			r.read(p)
			back := r.fields(created)
			if back != f || string(r.key()) != tt.key || string(r.value()) != tt.value || int(r.size) != len(want) {
				t.Errorf("read back %+v %q, want %+v", back, r.key(), f)
			}
		})
	}
}

func TestPieceBytes(t *testing.T) {
	for _, tt := range []struct{ n, header int }{{1, 16}, {127, 16}, {128, 17}, {16383, 17}, {16384, 19}} {
		f := fields{vlen: tt.n}
		l := pieceLayout(tt.n)
		b := make([]byte, tt.header+tt.n+8)
		f.encode(unsafe.Pointer(&b[0]), l, 0, 0)
		var r record
		r.read(unsafe.Pointer(&b[0]))
		*r.next(), *r.prev(), *r.chain() = 0x01020304, 0x05060708, 0x090a0b0c
		if int(l.koff) != tt.header || !r.piece() || int(r.size) != tt.header+tt.n || len(r.value()) != tt.n {
			t.Errorf("%d bytes: header %d, record %+v", tt.n, l.koff, r)
		}
		if got := hex.EncodeToString(b[tt.header-12 : tt.header]); got != "04030201080706050c0b0a09" {
			t.Errorf("%d bytes: links %s", tt.n, got)
		}
	}
}

func TestLayoutOfTheTables(t *testing.T) {
	if n := unsafe.Sizeof(bucket{}); n != bucketSize {
		t.Errorf("a bucket has %d bytes", n)
	}
	var b bucket
	for _, tt := range []struct {
		name string
		got  uintptr
		want uintptr
	}{{"over", unsafe.Offsetof(b.over), 12}, {"ghost", unsafe.Offsetof(b.ghost), 14}, {"loc", unsafe.Offsetof(b.loc), 16}} {
		if tt.got != tt.want {
			t.Errorf("bucket.%s is at %d, the picture says %d", tt.name, tt.got, tt.want)
		}
	}
	if n := unsafe.Sizeof(segment{}); n != 40 {
		t.Errorf("a segment's description has %d bytes; doc.go says 40", n)
	}
}

func TestAccessCode(t *testing.T) {
	last := -1
	for s := uint32(0); s < 1<<20; s++ {
		code := accessCode(s)
		if int(code) < last {
			t.Fatalf("%d seconds: code %d after %d", s, code, last)
		}
		last = int(code)
		got := accessSeconds(code)
		if s < 32 && got != s {
			t.Fatalf("%d seconds come back as %d", s, got)
		}
		if code < 255 && (got > s || s-got > s/16 || s > accessEnd(code)) {
			t.Fatalf("%d seconds come back as %d..%d", s, got, accessEnd(code))
		}
	}
}

func TestTouchedFieldsHoldTheDeadline(t *testing.T) {
	for _, created := range []expiryInstant{2, 1000} {
		for _, old := range []expiryInstant{0, 1, created, created + 5, created + 65535, created + 65536} {
			for _, now := range []expiryInstant{0, 1, created, created + 7, created + 65535, created + 65536, 1<<32 - 1} {
				f := fields{klen: 1, vlen: 1, flags: 300, deadline: old, unique: 77}
				l := f.layout(created)
				b := make([]byte, 64)
				f.encode(unsafe.Pointer(&b[0]), l, 0, created)
				var r record
				r.read(unsafe.Pointer(&b[0]))
				if r.holds(now, created) {
					r.setDeadline(now, created)
				} else {
					now = old
				}
				f.deadline = now
				if got := r.fields(created); got != f {
					t.Fatalf("created %d, deadline %d to %d: %+v", created, old, now, got)
				}
			}
		}
	}
}
