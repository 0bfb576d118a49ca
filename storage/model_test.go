package storage

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// The model is what the store would be if memory were free: a plain map that is told of time. The store may have lost
// an item that the model has, for lack of room (never otherwise), but what it serves is what the model has.
type modelItem struct {
	value    []byte
	flags    uint32
	deadline expiry.Instant
	version  int    // of the key: grows with every modification
	unique   uint64 // as shown for this version, 0 if not yet
}

type model struct {
	t       *rapid.T
	st      *Store
	clock   *expiry.Clock
	items   map[string]*modelItem
	shown   map[string]uint64 // the largest unique ever shown for the present life of a key
	pending expiry.Instant
	lossy   bool // memory is tight: a miss proves nothing
	limit   int
	lost    uint64
	itemMax int
}

func (m *model) live(key string) *modelItem {
	it := m.items[key]
	if it == nil || it.deadline.Passed(m.clock.Now()) {
		return nil
	}
	return it
}

// forget takes note that the store has lost a live item. It must have said so.
func (m *model) forget(key, where string) {
	delete(m.items, key)
	delete(m.shown, key)
	m.lost++
	if ev := m.st.Stats().Evictions; m.lost > ev {
		m.t.Fatalf("%s: %q is the %dth live item lost, evictions say %d", where, key, m.lost, ev)
	}
}

func (m *model) replace(key string, it *modelItem) {
	if old := m.items[key]; old != nil {
		it.version = old.version + 1
	}
	m.items[key] = it
}

func keyGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(0, 20).Draw(t, "key")
		if n%7 == 0 { // a long one, of any bytes
			return string(bytes.Repeat([]byte{byte(n), 0, ' ', '\n', 255}, 50))
		}
		return fmt.Sprint("k", n)
	})
}

func valueGen(maxLen int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0, 1:
			return []byte(strconv.FormatUint(rapid.Uint64().Draw(t, "number"), 10))
		case 2:
			return hexGen(300).Draw(t, "hex")
		}
		n := rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(100, 300), rapid.IntRange(0, 3000), rapid.IntRange(0, maxLen)).Draw(t, "length")
		b := rapid.Byte().Draw(t, "byte")
		v := make([]byte, n)
		for i := range v {
			v[i] = b + byte(i)*7 + byte(i>>8)
		}
		return v
	})
}

func deadlineGen(now expiry.Instant) *rapid.Generator[expiry.Instant] {
	return rapid.Custom(func(t *rapid.T) expiry.Instant {
		switch rapid.IntRange(0, 7).Draw(t, "deadline") {
		case 0, 1, 2:
			return expiry.Never
		case 3:
			return expiry.Past
		case 4, 5:
			return now + expiry.Instant(rapid.IntRange(0, 12).Draw(t, "seconds"))
		case 6:
			return now + expiry.Instant(rapid.IntRange(0, 100_000).Draw(t, "seconds"))
		}
		return now + 30*86400
	})
}

func flagsGen() *rapid.Generator[uint32] {
	return rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32Range(0, 255), rapid.Uint32Range(0, 65535), rapid.Uint32())
}

// view compares what the store has with what it should have.
func (m *model) view(key string, unique bool) {
	t, h := m.t, m.st.Hash([]byte(key))
	want := m.live(key)
	visit := func(it Item) {
		if want == nil {
			t.Fatalf("get %q: a hit, but there is none in the model", key)
		}
		got := it.AppendTo(nil)
		if string(it.Key) != key || !bytes.Equal(got, want.value) || it.Len() != len(got) {
			t.Fatalf("get %q: key %q, value %d %.40q, want %d %.40q", key, it.Key, len(got), got, len(want.value), want.value)
		}
		if it.Flags != want.flags || it.Deadline != want.deadline {
			t.Fatalf("get %q: flags %d deadline %d, want %d %d", key, it.Flags, it.Deadline, want.flags, want.deadline)
		}
		if unique {
			if it.Unique == 0 {
				t.Fatalf("get %q: unique 0", key)
			}
			if want.unique != 0 && want.unique != it.Unique {
				t.Fatalf("get %q: unique %d, was %d, and the item has not changed", key, it.Unique, want.unique)
			}
			if want.unique == 0 && it.Unique <= m.shown[key] {
				// The key may have had a life that ended unnoticed: evicted, then stored again. It is counted, then.
				m.lost++
				if m.lossy && it.Unique != m.shown[key] && m.lost <= m.st.shards[0].stats.Evictions {
					want.unique, m.shown[key] = it.Unique, it.Unique
					return
				}
				t.Fatalf("get %q: unique %d of a later version, %d was shown before", key, it.Unique, m.shown[key])
			}
			want.unique = it.Unique
			m.shown[key] = it.Unique
		}
	}
	hit := false
	if unique {
		hit = m.st.ViewUnique(h, []byte(key), visit)
	} else {
		hit = m.st.View(h, []byte(key), visit)
	}
	if !hit && want != nil {
		m.forget(key, "get")
	}
}

func (m *model) put(mode Mode, key string, it *Item) {
	t, h := m.t, m.st.Hash([]byte(key))
	it.Key = []byte(key)
	old := m.live(key)
	var got Status
	if rapid.IntRange(0, 3).Draw(t, "received") == 0 {
		got = m.receive(h, mode, it)
	} else {
		got = m.st.Put(h, mode, it)
	}
	want, next := Stored, &modelItem{value: it.Value, flags: it.Flags, deadline: it.Deadline}
	charge := Charge(len(key), it.Flags, len(it.Value), true)
	switch {
	case charge > m.itemMax:
		want = TooLarge
	case mode == Add && old != nil:
		want = NotStored
	case (mode == Replace || mode == Append || mode == Prepend) && old == nil:
		want = NotStored
	case mode == CompareAndSwap && old == nil:
		want = NotFound
	case mode == CompareAndSwap && (it.Unique == 0 || it.Unique != old.unique):
		want = Exists
	case mode == Append:
		next = &modelItem{value: append(bytes.Clone(old.value), it.Value...), flags: old.flags, deadline: old.deadline}
	case mode == Prepend:
		next = &modelItem{value: append(bytes.Clone(it.Value), old.value...), flags: old.flags, deadline: old.deadline}
	}
	if want == Stored && Charge(len(key), next.flags, len(next.value), true) > m.itemMax {
		want = NotStored
	}
	if got != want && old != nil && m.lossy { // perhaps the store had lost it
		lost := map[Mode]Status{Add: Stored, Replace: NotStored, Append: NotStored, Prepend: NotStored, CompareAndSwap: NotFound}
		if got == lost[mode] && want != TooLarge {
			m.forget(key, "put")
			if got == Stored {
				m.replace(key, next)
			}
			return
		}
	}
	if got == OutOfMemory && len(next.value) > m.limit/16 {
		return // a quarter of the smallest store may be too much to ask for
	}
	if got != want {
		t.Fatalf("put mode %d: %d, want %d (%d bytes, deadline %d, limit %d, %+v)", mode, got, want, len(next.value), it.Deadline, m.limit, m.st.Stats())
	}
	if got == Stored {
		if old == nil {
			delete(m.items, key)
			delete(m.shown, key)
		}
		m.replace(key, next)
	}
}

func (m *model) receive(h uint64, mode Mode, it *Item) Status {
	in, status := m.st.Receive(h, it, len(it.Value), nil)
	if status != Stored {
		return status
	}
	for rest := it.Value; len(rest) > 0; {
		n := min(len(rest), rapid.IntRange(1, 5000).Draw(m.t, "part"))
		var status Status
		if rapid.Bool().Draw(m.t, "in place") {
			n, status = in.Fill(new(Rooms), pour(rest[:n]))
		} else {
			n, status = in.Write(rest[:n])
		}
		if status == OutOfMemory {
			return status
		} else if status != Stored {
			m.t.Fatalf("Write: %d", status)
		}
		rest = rest[n:]
	}
	return in.Commit(mode)
}

func (m *model) arith(key string, delta uint64, down bool) {
	t, h := m.t, m.st.Hash([]byte(key))
	old := m.live(key)
	var n uint64
	var got Status
	if down {
		n, got = m.st.Decr(h, []byte(key), delta)
	} else {
		n, got = m.st.Incr(h, []byte(key), delta)
	}
	if old == nil {
		if got != NotFound {
			t.Fatalf("incr %q: %d, and it is not there", key, got)
		}
		return
	}
	if got == NotFound {
		m.forget(key, "incr")
		return
	}
	number, err := strconv.ParseUint(string(bytes.TrimRight(old.value, " ")), 10, 64)
	if err != nil { // what strtoull makes of the rest has its own test
		if got == Stored {
			delete(m.items, key)
			m.st.Delete(h, []byte(key))
		}
		return
	}
	if got != Stored {
		t.Fatalf("incr %q of %.40q: %d", key, old.value, got)
	}
	switch {
	case !down:
		number += delta
	case delta > number:
		number = 0
	default:
		number -= delta
	}
	if n != number {
		t.Fatalf("incr %q of %q by %d: %d, want %d", key, old.value, delta, n, number)
	}
	text := strconv.FormatUint(number, 10)
	for len(text) < len(old.value) {
		text += " "
	}
	m.replace(key, &modelItem{value: []byte(text), flags: old.flags, deadline: old.deadline})
}

func (m *model) delete(key string) {
	want := m.live(key) != nil
	if got := m.st.Delete(m.st.Hash([]byte(key)), []byte(key)); got != want {
		if got {
			m.t.Fatalf("delete %q: found what the model has not", key)
		}
		m.forget(key, "delete")
	}
	delete(m.items, key)
	delete(m.shown, key)
}

func (m *model) touch(key string, deadline expiry.Instant, unique bool) {
	want := m.live(key)
	status := m.st.TouchView(m.st.Hash([]byte(key)), []byte(key), deadline, unique, func(it Item) {
		if want == nil || !bytes.Equal(it.AppendTo(nil), want.value) || it.Deadline != deadline {
			m.t.Fatalf("touch: %d bytes, deadline %d, want %+v, deadline %d (key %q)", it.Len(), it.Deadline, want, deadline, key)
		}
		if unique {
			if want.unique != 0 && want.unique != it.Unique {
				m.t.Fatalf("gats %q: unique %d, was %d", key, it.Unique, want.unique)
			}
			want.unique = it.Unique
			m.shown[key] = it.Unique
		}
	})
	if status == OutOfMemory && want != nil { // it is as it was
		return
	}
	hit := status == Stored
	if want != nil && !hit {
		m.forget(key, "touch")
		return
	}
	if want == nil && hit {
		m.t.Fatalf("touch %q: a hit, but there is none in the model", key)
	}
	if want != nil {
		want.deadline = deadline
	}
}

func (m *model) flush(at expiry.Instant) {
	m.st.FlushAll(at)
	m.pending = expiry.Never
	if at == expiry.Never || at <= m.clock.Now() {
		clear(m.items)
		clear(m.shown)
		return
	}
	m.pending = at
}

// flushPrefix ends what begins so. A call that finds too many under way waits until one is over.
func (m *model) flushPrefix(prefix string) {
	for tries := 0; m.st.FlushPrefix([]byte(prefix), 0, nil) != 0; tries++ {
		if m.st.Prefixing() < PrefixesMost || tries > 100_000 {
			m.t.Fatalf("flush_prefix waits for %d", m.st.Prefixing())
		}
		m.st.Sweep()
	}
	for key := range m.items {
		if strings.HasPrefix(key, prefix) {
			delete(m.items, key)
			delete(m.shown, key)
		}
	}
}

func (m *model) pass(seconds int) {
	m.clock.Set(m.clock.Now() + expiry.Instant(seconds))
	if m.pending != expiry.Never && m.pending <= m.clock.Now() {
		m.pending = expiry.Never
		clear(m.items)
		clear(m.shown)
	}
}

func (m *model) step(rounds int) {
	t := m.t
	key := keyGen().Draw(t, "key")
	switch rapid.IntRange(0, 20).Draw(t, "op") {
	case 0, 1, 2, 3, 4, 5:
		mode := Set
		if rapid.Bool().Draw(t, "other") {
			mode = Mode(rapid.IntRange(0, 4).Draw(t, "mode"))
		}
		it := &Item{
			Value: valueGen(m.itemMax).Draw(t, "value"), Flags: flagsGen().Draw(t, "flags"),
			Deadline: deadlineGen(m.clock.Now()).Draw(t, "deadline"),
		}
		if old := m.live(key); old != nil && rapid.Bool().Draw(t, "alike") { // may go in place
			it.Flags, it.Deadline = old.flags, old.deadline
			it.Value = bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, len(old.value))
		}
		m.put(mode, key, it)
	case 6:
		it := &Item{Value: valueGen(200).Draw(t, "value")}
		if old := m.live(key); old != nil {
			it.Unique = old.unique
			if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
				it.Unique = m.shown[key]
			}
		}
		m.put(CompareAndSwap, key, it)
	case 7, 8, 9:
		m.view(key, false)
	case 10, 11:
		m.view(key, true)
	case 12:
		m.touch(key, deadlineGen(m.clock.Now()).Draw(t, "deadline"), rapid.Bool().Draw(t, "unique"))
	case 13, 14:
		m.arith(key, rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64()).Draw(t, "delta"), rapid.Bool().Draw(t, "down"))
	case 15:
		m.delete(key)
		if m.lossy && rapid.IntRange(0, 4).Draw(t, "resize?") == 0 {
			limit := rapid.IntRange(32, 512).Draw(t, "KiB") << 10
			if m.st.SetLimit(int64(limit)) == nil { // else it is below what the shards need
				m.limit = limit
			}
		}
	case 16:
		if rapid.IntRange(0, 4).Draw(t, "flush?") == 0 {
			m.flush(expiry.Instant(rapid.SampledFrom([]int{0, 0, int(m.clock.Now()) + 1, int(m.clock.Now()) + 7, 1}).Draw(t, "at")))
		}
	case 17:
		m.pass(rapid.SampledFrom([]int{0, 1, 1, 2, 5, 20, 70_000}).Draw(t, "seconds"))
	case 20:
		m.flushPrefix(rapid.SampledFrom([]string{"k", "k1", "k1", "k2", "k4", "k5", "k13", "flood", "flood1", "\a\x00", "none", key}).Draw(t, "prefix"))
	case 18:
		for range rapid.IntRange(1, 50).Draw(t, "sweeps") {
			m.st.Sweep()
		}
	case 19: // other keys come by and want room
		n := rapid.IntRange(1, rounds).Draw(t, "flood")
		for i := range n {
			k := fmt.Sprint("flood", i)
			put(m.st, Set, k, k, 0)
		}
	}
}

func checkModel(t *rapid.T, opts Options, flood int) {
	clock := expiry.NewClock(1_700_000_000)
	opts.HeapArena, opts.TrackSizes = true, true
	opts.PackHex = rapid.Bool().Draw(t, "pack")
	st, err := Open(opts, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m := &model{t: t, st: st, clock: clock, items: map[string]*modelItem{}, shown: map[string]uint64{}, lossy: flood > 1, limit: int(opts.MemoryLimit), itemMax: opts.ItemMax}
	n := rapid.IntRange(1, 800).Draw(t, "steps")
	for range n {
		m.step(flood)
	}
	if err := st.Check(); err != nil {
		t.Fatalf("Check: %v", err)
	}
	s := st.Stats()
	if flood == 1 && s.Evictions != 0 {
		t.Fatalf("%d evictions in a store with room", s.Evictions)
	}
	for st.Sweep() {
	}
	if s = st.Stats(); s.Bytes > s.LimitBytes || s.SegmentBytes+s.IndexBytes+s.TableBytes > s.LimitBytes {
		t.Fatalf("bytes %d, segments %d, index %d, table %d of %d", s.Bytes, s.SegmentBytes, s.IndexBytes, s.TableBytes, s.LimitBytes)
	}
	for key := range m.items {
		m.view(key, false)
	}
}

func TestModelWithRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkModel(t, Options{MemoryLimit: 4 << 20, ItemMax: 30_000, Shards: 2, SegmentSize: 4096}, 1)
	})
}

func TestModelTiny(t *testing.T) {
	flood := 2000
	if invariants.Enabled { // which makes every step some twenty times slower
		flood = 300
	}
	rapid.Check(t, func(t *rapid.T) {
		checkModel(t, Options{MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096}, flood)
	})
}
