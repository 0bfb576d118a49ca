// Package proc reads what Linux tells of a process and of the machine: the time a server has spent, the memory it holds.
// The files are read whole and parsed by pure functions, so that a test can hand in a text.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Usage is what a process has cost so far, all its threads together, the ended ones too.
type Usage struct {
	User, Sys time.Duration
	RSS, Peak int64 // bytes: held now, and the most it ever held
}

// tick is the unit of times in /proc/<pid>/stat. The kernel counts in its own unit and converts to hundredths of a second
// for user space on every architecture that Go knows.
const tick = 10 * time.Millisecond

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
	u.RSS, u.Peak, err = parseStatus(status)
	return u, err
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
