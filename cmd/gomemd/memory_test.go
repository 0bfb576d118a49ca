package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMemoryTotalIsSharedOut(t *testing.T) {
	const mb = 1 << 20
	for _, row := range []struct {
		args                string
		items, conns, limit int64 // MiB; limit: of cache_memlimit
	}{
		{"--memory-total 1g", 918, 16, 918},
		{"--memory-total=128m", 78, 16, 78},
		{"--memory-total 64", 30, 6, 30},
		{"--memory-total 64 -c 10000", 16, 3, 16},
		{"--memory-total 128 -m 64", 64, 16, 78},
		{"-m 64 --memory-total 100", 64, 6, 64},
		{"--memory-total 1g -Z -o ssl_chain_cert=x,ssl_key=x", 890, 32, 890},
		{"-m 4096 --memory-total 5g", 4096, 16, 5014}, // the sockets have no more than 64 MB
	} {
		c, err := parse("gomemd", strings.Fields(row.args))
		if err != nil {
			t.Errorf("%s: %v", row.args, err)
			continue
		}
		o := c.opts
		if o.MemoryLimit/mb != row.items || o.ConnMemory/mb != row.conns || o.MemoryLimitMax/mb != row.limit {
			t.Errorf("%s: items %d, connections %d, at most %d; want %d, %d, %d", row.args, o.MemoryLimit/mb, o.ConnMemory/mb, o.MemoryLimitMax/mb,
				row.items, row.conns, row.limit)
		}
	}
	// The total that a refusal names is enough, and one megabyte less is not.
	for _, row := range []struct{ args, least string }{{"", "27m"}, {"-m 64 ", "94m"}, {"-m 4096 ", "4184m"}} {
		var least int
		fmt.Sscanf(row.least, "%dm", &least)
		for total, want := range map[int]bool{least: true, least - 1: false} {
			if _, err := parse("gomemd", strings.Fields(fmt.Sprintf("%s--memory-total %d", row.args, total))); (err == nil) != want {
				t.Errorf("%s of %d: %v", row.args, total, err)
			} else if err != nil && !strings.Contains(err.Error(), " "+row.least) {
				t.Errorf("%s of %d: %v", row.args, total, err)
			}
		}
	}
	c, err := parse("gomemd", []string{"--memory-total", "auto"})
	if here := int64(memoryHere()); err != nil || c.memoryTotal > here*9/10 || c.memoryTotal < here*9/10-mb || c.opts.MemoryLimit >= c.memoryTotal {
		t.Errorf("auto: %d of %d, and items %d; %v", c.memoryTotal, here, c.opts.MemoryLimit, err)
	}
}

// The statistics tell where the memory is, and the sum is what the system says, within a few megabytes; and that stays under the
// total, whatever clients do.
func TestMemoryIsWhatStatsSay(t *testing.T) {
	t.Parallel()
	const total, close = 96 << 20, 6 << 20
	p := launch(t, with("--memory-total", "96m", "-c", "400"))
	told := func() map[string]int64 {
		t.Helper()
		c, err := net.Dial("tcp", p.tcp())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		fmt.Fprint(c, "stats gomemd\r\nquit\r\n")
		names := map[string]int64{}
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if words := strings.Fields(lines.Text()); len(words) == 3 && strings.HasPrefix(words[1], "memory_") {
				names[words[1]], _ = strconv.ParseInt(words[2], 10, 64)
			}
		}
		return names
	}
	seen := func() int64 {
		t.Helper()
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		kB, _ := strconv.ParseInt(string(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)[1]), 10, 64)
		return kB << 10
	}
	// What the server says is of a moment between two in which the system is asked, and these may be far apart.
	look := func(when string) (items, conns int64) {
		t.Helper()
		before, names, after := seen(), told(), seen()
		for _, n := range []int64{names["memory_sum"], names["memory_resident"]} {
			if n < min(before, after)-close || n > max(before, after)+close {
				t.Errorf("%s: %d bytes are resident, and then %d; %v", when, before, after, names)
			}
		}
		if after > total {
			t.Errorf("%s: %d bytes are resident, the total is %d", when, after, total)
		}
		return names["memory_items"], names["memory_connections"]
	}
	look("at the start")

	writer, err := net.Dial("tcp", p.tcp())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	_ = writer.SetDeadline(time.Now().Add(30 * time.Second))
	value := bytes.Repeat([]byte("v"), 100_000)
	var said bytes.Buffer
	for i := range 1000 {
		said.Reset()
		fmt.Fprintf(&said, "set key%d 0 0 %d noreply\r\n%s\r\n", i, len(value), value)
		if i > 990 { // others that differ in length
			fmt.Fprintf(&said, "set part%d 0 0 %d noreply\r\n%s\r\n", i%10, i%10*10_000, value[:i%10*10_000])
		}
		if i == 999 {
			fmt.Fprint(&said, "mn\r\n")
		}
		if _, err := writer.Write(said.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if line, err := bufio.NewReader(writer).ReadString('\n'); line != "MN\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	items, _ := look("full")
	if items < 45<<20 {
		t.Errorf("only %d bytes of items", items)
	}

	// Of what they ask for values below 4 KiB are copied; large ones would stay where they are.
	ask := strings.Repeat("get small\r\n", 1500)
	fmt.Fprintf(writer, "set small 0 0 4000 noreply\r\n%s\r\n", value[:4000])
	for i := range 200 { // who read nothing
		c, err := net.Dial("tcp", p.tcp())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "get part%d\r\n%s", i%10, ask) // or all sockets would be full at the same byte of a value
	}
	var conns int64
	for i := 0; i < 20 || conns < 4<<20 && i < 250; i++ { // a busy machine takes its time to serve 200
		time.Sleep(20 * time.Millisecond)
		_, n := look("with replies waiting")
		conns = max(conns, n)
	}
	if conns < 4<<20 {
		t.Errorf("only %d bytes waited", conns)
	}
}
