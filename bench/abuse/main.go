// Command abuse lets clients loose on a server that do everything wrong, for a minute, and looks at two things: how much memory
// the server needs for them, and what a well-behaved client beside them sees.
//
//	go run ./bench/abuse
//	go run ./bench/abuse -elsewhere             the crowds are at another server: what the machine itself adds
//	go run ./bench/abuse -memcached memcached   a memcached in gomemd's place
//
// The server has -m 64 -c 1024. The well-behaved client sends 1,000 requests a second over ten connections, one set to nine gets, whose
// values are compared; its time counts from when a request was due. It is watched alone for ten seconds, and then beside all of
// crowds at once, who are more than -c. Who of these is closed, or refused, comes again, after ten seconds or at once.
//
// What is wanted: less than -m and 48 MB resident, at any time; no error for the well-behaved client, and a p99 within three times of
// what it was alone.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	memory   = 64 << 20
	conns    = 1024
	overhead = 48 << 20
	slower   = 3 // times its p99
	quiet    = 10 * time.Second
	wellBred = "-mix get:9,set:1 -conns 10 -rate 1000 -keys 1000 -size 1000 -prefix good: -verify 1"
)

// A crowd is so many clients of one kind. What one does on its connection ends when the connection is closed, or the run is over.
type crowd struct {
	name  string
	n     int
	again time.Duration // after which one who is closed or refused comes again
	does  func(c *client)
	link  field.Link // for who reads slowly: little is under way
}

var crowds = []crowd{
	// Whether they are closed they do not learn, for what was sent to them before is in the way. So they lose patience.
	{name: "ask for 100 × 100 kB and never read", n: 300, again: 10 * time.Second, does: func(c *client) {
		if c.say(multiget) {
			c.stand(*patience)
		}
	}},
	{name: "read 1 KiB a second of 1 MB", n: 100, again: 10 * time.Second, does: func(c *client) {
		for open := c.say([]byte("get megabyte\r\n")); open && c.rest(time.Second); {
			open = c.take(1 << 10)
		}
	}, link: field.Slow(1 << 10)},
	{name: "send half of 1 MB and stop", n: 300, again: 10 * time.Second, does: func(c *client) {
		if c.say(halfSet) {
			c.stand(time.Hour)
		}
	}},
	{name: "send a get whose line never ends", n: 40, again: 10 * time.Second, does: func(c *client) {
		for c.say([]byte("get ")); c.say(keys) && c.rest(10*time.Millisecond); {
		}
	}},
	{name: "send a byte every half a second", n: 60, again: 10 * time.Second, does: func(c *client) {
		for i := 0; c.say([]byte("set slow 0 0 1000\r\n")[i%19:][:1]) && c.rest(500*time.Millisecond); i++ {
		}
	}},
	// 10,000 in a minute, if there is room for as many.
	{name: "send one byte and leave with a reset", n: 290, again: time.Second, does: func(c *client) {
		if c.say([]byte("g")) && c.rest(700*time.Millisecond) {
			_ = c.conn.(*net.TCPConn).SetLinger(0)
		}
	}},
	// 2,000 more than there are places left by the first two.
	{name: "connect and say nothing", n: 2400, again: 10 * time.Second, does: func(c *client) {
		c.stand(time.Hour)
	}},
}

var only = flag.String("only", "", "a regular expression: only crowds whose names it matches")

var patience = flag.Duration("patience", 20*time.Second, "of those who never read, before they try anew; the shorter, the more the server sends in vain")

var (
	multiget = []byte("get" + strings.Repeat(" large", 100) + "\r\n")
	halfSet  = append([]byte("set half 0 0 1000000\r\n"), bytes.Repeat([]byte("v"), 500_000)...)
	keys     = bytes.Repeat([]byte("key "), 4<<10)
)

// client is one connection of an abuser.
type client struct {
	conn net.Conn
	stop chan struct{}
}

// say is false when the connection is closed, or the server takes nothing any more and the run is over.
func (c *client) say(text []byte) bool {
	for len(text) > 0 {
		_ = c.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.conn.Write(text)
		text = text[n:]
		if timeout, ok := err.(net.Error); err != nil && (!ok || !timeout.Timeout() || !c.rest(0)) {
			return false
		}
	}
	return true
}

// take reads so much, and is false when the connection is closed. Nothing to read is no end.
func (c *client) take(n int) bool {
	_ = c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.conn.Read(make([]byte, n))
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// rest is false when the run is over.
func (c *client) rest(d time.Duration) bool {
	select {
	case <-c.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// stand waits until the connection is closed from the other side, or for so long. It reads nothing: the system knows.
func (c *client) stand(patience time.Duration) {
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	end := time.Now().Add(patience)
	for open := err == nil; open && c.rest(200*time.Millisecond) && time.Now().Before(end); {
		err = raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			open = err == nil && info.State == unix.BPF_TCP_ESTABLISHED
		})
		open = open && err == nil
	}
}

// humble gives all threads of this process a low priority: abusers elsewhere would not take the well-behaved client's processor
// away, and it is the server that is measured.
func humble() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 10)
		}
	}
}

// crowdsAt lets all of them loose until stop is closed. came counts their connections.
func crowdsAt(addr string, stop chan struct{}, came []atomic.Int64) *sync.WaitGroup {
	var all sync.WaitGroup
	for i, crowd := range crowds {
		if !regexp.MustCompile(*only).MatchString(crowd.name) {
			continue
		}
		for n := range crowd.n {
			all.Go(func() {
				c := &client{stop: stop}
				// Not all at the same instant: half a second for each crowd.
				for c.rest(time.Duration(n) * 500 * time.Millisecond / time.Duration(crowd.n)) {
					for again := true; again; again = c.rest(crowd.again) {
						dialled, err := field.Dial(addr, crowd.link)
						if err != nil {
							continue
						}
						c.conn = dialled.Conn
						came[i].Add(1)
						crowd.does(c)
						_ = c.conn.Close()
					}
				}
			})
		}
	}
	return &all
}

func main() {
	load.Child()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "abuse:", err)
		os.Exit(1)
	}
}

func run() error {
	path := flag.String("gomemd", "", "the program (default: built from ./cmd/gomemd)")
	peer := flag.String("memcached", "", "another program, to be watched in its place")
	elsewhere := flag.Bool("elsewhere", false, "let the crowds loose on another server")
	length := flag.Duration("time", time.Minute, "how long")
	flag.Parse()
	runtime.LockOSThread() // the server dies with the thread that started it
	if err := load.AllowFiles(8 * conns); err != nil {
		return err
	}
	kind := pair.Kind{Name: "memcached", Path: *peer}
	if *peer == "" {
		kind = pair.Kind{Name: "gomemd", Path: *path}
	}
	temp, err := os.MkdirTemp("", "abuse")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := kind.Build(temp); err != nil {
		return err
	}
	var servers [2]*pair.Server
	for i := range servers {
		srv, err := kind.Start("-m", fmt.Sprint(memory>>20), "-c", fmt.Sprint(conns))
		if err != nil {
			return err
		}
		defer srv.Stop()
		for key, size := range map[string]int{"large": 100_000, "megabyte": 1_000_000} {
			text := fmt.Sprintf("set %s 0 0 %d\r\n%s", key, size, strings.Repeat("v", size))
			if line, err := srv.Ask(text); line != "STORED" {
				return fmt.Errorf("set: %q, %v", line, err)
			}
		}
		servers[i] = srv
	}
	srv, abused := servers[0], servers[0]
	if *elsewhere {
		abused = servers[1]
	}
	alone, err := load.RunSelf(srv.Addr(), wellBred, "-warmup", "2s", "-time", quiet.String())
	if err != nil {
		return err
	}
	beside, came, err := abuse(srv, abused, *length)
	if err != nil {
		return err
	}
	return report(kind.Name, abused, alone, beside, came)
}

// abuse watches the well-behaved client while the crowds are there, after it has connected.
func abuse(srv, abused *pair.Server, length time.Duration) (beside load.Result, came []atomic.Int64, err error) {
	stop := make(chan struct{})
	came = make([]atomic.Int64, len(crowds))
	var all *sync.WaitGroup
	time.AfterFunc(time.Second, func() { // when the client has been started
		humble()
		all = crowdsAt(abused.Addr(), stop, came)
	})
	beside, err = load.RunSelf(srv.Addr(), wellBred, "-warmup", "2s", "-time", length.String())
	close(stop)
	all.Wait()
	return beside, came, err
}

func report(kind string, srv *pair.Server, alone, beside load.Result, came []atomic.Int64) error {
	use, err := srv.Usage()
	if err != nil {
		return err
	}
	stats, err := srv.Stats()
	if err != nil {
		return err
	}
	fmt.Printf("| they | at a time | connections in all |\n| --- | --: | --: |\n")
	for i, c := range crowds {
		fmt.Printf("| %s | %d | %d |\n", c.name, c.n, came[i].Load())
	}
	fmt.Printf("\n| the well-behaved client, µs | p50 | p99 | p99.9 | most | requests | errors |\n| --- | --: | --: | --: | --: | --: | --: |\n")
	for i, r := range []load.Result{alone, beside} {
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f | %d | %d |\n", []string{"alone", "beside them"}[i], r.P50, r.P99, r.P999, r.Max, r.Ops, r.Errors+r.Lost)
	}
	fmt.Printf("\nresident at most %.1f MiB, -m and %.1f\n", float64(use.Peak)/(1<<20), float64(use.Peak-memory)/(1<<20))
	fmt.Printf("rejected_connections %s\n", stats["rejected_connections"])
	ours := map[string]string{}
	if kind == "gomemd" {
		if ours, err = srv.StatsOf("gomemd"); err != nil {
			return err
		}
	}
	for _, name := range []string{"conn_budget_dropped", "conn_pins_dropped", "conn_panics"} {
		fmt.Printf("%s %s\n", name, ours[name])
	}
	switch {
	case use.Peak > memory+overhead:
		return fmt.Errorf("too much memory")
	case beside.Errors+beside.Lost > 0:
		return fmt.Errorf("the well-behaved client saw errors: %s", beside.FirstError)
	case beside.P99 > slower*alone.P99:
		return fmt.Errorf("p99 is %.1f times what it was alone", beside.P99/alone.P99)
	}
	return nil
}
