package pair

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CPUs adds -cpus and -client-cpus to a command line.
func (p *Pair) CPUs(f *flag.FlagSet) {
	const form = ", such as 0-2,4 (default: all)"
	f.Func("cpus", "the CPUs that servers run on"+form, func(v string) (err error) {
		p.serverCPUs, err = parseCPUs(v)
		return err
	})
	f.Func("client-cpus", "the CPUs that clients run on"+form, func(v string) (err error) {
		p.clientCPUs, err = parseCPUs(v)
		return err
	})
}

// parseCPUs reads numbers and ranges of them, as taskset -c has them.
func parseCPUs(list string) (cpus []int, err error) {
	const most = 1023 // of a unix.CPUSet
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if errors.Join(err1, err2) != nil || from < 0 || to < from || to > most {
			return nil, fmt.Errorf("%q: want numbers of CPUs, such as 0-2,4", list)
		}
		for n := from; n <= to; n++ {
			cpus = append(cpus, n)
		}
	}
	return cpus, nil
}

// on does what starts a child while this thread may run on these CPUs alone: children take that over, before they look how many
// there are.
func on(cpus []int, start func() error) error {
	if len(cpus) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := stay(cpus); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return start()
}

// stay keeps this thread, and what it starts, on these CPUs.
func stay(cpus []int) error {
	var set unix.CPUSet
	for _, n := range cpus {
		set.Set(n)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("CPUs %v: %w", cpus, err)
	}
	return nil
}
