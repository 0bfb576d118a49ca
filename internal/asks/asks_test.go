package asks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/server"
)

func dial(t *testing.T, w Where) *Client {
	t.Helper()
	if w.Patience == 0 {
		w.Patience = 20 * time.Second
	}
	c, err := Dial(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func start(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.MemoryLimit, opts.Log = 16<<20, io.Discard
	srv, err := server.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	return srv
}

// speaks is a server that says the same to everything, and then nothing.
func speaks(t *testing.T, says func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				says(c)
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestAsksOverEveryKindOfSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	srv := start(t, server.Options{Listen: []string{"127.0.0.1:0"}, UnixSocket: path})
	for _, addr := range []string{srv.Addrs()[0].String(), path} {
		c := dial(t, Where{Addr: addr})
		for range 2 { // a refusal does not end the conversation
			if s, err := c.Stats(""); err != nil || s.Number("pid") != uint64(os.Getpid()) {
				t.Errorf("%s: pid %q, %v", addr, s["pid"], err)
			}
			if _, err := c.Stats("nonsense of a kind"); err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v", addr, err)
			}
		}
		if s, err := c.Stats("settings"); err != nil || s.Number("maxbytes") != 16<<20 {
			t.Errorf("%s: maxbytes %q, %v", addr, s["maxbytes"], err)
		}
	}
}

func TestLogsIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte("alice:s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := start(t, server.Options{Listen: []string{"127.0.0.1:0"}, AuthFile: file}).Addrs()[0].String()
	if _, err := dial(t, Where{Addr: addr}).Stats(""); err == nil {
		t.Error("answers without a password")
	}
	if _, err := dial(t, Where{Addr: addr, User: "alice", Password: "s3cret"}).Stats(""); err != nil {
		t.Error(err)
	}
	_, err := Dial(t.Context(), Where{Addr: addr, User: "alice", Password: "wrong", Patience: 20 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestWordsForAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"cache":           "tcp cache:11211",
		"cache:1":         "tcp cache:1",
		"10.0.0.1":        "tcp 10.0.0.1:11211",
		"[::1]":           "tcp [::1]:11211",
		"::1":             "tcp [::1]:11211",
		"[::1]:7":         "tcp [::1]:7",
		"/run/mc.sock":    "unix /run/mc.sock",
		"./relative.sock": "unix ./relative.sock",
	} {
		network, got := (&Where{Addr: addr}).Network()
		if network+" "+got != want {
			t.Errorf("%s is %s %s, want %s", addr, network, got, want)
		}
	}
}

// What a server says is bounded, in size and in time, and is never taken for statistics if it is none.
func TestDoesNotBelieveEverything(t *testing.T) {
	for name, tt := range map[string]struct {
		says func(net.Conn)
		want string
	}{
		"a long line":     {func(c net.Conn) { fmt.Fprintf(c, "STAT a %s\r\nEND\r\n", strings.Repeat("x", 2*lineMost)) }, "a line of more"},
		"without end":     {func(c net.Conn) { fmt.Fprint(c, strings.Repeat("STAT a 1\r\n", linesMost+1)) }, "more than"},
		"another service": {func(c net.Conn) { fmt.Fprint(c, "220 \x1b[2Jmail\r\n") }, `220 \x1b[2Jmail`},
		"no words at all": {func(c net.Conn) { _ = c.Close() }, ""},
		"silence":         {func(net.Conn) {}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 20 * time.Second
			if name == "silence" {
				patience = 100 * time.Millisecond
			}
			s, err := dial(t, Where{Addr: speaks(t, tt.says), Patience: patience}).Stats("")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d lines, %v; want %q", len(s), err, tt.want)
			}
		})
	}
}

func TestClassesOfItemsAndSlabs(t *testing.T) {
	items := Stats{"items:1:number": "2", "items:12:number": "3", "items:x:number": "4", "number": "5"}.Classes("items:")
	if len(items) != 2 || items[12].Number("number") != 3 {
		t.Errorf("%v", items)
	}
	slabs := Stats{"1:chunk_size": "96", "active_slabs": "1"}.Classes("")
	if len(slabs) != 1 || slabs[1].Number("chunk_size") != 96 {
		t.Errorf("%v", slabs)
	}
}

func TestNothingThatIsPrintedIsAnOrder(t *testing.T) {
	for text, want := range map[string]string{
		"plain:key_1": "plain:key_1",
		"\x1b]0;x\a":  `\x1b]0;x\a`,
		"é\x9b\n":     `\u00e9\x9b\n`,
		`a"b\c`:       `a"b\\c`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q is printed as %s, want %s", text, got, want)
		}
	}
}
