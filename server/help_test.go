package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func startServer(t testing.TB, opts Options) *Server {
	t.Helper()
	if opts.Listen == nil && opts.UnixSocket == "" {
		opts.Listen = []string{"127.0.0.1:0"}
	}
	srv, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.store.Check(); err != nil {
			t.Error(err)
		}
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// client is one end of a real connection, with a bound on its patience.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

const patience = 30 * time.Second

func dial(t testing.TB, srv *Server) *client {
	t.Helper()
	addr := srv.Addrs()[0]
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if string(got[:n]) != want {
		c.t.Fatalf("heard %.200q (%v), want %.200q", got[:n], err, want)
	}
}

func (c *client) hearEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("heard %.200q (%v), want the end", rest, err)
	}
}

// stat asks for one statistic, memcached's or one of ours.
func (c *client) stat(name string) string {
	c.t.Helper()
	c.say("stats\r\nstats gomemd\r\n")
	value := ""
	for ends := 0; ; {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line == "END\r\n" {
			if ends++; ends == 2 {
				return value
			}
		}
		if words := strings.Fields(line); len(words) == 3 && words[1] == name {
			value = words[2]
		}
	}
}

// eventually waits for what other goroutines are about to do.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("in %v it did not happen that %s", patience, what)
}

// syncBuffer is a log that may be read while somebody writes to it.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
