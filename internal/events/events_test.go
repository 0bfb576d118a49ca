package events

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/storage"
)

func newHub(t *testing.T, bufMax int) (*Hub, *Recorder) {
	clock := expiry.NewClock(1_700_000_000)
	store, err := storage.Open(storage.Options{MemoryLimit: 4 << 20, ItemMax: 64 << 10, HeapArena: true}, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	h := NewHub(store, bufMax, ':')
	r := h.NewRecorder(clock)
	return h, &r
}

func look(r *Recorder, key string) {
	if r.Look(1); r.Watched != 0 {
		r.Fetched(r.store.Hash([]byte(key)), []byte(key))
		r.Flush()
	}
}

// A watcher is woken once for all lines that come until it takes them, and no lock is held
// meanwhile.
func TestWakeIsCalledForTheFirstLine(t *testing.T) {
	h, r := newHub(t, 64<<10)
	woken := 0
	var w *Watcher
	w = h.Add(Fetchers, func() { woken++; h.Stats() })
	for round := range 3 {
		look(r, "a")
		look(r, "b")
		lines := string(w.Take(nil))
		if woken != round+1 || strings.Count(lines, "\n") != 2 || !strings.Contains(lines, "key=b ") {
			t.Errorf("round %d: woken %d times for %q", round, woken, lines)
		}
	}
	if lines := w.Take(nil); len(lines) > 0 {
		t.Errorf("taken twice: %q", lines)
	}
	h.Remove(w)
	look(r, "c")
	if woken != 3 || r.Watched != 0 || len(w.Take(nil)) > 0 {
		t.Errorf("after Remove: woken %d times, %b is wanted", woken, r.Watched)
	}
}

// Of what is wanted of others a watcher hears nothing, and is not woken.
func TestWatchersHearWhatTheyWant(t *testing.T) {
	h, r := newHub(t, 64<<10)
	w, other := h.Add(Deletions, func() { t.Error("woken") }), h.Add(Fetchers, func() {})
	look(r, "a")
	if lines := w.Take(nil); len(lines) > 0 || len(other.Take(nil)) == 0 {
		t.Errorf("heard %q", lines)
	}
}

// The lines that find no room are counted, and the count comes before the next line that does.
func TestAFullBufferMissesLines(t *testing.T) {
	h, r := newHub(t, 300)
	w := h.Add(Fetchers, func() {})
	for i := range 10 {
		look(r, fmt.Sprint("key", i))
	}
	kept := strings.Count(string(w.Take(nil)), "\n")
	look(r, "last")
	if lines := string(w.Take(nil)); !strings.HasPrefix(lines, fmt.Sprintf("skipped=%d\n", 10-kept)) || !strings.Contains(lines, "key=last ") {
		t.Errorf("%d kept of 10, then %q", kept, lines)
	}
	if s := h.Stats(); s.Watchers != 1 || s.Written != 11 || s.Sent != uint64(kept+1) || s.Skipped != uint64(10-kept) {
		t.Errorf("%+v", s)
	}
}

func TestThereAreWatchersMax(t *testing.T) {
	h, _ := newHub(t, 300)
	var first *Watcher
	for range WatchersMax {
		first = h.Add(Fetchers, func() {})
	}
	if h.Add(Fetchers, func() {}) != nil {
		t.Error("one too many")
	}
	h.Remove(first)
	if h.Add(Fetchers, func() {}) == nil {
		t.Error("no room after one has gone")
	}
}

// Loops tell while watchers come, take and go.
func TestWatchersComeAndGoWhileLoopsTell(t *testing.T) {
	h, one := newHub(t, 4<<10)
	stop := make(chan struct{})
	var loops, watchers sync.WaitGroup
	for range 2 {
		r := *one
		loops.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					look(&r, "k")
				}
			}
		})
	}
	for range 4 {
		watchers.Go(func() {
			for range 50 {
				more := make(chan struct{}, 1)
				w := h.Add(Fetchers, func() {
					select {
					case more <- struct{}{}:
					default:
					}
				})
				var lines []byte
				for range 3 {
					<-more
					lines = w.Take(lines)
				}
				h.Remove(w)
			}
		})
	}
	watchers.Wait()
	close(stop)
	loops.Wait()
	if h.Wanted() != 0 {
		t.Errorf("%b is wanted", h.Wanted())
	}
}

func TestPrefixesAreBounded(t *testing.T) {
	ps := prefixes{delimiter: '/'}
	for i := range PrefixesMax + 100 {
		ps.count(fmt.Appendf(nil, "%d/k", i), func(p *prefix) { p.gets++ })
	}
	if n := strings.Count(string(ps.dump(nil)), "PREFIX"); n != PrefixesMax {
		t.Errorf("%d prefixes", n)
	}
}
