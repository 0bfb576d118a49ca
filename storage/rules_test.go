package storage

import (
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

func unique(t *testing.T, st *Store, key string) uint64 {
	t.Helper()
	u := uint64(0)
	if !st.ViewUnique(st.Hash([]byte(key)), []byte(key), func(it Item) { u = it.Unique }) {
		t.Fatalf("%s is not there", key)
	}
	return u
}

func cas(st *Store, key, value string, u uint64) Status {
	return st.Put(st.Hash([]byte(key)), CompareAndSwap, &Item{Key: []byte(key), Value: []byte(value), Unique: u})
}

func TestUniques(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	key := []byte("k")
	h := st.Hash(key)
	put(st, Set, "k", "1", 0)
	last := unique(t, st, "k")
	if again := unique(t, st, "k"); again != last {
		t.Errorf("a second look: %d, was %d", again, last)
	}
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"set of the same length", func() { put(st, Set, "k", "2", 0) }},
		{"set again, unseen in between", func() { put(st, Set, "k", "2", 0); put(st, Set, "k", "3", 0) }},
		{"set of another length", func() { put(st, Set, "k", "22", 0) }},
		{"replace", func() { put(st, Replace, "k", "3", 0) }},
		{"append", func() { put(st, Append, "k", "4", 0) }},
		{"prepend", func() { put(st, Prepend, "k", "5", 0) }},
		{"incr in place", func() { st.Incr(h, key, 1) }},
		{"decr", func() { st.Decr(h, key, 1) }},
		{"cas", func() { cas(st, "k", "6", unique(t, st, "k")) }},
		{"received", func() { receive(t, st, "k", make([]byte, 9000), Set) }},
	} {
		change.do()
		u := unique(t, st, "k")
		if u <= last {
			t.Errorf("%s: %d, was %d", change.name, u, last)
		}
		if got := cas(st, "k", "stale", last); got != Exists {
			t.Errorf("%s: the old unique is good for %d", change.name, got)
		}
		last = u
	}
	for _, deadline := range []expiry.Instant{clock.Now() + 10, 0, clock.Now() + 1000, clock.Now() + 1<<20, clock.Now() + 5} {
		st.TouchView(h, key, deadline, false, nil)
		if u := unique(t, st, "k"); u != last {
			t.Errorf("a touch changes the unique from %d to %d", last, u)
		}
	}
	if got := cas(st, "k", "x", 0); got != Exists {
		t.Errorf("cas 0: %d", got)
	}
	if got := cas(st, "none", "x", last); got != NotFound {
		t.Errorf("cas of what is not there: %d", got)
	}
	if got := cas(st, "k", "x", last); got != Stored {
		t.Errorf("cas after the touches: %d", got)
	}
}

// An item that is moved, by eviction or cleaning, keeps the unique that somebody may hold.
func TestMovesKeepTheUnique(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 256 << 10, Shards: 1, SegmentSize: 4096})
	put(st, Set, "k", "mine", 0)
	u := unique(t, st, "k")
	for i := range 40_000 {
		put(st, Set, "flood"+strconv.Itoa(i), "some value", 0)
		if i%100 == 0 {
			get(st, "k")
		}
	}
	if got := unique(t, st, "k"); got != u {
		t.Errorf("moved: unique %d, was %d", got, u)
	}
	if got := cas(st, "k", "new", u); got != Stored {
		t.Errorf("a spurious EXISTS: %d", got)
	}
}

func TestWithoutCAS(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096, DisableCAS: true})
	put(st, Set, "k", "1", 0)
	if u := unique(t, st, "k"); u != 0 {
		t.Errorf("unique %d", u)
	}
	if got := cas(st, "k", "x", 0); got != Exists {
		t.Errorf("cas: %d", got)
	}
	receive(t, st, "large", make([]byte, 9000), Set)
	if u := unique(t, st, "large"); u != 0 {
		t.Errorf("unique %d of a received value", u)
	}
}

func TestNumbersAreReadAsStrtoullDoes(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  uint64
		ok    bool
	}{
		{"0", 0, true},
		{"42", 42, true},
		{"42 ", 42, true},
		{"42 and more", 42, true},
		{"42\r\n", 42, true},
		{"42\x00junk", 42, true},
		{" \t\n\v\f\r42", 42, true},
		{"+42", 42, true},
		{"00042", 42, true},
		{"18446744073709551615", 1<<64 - 1, true},
		{"18446744073709551616", 0, false},
		{"99999999999999999999999", 0, false},
		{"-1", 0, false},
		{"-0", 0, true},
		{"-18446744073709551615", 1, true},
		{"-9223372036854775809", 1<<63 - 1, true},
		{"", 0, false},
		{" ", 0, false},
		{"+", 0, false},
		{"x42", 0, false},
		{"42x", 0, false},
		{"- 42", 0, false},
	} {
		got, ok := parseNumber([]byte(tt.value))
		if ok != tt.ok || got != tt.want {
			t.Errorf("%q: %d %v, want %d %v", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

func TestIncrWrapsAndDecrStops(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	key := []byte("n")
	h := st.Hash(key)
	put(st, Set, "n", "99", 0)
	for _, step := range []struct {
		down  bool
		delta uint64
		want  uint64
		value string
	}{
		{false, 1, 100, "100"},
		{true, 1, 99, "99 "},
		{true, 1000, 0, "0  "},
		{false, 1<<64 - 1, 1<<64 - 1, "18446744073709551615"},
		{false, 2, 1, "1" + strings.Repeat(" ", 19)},
	} {
		f := st.Incr
		if step.down {
			f = st.Decr
		}
		n, status := f(h, key, step.delta)
		if v, _ := get(st, "n"); status != Stored || n != step.want || v != step.value {
			t.Errorf("%+v: %d %d %q", step, status, n, v)
		}
	}
}

func TestFlush(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 2, SegmentSize: 4096})
	there := func(when string, want string) {
		t.Helper()
		got := ""
		for _, key := range []string{"a", "b", "c"} {
			if _, ok := get(st, key); ok {
				got += key
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	put(st, Set, "a", "v", 0)
	st.FlushAll(expiry.Never)
	there("flushed", "")
	put(st, Set, "b", "v", 0)
	there("stored in the same second", "b")

	st.FlushAll(clock.Now() + 2)
	put(st, Set, "a", "v", 0)
	there("a flush lies ahead", "ab")
	clock.Set(clock.Now() + 1)
	there("it still does", "ab")
	clock.Set(clock.Now() + 1)
	put(st, Set, "c", "v", 0)
	there("it is over", "c")

	st.FlushAll(clock.Now() + 1)
	st.FlushAll(clock.Now() + 5) // replaces the other
	clock.Set(clock.Now() + 1)
	there("the first was replaced", "c")
	clock.Set(clock.Now() + 10)
	there("the second was late", "")
	for st.Sweep() {
	}
	if s := st.Stats(); s.CurrItems != 0 || s.Bytes != 0 || s.Evictions != 0 || s.GetFlushed+s.Reclaimed != 4 {
		t.Errorf("after all: %+v", s)
	}
}

func TestWhatIsCounted(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	soon := clock.Now() + 1
	for _, key := range []string{"found", "swept", "fetched", "overwritten", "deleted"} {
		put(st, Set, key, "v", soon)
	}
	get(st, "fetched")
	clock.Set(soon)
	get(st, "found")
	put(st, Set, "overwritten", "new", 0)
	st.Delete(st.Hash([]byte("deleted")), []byte("deleted"))
	for st.Sweep() {
	}
	s := st.Stats()
	if s.CurrItems != 1 || s.TotalItems != 6 || s.GetExpired != 1 || s.Reclaimed != 4 || s.Expired != 5 || s.ExpiredUnfetched != 3 || s.Evictions != 0 {
		t.Errorf("%+v", s)
	}
	st.ResetStats()
	if s := st.Stats(); s.TotalItems != 0 || s.CurrItems != 1 {
		t.Errorf("after the reset: %+v", s)
	}
}

// A deadline that is brought forward counts for the memory, too.
func TestTouchedItemsGoInTime(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 1, SegmentSize: 4096})
	start := clock.Now()
	put(st, Set, "early", "v", start+1)
	put(st, Set, "late", "v", start+1000)
	clock.Set(start + 1)
	for st.Sweep() { // from here on the segment waits for the late one
	}
	st.TouchView(st.Hash([]byte("late")), []byte("late"), start+3, false, nil)
	clock.Set(start + 3)
	for st.Sweep() {
	}
	if s := st.Stats(); s.CurrItems != 0 || s.Bytes != 0 {
		t.Errorf("%d items, %d bytes", s.CurrItems, s.Bytes)
	}
}

// A lowered limit gives memory back to the system, a raised one is used.
func TestTheLimitMoves(t *testing.T) {
	unit := 1 << 20
	if invariants.Enabled { // smaller: one goroutine, and each step is dear
		unit = 1 << 17
	}
	of := func(n int) int64 { return int64(n) * int64(unit) }
	items := func(n int) int { return n * unit >> 20 }
	clock := expiry.NewClock(1_700_000_000)
	st, err := Open(Options{MemoryLimit: of(32), ItemMax: unit}, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	fill := func(from, n int) {
		for i := range n {
			if got := put(st, Set, "key"+strconv.Itoa(from+i), "a value of 32 bytes, more or less", 0); got != Stored {
				t.Fatalf("set: %d", got)
			}
			if i&0xfff == 0 {
				st.Sweep()
			}
		}
	}
	rest := func() {
		for st.Sweep() {
		}
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
		if s := st.Stats(); s.SegmentBytes+s.IndexBytes+s.TableBytes > s.LimitBytes {
			t.Errorf("limit %d: segments %d, index %d, table %d", s.LimitBytes, s.SegmentBytes, s.IndexBytes, s.TableBytes)
		}
	}
	fill(0, items(700_000))
	rest()
	full, many := residentKB(t), st.Stats().CurrItems
	if err := st.SetLimit(of(8)); err != nil {
		t.Fatal(err)
	}
	rest()
	low, few := residentKB(t), st.Stats().CurrItems
	if int64(full-low)<<10 < of(20) && !invariants.Enabled { // the race detector's own memory stays
		t.Errorf("resident %d KiB at the full limit, %d at a quarter", full, low)
	}
	if few < many/5 {
		t.Errorf("%d items of %d at a quarter of the limit", few, many)
	}
	if err := st.SetLimit(of(48)); err != nil {
		t.Fatal(err)
	}
	fill(items(700_000), items(1_000_000))
	rest()
	if n := st.Stats().CurrItems; n < many*5/4 {
		t.Errorf("%d items at half as much again, %d before", n, many)
	}
	if err := st.SetLimit(st.Reach() + of(1)); err == nil {
		t.Error("a limit beyond what was reserved")
	}
	if err := st.SetLimit(1000); err == nil {
		t.Error("a limit of 1000 bytes")
	}
}

func residentKB(t *testing.T) int {
	debug.FreeOSMemory() // what Check has used is not meant
	return vmKB(t, "VmRSS")
}
