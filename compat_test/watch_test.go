package compat_test

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// watched is what a client does while others watch. What the two are known to tell otherwise is not among it.
var watched = strings.Join([]string{
	"get nobody", "set k 5 100 3\r\nabc", "get k", "gets k nobody k", "gat 100 k nobody",
	"add k 0 0 1\r\nx", "replace nobody 0 0 1\r\nx", "append k 0 0 2\r\nde", "append nobody 0 0 2\r\nde", "prepend k 0 0 2\r\nde",
	"cas k 0 0 2 1\r\nde", "cas nobody 0 0 2 1\r\nde",
	"set n 0 0 2\r\n10", "incr n 1", "incr n 989", "decr nobody 1", "incr k 1", "touch k 100", "touch nobody 30",
	"delete k", "delete nobody",
	"mg n v", "mg nobody v", "mg viv v N30", "mg n T40",
	"ms m 3\r\nabc", "ms m 3 ME\r\nabc", "ms m 3 MA\r\nabc", "ms m 3 MR\r\nabc",
	"ms nobody 3 MR\r\nabc", "ms m 3 C1\r\nabc", "ms nobody 3 C1\r\nabc", "ms YWJj 2 b\r\nxx", "mg YWJj b v",
	"ma n", "ma nobody", "ma n MD", "me n", "me nobody", "md nobody", "md m I", "md m",
	"set bad 0 0 3\r\nabcd", "add big 0 0 2000000\r\n" + strings.Repeat("x", 2_000_000),
	"set a%b+c\"~-_.(/\x01\xff 0 0 2\r\nab", "set e 0 0 0\r\n", "get e",
	"set " + strings.Repeat("#", 250) + " 0 0 1\r\nx",
	"set neg 0 -1 1\r\nx",
	"set large 0 0 200000\r\n" + strings.Repeat("x", 200_000), "append large 0 0 1\r\ny", "get large",
}, "\r\n")

// inessential is what may differ: times, numbers of lines and connections, slab classes.
var inessential = regexp.MustCompile(`^ts=\d+\.\d+ gid=\d+ | clsid=\d+| cfd=-?\d+`)

// nearly are seconds that have begun to pass.
var nearly = regexp.MustCompile(`ttl=(100|9\d)\b`)

// hear is what a watcher hears while this is said.
func (s *tcpServer) hear(t *testing.T, watch, said string) (lines []string) {
	t.Helper()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.addr)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
		return conn
	}
	watcher, client := dial(), dial()
	fmt.Fprint(watcher, watch+"\r\n")
	heard := bufio.NewScanner(watcher)
	heard.Scan()
	if heard.Text() != "OK" {
		t.Fatalf("%s: %s: %q", s.name, watch, heard.Text())
	}
	go func() { _, _ = bufio.NewReader(client).WriteTo(discard{}) }()
	_, err := fmt.Fprint(client, said+"\r\nset end 0 0 1\r\nx\r\n")
	must(t, err)
	for heard.Scan() {
		line := inessential.ReplaceAllString(heard.Text(), "")
		if strings.Contains(line, "key=end ") {
			return lines
		}
		if strings.Contains(line, "key=neg ") { // less than none, in 32 bits
			line = regexp.MustCompile(`ttl=4294\d+`).ReplaceAllString(line, "ttl=many")
		}
		lines = append(lines, nearly.ReplaceAllString(line, "ttl=100"))
	}
	t.Fatalf("%s: no end after %d lines: %v", s.name, len(lines), heard.Err())
	return nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// A watcher of gomemd hears what one of memcached's hears.
func TestWatchersHearTheSame(t *testing.T) {
	path := *oracle
	if path == "" {
		path = tool(t, "memcached", "memcached")
	}
	memcached := startOracle(t, path, nil)
	for _, watch := range []string{"watch", "watch fetchers mutations", "watch mutations deletions"} {
		if answer, err := memcached.ask(watch, ""); err != nil || answer[0] == "ERROR" {
			t.Logf("%s knows no %s", memcached.name, watch)
			continue
		}
		gomemd := startGomemd(t, nil)
		memcached.flush(t)
		time.Sleep(1100 * time.Millisecond) // flush_all takes what is stored in the same second, and the watcher that asked goes
		want := memcached.hear(t, watch, watched)
		got := gomemd.hear(t, watch, watched)
		for i := range max(len(want), len(got)) {
			w, g := "nothing", "nothing"
			if i < len(want) {
				w = want[i]
			}
			if i < len(got) {
				g = got[i]
			}
			if w != g {
				t.Errorf("%s, line %d:\n%s\n%s (%s)", watch, i, g, w, memcached.name)
				break
			}
		}
		t.Logf("%s: %d lines", watch, len(got))
	}
}
