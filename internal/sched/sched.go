// Package sched has Go's scheduler follow the load: how many processors (GOMAXPROCS) it has, how
// much garbage may gather (GOGC), and how event loops wait. It changes what the whole process
// shares, so it is only for a server that has its process for itself.
//
// Go's scheduler is at its worst when it has more processors or event loops than work: each time a
// loop has nothing to do it wakes another thread to look for some. And it is as bad when busy loops
// have fewer processors than there are of them: one keeps its processor for 10 ms while the others
// wait. So there are two arrangements:
//
//	quiet   one processor; loops wait where they wake nobody, and tell how much they do
//	busy    a processor for each loop; loops wait as gnet does
//
// Numbers: docs/decisions/0002-processors-follow-the-load.md, 0112-loops-that-wait.md.
package sched

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	quietAbove  = 0.60                   // of a core: from here on it is not quiet any more …
	lookEvery   = 20 * time.Millisecond  // … over so long
	quietBelow  = 0.45                   // of a core: from here down it is quiet again …
	adjustEvery = 200 * time.Millisecond // … over so long
	manyErrands = 300                    // a second: from here on those who run them have a processor beside the loops …
	fewErrands  = 150                    // … and from here down not
	gcUsual     = 100                    // GOGC …
	gcErrands   = 200                    // … and while many clients come, for each leaves some kilobytes of garbage
)

// Load is what is known of the load. Until Follow is called the scheduler is left alone.
type Load struct {
	// Quiet tells that there is little to do, and that the process has one processor. Loops then
	// wait without waking anybody, and tell by Worked how much they do.
	Quiet atomic.Bool

	// Errands counts how often somebody has needed goroutines beside the loops: a client who shook
	// hands. While there are many, one processor more than there are loops spares these clients
	// waits of 10 ms, after which the scheduler takes one from a loop.
	Errands func() uint64

	beside  atomic.Int32
	changed chan struct{} // of beside, or Quiet has ended

	worked atomic.Int64 // by all loops, in nanoseconds …
	from   atomic.Int64 // … since then

	ticked usage // at the last Tick
}

// New makes one.
func New(errands func() uint64) *Load {
	return &Load{Errands: errands, changed: make(chan struct{}, 1)}
}

// Beside says that n more goroutines compute beside the loops, or fewer. They have a processor together.
func (l *Load) Beside(n int) {
	l.beside.Add(int32(n))
	l.look()
}

// Worked is told by a loop while it is quiet: it has worked for so long since it told that before.
func (l *Load) Worked(long time.Duration, now time.Time) {
	worked, from := l.worked.Add(int64(long)), l.from.Load()
	since := now.UnixNano() - from
	if since < int64(lookEvery) || !l.from.CompareAndSwap(from, now.UnixNano()) {
		return
	}
	l.worked.Store(0)
	if float64(worked) > quietAbove*float64(since) {
		l.endQuiet()
	}
}

// Tick is called now and then, by one goroutine: not all work is told of by loops.
func (l *Load) Tick() {
	used := l.sample()
	if now := used.since(l.ticked); l.Quiet.Load() && (now.cores > quietAbove || now.errands > manyErrands) {
		l.endQuiet()
	}
	l.ticked = used
}

func (l *Load) endQuiet() {
	l.Quiet.Store(false)
	l.look()
}

// look has Follow look.
func (l *Load) look() {
	select {
	case l.changed <- struct{}{}:
	default: // it has not looked yet
	}
}

// Follow adjusts the scheduler to the load until stop is closed, and then leaves it as it was
// found. loops is how many event loops there are. An environment that sets GOMAXPROCS has the last
// word, and Follow returns at once; one that sets GOGC keeps that.
func (l *Load) Follow(loops int, stop <-chan struct{}) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	setGC := debug.SetGCPercent
	if os.Getenv("GOGC") != "" {
		setGC = func(int) int { return 0 }
	}
	now := arrangement{quiet: true}
	procsBefore, gcBefore := runtime.GOMAXPROCS(0), setGC(gcUsual)
	defer func() {
		l.Quiet.Store(false)
		runtime.GOMAXPROCS(procsBefore)
		setGC(gcBefore)
	}()
	arrange := func() { // stops the world for some 20 µs
		runtime.GOMAXPROCS(now.processors(loops) + int(min(1, l.beside.Load())))
		setGC(now.gcPercent())
		l.Quiet.Store(now.quiet)
	}
	arrange()
	ticker := time.NewTicker(adjustEvery)
	ticker.Stop() // it would wake the process while it is quiet
	defer ticker.Stop()
	var before usage
	for {
		select {
		case <-stop:
			return
		case <-l.changed:
			if now.quiet && !l.Quiet.Load() {
				now, before = arrangement{}, l.sample()
				ticker.Reset(adjustEvery)
			}
			arrange()
			continue
		case <-ticker.C:
		}
		used := l.sample()
		if l.beside.Load() > 0 { // what they use says nothing about the loops
			before = used
			continue
		}
		if next := now.adjust(used.since(before)); next != now {
			over := now.errands && !next.errands
			if now = next; now.quiet {
				ticker.Stop()
			}
			arrange()
			if over {
				debug.FreeOSMemory() // the garbage that they have left
			}
		}
		before = used
	}
}

// arrangement is whether it is quiet, and else whether the loops' errands (Load.Errands) have a
// processor of their own.
type arrangement struct{ quiet, errands bool }

func (a arrangement) processors(loops int) int {
	switch {
	case a.quiet:
		return 1
	case a.errands:
		return loops + 1
	}
	return loops
}

func (a arrangement) gcPercent() int {
	if a.errands {
		return gcErrands
	}
	return gcUsual
}

// adjust says what there should be after a busy time in which so much was used.
func (a arrangement) adjust(now usage) arrangement {
	switch {
	case now.errands > manyErrands:
		a.errands = true
	case now.errands < fewErrands:
		a.errands = false
	}
	a.quiet = now.cores < quietBelow && !a.errands
	return a
}

// usage is CPU time in seconds, and errands. Between two samples it is a number of cores, and of
// errands a second.
type usage struct {
	at             time.Time
	cores, errands float64
}

func (now usage) since(before usage) usage {
	seconds := now.at.Sub(before.at).Seconds()
	return usage{cores: (now.cores - before.cores) / seconds, errands: (now.errands - before.errands) / seconds}
}

func (l *Load) sample() usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad argument
	return usage{time.Now(), seconds(r.Utime) + seconds(r.Stime), float64(l.Errands())}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
