package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
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

	prefixes []prefixLines

	adopted bool         // it was there before, is good, and is used as it is
	resumed bool         // the clock is the file's: it may be written down
	undo    func() error // takes back what a start has done to the folder; nil when it has come to its end
	settle  func() error // does what has to wait for that end

	old *oldFile // another file whose items are to be carried over
}

const (
	fileMagic = "gomemd-e"
	// fileFormat changes with the layout of header, segment table or records. In 1 nothing was
	// packed, before 3 there were no checksums.
	fileFormat = 3
	// formatPrefixes is the same while a prefix is being flushed: the prefixLines count.
	formatPrefixes = 4

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
	format   uint32 // but for this, see setFormat
	entry    uint32 // bytes of a segment table's entry
	checksum uint64 // of shape
	shape    fileShape

	incarnations atomic.Uint64
	zero         atomic.Int64  // Unix time of the clock's instant 0
	now          atomic.Uint32 // an instant that the clock has reached
	stopped      atomic.Uint64 // mark, after a stop in order: all of the file is on the disk
}

type fileShape struct {
	shards, segSize, granule, segments uint32 // segments: of a shard, for all of its reach
	boot                               [16]byte
}

// shardLine is what a shard keeps in the file beside its segments, in a cache line of its own. A
// flush is kept twice: were one bit of it lost, what was flushed would be there again.
type shardLine struct {
	intent       atomic.Uint32 // 1 + granule of the record that is being changed in place
	pending      atomic.Uint32
	floor        atomic.Uint64
	fresh        atomic.Uint32 // no segment from here on has ever been used
	pendingAgain atomic.Uint32
	floorAgain   atomic.Uint64
	_            [32]byte
}

func (l *shardLine) setFloor(n uint64) {
	l.floor.Store(n)
	l.floorAgain.Store(n)
}

func (l *shardLine) setPending(at uint32) {
	l.pending.Store(at)
	l.pendingAgain.Store(at)
}

// flushed is what a line says of flushes, given that no incarnation was larger than most. The two
// floors differ after a kill between the stores, and then the larger one may be meant; but none is
// larger than most that was not damaged.
func (l *shardLine) flushed(format uint32, most uint64) (floor uint64, pending uint32) {
	floor, pending = l.floor.Load(), l.pending.Load()
	if format < 3 {
		return floor, pending
	}
	if again := l.floorAgain.Load(); again > floor && again <= most || floor > most && again < floor {
		floor = again
	}
	if again := l.pendingAgain.Load(); again != 0 && (pending == 0 || again < pending) {
		pending = again
	}
	return floor, pending
}

func (h *fileHead) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(h)), unsafe.Sizeof(*h)) }

// mark is what stopped says after a stop in order.
func (h *fileHead) mark() uint64 {
	return xxhash.Sum64String(fmt.Sprint("stopped", h.incarnations.Load(), h.zero.Load(), h.now.Load()))
}

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

// prefixes is where the prefixLines begin. Programs that know none end the file here.
func (fs *fileShape) prefixes() int64 { return fs.arena(int(fs.shards)) }
func (fs *fileShape) prefixesSize() int64 {
	return pages(int64(fs.shards) * int64(unsafe.Sizeof(prefixLines{})))
}
func (fs *fileShape) size() int64 { return fs.prefixes() + fs.prefixesSize() }

// pages rounds up to 64 KiB, which is a whole number of pages on every machine.
func pages(n int64) int64 { return (n + 1<<16 - 1) &^ (1<<16 - 1) }

// ErrFileInUse says that another process has the file open.
var ErrFileInUse = errors.New("in use by another server")

// What openFile does with what it finds at Options.File. Whatever can fail comes before anything is
// changed that cannot be taken back: a start that fails leaves the folder and the items as they
// were.
//
//	absent, empty                           made here
//	empty, but others may write to it       a new one is made beside it and renamed over it
//	good, of this format, of a layout that  used as it is, made longer by prefixLines if need be
//	  suits the options
//	good, but not so                        a new one is made beside it, the items are carried
//	                                        over (carry.go), and it is renamed over the old one
//	torn by the end of the machine          emptied: nobody will ever be able to read it
//	damaged, somebody else's, of a format   a new one is made beside it and takes its name; the
//	  unknown, or others may write to it    old one is kept as FILE.kept-<n>
//	a symbolic link, no regular file,       an error
//	  another user's, in use
//
// openFile tells the geometry to use.
func (st *Store) openFile(g geometry) (geometry, error) {
	path := st.opts.File
	f, made, err := takeFile(path, st.opts.Cancel)
	if err != nil {
		return g, err
	}
	fl := &file{f: f}
	st.file = fl
	if made {
		fl.undo = func() error { return os.Remove(path) }
	}
	boot := bootID()
	head := new(fileHead)
	state, why, err := readHead(f, head, boot)
	if err != nil {
		return g, err
	}
	if state == fileGood && head.format >= fileFormat && st.adopt(&g, &head.shape) {
		if err := fl.lengthen(&head.shape); err != nil {
			return g, err
		}
		if err := fl.use(head, boot); err != nil {
			return g, err
		}
		return g, st.mapHead()
	}
	switch {
	case g.shards > shardsMax:
		return g, fmt.Errorf("storage: %d shards are too many for a memory file", g.shards)
	case state == fileTorn:
		st.warnOfFile(why + ": starting with a clean cache")
		fallthrough
	case state == fileEmpty:
		if !made {
			fl.undo = func() error { return fl.f.Truncate(0) }
		}
	default:
		if fl.f, err = makeBeside(path, st.opts.Cancel); err != nil {
			fl.f = f
			return g, err
		}
		fl.old = &oldFile{f: f, head: head, carry: state == fileGood}
		fl.undo = func() error { return os.Remove(beside(path)) }
		fl.settle = func() error {
			if state == fileRefused {
				return st.keepAside(why)
			}
			return os.Rename(beside(path), path)
		}
	}
	fl.resumed = !(fl.old != nil && fl.old.carry)
	shape := fileShape{
		shards: uint32(g.shards), segSize: g.segSize, granule: uint32(g.granule),
		segments: uint32(g.reach / int64(g.segSize)), boot: boot,
	}
	if err := fl.create(&fileHead{shape: shape}, st.clock.Unix(0)); err != nil {
		return g, err
	}
	return g, st.mapHead()
}

func (st *Store) warnOfFile(what string) {
	st.warned = append(st.warned, fmt.Sprintf("memory file %s: %s", st.opts.File, what))
}

// takeFile opens the file of this name, or makes it, and locks it. What is not safe to open is an
// error: who else can decide what the file is, or what is in it, must not decide what this process
// reads and writes.
func takeFile(path string, cancel <-chan struct{}) (f *os.File, made bool, err error) {
	for {
		f, made, err := openOrMake(path)
		if err != nil {
			return nil, false, err
		}
		if err := lockFile(f, cancel); err != nil {
			return nil, false, &fs.PathError{Op: "lock", Path: path, Err: errors.Join(err, f.Close())}
		}
		// While we waited for the lock, whoever had it may have given the name to another file.
		is, err := f.Stat()
		if err != nil {
			return nil, false, errors.Join(err, f.Close())
		}
		if named, err := os.Lstat(path); err == nil && os.SameFile(is, named) {
			return f, made, nil
		}
		if err := f.Close(); err != nil {
			return nil, false, err
		}
	}
}

func openOrMake(path string) (f *os.File, made bool, err error) {
	const flags = os.O_RDWR | unix.O_NOFOLLOW
	for {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			f, err := os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			return f, true, err
		}
		if err != nil {
			return nil, false, err
		}
		if why := unsafeFile(info); why != "" { // a device does not even like to be opened
			return nil, false, &fs.PathError{Op: "open", Path: path, Err: errors.New(why)}
		}
		f, err := os.OpenFile(path, flags, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if info, err = f.Stat(); err != nil {
			return nil, false, errors.Join(err, f.Close())
		}
		if why := unsafeFile(info); why != "" {
			return nil, false, &fs.PathError{Op: "open", Path: path, Err: errors.Join(errors.New(why), f.Close())}
		}
		return f, false, nil
	}
}

// unsafeFile says what forbids to use a file, whatever is in it.
func unsafeFile(info fs.FileInfo) (why string) {
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "it is a symbolic link"
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case owner != 0 && int(owner) != os.Geteuid():
		return fmt.Sprintf("it belongs to another user, of number %d", owner)
	}
	return ""
}

// fileState is what readHead makes of a file.
type fileState uint8

const (
	fileEmpty   fileState = iota // or what a start left that was killed while it made the file
	fileRenew                    // empty, but others may write to it, now or with what they opened earlier
	fileGood                     // of any known format
	fileTorn                     // the machine ended without a stop in order: its pages were written in any order
	fileRefused                  // somebody else's, or not to be understood
)

// readHead reads and judges a file's header, and says why a file is not taken.
func readHead(f *os.File, head *fileHead, boot [16]byte) (state fileState, why string, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	shared := info.Mode().Perm()&0o022 != 0
	b := head.bytes()
	n, err := f.ReadAt(b, 0)
	switch {
	case n == 0 && errors.Is(err, io.EOF) && shared:
		return fileRenew, "", nil
	case n == 0 && errors.Is(err, io.EOF):
		return fileEmpty, "", nil
	case err != nil && !errors.Is(err, io.EOF):
		return 0, "", err
	case n < len(b) || string(head.magic[:]) != fileMagic:
		return fileRefused, "it is no memory file of gomemd", nil
	case shared:
		return fileRefused, fmt.Sprintf("others than its owner may write to it, its mode is %04o", info.Mode().Perm()), nil
	}
	s := &head.shape
	switch {
	case head.format < 1 || head.format > formatPrefixes || head.entry != uint32(unsafe.Sizeof(segment{})):
		return fileRefused, fmt.Sprintf("its format %d.%d is not known", head.format, head.entry), nil
	case head.checksum != s.sum():
		return fileRefused, "its header is damaged", nil
	case s.shards == 0 || s.shards > shardsMax || s.shards&(s.shards-1) != 0 || s.granule > granuleMax || s.granule%2 != 0 ||
		s.segSize < 1<<12 || s.segSize > 1<<uniqueBits || s.segSize&(s.segSize-1) != 0 || int64(s.segSize)%int64(os.Getpagesize()) != 0 ||
		s.segments == 0 || s.arenaSize() > 1<<(locBits+s.granule):
		return fileRefused, "its header makes no sense", nil
	case head.incarnations.Load() >= incarnationMax || head.now.Load() >= 1<<31:
		return fileRefused, "its counters make no sense", nil
	case info.Size() == int64(len(b)):
		return fileEmpty, "", nil
	case info.Size() < s.prefixes(), head.format >= formatPrefixes && info.Size() < s.size():
		return fileRefused, fmt.Sprintf("it has %d bytes instead of %d", info.Size(), s.size()), nil
	case (s.boot != boot || boot == [16]byte{}) && head.stopped.Load() != head.mark():
		return fileTorn, "the machine was started anew since, and the server was not stopped before, so it may be torn", nil
	}
	return fileGood, "", nil
}

// adopt makes the geometry a good file's, if that suits the options, and the address space: without
// a limit on that more is reserved for a file than there may be now.
func (st *Store) adopt(g *geometry, s *fileShape) bool {
	limit := st.opts.MemoryLimit / int64(s.shards)
	if limit > s.arenaSize() || limit < leastSegments*int64(s.segSize) || s.shards > 1 && limit < 4*int64(st.opts.ItemMax) {
		return false
	}
	if reach := int64(s.shards) * s.arenaSize(); reach > int64(g.shards)*g.reach && !mayReserve(reach+reach/2) {
		return false
	}
	*g = geometry{shards: int(s.shards), limit: limit, reach: s.arenaSize(), segSize: s.segSize, granule: uint(s.granule)}
	st.shards = make([]shard, g.shards)
	return true
}

// use begins to use a good file. From here on its pages may reach the disk in any order, so that is
// written there first.
func (fl *file) use(head *fileHead, boot [16]byte) error {
	fl.adopted = true
	if head.stopped.Load() == 0 && head.shape.boot == boot {
		return nil
	}
	head.shape.boot = boot
	head.checksum = head.shape.sum()
	head.stopped.Store(0)
	if _, err := fl.f.WriteAt(head.bytes(), 0); err != nil {
		return err
	}
	return fl.f.Sync()
}

// beside is where a file is made that will take another one's place.
func beside(path string) string { return path + ".new" }

// makeBeside makes that file.
func makeBeside(path string, cancel <-chan struct{}) (*os.File, error) {
	for {
		if err := clearBeside(path, cancel); err != nil {
			return nil, err
		}
		f, made, err := takeFile(beside(path), cancel)
		if err != nil || made {
			return f, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// clearBeside removes what a start has left there that was killed.
func clearBeside(path string, cancel <-chan struct{}) error {
	path = beside(path)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, _, err := takeFile(path, cancel)
	if err != nil {
		return err
	}
	head := new(fileHead)
	if n, _ := f.ReadAt(head.bytes(), 0); n > 0 && string(head.magic[:]) != fileMagic {
		return &fs.PathError{Op: "make", Path: path, Err: errors.Join(errors.New("there is a file of this name already"), f.Close())}
	}
	return errors.Join(os.Remove(path), f.Close())
}

// keepAside gives a file that is not to be used another name, and its own to the new one. There is
// always a file of that name.
func (st *Store) keepAside(why string) error {
	path := st.opts.File
	for n := 1; ; n++ {
		kept := fmt.Sprintf("%s.kept-%d", path, n)
		moved := false
		err := os.Link(path, kept)
		if err != nil && !errors.Is(err, fs.ErrExist) { // no second names there
			err = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, kept, unix.RENAME_NOREPLACE)
			moved = err == nil
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "rename", Path: path, Err: err}
		}
		if err := os.Rename(beside(path), path); err != nil {
			if moved {
				return errors.Join(err, os.Rename(kept, path))
			}
			return errors.Join(err, os.Remove(kept))
		}
		st.warnOfFile(why + ", and is " + kept + " now: starting with a clean cache")
		return nil
	}
}

// create makes an empty file of this shape. The header comes first: what a kill leaves is known by
// it.
func (fl *file) create(head *fileHead, zero int64) error {
	copy(head.magic[:], fileMagic)
	head.format, head.entry, head.checksum = fileFormat, uint32(unsafe.Sizeof(segment{})), head.shape.sum()
	head.zero.Store(zero)
	if err := fl.f.Truncate(0); err != nil {
		return err
	}
	if _, err := fl.f.WriteAt(head.bytes(), 0); err != nil {
		return err
	}
	if err := fl.f.Truncate(head.shape.size()); err != nil {
		return err
	}
	if err := fl.allocate(head.shape.prefixes(), head.shape.prefixesSize()); err != nil {
		return err
	}
	return fl.allocate(0, fileTables)
}

// lengthen gives a file room for prefixLines that has none. It is no less good without this program.
func (fl *file) lengthen(shape *fileShape) error {
	if err := fl.allocate(shape.prefixes(), shape.prefixesSize()); err != nil {
		return &fs.PathError{Op: "allocate", Path: fl.f.Name(), Err: err}
	}
	return nil
}

// setFormat tells those who come after us whether there are prefixLines to be minded.
func (fl *file) setFormat(format uint32) { atomic.StoreUint32(&fl.head.format, format) }

func (st *Store) mapHead() error {
	b, err := unix.Mmap(int(st.file.f.Fd()), 0, fileTables, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
	}
	st.memory = append(st.memory, b)
	st.file.head = (*fileHead)(unsafe.Pointer(&b[0]))
	st.file.lines = unsafe.Slice((*shardLine)(unsafe.Pointer(&b[fileLines])), shardsMax)
	st.incarnations = &st.file.head.incarnations
	shape := &st.file.head.shape
	b, err = unix.Mmap(int(st.file.f.Fd()), shape.prefixes(), int(shape.prefixesSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("storage: mapping %s: %w", st.opts.File, err)
	}
	st.memory = append(st.memory, b)
	st.file.prefixes = unsafe.Slice((*prefixLines)(unsafe.Pointer(&b[0])), shape.shards)
	return nil
}

// startDone is the end of a start that has succeeded.
func (fl *file) startDone(path string) error {
	if fl.settle != nil {
		if err := fl.settle(); err != nil {
			return err
		}
	}
	fl.undo = nil
	if fl.old != nil {
		return fl.old.close()
	}
	_ = clearBeside(path, nil) // what is not ours may stay
	return nil
}

// close lets go of the file, of which nothing is mapped any more. After a start that has come to
// nothing there is none; any other one is good, even if the machine ends before its next use: all
// of it is on the disk when that is said there.
func (fl *file) close() error {
	var errs []error
	switch {
	case fl.undo != nil:
		errs = append(errs, fl.undo())
		if fl.old != nil {
			errs = append(errs, fl.old.close())
		}
	case fl.adopted || fl.resumed:
		errs = append(errs, fl.markStopped())
	}
	return errors.Join(append(errs, fl.f.Close())...)
}

func (fl *file) markStopped() error {
	if err := fl.f.Sync(); err != nil {
		return err
	}
	head := new(fileHead)
	if _, err := fl.f.ReadAt(head.bytes(), 0); err != nil {
		return err
	}
	head.stopped.Store(head.mark())
	if _, err := fl.f.WriteAt(head.bytes(), 0); err != nil {
		return err
	}
	return fl.f.Sync()
}

// lockFile makes sure that nobody else has the file.
func lockFile(f *os.File, cancel <-chan struct{}) error {
	for end := time.Now().Add(lockPatience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return ErrFileInUse
		}
		select {
		case <-cancel:
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
	fl := st.file
	for i := range st.shards {
		st.shards[i].sumSize = sumSize
	}
	if fl.adopted {
		if err := st.restore(); err != nil {
			return err
		}
	}
	for i := range st.shards {
		s := &st.shards[i]
		for need := s.bytesInUse(); need > s.limit; need = s.bytesInUse() { // of which the table is a part
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
	st.comeDown()
	if err := fl.mayHold(st.limit.Load()); err != nil {
		return st.noRoomBeside(err)
	}
	if fl.old != nil && fl.old.carry {
		if err := st.carryOver(); err != nil {
			return err
		}
	}
	return fl.startDone(st.opts.File)
}

// comeDown keeps the limit before anybody is served, where it is lower than what the file holds.
func (st *Store) comeDown() {
	before, needed := st.restored.Items, st.restored.Bytes+st.restored.Items*bucketSize/slots
	for st.pool.Load() < 0 && st.Sweep() {
	}
	s := st.Stats()
	switch st.restored.Items = s.CurrItems; {
	case st.pool.Load() < 0 && st.opts.DisableEviction:
		st.warnOfFile(fmt.Sprintf("its items take more than %d bytes, and none of them may go: they are kept, and what is new is refused", st.opts.MemoryLimit))
	case s.Evictions > 0 && needed > uint64(st.opts.MemoryLimit)/16*15: // else some went as they do at any moment from a full cache
		st.warnOfFile(fmt.Sprintf("%d of its items found no room in %d bytes: %d are here", before-min(before, s.CurrItems), st.opts.MemoryLimit, s.CurrItems))
	}
	st.ResetStats()
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

// noRoomBeside says what can be done where there is no room for two files.
func (st *Store) noRoomBeside(err error) error {
	old := st.file.old
	var errno syscall.Errno
	if old == nil || !errors.As(err, &errno) {
		return err
	}
	if !old.carry {
		return fmt.Errorf("memory file %s: it cannot be used, and there is no room for another one beside it: %w", st.opts.File, errno)
	}
	s := &old.head.shape
	return fmt.Errorf("memory file %s: its items must be moved to a file of another layout, and there is no room for %d bytes beside it; "+
		"as it is, it can be used with limits of %d to %d bytes and items of up to one part in %d of the limit: %w",
		st.opts.File, st.opts.MemoryLimit, int64(s.shards)*leastSegments*int64(s.segSize), int64(s.shards)*s.arenaSize(), 4*s.shards, errno)
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
		var errno unix.Errno
		if errors.As(err, &errno) {
			s.store.withheld.Store(int32(errno))
		}
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
	s.measure()
	return true
}

// backNow gives a segment blocks under the lock, for who cannot wait: what provide does in advance was not enough.
func (s *shard) backNow() bool {
	return s.line != nil && !s.providing && s.backOne(func() {}, func() {})
}
