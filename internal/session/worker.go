package session

import (
	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// batchMax is how many commands of a pipeline, or keys of a multiget, are looked at before the
// first is served: more of the memory that they need is then fetched at the same time, but it must
// stay in the nearest cache.
const batchMax = 16

// linesMax is how long the lines of a batch may be before no more are looked at: what is parsed and
// not served in this turn is parsed again in the next.
const linesMax = 4 << 10

// Worker is what the sessions of one event loop share. Only that loop's goroutine uses it, but for
// what its Counters have published.
type Worker struct {
	Out      Replies         // of the read event being served
	Counters stats.Counters  // published when it ends
	Events   events.Recorder // what there is to tell those who watch

	// Datagrams is for sessions that are a datagram long (UDP): Feed comes back after each command,
	// and what makes a connection of its client's something else is not allowed, watch and dumps of
	// all items.
	Datagrams bool

	// Streams says that whoever feeds a session calls Stream when Streams tells him to. Else nothing but
	// large values is worth it.
	Streams bool

	env   *Env
	store *storage.Store
	clock *expiry.Clock
	turn  turn           // of the session being fed …
	wake  func()         // … and its wake
	later bool           // the item being shown cannot be: the store has no room to pin it; wake will be called
	shown int            // bytes of the value that was shown last …
	ends  expiry.Instant // … and when its item ends
	probe insight.Probe

	stored stats.Tally // bytes of what was stored …
	ttls   stats.Tally // … and for how many seconds
	times  [stats.NumKinds]stats.Times

	end    [len(lineEnd)]byte // of a block, as it is read
	rooms  storage.Rooms      // for large values that are streamed …
	lends  []byte             // … and for a small one
	one    [1][]byte          // a room alone
	batch  [batchMax]request  // the commands being served
	keys   [batchMax][]byte   // the keys of a multiget being served …
	hashes [batchMax]uint64   // … and the hashes of either

	packets    [batchMax]packet            // the packets being served …
	asked      *packet                     // … and that of them for which these two append a reply
	showsHit   func(storage.Item)          // appendHit
	showsCount func(*storage.Item, uint64) // appendCount
}

// request is one command of a batch.
type request struct {
	protocol.Request
	err  error
	line []byte // without its LF
	next int    // where in the input its block begins, or the next command
	hash uint64 // of Key
}

// NewWorker makes the worker of one loop, whose counters are in all sums from now on.
func NewWorker(e *Env) *Worker {
	w := &Worker{env: e, store: e.Store, clock: e.Clock, Events: e.Hub.NewRecorder(e.Clock)}
	w.showsHit, w.showsCount = w.appendHit, w.appendCount
	w.probe.Init(e.Insight)
	w.Short(false)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workers == nil {
		e.workers = map[*Worker]struct{}{}
	}
	e.workers[w] = struct{}{}
	return w
}

// EndEvent ends a read event: what it has counted, looked at and has to tell can be seen.
func (w *Worker) EndEvent() {
	w.Counters.Publish()
	w.stored.Publish()
	w.ttls.Publish()
	w.probe.Publish()
	if w.Events.Watched != 0 {
		w.Events.Flush()
	}
}
