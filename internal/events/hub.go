package events

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// Kinds are what can be watched.
type Kinds uint32

// The kinds of events.
const (
	Fetchers    Kinds = 1 << iota // every lookup of a key, be it for a get or before a set
	Mutations                     // what became of storage commands
	Deletions                     // keys that delete and md have removed
	Evictions                     // items that had to go
	Connections                   // clients that come and go
	Prefixes                      // not to be watched: stats detail counts what is done to keys by their prefixes

	aboutKeys = Fetchers | Mutations | Deletions
)

// names are what watch takes. Those without events are of parts of memcached that are not here.
var names = map[string]Kinds{
	"fetchers": Fetchers, "mutations": Mutations, "deletions": Deletions, "evictions": Evictions, "connevents": Connections,
	"sysevents": 0, "rawcmds": 0, "proxyreqs": 0, "proxyevents": 0, "proxyuser": 0,
}

// Named are the kinds that watch is asked for by name; fetchers when no name is given.
func Named(words [][]byte) (wants Kinds, known bool) {
	for _, word := range words {
		one, ok := names[string(word)]
		if !ok {
			return 0, false
		}
		wants |= one
	}
	if len(words) == 0 {
		wants = Fetchers
	}
	return wants, true
}

const (
	// WatchersMax is how many there may be. Source: memcached's WATCHER_LIMIT.
	WatchersMax = 20
	// skippedMax is the room that is kept for "skipped=<n>".
	skippedMax = 32
)

// Hub is where lines go to those whom they concern. Its methods may be called by any goroutine.
type Hub struct {
	wants    atomic.Uint32 // kinds that somebody wants to hear of
	gid      atomic.Uint64 // the number of the last line
	lines    atomic.Uint64 // that were handed on
	lost     atomic.Uint64 // evictions that the store could not keep for us
	store    *storage.Store
	bufMax   int
	prefixes prefixes

	mu       sync.Mutex // guards the rest, and the watchers' buffers
	watchers []*Watcher
	sent     uint64 // lines that went into buffers …
	skipped  uint64 // … and that did not
	detail   bool   // stats detail is on
}

// NewHub makes a hub without watchers. Each of them may have bufMax bytes of lines waiting;
// delimiter ends the prefix of a key.
func NewHub(store *storage.Store, bufMax int, delimiter byte) *Hub {
	return &Hub{store: store, bufMax: bufMax, prefixes: prefixes{delimiter: delimiter}}
}

// Watcher is somebody who watches.
type Watcher struct {
	hub     *Hub
	wants   Kinds
	wake    func()
	lines   []byte // to be taken
	skipped uint64 // lines missed since the last one that was not
}

// Add makes a watcher, or gives nil when there are WatchersMax already. wake is called when the
// watcher's lines are no longer none: by whichever goroutine has told them, without any lock of the
// hub's, and perhaps once more just after Remove. It must not block.
func (h *Hub) Add(wants Kinds, wake func()) *Watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == WatchersMax {
		return nil
	}
	w := &Watcher{hub: h, wants: wants, wake: wake}
	h.watchers = append(h.watchers, w)
	h.update()
	return w
}

// Remove ends a watcher: no more lines come for it.
func (h *Hub) Remove(w *Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.watchers, w)
	h.watchers = slices.Delete(h.watchers, i, i+1)
	h.update()
}

// Take gives the lines that wait, which are the caller's from then on, and puts an empty buffer in
// their place. There may be none.
func (w *Watcher) Take(empty []byte) (lines []byte) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	lines, w.lines = w.lines, empty[:0]
	return lines
}

// SetDetail turns stats detail on or off.
func (h *Hub) SetDetail(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.detail = on
	h.update()
}

// AppendDetail appends the counts of stats detail, and END.
func (h *Hub) AppendDetail(out []byte) []byte { return h.prefixes.dump(out) }

// Wanted is what somebody wants to hear of at present.
func (h *Hub) Wanted() Kinds { return Kinds(h.wants.Load()) }

// update finds out what is wanted now.
func (h *Hub) update() {
	wants := Kinds(0)
	for _, w := range h.watchers {
		wants |= w.wants
	}
	if h.detail {
		wants |= Prefixes
	}
	if before := h.Wanted(); (before^wants)&Evictions != 0 {
		h.store.WatchEvictions(wants&Evictions != 0)
	}
	h.wants.Store(uint32(wants))
}

// tell hands a recorder's lines on.
func (h *Hub) tell(r *Recorder) {
	var woken [WatchersMax]*Watcher
	for _, w := range woken[:h.sort(r, &woken)] {
		w.wake()
	}
}

// sort gives lines to those whom they concern, and lists those of them who had none before.
func (h *Hub) sort(r *Recorder, woken *[WatchersMax]*Watcher) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watchers {
		before, begin := len(w.lines), 0
		for _, line := range r.ends {
			if w.wants&line.kind != 0 {
				h.push(w, r.text[begin:line.end])
			}
			begin = line.end
		}
		if before == 0 && len(w.lines) > 0 {
			woken[n] = w
			n++
		}
	}
	h.lines.Add(uint64(len(r.ends)))
	return n
}

func (h *Hub) push(w *Watcher, line []byte) {
	if len(w.lines)+skippedMax+len(line) > h.bufMax {
		w.skipped++
		h.skipped++
		return
	}
	if w.skipped > 0 {
		w.lines = protocol.AppendSkipped(w.lines, w.skipped)
		w.skipped = 0
	}
	w.lines = append(w.lines, line...)
	h.sent++
}

// Stats are the numbers that stats tells.
func (h *Hub) Stats() stats.Watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return stats.Watch{Watchers: len(h.watchers), Written: h.lines.Load(), Dropped: h.lost.Load(), Sent: h.sent, Skipped: h.skipped}
}

// ResetStats starts the counters over, those of the prefixes too.
func (h *Hub) ResetStats() {
	h.prefixes.clear()
	h.lines.Store(0)
	h.lost.Store(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent, h.skipped = 0, 0
}
