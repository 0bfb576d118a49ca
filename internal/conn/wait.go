package conn

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When a loop has served all that was ready, gnet yields and then waits in a system call of which
// the scheduler is told. After a pause that costs more than the request: the scheduler's monitor
// wakes, takes the loop's processor away, gives it back, and looks on every 20 µs for some
// milliseconds. So while there is little to do (sched.Load.Quiet) a loop waits before it returns to
// gnet, in one of two ways, neither of which wakes anybody:
//
//	serve ──▶ in place: epoll_wait on both, by a call of which the scheduler hears nothing
//	   │      as long as events come often
//	   └────▶ parked: the goroutine waits as those do that read a net.Conn, for the gate
//
//	both ──┬── gnet's epoll instance
//	       └── Go's ── the gate ── once, while the loop is parked: gnet's
//
// A loop that waits in place keeps its processor, which as a rule is the only one there is then. So
// only a loop that is the only one does, and it looks for what Go's epoll instance has to tell as
// well: a handshake, a packet. To let them run it parks. A goroutine that has been woken in another
// way, by a thread that was in a system call, runs after lookEach at the latest
// (docs/decisions/0112-loops-that-wait.md).

const (
	// soon: if events come no further apart, parking costs more than keeping the processor, for
	// which the scheduler's monitor wakes a hundred times a second.
	soon = 15 * time.Millisecond
	// waitMost is how long a loop waits in place before it parks …
	waitMost = 4 * soon
	// … and lookEach how long before it lets those run of whom Go's epoll instance does not tell.
	lookEach = 25 * time.Millisecond
	// verySoon: if events come no further apart, those run who have been woken by one after
	// sampleEach of them, and not after each: a Gosched costs as much as waiting does.
	verySoon = time.Millisecond / 2
	// turnMost is more than a turn takes, as a rule: what was longer, gnet has waited in.
	turnMost = 5 * time.Millisecond
	// sampleEach: of so many turns, one is measured.
	sampleEach = 16
	// reportEvery is how much work a loop has done before the scheduler hears of it.
	reportEvery = 4 * time.Millisecond
)

// waits is how a loop waits.
type waits struct {
	gate  int // an epoll instance
	file  *os.File
	ready syscall.RawConn // Go's poller on it
	armed bool            // the gate may report gnet's events
	both  int             // an epoll instance around gnet's and Go's, or -1: the loop does not wait in place

	since  time.Time     // when the last wait ended
	turns  uint          // since it began
	worked time.Duration // since the scheduler was told
	gap    time.Duration // between events, in the mean of the last few
}

// openGate makes the gate of a loop whose epoll instance is known.
func (l *loop) openGate() (err error) {
	w := &l.waits
	w.both = -1
	if w.gate, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(w.gate, true)           // the sign for os that it can be waited for
	w.file = os.NewFile(uintptr(w.gate), "gate") // its own from here on
	if err = l.add(w.gate, l.epoll, l.epoll, 0); err != nil {
		return err
	}
	if w.ready, err = w.file.SyscallConn(); err != nil {
		return err
	}
	if goes := goEpoll(w.gate); goes >= 0 && len(l.conns.engine.all) == 1 {
		w.both, err = l.around(goes)
	}
	return err
}

// around makes an epoll instance that reports what gnet's and Go's have to tell.
func (l *loop) around(goes int) (both int, err error) {
	if both, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return -1, os.NewSyscallError("epoll_create1", err)
	}
	return both, errors.Join(l.add(both, l.epoll, l.epoll, unix.EPOLLIN), l.add(both, goes, goes, unix.EPOLLIN))
}

// goEpoll finds the epoll instance of Go's runtime: the one that has a descriptor already of which
// it is known that the runtime watches it.
func goEpoll(watched int) int {
	return findEpoll(func(epoll int) bool {
		err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, watched, &unix.EpollEvent{})
		if err == nil {
			_ = unix.EpollCtl(epoll, unix.EPOLL_CTL_DEL, watched, nil)
		}
		return errors.Is(err, unix.EEXIST)
	})
}

// arm has the gate report the next event of gnet's, or not.
func (w *waits) arm(gnets int, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: int32(gnets)}
	_ = unix.EpollCtl(w.gate, unix.EPOLL_CTL_MOD, gnets, &ev) // it is there
	w.armed = events != 0
}

// wait returns when gnet has something to do, or sooner: at once, if gnet has found more than it has
// told of yet. seldom: events are so far apart that the loop parks after each. Then it has set the
// clock, for there may be few ticks (Conns.Asleep).
func (l *loop) wait() (seldom bool) {
	w := &l.waits
	l.tellWork()
	if seldom = w.gap > soon; seldom || w.both < 0 || !l.waitInPlace() {
		l.park()
		l.conns.env.SetClock()
	}
	now := time.Now()
	w.gap = (3*w.gap + min(now.Sub(w.since), waitMost)) / 4
	w.since = now
	return seldom
}

// tellWork is called after each turn while it is quiet, so that the quiet ends when there is much to do.
func (l *loop) tellWork() {
	w := &l.waits
	if w.turns++; w.turns%sampleEach > 0 { // reading the clock costs as much as a request's lookup
		return
	}
	now := time.Now()
	if worked := now.Sub(w.since); worked < turnMost {
		w.worked += sampleEach * worked
	}
	if w.worked >= reportEvery {
		l.conns.opts.Load.Worked(w.worked, now)
		w.worked = 0
	}
}

// waitInPlace waits for an event. False: there is none, but others may want to run.
func (l *loop) waitInPlace() bool {
	w := &l.waits
	if w.armed {
		w.arm(l.epoll, 0)
	}
	if w.gap > verySoon || w.turns%sampleEach == 0 {
		runtime.Gosched() // whom the requests have woken
	}
	ready := &l.events[0]
	for waited := time.Duration(0); waited < waitMost && l.mayWait(); waited += lookEach {
		n, _, _ := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.both), uintptr(unsafe.Pointer(ready)), 1, uintptr(lookEach.Milliseconds()),
			uintptr(unsafe.Pointer(&preempts)), unsafe.Sizeof(preempts))
		if n == 1 {
			return int(ready.Fd) == l.epoll
		}
		runtime.Gosched()
	}
	return false
}

// preempts is the set of the signal by which Go's scheduler takes the processor from a goroutine that
// has had it for 10 ms. Who waits in place gives it back by himself.
var preempts = uint64(1) << (unix.SIGURG - 1)

// park has the goroutine wait for an event.
func (l *loop) park() {
	begun := false
	_ = l.waits.ready.Read(func(uintptr) bool { // an error: it does not wait
		if begun {
			return true
		}
		begun = true
		// What the gate has reported before is still in its list, and what is in the list already
		// would not be told to Go's instance again.
		_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.waits.gate), uintptr(unsafe.Pointer(&l.events[0])), 1, 0, 0, 0)
		l.waits.arm(l.epoll, unix.EPOLLIN|unix.EPOLLONESHOT)
		return false
	})
}

// mayWait tells whether the loop may wait elsewhere than in gnet's poller. It may not while gnet has
// been asked for something by another goroutine (engine.asked): gnet learns of that by an event, and if
// that came together with the one that has just been served, gnet looks after it only when this
// call returns.
func (l *loop) mayWait() bool {
	return l.conns.quiet() && !l.rings && l.conns.engine.asked.Load() == 0 && !l.conns.stopped()
}

// Asleep tells whether few ticks will do: since it was last asked there was little to serve, or nothing
// (wait), and nobody waits for anything.
func (cs *Conns) Asleep() bool {
	return !cs.engine.awake.Swap(false) && cs.quiet() && cs.sending.Load() == 0
}

func (cs *Conns) quiet() bool { return cs.opts.Load != nil && cs.opts.Load.Quiet.Load() }
