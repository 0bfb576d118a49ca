package storage

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/gomemd/gomemd/expiry"
)

// FuzzOperations searches the model test's lists of operations by coverage: go test -fuzz Operations ./storage
func FuzzOperations(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		checkModel(t, Options{MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096}, 500)
	}))
}

// FuzzRestart: whatever stands in a memory file, a store that opens it is sound and works, or the file is refused.
//
// The input is patches to a good file: a place (2 bytes, of the header and the shards' lines, of
// the segment tables or of the arenas, by the highest bits) and a byte. The input's first byte says
// what else happens: bit 0, the checksum of the header is put right again; bit 1, those of segments
// and records are; bit 2, the file is read by a store that it does not suit.
func FuzzRestart(f *testing.F) {
	opts := stoppedOptions(memoryDir(f), true)
	image := goodFile(f, opts)
	shape := (*fileHead)(unsafe.Pointer(&image[0])).shape
	f.Add([]byte{0, 0, 8, 2})                                   // another format
	f.Add([]byte{1, 0, 33, 0x7f})                               // another geometry
	f.Add([]byte{0, 0x40, 8, 0xff, 0x40, 49, 0xff})             // more used than there is
	f.Add([]byte{0, 0x80, 2, 0, 0x80, 3, 0xff, 0x81, 0, 0x20})  // a piece, a length, an ext
	f.Add([]byte{0, 0x10, 0, 200, 0x10, 12, 0xff, 0x10, 8, 77}) // an intent, a floor
	f.Add([]byte{2, 0x40, 8, 0xff, 0x40, 49, 0xff})
	f.Add([]byte{2, 0x80, 2, 0, 0x80, 3, 0xff, 0x81, 0, 0x20})
	f.Add([]byte{4, 0x80, 2, 0, 0x80, 3, 0xff, 0x81, 0, 0x20})
	f.Add([]byte{6, 0x80, 2, 0, 0x80, 3, 0xff, 0x81, 0, 0x20, 0x40, 8, 0xff})
	f.Add([]byte{7, 0x10, 0, 200, 0x10, 12, 0xff, 0x10, 8, 77})
	kept := opts.File + ".kept-1"
	f.Fuzz(func(t *testing.T, patches []byte) {
		if len(patches) == 0 {
			return
		}
		b := append([]byte(nil), image...)
		for at := patches[1:]; len(at) >= 3; at = at[3:] {
			place := int64(binary.BigEndian.Uint16(at))
			switch kind := place >> 14; kind {
			case 0:
				if place &= 0x1fff; place >= 0x1000 { // the lines
					place = fileLines + place&0xfff
				}
			case 1:
				place = shape.table(0) + place&0x3fff
			default:
				place = shape.arena(0) + (place&0x7fff)*5 // granules of 1 byte: every fifth, and what is beside it by more patches
			}
			b[place] ^= at[2]
		}
		head := (*fileHead)(unsafe.Pointer(&b[0]))
		if patches[0]&1 != 0 {
			head.checksum = head.shape.sum()
		}
		if patches[0]&2 != 0 {
			resumImage(b, &shape)
		}
		opts := opts
		if patches[0]&4 != 0 {
			opts.MemoryLimit = 4 << 20 // beyond its reach
		}
		_ = os.Remove(kept)
		writeSparse(t, opts.File, b)
		clock := expiry.NewClock(someDay)
		st, err := Open(opts, clock)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			get(st, "key"+strconv.Itoa(i%stoppedKeys))
			put(st, Set, "flood"+strconv.Itoa(i), string(make([]byte, i*7)), 0)
			if i%50 == 0 {
				clock.Set(clock.Now() + 7)
				st.Sweep()
			}
		}
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// resumImage puts right the checksums in a file of this shape.
func resumImage(b []byte, shape *fileShape) {
	for i := range int(shape.shards) {
		s := shard{arena: unsafe.Pointer(&b[shape.arena(i)]), granule: uint8(shape.granule), segSize: shape.segSize, sumSize: sumSize,
			segShift: uint8(trailing(shape.segSize)), segments: unsafe.Slice((*segment)(unsafe.Pointer(&b[shape.table(i)])), shape.segments)}
		for g := range s.segments {
			sg := &s.segments[g]
			if sg.used == 0 || sg.used > s.segSize {
				continue
			}
			sg.check = sg.sum()
			r := reader{s: &s}
			r.each(int32(g), func(rec *record, _ uint32, _ *segment) {
				if rec.piece() {
					return
				}
				*s.sumAt(rec) = s.sum(rec, sg.incarnation, nil)
				if !rec.split() {
					return
				}
				at := *rec.next()
				for range 100 {
					if uint64(at)<<s.granule >= uint64(len(s.segments)-1)<<s.segShift {
						return
					}
					var p record
					if p.read(s.at(at)); !p.piece() || p.size > s.segSize {
						return
					}
					*s.sumAt(&p) = s.sum(&p, s.segmentOf(at).incarnation, rec.key())
					at = *p.next()
				}
			})
		}
	}
}

// goodFile is what a store has left that was busy with everything.
func goodFile(f *testing.F, opts Options) []byte {
	clock := expiry.NewClock(someDay)
	st, err := Open(opts, clock)
	if err != nil {
		f.Fatal(err)
	}
	l, p := ledger{kind: &kinds[1], now: clock.Now()}, new(progress)
	for i := range uint64(20_000) {
		d := l.draw(1, i+1)
		d.do(st, clock, p)
		l.note(&d)
	}
	if err := st.Close(); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(opts.File)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// writeSparse makes a file of these bytes, with holes where they are 0.
func writeSparse(t testing.TB, path string, b []byte) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(int64(len(b))); err != nil {
		t.Fatal(err)
	}
	const block = 4096
	for off := 0; off < len(b); off += block {
		part := b[off:min(off+block, len(b))]
		if allZero(part) {
			continue
		}
		if _, err := file.WriteAt(part, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
