package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests here run the program itself, built once, as a shell would. They ask for any free port and read it from the
// port file, so they can run beside anything.

var binDir string

func TestMain(m *testing.M) {
	if program := os.Getenv(sandboxed); program != "" {
		enterSandbox(program, os.Args[1:])
	}
	var err error
	if binDir, err = os.MkdirTemp("", "gomemd"); err != nil {
		panic(err)
	}
	_ = os.Chmod(binDir, 0o755) // some tests run it as nobody
	code := m.Run()
	_ = os.RemoveAll(binDir)
	os.Exit(code)
}

var built = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(binDir, "gomemd"), ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.Symlink("gomemd", filepath.Join(binDir, "memcached"))
})

// gomemd is the path of the program.
func gomemd(t *testing.T) string {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binDir, "gomemd")
}

// asUser adds the -u that root has to give, unless the test is about it.
func asUser(args []string) []string {
	if os.Getuid() != 0 || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-u") }) {
		return args
	}
	return append([]string{"-u", "root"}, args...)
}

// tryFor runs a program that is expected to end by itself. One that does not is told to stop, and code is -1.
func tryFor(t *testing.T, patience time.Duration, program string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		code = -1
	case errors.As(err, &ended):
		code = ended.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return code, out.String(), errs.String()
}

// process is a running gomemd.
type process struct {
	*exec.Cmd
	dir    string // where its files are; anybody may write there
	stderr string // file
	port   int    // the first TCP port; 0 if none
	ended  chan error
}

type launchOption func(*process)

func asNobody(p *process) {
	p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// launch runs gomemd in the foreground and returns when its port file is there. {dir} in args stands for process.dir.
func launch(t *testing.T, args []string, opts ...launchOption) *process {
	t.Helper()
	p := prepare(t, gomemd(t), args, opts...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	if slices.Contains(args, "-s") && !slices.Contains(args, "-p") && !slices.Contains(args, "-l") {
		p.waitFor(t, "socket", func() bool { return exists(p.path("socket")) })
	} else {
		p.waitFor(t, "port file", func() bool { return exists(p.path("ports")) })
		p.port = firstPort(t, p.path("ports"))
	}
	return p
}

func prepare(t *testing.T, program string, args []string, opts ...launchOption) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "gomemd-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	p := &process{dir: dir, stderr: filepath.Join(dir, "stderr"), ended: make(chan error, 1)}
	args = asUser(args)
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "{dir}", dir)
	}
	p.Cmd = exec.Command(program, args...)
	p.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+p.path("ports"))
	p.Dir = dir
	log, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	p.Stderr = log
	for _, o := range opts {
		o(p)
	}
	return p
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

func (p *process) said() string {
	text, _ := os.ReadFile(p.stderr)
	return string(text)
}

// waitFor waits for something that takes a moment.
func (p *process) waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s\n%s", what, p.said())
		}
		select {
		case err := <-p.ended:
			t.Fatalf("ended (%v), while waiting for: %s\n%s", err, what, p.said())
		default:
		}
	}
}

// endsOn is ends after a signal.
func (p *process) endsOn(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	p.ends(t)
}

// ends wants exit 0, soon.
func (p *process) ends(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Fatalf("ended with %v\n%s", err, p.said())
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("it still runs\n%s", p.said())
	}
}

func (p *process) tcp() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// stat asks for one statistic.
func stat(t *testing.T, network, addr, name string) string {
	t.Helper()
	return answer(t, network, addr, "stats", regexp.MustCompile(`(?m)^STAT `+name+` (\S+)\r$`))
}

// answer says a line and looks for a group in what comes back.
func answer(t *testing.T, network, addr, line string, want *regexp.Regexp) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(c, "%s\r\n", line)
	var heard strings.Builder
	for r := bufio.NewReader(c); ; {
		text, err := r.ReadString('\n')
		heard.WriteString(text)
		if found := want.FindStringSubmatch(heard.String()); found != nil {
			return found[1]
		}
		if err != nil || text == "END\r\n" {
			t.Fatalf("%s: no %s in\n%s", line, want, heard.String())
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func firstPort(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`TCP INET6?: (\d+)\n`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	port, _ := strconv.Atoi(string(found[1]))
	return port
}

// listensOnTCP looks for a listening TCP socket among a process's descriptors.
func listensOnTCP(t *testing.T, pid int) bool {
	t.Helper()
	mine := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") {
			mine[strings.Trim(link, "socket:[]")] = true
		}
	}
	if len(mine) == 0 {
		t.Fatal("no sockets at all")
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine[f[9]] {
				return true
			}
		}
	}
	return false
}
