package compat_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/server"
)

// A served gomemd runs in this process, for clients that speak for themselves. Its time is the test's.
type served struct {
	*server.Server
	addr  string
	clock *expiry.Clock
	log   *lockedBuffer
}

// serve starts a gomemd until the test ends.
func serve(t *testing.T) *served {
	t.Helper()
	s := &served{clock: expiry.NewClock(time.Now().Unix()), log: new(lockedBuffer)}
	var err error
	s.Server, err = server.Start(server.Options{
		Listen: []string{"127.0.0.1:0"}, MemoryLimit: 64 << 20, Clock: s.clock, Verbosity: 1, Log: s.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	s.addr = s.Addrs()[0].String()
	return s
}

// pass lets seconds go by.
func (s *served) pass(seconds int) {
	s.clock.Set(s.clock.Now() + expiry.Instant(seconds))
	s.Sweep()
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// leaveOut skips a test because of what this machine lacks. CI lacks nothing.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("would be skipped: %s", why)
	}
	t.Skip(why)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantValue(t *testing.T, c *memcache.Client, key, want string) *memcache.Item {
	t.Helper()
	item, err := c.Get(key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if string(item.Value) != want {
		t.Fatalf("get %s: %q, want %q", key, item.Value, want)
	}
	return item
}

func TestClientGomemcacheStores(t *testing.T) {
	c := memcache.New(serve(t).addr)
	must(t, c.Ping())
	_, err := c.Get("foo")
	wantError(t, "get of nothing", err, memcache.ErrCacheMiss)

	must(t, c.Set(&memcache.Item{Key: "foo", Value: []byte("bar"), Flags: 123}))
	if it := wantValue(t, c, "foo", "bar"); it.Flags != 123 {
		t.Errorf("flags %d, want 123", it.Flags)
	}
	wantError(t, "add of something", c.Add(&memcache.Item{Key: "foo", Value: []byte("x")}), memcache.ErrNotStored)
	wantError(t, "replace of nothing", c.Replace(&memcache.Item{Key: "baz", Value: []byte("x")}), memcache.ErrNotStored)
	wantError(t, "append to nothing", c.Append(&memcache.Item{Key: "baz", Value: []byte("x")}), memcache.ErrNotStored)
	wantError(t, "prepend to nothing", c.Prepend(&memcache.Item{Key: "baz", Value: []byte("x")}), memcache.ErrNotStored)

	must(t, c.Add(&memcache.Item{Key: "baz", Value: []byte("qux")}))
	must(t, c.Replace(&memcache.Item{Key: "foo", Value: []byte("b")}))
	must(t, c.Append(&memcache.Item{Key: "foo", Value: []byte("ar\r\n")}))
	must(t, c.Prepend(&memcache.Item{Key: "foo", Value: []byte("\x00")}))
	wantValue(t, c, "foo", "\x00bar\r\n")

	must(t, c.Delete("foo"))
	wantError(t, "delete of nothing", c.Delete("foo"), memcache.ErrCacheMiss)
	_, err = c.Get("foo")
	wantError(t, "get after delete", err, memcache.ErrCacheMiss)

	must(t, c.FlushAll())
	_, err = c.Get("baz")
	wantError(t, "get after flush_all", err, memcache.ErrCacheMiss)
}

func TestClientGomemcacheCompareAndSwap(t *testing.T) {
	c := memcache.New(serve(t).addr)
	must(t, c.Set(&memcache.Item{Key: "motto", Value: []byte("carpe diem!")}))
	alice, err := c.Get("motto")
	must(t, err)
	bob, err := c.Get("motto")
	must(t, err)
	alice.Value, bob.Value = []byte("ave"), []byte("vale")
	must(t, c.CompareAndSwap(alice))
	wantError(t, "the second to come", c.CompareAndSwap(bob), memcache.ErrCASConflict)
	wantValue(t, c, "motto", "ave")
	must(t, c.Delete("motto"))
	wantError(t, "cas of nothing", c.CompareAndSwap(bob), memcache.ErrCacheMiss)
}

func TestClientGomemcacheCounts(t *testing.T) {
	c := memcache.New(serve(t).addr)
	_, err := c.Increment("n", 1)
	wantError(t, "incr of nothing", err, memcache.ErrCacheMiss)
	must(t, c.Set(&memcache.Item{Key: "n", Value: []byte("35")}))
	for _, tc := range []struct {
		say   func(string, uint64) (uint64, error)
		delta uint64
		want  uint64
	}{
		{c.Increment, 7, 42},
		{c.Decrement, 2, 40},
		{c.Decrement, 1 << 63, 0},           // no further than 0
		{c.Increment, 1<<64 - 1, 1<<64 - 1}, // the largest
		{c.Increment, 9, 8},                 // and over it
	} {
		if n, err := tc.say("n", tc.delta); err != nil || n != tc.want {
			t.Errorf("%d, %v, want %d", n, err, tc.want)
		}
	}
	must(t, c.Set(&memcache.Item{Key: "word", Value: []byte("x")}))
	if _, err := c.Increment("word", 1); err == nil || !strings.Contains(err.Error(), "non-numeric") {
		t.Errorf("incr of a word: %v", err)
	}
}

func TestClientGomemcacheManyKeys(t *testing.T) {
	c := memcache.New(serve(t).addr)
	var keys []string
	for i := range 1000 {
		key := fmt.Sprintf("key%d", i)
		keys = append(keys, key)
		if i%2 == 0 {
			must(t, c.Set(&memcache.Item{Key: key, Value: []byte(key), Flags: uint32(i)}))
		}
	}
	items, err := c.GetMulti(keys)
	must(t, err)
	if len(items) != 500 {
		t.Errorf("%d items, want 500", len(items))
	}
	for key, item := range items {
		if string(item.Value) != key {
			t.Errorf("%s has %q", key, item.Value)
		}
	}
}

func TestClientGomemcacheSizes(t *testing.T) {
	c := memcache.New(serve(t).addr)
	const itemMax = 1<<20 - 60 // of a key of one letter: memcached counts 48 + 2 + 8 + 2 beside the value
	random := make([]byte, itemMax)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	for _, n := range []int{0, 1, 1 << 10, 64 << 10, 500_000, itemMax} {
		must(t, c.Set(&memcache.Item{Key: "k", Value: random[:n]}))
		wantValue(t, c, "k", string(random[:n]))
	}
	// Too large, and the old value is gone with it: to serve it would be to serve stale data.
	if err := c.Set(&memcache.Item{Key: "k", Value: append(random, 'x')}); err == nil {
		t.Error("a value larger than -I was stored")
	}
	_, err := c.Get("k")
	wantError(t, "get after too large a set", err, memcache.ErrCacheMiss)
}

func TestClientGomemcacheExpiry(t *testing.T) {
	s := serve(t)
	c := memcache.New(s.addr)
	must(t, c.Set(&memcache.Item{Key: "short", Value: []byte("s"), Expiration: 10}))
	must(t, c.Set(&memcache.Item{Key: "long", Value: []byte("l"), Expiration: 10}))
	must(t, c.Set(&memcache.Item{Key: "longer", Value: []byte("l"), Expiration: 10}))
	must(t, c.Set(&memcache.Item{Key: "date", Value: []byte("d"), Expiration: int32(time.Now().Unix() + 3000)}))
	must(t, c.Touch("long", 1000))
	wantError(t, "touch of nothing", c.Touch("nobody", 1000), memcache.ErrCacheMiss)
	if it, err := c.GetAndTouch("longer", 1000); err != nil || string(it.Value) != "l" {
		t.Errorf("gat: %v, %v", it, err)
	}
	_, err := c.GetAndTouch("nobody", 1000)
	wantError(t, "gat of nothing", err, memcache.ErrCacheMiss)

	s.pass(9)
	wantValue(t, c, "short", "s")
	s.pass(1)
	_, err = c.Get("short")
	wantError(t, "get when it is over", err, memcache.ErrCacheMiss)
	wantValue(t, c, "long", "l")
	wantValue(t, c, "longer", "l")
	s.pass(1000)
	for _, key := range []string{"long", "longer"} {
		_, err = c.Get(key)
		wantError(t, "get "+key+" when it is over", err, memcache.ErrCacheMiss)
	}
	wantValue(t, c, "date", "d")
	s.pass(2000)
	_, err = c.Get("date")
	wantError(t, "get after its date", err, memcache.ErrCacheMiss)
}

func TestClientGomemcacheInTLS(t *testing.T) {
	server, told := startForWay(t, "tls")
	pem, err := os.ReadFile(told[1])
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := memcache.New(server.addr)
	c.Timeout = 20 * time.Second
	c.MaxIdleConns = 4
	c.DialContext = (&tls.Dialer{Config: &tls.Config{RootCAs: pool}}).DialContext

	must(t, c.Ping())
	large := strings.Repeat("0123456789abcdef", 32_000)
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			var keys []string
			for i := range 100 {
				key, value := fmt.Sprintf("key%d-%d", caller, i), large[:i*i]
				keys = append(keys, key)
				if err := c.Set(&memcache.Item{Key: key, Value: []byte(value), Flags: uint32(i)}); err != nil {
					t.Errorf("set %s: %v", key, err)
				}
			}
			items, err := c.GetMulti(keys)
			if err != nil || len(items) != len(keys) {
				t.Errorf("%d of %d keys, %v", len(items), len(keys), err)
			}
			for i, key := range keys {
				if it := items[key]; it == nil || string(it.Value) != large[:i*i] || it.Flags != uint32(i) {
					t.Errorf("%s is not as it was set", key)
				}
			}
		})
	}
	callers.Wait()
	must(t, c.Set(&memcache.Item{Key: "large", Value: []byte(large)}))
	wantValue(t, c, "large", large)
	must(t, c.Delete("large"))
	wantError(t, "delete again", c.Delete("large"), memcache.ErrCacheMiss)

	// One that knows the authority and not the server's name, and one that does not speak TLS.
	c = memcache.New(server.addr)
	c.DialContext = (&tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "example.com"}}).DialContext
	var wrongName x509.HostnameError
	if err := c.Ping(); !errors.As(err, &wrongName) {
		t.Errorf("with another name: %v", err)
	}
	if err := memcache.New(server.addr).Ping(); err == nil {
		t.Error("it answers in plain text")
	}
}

// OpenSIPS and Kamailio say each of these and wait for the reply. OpenSIPS' libmemcached aborts the process over a
// reply it does not expect, so each byte counts.
func TestClientOpenSIPS(t *testing.T) {
	s := serve(t)
	conn, err := net.Dial("tcp", s.addr)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))

	passwd := "passwd_sip:alice;a=1?b=2&c=%20@example.com:5060;transport=tcp"
	key250 := strings.Repeat("k", 250)
	big := strings.Repeat("v", 1<<20)
	nearlyBig := strings.Repeat("v", 1_048_300)
	for _, turn := range [][2]string{
		// cache_store, cache_fetch, cache_remove
		{"set k1 0 0 5\r\nhello\r\n", "STORED\r\n"},
		{"set k2 0 1200 5\r\nhello\r\n", "STORED\r\n"},
		{"set k3 0 -1 5\r\nhello\r\n", "STORED\r\n"},
		{"get k3\r\n", "END\r\n"},
		{"set k4 0 2678400 5\r\nhello\r\n", "STORED\r\n"}, // 31 days are a date in 1970
		{"get k4\r\n", "END\r\n"},
		{"get k1\r\n", "VALUE k1 0 5\r\nhello\r\nEND\r\n"},
		{"get nokey\r\n", "END\r\n"},
		{"delete k2\r\n", "DELETED\r\n"},
		{"delete k2\r\n", "NOT_FOUND\r\n"},
		// cache_add, cache_sub
		{"incr c1 5\r\n", "NOT_FOUND\r\n"},
		{"set c1 0 0 1\r\n5\r\n", "STORED\r\n"},
		{"incr c2 5\r\n", "NOT_FOUND\r\n"},
		{"set c2 0 60 1\r\n5\r\n", "STORED\r\n"},
		{"incr c1 3\r\n", "8\r\n"},
		{"incr c1 4294967295\r\n", "4294967303\r\n"},
		{"incr c2 5\r\n", "10\r\n"},
		{"decr c2 3\r\n", "7\r\n"},
		{"decr c2 300\r\n", "0\r\n"},
		{"get c2\r\n", "VALUE c2 0 2\r\n0 \r\nEND\r\n"},
		{"decr c3 7\r\n", "NOT_FOUND\r\n"},
		{"set c3 0 0 1\r\n7\r\n", "STORED\r\n"},
		{"set c4 0 0 3\r\n100\r\n", "STORED\r\n"},
		{"decr c4 1\r\n", "99\r\n"},
		{"get c4\r\n", "VALUE c4 0 3\r\n99 \r\nEND\r\n"},
		{"incr c4 1\r\n", "100\r\n"},
		{"get c4\r\n", "VALUE c4 0 3\r\n100\r\nEND\r\n"},
		{"incr k1 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
		// odd values and keys
		{"set e1 0 0 0\r\n\r\n", "STORED\r\n"},
		{"get e1\r\n", "VALUE e1 0 0\r\n\r\nEND\r\n"},
		{"set " + passwd + " 0 1200 2\r\npw\r\n", "STORED\r\n"},
		{"get " + passwd + "\r\n", "VALUE " + passwd + " 0 2\r\npw\r\nEND\r\n"},
		{"set v1 0 0 25\r\nline1\r\nEND\r\nVALUE x 0 1\r\n\r\n", "STORED\r\n"},
		{"get v1\r\n", "VALUE v1 0 25\r\nline1\r\nEND\r\nVALUE x 0 1\r\n\r\nEND\r\n"},
		{"set v2 0 0 6\r\n\x00A\x00B\xff\x00\r\n", "STORED\r\n"},
		{"get v2\r\n", "VALUE v2 0 6\r\n\x00A\x00B\xff\x00\r\nEND\r\n"},
		{"set k\xc3\xa9\xf0\x9f\x98\x80\xff\x01 0 0 3\r\nbin\r\n", "STORED\r\n"},
		{"get k\xc3\xa9\xf0\x9f\x98\x80\xff\x01\r\n", "VALUE k\xc3\xa9\xf0\x9f\x98\x80\xff\x01 0 3\r\nbin\r\nEND\r\n"},
		{"set " + key250 + " 0 0 1\r\nx\r\n", "STORED\r\n"},
		{"get " + key250 + "\r\n", "VALUE " + key250 + " 0 1\r\nx\r\nEND\r\n"},
		{"set b1m 0 0 1\r\nx\r\n", "STORED\r\n"},
		{"set b1m 0 0 1048576\r\n" + big + "\r\n", "SERVER_ERROR object too large for cache\r\n"},
		{"get b1m\r\n", "END\r\n"},
		{"set b1m 0 0 1048300\r\n" + nearlyBig + "\r\n", "STORED\r\n"},
		{"get b1m\r\n", "VALUE b1m 0 1048300\r\n" + nearlyBig + "\r\nEND\r\n"},
		// keys with blanks, which OpenSIPS does not check
		{"get a b\r\n", "END\r\n"},
		{"get k1 c4\r\n", "VALUE k1 0 5\r\nhello\r\nVALUE c4 0 3\r\n100\r\nEND\r\n"},
		{"delete a b\r\n", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"},
		{"incr a b 1\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
		{"set a b 0 0 5\r\nhello\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n"}, // and it is out of step by one
		{"get x\r\nversion\r\n", "END\r\nVERSION 1.6.45-gomemd" + server.Version + "\r\n"},
		// Kamailio: flags are its types
		{"set ks 1 10 11\r\nhello world\r\n", "STORED\r\n"},
		{"get ks\r\n", "VALUE ks 1 11\r\nhello world\r\nEND\r\n"},
		{"set ki 0 10 1\r\n5\r\n", "STORED\r\n"},
		{"get ki\r\n", "VALUE ki 0 1\r\n5\r\nEND\r\n"},
		{"incr ki 3\r\n", "8\r\n"},
		{"add ks 1 10 1\r\nx\r\n", "NOT_STORED\r\n"},
		{"set ke 1 1200 11\r\nwith expiry\r\n", "STORED\r\n"},
		{"get ks\r\n", "VALUE ks 1 11\r\nhello world\r\nEND\r\n"}, // $mctex is a get and a set
		{"set ks 1 30 11\r\nhello world\r\n", "STORED\r\n"},
		{"set kd 0 10 3\r\n100\r\n", "STORED\r\n"},
		{"decr kd 1\r\n", "99\r\n"},
		{"get kd\r\n", "VALUE kd 0 3\r\n99 \r\nEND\r\n"}, // which it trims
		{"delete ks\r\n", "DELETED\r\n"},
		{"delete ks\r\n", "NOT_FOUND\r\n"},
		// Once more out of step: five bytes come where nine were promised. The server waits for the other four.
		{"set a 5 0 9 5\r\nhello\r\n" + "..\r\n", "STORED\r\n"},
		{"get a\r\n", "VALUE a 5 9\r\nhello\r\n..\r\nEND\r\n"},
	} {
		say, want := turn[0], turn[1]
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(want))
		if n, err := io.ReadFull(conn, heard); err != nil {
			t.Fatalf("%.60q: heard %.200q, then %v", say, heard[:n], err)
		}
		if string(heard) != want {
			t.Fatalf("%.60q: heard %.200q, want %.200q", say, heard, want)
		}
	}
}

// OpenSIPS leaves with a bare RST, because of SO_LINGER 0. That is how it says goodbye, and nothing to log.
func TestClientLeavesWithReset(t *testing.T) {
	s := serve(t)
	watcher, err := net.Dial("tcp", s.addr)
	must(t, err)
	defer watcher.Close()
	_ = watcher.SetDeadline(time.Now().Add(30 * time.Second))

	for i := range 50 {
		conn, err := net.Dial("tcp", s.addr)
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = io.WriteString(conn, "set k 0 0 1\r\nx\r\n")
		must(t, err)
		_, err = io.ReadFull(conn, make([]byte, len("STORED\r\n")))
		must(t, err)
		if i%2 == 0 { // in the middle of the next value
			_, err = io.WriteString(conn, "set k 0 0 5\r\nhel")
			must(t, err)
		}
		must(t, conn.(*net.TCPConn).SetLinger(0))
		must(t, conn.Close())
	}

	r := bufio.NewReader(watcher)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := stat(t, watcher, r, "curr_connections")
		if left == "1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s connections are counted, one is there", left)
		}
	}
	_, err = io.WriteString(watcher, "get k\r\n")
	must(t, err)
	for _, want := range []string{"VALUE k 0 1\r\n", "x\r\n", "END\r\n"} {
		if line, err := r.ReadString('\n'); line != want {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	if said := s.log.String(); said != "" {
		t.Errorf("logged at -v: %s", said)
	}
}

// stat asks for one of the numbers in stats.
func stat(t *testing.T, conn net.Conn, r *bufio.Reader, name string) (value string) {
	t.Helper()
	_, err := io.WriteString(conn, "stats\r\n")
	must(t, err)
	for {
		line, err := r.ReadString('\n')
		must(t, err)
		if line == "END\r\n" {
			return value
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "STAT "+name+" "); ok {
			value = v
		}
	}
}
