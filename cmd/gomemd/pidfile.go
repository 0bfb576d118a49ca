package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// writePidfile leaves the process's number in a file, complete from the moment it exists. Neither a file that cannot be
// written nor one that names a living process is a reason not to serve.
func writePidfile(name string) {
	if old, err := os.ReadFile(name); err == nil {
		line, _, _ := strings.Cut(string(old), "\n")
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 && syscall.Kill(pid, 0) == nil {
			warn("WARNING: The pid file contained the following (running) pid: %d", pid)
		}
	}
	temp := name + ".tmp"
	if err := os.WriteFile(temp, fmt.Appendln(nil, os.Getpid()), 0o666); err != nil {
		warn("Could not open the pid file %s for writing: %s", temp, reasonOf(err))
		return
	}
	if err := os.Rename(temp, name); err != nil {
		warn("Could not rename the pid file from %s to %s: %s", temp, name, reasonOf(err))
	}
}

func removePidfile(name string) {
	if err := os.Remove(name); err != nil {
		warn("Could not remove the pid file %s: %s", name, reasonOf(err))
	}
}
