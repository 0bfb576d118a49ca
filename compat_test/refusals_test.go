package compat_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// ejecting is a pool that drops a server after one failure and does not try it again before the
// test is over: so whatever goes wrong between proxy and server is seen. All clients share one
// connection to each server, and an answer too many, too few or too early goes to somebody else.
const ejecting = "  auto_eject_hosts: true\n  server_failure_limit: 1\n  server_retry_timeout: 600000\n"

// refusals are stores that a server with -I 1m refuses, block and all. Those that nutcracker
// refuses by itself, and closes the client, are here as well: the servers must not even notice.
//
// nutcracker keeps a command whole before it passes it on, in as many mbufs as it takes; it sets no
// limit to a block. (With 1.6.45 behind it 100 MB were refused like 2 MB.)
var refusals = []struct {
	name, command string
	block         int
	want          string // "" if nutcracker closes
}{
	{"1 MiB", "set %s 0 0 1048576", 1 << 20, tooLarge},
	{"2 MB", "set %s 0 0 2000000", 2_000_000, tooLarge},
	{"5 MB", "set %s 0 0 5000000", 5_000_000, tooLarge},
	{"30 MB", "set %s 0 0 30000000", 30_000_000, tooLarge},
	{"100 MB", "set %s 0 0 100000000", 100_000_000, tooLarge},
	{"append 2 MB", "append %s 0 0 2000000", 2_000_000, tooLarge},
	{"cas 2 MB", "cas %s 0 0 2000000 77", 2_000_000, tooLarge},
	{"exptime", "set %s 0 99999999999999999999 5", 5, "CLIENT_ERROR bad command line format"},
	{"a key too long", "set %s" + strings.Repeat("k", 251) + " 0 0 5", 5, ""},
	{"flags that are no number", "set %s abc 0 5", 5, ""},
	{"flags below 0", "set %s -1 0 5", 5, ""},
	{"a block too long", "set %s 0 0 3", 5, ""},
}

const tooLarge = "SERVER_ERROR object too large for cache"

func TestProxyRefusals(t *testing.T) {
	tool(t, "nutcracker", "nutcracker")
	one, two := startServer(t, []string{"-m", "64"}), startServer(t, []string{"-m", "64"})
	p := startProxy(t, ejecting, one.addr, two.addr)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for i := range 4 {
		others.Go(func() { p.bystander(t, i, stop) })
	}
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			for i := range 4 { // keys, of both servers
				p.refused(t, fmt.Sprint("big", i), r.command, r.block, r.want)
			}
			p.untouched(t)
		})
	}
	close(stop)
	others.Wait()
	p.untouched(t)
}

// refused sends a command with its block and, without waiting, a few others. Each has its answer.
func (p proxy) refused(t *testing.T, key, command string, block int, want string) {
	t.Helper()
	conn, r := p.dial(t)
	defer conn.Close()
	mine := "mine-" + key
	say(t, conn, r, "set "+mine+" 7 0 5\r\nhello\r\n", "STORED")
	go func() { // the answer may come before the block has gone
		text := fmt.Sprintf(command+"\r\n%s\r\nget %s\r\ndelete %s\r\n",
			key, strings.Repeat("v", block), mine, mine)
		_, _ = conn.Write([]byte(text)) // who does not take it does not answer it
	}()
	if want == "" {
		if line, err := r.ReadString('\n'); err == nil {
			t.Errorf("%s: %.80q, want an end", key, line)
		}
		return
	}
	for _, want := range []string{want, "VALUE " + mine + " 7 5", "hello", "END", "DELETED"} {
		line, err := r.ReadString('\n')
		if err != nil || line != want+"\r\n" {
			t.Errorf("%s: %.80q, %v, want %q", key, line, err, want)
			return
		}
	}
}

func (p proxy) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	must(t, err)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn, bufio.NewReader(conn)
}

func say(t *testing.T, conn net.Conn, r *bufio.Reader, text, want string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	must(t, err)
	if line, err := r.ReadString('\n'); err != nil || line != want+"\r\n" {
		t.Fatalf("%.40q: %.80q, %v, want %q", text, line, err, want)
	}
}

// bystander sets and gets its own keys, small ones and one of 300 kB, and nothing must be amiss.
func (p proxy) bystander(t *testing.T, me int, stop chan struct{}) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for n := 0; ; n++ {
		select {
		case <-stop:
			if n < 10 {
				t.Errorf("bystander %d: only %d rounds", me, n)
			}
			return
		case <-time.After(2 * time.Millisecond):
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		key, size := fmt.Sprintf("by%d-%d", me, n%50), 1000
		if n%50 == 0 {
			size = 300_000
		}
		value := strings.Repeat(fmt.Sprintf("%d %d %d.", me, n, size), size)[:size]
		_, err := fmt.Fprintf(conn, "set %s 0 0 %d\r\n%s\r\nget %s\r\n", key, size, value, key)
		head := fmt.Sprintf("VALUE %s 0 %d", key, size)
		for _, want := range []string{"STORED", head, value, "END"} {
			var line string
			if err == nil {
				line, err = r.ReadString('\n')
			}
			if err != nil || line != want+"\r\n" {
				t.Errorf("bystander %d, round %d: %.80q, %v, want %.80q", me, n, line, err, want)
				return
			}
		}
	}
}

// untouched wants that the proxy had no reason to complain of a server.
func (p proxy) untouched(t *testing.T) {
	t.Helper()
	var stats struct {
		Pool map[string]any `json:"pool"`
	}
	must(t, json.Unmarshal([]byte(readAll(p.statsAddr)), &stats))
	servers := 0
	for name, value := range stats.Pool {
		server, isServer := value.(map[string]any)
		if !isServer {
			if (name == "server_ejects" || name == "forward_error") && value != 0.0 {
				t.Errorf("%s: %v", name, value)
			}
			continue
		}
		servers++
		for _, count := range []string{"server_eof", "server_err", "server_timedout"} {
			if server[count] != 0.0 {
				t.Errorf("%s: %s: %v", name, count, server[count])
			}
		}
	}
	if servers != 2 {
		t.Errorf("statistics of %d servers", servers)
	}
}
