// Package proc reads what Linux tells of a process and of the machine: the time a server has spent, the memory it holds.
// The files are read whole and parsed by pure functions, so that a test can hand in a text.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Usage is what a process has cost so far, all its threads together, the ended ones too.
type Usage struct {
	CPU       time.Duration // User and Sys together, to the nanosecond
	User, Sys time.Duration // in ticks: of a process that does little they tell next to nothing
	Switches  int64         // of context, voluntary or not, by the threads that there are now
	RSS, Peak int64         // bytes: held now, and the most it ever held
}

// tick is the unit of times in /proc/<pid>/stat. The kernel counts in its own unit and converts to hundredths of a second
// for user space on every architecture that Go knows.
const tick = 10 * time.Millisecond

// TicksEnough is the least CPU time whose User and Sys are worth a look: twenty ticks.
const TicksEnough = 20 * tick

// Read asks /proc about pid.
func Read(pid int) (u Usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	if u.User, u.Sys, err = parseStat(stat); err != nil {
		return u, err
	}
	if u.RSS, u.Peak, err = parseStatus(status); err != nil {
		return u, err
	}
	if u.CPU, err = clock(pid); err != nil {
		return u, err
	}
	u.Switches, err = switches(pid)
	return u, err
}

// clock reads the clock that counts the CPU time of another process, as clock_getcpuclockid(3) finds it.
func clock(pid int) (time.Duration, error) {
	const ofProcess = 2 // CPUCLOCK_SCHED, and not of a thread
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|ofProcess), &t); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// switches adds up the threads. One that ends while we read is left out.
func switches(pid int) (total int64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := parseSwitches(text)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// parseSwitches adds voluntary_ctxt_switches and nonvoluntary_ctxt_switches.
func parseSwitches(text []byte) (total int64, err error) {
	found := 0
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if !strings.HasSuffix(name, "voluntary_ctxt_switches") {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/…/status: %w", err)
		}
		found++
		total += n
	}
	if found != 2 {
		return 0, fmt.Errorf("/proc/…/status: two kinds of switches, found %d", found)
	}
	return total, nil
}

// parseStat finds utime and stime. The second field is the program's name in brackets, and a name may hold blanks and
// brackets itself: so the fields are counted from the last bracket, behind which stands field 3.
//
//	4711 (a) b) S 1 4711 4711 0 -1 4194560 900 0 12 0 utime stime …
//	            3                                     14    15
func parseStat(text []byte) (user, sys time.Duration, err error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const third, utime, stime = 3, 14, 15
	if len(fields) <= stime-third {
		return 0, 0, fmt.Errorf("/proc/…/stat: %d fields after the name", len(fields))
	}
	ticks := func(field int) time.Duration {
		n, e := strconv.ParseInt(string(fields[field-third]), 10, 64)
		if e != nil {
			err = fmt.Errorf("/proc/…/stat, field %d: %w", field, e)
		}
		return time.Duration(n) * tick
	}
	return ticks(utime), ticks(stime), err
}

// parseStatus finds VmRSS and VmHWM, the high-water mark.
func parseStatus(text []byte) (rss, peak int64, err error) {
	found := 0
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/…/status: %w", err)
		}
		if found++; name == "VmRSS" {
			rss = kB << 10
		} else {
			peak = kB << 10
		}
	}
	if found != 2 {
		return 0, 0, fmt.Errorf("/proc/…/status: VmRSS and VmHWM, found %d of 2", found)
	}
	return rss, peak, nil
}

// CPU is the processor's own name for itself.
func CPU() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	return parseModel(text)
}

func parseModel(cpuinfo []byte) string {
	for line := range strings.Lines(string(cpuinfo)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown"
}

// LoadAverage is how many threads wanted a processor in the last minute. Measurements beside others' work are worth little,
// and whoever reads them later should be able to tell.
func LoadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
