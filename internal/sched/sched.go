// Package sched has Go's scheduler follow the load: how many processors (GOMAXPROCS) it has, how
// much garbage may gather (GOGC), and whether event loops wait in place. It changes what the whole
// process shares, so it is only for a server that has its process for itself.
//
// Go's scheduler is at its worst when it has more processors or event loops than work: each time a
// loop has nothing to do it wakes another thread to look for some, and requests that one loop would
// serve together are served by two, one by one. So processors follow the load: one to begin with,
// one more while those we have are busy and the machine has an idle core, one less when they would
// do without. Numbers: docs/decisions/0002-processors-follow-the-load.md.
//
// While there is little to do the loops wait in place (Load.Dwell), where they wake nobody, but
// keep their processors: then there is one for each of them, and one for all else
// (docs/decisions/0112-loops-that-dwell.md).
package sched

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	adjustEvery = 200 * time.Millisecond
	busy        = 0.85 // of the processors we have: from here on we want another …
	idleCore    = 0.50 // … if that much of a core is idle
	slack       = 0.60 // of the processors but one: from here down that one goes
	fullMachine = 0.10 // less of a core is idle in the whole machine: who is not …
	crowdedOut  = 0.75 // … busy to this degree is fighting for cores with somebody, and has one processor too many
	dwellBelow  = 0.45 // of a core, in all: from here down loops wait in place …
	dwellAbove  = 0.60 // … and from here on they do not
	manyErrands = 500  // a second: from here on those who run them have a processor beside the loops …
	fewErrands  = 200  // … and from here down not
	gcUsual     = 100  // GOGC …
	gcErrands   = 200  // … and while many clients come, for each leaves a kilobyte of garbage
)

// Load is what is known of the load. Until Follow is called the scheduler is left alone.
type Load struct {
	// Dwell tells whether loops wait in place when they have nothing to do. That is for a process
	// in which each of them has a processor for itself, and other goroutines have another.
	Dwell atomic.Bool

	// Errands counts how often the loops have needed a goroutine beside them: for a client who was
	// accepted. While there are many, one processor more than there are busy loops spares these
	// clients waits of 10 ms, after which the scheduler takes one from a loop.
	Errands func() uint64

	beside  atomic.Int32
	changed chan struct{} // of beside
}

// New makes one.
func New(errands func() uint64) *Load {
	return &Load{Errands: errands, changed: make(chan struct{}, 1)}
}

// Beside says that n more goroutines compute beside the loops, or fewer. They have a processor together.
func (l *Load) Beside(n int) {
	l.beside.Add(int32(n))
	select {
	case l.changed <- struct{}{}:
	default: // Follow has not looked yet
	}
}

// Follow adjusts the scheduler to the load until stop is closed, and then leaves it as it was
// found. loops is how many event loops there are, and so how many processors at most: a loop uses
// one at a time. An environment that sets GOMAXPROCS has the last word, and Follow returns at once;
// one that sets GOGC keeps that.
func (l *Load) Follow(loops int, stop <-chan struct{}) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	setGC := debug.SetGCPercent
	if os.Getenv("GOGC") != "" {
		setGC = func(int) int { return 0 }
	}
	now := arrangement{procs: 1, dwell: true}
	procsBefore, gcBefore := runtime.GOMAXPROCS(0), setGC(gcUsual)
	defer func() {
		l.Dwell.Store(false)
		runtime.GOMAXPROCS(procsBefore)
		setGC(gcBefore)
	}()
	arrange := func() {
		l.Dwell.Store(now.dwell)
		runtime.GOMAXPROCS(now.processors(loops) + int(min(1, l.beside.Load())))
		setGC(now.gcPercent())
	}
	arrange()
	ticker := time.NewTicker(adjustEvery)
	defer ticker.Stop()
	most, before := min(loops, runtime.NumCPU()), l.sample()
	for {
		select {
		case <-stop:
			return
		case <-l.changed:
			arrange()
			continue
		case <-ticker.C:
		}
		used := l.sample()
		if l.beside.Load() > 0 { // what they use says nothing about the loops
			before = used
			continue
		}
		if next := now.adjust(most, used.since(before)); next != now {
			over := now.errands && !next.errands
			now = next
			arrange() // stops the world for some 20 µs
			if over {
				debug.FreeOSMemory() // the garbage that they have left
			}
		}
		before = used
	}
}

// arrangement is how many processors there are for loops that do not dwell, whether they do, and
// whether the loops' errands (Load.Errands) have one of their own.
type arrangement struct {
	procs   int
	dwell   bool
	errands bool
}

// processors are all that there are.
func (a arrangement) processors(loops int) int {
	switch {
	case a.dwell:
		return loops + 1
	case a.errands:
		return a.procs + 1
	}
	return a.procs
}

func (a arrangement) gcPercent() int {
	if a.errands {
		return gcErrands
	}
	return gcUsual
}

// adjust says what there should be after a time in which so much was used.
func (a arrangement) adjust(most int, now usage) arrangement {
	switch {
	case now.ours > dwellAbove:
		a.dwell = false
	case now.ours < dwellBelow:
		a.dwell = true
	}
	switch {
	case now.errands > manyErrands:
		a.errands = true
	case now.errands < fewErrands:
		a.errands = false
	}
	switch {
	case a.procs < most && now.ours > busy*float64(a.procs) && now.idle > idleCore:
		a.procs++
	case a.procs > 1 && now.ours < slack*float64(a.procs-1):
		a.procs--
	case a.procs > 1 && now.idle < fullMachine && now.ours < crowdedOut*float64(a.procs):
		a.procs--
	}
	return a
}

// usage is CPU time in seconds, ours and what the machine's cores spent idle, and errands. Between
// two samples it is a number of cores, and of errands a second.
type usage struct {
	at         time.Time
	ours, idle float64
	errands    float64
}

func (now usage) since(before usage) usage {
	seconds := now.at.Sub(before.at).Seconds()
	return usage{
		ours: (now.ours - before.ours) / seconds, idle: (now.idle - before.idle) / seconds,
		errands: (now.errands - before.errands) / seconds,
	}
}

func (l *Load) sample() usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad argument
	return usage{time.Now(), seconds(r.Utime) + seconds(r.Stime), idleTime(), float64(l.Errands())}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// ticksPerSecond is the unit of /proc/stat: USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// idleTime is how long the cores of this machine have been idle in all. Where /proc cannot be read
// it stands still, and we stay with one processor.
func idleTime() float64 {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	line, _ := bufio.NewReader(f).ReadSlice('\n')
	fields := bytes.Fields(line) // cpu user nice system idle …
	if len(fields) < 5 {
		return 0
	}
	ticks, _ := strconv.ParseFloat(string(fields[4]), 64)
	return ticks / ticksPerSecond
}
