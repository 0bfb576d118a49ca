package storage

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// The workloads that caches have been seen to fail at, on a shard of 16 MiB: what -m 64 has four of.
const workloadLimit = 16 << 20

type load struct {
	*testing.T
	st    *Store
	clock *expiry.Clock
	key   []byte
	value []byte
}

func newLoad(t *testing.T, opts Options) *load {
	opts.MemoryLimit = max(opts.MemoryLimit, workloadLimit)
	st, clock := openStore(t, opts)
	return &load{t, st, clock, make([]byte, 250), make([]byte, 1<<20)}
}

func (l *load) name(n, nkey int) []byte {
	key := l.key[:nkey]
	binary.BigEndian.PutUint64(key, uint64(n)*0x9e3779b97f4a7c15)
	return key
}

func (l *load) set(n, nkey, nvalue int, ttl expiry.Instant) {
	key := l.name(n, nkey)
	it := &Item{Key: key, Value: l.value[:nvalue]}
	if ttl != 0 {
		it.Deadline = l.clock.Now() + ttl
	}
	if got := l.st.Put(l.st.Hash(key), Set, it); got != Stored {
		l.Fatalf("set %d: %d", n, got)
	}
	if n&0xfff == 0 {
		l.sweep()
	}
}

// setHalfToEnd sets n items, of which every other one ends after five seconds.
func (l *load) setHalfToEnd(n int) {
	for i := range n {
		ttl := expiry.Instant(86400)
		if i%2 == 0 {
			ttl = 5
		}
		l.set(i, 30, 300, ttl)
	}
}

func (l *load) sweep() {
	for l.st.Sweep() {
	}
}

func (l *load) has(n, nkey int) bool {
	key := l.name(n, nkey)
	return l.st.View(l.st.Hash(key), key, func(Item) {})
}

func (l *load) count(from, to, nkey int) int {
	n := 0
	for i := from; i < to; i++ {
		if l.has(i, nkey) {
			n++
		}
	}
	return n
}

func (l *load) atLeast(what string, got, want int) {
	l.Helper()
	l.Logf("%s: %d, wanted %d", what, got, want)
	if got < want {
		l.Errorf("%s: %d, want at least %d", what, got, want)
	}
}

func TestSizesMayShift(t *testing.T) {
	l := newLoad(t, Options{})
	old := workloadLimit / 154
	for i := range old {
		l.set(i, 30, 100, 0)
	}
	n := 3 * workloadLimit / 754
	for i := range n {
		l.set(old+i, 30, 700, 0)
	}
	ideal := workloadLimit / 730
	l.atLeast("new items resident", l.count(old, old+n, 30), ideal*94/100)
}

func TestTheIndexMakesRoomForLargerItems(t *testing.T) {
	l := newLoad(t, Options{})
	fresh := fillStore(t, workloadLimit, 40, 1000, 0).CurrItems
	old := 3 * workloadLimit / 52
	for i := range old {
		l.set(i, 20, 8, 0)
	}
	n := 3 * workloadLimit / 1064
	for i := range n {
		l.set(old+i, 40, 1000, 0)
	}
	l.sweep()
	l.atLeast("new items resident", l.count(old, old+n, 40), int(fresh*93/100))
	x := &l.st.shards[0].index
	small := x.bytes()
	l.atLeast("KiB of index given back", int(l.resident(func() { // written again, they come back
		b := unsafe.Slice((*byte)(x.base), 2<<20)
		for i := small; i < uint64(len(b)); i += 4096 {
			b[i] = 0
		}
	})), 1<<10)
}

// resident is by how many KiB the process grows while something is done.
func (l *load) resident(do func()) int {
	before := residentKB(l.T)
	do()
	return residentKB(l.T) - before
}

func TestOverwritesLoseNothing(t *testing.T) {
	l := newLoad(t, Options{})
	live := workloadLimit * 40 / 100 / 350
	sizes := rand.New(rand.NewPCG(1, 2))
	for written := 0; written < 3*workloadLimit; {
		n := 50 + sizes.IntN(500)
		l.set(sizes.IntN(live), 30, n, 0)
		written += n + 30
	}
	if s := l.st.Stats(); s.Evictions != 0 {
		t.Errorf("%d items of a live set of 40 %% were evicted", s.Evictions)
	}
}

// A few large values among small ones that come and go: each asks for as much room at once as hundreds of others leave behind.
func TestLargeValuesLoseNothing(t *testing.T) {
	const large = 4 // keys
	for _, c := range []struct {
		name           string
		from, to       int // bytes of a large value …
		small, smallTo int // … and of the others
	}{
		{"at once", 20_000, 60_000, 20, 1040},
		{"at once, among tiny ones", 20_000, 60_000, 8, 9},
		{"in parts", 100_000, 300_000, 20, 1040},
		{"in parts, among tiny ones", 100_000, 300_000, 8, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoad(t, Options{})
			draw := rand.New(rand.NewPCG(1, 2))
			n := workloadLimit * 45 / 100 / ((c.small+c.smallTo)/2 + 28)
			coming := map[int]*Incoming{}
			for range 10 * n {
				k := draw.IntN(n)
				if draw.IntN(50) == 0 {
					k = 1 + draw.IntN(large)
				}
				key := l.name(k, 20)
				switch in := coming[k]; {
				case k > large && draw.IntN(8) == 0:
					l.st.Delete(l.st.Hash(key), key)
				case k > large:
					l.set(k, 20, draw.IntN(c.smallTo-c.small)+c.small, 0)
				case c.to <= l.st.LargeMin():
					l.set(k, 20, draw.IntN(c.to-c.from)+c.from, 0)
				case in == nil:
					coming[k], _ = l.st.Receive(l.st.Hash(key), &Item{Key: key}, draw.IntN(c.to-c.from)+c.from, nil)
				case in.came == 0:
					if _, status := in.Write(l.value[:64<<10]); status != Stored {
						t.Fatal("no room for the first part")
					}
				case in.came < in.n:
					if _, status := in.Fill(new(Rooms), func(rooms [][]byte) (n int) {
						for _, room := range rooms {
							n += len(room)
						}
						return n
					}); status != Stored {
						t.Fatal(status)
					}
				default:
					if status := in.Commit(Set); status != Stored {
						t.Fatal(status)
					}
					delete(coming, k)
				}
			}
			for _, in := range coming {
				in.Abort()
			}
			if s := l.st.Stats(); s.Evictions != 0 {
				t.Errorf("%d evicted of a live set that fills half of the memory", s.Evictions)
			}
		})
	}
}

func TestAHotSetSurvivesAColdFlood(t *testing.T) {
	l := newLoad(t, Options{})
	hot := workloadLimit * 2 / 100 / 154
	for i := range hot {
		l.set(i, 30, 100, 0)
	}
	missed := 0
	for i := range 3 * workloadLimit / 154 {
		l.set(hot+i, 30, 100, 0)
		if i%32 == 0 && !l.has(i/32%hot, 30) {
			missed++
		}
	}
	if n := l.count(0, hot, 30); n != hot || missed != 0 {
		t.Errorf("%d of %d hot items are left, %d reads missed", n, hot, missed)
	}
}

func TestExpiredMemoryComesBackUnasked(t *testing.T) {
	l := newLoad(t, Options{})
	n := workloadLimit * 45 / 100 / 330
	l.setHalfToEnd(n)
	full := l.st.Stats()
	l.clock.Set(l.clock.Now() + 4)
	l.sweep()
	if s := l.st.Stats(); s.CurrItems != uint64(n) {
		t.Errorf("%d of %d items a second before the deadline", s.CurrItems, n)
	}
	l.clock.Set(l.clock.Now() + 1)
	l.sweep()
	s := l.st.Stats()
	if s.CurrItems != uint64(n/2) || s.Evictions != 0 {
		t.Errorf("%d items, %d evictions at the deadline, want %d and 0", s.CurrItems, s.Evictions, n/2)
	}
	l.atLeast("bytes back", int(full.Bytes-s.Bytes), int(full.Bytes)/2*98/100)
}

func TestTheExpiredGoBeforeTheLiving(t *testing.T) {
	l := newLoad(t, Options{})
	n := workloadLimit * 90 / 100 / 345
	l.setHalfToEnd(n)
	l.clock.Set(l.clock.Now() + 8)
	l.sweep()
	for i := range n / 2 {
		l.set(n+i, 30, 300, 86400)
	}
	kept := 0
	for i := 1; i < n; i += 2 {
		if l.has(i, 30) {
			kept++
		}
	}
	l.atLeast("live items kept", kept, n/2*999/1000)
}

func TestRoomOfTheDeletedIsUsedAgain(t *testing.T) {
	l := newLoad(t, Options{})
	n := workloadLimit * 3 / 2 / 154
	for i := range n {
		l.set(i, 30, 100, 0)
	}
	deleted := rand.New(rand.NewPCG(3, 4))
	kept := 0
	for i := range n {
		if !l.has(i, 30) {
			continue
		}
		if key := l.name(i, 30); deleted.IntN(2) == 0 {
			l.st.Delete(l.st.Hash(key), key)
		} else {
			kept++
		}
	}
	m := workloadLimit / 2 / 370
	for i := range m {
		l.set(n+i, 30, 300, 0)
	}
	l.atLeast("old items kept", l.count(0, n, 30), kept*95/100)
	l.atLeast("new items kept", l.count(n, n+m, 30), m*97/100)
}
