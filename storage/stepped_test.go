package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stepper holds the thread that works in a child, as a debugger would.
//
// A thread that is stopped at any moment seldom stands between the two stores whose order matters: it is the long ways that take the
// time. So every other stop is made at instructions that were seen before: some anywhere in the store's code, each function being
// as likely as any other, some right after a store into the header, a shard's line or a segment's entry, and some in a copying of
// bytes. From
// there the thread is often moved on by some instructions, one at a time, which is how they come to be seen.
type stepper struct {
	*seen
	tid     int
	watched [][]byte // of the file: what matters
	was     []byte
	arenas  [][]byte // the same of records, as far as items are in them
	records []byte
	missed  map[uint64]int // how often in a row a function was not reached
}

// seen are instructions of the store that a child has come by.
type seen struct {
	whole     []uint64            // where functions begin that are gone through from the first instruction to the last
	dear      []uint64            // where functions begin whose stores have an order, and that are seldom called
	functions []uint64            // where all begin
	known     map[uint64][]uint64 // by function
	hot       []uint64            // those before which something watched was stored
	copies    []uint64            // those that call what copies bytes
	is        map[uint64]mark
}

type mark uint8

const (
	isKnown mark = 1 << iota
	isHot
	isCopy
)

const (
	stepsMax   = 60
	entriesMax = 256                  // segments of a shard that are watched
	patience   = 3 * time.Millisecond // for an instruction to be reached
)

// newSeen knows where the ways begin that are seldom gone.
func newSeen() *seen {
	s := &seen{known: map[uint64][]uint64{}, is: map[uint64]mark{}}
	for _, f := range []any{
		(*shard).flush, (*shard).add, (*shard).writeHeader, (*shard).rewrite, (*shard).overwrite, (*shard).movePiece,
		(*shard).moveEither, (*shard).killPieces, (*shard).commit, (*shard).take, (*shard).join, (*shard).splice, (*shard).lengthen,
		(*shard).flushPrefix, (*prefixLines).write, (*shard).clearSome,
	} {
		s.dear = append(s.dear, uint64(reflect.ValueOf(f).Pointer()))
		s.note(s.dear[len(s.dear)-1], false)
	}
	for _, f := range []any{(*shard).change, (*shard).splice, (*shard).lengthen, (*shard).commit} {
		s.whole = append(s.whole, uint64(reflect.ValueOf(f).Pointer()))
	}
	return s
}

// note takes note of an instruction, if it is the store's and not of a test or of Go.
func (s *seen) note(pc uint64, stored bool) {
	if was := s.is[pc]; was&isKnown != 0 && !stored || was&isHot != 0 {
		return
	}
	f := runtime.FuncForPC(uintptr(pc))
	if f == nil || !strings.Contains(f.Name(), "/storage.") {
		return
	}
	if file, _ := f.FileLine(uintptr(pc)); strings.HasSuffix(file, "_test.go") {
		return
	}
	if s.is[pc] == 0 {
		s.is[pc] = isKnown
		entry := uint64(f.Entry())
		if s.known[entry] == nil {
			s.functions = append(s.functions, entry)
		}
		s.known[entry] = append(s.known[entry], pc)
	}
	if stored {
		s.is[pc] |= isHot
		s.hot = append(s.hot, pc)
	}
}

// machine is what has to be known of a processor: the instruction that traps, and how a call of a fixed place begins and how
// long it is. Without it all stops are made at any moment.
var machine, isKnownMachine = map[string]struct {
	trap, call []byte
	callSize   uint64
}{"amd64": {[]byte{0xcc}, []byte{0xe8}, 5}}[runtime.GOARCH]

// seize takes hold of the child's thread. Only the caller's thread may go on with it: it stays the goroutine's.
func seize(t *testing.T, pid int, p *progress, dir string, code *seen) *stepper {
	t.Helper()
	runtime.LockOSThread()
	tid := int(p.tid.Load())
	t.Cleanup(func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(tid, nil, unix.WALL, nil) // or nobody could wait for the process
	})
	if err := unix.PtraceSeize(tid); errors.Is(err, unix.EPERM) {
		t.Skip("nobody may be a debugger here: PTRACE_SEIZE is not permitted")
	} else if err != nil {
		t.Fatalf("PTRACE_SEIZE: %v", err)
	}
	f, err := os.Open(filepath.Join(dir, "items"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	shape := &(*fileHead)(unsafe.Pointer(&b[0])).shape
	s := &stepper{seen: code, tid: tid, missed: map[uint64]int{}}
	s.watched = append(s.watched, b[:unsafe.Sizeof(fileHead{})], b[fileLines:fileLines+64*shape.shards])
	s.watched = append(s.watched, b[shape.prefixes():][:shape.prefixesSize()])
	for i := range int(shape.shards) {
		at := shape.table(i)
		s.watched = append(s.watched, b[at:at+entriesMax*int64(unsafe.Sizeof(segment{}))])
		s.arenas = append(s.arenas, b[shape.arena(i):][:entriesMax*int64(shape.segSize)])
	}
	if p.code.Load() != code.functions[0] {
		t.Fatal("parent and child have not their code at the same place")
	}
	return s
}

// changed tells whether something watched has been stored since it was last called.
func (s *stepper) changed() (yes bool) {
	at := 0
	for _, w := range s.watched {
		if len(s.was) < at+len(w) {
			s.was = append(s.was, w...)
		}
		if was := s.was[at : at+len(w)]; !bytes.Equal(was, w) {
			copy(was, w)
			yes = true
		}
		at += len(w)
	}
	return yes
}

// stands waits for the thread to stand, for so long; 0: as long as it takes.
func (s *stepper) stands(t *testing.T, within time.Duration) bool {
	t.Helper()
	options := unix.WALL
	if within > 0 {
		options |= unix.WNOHANG
	}
	for end := time.Now().Add(within); ; {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(s.tid, &ws, options, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			t.Fatalf("waiting for the child: %v", err)
		case tid == 0 && time.Now().After(end):
			return false
		case tid == 0:
			time.Sleep(20 * time.Microsecond)
		case !ws.Stopped():
			t.Fatalf("the child has ended: %x", ws)
		default:
			return true
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal("ptrace: ", err)
	}
}

func (s *stepper) resume(t *testing.T) { must(t, unix.PtraceCont(s.tid, 0)) }

func (s *stepper) interrupt(t *testing.T) {
	must(t, unix.PtraceInterrupt(s.tid))
	s.stands(t, 0)
}

func (s *stepper) pc(t *testing.T) uint64 {
	t.Helper()
	var regs unix.PtraceRegs
	must(t, unix.PtraceGetRegs(s.tid, &regs))
	return regs.PC()
}

func (s *stepper) code(t *testing.T, pc uint64, n int) []byte {
	t.Helper()
	code := make([]byte, n)
	_, err := unix.PtracePeekText(s.tid, uintptr(pc), code)
	must(t, err)
	return code
}

// runTo lets the thread go on to an instruction. False: it does not get there soon, and stands somewhere else.
func (s *stepper) runTo(t *testing.T, pc uint64) bool {
	t.Helper()
	code := s.code(t, pc, len(machine.trap))
	_, err := unix.PtracePokeText(s.tid, uintptr(pc), machine.trap)
	must(t, err)
	s.resume(t)
	if !s.stands(t, patience) {
		s.interrupt(t)
	}
	_, err = unix.PtracePokeText(s.tid, uintptr(pc), code)
	must(t, err)
	var regs unix.PtraceRegs
	must(t, unix.PtraceGetRegs(s.tid, &regs))
	if regs.PC() != pc+uint64(len(code)) {
		return false
	}
	regs.SetPC(pc)
	must(t, unix.PtraceSetRegs(s.tid, &regs))
	return true
}

// steps moves the thread on by n instructions, and learns. With over it does not follow into what is called: a loop of calls would
// use up all steps.
func (s *stepper) steps(t *testing.T, n int, over bool) {
	t.Helper()
	s.changed()
	before := s.pc(t)
	for range n {
		must(t, unix.PtraceSingleStep(s.tid))
		s.stands(t, 0)
		pc := s.pc(t)
		s.note(pc, s.changed())
		f := runtime.FuncForPC(uintptr(pc))
		called := f != nil && uint64(f.Entry()) == pc
		if called && f.Name() == "runtime.memmove" && s.is[before]&(isKnown|isCopy) == isKnown {
			s.is[before] |= isCopy
			s.copies = append(s.copies, before)
		}
		if over && called && bytes.Equal(s.code(t, before, len(machine.call)), machine.call) &&
			s.runTo(t, before+machine.callSize) {
			pc = before + machine.callSize
			s.note(pc, s.changed())
		}
		before = pc
	}
}

// through has the thread go from a function of which every store matters to the end of the deed,
// and calls judge after each store into a record or what is watched. What opens a segment or makes
// room is one step, and unless copies says otherwise also what copies bytes.
func (s *stepper) through(t *testing.T, function uint64, copies bool, judge func()) (stores int) {
	t.Helper()
	s.interrupt(t)
	if !isKnownMachine || !s.runTo(t, function) {
		return 0
	}
	s.stored()
	for before := function; stores < storesMax && !t.Failed(); {
		must(t, unix.PtraceSingleStep(s.tid))
		s.stands(t, 0)
		pc := s.pc(t)
		f := runtime.FuncForPC(uintptr(pc))
		if f == nil {
			return stores
		}
		if file, _ := f.FileLine(uintptr(pc)); strings.HasSuffix(file, "_test.go") {
			return stores // the deed is done
		}
		if name := f.Name(); uint64(f.Entry()) == pc && bytes.Equal(s.code(t, before, len(machine.call)), machine.call) &&
			(strings.HasPrefix(name, "runtime.") && !copies || strings.HasSuffix(name, ").next") || strings.HasSuffix(name, ").pace")) {
			if pc = before + machine.callSize; !s.runTo(t, pc) {
				return stores
			}
		}
		if before = pc; s.stored() {
			stores++
			judge()
		}
	}
	return stores
}

// storesMax is how many stores of one way through are judged.
const storesMax = 100

// stored tells whether something watched, or a record, has been stored since it was last called.
func (s *stepper) stored() (yes bool) {
	yes = s.changed()
	for len(s.records) < len(s.arenas)*len(s.arenas[0]) {
		s.records = append(s.records, 0)
	}
	was := s.records
	for _, arena := range s.arenas {
		if !bytes.Equal(was[:len(arena)], arena) {
			copy(was, arena)
			yes = true
		}
		was = was[len(arena):]
	}
	return yes
}

// stop stops the thread at any moment, or else at an instruction that is chosen.
func (s *stepper) stop(t *testing.T, chosen bool, random *rand.Rand) {
	t.Helper()
	s.interrupt(t)
	if !chosen || !isKnownMachine {
		return
	}
	one := func(list []uint64) uint64 { return list[random.IntN(len(list))] }
	var function uint64
	var list []uint64
	switch random.IntN(6) {
	case 0, 1:
		if len(s.hot) > 0 && s.runTo(t, one(s.hot)) {
			s.steps(t, random.IntN(2)*random.IntN(stepsMax), random.IntN(2) == 0)
		}
		return
	case 2:
		if len(s.copies) > 0 && s.runTo(t, one(s.copies)) {
			s.steps(t, random.IntN(stepsMax), false)
		}
		return
	case 3, 4:
		function = one(s.dear)
		list = s.known[function]
		if random.IntN(2) == 0 {
			list = list[max(0, len(list)-10):] // what was not seen yet is not far
		}
	case 5:
		function = one(s.functions)
		list = s.known[function]
	}
	if s.missed[function] == 3 {
		return // this child does not come there
	}
	if !s.runTo(t, one(list)) {
		s.missed[function]++
		return
	}
	s.missed[function] = 0
	s.steps(t, random.IntN(2*stepsMax), random.IntN(2) == 0)
}
