package storage

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// A file that an earlier program wrote is read by every later one. testdata/format1.gz is what a store of format 1 left, of a
// 64-bit little-endian machine, and so on; when fileFormat changes they stay, and another comes beside them: go test -run Format -args -write-format
var writeFormat = flag.Bool("write-format", false, "make the example of the present file format anew")

var formatOptions = Options{MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096, PackHex: true}

// formatItems are what such a file has; instants as they were then.
var formatItems = []struct {
	key      string
	value    string
	flags    uint32
	deadline uint32
	unique   uint64 // 0: it was never shown; before format 3, records had no checksums and lay closer
	since    uint32 // the first format that can have it
}{
	{"plain", "value", 0, 0, 0, 1},
	{"empty", "", 0, 0, 0, 1},
	{"flags", "value with flags", 1 << 30, 0, 0, 1},
	{"soon", "ends within the hour", 7, 3600, 0, 1},
	{"late", "ends in a year", 0, 365 * 86400, 0, 1},
	{"number", "42", 0, 0, 0, 1},
	{"in place", strings.Repeat("b", 100), 0, 0, 0, 1},
	{"joined", "left right", 0, 0, 0, 1},
	{"medium", strings.Repeat("0123456789", 100), 0, 0, 0, 1},
	{"split", strings.Repeat("0123456789abcdef", 1000), 3, 0, 0, 1},
	{"shown", "and nobody may forget", 0, 0, 7<<uniqueBits + 0x430, 1},
	{"packed", "0123456789abcdef00112233445566778899aabbccddeeff", 0, 3600, 0, 2},
}

func formatFile(format int) string {
	return filepath.Join("testdata", fmt.Sprintf("format%d.gz", format))
}

func TestFormatsAreRead(t *testing.T) {
	opts := formatOptions
	opts.File = filepath.Join(t.TempDir(), "items")
	if *writeFormat {
		writeFormatFile(t, opts, formatFile(fileFormat))
	}
	for format := 1; format <= fileFormat; format++ {
		t.Run(strconv.Itoa(format), func(t *testing.T) { readFormatFile(t, uint32(format), opts) })
	}
}

func readFormatFile(t *testing.T, format uint32, opts Options) {
	f, err := os.Open(formatFile(int(format)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	head := (*fileHead)(unsafe.Pointer(&b[0])) // as if this machine had been running then
	if head.format != format {
		t.Fatalf("it is of format %d", head.format)
	}
	head.shape.boot = bootID()
	head.checksum = head.shape.sum()
	writeSparse(t, opts.File, b)

	st, _ := openAt(t, opts, someDay)
	defer closeStore(t, st)
	items := uint64(0)
	for _, want := range formatItems {
		if want.since > format {
			continue
		}
		items++
		key := []byte(want.key)
		unique := want.unique
		if unique != 0 && format < 3 {
			unique = 7<<uniqueBits + 0x3f4
		}
		hit := st.View(st.Hash(key), key, func(it Item) {
			if got := it.AppendTo(nil); string(got) != want.value || it.Flags != want.flags || uint32(it.Deadline) != want.deadline ||
				unique != 0 && it.Unique != unique {
				t.Errorf("%s: %.50q, flags %d, deadline %d, unique %#x", key, got, it.Flags, it.Deadline, it.Unique)
			}
		})
		if !hit {
			t.Errorf("%s is not there", key)
		}
	}
	if w := st.Warnings(); len(w) > 0 || st.Restored().Items != items {
		t.Errorf("%+v, %q", st.Restored(), w)
	}
	if now := st.file.head.format; now != fileFormat {
		t.Errorf("what is written from now on is marked as format %d", now)
	}
}

func writeFormatFile(t *testing.T, opts Options, name string) {
	st, _ := openAt(t, opts, someDay)
	put(st, Set, "deleted", "value", 0)
	put(st, Set, "flushed", "value", 0)
	st.FlushAll(0)
	for _, it := range formatItems {
		key := []byte(it.key)
		item := Item{Key: key, Value: []byte(it.value), Flags: it.flags, Deadline: expiryInstant(it.deadline)}
		switch it.key {
		case "in place":
			put(st, Set, it.key, strings.Repeat("a", len(it.value)), 0)
		case "joined":
			put(st, Set, it.key, "left", 0)
			item.Value = []byte(" right")
			st.Put(st.Hash(key), Append, &item)
			continue
		}
		st.Put(st.Hash(key), Set, &item)
		if it.unique != 0 {
			t.Logf("%s: unique %#x", key, unique(t, st, it.key))
		}
	}
	put(st, Set, "deleted", "value", 0)
	st.Delete(st.Hash([]byte("deleted")), []byte("deleted"))
	closeStore(t, st)
	b, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	(*fileHead)(unsafe.Pointer(&b[0])).shape.boot = [16]byte{}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = z.Write(b)
	_ = z.Close()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
