package storage

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve gets address space for n bytes, zeroed. The system backs it with pages as they are first written.
func (st *Store) reserve(n int64) (unsafe.Pointer, error) {
	n += bucketSize // so that a read of eight bytes at the very end stays inside
	if st.opts.HeapArena {
		b := make([]byte, n)
		st.memory = append(st.memory, b)
		return unsafe.Pointer(&b[0]), nil
	}
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("storage: reserving %d bytes: %w", n, err)
	}
	st.memory = append(st.memory, b)
	st.advise(b)
	return unsafe.Pointer(&b[0]), nil
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
	if st.opts.LockMemory {
		// On fault: pages are locked as they come into use, not all of the reserve at once.
		if err := lockOnFault(b); err != nil && len(st.warned) == 0 {
			st.warned = append(st.warned, fmt.Sprintf("failed to lock memory: %v", err))
		}
	}
}

func lockOnFault(b []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MLOCK_ONFAULT)
	if errno != 0 {
		return errno
	}
	return nil
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

// giveBack returns the pages of condemned segments to the system, outside the lock: nobody uses a segment that is on
// no list.
func (st *Store) giveBack(s *shard) {
	for {
		s.mu.Lock()
		if s.condemned.n == 0 {
			s.mu.Unlock()
			return
		}
		g := s.pop(&s.condemned)
		if st.file != nil {
			s.setBacked(s.backed - 1)
			s.mu.Unlock()
			st.unback(s, int(g), 1)
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
}

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
}
