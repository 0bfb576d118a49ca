package compat_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// startTwemproxy puts twemproxy, which Debian calls nutcracker, in front of servers until the test ends.
func startTwemproxy(t *testing.T, servers ...string) (addr string) {
	t.Helper()
	return startProxy(t, "", servers...).addr
}

// A proxy is a running nutcracker.
type proxy struct{ addr, statsAddr string }

// startProxy takes more lines for its pool.
func startProxy(t *testing.T, more string, servers ...string) proxy {
	t.Helper()
	nutcracker := tool(t, "nutcracker", "nutcracker")
	addr := freeAddr(t)
	statsAddr := freeAddr(t)
	_, statsPort, err := net.SplitHostPort(statsAddr)
	must(t, err)

	var conf strings.Builder
	fmt.Fprintf(&conf, "pool:\n  listen: %s\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 5000\n%s  servers:\n", addr, more)
	for i, server := range servers {
		fmt.Fprintf(&conf, "   - %s:1 server%d\n", server, i)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nutcracker.yml")
	must(t, os.WriteFile(file, []byte(conf.String()), 0o600))
	log := filepath.Join(dir, "log")
	child := exec.Command(nutcracker, "-c", file, "-o", log, "-p", filepath.Join(dir, "pid"),
		"-a", "127.0.0.1", "-s", statsPort)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})

	// It answers nothing about itself on its port, so whose port it is is asked where its statistics are. Those are
	// there a moment before the port is.
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(readAll(statsAddr), `"pool"`) && listens(addr) {
			return proxy{addr, statsAddr}
		}
	}
	said, _ := os.ReadFile(log)
	t.Fatalf("nutcracker does not start:\n%s", said)
	return proxy{}
}

// readAll is what somebody at addr says without being asked.
func readAll(addr string) string {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	said, _ := io.ReadAll(conn)
	return string(said)
}

func listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// freeAddr is one that nobody listens on at the moment. If somebody comes before nutcracker does, it will not start.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestProxyTwemproxy(t *testing.T) {
	one, two := serve(t), serve(t)
	c := memcache.New(startTwemproxy(t, one.addr, two.addr))
	c.Timeout = 20 * time.Second

	var keys []string
	for i := range 200 {
		key := fmt.Sprintf("key%d", i)
		keys = append(keys, key)
		must(t, c.Set(&memcache.Item{Key: key, Value: []byte(strconv.Itoa(i)), Flags: uint32(i)}))
	}
	items, err := c.GetMulti(keys)
	must(t, err)
	if len(items) != len(keys) {
		t.Errorf("%d of %d keys came back", len(items), len(keys))
	}
	for i, key := range keys {
		if item := items[key]; item == nil || string(item.Value) != strconv.Itoa(i) || item.Flags != uint32(i) {
			t.Errorf("%s: %+v", key, item)
		}
	}
	for i, key := range keys {
		if n, err := c.Increment(key, 1000); err != nil || n != uint64(i+1000) {
			t.Errorf("incr %s: %d, %v", key, n, err)
		}
		if n, err := c.Decrement(key, 999); err != nil || n != uint64(i+1) {
			t.Errorf("decr %s: %d, %v", key, n, err)
		}
		must(t, c.Delete(key))
		wantError(t, "delete again", c.Delete(key), memcache.ErrCacheMiss)
	}
	items, err = c.GetMulti(keys)
	must(t, err)
	if len(items) != 0 {
		t.Errorf("%d deleted keys came back", len(items))
	}

	// Both had their share, or this was no test of two.
	for i, s := range []*served{one, two} {
		conn, err := net.Dial("tcp", s.addr)
		must(t, err)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if n, _ := strconv.Atoi(stat(t, conn, bufio.NewReader(conn), "cmd_set")); n < 20 || n > 180 {
			t.Errorf("server %d had %d of 200 sets", i, n)
		}
	}
}
