package sched

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ticker is a time.Ticker for a process that has nothing else to do. When one of Go's timers ends
// there, the thread that waits for it does so in whole milliseconds, and the scheduler's monitor,
// which waits for it too and more exactly, looks every 20 µs until the thread comes: ten to twenty
// wake-ups for one. This one waits for a timer of the kernel, as for a socket.
type Ticker struct {
	C     <-chan time.Time
	every time.Duration
	file  *os.File // nil: there is none
	raw   syscall.RawConn
	gos   *time.Ticker // in its place
}

// NewTicker makes one. If the system has no timer it is one of Go's.
func NewTicker(every time.Duration) *Ticker {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		gos := time.NewTicker(every)
		return &Ticker{C: gos.C, every: every, gos: gos}
	}
	c := make(chan time.Time, 1)
	t := &Ticker{C: c, file: os.NewFile(uintptr(fd), "ticker")}
	t.raw, err = t.file.SyscallConn()
	t.Reset(every)
	go func() {
		for err == nil && t.await() == nil { // until it is closed
			select {
			case c <- time.Now():
			default: // nobody has looked
			}
		}
	}()
	return t
}

// Reset has it tick every so often, beginning so long from now, unless it does so already. Only one
// goroutine calls it.
func (t *Ticker) Reset(every time.Duration) {
	if t.every == every {
		return
	}
	t.every = every
	if t.file == nil {
		t.gos.Reset(every)
		return
	}
	period := unix.NsecToTimespec(every.Nanoseconds())
	_ = t.raw.Control(func(fd uintptr) {
		_ = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Interval: period, Value: period}, nil) // the arguments are right
	})
}

// await returns when the timer has ended.
func (t *Ticker) await() error {
	var ends uint64
	return t.raw.Read(func(fd uintptr) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&ends)), unsafe.Sizeof(ends))
		return errno != unix.EAGAIN
	})
}

// Stop ends it.
func (t *Ticker) Stop() {
	if t.file != nil {
		_ = t.file.Close()
	} else {
		t.gos.Stop()
	}
}
