package main

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// adminOf is where a process that was started with -v has its admin listener.
func (p *process) adminOf(t *testing.T) (addr string) {
	t.Helper()
	p.waitFor(t, "an admin listener", func() bool {
		found := regexp.MustCompile(`admin listener: http://(\S+)/\n`).FindStringSubmatch(p.said())
		if found != nil {
			addr = found[1]
		}
		return found != nil
	})
	return addr
}

// page asks for one of its pages.
func page(t *testing.T, addr, path string) (status int, text string) {
	t.Helper()
	reply, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// Whoever asks is told that a server which starts is alive but not ready. That it does so for as
// long as is wanted is seen by a second server on a memory file that the first one has.
func TestReadyFromTheEndOfTheStartToTheDrain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(memoryDir(t), "items")
	first := launch(t, with("-m", "16", "-e", file))
	p := prepare(t, gomemd(t), with("-m", "16", "-e", file, "-v", "--admin", "127.0.0.1:0", "--drain-timeout", "1m"))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	addr := p.adminOf(t)

	want := func(when string, status int, says string, code int) {
		t.Helper()
		p.waitFor(t, when+": "+says, func() bool {
			got, text := page(t, addr, "/readyz")
			return got == status && strings.HasPrefix(text, says)
		})
		if got, text := page(t, addr, "/healthz"); got != http.StatusOK {
			t.Errorf("%s: healthz: %d %s", when, got, text)
		}
		for _, args := range [][]string{{"--healthcheck", addr}, {"--healthcheck=" + addr}, {"--admin", addr, "--healthcheck"}} {
			if got, _, why := tryFor(t, 20*time.Second, gomemd(t), args...); got != code || code != 0 && !strings.Contains(why, says) {
				t.Errorf("%s: %q: exit %d, %s", when, args, got, why)
			}
		}
	}
	want("starting", http.StatusServiceUnavailable, "starting", 1)
	if _, text := page(t, addr, "/metrics"); !strings.Contains(text, "\nmemcached_up 0\n") {
		t.Errorf("starting: %s", text)
	}
	first.endsOn(t, syscall.SIGTERM)
	want("serving", http.StatusOK, "ok", 0)
	if _, text := page(t, addr, "/metrics"); !strings.Contains(text, "\nmemcached_up 1\n") {
		t.Errorf("serving: %s", text)
	}
	p.waitFor(t, "the port file", func() bool { return exists(p.path("ports")) })
	p.port = firstPort(t, p.path("ports"))
	c, err := net.Dial("tcp", p.tcp())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "set k 0 0 10\r\nhalf "); err != nil { // which holds up the drain
		t.Fatal(err)
	}
	p.waitFor(t, "the client", func() bool { return stat(t, "tcp", p.tcp(), "cmd_set") == "1" })
	if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	want("draining", http.StatusServiceUnavailable, "draining", 1)
	if _, err := io.WriteString(c, "value\r\n"); err != nil {
		t.Fatal(err)
	}
	p.ends(t)
}

func TestAdminIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	p := launch(t, with("-v"))
	if strings.Contains(p.said(), "admin") {
		t.Error(p.said())
	}
	code, _, why := tryFor(t, 20*time.Second, gomemd(t), "--healthcheck", p.tcp()) // memcached's port, where nobody speaks HTTP
	if code != 1 || !strings.Contains(why, "is not ready") {
		t.Errorf("exit %d, %s", code, why)
	}
}

func TestAdminRefusals(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--admin", addr}, exOSErr, "failed to listen on admin address " + addr + ": Address already in use\n"},
		{[]string{"--admin", "9150"}, exUsage, "ERROR: Invalid admin address 9150: a host and a port, like 127.0.0.1:9150 or 0.0.0.0:9150.\n"},
		{[]string{"--admin", "192.0.2.1:0"}, exOSErr, "failed to listen on admin address 192.0.2.1:0: Cannot assign requested address\n"},
	} {
		code, _, why := tryFor(t, 20*time.Second, gomemd(t), asUser(append([]string{"-p", "-1"}, tt.args...))...)
		if code != tt.code || why != tt.says {
			t.Errorf("%q: exit %d, %q", tt.args, code, why)
		}
	}
}
