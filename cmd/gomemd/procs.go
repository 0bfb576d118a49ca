package main

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Go's scheduler is at its worst when it has more processors (GOMAXPROCS) or event loops than work: each time a loop has
// nothing to do it wakes another thread to look for some, and requests that one loop would serve together are served by
// two, one by one. So there are no more loops than cores, less one for the kernel's network and whoever asks; and
// processors follow the load: one to begin with, one more while those we have are busy and the machine has an idle core,
// one less when they would do without. Numbers: docs/decisions/0002-processors-follow-the-load.md.
const (
	adjustEvery = 200 * time.Millisecond
	busy        = 0.85 // of the processors we have: from here on we want another …
	idleCore    = 0.50 // … if that much of a core is idle
	slack       = 0.60 // of the processors but one: from here down that one goes
	fullMachine = 0.10 // less of a core is idle in the whole machine: who is not …
	crowdedOut  = 0.75 // … busy to this degree is fighting for cores with somebody, and has one processor too many
)

// loopsFor is how many event loops serve -t threads.
func loopsFor(threads, cores int) int { return min(threads, max(1, cores-1)) }

// followLoad adjusts GOMAXPROCS for as long as the process lives, unless the environment sets it. loops is what it is at
// most: a loop uses one processor at a time.
func followLoad(loops int) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	most := min(loops, runtime.NumCPU())
	runtime.GOMAXPROCS(1)
	if most == 1 {
		return
	}
	go func() {
		procs, before := 1, sample()
		for range time.Tick(adjustEvery) {
			now := sample()
			if next := adjust(procs, most, now.since(before)); next != procs {
				procs = next
				runtime.GOMAXPROCS(procs) // stops the world for some 20 µs
			}
			before = now
		}
	}()
}

// usage is CPU time in seconds: ours, and what the machine's cores spent idle. Between two samples it is a number of cores.
type usage struct {
	at         time.Time
	ours, idle float64
}

// adjust says how many processors there should be after a time in which so many cores were used.
func adjust(procs, most int, cores usage) int {
	switch {
	case procs < most && cores.ours > busy*float64(procs) && cores.idle > idleCore:
		return procs + 1
	case procs > 1 && cores.ours < slack*float64(procs-1):
		return procs - 1
	case procs > 1 && cores.idle < fullMachine && cores.ours < crowdedOut*float64(procs):
		return procs - 1
	}
	return procs
}

func (now usage) since(before usage) usage {
	seconds := now.at.Sub(before.at).Seconds()
	return usage{ours: (now.ours - before.ours) / seconds, idle: (now.idle - before.idle) / seconds}
}

func sample() usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad argument
	return usage{time.Now(), seconds(r.Utime) + seconds(r.Stime), idleTime()}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// ticksPerSecond is the unit of /proc/stat: USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// idleTime is how long the cores of this machine have been idle in all. Where /proc cannot be read it stands still, and we stay
// with one processor.
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
