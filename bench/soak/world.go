package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// The keys of three kinds. Each has one worker that writes it, and all may read it.
const (
	blobs    = 4000 // values of any size, compared with what their version says
	counters = 400  // numbers
	logs     = 400  // values that grow at both ends
)

// sizeMax leaves room for key and header within -I 1m.
const sizeMax = 1_000_000

// world is what should be in the server, as far as one can know from outside.
type world struct {
	keys   [blobs]fact
	source []byte // what values are cut from
	bad    atomic.Bool

	mu  sync.Mutex
	sum *tally
}

// fact is what is known of a blob: each write of it, deletes too, has a version. A read that was sent after version a was
// acknowledged, and answered before version b was sent, returns one of a to b−1, or nothing.
type fact struct {
	sent, acked atomic.Uint32
	flushed     atomic.Uint32 // the last version that a flush has ended
	mu          sync.Mutex
	fates       [8]fate // of the last versions, by version
}

// fate says when a version ends.
type fate struct {
	version uint32
	over    time.Time // zero: never
	gone    bool      // a delete
}

func newWorld() *world {
	w := &world{sum: newTally(), source: make([]byte, 2*sizeMax)}
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(w.source)
	return w
}

func (w *world) sound() bool { return !w.bad.Load() }

// wrong notes something that must not be. The run ends at the first.
func (w *world) wrong(format string, args ...any) {
	w.bad.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum.Wrong = append(w.sum.Wrong, fmt.Sprintf(format, args...))
}

// value is what a version of a blob looks like: a checksum over key and version and bytes, when there is room for it, and then
// bytes of the source from a place that depends on both. The flags tell the version, so even one byte can be judged.
func (w *world) value(buf []byte, key int, version uint32) []byte {
	var name [12]byte
	binary.LittleEndian.PutUint64(name[:], uint64(key))
	binary.LittleEndian.PutUint32(name[8:], version)
	h := xxhash.Sum64(name[:])
	size := sizeOf(h)
	buf = append(buf[:0], w.source[h%sizeMax:][:size]...)
	if size >= 20 {
		copy(buf, name[:])
		binary.LittleEndian.PutUint64(buf[12:], xxhash.Sum64(buf[20:])^h)
	}
	return buf
}

// sizeOf draws 1 byte to 1 MB, each power of two alike.
func sizeOf(h uint64) int {
	u := float64(h>>11) / (1 << 53)
	return max(1, int(math.Pow(sizeMax, u)))
}

// floor is the oldest version that a read may return which is sent from now on.
func (f *fact) floor() uint32 {
	flushed := f.flushed.Load()
	if flushed > 0 {
		flushed++
	}
	return max(f.acked.Load(), flushed)
}

// write notes that a version is about to be sent. Only the key's worker does that.
func (f *fact) write(deadline time.Time, gone bool) uint32 {
	v := f.sent.Load() + 1
	f.mu.Lock()
	f.fates[v%8] = fate{v, deadline, gone}
	f.mu.Unlock()
	f.sent.Store(v)
	return v
}

// fateOf is nil when it is too long ago.
func (f *fact) fateOf(version uint32) *fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ft := f.fates[version%8]; ft.version == version {
		return &ft
	}
	return nil
}
