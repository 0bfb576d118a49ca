// Package linear lets clients loose on a few keys of a cache at the same time, notes when each call began and ended and what
// came of it, and asks porcupine whether some order of the calls explains it all. It is for tests, of the store and of the
// server over its sockets; each brings its own Client. It knows no protocol and no store.
//
// A cache is not quite a set of registers:
//
//   - An item may be lost at any time (evicted, or refused for want of memory). So a miss is always believed, and from then
//     on the item is gone; but a hit must be what the order says, never an older value.
//   - It ends: at its deadline by a clock that is moved as one of the calls, and at a flush.
//   - A unique is learned from the first gets that shows it, and then holds until the item changes.
package linear

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verb names a call.
type Verb uint8

// The calls.
const (
	Set Verb = iota
	Add
	Replace
	Append
	Prepend
	Cas
	Get
	Gets
	Gat
	Touch
	Delete
	Incr
	Decr
	Flush // of every key
	Clear // of the keys that begin with Key
	Clock // is moved to Deadline
)

var names = [...]string{"set", "add", "replace", "append", "prepend", "cas", "get", "gets", "gat", "touch", "delete", "incr", "decr", "flush", "clear", "clock"}

// Call is what a client asks.
type Call struct {
	Verb     Verb
	Key      string
	Value    string
	Unique   uint64 // Cas
	Delta    uint64 // Incr, Decr
	Deadline uint32 // a second of the clock, from which on there is no item; 0: never
}

// Outcome is how a call ended.
type Outcome uint8

// The outcomes.
const (
	Done      Outcome = iota // stored, found, deleted, touched, counted
	NotStored                // by the rule of the verb
	Exists                   // Cas
	NotFound
	NoMemory
)

// Reply is what came of a call.
type Reply struct {
	Outcome Outcome
	Value   string // Get, Gets, Gat
	Unique  uint64 // Gets
	Number  uint64 // Incr, Decr
}

// Client makes calls, one at a time.
type Client interface {
	Do(Call) Reply
}

// item is the state of one key.
type item struct {
	present  bool
	value    string
	unique   uint64 // 0: nobody has been told
	told     uint64 // the largest that anybody was ever told
	deadline uint32
	now      uint32
}

// step tells whether a reply fits the state, and the state after it.
func step(it item, c Call, r Reply) (bool, item) {
	if it.present && it.deadline != 0 && it.deadline <= it.now {
		it.present = false
	}
	change := func(value string, deadline uint32) (bool, item) {
		it.present, it.value, it.deadline, it.unique = true, value, deadline, 0
		return true, it
	}
	lost := it // the item may have been lost before
	lost.present = false
	miss := r.Outcome == NotFound
	if r.Outcome == NoMemory {
		return true, it
	}
	switch c.Verb {
	case Clock:
		it.now = c.Deadline
		return true, it
	case Flush, Clear:
		return true, lost
	case Set:
		if r.Outcome == Done {
			return change(c.Value, c.Deadline)
		}
	case Add:
		if r.Outcome == Done {
			return change(c.Value, c.Deadline)
		}
		return r.Outcome == NotStored && it.present, it
	case Replace, Append, Prepend:
		if r.Outcome == NotStored {
			return true, lost
		}
		switch {
		case r.Outcome != Done || !it.present:
			return false, it
		case c.Verb == Append:
			return change(it.value+c.Value, it.deadline)
		case c.Verb == Prepend:
			return change(c.Value+it.value, it.deadline)
		}
		return change(c.Value, c.Deadline)
	case Cas:
		switch {
		case miss:
			return true, lost
		case r.Outcome == Exists:
			return it.present && it.unique != c.Unique, it
		case r.Outcome == Done && it.present && it.unique == c.Unique:
			return change(c.Value, c.Deadline)
		}
	case Get, Gets, Gat, Touch:
		switch {
		case miss:
			return true, lost
		case !it.present || c.Verb != Touch && r.Value != it.value:
			return false, it
		}
		if c.Verb == Gat || c.Verb == Touch {
			it.deadline = c.Deadline
		}
		if c.Verb == Gets {
			if r.Unique == 0 || it.unique != 0 && it.unique != r.Unique || it.unique == 0 && it.told == r.Unique {
				return false, it
			}
			it.unique, it.told = r.Unique, max(it.told, r.Unique)
		}
		return true, it
	case Delete:
		return miss || it.present, lost
	case Incr, Decr:
		if miss {
			return true, lost
		}
		n, err := strconv.ParseUint(strings.TrimRight(it.value, " "), 10, 64)
		if !it.present || err != nil {
			return false, it
		}
		if c.Verb == Incr {
			n += c.Delta
		} else {
			n -= min(n, c.Delta)
		}
		text := strconv.FormatUint(n, 10)
		text += strings.Repeat(" ", max(0, len(it.value)-len(text)))
		_, it = change(text, it.deadline)
		return r.Number == n, it
	}
	return false, it
}

// Run is one run.
type Run struct {
	Clients   []Client
	Registers []string // keys for values of any kind
	Counters  []string // keys for numbers
	Calls     int      // by each client
	Seed      uint64
	Now       uint32       // what the clock says at the start
	Move      func(uint32) // sets the clock; nil: it stands still
	LengthMax int          // of values
}

// Check runs it and returns what is wrong, nil if nothing.
func (run *Run) Check() error {
	history := run.history()
	model := porcupine.Model{
		Init:  func() any { return item{now: run.Now} },
		Step:  func(state, in, out any) (bool, any) { return step(state.(item), in.(Call), out.(Reply)) },
		Equal: func(a, b any) bool { return a == b },
	}
	for key, calls := range byKey(history, append(run.Registers, run.Counters...)) {
		if porcupine.CheckOperationsTimeout(model, calls, 30*time.Second) == porcupine.Illegal {
			return fmt.Errorf("no order of the calls on %s explains what came of them:\n%s", key, text(calls))
		}
	}
	return nil
}

// history lets the clients loose.
func (run *Run) history() []porcupine.Operation {
	var (
		mu    sync.Mutex
		calls []porcupine.Operation
		all   sync.WaitGroup
		now   = run.Now
		start = time.Now()
	)
	note := func(client int, c Call, do func() Reply) Reply {
		from := time.Since(start)
		r := do()
		to := time.Since(start)
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, porcupine.Operation{ClientId: client, Input: c, Output: r, Call: int64(from), Return: int64(to)})
		return r
	}
	for i, client := range run.Clients {
		all.Go(func() {
			draw := rand.New(rand.NewPCG(run.Seed, uint64(i)))
			known := map[string]uint64{}
			for n := range run.Calls {
				mu.Lock()
				at := now
				mu.Unlock()
				c := run.draw(draw, i, n, at, known)
				r := note(i, c, func() Reply { return client.Do(c) })
				if c.Verb == Gets {
					known[c.Key] = r.Unique
				}
				if i == 0 && n%8 == 7 && run.Move != nil {
					// A client of its own number: it holds up nobody, but it is called by one goroutine only.
					note(len(run.Clients), Call{Verb: Clock, Deadline: at + 1}, func() Reply { run.Move(at + 1); return Reply{} })
					mu.Lock()
					now = at + 1
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return calls
}

func pick[T any](draw *rand.Rand, of ...T) T { return of[draw.IntN(len(of))] }

func (run *Run) draw(draw *rand.Rand, client, n int, now uint32, known map[string]uint64) Call {
	c := Call{}
	if draw.IntN(2) == 0 || draw.IntN(4) == 0 {
		c.Deadline = now + 1 + uint32(draw.IntN(4))
	}
	if len(run.Counters) > 0 && draw.IntN(3) == 0 {
		c.Key = pick(draw, run.Counters...)
		c.Verb = pick(draw, Incr, Incr, Incr, Decr, Decr, Get, Gets, Add, Add, Set, Cas, Delete)
		c.Delta = pick(draw, 1, uint64(draw.IntN(100)), 1<<40)
		c.Value = strconv.Itoa(draw.IntN(1000))
	} else {
		c.Key = pick(draw, run.Registers...)
		c.Verb = pick(draw, Set, Set, Set, Add, Replace, Append, Prepend, Cas, Cas, Cas, Get, Get, Get, Gets, Gets, Gets, Gat, Touch, Delete, Delete)
		name := fmt.Sprintf("%d.%d ", client, n)
		length := pick(draw, len(name), len(name), 60, 60, 1+draw.IntN(run.LengthMax))
		if c.Verb == Append || c.Verb == Prepend {
			length = len(name)
		}
		c.Value = strings.Repeat(name, length/len(name)+1)[:max(length, len(name))]
		switch {
		case draw.IntN(200) == 0:
			c = Call{Verb: Flush}
		case draw.IntN(20) == 0: // of one key, of all that begin like it, or of some that there are none of
			c = Call{Verb: Clear, Key: pick(draw, c.Key, c.Key, c.Key[:(len(c.Key)+1)/2], c.Key+"none")}
		}
	}
	if c.Verb == Cas {
		if c.Unique = known[c.Key]; c.Unique == 0 {
			c.Verb = Gets
		}
	}
	return c
}

// byKey sorts the calls; a flush and the clock concern every key, and a clear the keys that begin so:
// each of them at a moment of its own, for it is not promised that it is the same for all.
func byKey(history []porcupine.Operation, keys []string) map[string][]porcupine.Operation {
	sorted := map[string][]porcupine.Operation{}
	for _, op := range history {
		c := op.Input.(Call)
		for _, key := range keys {
			if c.Key == key || c.Key == "" || c.Verb == Clear && strings.HasPrefix(key, c.Key) {
				sorted[key] = append(sorted[key], op)
			}
		}
	}
	return sorted
}

func text(calls []porcupine.Operation) string {
	var b strings.Builder
	for _, op := range calls {
		c, r := op.Input.(Call), op.Output.(Reply)
		fmt.Fprintf(&b, "%d: %d–%d %s %.20q (%d) unique %d delta %d deadline %d → %d %.20q (%d) unique %d number %d\n", op.ClientId, op.Call, op.Return,
			names[c.Verb], c.Value, len(c.Value), c.Unique, c.Delta, c.Deadline, r.Outcome, r.Value, len(r.Value), r.Unique, r.Number)
	}
	return b.String()
}
