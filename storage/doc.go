// Package storage keeps items in memory, as many as a limit allows, and decides which go when there is no more room.
// It knows bytes, seconds and hashes; it knows no protocol, opens no connection, writes no log and asks nobody for the
// time: someone moves the expiry.Clock.
//
// # Terms
//
//	item      key, value, flags, deadline, unique
//	record    an item's bytes in memory (item.go)
//	segment   a fixed piece of memory that is filled by appending records and emptied as a whole (segment.go)
//	queue     segments in the order in which they were filled: small, main, and the TTL logs
//	hash      64 bits made of a key, which nobody outside the process can tell (hash.go)
//	index     buckets of twelve slots that lead from a hash to a record (index.go)
//	granule   the unit in which an index slot counts memory: 1, 4 or 16 bytes
//	shard     one lock, and the segments, queues and index that it guards (shard.go)
//	flush     end everything, or what begins with a prefix (prefix.go), that is stored at a moment
//	unique    the 64-bit number that changes with each modification of an item (unique.go)
//	pin       hold a segment as it is, while somebody sends a value that lies in it (pin.go)
//	evict     lose a live item for room; expire: its deadline has passed; reclaim: take the room of one that is dead
//	ghost     what the index remembers of an evicted item: a few bits of its hash, and from which queue it went
//
// # The picture
//
//	        hash
//	         │ bits 12…: which shard
//	         ▼
//	┌─ shard ──────────────────────────────────────────────────────────────┐
//	│ lock                                                                 │
//	│                                                                      │
//	│ index    ┌────────┬────────┬────────┬── 64-byte buckets: an item is  │
//	│          │ 12 slots        │        │   in one of two, chosen by the │
//	│          └───┬────┴────────┴────────┘   top bits of its hash         │
//	│              │ 28 bits of granule                                    │
//	│              ▼                                                       │
//	│ arena    ┌─────────┬─────────┬─────────┬─────────┬─────────┬───      │
//	│          │▒▒▒▒▒▒▒▒▒│▒▒▒▒     │▒▒▒▒▒▒▒▒▒│  free   │▒▒▒▒▒▒▒▒▒│  gone   │
//	│          └─────────┴─────────┴─────────┴─────────┴─────────┴───      │
//	│ queues    small: sealed ─ sealed ─ open       the oldest of small    │
//	│           main:  sealed ─ sealed ─ open       or main is the victim  │
//	│           TTL logs …                          when room is needed    │
//	└──────────────────────────────────────────────────────────────────────┘
//
// # The life of an item
//
// Put appends a record to the open segment of small (or of a TTL log, if it will end soon) and lets the index point
// there. Overwritten with a value of the same length, it changes in place; otherwise a new record is appended and the
// old one is marked dead. Reads count in two bits of the record. When room is needed, the oldest segment of small
// is scanned: what was read moves to main, what was not is evicted and leaves a ghost. Main is scanned the same way,
// but what was read stays, with a count one lower. Segments with much dead space are compacted first, and that loses
// nothing. All of this happens in small steps: whoever stores n bytes scans the victim until a quarter
// more than that has come free.
//
// # Memory
//
// Address space for arena, index and segment table is reserved at the start, outside the Go heap, for
// sixteen times the limit, or less where it is limited. It is opened from the lowest segment on, as it
// is needed; pages come as they are used and go back when they are not. The garbage collector has
// nothing to scan, for nothing in them is a Go pointer. The limit covers all three. It is the sum of
// the shards' limits and a pool, from which they draw as they fill (room.go). A segment's description
// takes 40 bytes.
//
// # Locks
//
// One sync.Mutex a shard, and no more than one of them held at a time. Everything in a shard is
// read and written under its lock; Warm alone looks without, and believes nothing that it sees. The
// bytes of an item are the store's: a visitor reads them before it returns and does not call the
// store. No step holds a lock for more than about 20 µs of work, but for these, which are as long
// as the value: reading a value of many pieces in one View, writing a number of up to 512 KiB, and,
// at up to 1 µs for each 64 KiB, pinning a value, deleting it, and joining one that was received.
// What Fill calls may read a socket meanwhile: up to 512 KiB without the lock, or, where the value has
// to be moved just then, up to 64 KiB under it, which takes some 10 µs.
package storage
