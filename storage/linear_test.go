package storage

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/linear"
)

// storeClient makes linear's calls on a store.
type storeClient struct{ st *Store }

func (c storeClient) Do(call linear.Call) (r linear.Reply) {
	st, key := c.st, []byte(call.Key)
	h, deadline := st.Hash(key), expiry.Instant(call.Deadline)
	visit := func(it Item) { r.Value, r.Unique = string(it.AppendTo(nil)), it.Unique }
	found := true
	switch call.Verb {
	case linear.Flush:
		st.FlushAll(expiry.Never)
	case linear.Clear:
		for st.FlushPrefix(key, 0, nil) != 0 {
			st.Sweep()
		}
	case linear.Get:
		found = st.View(h, key, visit)
	case linear.Gets:
		found = st.ViewUnique(h, key, visit)
	case linear.Gat:
		found = st.TouchView(h, key, deadline, false, visit) == Stored
	case linear.Touch:
		found = st.TouchView(h, key, deadline, false, nil) == Stored
	case linear.Delete:
		found = st.Delete(h, key)
	case linear.Incr, linear.Decr:
		n, status := uint64(0), Stored
		if call.Verb == linear.Incr {
			n, status = st.Incr(h, key, call.Delta)
		} else {
			n, status = st.Decr(h, key, call.Delta)
		}
		return linear.Reply{Outcome: outcomes[status], Number: n}
	default:
		it := &Item{Key: key, Value: []byte(call.Value), Unique: call.Unique, Deadline: deadline}
		return linear.Reply{Outcome: outcomes[st.Put(h, linearModes[call.Verb], it)]}
	}
	if !found {
		return linear.Reply{Outcome: linear.NotFound}
	}
	return r
}

var outcomes = map[Status]linear.Outcome{Stored: linear.Done, NotStored: linear.NotStored, Exists: linear.Exists,
	NotFound: linear.NotFound, OutOfMemory: linear.NoMemory}

var linearModes = map[linear.Verb]Mode{linear.Set: Set, linear.Add: Add, linear.Replace: Replace, linear.Append: Append,
	linear.Prepend: Prepend, linear.Cas: CompareAndSwap}

// Whatever clients do to a key at the same time has an order that explains it, while everything around moves: other items push
// into the store and out of it, segments are emptied, the index grows, the limit changes and time passes. Best with
// -tags invariants, which gives way at every unlock.
func TestLinearizable(t *testing.T) {
	opts := map[string]Options{
		"tiny":  {MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096},
		"small": {MemoryLimit: 1 << 20, ItemMax: 20_000, Shards: 2, SegmentSize: 4096},
	}
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for name, o := range opts {
		t.Run(name, func(t *testing.T) {
			st, clock := newStore(t, o)
			stop := make(chan struct{})
			var crowd sync.WaitGroup
			for seed := range uint64(3) { // so many that an item is moved while a run lasts
				crowd.Go(func() { jostle(st, o.MemoryLimit, seed, stop) })
			}
			defer crowd.Wait()
			defer close(stop)
			for round := range rounds {
				run := linear.Run{Calls: 60, Seed: uint64(time.Now().UnixNano()), Now: uint32(clock.Now()), LengthMax: 3000,
					Move: func(now uint32) { clock.Set(expiry.Instant(now)); st.Sweep() }}
				for range 6 {
					run.Clients = append(run.Clients, storeClient{st})
				}
				for i := range 4 {
					run.Registers = append(run.Registers, fmt.Sprintf("register %d of %d", i, round))
				}
				run.Counters = []string{fmt.Sprint("counter of ", round)}
				if err := run.Check(); err != nil {
					t.Fatalf("round %d, seed %d: %v", round, run.Seed, err)
				}
			}
		})
	}
}

// jostle keeps a store moving.
func jostle(st *Store, limit int64, seed uint64, stop chan struct{}) {
	draw := rand.New(rand.NewPCG(seed, 1))
	value := make([]byte, 5000)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Appendf(nil, "other %d", draw.IntN(20_000))
		size := draw.IntN(60)
		if n%50 == 0 {
			size = draw.IntN(len(value))
		}
		st.Put(st.Hash(key), Set, &Item{Key: key, Value: value[:size]})
		switch n % 5000 {
		case 1000:
			_ = st.SetLimit(limit * 3 / 4)
		case 3000:
			_ = st.SetLimit(limit)
		case 4000:
			st.Sweep()
		}
		if n%16 == 0 {
			time.Sleep(time.Microsecond)
		}
	}
}
