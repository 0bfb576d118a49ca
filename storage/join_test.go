package storage

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gomemd/gomemd/expiry"
)

// grower has a store whose few items grow at both ends, and what they should be.
type grower struct {
	t       *rapid.T
	opts    Options
	lossy   bool
	st      *Store
	clock   *expiry.Clock
	items   map[string]*modelItem
	readers []*reading
	lost    uint64
	number  int
}

// reading is a value that somebody sends without the lock.
type reading struct {
	Pinned
	value []byte
}

func (g *grower) open(at int64) {
	g.clock = expiry.NewClock(at)
	st, err := Open(g.opts, g.clock)
	if err != nil {
		g.t.Fatal(err)
	}
	g.st = st
}

func (g *grower) live(key string) *modelItem {
	if it := g.items[key]; it != nil && !it.deadline.Passed(g.clock.Now()) {
		return it
	}
	return nil
}

// look compares all items with what they should be.
func (g *grower) look(after string) {
	if err := g.st.Check(); err != nil {
		g.t.Fatalf("Check after %s: %v", after, err)
	}
	for key := range g.items {
		want := g.live(key)
		hit := g.st.View(g.st.Hash([]byte(key)), []byte(key), func(it Item) {
			if want == nil {
				g.t.Fatalf("after %s: %s is there", after, key)
			}
			got := it.AppendTo(nil)
			if !bytes.Equal(got, want.value) || it.Len() != len(got) || it.Flags != want.flags || it.Deadline != want.deadline {
				g.t.Fatalf("after %s: %s has %d bytes, flags %d, deadline %d; want %d bytes, flags %d, deadline %d; they differ from %d on",
					after, key, len(got), it.Flags, it.Deadline, len(want.value), want.flags, want.deadline, differFrom(got, want.value))
			}
		})
		if want != nil && !hit {
			delete(g.items, key)
			g.lost++
			if e := g.st.Stats().Evictions; g.lost > e || !g.lossy {
				g.t.Fatalf("after %s: %s is gone; %d were lost, %d evicted", after, key, g.lost, e)
			}
		}
	}
	for _, r := range g.readers {
		if got := bytes.Join(r.Pieces, nil); !bytes.Equal(got, r.value) {
			g.t.Fatalf("after %s: a reader's %d bytes have changed from %d on", after, len(r.value), differFrom(got, r.value))
		}
	}
}

func differFrom(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func (g *grower) length() int {
	return rapid.OneOf(
		rapid.SampledFrom([]int{0, 1, 2, 63, 511, 512, 4095, 4096, 4097, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64<<10 - 300, 64<<10 - 1, 64 << 10, 64<<10 + 1}),
		rapid.IntRange(0, 100), rapid.IntRange(0, 20_000), rapid.IntRange(0, 300_000)).Draw(g.t, "length")
}

// bytes are some that no other value has.
func (g *grower) bytes(n int) []byte {
	g.number++
	return pattern(n, g.number*7)
}

func (g *grower) put(key string, mode Mode) {
	old, it := g.live(key), &Item{Key: []byte(key), Value: g.bytes(g.length())}
	it.Show = rapid.Bool().Draw(g.t, "show")
	if joins(mode) && old != nil {
		switch rapid.IntRange(0, 5).Draw(g.t, "unique") {
		case 0:
			it.Unique = old.unique
		case 1:
			it.Unique = old.unique + 1
		case 2:
			it.Explicit = uint64(g.number) + 1<<62
		}
	} else if !joins(mode) && rapid.IntRange(0, 3).Draw(g.t, "mortal") == 0 {
		it.Deadline, it.Flags = g.clock.Now()+expiry.Instant(rapid.SampledFrom([]int{3, 20, 100_000}).Draw(g.t, "seconds")), 300
	}
	what := fmt.Sprintf("mode %d of %d bytes to %s", mode, len(it.Value), key)
	asked := it.Unique
	var got Status
	if rapid.Bool().Draw(g.t, "received") {
		what += ", received"
		in, status := g.receive(it)
		old = g.live(key) // something may have happened meanwhile
		if got = status; got == Stored {
			got = in.Commit(mode)
			in.Tell(it)
		}
	} else {
		got = g.st.Put(g.st.Hash(it.Key), mode, it)
	}
	next := &modelItem{value: it.Value, flags: it.Flags, deadline: it.Deadline}
	want := Stored
	switch charge := Charge(len(key), it.Flags, len(it.Value), true); {
	case charge > g.opts.ItemMax:
		want = TooLarge
	case !joins(mode):
	case old == nil && mode <= Prepend:
		want = NotStored
	case old == nil:
	case asked != 0 && asked != old.unique:
		want = Exists
	case Charge(len(key), old.flags, len(it.Value)+len(old.value), true) > g.opts.ItemMax:
		want = NotStored
	case mode == Append || mode == AppendOrSet:
		next = &modelItem{value: append(bytes.Clone(old.value), it.Value...), flags: old.flags, deadline: old.deadline}
	default:
		next = &modelItem{value: append(bytes.Clone(it.Value), old.value...), flags: old.flags, deadline: old.deadline}
	}
	if got == OutOfMemory && g.lossy {
		got = want // all is as it was, or evicted: look tells
		next = old
	}
	if got != want {
		g.t.Fatalf("%s: %d, want %d", what, got, want)
	}
	if got == Stored {
		if next != old {
			if next.unique = 0; it.Show || it.Explicit != 0 {
				if next.unique = it.Unique; it.Len() != len(next.value) {
					g.t.Fatalf("%s: %d bytes, it says, instead of %d", what, it.Len(), len(next.value))
				}
			}
			if old != nil && old.unique != 0 && next.unique != 0 && next.unique <= old.unique && it.Explicit == 0 && old.unique < 1<<62 {
				g.t.Fatalf("%s: unique %d after %d", what, next.unique, old.unique)
			}
		}
		if g.items[key] = next; next == nil {
			delete(g.items, key)
		}
	}
	g.look(what)
}

func (g *grower) receive(it *Item) (*Incoming, Status) {
	in, status := g.st.Receive(g.st.Hash(it.Key), it, len(it.Value), nil)
	stop := rapid.IntRange(0, len(it.Value)).Draw(g.t, "stop")
	for rest := it.Value; status == Stored && len(rest) > 0; {
		if len(it.Value)-len(rest) >= stop { // something happens half way
			stop = len(it.Value) + 1
			if other := rapid.IntRange(0, 3).Draw(g.t, "meanwhile"); other == 0 {
				g.flood()
				g.look("a flood beside a value on its way")
			} else if other == 1 {
				g.gets(string(it.Key))
			}
		}
		n := 0
		n, status = in.Write(rest[:min(len(rest), 50_000)])
		rest = rest[n:]
		if status == Later { // readers hold the room
			in.Abort()
			status = OutOfMemory
		}
	}
	return in, status
}

// gets learns an item's unique.
func (g *grower) gets(key string) {
	g.st.ViewUnique(g.st.Hash([]byte(key)), []byte(key), func(it Item) {
		if was := g.items[key].unique; was != 0 && was != it.Unique {
			g.t.Fatalf("the unique of %s is %d, and was %d", key, it.Unique, was)
		}
		g.items[key].unique = it.Unique
	})
}

func (g *grower) flood() {
	for i := range rapid.IntRange(1, 300).Draw(g.t, "flood") {
		g.number++
		put(g.st, Set, fmt.Sprint("flood", i%100), strings.Repeat("x", g.number%3000), 0)
	}
}

func (g *grower) incr(key string) {
	old, delta := g.live(key), rapid.Uint64().Draw(g.t, "delta")
	n, status := g.st.Incr(g.st.Hash([]byte(key)), []byte(key), delta)
	if old == nil {
		return
	}
	is, number := parseNumber(old.value)
	if Charge(len(key), old.flags, len(old.value), true) > numberMax {
		number = false
	}
	switch {
	case status == Stored && number && n == is+delta:
		text := strconv.AppendUint(nil, n, 10)
		g.items[key] = &modelItem{flags: old.flags, deadline: old.deadline,
			value: append(text, bytes.Repeat([]byte(" "), max(0, len(old.value)-len(text)))...)}
	case status == NotNumber && !number, g.lossy && (status == NotFound || status == OutOfMemory):
	default:
		g.t.Fatalf("incr of %d bytes: %d, %d", len(old.value), n, status)
	}
	g.look("incr of " + key)
}

func (g *grower) step() {
	t, key := g.t, "key"+strconv.Itoa(rapid.IntRange(0, 2).Draw(g.t, "key"))
	switch rapid.IntRange(0, 17).Draw(t, "op") {
	case 0:
		g.put(key, Set)
	case 1: // a number with much behind or before it
		digits := strconv.AppendUint(nil, rapid.Uint64().Draw(t, "number"), 10)
		fill := bytes.Repeat([]byte(rapid.SampledFrom([]string{" ", "0", "\t"}).Draw(t, "fill")), g.length())
		value := append(digits, fill...)
		if rapid.Bool().Draw(t, "before") {
			value = append(fill, digits...)
		}
		status := commit(g.st, []byte(key), Set, value)
		g.items[key] = &modelItem{value: value}
		if status != Stored {
			if !g.lossy {
				t.Fatalf("a number of %d bytes: %d", len(value), status)
			}
			g.st.Delete(g.st.Hash([]byte(key)), []byte(key))
			delete(g.items, key)
		}
	case 2:
		g.incr(key)
	case 3, 4:
		g.gets(key)
	case 5:
		g.flood()
		g.look("a flood")
	case 6:
		r := new(reading)
		g.st.View(g.st.Hash([]byte(key)), []byte(key), func(it Item) {
			if it.MayPin(nil) {
				r.value = it.AppendTo(nil)
				it.Pin(&r.Pinned)
			}
		})
		g.readers = append(g.readers, r)
	case 7:
		if n := len(g.readers); n > 0 {
			g.readers[n-1].Release()
			g.readers = g.readers[:n-1]
		}
	case 8:
		g.clock.Set(g.clock.Now() + expiry.Instant(rapid.IntRange(1, 5).Draw(t, "seconds")))
		for range 20 {
			g.st.Sweep()
		}
		g.look("some seconds")
	case 9:
		g.restart()
	default:
		g.put(key, rapid.SampledFrom([]Mode{Append, Append, Append, Prepend, Prepend, AppendOrSet, PrependOrSet}).Draw(t, "mode"))
	}
}

func (g *grower) restart() {
	if g.opts.File == "" {
		return
	}
	for _, r := range g.readers {
		r.Release()
	}
	g.readers = nil
	at := g.clock.Unix(g.clock.Now())
	g.lost = 0
	if err := g.st.Close(); err != nil {
		g.t.Fatal(err)
	}
	g.open(at)
	if w := g.st.Warnings(); len(w) > 0 || g.st.Restored().Dropped > 0 {
		g.t.Fatalf("%q, %+v", w, g.st.Restored())
	}
	g.look("a restart")
}

// Whatever is joined to whatever, of any length and at either end, while others read it, need room
// or change the clock: the value is what was joined, its unique grows, its flags and its deadline
// stay. What finds no room changes nothing.
func TestJoinedValues(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lossy bool
		file  bool // and once more in a file
		opts  Options
	}{
		{"room", false, true, Options{MemoryLimit: 16 << 20, Shards: 1, ItemMax: 1 << 20}},
		{"small segments", false, false, Options{MemoryLimit: 16 << 20, Shards: 1, SegmentSize: 4096, ItemMax: 1 << 20}},
		{"evicting", true, false, Options{MemoryLimit: 2 << 20, Shards: 1, ItemMax: 600_000}},
		{"evicting, small segments", true, true, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096, ItemMax: 200_000}},
		{"full", true, true, Options{MemoryLimit: 2 << 20, Shards: 1, DisableEviction: true, ItemMax: 600_000}},
	} {
		for _, file := range []bool{false, true} {
			if file && !tt.file {
				continue
			}
			name, opts := tt.name, tt.opts
			if opts.TrackSizes, opts.PackHex = true, true; file {
				name += ", file"
				opts.File = filepath.Join(memoryDir(t), "items")
			} else {
				opts.HeapArena = opts.MemoryLimit <= 2<<20
			}
			t.Run(name, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					g := &grower{t: t, opts: opts, lossy: tt.lossy, items: map[string]*modelItem{}}
					g.open(someDay)
					defer func() { _ = g.st.Close() }()
					g.st.FlushAll(0)
					for range rapid.IntRange(1, 40).Draw(t, "steps") {
						g.step()
					}
					for _, r := range g.readers {
						r.Release()
					}
					g.readers = nil
					if g.look("all"); opts.DisableEviction && g.st.Stats().Evictions > 0 {
						t.Fatalf("%d were evicted", g.st.Stats().Evictions)
					}
				})
			})
		}
	}
}
