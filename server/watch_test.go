package server

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
)

// hearLine is the next line without its end.
func (c *client) hearLine() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("heard %q: %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

// watch makes a client a watcher.
func watch(t testing.TB, srv *Server, what string) *client {
	t.Helper()
	c := dial(t, srv)
	c.say("watch" + what + "\r\n")
	c.hear("OK\r\n")
	return c
}

// dated is what every line begins with.
var dated = regexp.MustCompile(`^ts=\d+\.\d{6} gid=(\d+) `)

func TestWatchTellsInOrder(t *testing.T) {
	srv := startServer(t, Options{})
	first := watch(t, srv, " fetchers mutations deletions")
	second := watch(t, srv, "")
	c := dial(t, srv)
	c.say("set motto 0 100 3\r\nabc\r\nget motto nobody\r\ndelete motto\r\n")
	c.hear("STORED\r\nVALUE motto 0 3\r\nabc\r\nEND\r\nDELETED\r\n")
	fd := regexp.MustCompile(`cfd=\d+`)
	for _, w := range []struct {
		c    *client
		want []string
	}{
		{first, []string{
			"type=item_get key=motto status=not_found clsid=0 cfd=# size=0",
			"type=item_store key=motto status=stored cmd=set ttl=100 clsid=1 cfd=# size=3",
			"type=item_get key=motto status=found clsid=1 cfd=# size=3",
			"type=item_get key=nobody status=not_found clsid=0 cfd=# size=0",
			"type=item_get key=motto status=found clsid=1 cfd=# size=3",
			"type=deleted key=motto cmd=delete clsid=1 size=3",
		}},
		{second, []string{
			"type=item_get key=motto status=not_found clsid=0 cfd=# size=0",
			"type=item_get key=motto status=found clsid=1 cfd=# size=3",
			"type=item_get key=nobody status=not_found clsid=0 cfd=# size=0",
			"type=item_get key=motto status=found clsid=1 cfd=# size=3",
		}},
	} {
		last := 0
		for _, want := range w.want {
			line := w.c.hearLine()
			head := dated.FindStringSubmatch(line)
			if head == nil {
				t.Fatalf("%q", line)
			}
			if gid, _ := strconv.Atoi(head[1]); gid <= last {
				t.Errorf("gid %d after %d", gid, last)
			} else {
				last = gid
			}
			if got := fd.ReplaceAllString(dated.ReplaceAllString(line, ""), "cfd=#"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	if got := c.stat("log_watchers") + c.stat("log_watcher_sent") + c.stat("log_worker_written"); got != "2106" {
		t.Errorf("2 watchers, 10 lines sent of 6 written: %s", got)
	}
}

// The number in cfd= is the connection's in stats conns.
func TestWatchNamesTheConnection(t *testing.T) {
	srv := startServer(t, Options{})
	w := watch(t, srv, "")
	c := dial(t, srv)
	c.say("stats conns\r\n")
	fd := "" // the last is the youngest
	for line := ""; line != "END"; line = c.hearLine() {
		if strings.Contains(line, c.LocalAddr().String()) {
			fd, _, _ = strings.Cut(strings.TrimPrefix(line, "STAT "), ":")
		}
	}
	c.say("get k\r\n")
	if line := w.hearLine(); fd == "" || !strings.Contains(line, " cfd="+fd+" ") {
		t.Errorf("fd %q: %q", fd, line)
	}
}

// Who reads slowly is told what it missed, and nobody waits for it.
func TestSlowWatcherMissesLines(t *testing.T) {
	srv := startServer(t, Options{WatcherBuffer: 8 << 10, Loops: 2})
	w, quick := watch(t, srv, ""), watch(t, srv, "")
	heard := make(chan int)
	go func() {
		n := 0
		for {
			line, err := quick.r.ReadString('\n')
			if err != nil || strings.Contains(line, "key=last ") {
				heard <- n
				return
			}
			if _, missed, ok := strings.Cut(line, "skipped="); ok {
				m, _ := strconv.Atoi(strings.TrimSpace(missed))
				n += m
				continue
			}
			n++
		}
	}()
	c := dial(t, srv)
	const gets = 120_000 // 25 MB of lines: more than sockets hold
	pipeline := strings.Repeat("get "+strings.Repeat("k", 180)+"\r\n", 100)
	for range gets / 100 {
		c.say(pipeline)
		c.hear(strings.Repeat("END\r\n", 100))
	}
	eventually(t, "lines missed", func() bool { return c.stat("log_watcher_skipped") != "0" })
	lines, missed := 0, 0
	for missed == 0 {
		c.say("get more\r\n") // the news of what was missed comes before a line
		c.hear("END\r\n")
		for range 100 {
			line := w.hearLine()
			if n, ok := strings.CutPrefix(line, "skipped="); ok {
				missed, _ = strconv.Atoi(n)
				break
			}
			if !dated.MatchString(line) {
				t.Fatalf("%q", line)
			}
			lines++
		}
	}
	if next := w.hearLine(); !dated.MatchString(next) {
		t.Errorf("%d missed, then %q", missed, next)
	}
	if n := c.stat("log_watcher_sent"); n == "0" {
		t.Error("nothing sent")
	}
	// The quick one has heard, or been told that it missed, every single one.
	eventually(t, "the quick watcher to catch up", func() bool {
		c.say("get last\r\n")
		c.hear("END\r\n")
		select {
		case n := <-heard:
			if n < gets {
				t.Errorf("the quick watcher knows of %d lines of %d", n, gets)
			}
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
}

func TestWatchersComeAndGo(t *testing.T) {
	srv := startServer(t, Options{Loops: 3})
	c := dial(t, srv)
	var all []*client
	for range events.WatchersMax {
		all = append(all, watch(t, srv, " evictions fetchers"))
	}
	c.say("watch\r\nversion\r\n")
	c.hear("WATCHER_TOO_MANY log watcher limit reached\r\nVERSION ")
	c.hearLine()
	// What a watcher says is not heard, and when it stops talking it is gone.
	all[0].say("quit\r\nset k 0 0 1\r\nx\r\nget k\r\n")
	c.say("get other\r\n")
	c.hear("END\r\n")
	for _, w := range all[:2] {
		if line := w.hearLine(); !strings.Contains(line, "key=other") {
			t.Errorf("%q", line)
		}
	}
	if err := all[1].Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for _, w := range all[2:] {
		_ = w.Close()
	}
	eventually(t, "one watcher", func() bool { return c.stat("log_watchers") == "1" })
	all[1].hearEnd()
	_ = all[0].Close()
	eventually(t, "no watcher", func() bool { return c.stat("log_watchers") == "0" && srv.env.Hub.Wanted() == 0 })
	watch(t, srv, " fetchers") // there is room again
}

func TestWatchTellsOfConnections(t *testing.T) {
	clock := expiry.NewClock(1_700_000_000)
	path := filepath.Join(t.TempDir(), "socket")
	srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, UnixSocket: path, Clock: clock, IdleTimeout: 5 * time.Second})
	w := watch(t, srv, " connevents")
	expect := func(what, want string) {
		t.Helper()
		line := dated.ReplaceAllString(w.hearLine(), "")
		if !regexp.MustCompile("^" + want + "$").MatchString(line) {
			t.Fatalf("%s: %q, want %s", what, line, want)
		}
	}
	const tcp = `rip=127\.0\.0\.1 rport=\d+ transport=tcp`
	for what, end := range map[string]func(*client){
		"normal ": func(c *client) { c.say("quit\r\n") },
		"normal":  func(c *client) { _ = c.Close() },
		"error":   func(c *client) { c.say("GET / HTTP/1.1\r\n") },
		"error ":  func(c *client) { c.say(strings.Repeat("x", 3000)) },
		"error  ": func(c *client) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		"idle_timeout": func(*client) {
			clock.Set(clock.Now() + 10)
			srv.conns.Tick()
		},
	} {
		c := dial(t, srv)
		c.say("mn\r\n")
		c.hear("MN\r\n")
		expect(what, `type=conn_new `+tcp+` cfd=\d+`)
		end(c)
		expect(what, `type=conn_close `+tcp+` reason=`+strings.TrimSpace(what)+` cfd=\d+`)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	expect("unix", `type=conn_new rip=unix rport=0 transport=local cfd=\d+`)
	_ = c.Close()
	expect("unix", `type=conn_close rip=unix rport=0 transport=local reason=normal cfd=\d+`)
}

// Every item that had to go is told to who watches evictions, once.
func TestWatchTellsOfEvictions(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 8 << 20, WatcherBuffer: 4 << 20}) // all of them, if need be
	w := watch(t, srv, " evictions")
	c := dial(t, srv)
	value := strings.Repeat("v", 1000)
	told := map[string]bool{}
	line := regexp.MustCompile(`^ts=\d+\.\d{6} gid=\d+ type=eviction key=(n%2Ck\d+) fetch=no ttl=-1 la=\d+ clsid=1 size=1000$`)
	const items = 15_000
	for i := 0; i < items; i += 100 {
		var pipeline strings.Builder
		for j := range 100 {
			fmt.Fprintf(&pipeline, "set n,k%d 0 0 1000 noreply\r\n%s\r\n", i+j, value)
		}
		c.say(pipeline.String() + "mn\r\n")
		c.hear("MN\r\n")
	}
	n, _ := strconv.Atoi(c.stat("evictions"))
	for range n {
		l := w.hearLine()
		m := line.FindStringSubmatch(l)
		if m == nil || told[m[1]] {
			t.Fatalf("%q", l)
		}
		told[m[1]] = true
	}
	if kept, _ := strconv.Atoi(c.stat("curr_items")); n < items/4 || kept+n != items {
		t.Errorf("%d evicted, %d kept of %d", n, kept, items)
	}
	_ = w.Close()
	eventually(t, "nobody to watch", func() bool { return srv.env.Hub.Wanted() == 0 })
}

func TestWatchNotAllowed(t *testing.T) {
	srv := startServer(t, Options{DisableWatch: true})
	c := dial(t, srv)
	c.say("watch\r\nwatch nonsense\r\nversion\r\n")
	c.hear("CLIENT_ERROR watch commands not allowed\r\nCLIENT_ERROR watch commands not allowed\r\nVERSION")
}

// A server can be shut down while a watcher does not read.
func TestShutdownDoesNotWaitForWatchers(t *testing.T) {
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, MemoryLimit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, srv, "")
	c := dial(t, srv)
	for range 1000 {
		c.say(strings.Repeat("get "+strings.Repeat("k", 200)+"\r\n", 100))
		c.hear(strings.Repeat("END\r\n", 100))
	}
	start := time.Now()
	if err := srv.Shutdown(context.Background()); err != nil || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
