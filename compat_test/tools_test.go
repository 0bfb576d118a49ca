package compat_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// libmemcached's tools, as Debian packages and names them.
const toolsPackage = "libmemcached-tools"

// tool finds a program.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; !executable(path) {
			leaveOut(t, name+" is not installed (Debian package "+pkg+"; make deps)")
		}
	}
	return path
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// run runs a program for at most half a minute, and gives what it said and its exit status.
func run(t *testing.T, name string, args ...string) (said string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %s does not end:\n%s", name, args, out.String())
	}
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// memccapable tells what a server is capable of, by tests of its own.
func TestToolMemccapable(t *testing.T) {
	memccapable := tool(t, "memccapable", toolsPackage)
	host, port, err := net.SplitHostPort(serve(t).addr)
	must(t, err)
	said, status := run(t, memccapable, "-a", "-h", host, "-p", port)
	passed := regexp.MustCompile(`(?m)\[pass\]\s*$`).FindAllString(said, -1)
	if status != 0 || len(passed) != 27 || strings.Contains(said, "[FAIL]") {
		t.Errorf("status %d, %d of 27 passed:\n%s", status, len(passed), said)
	}
}

func TestToolsOfLibmemcached(t *testing.T) {
	s := serve(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "motto")
	must(t, os.WriteFile(file, []byte("carpe diem!\n"), 0o600))
	large := filepath.Join(dir, "large")
	must(t, os.WriteFile(large, bytes.Repeat([]byte("0123456789abcdef"), 40_000), 0o600))
	servers := "--servers=" + s.addr

	for _, tc := range []struct {
		name   string
		args   []string
		status int
		says   string // a regular expression
	}{
		{"memcping", nil, 0, ``},
		{"memcstat", nil, 0, `(?s)pid: \d+.*limit_maxbytes: 67108864.*curr_items: 0`},
		{"memcstat", []string{"--server-version"}, 0, `1\.6\.45`},
		{"memcexist", []string{"motto"}, 1, ``},
		{"memccp", []string{"--flags=7", file, large}, 0, ``},
		{"memcexist", []string{"motto"}, 0, ``},
		{"memcexist", []string{"nobody"}, 1, ``},
		{"memccat", []string{"motto"}, 0, `^carpe diem!\n`},
		{"memccat", []string{"--flags", "motto"}, 0, `7`},
		{"memccat", []string{"large"}, 0, `^(0123456789abcdef){1000}`},
		{"memctouch", []string{"--expire=100", "motto"}, 0, ``},
		{"memctouch", []string{"--expire=100", "nobody"}, 1, ``},
		{"memcrm", []string{"large"}, 0, ``},
		{"memccat", []string{"large"}, 1, ``},
		{"memcstat", []string{"items"}, 0, ``},
		{"memcstat", []string{"slabs"}, 0, ``},
		{"memcflush", nil, 0, ``},
		{"memcexist", []string{"motto"}, 1, ``},
	} {
		said, status := run(t, tool(t, tc.name, toolsPackage), append([]string{servers}, tc.args...)...)
		if status != tc.status || !regexp.MustCompile(tc.says).MatchString(said) {
			t.Errorf("%s %s: status %d, want %d, says %.500q, want %s", tc.name, tc.args, status, tc.status, said, tc.says)
		}
	}
}
