package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// With Options.File the arena and the segment table are mappings of one file, so that the next process finds them
// there (restart.go). docs/decisions/0106 has the picture of the file and the reasons.
//
// The arena is mapped as a whole, but nobody reads or writes a segment that has no blocks in the file: it would be a hole
// that a full disk cannot fill, which is a SIGBUS. One mapping for each segment would be slower and, with many, more than
// the system allows (vm.max_map_count).
//
//	arena     ┌── in use, free or condemned ──┬─ ahead ──┬──────────────── … reach
//	blocks    │ yes                 (gone: -) │   yes    │ none
//	          └───────────────────────────────┴──────────┴──────────────── …
//	          0                             fresh   backedFresh
type file struct {
	f     *os.File
	head  *fileHead
	lines []shardLine
	old   bool // it was there before, and is good
}

const (
	fileMagic  = "gomemd-e"
	fileFormat = 2 // changes with the layout of header, segment table or records; in 1 nothing was packed

	fileLines  = 4096 // where the shards' lines begin
	shardsMax  = 256
	fileTables = fileLines + shardsMax*64 // where the segment tables begin

	// lockPatience is how long a start waits for the file's last user to be gone: a killed process is dead before the
	// kernel has let go of its files.
	lockPatience = 3 * time.Second
)

// fileHead is the file's first bytes. What precedes the checksum and shape is written once.
type fileHead struct {
	magic    [8]byte
	format   uint32
	entry    uint32 // bytes of a segment table's entry
	checksum uint64 // of shape
	shape    fileShape

	incarnations atomic.Uint64
	zero         atomic.Int64  // Unix time of the clock's instant 0
	now          atomic.Uint32 // an instant that the clock has reached
}

type fileShape struct {
	shards, segSize, granule, segments uint32 // segments: of a shard, for all of its reach
	boot                               [16]byte
}

// shardLine is what a shard keeps in the file beside its segments, in a cache line of its own.
type shardLine struct {
	intent  atomic.Uint32 // 1 + granule of the record that is being changed in place
	pending atomic.Uint32
	floor   atomic.Uint64
	fresh   atomic.Uint32 // no segment from here on has ever been used
	_       [44]byte
}

func (h *fileHead) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(h)), unsafe.Sizeof(*h)) }

func (fs *fileShape) sum() uint64 {
	return xxhash.Sum64(unsafe.Slice((*byte)(unsafe.Pointer(fs)), unsafe.Sizeof(*fs)))
}

// The parts of the file, in bytes.
func (fs *fileShape) tableSize() int64 {
	return pages(int64(fs.segments) * int64(unsafe.Sizeof(segment{})))
}
func (fs *fileShape) arenaSize() int64 { return int64(fs.segments) * int64(fs.segSize) }
func (fs *fileShape) table(shard int) int64 {
	return fileTables + int64(shard)*fs.tableSize()
}
func (fs *fileShape) arena(shard int) int64 {
	return fs.table(int(fs.shards)) + int64(shard)*fs.arenaSize()
}
func (fs *fileShape) size() int64 { return fs.arena(int(fs.shards)) }

// pages rounds up to 64 KiB, which is a whole number of pages on every machine.
func pages(n int64) int64 { return (n + 1<<16 - 1) &^ (1<<16 - 1) }

// ErrFileInUse says that another process has the file open.
var ErrFileInUse = errors.New("in use by another server")

// openFile opens or makes the file for a store of this geometry, and tells the geometry to use: a good file's own.
func (st *Store) openFile(g geometry) (geometry, error) {
	path := st.opts.File
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return g, err
	}
	if err := st.lockFile(f); err != nil {
		return g, &fs.PathError{Op: "lock", Path: path, Err: errors.Join(err, f.Close())}
	}
	st.file = &file{f: f}
	boot := bootID()
	var head fileHead
	why, ours, err := readHead(f, &head, boot)
	if err != nil {
		return g, err
	}
	if why == "" {
		why = st.adopt(&g, &head.shape)
	}
	if why != "" {
		if !ours {
			why += ", and is " + path + ".refused now"
			if err := st.moveAside(); err != nil {
				return g, err
			}
		}
		st.warned = append(st.warned, fmt.Sprintf("memory file %s: %s: starting with a clean cache", path, why))
	}
	st.file.old = why == "" && head.format != 0
	if !st.file.old {
		if g.shards > shardsMax {
			return g, fmt.Errorf("storage: %d shards are too many for a memory file", g.shards)
		}
		head.shape = fileShape{shards: uint32(g.shards), segSize: g.segSize, granule: uint32(g.granule), boot: boot,
			segments: uint32(g.reach / int64(g.segSize))}
		if err := st.file.create(&head, st.clock.Unix(0)); err != nil {
			return g, err
		}
	}
	return g, st.mapHead()
}

// readHead reads and judges a file's header. It is good if there is no why, and new if then the format is 0; ours if
// it is one that this package has made, or nobody's.
func readHead(f *os.File, head *fileHead, boot [16]byte) (why string, ours bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", false, err
	}
	if !info.Mode().IsRegular() {
		return "", false, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("is not a regular file")}
	}
	b := head.bytes()
	n, _ := f.ReadAt(b, 0)
	switch {
	case string(head.magic[:]) == fileMagic && n == len(b):
	case len(strings.Trim(string(b[:n]), "\x00")) == 0: // empty, or a start that came to nothing
		*head = fileHead{}
		return "", true, nil
	default:
		return "it is no memory file of gomemd", false, nil
	}
	s := &head.shape
	switch {
	case head.format < 1 || head.format > fileFormat || head.entry != uint32(unsafe.Sizeof(segment{})):
		return fmt.Sprintf("its format %d.%d is not known", head.format, head.entry), true, nil
	case head.checksum != s.sum():
		return "its header is damaged", true, nil
	case s.shards == 0 || s.shards > shardsMax || s.shards&(s.shards-1) != 0 || s.granule > granuleMax || s.granule%2 != 0 ||
		s.segSize < 1<<12 || s.segSize > 1<<uniqueBits || s.segSize&(s.segSize-1) != 0 || int64(s.segSize)%int64(os.Getpagesize()) != 0 ||
		s.segments == 0 || s.arenaSize() > 1<<(locBits+s.granule):
		return "its header makes no sense", true, nil
	case head.incarnations.Load() >= incarnationMax || head.now.Load() >= 1<<31:
		return "its counters make no sense", true, nil
	case info.Size() < s.size():
		return fmt.Sprintf("it has %d bytes instead of %d", info.Size(), s.size()), true, nil
	case s.boot != boot || boot == [16]byte{}:
		return "the machine was started anew since, so it may be torn", true, nil
	}
	return "", true, nil
}

// adopt makes the geometry a good file's. If that does not suit the options, it says why.
func (st *Store) adopt(g *geometry, s *fileShape) (why string) {
	if s.segments == 0 {
		return "" // new
	}
	limit := st.opts.MemoryLimit / int64(s.shards)
	if limit > s.arenaSize() || limit < segmentsMin*int64(s.segSize) || s.shards > 1 && limit < 4*int64(st.opts.ItemMax) {
		return fmt.Sprintf("a limit of %d bytes and items of %d are out of its reach", st.opts.MemoryLimit, st.opts.ItemMax)
	}
	*g = geometry{shards: int(s.shards), limit: limit, reach: s.arenaSize(), segSize: s.segSize, granule: uint(s.granule)}
	st.shards = make([]shard, g.shards)
	return ""
}

// moveAside gives a file that is not ours another name and makes a new one.
func (st *Store) moveAside() error {
	path := st.opts.File
	if err := os.Rename(path, path+".refused"); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := st.lockFile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = st.file.f.Close()
	st.file.f = f
	return err
}

// create makes an empty file of this shape.
func (fl *file) create(head *fileHead, zero int64) error {
	copy(head.magic[:], fileMagic)
	head.format, head.entry, head.checksum = fileFormat, uint32(unsafe.Sizeof(segment{})), head.shape.sum()
	head.zero.Store(zero)
	head.incarnations.Store(0)
	if err := fl.f.Truncate(0); err != nil {
		return err
	}
	if err := fl.f.Truncate(head.shape.size()); err != nil {
		return err
	}
	if err := fl.allocate(0, fileTables); err != nil {
		return err
	}
	_, err := fl.f.WriteAt(head.bytes(), 0)
	return err
}

func (st *Store) mapHead() error {
	b, err := unix.Mmap(int(st.file.f.Fd()), 0, fileTables, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
	}
	st.memory = append(st.memory, b)
	st.file.head = (*fileHead)(unsafe.Pointer(&b[0]))
	st.file.head.format = fileFormat // whatever it was: what comes into it now, an earlier program could not read
	st.file.lines = unsafe.Slice((*shardLine)(unsafe.Pointer(&b[fileLines])), shardsMax)
	st.incarnations = &st.file.head.incarnations
	return nil
}

// lockFile makes sure that nobody else has the file.
func (st *Store) lockFile(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return ErrFileInUse
		}
		select {
		case <-st.opts.Cancel:
			return context.Canceled
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// bootID tells one run of the kernel from another; all 0 when it cannot be told.
func bootID() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	digits, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(b)), "-", ""))
	if err == nil {
		copy(id[:], digits)
	}
	return id
}

// mapShard maps a shard's segment table and its arena, holes included: nobody reads or writes a segment without blocks.
func (st *Store) mapShard(s *shard) (table unsafe.Pointer, err error) {
	shape := &st.file.head.shape
	for _, part := range []struct {
		to   *unsafe.Pointer
		from int64
		size int64
	}{
		{&table, shape.table(s.shardNumber()), shape.tableSize()},
		{&s.arena, shape.arena(s.shardNumber()), shape.arenaSize()},
	} {
		b, err := unix.Mmap(int(st.file.f.Fd()), part.from, int(part.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
		}
		st.memory = append(st.memory, b)
		st.advise(b)
		*part.to = unsafe.Pointer(&b[0])
	}
	return table, nil
}

// startFromFile makes the store what the file says, and sees to it that there is room for the rest.
func (st *Store) startFromFile() error {
	if st.file.old {
		if err := st.restore(); err != nil {
			return err
		}
	}
	for i := range st.shards {
		s := &st.shards[i]
		if need := s.bytesInUse() + (reserve+overdraft)<<s.segShift; need > s.limit {
			st.pool.Add(s.limit - need) // perhaps below 0: then shards give
			s.setLimit(need)
		}
		for g := s.gone.head; g != none; g = s.segments[g].next {
			st.punch(s, int(g), 1)
		}
		s.hungry = true
		st.provide(s)
		if s.backed == 0 {
			return &fs.PathError{Op: "allocate", Path: st.opts.File, Err: unix.ENOSPC}
		}
	}
	return st.file.mayHold(st.limit.Load())
}

// mayHold tells whether the file system has room for a file with so many bytes of segments. Blocks are taken as they are
// needed, so this is no promise, but a limit that cannot be reached is refused while somebody listens.
func (fl *file) mayHold(bytes int64) error {
	var system unix.Statfs_t
	var file unix.Stat_t
	if unix.Fstatfs(int(fl.f.Fd()), &system) != nil || unix.Fstat(int(fl.f.Fd()), &file) != nil {
		return nil // it cannot tell
	}
	if free := int64(system.Bavail) * system.Bsize; free+file.Blocks*512 < bytes {
		return &fs.PathError{Op: "allocate", Path: fl.f.Name(), Err: unix.ENOSPC}
	}
	return nil
}

// allocate reserves blocks, so that writing there cannot fail.
func (fl *file) allocate(off, n int64) error {
	for {
		err := unix.Fallocate(int(fl.f.Fd()), 0, off, n)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// back gives n segments from g on blocks.
func (st *Store) back(s *shard, g, n int) error {
	if n == 0 {
		return nil
	}
	fl, shard, size := st.file, s.shardNumber(), int64(s.segSize)
	shape := &fl.head.shape
	const entry = int64(unsafe.Sizeof(segment{}))
	if err := fl.allocate(shape.table(shard)+int64(g)*entry, int64(n)*entry); err != nil {
		return err
	}
	if err := fl.allocate(shape.arena(shard)+int64(g)*size, int64(n)*size); err != nil {
		return err
	}
	st.lock(s.bytes(int64(g)*size, n*int(size)))
	return nil
}

// punch takes the blocks of n segments from g on.
func (st *Store) punch(s *shard, g, n int) {
	off := st.file.head.shape.arena(s.shardNumber()) + int64(g)*int64(s.segSize)
	for end := off + int64(n)*int64(s.segSize); off < end; off += giveBackSlice {
		_ = unix.Fallocate(int(st.file.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, min(giveBackSlice, end-off))
	}
}

// shardNumber is the shard's number.
func (s *shard) shardNumber() int {
	return int((uintptr(unsafe.Pointer(s)) - uintptr(unsafe.Pointer(&s.store.shards[0]))) / unsafe.Sizeof(shard{}))
}

// provide gives a shard that is hungry blocks for further segments, some in advance. It is called without the lock, by who
// was about to need them: who stores pays.
func (st *Store) provide(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hungry || s.providing {
		return
	}
	s.hungry, s.providing = false, true
	for range openStep {
		if !s.backOne(s.mu.Unlock, s.mu.Lock) {
			break
		}
	}
	s.providing = false
}

// backOne gives one more segment blocks, if the limit covers it. A full disk may have room again in a second; until then there
// are fewer segments. The lock is let go of meanwhile, if that is what the functions do.
func (s *shard) backOne(unlock, lock func()) bool {
	if s.covered(s.index.bytes()) <= s.backed || s.deniedAt == s.now {
		return false
	}
	g, again := int32(s.backedFresh), s.gone.n > 0
	switch {
	case again:
		g = s.pop(&s.gone)
	case s.backedFresh == len(s.segments):
		return false
	}
	unlock()
	err := s.store.back(s, int(g), 1)
	lock()
	switch {
	case err != nil:
		s.deniedAt = s.now
		if again {
			s.push(&s.gone, g, stateGone)
		}
		return false
	case again:
		s.push(&s.free, g, stateFree)
	default:
		s.backedFresh++
	}
	s.backed++
	return true
}

// backNow gives a segment blocks under the lock, for who cannot wait: what provide does in advance was not enough.
func (s *shard) backNow() bool {
	return s.line != nil && !s.providing && s.backOne(func() {}, func() {})
}
