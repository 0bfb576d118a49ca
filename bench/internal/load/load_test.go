package load

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A server for tests: as much of the protocol as the generator speaks, and bent replies on request.
type fake struct {
	mu      sync.Mutex
	items   map[string]string
	uniques map[string]int
	unique  int
	served  int

	before func(f *fake, n int)      // called before the n-th reply
	bend   func(reply string) string // the reply that is sent instead
}

func serve(t *testing.T, f *fake) (addr string) {
	f.items, f.uniques = map[string]string{}, map[string]int{}
	return listen(t, f.talk)
}

func listen(t *testing.T, talk func(net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go talk(c)
		}
	}()
	return l.Addr().String()
}

func (f *fake) talk(c net.Conn) {
	defer c.Close()
	in, out := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		if in.Buffered() == 0 {
			_ = out.Flush()
		}
		if first, err := in.Peek(1); err == nil && first[0] == packetAsks {
			if !f.talkPacket(in, out) {
				return
			}
			continue
		}
		line, err := in.ReadString('\n')
		words := strings.Fields(line)
		if err != nil || words[0] == "quit" {
			return
		}
		var block string
		if at, ok := map[string]int{"set": 4, "cas": 4, "ms": 2}[words[0]]; ok {
			n, _ := strconv.Atoi(words[at])
			b := make([]byte, n+2)
			if _, err := io.ReadFull(in, b); err != nil {
				return
			}
			block = string(b[:n])
		}
		f.mu.Lock()
		reply := f.reply(words, block)
		f.served++
		if f.before != nil {
			f.before(f, f.served)
		}
		if f.bend != nil {
			reply = f.bend(reply)
		}
		f.mu.Unlock()
		_, _ = out.WriteString(reply)
	}
}

func (f *fake) reply(words []string, block string) string {
	switch words[0] {
	case "version":
		return "VERSION 1.6.45\r\n"
	case "lru_crawler":
		return "OK\r\nkey=a exp=-1\r\nkey=b exp=-1\r\nEND\r\n"
	case "stats":
		return "STAT pid 1\r\nSTAT version 1.6.45\r\nEND\r\n"
	}
	key := words[1]
	value, known := f.items[key]
	put := func() string {
		f.unique++
		f.items[key], f.uniques[key] = block, f.unique
		return "STORED\r\n"
	}
	switch words[0] {
	case "get", "gets":
		var b strings.Builder
		for _, key := range words[1:] {
			if value, known := f.items[key]; known {
				fmt.Fprintf(&b, "VALUE %s 0 %d", key, len(value))
				if words[0] == "gets" {
					fmt.Fprintf(&b, " %d", f.uniques[key])
				}
				fmt.Fprintf(&b, "\r\n%s\r\n", value)
			}
		}
		return b.String() + "END\r\n"
	case "mg":
		if !known {
			return "EN\r\n"
		}
		return fmt.Sprintf("VA %d\r\n%s\r\n", len(value), value)
	case "ms":
		put()
		return "HD\r\n"
	case "set":
		return put()
	case "cas":
		switch {
		case !known:
			return "NOT_FOUND\r\n"
		case strconv.Itoa(f.uniques[key]) != words[5]:
			return "EXISTS\r\n"
		}
		return put()
	}
	if !known {
		return "NOT_FOUND\r\n"
	}
	switch words[0] {
	case "incr":
		n, _ := strconv.Atoi(value)
		f.items[key] = strconv.Itoa(n + 1)
		return f.items[key] + "\r\n"
	case "touch":
		return "TOUCHED\r\n"
	case "delete":
		delete(f.items, key)
		return "DELETED\r\n"
	}
	return "ERROR\r\n"
}

// spec has what the flags have when nothing is said, but is counted instead of timed.
func spec(addr string) Spec {
	return Spec{Addr: addr, Conns: 3, Threads: 1, Pipeline: 1, Seconds: 20 * time.Second, Ops: 600, Mix: "get:10,set:1", Multi: 5, Keys: 50,
		Populate: -1, Dist: "uniform", Prefix: "key:", KeyLen: 16, Size: "32", Exptime: "0", Verify: 1, Seed: 1}
}

func TestLoads(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*Spec)
		want func(r Result) bool
	}{
		{"get and set", func(s *Spec) {}, func(r Result) bool { return r.Hits+r.Stored == 600 && r.Checked == r.Hits }},
		{"pipelines", func(s *Spec) { s.Pipeline = 7 }, func(r Result) bool { return r.Hits+r.Stored == 600 }},
		{"threads", func(s *Spec) { s.Threads = 2 }, func(r Result) bool { return r.Ops == 600 }},
		{"multigets", func(s *Spec) { s.Mix = "mget"; s.Populate = 25; s.Pipeline = 3 },
			func(r Result) bool { return r.Hits+r.Misses == 3000 && r.Misses > 1000 && r.Checked == r.Hits }},
		{"cas", func(s *Spec) { s.Mix = "cas"; s.Keys = 2 }, func(r Result) bool { return r.Hits == 600 && r.Stored+r.NotStored > 590 }},
		{"incr", func(s *Spec) { s.Mix = "incr" }, func(r Result) bool { return r.Hits == 600 }},
		{"meta", func(s *Spec) { s.Mix = "mg:3,ms"; s.Populate, s.Pipeline = 25, 4 },
			func(r Result) bool {
				return r.Hits+r.Misses+r.Stored == 600 && r.Misses > 20 && r.Stored > 100 && r.Checked == r.Hits
			}},
		{"metadumps", func(s *Spec) { s.Mix = "metadump,get" }, func(r Result) bool { return r.Ops == 600 && r.Hits == 600 }},
		{"stats", func(s *Spec) { s.Mix = "stats,get" }, func(r Result) bool { return r.Ops == 600 && r.Hits == 600 }},
		{"touch and delete", func(s *Spec) { s.Mix = "touch,delete" }, func(r Result) bool { return r.Hits > 50 && r.Hits+r.Misses == 600 }},
		{"a cache that fills", func(s *Spec) { s.Mix, s.Populate = "aside", 0 }, func(r Result) bool { return r.Misses >= 50 && r.Misses < 60 && r.Stored == r.Misses }},
		{"new keys", func(s *Spec) { s.Mix = "aside"; s.Fresh = 0.5 }, func(r Result) bool { return r.Misses > 200 && r.Misses < 400 && r.Stored >= r.Misses-3 }},
		{"a few at a time", func(s *Spec) { s.Conns, s.Active = 20, 3 }, func(r Result) bool { return r.Ops == 600 }},
		{"coming and going", func(s *Spec) { s.Mix, s.Reconnect = "get", 2 }, func(r Result) bool { return r.Hits == 600 }},
		{"idle ones beside", func(s *Spec) { s.Idle = 20 }, func(r Result) bool { return r.Ops == 600 }},
		{"megabytes", func(s *Spec) { s.Size, s.Keys, s.Ops, s.Mix = "1000000", 3, 12, "get,set" }, func(r Result) bool { return r.Hits+r.Stored == 12 }},
		{"in order", func(s *Spec) { s.Dist, s.Mix = "seq", "delete"; s.Ops = 100 }, func(r Result) bool { return r.Hits == 50 && r.Misses == 50 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(serve(t, &fake{}))
			c.with(&s)
			r, err := Run(s)
			if err != nil || r.Errors+r.Lost > 0 || !c.want(r) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestNoticesWhatIsWrong(t *testing.T) {
	nth := func(n int, bent string) func(string) string {
		return func(reply string) string {
			if n--; n == 0 {
				return bent
			}
			return reply
		}
	}
	for name, bend := range map[string]func(string) string{
		"an error line":   nth(100, "SERVER_ERROR out of memory storing object\r\n"),
		"a strange line":  nth(100, "OK\r\n"),
		"a foreign key":   nth(100, "VALUE key:999999999999 0 1\r\na\r\nEND\r\n"),
		"an end too much": nth(100, "END\r\nEND\r\n"),
		"a flipped bit": func(reply string) string {
			return strings.Replace(reply, "VALUE", "VALUE", 1)[:max(0, len(reply)-8)] + flip(reply)
		},
		"a short value":    func(reply string) string { return strings.Replace(reply, " 0 32\r\n", " 0 31\r\n", 1) },
		"a value too long": func(reply string) string { return strings.Replace(reply, " 0 32\r\n", " 0 33\r\n", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(serve(t, &fake{bend: bend}))
			s.Mix = "get"
			r, err := Run(s)
			if err == nil && r.Errors == 0 {
				t.Errorf("nothing noticed: %+v", r)
			}
		})
	}
}

// flip changes the last byte of the value that ends a get's reply.
func flip(reply string) string {
	tail := []byte(reply[max(0, len(reply)-8):])
	if bytes.HasSuffix(tail, []byte("\r\nEND\r\n")) {
		tail[0] ^= 1
	}
	return string(tail)
}

// In an open loop a stall is seen by all the requests that were due during it. The server stops once for 300 ms; at 1000
// a second that concerns 300 requests, which have waited 300, 299, 298 … ms. A closed loop with one connection sees one.
// A machine with other things to do stalls by itself, which is booked as well, so all this is at the least.
func TestAStallIsBookedForAllItDelays(t *testing.T) {
	const stall = 300 * time.Millisecond
	const at = 10 + 200 // after what is set beforehand
	f := &fake{before: func(_ *fake, n int) {
		if n == at {
			time.Sleep(stall)
		}
	}}
	s := spec(serve(t, f))
	s.Conns, s.Keys, s.Ops, s.Rate = 1, 10, 0, 1000
	s.Seconds = time.Second
	r, err := Run(s)
	if err != nil || r.Errors+r.Lost > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Ops > 1001 {
		t.Errorf("%d requests in a second, due are 1000", r.Ops)
	}
	// 300 of 1000 wait 150 ms on average.
	if mean := 0.3 * 150_000.0; r.Mean < 0.6*mean || r.P99 < 250_000 || r.Max < 299_000 {
		t.Errorf("mean %.0f µs, want %.0f; p99 %.0f, max %.0f", r.Mean, mean, r.P99, r.Max)
	}
}

// With times that no machine can delay it is neither less nor more: of the requests due at each ms of a second, those of the 300 ms
// are answered at their end, the others at once.
func TestAStallIsBookedExactly(t *testing.T) {
	const ms, stall, end = 1_000_000, 200, 500
	th := &thread{hist: hdrhistogram.New(1, latest, 3), from: 0, until: int64(time.Second), due: &schedule{gap: ms}}
	c := new(conn)
	for ; th.due.next() < th.until; th.due.issued++ {
		due := th.due.next()
		answered := due + 1
		if due >= stall*ms && due < end*ms {
			answered = end * ms
		}
		th.done(c, &pending{op: get, sent: due}, answered)
	}
	h := th.hist
	if th.counts.Ops != 1000 || h.TotalCount() != 1000 {
		t.Errorf("%d requests, %d in the histogram; due are 1000", th.counts.Ops, h.TotalCount())
	}
	// 300 of 1000 wait 150.5 ms on average.
	if mean := 0.3 * 150.5 * ms; math.Abs(h.Mean()-mean) > 0.01*mean {
		t.Errorf("mean %.0f ns, want %.0f", h.Mean(), mean)
	}
	if half, most := h.ValueAtQuantile(50), h.Max(); half > ms || most < 299*ms || most > 301*ms {
		t.Errorf("p50 %d, max %d ns", half, most)
	}
	if late := h.ValueAtQuantile(99); late < 289*ms || late > 292*ms { // ten wait longer than 290 ms
		t.Errorf("p99 %d ns", late)
	}
}

// What is still due when the patience after the end is over has waited, too, and is booked so.
func TestWhatNeverWentOutIsLost(t *testing.T) {
	th := &thread{hist: hdrhistogram.New(1, latest, 3), from: 0, until: int64(time.Second), due: &schedule{gap: 1e6, issued: 600}}
	th.conns = []*conn{{pend: []pending{{sent: 5e8}}}}
	th.under = 1
	th.writeOff(int64(3 * time.Second))
	if th.counts.Lost != 401 || th.hist.TotalCount() != 401 {
		t.Errorf("lost %d, in the histogram %d, want 401", th.counts.Lost, th.hist.TotalCount())
	}
	if least := th.hist.Min(); least < 1.99e9 || least > 2.01e9 {
		t.Errorf("the youngest has waited %d ns, want 2 s", least)
	}
}

func TestAServerThatHangsUp(t *testing.T) {
	s := spec(listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		_ = c.Close()
	}))
	s.Populate = 0
	if r, err := Run(s); err != nil || r.Errors != 3 || r.Lost != 3 {
		t.Errorf("three connections, three errors: %+v, %v", r, err)
	}
}

func TestOthersMachinesAreLeftAlone(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:11211": true, "127.1.2.3:11211": true, "[::1]:11211": true, "localhost:11211": true,
		"192.0.2.1:11211": false, "0.0.0.0:11211": false, "example.org:11211": false, "127.0.0.1": false, "[::]:1": false,
	} {
		if _, err := loopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Writing requests and reading replies allocates nothing once the slices have their size.
func TestTheLoopDoesNotAllocate(t *testing.T) {
	s := spec("")
	s.Mix, s.Dist, s.Size = "get,mget,set,cas,incr", "zipf:0.99", "lognormal:100,1,1000"
	w, err := newWorkload(&s)
	if err != nil {
		t.Fatal(err)
	}
	th := &thread{workload: w, dice: rand.NewPCG(1, 2), hist: hdrhistogram.New(1, latest, 3), until: math.MaxInt64, left: math.MaxInt64}
	c := &conn{}
	replies := map[op]string{mget: "END\r\n", set: "STORED\r\n", incr: "12345\r\n", gets: "END\r\n"}
	n := testing.AllocsPerRun(1000, func() {
		for range 20 {
			r := th.pick()
			th.write(c, r, 1)
			th.text = append(th.keys.append(append(th.text[:0], "VALUE "...), r.id), " 0 3\r\n"...)
			th.text = append(append(th.text, w.block[offset(r.id):][:3]...), "\r\nEND\r\n"...)
			in := th.text
			if r.op != get {
				in = append(in[:0], replies[r.op]...)
			}
			th.buf = append(th.buf[:0], in...)
			if err := th.take(c, th.buf, 2); err != nil {
				t.Fatal(err)
			}
		}
		c.forget()
		c.out = c.out[:0]
	})
	if n > 0 {
		t.Errorf("%v allocations for 20 requests", n)
	}
	if th.counts.Errors > 0 || th.counts.Hits == 0 || !c.answered() {
		t.Errorf("%+v %s", th.counts, th.complaint)
	}
}
