package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

func TestSubcommandsAreTheFirstWordOrNothing(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want string
	}{
		{[]string{"gomemd", "top"}, "top"},
		{[]string{"/usr/bin/gomemd", "estimate", "--help"}, "estimate"},
		{[]string{"gomemd"}, ""},
		{[]string{"gomemd", "-m", "64", "top"}, ""}, // a word behind options means nothing to memcached
		{[]string{"gomemd", "Top"}, ""},
		{[]string{"gomemd", "--", "top"}, ""},
		{[]string{"memcached", "top"}, ""},
		{[]string{"/usr/bin/memcached", "estimate"}, ""},
	} {
		got := ""
		if sub := subcommand(tt.argv); sub != nil {
			got = sub.name
		}
		if got != tt.want {
			t.Errorf("%q is %q, want %q", tt.argv, got, tt.want)
		}
	}
}

// Under memcached's name the word is ignored as memcached ignores it: it serves, and -h knows nothing of it.
func TestMemcachedHasNoSubcommands(t *testing.T) {
	t.Parallel()
	program := filepath.Join(filepath.Dir(gomemd(t)), "memcached")
	p := prepare(t, program, append(with(), "-u", "root"))
	p.Args = append([]string{program, "top"}, p.Args[1:]...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.waitFor(t, "port file", func() bool { return exists(p.path("ports")) })
	p.port = firstPort(t, p.path("ports"))
	stat(t, "tcp", p.tcp(), "pid")
	if page := helpPage("memcached"); strings.Contains(page, "estimate") {
		t.Error("-h of memcached names subcommands")
	}
	if page := helpPage("gomemd"); !strings.Contains(page, "\nestimate HOST:PORT       ") || !strings.Contains(page, "\ntop HOST:PORT") {
		t.Errorf("-h does not name the subcommands:\n%s", page)
	}
}

// terminal is a pseudo terminal with a program in it, and an emulator that understands what it
// writes and answers what it asks.
type terminal struct {
	pty   *os.File
	mu    sync.Mutex // guards …
	emu   *vt.Emulator
	all   strings.Builder // what the program wrote
	cmd   *exec.Cmd
	ended chan error
}

func openTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command(gomemd(t), args...)
	cmd.Env = append(append(os.Environ(), "TERM=xterm-256color", "COLORTERM=", "NO_COLOR="), env...)
	p, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{pty: p, cmd: cmd, emu: vt.NewEmulator(80, 24), ended: make(chan error, 1)}
	go func() { _, _ = io.Copy(p, term.emu) }() // answers to questions
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.Read(buf)
			term.mu.Lock()
			term.all.Write(buf[:n])
			_, _ = term.emu.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				break
			}
		}
		term.ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = p.Close()
		_ = term.emu.InputPipe().(io.Closer).Close() // ends Read, which Close would race with
	})
	return term
}

func (term *terminal) look(what func(*vt.Emulator) bool) bool {
	term.mu.Lock()
	defer term.mu.Unlock()
	return what(term.emu)
}

func (term *terminal) waitFor(t *testing.T, what string, is func(*vt.Emulator) bool) {
	t.Helper()
	for begin := time.Now(); !term.look(is); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			term.look(func(e *vt.Emulator) bool { t.Fatalf("no %s on the screen:\n%s", what, e.String()); return true })
		}
	}
}

func shows(text string) func(*vt.Emulator) bool {
	return func(e *vt.Emulator) bool { return strings.Contains(e.String(), text) }
}

// ends waits for the end, after which the terminal is as it was.
func (term *terminal) ends(t *testing.T) {
	t.Helper()
	select {
	case err := <-term.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	if term.look(func(e *vt.Emulator) bool { return e.IsAltScreen() || e.CursorHidden() }) {
		t.Error("the terminal is left in its alternate screen, or without a cursor")
	}
}

// top in a real terminal: right numbers, another size, a server that goes and comes back, and an
// end that leaves nothing behind.
func TestTopInATerminal(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	first := serveAt(t, socket)
	ask := func(lines string) {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, lines+"quit\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(c)
	}
	ask("set k 0 0 3\r\nabc\r\nset l 0 0 3\r\nabc\r\nget k\r\nget none\r\nget none\r\nget none\r\n")
	term := openTerminal(t, nil, "top", "-i", "100ms", socket)
	term.waitFor(t, "items", shows("items    2 "))
	term.waitFor(t, "hit ratio", shows("25.0 % since the start"))
	if !term.look(func(e *vt.Emulator) bool { return e.IsAltScreen() && e.CursorHidden() }) {
		t.Error("it does not use the alternate screen, or shows a cursor")
	}
	ask("set m 0 0 3\r\nabc\r\n")
	term.waitFor(t, "another item", shows("items    3 "))

	term.mu.Lock()
	term.emu.Resize(40, 6)
	term.mu.Unlock()
	if err := pty.Setsize(term.pty, &pty.Winsize{Rows: 6, Cols: 40}); err != nil {
		t.Fatal(err)
	}
	term.waitFor(t, "fewer lines", func(e *vt.Emulator) bool { return strings.Contains(e.String(), "lines more") })
	term.mu.Lock()
	term.emu.Resize(80, 24)
	term.mu.Unlock()
	if err := pty.Setsize(term.pty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	term.waitFor(t, "all lines", shows("readers  0 behind now"))

	first.endsOn(t, syscall.SIGTERM)
	term.waitFor(t, "the server gone", shows("GONE since"))
	serveAt(t, socket)
	term.waitFor(t, "the server back", shows("restarted"))
	if _, err := io.WriteString(term.pty, "q"); err != nil {
		t.Fatal(err)
	}
	term.ends(t)
}

// serveAt runs a server on a socket.
func serveAt(t *testing.T, socket string) *process {
	t.Helper()
	p := prepare(t, gomemd(t), []string{"-s", socket, "-m", "16"})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.waitFor(t, "socket", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

// Ctrl-C and SIGTERM end it as q does; a server that says nothing holds it up no more than another.
func TestTopEndsHoweverItIsTold(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes clients, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, stop := range []string{"ctrl-c", "SIGTERM"} {
		term := openTerminal(t, nil, "top", "--timeout", "1h", silent.Addr().String())
		term.waitFor(t, "the server's name", shows("connecting"))
		if stop == "ctrl-c" {
			_, err = io.WriteString(term.pty, "\x03")
		} else {
			err = term.cmd.Process.Signal(syscall.SIGTERM)
		}
		if err != nil {
			t.Fatal(err)
		}
		term.ends(t)
	}
}

// With NO_COLOR there is no colour; a terminal that can do nothing gets plain text.
func TestTopWithoutColours(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none") // is shown in red
	for _, tt := range []struct{ env, colour string }{{"X=1", "\x1b[31m"}, {"NO_COLOR=1", ""}, {"TERM=dumb", ""}} {
		term := openTerminal(t, []string{tt.env}, "top", "-i", "100ms", none)
		term.waitFor(t, "a server that is not there", shows("not there"))
		term.mu.Lock()
		all := term.all.String()
		term.mu.Unlock()
		if got := strings.Contains(all, "\x1b[31m"); got != (tt.colour != "") {
			t.Errorf("%s: red: %v: %q", tt.env, got, all)
		}
		if tt.env == "TERM=dumb" && strings.Contains(all, "\x1b") {
			t.Errorf("a dumb terminal is given orders: %q", all)
		}
	}
}
