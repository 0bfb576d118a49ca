package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// talk is one connection with a bound on its patience.
type talk struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (p *process) talk(t *testing.T) *talk {
	t.Helper()
	c, err := net.Dial("tcp", p.tcp())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &talk{t, c, bufio.NewReader(c)}
}

func (c *talk) ask(said, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c, said); err != nil {
		c.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); string(got[:n]) != want {
		c.t.Fatalf("heard %q (%v), want %q", got[:n], err, want)
	}
}

// A process that was stopped for ten seconds goes on as if nothing had been, but knows how late it is: what ended meanwhile is over
// with the next tick, a quarter of a second later at most. What was asked while it stood is answered.
func TestStoppedAndContinued(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-o", "idle_timeout=60"))
	c := p.talk(t)
	c.ask("set short 0 5 1\r\ns\r\nset long 0 60 1\r\nl\r\n", "STORED\r\nSTORED\r\n")
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	late := p.talk(t) // the kernel accepts
	if _, err := io.WriteString(late, "get long\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	late.ask("", "VALUE long 0 1\r\nl\r\nEND\r\n")
	p.waitFor(t, "the clock to catch up", func() bool { return stat(t, "tcp", p.tcp(), "curr_items") == "1" })
	c.ask("get short long\r\n", "VALUE long 0 1\r\nl\r\nEND\r\n")
	if up := stat(t, "tcp", p.tcp(), "uptime"); len(up) < 2 {
		t.Errorf("it believes that it has been up for %s seconds", up)
	}
	p.endsOn(t, syscall.SIGTERM)
}

// With 64 open files there is no room for the server's own and clients too: it says so at once, rather than to fail at the first
// crowd. A soft limit of 64 is raised.
func TestSixtyFourFiles(t *testing.T) {
	t.Parallel()
	t.Run("soft", func(t *testing.T) {
		p := launch(t, with("-c", "200"), after("ulimit -S -n 64"))
		for range 100 {
			p.talk(t).ask("mn\r\n", "MN\r\n")
		}
	})
	for _, conns := range []int{1024, 10} {
		t.Run(fmt.Sprint("hard, -c ", conns), func(t *testing.T) {
			needRoot(t) // to become somebody who cannot raise it
			p := prepare(t, gomemd(t), with("-c", strconv.Itoa(conns)), limited(64), asNobody)
			_ = p.Run()
			want := "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.\n" +
				fmt.Sprintf("The hard limit on open files (ulimit -Hn) is 64; -c %d needs %d.\n", conns, conns+76)
			if code := p.ProcessState.ExitCode(); code != exOSErr || p.said() != want {
				t.Errorf("exit %d, %q", code, p.said())
			}
		})
	}
}

// A folder in which the unix socket cannot be made, or that of a dead server cannot be replaced, is named, and nothing serves.
func TestReadOnlySocketFolder(t *testing.T) {
	needRoot(t) // who may write anywhere: to become somebody who may not
	t.Parallel()
	for _, stale := range []bool{false, true} {
		t.Run(fmt.Sprint("a socket stands there: ", stale), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "gomemd-ro")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			socket := filepath.Join(dir, "socket")
			if stale {
				l, err := net.Listen("unix", socket)
				if err != nil {
					t.Fatal(err)
				}
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				_ = l.Close()
			}
			if err := os.Chmod(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			p := prepare(t, gomemd(t), []string{"-s", socket}, asNobody)
			_ = p.Run()
			want := "failed to listen on UNIX socket: " + socket + ": Permission denied\n"
			if code := p.ProcessState.ExitCode(); code != exOSErr || p.said() != want {
				t.Errorf("exit %d, %q; want %d, %q", code, p.said(), exOSErr, want)
			}
			if exists(socket) != stale {
				t.Error("the folder has changed")
			}
		})
	}
}

// Passwords are seen neither in the list of processes nor in the log, however much is logged; values neither. Keys are logged from
// -vv on.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	for _, loud := range []string{"-v", "-vv", "-vvv"} {
		t.Run(loud, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "passwords")
			if err := os.WriteFile(file, []byte("alice:openSesame\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			p := launch(t, with(loud, "-Y", file))
			c := p.talk(t)
			c.ask("set auth 0 0 14\r\nalice wrongOne\r\n", "CLIENT_ERROR authentication failure\r\n")
			c.ask("set auth 0 0 16\r\nalice openSesame\r\n", "STORED\r\n")
			c.ask("set theKey 0 0 8\r\ntheValue\r\n", "STORED\r\n")
			c.ask("get theKey\r\n", "VALUE theKey 0 8\r\ntheValue\r\nEND\r\n")
			c.ask("set theKey 0 0 2\r\ntheValue\r\n", "CLIENT_ERROR bad data chunk\r\n") // what is left of it is read as a line, or not
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			p.endsOn(t, syscall.SIGTERM)
			for _, secret := range []string{"openSesame", "wrongOne", "theValue"} {
				if strings.Contains(string(line), secret) || strings.Contains(p.said(), secret) {
					t.Errorf("%s is seen in %q or\n%s", secret, line, p.said())
				}
			}
			if logged := strings.Contains(p.said(), "theKey"); logged != (loud != "-v") {
				t.Errorf("is the key logged: %v\n%s", logged, p.said())
			}
		})
	}
}
