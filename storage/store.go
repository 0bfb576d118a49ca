package storage

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
)

// Options say how large a store is and what it may do.
type Options struct {
	MemoryLimit     int64 // bytes, for segments, index and segment table
	ItemMax         int   // bytes, as Charge counts them; 0: 1 MiB
	DisableEviction bool  // a full store refuses what is new
	DisableCAS      bool  // every unique is 0
	TrackSizes      bool  // count the items by size, for Sizes
	PackHex         bool  // keep values of 24 to 256 lower-case hexadecimal digits, a multiple of 8, in half the room
	LockMemory      bool  // keep the memory resident; where the system refuses, Warnings says so
	// File keeps the items in a file that is mapped, so that the next store to open it has them;
	// best in tmpfs. One that does not suit the limit or ItemMax is replaced by another, which
	// takes over its items. One that cannot be used is kept under another name with a warning, and
	// the store starts empty. docs/decisions/0121 has the rules.
	File string
	// Cancel, when it is closed, ends an Open that waits for the file's last user, with
	// context.Canceled.
	Cancel <-chan struct{}

	LargePages bool // ask for large pages: faster from about 512 MiB on, at up to 2 MiB a shard more
	HeapArena  bool // memory from the Go heap: the race detector does not see the other kind

	// Shards and SegmentSize are chosen by MemoryLimit and ItemMax when they are 0. Both are powers of two; tests and
	// simulations set them.
	Shards      int
	SegmentSize int
}

// Item is a key with what is stored under it. To a visitor its slices are the store's own: they are good until visit
// returns, and the store must not be called before. Given to Put, its slices are only read, and only during the call.
type Item struct {
	Key, Value []byte // Value is nil if the item is in pieces: see Len and AppendTo
	Flags      uint32
	Unique     uint64 // what CompareAndSwap compares
	Deadline   expiry.Instant
	Binary     bool // the key came in base64: it may hold any byte

	// To Put: the unique that the item shall have, 0 for the store's choice; and whether Put shall tell the unique and
	// the length of what it has stored, by Unique and Len.
	Explicit uint64
	Show     bool

	// To the visitors of Edit and Count.
	Fetched bool   // read since it was stored
	Stale   bool   // invalidated since
	Won     bool   // somebody was told to renew it
	Created bool   // just now
	Idle    uint32 // seconds since it was last used, at the least: decisions/0107

	keep   uint8 // to link: ctrl bits of the version before
	length int   // of the stored value, if it is not Value's
	// To visitors: where it lies. A split item's Value is nil.
	shard  *shard
	record record
}

// Len is the length of the value in bytes, all pieces together.
func (it *Item) Len() int {
	if it.shard != nil && it.record.split() {
		return it.record.total()
	}
	return max(len(it.Value), it.length)
}

// AppendTo appends the whole value to dst.
func (it *Item) AppendTo(dst []byte) []byte {
	if it.shard != nil && it.record.split() {
		return it.shard.appendValue(dst, &it.record)
	}
	return append(dst, it.Value...)
}

// Mode is the rule by which a value is stored.
type Mode uint8

// The storage commands.
const (
	Set Mode = iota
	Add
	Replace
	Append
	Prepend
	CompareAndSwap
	CompareAndSwapStale // as CompareAndSwap; what knows an older version is stored too, marked stale
	AppendOrSet         // Append where there is something, else Set
	PrependOrSet
)

// Status is the outcome of a storage command.
type Status uint8

// The outcomes.
const (
	Stored      Status = iota
	NotStored          // the rule of the mode forbids it, or the joined value would be too large
	Exists             // CompareAndSwap and who else compares: stored by somebody else since
	NotFound           // there is no such item
	TooLarge           // Charge exceeds ItemMax
	OutOfMemory        // no room, and none to be had; nothing has changed
	NotNumber          // Incr, Decr: the value is no number
	Later              // of a value on its way in: there is no room yet; nothing has changed
)

// Store keeps items in memory. All methods may be called from any goroutine.
type Store struct {
	// What every request reads, and nothing changes while requests are served:
	opts         Options
	clock        *expiry.Clock
	shards       []shard
	lasting      uint64 // bits of Hash that are the same in every process: with a file, the shard's
	incarnations *atomic.Uint64
	file         *file    // nil without Options.File
	sizes        *sizes   // nil without Options.TrackSizes
	memory       [][]byte // what Close gives back
	warned       []string
	restored     Restored
	evicted      evictions
	prefixes     prefixes
	_            [pairOfLines]byte

	// What some write, now and then:
	counted    atomic.Uint64 // incarnations, without a file
	pool       atomic.Int64  // bytes of limit that no shard has; room.go
	share      atomic.Int64  // a shard's fair part of the limit
	short      atomic.Int32  // shards that have less than their share and find the pool empty
	crowded    atomic.Int32  // shards in which pins take more than a quarter
	broken     atomic.Bool   // a panic has left a shard locked
	limit      atomic.Int64
	limiting   sync.Mutex   // one SetLimit at a time
	lockFailed atomic.Int32 // why memory could not be locked: the last errno
	withheld   atomic.Int32 // why the system gave no more memory, not told yet: the last errno
	warmed     atomic.Uint32
}

// segmentsMin is how few segments a shard can work with: open ones, a victim, a reserve.
const segmentsMin = 8

// itemMaxDefault is memcached's -I.
const itemMaxDefault = 1 << 20

// Charge is what memcached counts for an item: its header, key with NUL, unique, flags, value with CRLF. The store's
// own records are smaller; this is for limits that users compare with memcached's.
func Charge(nkey int, flags uint32, n int, cas bool) int {
	size := 48 + nkey + 1 + n + 2
	if cas {
		size += 8
	}
	if flags != 0 {
		size += 4
	}
	return size
}

// Open makes an empty store.
func Open(opts Options, clock *expiry.Clock) (*Store, error) {
	if opts.ItemMax == 0 {
		opts.ItemMax = itemMaxDefault
	}
	opts.HeapArena = opts.HeapArena && opts.File == ""
	g, err := shape(&opts)
	if err != nil {
		return nil, err
	}
	st := &Store{opts: opts, clock: clock, shards: make([]shard, g.shards, max(g.shards, shardsOnPage))}
	st.incarnations = &st.counted
	st.limit.Store(opts.MemoryLimit)
	if opts.TrackSizes {
		st.sizes = newSizes(opts.ItemMax)
	}
	if opts.File != "" {
		if g, err = st.openFile(g); err != nil {
			return nil, errors.Join(err, st.Close())
		}
		st.lasting = uint64(g.shards-1) << shardBit // of the file's shards, if there is one
	}
	st.pool.Store(opts.MemoryLimit)
	st.share.Store(opts.MemoryLimit / int64(len(st.shards)))
	for i := range st.shards {
		if err := st.shards[i].start(st, g); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	if why := st.lockFailed.Load(); why != 0 {
		st.warned = append(st.warned, fmt.Sprintf("failed to lock memory: %v", unix.Errno(why)))
	}
	if st.file != nil {
		if err := st.startFromFile(); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	return st, nil
}

// geometry is how a store is laid out.
type geometry struct {
	shards  int
	limit   int64 // of a shard
	reach   int64 // what limit may be raised to
	segSize uint32
	granule uint
}

// granuleMax is the log2 of the coarsest granule: what it reaches, 4 GiB, is the largest shard.
const granuleMax = 4

// reachFactor is how much address space is reserved, for SetLimit: a multiple of the limit at the start. It is less
// where it would cost coarser granules.
const reachFactor = 16

// proportions is how a store with these options is laid out, by its limit alone.
func proportions(opts *Options) geometry {
	g := geometry{shards: opts.Shards}
	if g.shards == 0 {
		// About 16 MiB a shard: more shards wait less, but each keeps a segment or two in reserve. An item must not
		// push out more than a quarter of its shard.
		g.shards = 1
		for opts.MemoryLimit/int64(g.shards) > 1<<(locBits+granuleMax) {
			g.shards *= 2
		}
		for g.shards < 256 && opts.MemoryLimit/int64(g.shards*2) >= 16<<20 && opts.MemoryLimit/int64(g.shards*2) >= 4*int64(opts.ItemMax) {
			g.shards *= 2
		}
	}
	g.limit = opts.MemoryLimit / int64(g.shards)
	size := opts.SegmentSize
	if size == 0 {
		size = 1 << max(12, min(20, bits.Len64(uint64(g.limit/256))-1))
		if opts.File != "" {
			size = max(size, os.Getpagesize())
		}
	}
	g.segSize = uint32(size)
	g.reach = reachFactor * g.limit
	if opts.HeapArena { // the heap is cleared beforehand, all of it
		g.reach = max(2*g.limit, min(g.reach, 1<<20))
	}
	for g.granule < granuleMax && g.reach>>g.granule > 1<<locBits && g.limit>>g.granule > 1<<locBits/4 {
		g.granule += 2
	}
	return g
}

// shape is proportions, with no more address space than there is.
func shape(opts *Options) (geometry, error) {
	g := proportions(opts)
	size := int64(g.segSize)
	g.reach = min(g.reach, 1<<(locBits+g.granule))
	whole := min(g.reach, (g.limit+size-1)/size*size)
	for !opts.HeapArena && g.reach > whole && !mayReserve(int64(g.shards)*(g.reach+g.reach/2)) {
		g.reach = max(g.reach/2, whole)
	}
	if g.limit > g.reach {
		return g, fmt.Errorf("storage: %d bytes are too many for %d shards", opts.MemoryLimit, g.shards)
	}
	if g.limit/size < segmentsMin {
		return g, fmt.Errorf("storage: %d bytes are too few for items of up to %d", opts.MemoryLimit, opts.ItemMax)
	}
	return g, nil
}

// start prepares a shard. It has no lock to hold yet.
func (s *shard) start(st *Store, g geometry) error {
	s.store, s.now, s.segSize, s.granule = st, st.clock.Now(), g.segSize, uint8(g.granule)
	s.segShift = uint8(bits.TrailingZeros32(g.segSize))
	n := int(g.reach / int64(g.segSize))
	var table unsafe.Pointer
	var err error
	if st.file == nil {
		if s.arena, err = st.reserve(int64(n) * int64(g.segSize)); err != nil {
			return err
		}
		table, err = st.reserve(int64(n) * int64(unsafe.Sizeof(segment{})))
	} else {
		table, err = st.mapShard(s)
		s.line, s.prefixLines = &st.file.lines[s.shardNumber()], &st.file.prefixes[s.shardNumber()]
	}
	if err != nil {
		return err
	}
	s.segments = unsafe.Slice((*segment)(table), n)
	s.granules = uint32(min(int64(n)*int64(g.segSize)>>g.granule, 1<<locBits))
	s.free.head, s.gone.head, s.condemned.head = none, none, none
	s.freeChain = noChain
	s.target = targetStart
	for i := range s.queues {
		s.queues[i] = queue{none, none, 0, none}
	}
	s.victim.seg, s.visit.seg, s.guard = none, none, none
	x := &s.index
	x.reach = uint64(g.reach) / 2 / bucketSize
	if x.base, err = st.reserve(g.reach / 2); err != nil {
		return err
	}
	x.n = max(4, min(x.reach, uint64(g.limit)/leastIndexPart/bucketSize))
	x.min, x.touched = x.n, x.n
	s.buckets.Store(x.n)
	first := st.firstLimit(int64(g.segSize), int64(x.bytes()))
	st.pool.Add(-first)
	s.setLimit(first)
	if s.line == nil {
		s.open()
	}
	if !s.openIndex(x.n) || s.line == nil && s.backed == 0 {
		return fmt.Errorf("storage: the first memory of a shard: %w", unix.ENOMEM)
	}
	return nil
}

// SetLimit changes the memory limit, up to Reach. What is too much after lowering it goes in steps, by Put and Sweep;
// below a few segments a shard it is an error and nothing changes.
func (st *Store) SetLimit(bytes int64) error {
	limit := bytes / int64(len(st.shards))
	st.limiting.Lock()
	defer st.limiting.Unlock()
	if bytes > st.Reach() || limit < st.least() {
		return fmt.Errorf("storage: a limit of %d bytes is out of bounds", bytes)
	}
	before := st.limit.Load()
	if bytes > before && st.file != nil {
		if err := st.file.mayHold(bytes); err != nil {
			return err
		}
	}
	st.limit.Store(bytes)
	st.share.Store(limit)
	st.pool.Add(bytes - before)
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		s.fit()
		s.unlock()
	}
	return nil
}

// Limit is the memory limit in force.
func (st *Store) Limit() int64 { return st.limit.Load() }

// least is the lowest share of a limit that every shard can come down to and still work with.
func (st *Store) least() (n int64) {
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		n = max(n, s.floorBytes())
		s.unlock()
	}
	return n
}

// Reach is how far SetLimit may go.
func (st *Store) Reach() int64 {
	return int64(len(st.shards)) * int64(len(st.shards[0].segments)) * int64(st.shards[0].segSize)
}

// Close gives the memory back. Nothing else may be called any more. What is in the memory file stays there.
func (st *Store) Close() error {
	if st.file == nil {
		return st.unmap()
	}
	if st.file.head != nil && st.file.resumed { // else it is not this file's time
		st.file.head.now.Store(uint32(st.clock.Now()))
	}
	return errors.Join(st.unmap(), st.file.close())
}

// Broken tells, after a panic that somebody has recovered from, whether the store is unusable: whether the panic came while a shard was
// locked, in the store itself or in a visitor. Then the process has to end.
func (st *Store) Broken() bool {
	for i := range st.shards {
		locked := true
		for try := 0; locked && try < 100; try++ { // nobody else has it for longer than some milliseconds
			if locked = !st.shards[i].mu.TryLock(); locked {
				time.Sleep(10 * time.Millisecond)
			} else {
				st.shards[i].mu.Unlock()
			}
		}
		if locked {
			return true
		}
	}
	return st.broken.Load()
}

// Warnings are what Open wished for and did not get: a line each.
func (st *Store) Warnings() []string { return st.warned }

// View hands the item to visit and marks it used. False is a miss.
func (st *Store) View(hash uint64, key []byte, visit func(Item)) bool {
	return st.shard(hash).view(hash, key, false, visit)
}

// ViewUnique is View for somebody who is going to tell the unique. Only here is Item.Unique one that CompareAndSwap
// will take.
func (st *Store) ViewUnique(hash uint64, key []byte, visit func(Item)) bool {
	return st.shard(hash).view(hash, key, true, visit)
}

// TouchView gives the item a new deadline, marks it used, and hands it to visit, which may be nil. The unique stays; it
// is only right when asked for. NotFound is a miss. OutOfMemory: there is no room for a deadline, the item is as it was, and
// was not visited.
func (st *Store) TouchView(hash uint64, key []byte, deadline expiry.Instant, unique bool, visit func(Item)) Status {
	return st.shard(hash).touch(hash, key, deadline, unique, visit)
}

// Put stores an item by the rule of the mode. Whatever the outcome, the store keeps none of the item's slices. Set, Add
// and Replace compare nothing; Append and Prepend compare a Unique that is not 0.
func (st *Store) Put(hash uint64, mode Mode, it *Item) Status {
	if len(it.Key) == 0 || len(it.Key) > keyMax ||
		Charge(len(it.Key), it.Flags, len(it.Value), !st.opts.DisableCAS) > st.opts.ItemMax {
		return TooLarge
	}
	return st.shard(hash).put(hash, mode, it)
}

// LargeMin is the length from which a value should go through Receive.
func (st *Store) LargeMin() int { return 64 << 10 }

// Add adds to a number, or takes from it, as c says; nothing comes to be.
func (st *Store) Add(hash uint64, key []byte, c *Count) (uint64, Status) {
	return st.shard(hash).incr(hash, key, c)
}

// Incr adds delta to a number, modulo 2^64.
func (st *Store) Incr(hash uint64, key []byte, delta uint64) (uint64, Status) {
	return st.shard(hash).incr(hash, key, &Count{Delta: delta})
}

// Decr takes delta from a number, down to 0.
func (st *Store) Decr(hash uint64, key []byte, delta uint64) (uint64, Status) {
	return st.shard(hash).incr(hash, key, &Count{Delta: delta, Down: true})
}

// Delete removes an item.
func (st *Store) Delete(hash uint64, key []byte) bool {
	return st.shard(hash).delete(hash, key)
}

// FlushAll ends everything that was stored before the call, or, if at lies ahead, everything that will have been
// stored before that instant. A later call replaces one that is still ahead.
func (st *Store) FlushAll(at expiry.Instant) {
	for i := range st.shards {
		s := &st.shards[i]
		s.lock()
		if at == expiry.Never || at <= s.now {
			s.flush()
		} else {
			s.setPending(at)
		}
		s.unlock()
	}
}

// Sweep does a little of the work that time brings: memory of the expired and the flushed comes back. It is meant to
// be called every 250 ms by one goroutine, and again at once while it returns true; while Prefixing is
// not 0 it may rest for a moment before.
func (st *Store) Sweep() bool {
	if st.file != nil { // first: what is taken away must have ended by the file's clock
		st.file.head.now.Store(uint32(st.clock.Now()))
	}
	more := st.clear()
	for i := range st.shards {
		if st.shards[i].tick() {
			more = true
		}
		if st.giveBack(&st.shards[i]) {
			more = true
		}
	}
	return more
}
