package main

import (
	"cmp"
	"math"
	"runtime/debug"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"golang.org/x/sys/unix"
)

// --memory-total is how much the whole process may have resident. It is shared out like this, and Go's runtime is told to keep
// to what is left when items and program have their part:
//
//	| items: -m | replies, input: ConnMemory and a quarter | connections: -c | runtime | program | sockets |
//	            └───────────────────── Go's limit ─────────────────────────────────────┘
//
// The buffers of sockets are the kernel's, but control groups of version 2 count them: a sixteenth is theirs, 64 MB at most.
const (
	// programMemory is what of the program's file is resident at most.
	programMemory = 9 << 20
	// runtimeMemory is Go's runtime with the buffers of the loops, which are there without any client. With programMemory it is
	// the 12 MB that a full server has resident beside -m, and some to spare for what garbage there is.
	runtimeMemory = 11 << 20
	// perConn is an idle connection: measured 1.1 KiB. With TLS it is 8.
	perConn    = 2 << 10
	perConnTLS = 10 << 10

	socketPart       = 16 // of the total …
	socketMemoryMost = 64 << 20

	itemsLeast = 2 << 20 // with -I 1m there can be no less

	connMemoryMost    = 16 << 20 // what server.Options.ConnMemory is by itself
	connMemoryMostTLS = 32 << 20
	connMemoryLeast   = 1 << 20

	autoPart = 0.9 // of the machine or container, for auto
)

// shareOut settles -m and the memory for connections by --memory-total:
//
//	-m         not given              given
//	total      -m is what remains     refused if it does not fit; connections get less before that
func (c *config) shareOut() error {
	if c.memoryTotal == 0 {
		return nil
	}
	opts := &c.opts
	opts.SocketMemory = min(socketMemoryMost, c.memoryTotal/socketPart)
	conn, most := int64(perConn), int64(connMemoryMost)
	if c.encryption.on {
		conn, most = perConnTLS, connMemoryMostTLS
	}
	fixed := programMemory + runtimeMemory + conn*int64(opts.MaxConns)
	remains := c.memoryTotal - opts.SocketMemory - fixed // for items and connections
	if c.memoryGiven {
		opts.ConnMemory = min(most, (remains-opts.MemoryLimit)*4/5)
	} else {
		opts.ConnMemory = min(most, max(connMemoryLeast, remains/6))
		opts.MemoryLimit = (remains - opts.ConnMemory*5/4) >> 20 << 20
	}
	if opts.ConnMemory < connMemoryLeast || opts.MemoryLimit < itemsLeast && !c.memoryGiven {
		items := opts.MemoryLimit
		if !c.memoryGiven {
			items = itemsLeast
		}
		least := fixed + connMemoryLeast*5/4 + items
		least += min(socketMemoryMost, least/(socketPart-1)+1)
		return quit(exUsage, "ERROR: --memory-total has no room for -m %d -c %d: it would have to be %dm.",
			items>>20, opts.MaxConns, (least+1<<20-1)>>20)
	}
	opts.MemoryLimitMax = remains - opts.ConnMemory*5/4
	return nil
}

// limitRuntime has Go collect garbage in time.
func (c *config) limitRuntime() {
	most := cmp.Or(c.spareMemory, math.MaxInt64)
	if c.memoryTotal != 0 {
		most = min(most, c.memoryTotal-programMemory-c.opts.MemoryLimit-c.opts.SocketMemory)
	}
	if most < math.MaxInt64 {
		debug.SetMemoryLimit(most)
	}
}

func setMemoryTotal(c *config, v string) error {
	if strings.EqualFold(v, "auto") {
		c.memoryTotal = int64(autoPart * float64(memoryHere()))
		return nil
	}
	n, err := size(v, "mg", 1<<20)
	if err != nil || n <= 0 {
		return quit(exUsage, "ERROR: Invalid memory total %s: megabytes, a number with m or g, or auto.", v)
	}
	c.memoryTotal = n
	return nil
}

// memoryHere is what this machine has, or what its control groups (either version) let us have of it.
func memoryHere() uint64 {
	most := uint64(math.MaxInt64)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		most = uint64(info.Totalram) * uint64(info.Unit)
	}
	if limit, err := memlimit.FromCgroup(); err == nil { // an error says that there is none
		most = min(most, limit)
	}
	return most
}
