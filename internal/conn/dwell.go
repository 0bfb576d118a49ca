package conn

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When a loop has served all that was ready, gnet yields and then waits in a system call of which
// the scheduler is told. That costs more than a request: another thread is woken to look for work,
// the monitor wakes, takes the loop's processor away, and gives it back. So a loop that is seldom
// busy waits for the next event before it returns to gnet, in a call of which nobody is told:
//
//	serve ──▶ ppoll on gnet's epoll ── ready ──▶ gnet: epoll_wait finds it at once ──▶ serve
//	               └── dwellMax ──▶ gnet: nothing, Gosched, epoll_wait waits
//
// It keeps its processor meanwhile, so there must be one more for everybody else
// (docs/decisions/0112).

// dwellMax is how long a loop waits in place. What gnet has been asked to do by other goroutines
// may wait as long, if it was asked just as an event came.
const dwellMax = 3 * time.Millisecond

// dwell waits until gnet has something to do, for dwellMax at most.
func (l *loop) dwell() {
	ready := unix.PollFd{Fd: int32(l.epoll), Events: unix.POLLIN}
	most := unix.NsecToTimespec(dwellMax.Nanoseconds())
	// Go's signal that preempts ends it too.
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ready)), 1, uintptr(unsafe.Pointer(&most)), 0, 0, 0)
}
