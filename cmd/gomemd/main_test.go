package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var anyPort = []string{"-l", "127.0.0.1", "-p", "-1"}

func with(args ...string) []string { return append(append([]string(nil), anyPort...), args...) }

func TestStopsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := launch(t, with())
			c, err := net.Dial("tcp", p.tcp()) // an idle client holds nothing up
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p.endsOn(t, sig)
			want := ""
			if sig == syscall.SIGUSR1 {
				want = "Gracefully stopping\n"
			}
			if got := p.said(); got != want {
				t.Errorf("said %q, want %q", got, want)
			}
		})
	}
}

// A graceful stop waits for a client that has begun something, within its time, and a second signal is impatience.
func TestDrains(t *testing.T) {
	begin := func(t *testing.T, timeout string) (*process, net.Conn) {
		t.Parallel()
		p := launch(t, with("--drain-timeout", timeout))
		c, err := net.Dial("tcp", p.tcp())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprint(c, "set k 0 0 2\r\n1")
		p.waitFor(t, "the beginning", func() bool { return stat(t, "tcp", p.tcp(), "curr_connections") == "2" })
		if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		p.waitFor(t, "the listener to close", func() bool {
			c, err := net.Dial("tcp", p.tcp())
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		return p, c
	}
	t.Run("to the end", func(t *testing.T) {
		p, c := begin(t, "20s")
		fmt.Fprint(c, "2\r\n")
		if answer, err := io.ReadAll(c); err != nil || string(answer) != "STORED\r\n" {
			t.Errorf("%q, %v", answer, err)
		}
		p.ends(t)
	})
	t.Run("in vain", func(t *testing.T) {
		p, _ := begin(t, "300ms")
		p.ends(t)
	})
	t.Run("second signal", func(t *testing.T) {
		p, _ := begin(t, "20s")
		p.endsOn(t, syscall.SIGTERM)
	})
}

func TestSurvivesHangupAndBrokenPipe(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-v"))
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE} {
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	stat(t, "tcp", p.tcp(), "pid")
	p.endsOn(t, syscall.SIGTERM)
	if got := p.said(); !strings.HasSuffix(got, "Exiting normally\n") {
		t.Errorf("said %q", got)
	}
}

func TestVersionFollowsTheSameMemcached(t *testing.T) {
	t.Parallel()
	p := launch(t, with())
	if v := answer(t, "tcp", p.tcp(), "version", regexp.MustCompile(`^VERSION (\S+)\r\n`)); !strings.HasPrefix(v, follows) {
		t.Errorf("VERSION says %s, -V says %s", v, follows)
	}
}

func TestPidfileInForeground(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-P", "{dir}/pid"))
	p.waitFor(t, "pid file", func() bool { return exists(p.path("pid")) })
	p.checkPidfile(t, p.Process.Pid)
	p.endsOn(t, syscall.SIGTERM)
	if !exists(p.path("pid")) {
		t.Error("the pid file went; without -d it stays, as memcached's")
	}
}

func (p *process) checkPidfile(t *testing.T, pid int) {
	t.Helper()
	text, err := os.ReadFile(p.path("pid"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strconv.Itoa(pid) + "\n"; string(text) != want {
		t.Errorf("the pid file says %q, not %q", text, want)
	}
	if told := stat(t, "tcp", p.tcp(), "pid"); told != strconv.Itoa(pid) {
		t.Errorf("stats say pid %s, not %d", told, pid)
	}
	if exists(p.path("pid.tmp")) {
		t.Error("the temporary file is still there")
	}
}

func TestPidfileNamesALivingProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "pid")
	if err := os.WriteFile(file, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := launch(t, with("-P", file))
	want := fmt.Sprintf("WARNING: The pid file contained the following (running) pid: %d\n", os.Getpid())
	p.waitFor(t, "warning", func() bool { return p.said() == want })
}

func TestPidfileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-P", "{dir}/none/pid"))
	want := "Could not open the pid file " + p.path("none/pid.tmp") + " for writing: No such file or directory\n"
	p.waitFor(t, "message", func() bool { return p.said() == want })
	stat(t, "tcp", p.tcp(), "pid")
}

// daemon starts with -d and returns the process that stays.
func daemon(t *testing.T, args ...string) (*process, int) {
	t.Helper()
	p := prepare(t, gomemd(t), with(append([]string{"-d", "-P", "{dir}/pid"}, args...)...))
	return p, p.staysInBackground(t)
}

// staysInBackground runs the parent of a daemon whose pid file is dir/pid, and gives the number of
// the process that stays.
func (p *process) staysInBackground(t *testing.T) int {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Fatalf("%v\n%s", err, p.said())
	}
	// The parent is gone: from now on everything is there, without waiting.
	text, err := os.ReadFile(p.path("pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if pid == p.Process.Pid {
		t.Fatal("the daemon is the process that ended")
	}
	p.port = firstPort(t, p.path("ports"))
	p.checkPidfile(t, pid)
	return pid
}

func TestDaemon(t *testing.T) {
	t.Parallel()
	p, pid := daemon(t)
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != "/" {
		t.Errorf("it works in %s", cwd)
	}
	for fd := range 3 {
		if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); link != os.DevNull {
			t.Errorf("descriptor %d is %s", fd, link)
		}
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ") // state ppid pgrp session
	if f := strings.Fields(after); len(f) < 4 || f[3] != strconv.Itoa(pid) {
		t.Errorf("it leads no session of its own: %s", text)
	}
	if env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(env) != "gomemd\n" {
		t.Errorf("ps shows it as %s", env)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "pid file to go", func() bool { return !exists(p.path("pid")) })
	if _, err := net.Dial("tcp", p.tcp()); err == nil {
		t.Error("it still listens")
	}
}

func TestDaemonKilledLeavesThePidfile(t *testing.T) {
	t.Parallel()
	p, pid := daemon(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "the port to close", func() bool {
		c, err := net.Dial("tcp", p.tcp())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if !exists(p.path("pid")) {
		t.Error("who removed the pid file?")
	}
}

func TestDaemonThatTalks(t *testing.T) {
	t.Parallel()
	p, pid := daemon(t, "-v", "-r")
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != p.dir {
		t.Errorf("-r wants to stay in %s, it works in %s", p.dir, cwd)
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "last words", func() bool { return strings.HasSuffix(p.said(), "Gracefully stopping\n") })
	p.waitFor(t, "pid file to go", func() bool { return !exists(p.path("pid")) })
}

func TestDaemonThatCannotListen(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), asUser([]string{"-d", "-l", busy.Addr().String()})...)
	want := "failed to listen on one of interface(s) " + busy.Addr().String() + ": Address already in use\n"
	if code != exOSErr || stderr != want {
		t.Errorf("exit %d, %q; want %d, %q", code, stderr, exOSErr, want)
	}
}

func TestUnixSocketAlone(t *testing.T) {
	t.Parallel()
	for mask, mode := range map[string]os.FileMode{"": 0o700, "770": 0o770, "0600": 0o600} {
		t.Run("mask "+mask, func(t *testing.T) {
			t.Parallel()
			args := []string{"-s", "{dir}/socket"}
			if mask != "" {
				args = append(args, "-a", mask)
			}
			p := launch(t, args)
			info, err := os.Lstat(p.path("socket"))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != os.ModeSocket|mode {
				t.Errorf("the socket is %s", info.Mode())
			}
			p.waitFor(t, "listening", func() bool {
				c, err := net.Dial("unix", p.path("socket"))
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			})
			if pid := stat(t, "unix", p.path("socket"), "pid"); pid != strconv.Itoa(p.Process.Pid) {
				t.Errorf("pid %s", pid)
			}
			if listensOnTCP(t, p.Process.Pid) {
				t.Error("it listens on TCP as well")
			}
			if exists(p.path("ports")) {
				t.Error("there is a port file")
			}
		})
	}
}

func TestUnixSocketAndTCP(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-s", "{dir}/socket"))
	if a, b := stat(t, "unix", p.path("socket"), "pid"), stat(t, "tcp", p.tcp(), "pid"); a != b {
		t.Errorf("pid %s and pid %s", a, b)
	}
}

func TestUnixSocketWhereAFileStands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), asUser([]string{"-s", file})...)
	if code != exOSErr || !strings.HasPrefix(stderr, "failed to listen on UNIX socket: "+file+": ") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if !exists(file) {
		t.Error("the file is gone")
	}
}

func TestPortFile(t *testing.T) {
	v6 := ""
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		_ = l.Close()
		v6 = ",[::1]"
	}
	for _, row := range []struct {
		args, want string
	}{
		{"-p -1 -l 127.0.0.1", `^TCP INET: \d+\n$`},
		{"-l 127.0.0.1:0", `^TCP INET: \d+\n$`},
		{"-p -1 -l 127.0.0.1;127.0.0.2", `^(TCP INET: \d+\n){2}$`},
		{"-p -1 -l 127.0.0.1 -l 127.0.0.1 -l 127.0.0.2", `^(TCP INET: \d+\n){2}$`},
		{"-p -1 -l 127.0.0.1" + v6, `^TCP INET: \d+\n(TCP INET6: \d+\n)` + map[bool]string{true: "{0}", false: ""}[v6 == ""] + `$`},
		{"-p 0 -l 127.0.0.1", `^$`},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			p := launch(t, strings.Fields(row.args))
			text, err := os.ReadFile(p.path("ports"))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(row.want).Match(text) {
				t.Errorf("the port file says %q, want %s", text, row.want)
			}
			if exists(p.path("ports.lck")) {
				t.Error("the temporary file is still there")
			}
			if p.port != 0 {
				stat(t, "tcp", p.tcp(), "pid")
			}
			p.endsOn(t, syscall.SIGTERM)
		})
	}
}

func TestCalledMemcached(t *testing.T) {
	t.Parallel()
	name := filepath.Join(filepath.Dir(gomemd(t)), "memcached")
	if code, stdout, _ := tryFor(t, 20*time.Second, name, "-V"); code != 0 || stdout != "memcached "+follows+"\n" {
		t.Errorf("exit %d, %q", code, stdout)
	}
	p := prepare(t, name, with("-d", "-P", "{dir}/pid"))
	if err := p.Run(); err != nil {
		t.Fatalf("%v\n%s", err, p.said())
	}
	text, _ := os.ReadFile(p.path("pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if pid <= 1 {
		t.Fatalf("pid file: %q", text)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) != "memcached\n" {
		t.Errorf("pgrep would look for memcached and find %s", comm)
	}
}

func TestPasswordsAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_ = os.Chmod(dir, 0o755)
	file := filepath.Join(dir, "passwords")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("foo:old\n")
	p := launch(t, with("-Y", file))
	enters := func(password string) bool {
		line := fmt.Sprintf("set auth 0 0 %d\r\nfoo %s", len("foo ")+len(password), password)
		return answer(t, "tcp", p.tcp(), line, regexp.MustCompile(`^(.*)\r\n`)) == "STORED"
	}
	if !enters("old") || enters("new") {
		t.Fatal("the password is not the one in the file")
	}
	hangup := func() {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write("foo:new\n")
	hangup()
	p.waitFor(t, "the new password", func() bool { return enters("new") && !enters("old") })
	write("nonsense\n")
	hangup()
	want := "Authfile [" + file + "] has a malformed entry. Should be 'user:password'; the old passwords stay in force\n"
	p.waitFor(t, "the complaint", func() bool { return p.said() == want })
	if !enters("new") {
		t.Error("a bad file took the good one's place")
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become someone else")
	}
}

func TestRootMustSayWho(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, args := range [][]string{with(), with("-u", ""), with("-d")} {
		code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), args...)
		if want := "must add '-u root' to start as root\n"; code != exUsage || stderr != want {
			t.Errorf("%q: exit %d, %q; want %d, %q", args, code, stderr, exUsage, want)
		}
	}
}

func TestDropsEveryThread(t *testing.T) {
	needRoot(t)
	t.Parallel()
	p := launch(t, with("-u", "nobody", "-s", "{dir}/socket", "-t", "8"))
	for range 8 { // some work, so that there are threads that are younger than the change
		stat(t, "tcp", p.tcp(), "pid")
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	if len(tasks) < 2 {
		t.Fatalf("only %d threads, this shows nothing", len(tasks))
	}
	want := regexp.MustCompile(`\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n(?s:.*)\nGroups:\t *\n`)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err == nil && !want.Match(text) {
			t.Errorf("%s:\n%s", task, text)
		}
	}
	info, err := os.Lstat(p.path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 65534 {
		t.Errorf("the socket belongs to %d", uid)
	}
}

func TestUserIsIgnoredWhenNotRoot(t *testing.T) {
	needRoot(t) // to become somebody who is not
	t.Parallel()
	p := launch(t, with("-u 11211"), asNobody)
	stat(t, "tcp", p.tcp(), "pid")
	if said := p.said(); said != "" {
		t.Errorf("said %q", said)
	}
}

// limited runs gomemd with a hard limit on open files.
func limited(files int) launchOption { return after(fmt.Sprintf("ulimit -n %d", files)) }

// after runs gomemd by a shell that has run a command first.
func after(command string) launchOption {
	return func(p *process) {
		p.Args = append([]string{"sh", "-c", command + `; exec "$0" "$@"`, p.Path}, p.Args[1:]...)
		p.Path, _ = exec.LookPath("sh")
	}
}

// Up to the hard limit anybody may go. Beyond it takes a privilege that containers withhold even from root, so that is
// seen only where the test has it.
func TestRaisesTheLimitOnFiles(t *testing.T) {
	t.Parallel()
	t.Run("soft", func(t *testing.T) { raisesTheLimit(t, "ulimit -S -n 1024") })
	if exec.Command("sh", "-c", "ulimit -n 1024; ulimit -n 4096").Run() == nil {
		t.Run("hard", func(t *testing.T) { raisesTheLimit(t, "ulimit -n 1024") })
	}
}

func raisesTheLimit(t *testing.T, first string) {
	p := launch(t, with("-c", "3000"), after(first))
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Process.Pid))
	found := regexp.MustCompile(`Max open files +(\d+) +(\d+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s", text)
	}
	if soft, _ := strconv.Atoi(string(found[1])); soft < 3000+64 {
		t.Errorf("%s", found[0])
	}
}

func TestLimitOnFilesThatCannotBeRaised(t *testing.T) {
	needRoot(t)
	t.Parallel()
	t.Run("enough", func(t *testing.T) {
		p := launch(t, with("-c", "900"), limited(1024), asNobody)
		if said := p.said(); said != "" {
			t.Errorf("said %q", said)
		}
	})
	t.Run("just -c", func(t *testing.T) {
		p := launch(t, with(), limited(1024), asNobody)
		if want := "warning: only 1024 files may be open: serving 948 connections, not 1024\n"; p.said() != want {
			t.Errorf("said %q, want %q", p.said(), want)
		}
	})
	t.Run("less", func(t *testing.T) {
		p := prepare(t, gomemd(t), with("-c", "3000"), limited(1024), asNobody)
		_ = p.Run()
		want := "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.\n" +
			"The hard limit on open files (ulimit -Hn) is 1024; -c 3000 needs 3076.\n"
		if code := p.ProcessState.ExitCode(); code != exOSErr || p.said() != want {
			t.Errorf("exit %d, %q", code, p.said())
		}
	})
}

// TestLargeAndLockedPages asks the system how it treats the store's memory. Large pages come only to
// who asks for them: the limit would not be one.
func TestLargeAndLockedPages(t *testing.T) {
	needRoot(t) // others may lock little
	t.Parallel()
	for option, flag := range map[string]string{"-L": "hg", "-k": "lo", "-U0": "nh"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), asUser([]string{option, "-V"})...)
			if code == exFailure && stderr == "Cannot enable large pages on this system\n" {
				return // and that is how it has to be told
			}
			p := launch(t, with(option))
			stat(t, "tcp", p.tcp(), "pid")
			var lock unix.Rlimit
			_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lock)
			switch said := p.said(); {
			case option == "-k" && lock.Cur < 1<<30 && said == "warning: failed to lock memory: cannot allocate memory\n":
				return // the root of a container may lock little, too
			case said != "":
				t.Errorf("said %q", said)
			}
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", p.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			if flags := flagsOfLargest(string(text)); !slices.Contains(flags, flag) {
				t.Errorf("the store's memory has the flags %s", flags)
			}
		})
	}
}

// flagsOfLargest finds the largest mapping in smaps that may be written to and is in no core dump: a shard's.
func flagsOfLargest(smaps string) (flags []string) {
	largest, size := 0, 0
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		switch f[0] {
		case "Size:":
			size, _ = strconv.Atoi(f[1])
		case "VmFlags:":
			if size > largest && slices.Contains(f, "wr") && slices.Contains(f, "dd") {
				largest, flags = size, f[1:]
			}
		}
	}
	return flags
}

func TestLoopsAndCores(t *testing.T) {
	for _, tt := range []struct{ threads, cores, want int }{
		{4, 1, 1}, {4, 2, 1}, {4, 3, 2}, {4, 4, 4}, {4, 16, 4}, {1, 16, 1}, {32, 16, 16},
	} {
		if got := loopsFor(tt.threads, tt.cores); got != tt.want {
			t.Errorf("-t %d on %d cores: %d loops, want %d", tt.threads, tt.cores, got, tt.want)
		}
	}
}
