package linear

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// toy is a cache of one lock and one map, with a bug if one asks for it.
type toy struct {
	mu    sync.Mutex
	items map[string]toyItem
	next  uint64
	bug   string
}

type toyItem struct {
	value  string
	unique uint64
}

func (t *toy) Do(c Call) Reply {
	t.mu.Lock()
	defer t.mu.Unlock()
	it, present := t.items[c.Key]
	store := func(v string) Reply {
		t.next++
		t.items[c.Key] = toyItem{v, t.next}
		return Reply{}
	}
	switch {
	case c.Verb == Flush:
		clear(t.items)
		return Reply{}
	case c.Verb == Clear:
		for key := range t.items {
			if strings.HasPrefix(key, c.Key) && (t.bug != "clear" || key == c.Key) {
				delete(t.items, key)
			}
		}
		return Reply{}
	case c.Verb == Set, c.Verb == Add && !present:
		return store(c.Value)
	case c.Verb == Add, !present && (c.Verb == Replace || c.Verb == Append || c.Verb == Prepend):
		return Reply{Outcome: NotStored}
	case !present:
		return Reply{Outcome: NotFound}
	}
	switch c.Verb {
	case Replace:
		return store(c.Value)
	case Append:
		return store(it.value + c.Value)
	case Prepend:
		return store(c.Value + it.value)
	case Cas:
		if it.unique != c.Unique && t.bug != "cas" {
			return Reply{Outcome: Exists}
		}
		return store(c.Value)
	case Delete:
		if t.bug != "delete" {
			delete(t.items, c.Key)
		}
	case Incr, Decr:
		n, _ := strconv.ParseUint(strings.TrimRight(it.value, " "), 10, 64)
		if t.bug == "gap" {
			t.mu.Unlock()
			for range 10 {
				runtime.Gosched() // the others come in between, on a busy machine too
			}
			t.mu.Lock()
		}
		if c.Verb == Incr {
			n += c.Delta
		} else {
			n -= min(n, c.Delta)
		}
		v := strconv.FormatUint(n, 10)
		store(v + strings.Repeat(" ", max(0, len(it.value)-len(v))))
		return Reply{Number: n}
	}
	return Reply{Value: it.value, Unique: it.unique}
}

// The judge accepts a right cache and not a wrong one.
func TestToy(t *testing.T) {
	for _, bug := range []string{"", "cas", "delete", "clear", "gap"} {
		caught := false
		for seed := uint64(0); seed < 20 && !caught; seed++ {
			cache := &toy{items: map[string]toyItem{}, bug: bug}
			run := Run{Clients: []Client{cache, cache, cache, cache}, Registers: []string{"register"}, Counters: []string{"n"}, Calls: 60, Seed: seed, LengthMax: 100}
			err := run.Check()
			if caught = err != nil; caught && bug == "" {
				t.Error(err)
			}
		}
		if !caught && bug != "" {
			t.Errorf("%s was not caught", bug)
		}
	}
}
