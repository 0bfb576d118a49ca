package main

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// leaveFilePages gives up the pages of the program's file that have been mapped so far: most of them
// are what the libraries' initialisation and our start have read. Whatever is used again is mapped
// again from the system's cache. Only code and constants: they cannot have been written to.
func leaveFilePages() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range bytes.Lines(maps) {
		var from, to uintptr
		var mode, offset, device, inode, path string
		if _, err := fmt.Sscanf(string(line), "%x-%x %s %s %s %s %s", &from, &to, &mode, &offset, &device, &inode, &path); err != nil {
			continue // a mapping of no file
		}
		if path == exe && mode[0] == 'r' && mode[1] != 'w' {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // in vain if they are locked in memory (-k)
		}
	}
}
