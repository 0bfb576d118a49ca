package storage

import (
	"sync"
	"sync/atomic"

	"github.com/gomemd/gomemd/expiry"
)

// What the store tells those who watch. It costs nothing until somebody does.

// State is what becomes of a lookup.
type State uint8

// The states.
const (
	Absent State = iota
	Present
	Expired
	Flushed
)

// Glimpse is what Peek sees.
type Glimpse struct {
	State    State
	Len      int // of the value
	Deadline expiry.Instant
}

// Peek looks a key up and changes nothing: what has expired stays until somebody asks for it.
func (st *Store) Peek(hash uint64, key []byte) Glimpse {
	s := st.shard(hash)
	s.lock()
	defer s.unlockWhole()
	var f found
	if !s.find(hash, key, &f) {
		return Glimpse{}
	}
	switch s.fate(&f.record, f.sg) {
	case expired:
		return Glimpse{State: Expired}
	case flushed:
		return Glimpse{State: Flushed}
	}
	return Glimpse{Present, f.total(), f.deadline(f.sg.created)}
}

// Evicted is an item that was alive and had to go.
type Evicted struct {
	Key      []byte
	Len      int // of the value
	Deadline expiry.Instant
	Idle     uint32 // seconds since it was last used, at the least: decisions/0107
	Fetched  bool   // read since it was stored
}

// evictedMax is how many bytes of keys of evicted items wait to be taken. Source: memcached's worker_logbuf_size.
const evictedMax = 64 << 10

// evictions are the evicted items that nobody has taken yet. The lock is taken inside a shard's, for a copy of a key.
type evictions struct {
	watched atomic.Bool
	mu      sync.Mutex
	list    []Evicted
	keys    []byte // never grows, so that what points into it stays right
	dropped uint64
}

// WatchEvictions begins to note which items are evicted, or ends it.
func (st *Store) WatchEvictions(on bool) {
	e := &st.evicted
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keys = nil; on {
		e.keys = make([]byte, 0, evictedMax)
	}
	e.list, e.dropped = nil, 0
	e.watched.Store(on)
}

// TakeEvictions hands over the items that were evicted since it was last called, in order, and tells how many more there were
// than could be noted. The keys are the visitor's to read until visit returns.
func (st *Store) TakeEvictions(visit func(*Evicted)) (dropped uint64) {
	e := &st.evicted
	e.mu.Lock()
	list := e.list
	dropped = e.dropped
	if e.list, e.dropped = nil, 0; len(list) > 0 {
		e.keys = make([]byte, 0, evictedMax)
	}
	e.mu.Unlock()
	for i := range list {
		visit(&list[i])
	}
	return dropped
}

// note keeps what is to be told of an evicted item.
func (e *evictions) note(s *shard, f *found) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key, n := f.key(), len(e.keys)
	if n+len(key) > cap(e.keys) {
		e.dropped++
		return
	}
	e.keys = append(e.keys, key...)
	e.list = append(e.list, Evicted{
		Key: e.keys[n:], Len: f.total(), Deadline: f.deadline(f.sg.created),
		Idle: s.idle(f), Fetched: *f.ctrl()&ctrlFetched != 0,
	})
}
