package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With as many files as the start asks for, -c clients are served, whatever they do: some read
// nothing of long replies, others watch or dump, and the server has listeners, a unix socket and a
// memory file besides. None of them is cut short.
func TestEveryClientWithinTheLimitOnFiles(t *testing.T) {
	t.Parallel()
	const conns, slow, keys = 150, 100, 1500
	args := []string{"-p", "-1", "-l", "127.0.0.1,127.0.0.2,127.0.0.3", "-s", "{dir}/socket", "-e", "{dir}/items", "-c", strconv.Itoa(conns)}
	c, err := parse("gomemd", args)
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, args, limited(conns+int(c.spare())))
	if said := p.said(); said != "" {
		t.Fatalf("said %q", said)
	}
	asks := p.talk(t)
	value := strings.Repeat("v", 3000)
	asks.ask("set v 0 0 3000\r\n"+value+"\r\n", "STORED\r\n")

	var behind []*talk
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		outer := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2000) })
		return errors.Join(outer, err)
	}}
	for range slow {
		c, err := dialer.Dial("tcp", p.tcp())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.WriteString(c, "get"+strings.Repeat(" v", keys)+"\r\n"); err != nil {
			t.Fatal(err)
		}
		behind = append(behind, &talk{t, c, bufio.NewReader(c)})
	}
	until := func(say string, end string) (heard string) {
		t.Helper()
		if _, err := io.WriteString(asks, say); err != nil {
			t.Fatal(err)
		}
		for !strings.HasSuffix(heard, end) {
			line, err := asks.r.ReadString('\n')
			if heard += line; err != nil {
				t.Fatalf("%q, %v", heard, err)
			}
		}
		return heard
	}
	waiting := func() int { return strings.Count(until("stats conns\r\n", "END\r\n"), "conn_mwrite") }
	p.waitFor(t, "replies to wait", func() bool { return waiting() == slow })
	written, same := 0, 0 // sockets take some until they are full
	p.waitFor(t, "sockets to be full", func() bool {
		before := written
		_, _ = fmt.Sscanf(regexp.MustCompile(`bytes_written \d+`).FindString(until("stats\r\n", "END\r\n")), "bytes_written %d", &written)
		if same++; written > before+50_000 { // our asking is a part of it
			same = 0
		}
		return same == 200
	})

	p.talk(t).ask("watch evictions\r\n", "OK\r\n")
	socket, err := net.Dial("unix", p.path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(time.Minute))
	(&talk{t, socket, bufio.NewReader(socket)}).ask("mn\r\n", "MN\r\n")
	var others []*talk
	for range conns - slow - 3 {
		c := p.talk(t)
		c.ask("mn\r\n", "MN\r\n")
		others = append(others, c)
	}
	p.talk(t).ask("", "ERROR Too many open connections\r\n")
	if dump := until("lru_crawler metadump all\r\n", "END\r\n"); !strings.Contains(dump, "key=v ") {
		t.Errorf("dump: %q", dump)
	}
	large := strings.Repeat("x", 900_000)
	asks.ask("set large 0 0 900000\r\n"+large+"\r\n", "STORED\r\n")
	for _, c := range others[:10] { // they are behind for a while, and are told all of it
		if _, err := io.WriteString(c, "get"+strings.Repeat(" large", 16)+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	p.waitFor(t, "large replies to wait", func() bool { return waiting() == slow+10 })
	for _, c := range others[:10] {
		c.ask("", strings.Repeat("VALUE large 0 900000\r\n"+large+"\r\n", 16)+"END\r\n")
	}
	for _, c := range behind[:10] {
		if err := c.Conn.(*net.TCPConn).SetReadBuffer(1 << 20); err != nil {
			t.Fatal(err)
		}
		c.ask("", strings.Repeat("VALUE v 0 3000\r\n"+value+"\r\n", keys)+"END\r\n")
	}
	if said := p.said(); said != "" {
		t.Errorf("said %q", said)
	}
}

// Under a limit on its memory or threads the server either serves or says which limit it was, and
// with which the start would go on. Go's runtime, which ends with a trace when something is refused
// to it, is not left to find out.
func TestLimitsAreNamed(t *testing.T) {
	const memory = `the limit on %s is \d+ MB: raise it \(`
	address, data := fmt.Sprintf(memory, "address space"), fmt.Sprintf(memory, "data")
	for _, row := range []struct {
		limit, m string
		says     string
		refused  bool // for certain: the others are served where there is memory enough
	}{
		{"ulimit -v 850000", "64", address, true},
		{"ulimit -v 1000000", "64", address, false},
		{"ulimit -v 1500000", "64", address, false},
		{"ulimit -v 3000000", "64", address, false},
		{"ulimit -v 2000000", "2048", address, true},
		{"ulimit -d 160000", "64", data, true},
		{"ulimit -d 300000", "64", data, false},
		{"ulimit -d 600000", "64", data, false},
		{"ulimit -d 1680000", "64", data, false},
		{"ulimit -d 1000000", "1024", data, true},
		{"ulimit -p 8 2>/dev/null || ulimit -u 8", "64", `may have 8 processes and threads \(ulimit -u\) and has \d+: \d more are needed`, true},
		{"ulimit -p 12 2>/dev/null || ulimit -u 12", "64", `may have 12 processes and threads \(ulimit -u\)`, false},
		{"ulimit -p 40 2>/dev/null || ulimit -u 40", "64", ``, false},
	} {
		t.Run(row.limit+" -m "+row.m, func(t *testing.T) {
			t.Parallel()
			opts := []launchOption{after(row.limit)}
			if strings.Contains(row.limit, "-p") {
				needRoot(t) // whom the limit on processes is not for: to become somebody who has no others
				opts = append(opts, func(p *process) {
					p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(1_000_000 + os.Getpid()), Gid: 65534}}
				})
			}
			p := startLimited(t, with("-m", row.m), opts...)
			if !p.servesOrSays(t, row.says) {
				return
			}
			if row.refused {
				t.Error("it serves")
			}
			p.serves(t)
		})
	}
}

// What is named is the same whatever the limit on address space was, and is enough; so is more.
func TestAddressSpaceThatIsNamedIsEnough(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		m    string
		more []string
	}{
		{"64", nil},
		{"130", nil}, // its shards are a little larger than a power of two
		{"1000", []string{"-c", "3000"}},
		{"1000", []string{"-e", filepath.Join(t.TempDir(), "items")}},
	} {
		t.Run(row.m+strings.Join(row.more[:min(1, len(row.more))], " "), func(t *testing.T) {
			t.Parallel()
			args := func() []string { return append(with("-m", row.m), row.more...) }
			start := func(megabytes int) *process {
				return startLimited(t, args(), after(fmt.Sprintf("ulimit -v %d", megabytes<<10)))
			}
			first := launch(t, args()) // a file is made for more than there is address space later
			first.serves(t)
			named := 0
			for _, low := range []int{900, 1000, 1100, 1400, 1450} { // from 1140 to 1310 Go's runtime may end before main
				p := start(low)
				says := `needs (\d+) MB with the server's own, and the limit on address space is ` + strconv.Itoa(low) + ` MB: raise it \(`
				if p.servesOrSays(t, says) {
					t.Fatalf("with %d MB it serves", low)
				}
				n := 0
				if found := regexp.MustCompile(says).FindStringSubmatch(p.said()); found != nil {
					n, _ = strconv.Atoi(found[1])
				}
				if named = cmp.Or(named, n); n != named || n == 0 {
					t.Fatalf("with %d MB it says %q, and said %d before", low, p.said(), named)
				}
			}
			for _, more := range []int{0, 1, 10, 50, 100, 150, 200, 250, 300, 400, 500, 1000, 2000, 5000} {
				p := start(named + more)
				if !p.servesOrSays(t, "") {
					t.Fatalf("with %d MB it does not serve, and %d was named", named+more, named)
				}
				p.serves(t)
			}
			if p := start(named - 1); p.servesOrSays(t, fmt.Sprintf("needs %d MB", named)) {
				t.Errorf("with %d MB it serves, and %d was named", named-1, named)
			}
		})
	}
}

// So it is with the limit on data.
func TestDataThatIsNamedIsEnough(t *testing.T) {
	t.Parallel()
	start := func(megabytes int) *process {
		return startLimited(t, with("-m", "64"), after(fmt.Sprintf("ulimit -d %d", megabytes<<10)))
	}
	named := 0
	for range 20 {
		p := start(150)
		if p.servesOrSays(t, `needs \d+ MB with the server's own, and the limit on data is 150 MB`) {
			t.Fatal("with 150 MB it serves")
		}
		n := 0
		_, _ = fmt.Sscanf(p.said(), "failed to start: -m 64 needs %d MB", &n)
		if named = cmp.Or(named, n); n != named || n == 0 {
			t.Fatalf("it says %q, and said %d before", p.said(), named)
		}
	}
	for more := range 20 {
		p := start(named + more*more)
		if !p.servesOrSays(t, "") {
			t.Fatalf("with %d MB it does not serve, and %d was named", named+more*more, named)
		}
		p.serves(t)
	}
}

// startLimited starts gomemd so that it takes the same wherever it runs: else Go has a thread for
// each core before main begins, and C's library, where it is linked, reserves 128 MB for some.
func startLimited(t *testing.T, args []string, opts ...launchOption) *process {
	t.Helper()
	p := prepare(t, gomemd(t), args, opts...)
	p.Env = append(p.Env, "GOMAXPROCS=2", "MALLOC_ARENA_MAX=1")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// servesOrSays tells whether it serves. If not, it has to have ended with one line, like says.
func (p *process) servesOrSays(t *testing.T, says string) bool {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !exists(p.path("ports")); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			if code := p.ProcessState.ExitCode(); code != exOSErr || !regexp.MustCompile(says).MatchString(p.said()) || strings.Count(p.said(), "\n") != 1 {
				t.Errorf("exit %d, %.1000q", code, p.said())
			}
			return false
		default:
		}
		if time.Now().After(end) {
			t.Fatal("it neither serves nor ends")
		}
	}
	p.port = firstPort(t, p.path("ports"))
	return true
}

// serves wants a large item stored, and an end when asked for.
func (p *process) serves(t *testing.T) {
	t.Helper()
	p.talk(t).ask("set k 0 0 1000000\r\n"+strings.Repeat("x", 1_000_000)+"\r\n", "STORED\r\n")
	p.endsOn(t, syscall.SIGTERM)
}

// So is what the whole machine may commit, where it commits no more than it has. The files that say
// so are put in place of the machine's for this process alone.
func TestStrictOvercommitIsNamed(t *testing.T) {
	needRoot(t) // to mount
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare (Debian package util-linux)")
	}
	dir := t.TempDir()
	mode, info := filepath.Join(dir, "overcommit_memory"), filepath.Join(dir, "meminfo")
	for name, text := range map[string]string{mode: "2\n", info: "CommitLimit:    204800 kB\nCommitted_AS:   102400 kB\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(command string, args ...string) (code int, stderr string) {
		mounts := `mount --bind "$1" /proc/sys/vm/overcommit_memory && mount --bind "$2" /proc/meminfo && shift 2 && `
		code, _, stderr = tryFor(t, 20*time.Second, unshare, append([]string{"-m", "sh", "-c", mounts + command, "sh", mode, info}, args...)...)
		return code, stderr
	}
	if code, stderr := in("true"); code != 0 {
		t.Skipf("cannot mount here: %s", stderr)
	}
	code, stderr := in(`exec "$@"`, append([]string{gomemd(t)}, asUser(with("-m", "64"))...)...)
	want := `^failed to start: -m 64 needs \d+ MB .* the machine's CommitLimit \(vm.overcommit_memory=2\) is 200 MB: raise vm.overcommit_ratio .*, or lower -m.\n$`
	if code != exOSErr || !regexp.MustCompile(want).MatchString(stderr) {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
