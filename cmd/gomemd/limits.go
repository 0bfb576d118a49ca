package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/admin"
)

// The limits that the system sets a process. Go's runtime ends with a trace of its own where memory
// or a thread is refused to it, so what it is going to need is compared with the limits while
// nothing has been started:
//
//	open files       ulimit -n    -c and what we open beside: raised where it may be
//	address space    ulimit -v    what Go reserves at most, and -m with its index
//	data             ulimit -d    what is mapped, -m, and what Go needs, of what may be written to
//	commit           vm.overcommit_memory=2: the same, of the whole machine
//	processes        ulimit -u    the user's threads, and as many as we start
//
// A limit that is lowered while we run is beyond that: then Go's runtime ends the process when it
// asks for more.

const (
	// spareFiles are descriptors of ours that no option multiplies: standard streams, Go's poller,
	// the memory file and others that are read at times, what a resolver needs, what whoever
	// started us has left open.
	spareFiles = 44
	// filesPerLoop: its epoll and the event that wakes it, the two ends of its bell, and the epoll
	// of those who are blocked.
	filesPerLoop = 5
	// filesPerListener: itself, and for either of its two acceptors a client that is being let in
	// or turned away.
	filesPerListener = 3
)

// spare is how many descriptors are needed beside those of clients.
func (c *config) spare() uint64 {
	listeners := 2 // a TCP port, a unix socket
	for _, list := range c.inter {
		listeners += 2 * (1 + strings.Count(list, ",") + strings.Count(list, ";")) // a name may have an address of either family
	}
	files := spareFiles + filesPerLoop*c.opts.Loops + filesPerListener*listeners
	if c.admin.Addr != "" {
		files += admin.MaxFiles
	}
	return uint64(files)
}

// allowFiles raises the limit on open files so that -c clients fit. memcached asks for -c
// descriptors and counts its own among them; we need some beyond. Where the hard limit has room for
// -c but not for those (a container that sets both to the same number), a few clients fewer are
// served: refusing what memcached starts with would help nobody.
func (c *config) allowFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return quit(exOSErr, "failed to getrlimit number of files")
	}
	conns, spare := uint64(c.opts.MaxConns), c.spare()
	need := conns + spare
	if limit.Cur >= need {
		return nil
	}
	wish := unix.Rlimit{Cur: need, Max: max(limit.Max, need)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &wish) == nil {
		return nil
	}
	most := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if limit.Max < conns || limit.Max <= spare || unix.Setrlimit(unix.RLIMIT_NOFILE, &most) != nil {
		return quit(exOSErr, "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.\n"+
			"The hard limit on open files (ulimit -Hn) is %d; -c %d needs %d.", limit.Max, conns, need)
	}
	c.opts.MaxConns = int(min(conns, limit.Max-spare))
	warn("warning: only %d files may be open: serving %d connections, not %d", limit.Max, c.opts.MaxConns, conns)
	return nil
}

// What Go's runtime and the connections take beside the items, of what may be written to, beyond
// what is there when main begins. limitRuntime has Go keep to it where there is no more. Measured
// with 1,000 and 3,000 clients who read nothing and have half sent a value: 28 and 41 MB. TLS adds
// its part of Options.ConnMemory, and to each connection what it is more.
const (
	goMemory      = 40 << 20 // with the 16 MB of Options.ConnMemory, the buffers of the loops, and garbage
	goMemoryAConn = 8 << 10
)

// roomForGo is all of it.
func (c *config) roomForGo() int64 {
	room, conn := int64(goMemory), int64(goMemoryAConn)
	if c.encryption.on {
		room, conn = room+connMemoryMostTLS-connMemoryMost, conn+perConnTLS-perConn
	}
	return room + conn*int64(c.opts.MaxConns)
}

// memoryLimit is a limit on memory that the process may ask for.
type memoryLimit struct {
	name        string
	most, taken int64  // bytes
	way         string // out
	private     bool   // memory that is a file's (-e) does not count
	address     bool   // what is reserved counts, used or not
}

// items is what counts of so much memory for items, as a fraction.
func (l *memoryLimit) items(file bool) (part, of int64) {
	switch {
	case l.address && file:
		return 64 + 64/indexPart + 1 + 64, 64 // those of a file of another layout are read beside
	case l.address:
		return 64 + 64/indexPart + 1, 64 // the index is for the smallest of items; the rest is for tables
	case l.private && file:
		return 1, indexPart
	}
	return 1, 1
}

// memoryLimits are those that are set.
func memoryLimits() (set []memoryLimit) {
	statm, _ := os.ReadFile("/proc/self/statm") // in pages: all, resident, shared, text, 0, data, 0
	pages := bytes.Fields(statm)
	taken := func(column int) int64 {
		if column >= len(pages) {
			return 0
		}
		n, _ := strconv.ParseInt(string(pages[column]), 10, 64)
		return n * int64(os.Getpagesize())
	}
	for _, l := range []struct {
		resource, column int
		least            int64
		name, way        string
	}{
		{unix.RLIMIT_AS, 0, goSpace, "address space", "ulimit -v, prlimit --as, LimitAS="},
		{unix.RLIMIT_DATA, 5, goData, "data", "ulimit -d, prlimit --data, LimitDATA="},
	} {
		var limit unix.Rlimit
		least := l.least + threadMemory(threadsBefore, l.resource == unix.RLIMIT_AS)
		if unix.Getrlimit(l.resource, &limit) == nil && limit.Cur < math.MaxInt64 {
			set = append(set, memoryLimit{"the limit on " + l.name,
				int64(limit.Cur), max(taken(l.column), least), "raise it (" + l.way + ")", l.resource == unix.RLIMIT_DATA, l.resource == unix.RLIMIT_AS})
		}
	}
	if mode, _ := os.ReadFile("/proc/sys/vm/overcommit_memory"); string(bytes.TrimSpace(mode)) == "2" {
		set = append(set, memoryLimit{"the machine's CommitLimit (vm.overcommit_memory=2)",
			meminfo("CommitLimit"), meminfo("Committed_AS"), "raise vm.overcommit_ratio or vm.overcommit_kbytes", false, false})
	}
	return set
}

// meminfo reads a line of /proc/meminfo; 0 where there is none.
func meminfo(name string) int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			kB, _ := strconv.ParseInt(strings.Fields(string(rest))[0], 10, 64)
			return kB << 10
		}
	}
	return 0
}

// room is what is left under a limit for items.
func (c *config) room(l *memoryLimit) int64 {
	return l.most - l.taken - c.roomForGo() - threadMemory(threadsAfter, l.address)
}

// indexPart of the items' memory is the most that their index takes. It is never in a file.
const indexPart = 2

// What Go's runtime and the program take beside roomForGo and threads, measured on amd64 with Go
// 1.26. It counts from the start, even if less is there when main begins: that differs from start to
// start, and where the address space is low the runtime leaves out 512 MB without a word, and with a
// little more has nothing left for its heap. So what is named does not depend on the limit, it is
// enough, and a higher limit is enough too.
const (
	goSpace = 1360 << 20 // address space: 1,171 MB, one or two arenas of 64 MB, and one more later
	goData  = 80 << 20   // data: 73 to 77 MB
)

// Threads that start before main begins, and after it.
const threadsBefore, threadsAfter = 6, 8

// threadMemory is what so many of the system's threads take when the program was linked with C's
// library: each has a stack as large as ulimit -s allows, and reserves address space for malloc.
func threadMemory(threads int64, address bool) int64 {
	info, _ := debug.ReadBuildInfo()
	if info == nil || !slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}) {
		return 0
	}
	each := int64(8 << 20)
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_STACK, &limit) == nil && limit.Cur <= 64<<20 {
		each = int64(limit.Cur)
	}
	if address {
		each += 64 << 20
	}
	return threads * each
}

// fitLimits refuses -m, and threads, for which the system's limits have no room. cache_memlimit may
// raise -m as far as they have.
func (c *config) fitLimits() error {
	for _, l := range memoryLimits() {
		part, of := l.items(c.opts.MemoryFile != "")
		room, items := c.room(&l), c.opts.MemoryLimit/of*part
		if room < items {
			return quit(exOSErr, "failed to start: -m %d needs %d MB with the server's own, and %s is %d MB: %s, or lower -m.",
				c.opts.MemoryLimit>>20, (l.most-room+items+1<<20-1)>>20, l.name, l.most>>20, l.way)
		}
		c.opts.MemoryLimitMax = min(cmp.Or(c.opts.MemoryLimitMax, math.MaxInt64), room/part*of)
		c.spareMemory = min(cmp.Or(c.spareMemory, math.MaxInt64), room-items+c.roomForGo())
	}
	return c.fitThreads()
}

// fitThreads looks whether the user may have as many threads as we start. The limit is not root's.
func (c *config) fitThreads() error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur > math.MaxInt32 || os.Geteuid() == 0 {
		return nil
	}
	need := threadsBeside + c.opts.Loops
	if n := threadsOf(os.Getuid()); uint64(n+need) > limit.Cur {
		return quit(exOSErr, "failed to start: the user %d may have %d processes and threads "+
			"(ulimit -u) and has %d: %d more are needed.", os.Getuid(), limit.Cur, n, need)
	}
	return nil
}

// threadsBeside are those of Go's runtime that start after main has begun, beside the loops' own.
const threadsBeside = 4

// threadsOf counts the threads of a user's processes, as far as /proc shows them.
func threadsOf(uid int) (n int) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		info, err := os.Stat(dir)
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			continue
		}
		threads, _ := os.ReadDir(dir + "/task")
		n += len(threads)
	}
	return n
}

// noMemory words that the system has refused the store its memory.
func (c *config) noMemory(err error) error {
	var tight []string
	for _, l := range memoryLimits() {
		tight = append(tight, fmt.Sprintf("%s is %d MB: %s", l.name, l.most>>20, l.way))
	}
	if here := memoryHere(); uint64(c.opts.MemoryLimit) > here {
		tight = append(tight, fmt.Sprintf("this machine or container has %d MB", here>>20))
	}
	if len(tight) == 0 {
		return quit(exOSErr, "failed to start: no memory for -m %d: %s", c.opts.MemoryLimit>>20, err)
	}
	return quit(exOSErr, "failed to start: no memory for -m %d: %s; or lower -m.", c.opts.MemoryLimit>>20, strings.Join(tight, "; "))
}
