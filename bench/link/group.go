package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A group is a control group with a limit of memory: whoever takes more is killed.
type group struct {
	dir     string
	most    string // the file that tells how much it has had at most
	version int
}

const groupPrefix = "gomemd-link-"

// places are where groups can be made that have the memory controller: version 2 if it is there.
func places() (root string, version int) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		text, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
		if slices.Contains(strings.Fields(string(text)), "memory") {
			return root, 2
		}
	}
	return "/sys/fs/cgroup/memory", 1
}

// makeGroup makes one with a limit, for memory and swap together.
func makeGroup(limit int) (g *group, err error) {
	root, version := places()
	g = &group{
		dir:     filepath.Join(root, fmt.Sprint(groupPrefix, os.Getpid())),
		version: version,
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return g, err
	}
	if version == 2 {
		g.most = "memory.peak"
		_ = g.write("memory.swap.max", "0") // where swap is not counted there may be none
		return g, g.write("memory.max", strconv.Itoa(limit))
	}
	g.most = "memory.max_usage_in_bytes"
	err = g.write("memory.limit_in_bytes", strconv.Itoa(limit))
	_ = g.write("memory.memsw.limit_in_bytes", strconv.Itoa(limit)) // the same
	return g, err
}

func (g *group) write(file, text string) error {
	return os.WriteFile(filepath.Join(g.dir, file), []byte(text), 0o644)
}

// through has a shell enter the group and become the server.
func (g *group) through() []string {
	return []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
}

// peak is in bytes, 0 where nobody tells.
func (g *group) peak() int {
	text, _ := os.ReadFile(filepath.Join(g.dir, g.most))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

func (g *group) remove() { removeGroup(g.dir) }

// removeGroup ends whoever is left in it: it was made for our children, and they have nobody else.
func removeGroup(dir string) {
	for range 100 {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return // it is not there
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if syscall.Rmdir(dir) == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sweepGroups removes what processes have left that are no more.
func sweepGroups() {
	root, _ := places()
	found, _ := filepath.Glob(filepath.Join(root, groupPrefix+"*"))
	for _, dir := range found {
		if isGone(strings.TrimPrefix(filepath.Base(dir), groupPrefix)) {
			removeGroup(dir)
		}
	}
}
