package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/gomemd/gomemd/expiry"
)

// damagedKey says what the item of a key is: whatever is served can be judged by its key alone.
func damagedKey(key string) (value string, flags uint32) {
	h := xxhash.Sum64String(key)
	n := int(h % 300)
	switch h >> 32 % 16 {
	case 0:
		n = int(h % 3000)
	case 1:
		n = int(h % 30_000)
	}
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s/%d;", key, i)
	}
	return b.String()[:n], [...]uint32{0, 0, 200, 1 << 20}[h>>40%4]
}

func damagedPut(st *Store, key string) Status {
	value, flags := damagedKey(key)
	h, drawn := st.Hash([]byte(key)), xxhash.Sum64String(key)
	it := Item{Key: []byte(key), Value: []byte(value), Flags: flags, Deadline: expiry.Instant(drawn >> 44 % 2 * 100_000)}
	if drawn>>45%3 > 0 || len(value) < 100 {
		return st.Put(h, Set, &it)
	}
	in, status := st.Receive(h, &it, len(value), nil)
	if status == Stored {
		if _, status = in.Write(it.Value); status == Stored {
			status = in.Commit(Set)
		}
	}
	return status
}

// What was flushed does not come back by one bit that is lost, nor does a flush that was to come
// stay away; and a store whose counters were damaged keeps what it is given.
func TestAFlushOutlivesALostBit(t *testing.T) {
	opts := Options{MemoryLimit: 256 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096, File: filepath.Join(memoryDir(t), "items")}
	st, clock := openAt(t, opts, someDay)
	put(st, Set, "before", "", 0)
	st.FlushAll(expiry.Never)
	put(st, Set, "between", "", 0)
	st.FlushAll(clock.Now() + 100)
	closeStore(t, st)
	image, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for at := range 32 { // the whole of what a shard's line says
		for bit := range 8 {
			b := bytes.Clone(image)
			b[fileLines+at] ^= 1 << bit
			if err := os.Remove(opts.File); err != nil {
				t.Fatal(err)
			}
			writeSparse(t, opts.File, b)
			st, clock := openAt(t, opts, someDay)
			if _, hit := get(st, "before"); hit {
				t.Errorf("byte %d, bit %d: what was flushed is there again", at, bit)
			}
			if _, hit := get(st, "between"); hit {
				kept++
			}
			put(st, Set, "new", "", 0)
			if _, hit := get(st, "new"); !hit {
				t.Errorf("byte %d, bit %d: what is stored is gone at once", at, bit)
			}
			clock.Set(clock.Now() + 100)
			if _, hit := get(st, "between"); hit {
				t.Errorf("byte %d, bit %d: the flush that was to come did not", at, bit)
			}
			closeStore(t, st)
		}
	}
	if kept < 150 {
		t.Errorf("the item outlived %d of 256", kept)
	}
}

// Whatever happens to the bytes of a memory file, a start serves no value that is not its key's,
// and nothing that was flushed: it drops what is damaged. Half of the files are read by a store of
// another layout, which copies what is good.
func TestDamageIsNotServed(t *testing.T) {
	const files = 320
	opts := Options{MemoryLimit: 1 << 20, ItemMax: 60_000, Shards: 2, SegmentSize: 4096, File: filepath.Join(memoryDir(t), "items")}
	other := opts
	other.MemoryLimit, other.Shards, other.SegmentSize = 1500<<10, 1, 8192

	st, clock := openAt(t, opts, someDay)
	store := func(prefix string, n int) {
		for i := range n {
			if got := damagedPut(st, fmt.Sprint(prefix, i)); got != Stored {
				t.Fatal(got)
			}
		}
	}
	store("flushed", 300)
	st.FlushAll(expiry.Never)
	store("key", 400)
	clock.Set(clock.Now() + 10)
	store("key", 150) // again: in place, or what was there before lies dead
	for i := 0; i < 400; i += 7 {
		key := []byte(fmt.Sprint("key", i))
		st.TouchView(st.Hash(key), key, clock.Now()+70_000, false, nil)
	}
	read := func() []byte {
		b, err := os.ReadFile(opts.File)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	earlier := read()
	store("key", 300)
	store("new", 100)
	stored := st.Stats().CurrItems
	closeStore(t, st)
	image := read()
	shape := (*fileHead)(unsafe.Pointer(&image[0])).shape

	// Places that are worth damaging: what is in use of tables and arenas, and the shards' lines.
	var used []int64
	for i := range int(shape.shards) {
		at := shape.table(i)
		used = append(used, at)
		for g, a := int64(0), shape.arena(i); g < int64(shape.segments); g++ {
			sg := (*segment)(unsafe.Pointer(&image[at+g*int64(unsafe.Sizeof(segment{}))]))
			for off := int64(0); off < int64(sg.used); off += 512 {
				used = append(used, a+g*int64(shape.segSize)+off)
			}
		}
	}
	var opened, items, dropped uint64
	for seed := range uint64(files) {
		r := rand.New(rand.NewPCG(seed, 13))
		b := bytes.Clone(image)
		block := func() int64 { return used[r.IntN(len(used))] }
		table := func() int64 {
			return shape.table(r.IntN(int(shape.shards))) + int64(r.IntN(300*int(unsafe.Sizeof(segment{}))))
		}
		for range 1 + r.IntN(30) {
			n := int64(512) << r.IntN(4)
			switch at := block() &^ (n - 1); r.IntN(9) {
			case 0: // a page that was never written
				clear(b[at : at+n])
			case 1: // one that is older than its neighbours
				copy(b[at:at+n], earlier[at:at+n])
			case 2: // one that was meant for another place
				from := block() &^ (n - 1)
				copy(b[at:at+n], image[from:from+n])
			case 3: // bytes of something else
				for i := range n {
					b[at+i] = byte(r.Uint32())
				}
			case 4:
				b[table()] ^= 1 << r.IntN(8)
			case 5:
				b[fileLines+r.IntN(64*int(shape.shards))] ^= 1 << r.IntN(8)
			default:
				for range 1 + r.IntN(20) {
					b[block()+int64(r.IntN(512))] ^= 1 << r.IntN(8)
				}
			}
		}
		if err := os.RemoveAll(opts.File); err != nil {
			t.Fatal(err)
		}
		writeSparse(t, opts.File, b)
		o := opts
		if seed%2 == 1 {
			o = other
		}
		st, _ := openAt(t, o, someDay+10)
		judge := func() {
			w := st.Walk()
			for more := true; more; {
				more = w.Next(func(it *Item) {
					want, flags := damagedKey(string(it.Key))
					if got := string(it.AppendTo(nil)); got != want || it.Flags != flags || strings.HasPrefix(string(it.Key), "flushed") {
						t.Errorf("seed %d: %q has flags %d and %d bytes, %.40q; there should be %d and %d bytes, %.40q",
							seed, it.Key, it.Flags, len(got), got, flags, len(want), want)
					}
				})
			}
		}
		judge()
		opened++
		items += st.Restored().Items
		dropped += st.Restored().Dropped
		for i := range 50 { // it works on
			damagedPut(st, fmt.Sprint("after", i))
		}
		judge()
		closeStore(t, st)
		if t.Failed() {
			return
		}
	}
	t.Logf("seeds 0 to %d: %d items of %d in a file on average, %d dropped in all", files-1, items/opened, stored, dropped)
	if items/opened < stored/3 || dropped < files {
		t.Errorf("%d items in a file on average of %d, %d dropped: is this damage?", items/opened, stored, dropped)
	}
}
