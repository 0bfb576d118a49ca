package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Debian's unit starts memcached by a script of its own, with /etc/memcached.conf, in a sandbox. There is no systemd where
// tests run, so the test does to a process what systemd would, directive by directive, puts gomemd in memcached's place in
// the process's own view of the file system, and runs that script. It has a network of its own, too, so that its port 11211 is
// nobody else's.
//
//	the test                              the child (this test binary again)
//	starts it in namespaces of its own    mounts, capabilities, filter; checks that they hold
//	                                      execs the script, which execs /usr/bin/memcached
//	talks to 127.0.0.1:11211 in there     serves

const (
	sandboxed   = "GOMEMD_SANDBOX"      // in the environment: the program to put in memcached's place
	sandboxUser = "GOMEMD_SANDBOX_USER" // there as well: User= of the unit, "" for root
)

const (
	debianScript = "/usr/share/memcached/scripts/systemd-memcached-wrapper"
	debianConf   = "/etc/memcached.conf"
)

func TestDebiansHardenedUnit(t *testing.T) {
	needRoot(t) // as systemd has it
	t.Parallel()
	for _, file := range []string{debianScript, debianConf} {
		if !exists(file) {
			t.Skipf("no %s (Debian package memcached; make deps)", file)
		}
	}
	for _, row := range []struct {
		name string
		argv []string
		as   string // who starts
		user string // who serves
	}{
		{"the script", []string{debianScript, debianConf}, "", "memcache"},
		{"gomemd --config", []string{"/usr/bin/memcached", "--config", debianConf}, "", "memcache"},
		{"contrib's unit", []string{"/usr/bin/memcached", "--config", debianConf}, "memcache", "memcache"},
		{"a name to look up", []string{"/usr/bin/memcached", "-u", "nobody", "-l", "localhost", "-c", "2000", "-m", "1024", "-t", "8"}, "", "nobody"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := startSandboxed(t, row.argv, row.as)
			conn := dialInside(t, p)
			ask := func(line, want string) string {
				t.Helper()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				fmt.Fprintf(conn, "%s\r\n", line)
				var heard strings.Builder
				for r := bufio.NewReader(conn); ; {
					text, err := r.ReadString('\n')
					heard.WriteString(text)
					if found := regexp.MustCompile(want).FindStringSubmatch(heard.String()); found != nil {
						return found[len(found)-1]
					}
					if err != nil {
						t.Fatalf("%s: %v, heard %q\n%s", line, err, heard.String(), p.said())
					}
				}
			}
			for i := range 64 { // several segments are filled
				ask(fmt.Sprintf("set k%d 0 0 500000\r\n%s", i, strings.Repeat("v", 500_000)), "STORED\r\n")
			}
			ask("get k63", "VALUE k63 0 500000\r\nv{1000}")
			ask("version", "VERSION 1\\.6\\.45")
			if pid := ask("stats", `(?s)STAT pid (\d+)\r\n.*END\r\n`); pid != strconv.Itoa(p.Process.Pid) {
				t.Errorf("%s serves, not %d", pid, p.Process.Pid)
			}
			checkIdentity(t, p.Process.Pid, row.user)
			if row.user == "memcache" {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/memcached/memcached.pid", p.Process.Pid))
				if err != nil || string(text) != fmt.Sprintf("%d\n", p.Process.Pid) {
					t.Errorf("the pid file says %q, %v", text, err)
				}
			}
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			ask("mn", "MN\r\n")
			p.endsOn(t, syscall.SIGTERM)
			said := regexp.MustCompile(`^warning: \S+: logfile is ignored, .*\n`).ReplaceAllString(p.said(), "") // of Debian's file
			if said != "" {
				t.Errorf("said %q", said)
			}
		})
	}
}

// checkIdentity wants every thread to be a user's, without a capability left to use.
func checkIdentity(t *testing.T, pid int, user string) {
	t.Helper()
	id, err := exec.Command("id", "-u", user).Output()
	if err != nil {
		t.Fatal(err)
	}
	uid := strings.TrimSpace(string(id))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if len(tasks) < 2 {
		t.Fatalf("only %d threads, this shows nothing", len(tasks))
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		for _, want := range []string{
			`\nUid:\t` + uid + `\t` + uid + `\t` + uid + `\t` + uid + `\n`, `\nGroups:\t *\n`,
			`\nCapEff:\t0+\n`, `\nNoNewPrivs:\t1\n`, `\nSeccomp:\t2\n`,
		} {
			if !regexp.MustCompile(want).Match(text) {
				t.Errorf("%s: no %s in\n%s", task, want, text)
			}
		}
	}
}

func startSandboxed(t *testing.T, argv []string, as string) *process {
	t.Helper()
	program := gomemd(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(t, self, argv)
	p.Args = append([]string{self}, argv...) // no -u root: what the script passes is the point
	p.Env = []string{sandboxed + "=" + program, sandboxUser + "=" + as, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	p.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	if err := p.Start(); errors.Is(err, syscall.EPERM) {
		t.Skip("this root may make no namespaces")
	} else if err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// dialInside connects to port 11211 of the network that a process has for itself.
func dialInside(t *testing.T, p *process) (conn net.Conn) {
	t.Helper()
	p.waitFor(t, "the sandboxed server", func() bool {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocks: the thread, which is in another network, ends with the goroutine
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.Process.Pid))
			if err == nil {
				err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
				_ = ns.Close()
			}
			if err == nil {
				conn, err = net.Dial("tcp", "127.0.0.1:11211")
			}
			done <- err
		}()
		return <-done == nil
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// enterSandbox is the child: it never returns.
func enterSandbox(program string, argv []string) {
	runtime.LockOSThread() // what follows is the thread's own, and exec keeps the thread it is called on
	as := os.Getenv(sandboxUser)
	_ = os.Unsetenv(sandboxed)
	_ = os.Unsetenv(sandboxUser)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"loopback", loopbackUp},
		{"file systems", func() error { return mountSandbox(program) }},
		{"CapabilityBoundingSet", func() error { return boundCapabilities(as == "") }},
		{"NoNewPrivileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"filter", loadFilter},
		{"the sandbox is tight", tryWhatIsForbidden},
		{"User", func() error { return become(as) }},
		{argv[0], func() error { return syscall.Exec(argv[0], argv, os.Environ()) }},
	} {
		if err := step.do(); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox: %s: %v\n", step.name, err)
			os.Exit(99)
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// mountSandbox is ProtectSystem=full, PrivateTmp, PrivateDevices, ProtectKernelTunables and ProtectControlGroups, and a fresh
// /run/memcached as Debian's tmpfiles.d makes it.
func mountSandbox(program string) (err error) {
	mount := func(source, target, fstype string, flags uintptr) {
		if err == nil {
			if err = unix.Mount(source, target, fstype, flags, ""); err != nil {
				err = fmt.Errorf("mount %s: %w", target, err)
			}
		}
	}
	mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE)
	for _, dir := range []string{"/usr", "/etc", "/boot", "/proc/sys", "/sys"} {
		if exists(dir) {
			mount(dir, dir, "", unix.MS_BIND|unix.MS_REC)
			mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY)
		}
	}
	mount(program, "/usr/bin/memcached", "", unix.MS_BIND)
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev"} {
		mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID)
	}
	if err != nil {
		return err
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		if err := unix.Mknod("/dev/"+name, unix.S_IFCHR, int(unix.Mkdev(1, minor))); err != nil {
			return err
		}
		if err := os.Chmod("/dev/"+name, 0o666); err != nil {
			return err
		}
	}
	return exec.Command("install", "-d", "-o", "memcache", "-g", "memcache", "/run/memcached").Run()
}

// boundCapabilities leaves none, or CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SYS_RESOURCE.
func boundCapabilities(some bool) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if some && (c == unix.CAP_SETGID || c == unix.CAP_SETUID || c == unix.CAP_SYS_RESOURCE) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err // EINVAL: an older kernel that has fewer
		}
	}
	return nil
}

func become(name string) error {
	if name == "" {
		return nil
	}
	return assumeUser(name)
}

// loadFilter is MemoryDenyWriteExecute, RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX, RestrictNamespaces and
// RestrictRealtime, as a filter of system calls.
func loadFilter() error {
	const (
		number = 0 // where in seccomp_data the number of the call is
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyOf  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		and    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
	)
	argument := func(i uint32) unix.SockFilter { return unix.SockFilter{Code: load, K: 16 + 8*i} } // its lower half
	refuse := func(errno syscall.Errno) unix.SockFilter {
		return unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	}
	allow := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	const newNamespaces = uint32(unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET)
	const writeExec = uint32(unix.PROT_WRITE | unix.PROT_EXEC)

	var filter []unix.SockFilter
	for _, rule := range []struct {
		call uintptr
		what []unix.SockFilter // is reached for this call only, and ends it
	}{
		{unix.SYS_MMAP, []unix.SockFilter{argument(2), {Code: and, K: writeExec}, {Code: equal, K: writeExec, Jf: 1}, refuse(unix.EPERM), allow}},
		{unix.SYS_MPROTECT, []unix.SockFilter{argument(2), {Code: anyOf, K: unix.PROT_EXEC, Jf: 1}, refuse(unix.EPERM), allow}},
		{unix.SYS_PKEY_MPROTECT, []unix.SockFilter{argument(2), {Code: anyOf, K: unix.PROT_EXEC, Jf: 1}, refuse(unix.EPERM), allow}},
		{unix.SYS_SOCKET, []unix.SockFilter{argument(0), {Code: equal, K: unix.AF_INET, Jt: 3}, {Code: equal, K: unix.AF_INET6, Jt: 2},
			{Code: equal, K: unix.AF_UNIX, Jt: 1}, refuse(unix.EAFNOSUPPORT), allow}},
		{unix.SYS_CLONE, []unix.SockFilter{argument(0), {Code: anyOf, K: newNamespaces, Jf: 1}, refuse(unix.EPERM), allow}},
		{unix.SYS_CLONE3, []unix.SockFilter{refuse(unix.ENOSYS)}}, // its flags are in memory: callers fall back to clone
		{unix.SYS_UNSHARE, []unix.SockFilter{refuse(unix.EPERM)}},
		{unix.SYS_SETNS, []unix.SockFilter{refuse(unix.EPERM)}},
		{unix.SYS_SCHED_SETSCHEDULER, []unix.SockFilter{refuse(unix.EPERM)}},
	} {
		filter = append(filter, unix.SockFilter{Code: load, K: number},
			unix.SockFilter{Code: equal, K: uint32(rule.call), Jf: uint8(len(rule.what))})
		filter = append(filter, rule.what...)
	}
	filter = append(filter, allow)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// tryWhatIsForbidden makes sure that the sandbox is one.
func tryWhatIsForbidden() error {
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != unix.EPERM {
		return fmt.Errorf("memory to write and execute: %v", err)
	}
	if _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0); err != unix.EAFNOSUPPORT {
		return fmt.Errorf("a netlink socket: %v", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != unix.EPERM {
		return fmt.Errorf("a namespace: %v", err)
	}
	for _, dir := range []string{"/usr", "/etc", "/sys"} {
		if err := unix.Access(dir, unix.W_OK); err != unix.EROFS {
			return fmt.Errorf("writing in %s: %v", dir, err)
		}
	}
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return fmt.Errorf("%s shows %s", dir, entries[0].Name())
		}
	}
	return nil
}
