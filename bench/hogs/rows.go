package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A row is what is asked for beside the polite client.
type row struct {
	name string
	args string
	hogs int // how many at once; 0: one

	value string // what k has
	many  bool   // there are 2 million items of 100 bytes

	// One of these: a command that is sent again and again without waiting for an answer, or a line
	// that is sent on a connection of its own and read to END, one after the other.
	pipeline string
	line     func() string
	half     bool // nothing more will be sent behind the line
}

const (
	oneGiB = "-m 1024"
	small  = "-m 64"
)

var rows = []row{
	{name: "nothing", args: oneGiB},
	{name: "incr of a number of 1 MB", args: oneGiB, value: digits(1_000_000), pipeline: "incr k 1\r\n"},
	{name: "incr of a number of 400 kB", args: oneGiB, value: digits(400_000), pipeline: "incr k 1\r\n"},
	{name: "append to 900 kB", args: oneGiB, value: digits(900_000), pipeline: "append k 0 0 1\r\n1\r\n"},
	{name: "prepend to 300 kB", args: oneGiB, value: digits(300_000), pipeline: "prepend k 0 0 1\r\n1\r\n"},
	{name: "flush_all, 2 M items", args: oneGiB, many: true, pipeline: "flush_all\r\n"},
	{name: "set and flush_all", args: oneGiB, many: true, pipeline: "set k 0 0 1 noreply\r\n1\r\nflush_all\r\n"},
	{name: "stats", args: oneGiB, pipeline: "stats\r\n"},
	{name: "stats gomemd", args: oneGiB, pipeline: "stats gomemd\r\n"},
	{name: "stats items, slabs, settings, conns", args: oneGiB, value: "1",
		pipeline: "stats items\r\nstats slabs\r\nstats settings\r\nstats conns\r\n"},
	{name: "cache_memlimit 900 and 1000 in turn, 2 M items", args: oneGiB, many: true,
		pipeline: "cache_memlimit 900\r\ncache_memlimit 1000\r\n"},
	{name: "get", args: oneGiB, value: "1", pipeline: "get k\r\n"},
	{name: "get of 100 bytes, many", args: oneGiB, many: true, pipeline: "get key0000001\r\nget key1000001\r\n"},
	{name: "set noreply", args: oneGiB, pipeline: "set k 0 0 1 noreply\r\n1\r\n"},
	{name: "mg that misses, quiet", args: oneGiB, pipeline: "mg zz q\r\n"},
	{name: "what is no command", args: oneGiB, pipeline: "zz\r\n"},
	{name: "4 M keys of one letter, misses", args: small, line: keys(" a", 4_000_000)},
	{name: "4 M keys of one letter, half-closed", args: small, line: keys(" a", 4_000_000), half: true},
	{name: "35,000 keys of 239 letters, misses", args: small, line: keys(" "+strings.Repeat("q", 239), 34_900)},
	{name: "10 × 500,000 keys of one letter, half-closed", args: small, line: keys(" a", 500_000), half: true, hogs: 10},
}

func digits(n int) string { return strings.Repeat("0", n-1) + "1" }

func keys(key string, n int) func() string {
	return func() string { return "get" + strings.Repeat(key, n) + "\r\n" }
}

// prepare stores what the row needs.
func (r *row) prepare(s *pair.Server, quick bool) error {
	c, err := field.Dial(s.Addr(), field.Link{Patience: time.Minute})
	if err != nil {
		return err
	}
	defer c.Close()
	if r.value != "" {
		_ = c.Send("set k 0 0 %d\r\n%s\r\n", len(r.value), r.value)
		if err := c.Expect("STORED"); err != nil {
			return err
		}
	}
	if !r.many {
		return nil
	}
	items := 2_000_000
	if quick {
		items /= 10
	}
	value := strings.Repeat("x", 100)
	for from := 0; from < items; from += 1000 {
		var batch strings.Builder
		for i := from; i < from+1000; i++ {
			fmt.Fprintf(&batch, "set key%07d 0 0 100 noreply\r\n%s\r\n", i, value)
		}
		_ = c.Send("%s", batch.String())
	}
	_ = c.Send("mn\r\n")
	return c.Expect("MN")
}

// hog does what the row says until it is ended.
func (r *row) hog(addr string, all *hogs) {
	switch {
	case r.pipeline != "":
		r.pipelines(addr, all)
	case r.line != nil:
		r.lines(addr, all)
	}
}

// pipelines sends, and drops what comes.
func (r *row) pipelines(addr string, all *hogs) {
	c := all.dial(addr)
	if c == nil {
		return
	}
	defer all.close(c)
	all.Go(func() {
		for {
			if _, err := c.Skip(64 << 10); err != nil {
				return
			}
		}
	})
	chunk := []byte(strings.Repeat(r.pipeline, (64<<10)/len(r.pipeline)))
	for {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// lines sends one, reads to its end, and begins anew.
func (r *row) lines(addr string, all *hogs) {
	line := []byte(r.line())
	for !all.ended() {
		c := all.dial(addr)
		if c == nil {
			return
		}
		if _, err := c.Write(line); err == nil {
			if r.half {
				_ = c.CloseWrite()
			}
			_ = c.Expect("END") // closed when it is over
		}
		all.close(c)
	}
}
