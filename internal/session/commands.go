package session

import (
	"math"
	"strconv"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// What commands about items do, whatever the words in which they are asked for and answered: they
// call the store, count, tell those who watch, and have some looked at (internal/insight). text.go
// and meta.go make these calls of requests, and word what comes of them.

// look is called once for each key that was asked for or written, with how many bytes of its value
// were read or written, and when the item ends that was read or stored.
func (w *Worker) look(hash uint64, key []byte, op insight.Op, hit bool, size int, ends expiry.Instant) {
	if w.probe.Wants(hash) {
		w.probe.Saw(insight.Request{Hash: hash, Key: key, Op: op, Hit: hit, Size: size, Ends: ends})
	}
}

// stores is what a storage command, or one that may delete, has done: op if it is Stored.
func stores(op insight.Op, status storage.Status) insight.Op {
	if status == storage.Stored {
		return op
	}
	return insight.Nothing
}

// lookup says how a key is looked up.
type lookup struct {
	unique   bool           // its unique is shown
	touch    bool           // it gets a deadline …
	deadline expiry.Instant // … this one
	told     bool           // those who watch know of the next one already: it had to wait
}

// fetch looks one key of a retrieval up, and shows the item, unless w.later says that it cannot
// yet.
func (w *Worker) fetch(hash uint64, key []byte, how *lookup, show func(storage.Item)) (hit bool) {
	if w.Events.Watched != 0 && !how.told {
		w.turn.spend(eventWork)
		w.Events.Fetched(hash, key)
	}
	w.later, w.shown, w.ends, how.told = false, 0, expiry.Never, false
	switch {
	case how.touch:
		hit = w.store.TouchView(hash, key, how.deadline, how.unique, show) == storage.Stored
	case how.unique:
		hit = w.store.ViewUnique(hash, key, show)
	default:
		hit = w.store.View(hash, key, show)
	}
	if w.later { // it is fetched again
		return hit
	}
	if how.touch {
		w.ends = how.deadline
	}
	w.look(hash, key, insight.Lookup, hit, w.shown, w.ends)
	if how.touch {
		w.countTouch(hit)
		return hit
	}
	w.Counters.Add(stats.CmdGet, 1)
	w.Counters.HitOrMiss(hit, stats.GetHits, stats.GetMisses)
	return hit
}

// edit looks an item up, and lets visit change it.
func (w *Worker) edit(hash uint64, key []byte, v storage.Visit, visit func(*storage.Item)) storage.Status {
	w.later, w.shown, w.ends = false, 0, expiry.Never
	status := w.store.Edit(hash, key, v, visit)
	hit := status != storage.NotFound
	if w.later {
		return status
	}
	if v.Touches {
		w.ends = v.Touch
	}
	w.look(hash, key, insight.Lookup, hit, w.shown, w.ends)
	if hit && v.Touches {
		w.countTouch(hit)
		return status
	}
	w.Counters.Add(stats.CmdGet, 1)
	w.Counters.HitOrMiss(hit, stats.GetHits, stats.GetMisses)
	return status
}

// touch sets an item's deadline.
func (w *Worker) touch(hash uint64, key []byte, deadline expiry.Instant) storage.Status {
	status := w.store.TouchView(hash, key, deadline, false, nil)
	w.look(hash, key, insight.Lookup, status != storage.NotFound, 0, deadline)
	w.countTouch(status != storage.NotFound)
	return status
}

func (w *Worker) countTouch(hit bool) {
	w.Counters.Add(stats.CmdTouch, 1)
	w.Counters.HitOrMiss(hit, stats.TouchHits, stats.TouchMisses)
}

// storing is a storage command.
type storing struct {
	mode storage.Mode
	// drops says that the old value goes when the new one has no room: the client believes that it
	// is being replaced, so serving it again would be serving what is stale.
	drops bool
	hash  uint64
	item  storage.Item
}

// put stores a value that is complete: the item's, or one that was received piece by piece.
func (w *Worker) put(c *storing, large *storage.Incoming) (status storage.Status) {
	if w.Events.AboutKeys() {
		w.Events.LookUp(c.hash, c.item.Key)
	}
	if joins(c.mode) {
		w.turn.spend(joinWork)
	}
	size := len(c.item.Value)
	if large == nil {
		w.turn.spend(size / bytesOfWork)
		status = w.store.Put(c.hash, c.mode, &c.item)
	} else {
		status = large.Commit(c.mode)
		large.Tell(&c.item)
		size = c.item.Len()
	}
	op := stores(insight.Store, status)
	if joins(c.mode) {
		op = stores(insight.Use, status)
	}
	w.look(c.hash, c.item.Key, op, false, size, c.item.Deadline)
	w.settle(c, status)
	return status
}

// settle counts and tells the outcome of a storage command that got as far as its value.
func (w *Worker) settle(c *storing, status storage.Status) {
	if w.Events.Watched&events.Mutations != 0 {
		w.Events.Stored(c.hash, c.mode, &c.item, status)
	}
	switch {
	case status == storage.Stored && !joins(c.mode):
		w.tally(&c.item)
	case status == storage.OutOfMemory:
		w.Counters.Add(stats.StoreNoMemory, 1)
		w.env.Say(NoRoom, "refused a value: the memory for items (-m) is full, and -M is set or replies and uploads hold it\n")
		w.dropOld(c)
	}
	if c.mode == storage.CompareAndSwap || c.mode == storage.CompareAndSwapStale {
		switch status {
		case storage.Stored:
			w.Counters.Add(stats.CasHits, 1)
		case storage.Exists:
			w.Counters.Add(stats.CasBadval, 1)
		case storage.NotFound:
			w.Counters.Add(stats.CasMisses, 1)
		}
	}
}

// tally counts what an item that is stored whole is like.
func (w *Worker) tally(it *storage.Item) {
	w.stored.Add(uint64(len(it.Key) + it.Len()))
	switch now := w.clock.Now(); {
	case it.Deadline == expiry.Never:
		w.Counters.Add(stats.StoredForever, 1)
	case it.Deadline.Passed(now):
		w.ttls.Add(0)
	default:
		w.ttls.Add(uint64(it.Deadline - now))
	}
}

// turnAway counts and tells that a value is too large, before it is read.
func (w *Worker) turnAway(c *storing) {
	if w.Events.Watched&events.Mutations != 0 {
		w.Events.Stored(c.hash, c.mode, &c.item, storage.TooLarge)
	}
	w.Counters.Add(stats.StoreTooLarge, 1)
	w.env.Say(TooLarge, "refused a value: with its key it is larger than -I allows, %d bytes\n", w.env.Rules.ItemMax)
	w.dropOld(c)
}

func (w *Worker) dropOld(c *storing) {
	if c.drops {
		w.store.Delete(c.hash, c.item.Key)
	}
}

// numberBytes is about what a counter takes that comes to be.
const numberBytes = 4

// add adds to a number, or takes from it.
func (w *Worker) add(hash uint64, key []byte, delta uint64, down bool) (n uint64, status storage.Status) {
	c := storage.Count{Delta: delta, Down: down}
	n, status = w.store.Add(hash, key, &c)
	w.turn.spend(c.Length / bytesOfNumber)
	w.look(hash, key, stores(insight.Use, status), false, 0, expiry.Never)
	w.countAdd(down, status)
	return n, status
}

// count is add with conditions and side effects. visit is called with the outcome when there is
// one, and may set the deadline.
func (w *Worker) count(hash uint64, key []byte, c storage.Count, visit func(*storage.Item, uint64)) storage.Status {
	created := false
	_, status := w.store.Count(hash, key, c, func(it *storage.Item, n uint64) {
		w.turn.spend(it.Len() / bytesOfNumber)
		created = it.Created
		visit(it, n)
	})
	if created {
		w.look(hash, key, insight.Store, false, numberBytes, c.Deadline)
	} else {
		w.look(hash, key, stores(insight.Use, status), false, 0, expiry.Never)
	}
	switch {
	case !created:
		w.countAdd(c.Down, status)
	case w.Events.Watched&events.Mutations != 0:
		number := storage.Item{Key: key, Deadline: c.Deadline, Value: strconv.AppendUint(nil, c.Initial, 10)}
		w.Events.Stored(hash, storage.Add, &number, status)
	}
	return status
}

func (w *Worker) countAdd(down bool, status storage.Status) {
	hits, misses := stats.IncrHits, stats.IncrMisses
	if down {
		hits, misses = stats.DecrHits, stats.DecrMisses
	}
	switch status {
	case storage.Stored:
		w.Counters.Add(hits, 1)
	case storage.NotFound:
		w.Counters.Add(misses, 1)
	}
}

// delete removes an item.
func (w *Worker) delete(hash uint64, key []byte) (hit bool) {
	hit = w.store.Delete(hash, key)
	w.look(hash, key, insight.Remove, false, 0, expiry.Never)
	w.countDelete(key, hit)
	return hit
}

func (w *Worker) countDelete(key []byte, hit bool) {
	w.Counters.HitOrMiss(hit, stats.DeleteHits, stats.DeleteMisses)
	if hit && w.Events.Watched&events.Deletions != 0 {
		w.Events.Deleted("delete", key, false)
	}
}

// deleteIf is delete of the version with this unique, or with 0 of any. Another version is Exists.
func (w *Worker) deleteIf(hash uint64, key []byte, unique uint64) storage.Status {
	status := w.store.Remove(hash, key, storage.Removal{Compare: unique != 0, Unique: unique})
	w.look(hash, key, stores(insight.Remove, status), false, 0, expiry.Never)
	if status != storage.Exists { // which memcached does not count
		w.countDelete(key, status == storage.Stored)
	}
	return status
}

// remove is delete with conditions, and with items that stay as something else. What stays stale
// has not been deleted.
func (w *Worker) remove(hash uint64, key []byte, r storage.Removal) storage.Status {
	status := w.store.Remove(hash, key, r)
	op := stores(insight.Remove, status)
	if r.Stale || r.Empty { // it stays
		op = stores(insight.Use, status)
	}
	w.look(hash, key, op, false, 0, expiry.Never)
	switch {
	case status == storage.NotFound, status == storage.Exists:
		w.Counters.Add(stats.DeleteMisses, 1)
	case status == storage.Stored && !r.Stale:
		w.Counters.Add(stats.DeleteHits, 1)
		if w.Events.Watched&events.Deletions != 0 {
			w.Events.Deleted("md", key, r.Empty)
		}
	}
	return status
}

// flush ends everything stored until now, or until the delay is over, unless it is refused. delayOK
// says that the delay could be read.
func (w *Worker) flush(delay int32, delayOK bool) protocol.Refusal {
	w.Counters.Add(stats.CmdFlush, 1)
	switch {
	case w.env.Rules.DisableFlush:
		return protocol.FlushNotAllowed
	case !delayOK:
		return protocol.BadExptime
	}
	w.flushAt(w.clock.Deadline(max(delay, 0)))
	return protocol.None
}

// flushPrefix ends everything stored until now under keys that begin so, unless it is refused. Who gets
// a place has to wait until wake is called, and to ask again with it.
func (w *Worker) flushPrefix(prefix []byte, place uint64) (why protocol.Refusal, waits uint64) {
	if place == 0 {
		w.Counters.Add(stats.CmdFlush, 1)
	}
	if w.env.Rules.DisableFlush {
		return protocol.FlushPrefixNotAllowed, 0
	}
	w.turn.spend(flushWork)
	waits = w.store.FlushPrefix(prefix, place, w.wake)
	switch {
	case waits == 0:
		w.Counters.Add(stats.FlushPrefixes, 1)
	case w.env.Sweep != nil:
		w.env.Sweep()
	}
	return protocol.None, waits
}

// flushAt ends everything stored until the second before the deadline, or until now if that is
// Never. memcached takes the second off, so that a delay of 1 is none. And a date from before the
// server's start finds nothing that old: all it does is to replace a flush that was due.
func (w *Worker) flushAt(deadline expiry.Instant) {
	w.turn.spend(flushWork)
	switch deadline {
	case expiry.Never:
	case expiry.Past:
		deadline = math.MaxUint32
	default:
		deadline--
	}
	w.store.FlushAll(deadline)
	w.probe.Flush(deadline)
}
