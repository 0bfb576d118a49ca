package storage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
)

// What a killed process leaves in its file is what a stopped one has in it. So one child works on a store in a file and is
// stopped again and again, at any instruction (stepped_test.go); each time the file is copied, and a store that is opened on the copy
// must have what the child had: all that it had done, and of the deed it was about, all, nothing or no item.
//
//	child    draws deed i, says "begun i", does it, says "ended i"         (shared page: progress)
//	parent   stops it, copies the file, opens the copy, compares with its own ledger, lets it go on
//
// Child and parent draw the same deeds from the same seed.
var stops = flag.Int("stops", 80, "how often the test of restarts stops its child at any moment, and as often again at a chosen one, for each kind")

const stoppedKeys = 24 // the first few are counters

// progress is the page that child and parent share.
type progress struct {
	tid, code    atomic.Uint64 // the thread that works, and where a function lies
	begun, ended atomic.Uint64 // numbers of deeds
	evictions    atomic.Uint64
	told         [64]atomic.Uint64 // the last uniques that were told, in a ring
	shown        [stoppedKeys]struct{ deed, unique atomic.Uint64 }
}

func mapProgress(t testing.TB, path string) *progress {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 16); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return (*progress)(unsafe.Pointer(&b[0]))
}

type verb int

const (
	doSet verb = iota
	doAlike
	doReceive
	doReceiveAppend
	doReceivePrepend
	doAppend
	doPrepend
	doReplace
	doAdd
	doCas
	doIncr
	doTouch
	doGets
	doDelete
	doStale
	doFlush
	doFlushLater
	doFlushPrefix
	doPass
	doSweep
	doFlood
	doLimit
)

// kind is a kind of store and of work. shares are how often each deed is done; of doAdd and doLimit only one fits a kind of store.
type kind struct {
	name   string
	lossy  bool // items may be evicted
	shares [doLimit + 1]int
}

var everything = [...]int{doSet: 170, doAlike: 250, doReceive: 25, doReceiveAppend: 20, doReceivePrepend: 20, doAppend: 90, doPrepend: 60, doReplace: 30, doAdd: 30, doCas: 50,
	doIncr: 120, doTouch: 60, doGets: 60, doDelete: 70, doStale: 20, doFlush: 1, doFlushLater: 1, doFlushPrefix: 4, doPass: 12, doSweep: 20, doFlood: 30, doLimit: 3}

var kinds = []kind{
	{"lossless", false, everything},
	{"lossy", true, everything},
	{"joins", false, [...]int{doSet: 10, doAlike: 20, doReceiveAppend: 60, doReceivePrepend: 20, doAppend: 200, doPrepend: 20, doIncr: 60,
		doGets: 250, doPass: 2, doLimit: 0}},
	{"rare deeds", false, [...]int{doSet: 40, doAlike: 60, doIncr: 120, doGets: 120, doFlush: 1, doFlushLater: 8, doFlushPrefix: 30, doPass: 30, doSweep: 5, doLimit: 0}},
}

type deed struct {
	number   uint64
	verb     verb
	key      int
	value    []byte
	flags    uint32
	deadline expiry.Instant
	n        uint64
}

// ledger is what there should be.
type ledger struct {
	*kind
	now, pending expiry.Instant
	items        [stoppedKeys]entry
}

type entry struct {
	there    bool
	value    []byte // nobody writes into it
	flags    uint32
	deadline expiry.Instant
	changed  uint64 // number of the deed that made this version
	shown    bool   // its unique was told
}

func (l *ledger) alive(key int, now expiry.Instant) bool {
	e := &l.items[key]
	return e.there && !e.deadline.Passed(now) && (l.pending == expiry.Never || l.pending > now)
}

const counterKeys = 6

// joinedMost is how long a value may become by what is joined to it.
const joinedMost = 28_000

// stoppedSource is what values are cut from, at a place for each deed, stoppedDigits what a quarter of them are.
var stoppedSource = func() []byte {
	b := make([]byte, 1<<17)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b)
	return b
}()

var stoppedDigits = []byte(hex.EncodeToString(stoppedSource))

// draw says what the deed of that number is.
func (l *ledger) draw(seed, number uint64) deed {
	r := rand.New(rand.NewPCG(seed, number))
	d := deed{number: number, key: r.IntN(stoppedKeys), n: r.Uint64N(1000)}
	sum := 0
	for _, n := range l.shares {
		sum += n
	}
	for all := r.IntN(sum); all >= l.shares[d.verb]; d.verb++ {
		all -= l.shares[d.verb]
	}
	if d.verb == doAdd && l.lossy || d.verb == doLimit && !l.lossy {
		d.verb = doSet
	}
	if l.lossy && (d.verb == doFlush || d.verb == doFlushLater) && number%8 > 0 {
		d.verb = doFlood // or it would never be full
	}
	e := &l.items[d.key]
	counter := d.key < counterKeys
	if counter && d.verb <= doCas && d.verb != doAlike || d.verb == doIncr && !counter {
		d.key = counterKeys + d.key%(stoppedKeys-counterKeys)
		if e, counter = &l.items[d.key], false; d.verb == doIncr {
			d.key = d.key % counterKeys
			e, counter = &l.items[d.key], true
		}
	}
	n := 0
	switch r.IntN(20) {
	default:
		n = r.IntN(40)
	case 0, 1, 2, 3:
		n = 100 + r.IntN(200)
	case 10, 11, 12:
		n = 24 + 8*r.IntN(10)
	case 4, 5, 6, 7, 8:
		n = r.IntN(3000)
	case 9:
		n = r.IntN(15_000)
	case 13:
		n = gatherMax + r.IntN(5_000) // what is joined to it changes it in place
	}
	switch r.IntN(6) {
	case 0:
		d.deadline = l.now + expiry.Instant(r.IntN(12))
	case 1:
		d.deadline = l.now + 100_000
	}
	d.flags = [...]uint32{0, 0, 0, 200, 1 << 20}[r.IntN(5)]
	switch d.verb {
	case doAlike:
		if n = len(e.value); n > 3000 {
			n = 3000
		}
		d.flags, d.deadline = e.flags, e.deadline
	case doAppend, doPrepend, doReceiveAppend, doReceivePrepend:
		if n %= []int{100, 100, 700, 4000}[r.IntN(4)]; len(e.value)+n > joinedMost {
			d.verb = doSet
		}
	case doReceive:
		n += r.IntN(4000)
	}
	if counter && d.verb == doAlike {
		d.value = strconv.AppendUint(nil, r.Uint64()>>r.IntN(64), 10)
		if number%3 == 0 {
			d.value = append(d.value, bytes.Repeat([]byte(" "), r.IntN(10_000))...)
		}
		return d
	}
	source := stoppedSource
	if number%4 == 0 && n%8 == 0 {
		source = stoppedDigits
	}
	d.value = source[number*2654435761%(1<<16):][:n:n]
	return d
}

// note writes a deed down.
func (l *ledger) note(d *deed) {
	if d.verb == doPass {
		l.now += expiry.Instant(1 + d.n%3)
	}
	if d.verb == doFlush || l.pending != expiry.Never && l.pending <= l.now {
		l.pending = expiry.Never
		for i := range l.items {
			l.items[i].there = false
		}
		if d.verb == doFlush {
			return
		}
	}
	if d.verb == doFlushLater {
		l.pending = l.now + expiry.Instant(1+d.n%20)
	}
	if d.verb == doFlushPrefix {
		for i := range l.items {
			if bytes.HasPrefix(stoppedNames[i], d.prefix()) {
				l.items[i].there = false
			}
		}
		return
	}
	e := &l.items[d.key]
	there := l.alive(d.key, l.now)
	fresh := entry{true, d.value, d.flags, d.deadline, d.number, false}
	switch d.verb {
	case doSet, doAlike, doReceive:
		*e = fresh
	case doReplace, doCas:
		if there {
			*e = fresh
		}
	case doAdd:
		if !there {
			*e = fresh
		}
	case doAppend, doPrepend, doReceiveAppend, doReceivePrepend:
		if there {
			a, b := e.value, d.value
			if d.verb == doPrepend || d.verb == doReceivePrepend {
				a, b = b, a
			}
			e.value, e.changed, e.shown = append(a[:len(a):len(a)], b...), d.number, false
		}
	case doIncr:
		if there {
			n, _ := strconv.ParseUint(string(bytes.TrimRight(e.value, " ")), 10, 64)
			text := strconv.AppendUint(nil, n+d.n, 10)
			for len(text) < len(e.value) {
				text = append(text, ' ')
			}
			e.value, e.changed, e.shown = text, d.number, false
		}
	case doTouch:
		if there {
			e.deadline = d.deadline
		}
	case doGets:
		e.shown = there
	case doStale:
		e.changed, e.shown = d.number, false
	case doDelete:
		e.there = false
	}
}

// prefix is what doFlushPrefix flushes: of one key, two, eleven or five, or of none.
func (d *deed) prefix() []byte {
	return []byte([...]string{"key7", "key3", "key1", "key2", "key20", "none"}[d.n%6])
}

var stoppedNames = func() (names [stoppedKeys][]byte) {
	for i := range names {
		names[i] = []byte("key" + strconv.Itoa(i))
	}
	return names
}()

// do does it on a store.
func (d *deed) do(st *Store, clock *expiry.Clock, p *progress) {
	key := stoppedNames[d.key]
	h := st.Hash(key)
	it := Item{Key: key, Value: d.value, Flags: d.flags, Deadline: d.deadline}
	status := Stored
	switch d.verb {
	case doSet, doAlike:
		status = st.Put(h, Set, &it)
	case doReplace:
		status = st.Put(h, Replace, &it)
	case doAdd:
		status = st.Put(h, Add, &it)
	case doAppend:
		status = st.Put(h, Append, &it)
	case doPrepend:
		status = st.Put(h, Prepend, &it)
	case doCas:
		if it.Unique = d.gets(st, p, d.number-1); it.Unique != 0 {
			status = st.Put(h, CompareAndSwap, &it)
		}
	case doReceive, doReceiveAppend, doReceivePrepend:
		in, s := st.Receive(h, &it, len(d.value), nil)
		for rest := d.value; s == Stored && len(rest) > 0; {
			n := min(len(rest), 1+int(d.n)*5)
			_, s = in.Write(rest[:n])
			rest = rest[n:]
		}
		if s == Stored {
			s = in.Commit(map[verb]Mode{doReceive: Set, doReceiveAppend: Append, doReceivePrepend: Prepend}[d.verb])
		}
		status = s
	case doIncr:
		_, status = st.Incr(h, key, d.n)
	case doTouch:
		st.TouchView(h, key, d.deadline, false, nil)
	case doGets:
		d.gets(st, p, d.number)
	case doDelete:
		st.Delete(h, key)
	case doStale:
		st.Remove(h, key, Removal{Stale: true})
	case doFlush:
		st.FlushAll(expiry.Never)
	case doFlushLater:
		st.FlushAll(clock.Now() + expiry.Instant(1+d.n%20))
	case doFlushPrefix:
		for st.FlushPrefix(d.prefix(), 0, nil) != 0 {
			st.Sweep()
		}
	case doPass:
		clock.Set(clock.Now() + expiry.Instant(1+d.n%3))
		st.Sweep()
	case doSweep:
		for range 3 {
			st.Sweep()
		}
	case doFlood:
		for i := range d.n % 40 {
			put(st, Set, "flood"+strconv.Itoa(int(i+d.number)%5000), "passing by, and wanting room of its own", 0)
		}
	case doLimit:
		_ = st.SetLimit(int64(128+d.n%200) << 10)
	}
	if status == OutOfMemory {
		st.Delete(h, key) // as the server does: who was told of an error may hope for no value
	}
}

// gets asks for a unique, and tells the parent that it is the one after a deed.
func (d *deed) gets(st *Store, p *progress, after uint64) (u uint64) {
	key := stoppedNames[d.key]
	if !st.ViewUnique(st.Hash(key), key, func(it Item) { u = it.Unique }) {
		return 0
	}
	told := &p.shown[d.key]
	told.deed.Store(0)
	told.unique.Store(u)
	told.deed.Store(after)
	p.told[d.number%uint64(len(p.told))].Store(u)
	return u
}

func stoppedOptions(dir string, lossy bool) Options {
	o := Options{MemoryLimit: 2 << 20, ItemMax: 30_000, Shards: 2, SegmentSize: 4096, PackHex: true, File: filepath.Join(dir, "items")}
	if lossy {
		o.MemoryLimit, o.Shards = 192<<10, 1
	}
	return o
}

const stoppedEnv = "GOMEMD_TEST_STOPPED" // seed, kind and directory of a child

func TestMain(m *testing.M) {
	var seed uint64
	var which int
	var dir string
	if n, _ := fmt.Sscan(os.Getenv(stoppedEnv), &seed, &which, &dir); n == 3 {
		go func() { // the parent's end is ours
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		workUntilStopped(seed, &kinds[which], dir)
	}
	var more uint64
	var shards int
	if n, _ := fmt.Sscan(os.Getenv(addressSpaceEnv), &more, &shards, &dir); n == 3 {
		layout := fileLayout{4 << 20, 100_000, 2, 16 << 10}
		if shards == 1 {
			layout = fileLayout{4 << 20, 1 << 20, 1, 16 << 10}
		}
		openWithin(more, dir, layout)
	}
	os.Exit(m.Run())
}

func workUntilStopped(seed uint64, k *kind, dir string) {
	runtime.LockOSThread()
	p := mapProgress(nil, filepath.Join(dir, "progress"))
	p.tid.Store(uint64(unix.Gettid()))
	p.code.Store(newSeen().functions[0])
	clock := expiry.NewClock(someDay)
	st, err := Open(stoppedOptions(dir, k.lossy), clock)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l := ledger{kind: k, now: clock.Now()}
	for i := uint64(1); ; i++ {
		d := l.draw(seed, i)
		p.begun.Store(i)
		d.do(st, clock, p)
		p.ended.Store(i)
		l.note(&d)
		if i%256 == 0 {
			p.evictions.Store(st.Stats().Evictions)
		}
	}
}

// memoryDir is a directory in memory if there is one: a file that is copied hundreds of times does not belong on a disk.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "gomemd-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestARestartAfterAnyInstruction(t *testing.T) {
	code := newSeen()
	for which := range kinds {
		k := &kinds[which]
		t.Run(k.name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			dir := memoryDir(t)
			p := mapProgress(t, filepath.Join(dir, "progress"))
			pid := startStopped(t, seed, which, dir)
			for end := time.Now().Add(30 * time.Second); p.ended.Load() < 100 || k.lossy && p.evictions.Load() == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the child does nothing")
				}
			}
			worker := seize(t, pid, p, dir, code)
			// before is what there was when the last ended deed had ended; after, what the one that had begun makes of it.
			before := &ledger{kind: k, now: expiry.Start}
			last, within := uint64(0), 0
			random := rand.New(rand.NewPCG(seed, 0))
			judge := func() {
				t.Helper()
				seen := copyShared(t, p, dir)
				for ; last < seen.ended.Load(); last++ {
					d := before.draw(seed, last+1)
					before.note(&d)
				}
				after := *before
				d := after.draw(seed, last+1)
				if seen.begun.Load() > last {
					after.note(&d)
					within++
				}
				judgeRestart(t, filepath.Join(dir, "copy"), before, &after, &d, seen)
				if t.Failed() {
					t.Fatalf("stopped in or before deed %d: %d of %q, %d bytes", d.number, d.verb, stoppedNames[d.key], len(d.value))
				}
			}
			for i := range 2 * *stops {
				time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
				worker.stop(t, i%2 > 0, random)
				judge()
				worker.resume(t)
			}
			if k.name == "joins" {
				stores := 0
				for i := range *stops / 4 {
					time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
					stores += worker.through(t, code.whole[i%len(code.whole)], i%len(code.whole) == 0, judge)
					worker.resume(t)
				}
				t.Logf("stopped after each of %d stores", stores)
			}
			t.Logf("%d deeds, stopped %d times, %d within a deed; %d evictions; %d instructions known, %d of them after a store",
				last, 2**stops, within, p.evictions.Load(), len(code.is), len(code.hot))
			if evictions := p.evictions.Load(); (evictions > 0) != k.lossy {
				t.Errorf("%d evictions", evictions)
			}
		})
	}
}

func startStopped(t *testing.T, seed uint64, which int, dir string) (pid int) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", stoppedEnv, seed, which, dir), "GODEBUG=asyncpreemptoff=1")
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	return child.Process.Pid
}

// copyShared copies what the child shares with others.
func copyShared(t *testing.T, p *progress, dir string) *progress {
	t.Helper()
	if err := copySparse(filepath.Join(dir, "copy"), filepath.Join(dir, "items")); err != nil {
		t.Fatal(err)
	}
	seen := new(progress)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(seen)), unsafe.Sizeof(*seen)), unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)))
	return seen
}

// copySparse copies what of a file is not a hole.
func copySparse(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	for off := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		} else if err != nil {
			return err
		}
		if off, err = unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, off-start)); err != nil {
			return err
		}
	}
}

// inPlace tells whether a deed may have been done where the item was: then the item may be torn, and so be lost. Whose unique was
// told never is.
func inPlace(d *deed, before, after *ledger) bool {
	switch d.verb {
	case doSet, doAlike, doReplace, doIncr:
		was := &before.items[d.key]
		return !was.shown && len(was.value) == len(after.items[d.key].value)
	case doAppend:
		was := &before.items[d.key]
		return !was.shown && len(was.value) > gatherMax
	case doReceiveAppend:
		return !before.items[d.key].shown
	}
	return false
}

// judgeRestart opens a copy and looks for everything.
func judgeRestart(t *testing.T, file string, before, after *ledger, d *deed, seen *progress) {
	t.Helper()
	opts := stoppedOptions("", before.lossy)
	opts.File = file
	wall := someDay + int64(before.now-expiry.Start)
	if d.number%2 == 0 {
		wall -= 3600 // somebody has set it back
	}
	clock := expiry.NewClock(wall)
	st, err := Open(opts, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Check(); err != nil {
		t.Fatalf("Check: %v", err)
	}
	if w := st.Warnings(); len(w) > 0 && !before.lossy { // what is full may lose some more
		t.Fatal(w)
	}
	now := clock.Now()
	if now != before.now && now != after.now {
		t.Errorf("the clock stands at %d, not at %d or %d", now, before.now, after.now)
	}
	within := seen.begun.Load() > seen.ended.Load()
	for key, name := range stoppedNames {
		var got Item
		hit := st.ViewUnique(st.Hash(name), name, func(it Item) {
			got = it
			got.Value = it.AppendTo(nil)
		})
		is := func(l *ledger) bool {
			e := &l.items[key]
			return l.alive(key, now) && bytes.Equal(got.Value, e.value) && got.Flags == e.flags && got.Deadline == e.deadline
		}
		old, hers := &before.items[key], within && key == d.key
		switch {
		case !hit && before.alive(key, now) && after.alive(key, now) && !(hers && inPlace(d, before, after)) && !before.lossy:
			t.Errorf("%q is gone: %d bytes, flags %d, deadline %d at %d, of deed %d", name, len(old.value), old.flags, old.deadline, now, old.changed)
		case !hit:
		case !is(before) && !is(after):
			t.Errorf("%q: %d bytes %.20x, flags %d, deadline %d; there should be %v, %d bytes %.20x, flags %d, deadline %d, or after deed %d: %v, %d bytes %.20x, flags %d, deadline %d, at %d",
				name, len(got.Value), got.Value, got.Flags, got.Deadline, before.alive(key, now), len(old.value), old.value, old.flags, old.deadline,
				d.number, after.alive(key, now), len(after.items[key].value), after.items[key].value, after.items[key].flags, after.items[key].deadline, now)
		}
		// Whoever was told a unique knows this version by it, and no other.
		told := seen.shown[key].deed.Load()
		unique := seen.shown[key].unique.Load()
		same := told >= old.changed && (is(before) || hers && d.verb == doTouch) && !(hers && d.verb == doStale)
		switch {
		case !hit || told == 0 || told > seen.ended.Load() || hers && is(after) && is(before):
		case same && got.Unique != unique:
			t.Errorf("%q: unique %d, and %d was told", name, got.Unique, unique)
		case !same && got.Unique == unique:
			t.Errorf("%q: unique %d of another version", name, unique)
		}
	}
	judgeNames(t, st)
	for i := range seen.told {
		if u := seen.told[i].Load(); u>>uniqueBits > st.incarnations.Load() {
			t.Errorf("unique %d was told, and the next incarnation is %d", u, st.incarnations.Load()+1)
		}
	}
	for i := range 8 {
		name := "new" + strconv.Itoa(i)
		if got := put(st, Set, name, "value", 0); got != Stored {
			t.Errorf("set: %d", got)
		}
		u := unique(t, st, name)
		for i := range seen.told {
			if seen.told[i].Load() == u {
				t.Errorf("unique %d comes again", u)
			}
		}
	}
	// What was to end ends.
	later := now + 1 + expiry.Instant(d.number%25)
	clock.Set(later)
	for key, name := range stoppedNames {
		if !before.alive(key, later) && !after.alive(key, later) && st.View(st.Hash(name), name, func(Item) {}) {
			t.Errorf("at %d it was %d, and %q is still there: flush at %d, deadline %d", later, now, name, before.pending, before.items[key].deadline)
		}
	}
	if err := st.Check(); err != nil {
		t.Fatalf("Check: %v", err)
	}
}

// judgeNames wants no item that nobody has stored.
func judgeNames(t *testing.T, st *Store) {
	w := st.Walk()
	for more := true; more; {
		more = w.Next(func(it *Item) {
			number, known := bytes.CutPrefix(it.Key, []byte("key"))
			if !known {
				number, known = bytes.CutPrefix(it.Key, []byte("flood"))
			}
			if _, err := strconv.Atoi(string(number)); !known || err != nil {
				t.Errorf("there is an item %.40q of %d bytes that nobody has stored", it.Key, it.Len())
			}
		})
	}
}
