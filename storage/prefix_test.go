package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// flushPrefix flushes a prefix for which there is room.
func flushPrefix(t testing.TB, st *Store, prefix string) {
	t.Helper()
	if st.FlushPrefix([]byte(prefix), 0, nil) != 0 {
		t.Fatalf("flush_prefix %q waits", prefix)
	}
}

// fillTwoPrefixes stores items of many sizes, half of them under a:, half under b:.
func fillTwoPrefixes(t testing.TB, st *Store, items int) {
	t.Helper()
	for i := range items {
		for _, prefix := range []string{"a:", "b:"} {
			if got := put(st, Set, fmt.Sprint(prefix, i), strings.Repeat("v", i*37%9000), expiry.Never); got != Stored {
				t.Fatal(got)
			}
		}
	}
}

// wantTwoPrefixes wants these items back, all of them or none.
func wantTwoPrefixes(t testing.TB, st *Store, items int, a, b bool) {
	t.Helper()
	for i := range items {
		_, hitA := get(st, fmt.Sprint("a:", i))
		_, hitB := get(st, fmt.Sprint("b:", i))
		if hitA != a || hitB != b {
			t.Fatalf("item %d: of a: %v, of b: %v; want %v, %v", i, hitA, hitB, a, b)
		}
	}
}

func TestAFlushedPrefixIsGoneAtOnceAndItsMemoryComesBack(t *testing.T) {
	const items = 400
	st, _ := newStore(t, Options{MemoryLimit: 16 << 20, ItemMax: 100_000, Shards: 2, SegmentSize: 16 << 10})
	fillTwoPrefixes(t, st, items)
	full := st.Stats()
	flushPrefix(t, st, "a:")
	if st.Prefixing() != 1 {
		t.Errorf("%d prefixes are under way", st.Prefixing())
	}
	// Nobody has taken anything away yet, and nothing of it can be seen.
	if g := st.Peek(st.Hash([]byte("a:7")), []byte("a:7")); g.State != Flushed {
		t.Errorf("a peek sees %d", g.State)
	}
	for w, more := st.Walk(), true; more; {
		more = w.Next(func(it *Item) {
			if bytes.HasPrefix(it.Key, []byte("a:")) {
				t.Errorf("a walk meets %q", it.Key)
			}
		})
	}
	for i := range 50 { // some of it is stored again, before the walk
		if got := put(st, Set, fmt.Sprint("a:", i), "anew", expiry.Never); got != Stored {
			t.Fatal(got)
		}
	}
	for st.Sweep() {
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if s := st.Stats(); st.Prefixing() != 0 || s.CurrItems != items+50 || s.Bytes > full.Bytes*6/10 {
		t.Errorf("when all is swept: %d under way, %d items, %d bytes of %d", st.Prefixing(), s.CurrItems, s.Bytes, full.Bytes)
	}
	for i := range 50 {
		if v, _ := get(st, fmt.Sprint("a:", i)); v != "anew" {
			t.Fatalf("a:%d, which was stored afterwards, is %q", i, v)
		}
	}
	for i := range 50 {
		st.Delete(st.Hash(fmt.Appendf(nil, "a:%d", i)), fmt.Appendf(nil, "a:%d", i))
	}
	wantTwoPrefixes(t, st, items, false, true)
}

// What the walk has been by already has its turn in the next round, and the file's format tells of it
// until then.
func TestAPrefixThatIsFlushedDuringTheWalkIsGone(t *testing.T) {
	const items = 150
	st, err := Open(Options{MemoryLimit: 16 << 20, ItemMax: 100_000, Shards: 1, SegmentSize: 16 << 10, File: filepath.Join(memoryDir(t), "items")},
		expiry.NewClock(someDay))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	fillTwoPrefixes(t, st, items)
	flushPrefix(t, st, "a:")
	for range 8 {
		st.shards[0].clear()
	}
	if st.Prefixing() == 0 {
		t.Fatal("the walk is over")
	}
	flushPrefix(t, st, "b:")
	for st.Prefixing() > 0 {
		if format := st.file.head.format; format != formatPrefixes {
			t.Fatalf("with %d under way the file is of format %d", st.Prefixing(), format)
		}
		st.shards[0].clear()
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
	}
	wantTwoPrefixes(t, st, items, false, false)
}

// A value that is on its way in is stored when it is complete.
func TestAValueThatBeganBeforeItsPrefixWasFlushedIsStored(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 16 << 20, ItemMax: 1 << 20, Shards: 1, SegmentSize: 16 << 10})
	key, value := []byte("a:large"), bytes.Repeat([]byte("large "), 50_000)
	put(st, Set, "a:other", "value", expiry.Never)
	in, status := st.Receive(st.Hash(key), &Item{Key: key}, len(value), nil)
	if status != Stored {
		t.Fatal(status)
	}
	if _, status := in.Write(value[:200_000]); status != Stored {
		t.Fatal(status)
	}
	flushPrefix(t, st, "a:")
	if _, status := in.Write(value[200_000:]); status != Stored {
		t.Fatal(status)
	}
	if status := in.Commit(Set); status != Stored {
		t.Fatal(status)
	}
	for {
		if v, _ := get(st, string(key)); v != string(value) {
			t.Fatalf("%d bytes are there", len(v))
		}
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
		if !st.Sweep() {
			break
		}
	}
	if _, hit := get(st, "a:other"); hit {
		t.Error("what was stored before is there")
	}
}

// What was flushed is not moved behind the marks, where it would count as stored afterwards: not by
// what makes room, nor by a command that writes an item anew.
func TestWhatWasFlushedIsNotMovedToWhereItCounts(t *testing.T) {
	const items = 3000
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, ItemMax: 20_000, Shards: 1, SegmentSize: 16 << 10})
	key := func(i int) string { return fmt.Sprint("a:", i) }
	for i := range items {
		put(st, Set, key(i), "12345", expiry.Never)
		get(st, key(i)) // so that it is kept when it has to prove itself
	}
	flushPrefix(t, st, "a:")
	for i := range 100 {
		k := []byte(key(i))
		if _, status := st.Incr(st.Hash(k), k, 1); status != NotFound {
			t.Errorf("incr %s: %d", k, status)
		}
		k = []byte(key(100 + i))
		if status := st.TouchView(st.Hash(k), k, someDay+100, false, nil); status != NotFound {
			t.Errorf("touch %s: %d", k, status)
		}
		if got := put(st, Append, key(200+i), "more", expiry.Never); got != NotStored {
			t.Errorf("append to %s: %d", key(200+i), got)
		}
	}
	var buf [100]byte
	for i := range 40_000 { // nobody walks, and all that was there has its turn
		if got := put(st, Set, fmt.Sprint("other ", i), string(buf[:]), expiry.Never); got != Stored {
			t.Fatal(got)
		}
	}
	if err := st.Check(); err != nil {
		t.Fatal(err)
	}
	if n := st.Stats().Evictions; n == 0 || st.Prefixing() != 1 {
		t.Fatalf("%d evictions, %d prefixes under way", n, st.Prefixing())
	}
	for i := range items {
		if v, hit := get(st, key(i)); hit {
			t.Fatalf("%s is there, with %q", key(i), v)
		}
	}
}

// Who flushes prefixes all the time loses nothing else: no segment is left behind that is nearly empty.
func TestFlushingPrefixesOftenCostsNoItems(t *testing.T) {
	const kept = 2000
	st, _ := newStore(t, Options{MemoryLimit: 4 << 20, Shards: 2})
	for i := range kept {
		put(st, Set, fmt.Sprint("kept ", i), strings.Repeat("v", 500), expiry.Never)
	}
	before := st.Stats()
	const rounds = 3000
	for round := range rounds {
		put(st, Set, fmt.Sprint("stays ", round), "value", expiry.Never)
		name := fmt.Sprint("user ", round, ":")
		for i := range 3 {
			put(st, Set, fmt.Sprint(name, i), "value", expiry.Never)
		}
		flushPrefix(t, st, name)
		for st.Sweep() {
		}
	}
	if s := st.Stats(); s.CurrItems != kept+rounds || s.Evictions != 0 || s.SegmentBytes > before.SegmentBytes*3/2 {
		t.Errorf("%d items, %d evictions, segments of %d bytes after %d", s.CurrItems, s.Evictions, s.SegmentBytes, before.SegmentBytes)
	}
}

func TestFlushedPrefixesTakeTurns(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 2})
	fillTwoPrefixes(t, st, 200)
	for n := range PrefixesMost {
		flushPrefix(t, st, fmt.Sprint("a:", n))
	}
	called := ""
	ask := func(name string, place uint64) uint64 {
		return st.FlushPrefix([]byte(name), place, func() { called += name })
	}
	first, second := ask("b:1", 0), ask("b:2", 0)
	if first == 0 || second == 0 || ask("b:2", second) != second || ask("b:1", first) != first || called != "" {
		t.Fatalf("one more does not wait, or is called: %q", called)
	}
	if ask("a:3", 0) != 0 {
		t.Error("one that is under way already waits")
	}
	if _, hit := get(st, "b:1"); !hit {
		t.Error("who waits has flushed something")
	}
	for range 10_000 {
		if st.Sweep(); called != "" {
			break
		}
	}
	if called != "b:1b:2" {
		t.Fatalf("when there is room, %q are called", called)
	}
	if ask("b:1", first) != 0 || ask("b:2", second) != 0 {
		t.Error("who was called waits again")
	}
	for st.Sweep() {
	}
	for i, want := range []bool{true, false, false, true} {
		if _, hit := get(st, fmt.Sprint("b:", i)); hit != want {
			t.Errorf("b:%d: %v", i, hit)
		}
	}
}

// Who was called and does not come keeps nobody from his turn.
func TestWhoHasGivenUpWaitingToFlushAPrefixIsPassedOver(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 2})
	fillTwoPrefixes(t, st, 200)
	for n := range PrefixesMost {
		flushPrefix(t, st, fmt.Sprint("a:", n))
	}
	const waiting = 100
	called := 0
	for n := range waiting {
		if st.FlushPrefix(fmt.Append(nil, "b:", n), 0, func() { called++ }) == 0 {
			t.Fatalf("b:%d does not wait", n)
		}
	}
	for st.Sweep() {
	}
	if called != waiting {
		t.Errorf("%d of %d are called when all is swept", called, waiting)
	}
}

// Where there is room, but many wait for it, who comes then waits behind them.
func TestWhoComesLaterFlushesHisPrefixLater(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 2})
	fillTwoPrefixes(t, st, 200)
	for n := range PrefixesMost {
		flushPrefix(t, st, fmt.Sprint("a:", n))
	}
	const waiters = 2 * PrefixesMost * prefixCalls // more than are called when all of those are over
	var places [waiters]uint64
	called := 0
	for n := range places {
		places[n] = st.FlushPrefix(fmt.Appendf(nil, "a:1%d", n), 0, func() { called++ })
	}
	for range 10_000 {
		if st.Sweep(); st.Prefixing() < PrefixesMost {
			break
		}
	}
	if st.Prefixing() == PrefixesMost || called == 0 || called == waiters {
		t.Fatalf("%d under way, %d of %d are called", st.Prefixing(), called, waiters)
	}
	if st.FlushPrefix([]byte("b:1"), 0, nil) == 0 {
		t.Error("who came last is first")
	}
	if _, hit := get(st, "b:1"); !hit {
		t.Error("who waits has flushed something")
	}
	if st.FlushPrefix([]byte("a:10"), places[0], nil) != 0 {
		t.Error("who came first waits again")
	}
}

// whatIsLeft copies a store's file as a kill would leave it, and opens the copy.
func whatIsLeft(t *testing.T, opts Options, change func(b []byte, shape *fileShape)) *Store {
	t.Helper()
	b, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	shape := (*fileHead)(unsafe.Pointer(&b[0])).shape
	if change != nil {
		change(b, &shape)
	}
	opts.File = filepath.Join(memoryDir(t), "copy")
	writeSparse(t, opts.File, b)
	st, err := Open(opts, expiry.NewClock(someDay))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// What was flushed stays away after a kill, whatever the walk had taken away; what was stored
// afterwards is there.
func TestAFlushedPrefixSurvivesAKill(t *testing.T) {
	const items = 200
	opts := Options{MemoryLimit: 8 << 20, ItemMax: 100_000, Shards: 2, SegmentSize: 16 << 10, File: filepath.Join(memoryDir(t), "items")}
	st, err := Open(opts, expiry.NewClock(someDay))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	fillTwoPrefixes(t, st, items)
	if format := st.file.head.format; format != fileFormat {
		t.Errorf("the file is of format %d", format)
	}
	flushPrefix(t, st, "a:")
	flushPrefix(t, st, "a:") // two lines, and then one
	put(st, Set, "a:new", "value", expiry.Never)
	if format := st.file.head.format; format != formatPrefixes {
		t.Errorf("while a prefix is under way the file is of format %d", format)
	}
	check := func(name string, st *Store) {
		t.Helper()
		if err := st.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if v, _ := get(st, "a:new"); v != "value" {
			t.Errorf("%s: what was stored afterwards is %q", name, v)
		}
		wantTwoPrefixes(t, st, items, false, true)
		if st.Prefixing() != 0 || st.file.head.format != fileFormat {
			t.Errorf("%s: %d prefixes under way, format %d", name, st.Prefixing(), st.file.head.format)
		}
	}
	// A damaged line may have said anything.
	left := whatIsLeft(t, opts, func(b []byte, shape *fileShape) {
		lines := (*prefixLines)(unsafe.Pointer(&b[shape.prefixes()]))
		for i := range lines {
			if lines[i].sum.Load() != 0 {
				lines[i].prefix[0]++
			}
		}
	})
	if n := left.Stats().CurrItems; n > 3*items/2 || n < items/2 {
		t.Errorf("with a damaged line of one of two shards %d items of %d are there", n, items)
	}
	for i := range items {
		if _, hit := get(left, fmt.Sprint("a:", i)); hit {
			t.Fatalf("a:%d is there", i)
		}
	}
	for range 3 {
		left := whatIsLeft(t, opts, nil)
		check("as it was", left)
		left = whatIsLeft(t, Options{File: opts.File, MemoryLimit: 64 << 20, ItemMax: 1 << 20}, nil)
		check("carried over", left)
		for i := range st.shards { // some of it is taken away
			st.shards[i].clear()
		}
	}
	for st.Sweep() {
	}
	left = whatIsLeft(t, opts, nil)
	check("when it was over", left)
}

// A file of a program that knows no prefixes is used as it is.
func TestAFileWithoutRoomForPrefixesIsMadeLonger(t *testing.T) {
	const items = 50
	opts := Options{MemoryLimit: 8 << 20, ItemMax: 100_000, Shards: 2, SegmentSize: 16 << 10, File: filepath.Join(memoryDir(t), "items")}
	st, err := Open(opts, expiry.NewClock(someDay))
	if err != nil {
		t.Fatal(err)
	}
	fillTwoPrefixes(t, st, items)
	shape := st.file.head.shape
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	was, err := os.Stat(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(opts.File, shape.prefixes()); err != nil {
		t.Fatal(err)
	}
	if st, err = Open(opts, expiry.NewClock(someDay)); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if is, err := os.Stat(opts.File); err != nil || !os.SameFile(was, is) || is.Size() != was.Size() {
		t.Errorf("it is not the same file, or has %d bytes instead of %d: %v", is.Size(), was.Size(), err)
	}
	flushPrefix(t, st, "b:")
	wantTwoPrefixes(t, st, items, true, false)
}
