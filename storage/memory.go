package storage

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve gets address space for n bytes, zeroed. It cannot be used, and counts as nobody's memory, until access has
// opened it; the system backs it with pages as they are first written.
func (st *Store) reserve(n int64) (unsafe.Pointer, error) {
	n = pages(n)
	if st.opts.HeapArena {
		b := make([]byte, n)
		st.memory = append(st.memory, b)
		return unsafe.Pointer(&b[0]), nil
	}
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("storage: reserving %d bytes: %w", n, err)
	}
	st.memory = append(st.memory, b)
	st.advise(b)
	return unsafe.Pointer(&b[0]), nil
}

// access makes the bytes of a reservation from one place to another usable. It costs 2 µs, whatever their number, and
// neighbours that are opened one after the other are one mapping. False: a limit of the process or the machine is reached.
func (st *Store) access(base unsafe.Pointer, from, to int64) bool {
	if st.opts.HeapArena || from >= to {
		return true
	}
	from, to = from&^(page-1), (to+page-1)&^(page-1)
	b := unsafe.Slice((*byte)(unsafe.Add(base, from)), to-from)
	if unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE) != nil {
		return false
	}
	st.lock(b)
	return true
}

// lock locks memory that may be used from now on, if that is wanted: its pages stay resident once they have come.
func (st *Store) lock(b []byte) {
	if st.opts.LockMemory {
		if _, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MLOCK_ONFAULT); errno != 0 {
			st.lockFailed.Store(int32(errno))
		}
	}
}

// advise tells the system how memory is going to be used.
func (st *Store) advise(b []byte) {
	// Passwords are kept in caches; they have no business in a core dump. Old kernels do not know this: no harm.
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	if st.opts.LargePages {
		if err := unix.Madvise(b, unix.MADV_HUGEPAGE); err != nil && len(st.warned) == 0 {
			st.warned = append(st.warned, fmt.Sprintf("failed to get large pages: %v", err))
		}
	} else {
		// Where the system gives them unasked, as Debian's does, each mapping's end would be up to 2 MiB beyond the limit, and
		// what is given back be given again with its neighbour. A kernel that has none says so: no harm.
		_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
	}
}

func (st *Store) unmap() error {
	var errs []error
	if !st.opts.HeapArena {
		for _, b := range st.memory {
			errs = append(errs, unix.Munmap(b))
		}
	}
	st.memory = nil
	return errors.Join(errs...)
}

// giveBack returns the pages of some condemned segments to the system, outside the lock: nobody uses a segment that is on
// no list. It tells whether there are more.
func (st *Store) giveBack(s *shard) bool {
	for range openStep {
		s.mu.Lock()
		if s.condemned.n == 0 {
			s.mu.Unlock()
			return false
		}
		g := s.pop(&s.condemned)
		if st.file != nil {
			s.backed--
			s.measure()
			s.mu.Unlock()
			st.punch(s, int(g), 1)
			s.mu.Lock()
			s.push(&s.gone, g, stateGone)
			s.mu.Unlock()
			continue
		}
		s.mu.Unlock()
		for off := int64(0); off < int64(s.segSize); off += giveBackSlice {
			st.discard(unsafe.Add(s.arena, int64(g)*int64(s.segSize)+off), uint64(min(giveBackSlice, int64(s.segSize)-off)))
		}
		s.mu.Lock()
		s.push(&s.gone, g, stateGone)
		s.mu.Unlock()
	}
	return true
}

// page is the size of the machine's pages.
var page = int64(os.Getpagesize())

// giveBackSlice bounds one call: the system clears the pages' entries under a lock of its own.
const giveBackSlice = 64 << 10

// discard gives the pages of n bytes back; they read as zero afterwards. Only whole pages can be given back, and with
// segments smaller than a page, or memory from the heap, nothing is.
func (st *Store) discard(p unsafe.Pointer, n uint64) {
	if st.opts.HeapArena || n == 0 || n%4096 != 0 || uintptr(p)%4096 != 0 {
		return
	}
	b := unsafe.Slice((*byte)(p), n)
	if st.opts.LockMemory { // locked pages stay, whatever one advises
		_ = unix.Munlock(b)
	}
	_ = unix.Madvise(b, unix.MADV_DONTNEED)
	st.lock(b)
}

// spareSpace is how much address space a store leaves to the rest of the process where that is limited.
const spareSpace = 256 << 20

// mayReserve tells whether there is address space for so many bytes.
func mayReserve(n int64) bool {
	b, err := unix.Mmap(-1, 0, int(n+spareSpace), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return false
	}
	_ = unix.Munmap(b)
	return true
}
