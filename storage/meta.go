package storage

import (
	"strconv"

	"github.com/gomemd/gomemd/expiry"
)

// What the meta commands want of an item beyond the classic ones. Two bits of a record say where an item stands between
// being invalidated and being renewed; whoever stores it anew clears both.
//
//	         Remove (Stale)              Edit (Won)
//	fresh ─────────────────▶ stale ─────────────────▶ stale, won: somebody was told to renew it
//	  │                        ▲                          │
//	  │ Edit (Won)             └──── Remove (Stale) ──────┘
//	  └──────────▶ won: it is about to end, and somebody was told

// Visit says how Edit visits an item.
type Visit struct {
	Unique    bool // the visitor is going to tell Unique, or to compare it
	Unnoticed bool // the visit is no use of the item

	// The visitor is going to set the item's deadline to this one. With Touches false it may do so all the same,
	// but where a deadline has no room the old one stays.
	Touches bool
	Touch   expiry.Instant

	// An item that is not there comes to be, empty.
	Create   bool
	Deadline expiry.Instant
	Explicit uint64 // its unique, 0 for the store's choice
	Binary   bool
}

// Edit hands the item to visit, as it was before this visit. What visit sets in the item's Deadline and Won will hold from
// then on; the unique stays. NotFound is a miss, or that there is no room for what was to be created. OutOfMemory: there is no
// room for the deadline that it shall have; it is as it was, and was not visited.
func (st *Store) Edit(hash uint64, key []byte, v Visit, visit func(*Item)) Status {
	return st.shard(hash).edit(hash, key, &v, visit)
}

func (s *shard) edit(h uint64, key []byte, v *Visit, visit func(*Item)) Status {
	s.lock()
	defer s.unlockWhole()
	if v.Create {
		s.maintainIndex(indexStep)
	}
	var f found
	hit, created := s.get(h, key, &f), false
	if !hit && v.Create {
		created = s.link(h, Set, false, &f, &Item{Key: key, Deadline: v.Deadline, Explicit: v.Explicit, Binary: v.Binary}) == Stored
		hit = created && s.find(h, key, &f)
	}
	if !hit {
		return NotFound
	}
	if v.Touches {
		written, status := s.makeHold(h, key, &f, v.Touch)
		if status != Stored {
			return status
		}
		s.pace(written)
		if !s.find(h, key, &f) {
			return NotFound
		}
	}
	s.visitAndAmend(h, key, &f, v.Unique, created, !v.Unnoticed, visit)
	return Stored
}

// visitAndAmend shows an item and takes over what the visitor has set.
func (s *shard) visitAndAmend(h uint64, key []byte, f *found, unique, created, use bool, visit func(*Item)) {
	it := &s.item
	s.show(it, f, unique)
	c := *f.ctrl()
	it.Fetched, it.Stale, it.Won, it.Created = c&ctrlFetched != 0, c&ctrlStale != 0, c&ctrlWon != 0, created
	it.Idle = s.idle(f)
	before := it.Deadline
	s.refused = false
	visit(it)
	deadline, won := it.Deadline, it.Won
	s.item = Item{}
	if s.refused {
		return
	}
	if use {
		s.use(f)
	}
	if won {
		*f.ctrl() |= ctrlWon
	}
	if deadline != before {
		written, status := s.makeHold(h, key, f, deadline)
		if status == Stored {
			f.setDeadline(deadline)
			s.pace(written)
		}
	}
}

// Count says what is added to a number, and on which conditions.
type Count struct {
	Delta    uint64
	Down     bool
	Compare  uint64 // not 0: only to the version with this unique
	Explicit uint64 // the unique of the result, 0 for the store's choice

	// A number that is not there comes to be.
	Create   bool
	Initial  uint64
	Deadline expiry.Instant
	Binary   bool

	Length int // is set by Add: bytes of the value that there was
}

// Count adds to a number, and hands the item and the number to visit, which may set the item's Deadline. The status is Stored, NotFound,
// Exists, NotNumber or OutOfMemory; with Create it is TooLarge where a new number has no room, for OutOfMemory says that
// one that is there could not be written.
func (st *Store) Count(hash uint64, key []byte, c Count, visit func(*Item, uint64)) (uint64, Status) {
	return st.shard(hash).count(hash, key, &c, visit)
}

func (s *shard) count(h uint64, key []byte, c *Count, visit func(*Item, uint64)) (uint64, Status) {
	s.lock()
	defer s.unlockWhole()
	if c.Create {
		s.maintainIndex(indexStep)
	}
	n, status := s.add(h, key, c)
	var f found
	created := status == NotFound && c.Create
	if created {
		var digits [20]byte
		it := Item{Key: key, Value: strconv.AppendUint(digits[:0], c.Initial, 10), Deadline: c.Deadline, Explicit: c.Explicit, Binary: c.Binary}
		if s.link(h, Set, false, &f, &it) != Stored {
			return 0, TooLarge
		}
		n, status = c.Initial, Stored
	}
	if status == Stored && s.find(h, key, &f) {
		s.visitAndAmend(h, key, &f, true, created, false, func(it *Item) { visit(it, n) }) // the number counts, even if a deadline has no room
	}
	return n, status
}

// Removal says what Remove does with an item.
type Removal struct {
	Compare bool // only the version with this unique
	Unique  uint64

	Empty    bool // it stays, without value, with these flags and this deadline
	Flags    uint32
	Stale    bool // it stays, marked stale, and nobody has been told to renew it yet
	Touch    bool // with this deadline, if it is stale
	Deadline expiry.Instant
	Explicit uint64 // the unique of what stays: 0 is that of before if Empty, a new one if Stale
	Binary   bool
}

// Remove deletes an item, or leaves it there as the removal says. The status is Stored, NotFound, Exists or OutOfMemory.
func (st *Store) Remove(hash uint64, key []byte, r Removal) Status {
	return st.shard(hash).remove(hash, key, &r)
}

func (s *shard) remove(h uint64, key []byte, rm *Removal) Status {
	s.lock()
	defer s.unlockWhole()
	var f found
	switch {
	case !s.getForUpdate(h, key, &f):
		return NotFound
	case rm.Compare && !s.is(&f, rm.Unique):
		return Exists
	case rm.Empty:
		return s.empty(h, key, &f, rm)
	case rm.Stale:
		return s.outdate(h, key, &f, rm)
	}
	s.unlink(h, &f)
	return Stored
}

// empty stores an item without value in the place of another, with its unique.
func (s *shard) empty(h uint64, key []byte, f *found, rm *Removal) Status {
	it := Item{Key: key, Flags: rm.Flags, Deadline: rm.Deadline, Explicit: rm.Explicit, Binary: rm.Binary}
	switch {
	case rm.Stale:
		it.keep = ctrlStale
	case it.Explicit == 0 && *f.ctrl()&ctrlShown != 0 && !s.store.opts.DisableCAS:
		it.Explicit = s.uniqueOf(&f.record, f.loc)
	}
	return s.link(h, Set, true, f, &it)
}

// outdate marks an item as stale: a new version of the same value.
func (s *shard) outdate(h uint64, key []byte, f *found, rm *Removal) Status {
	deadline := f.deadline(f.sg.created)
	if rm.Touch {
		deadline = rm.Deadline
	}
	v := nextVersion
	if rm.Explicit != 0 && !s.store.opts.DisableCAS {
		v = givenVersion
	}
	written, status := uint32(0), Stored
	if v == givenVersion || *f.ctrl()&ctrlShown != 0 {
		status = s.rewrite(h, key, f, deadline, v, rm.Explicit)
		written = f.size
	} else { // nobody knows the unique: it may stay
		written, status = s.makeHold(h, key, f, deadline)
	}
	switch status {
	case NotFound: // it had to go, and that is more than was asked for
		return Stored
	case OutOfMemory:
		return status
	}
	f.setDeadline(deadline)
	*f.ctrl() = *f.ctrl()&^ctrlWon | ctrlStale
	s.pace(written)
	return Stored
}
