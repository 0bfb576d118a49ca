package conn

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/storage"
)

func TestLineIsFirstInFirstOut(t *testing.T) {
	var ln line
	all := make([]*Conn, 100)
	for i := range all {
		all[i] = &Conn{}
	}
	if ln.next() != nil || !ln.empty() {
		t.Fatal("somebody is there")
	}
	added, taken := 0, 0
	for added < len(all) {
		for range min(3, len(all)-added) {
			ln.add(all[added])
			added++
		}
		for range 2 {
			if ln.next() != all[taken] {
				t.Fatalf("not the one who came as number %d", taken)
			}
			taken++
		}
	}
	for ; taken < len(all); taken++ {
		if ln.empty() || ln.next() != all[taken] {
			t.Fatalf("not the one who came as number %d", taken)
		}
	}
	if ln.next() != nil || !ln.empty() || len(ln.waiting) != 0 {
		t.Error("somebody is there")
	}
}

// servedOrder notes in which order commands are served, and whose they are, at verbosity 2. At the
// command that its gate picks the loop stands until it is told to go on.
type servedOrder struct {
	mu            sync.Mutex
	fds           []string
	lines         []string
	gate          func(line string) bool
	reached, goOn chan bool
}

func newServedOrder(gate func(line string) bool) *servedOrder {
	return &servedOrder{gate: gate, reached: make(chan bool), goOn: make(chan bool)}
}

var ofCommand = regexp.MustCompile(`^<(\d+) (.*)\n$`)

func (o *servedOrder) Write(line []byte) (int, error) {
	m := ofCommand.FindSubmatch(line)
	if m == nil {
		return len(line), nil
	}
	o.mu.Lock()
	o.fds, o.lines = append(o.fds, string(m[1])), append(o.lines, string(m[2]))
	stand := o.gate(string(m[2]))
	o.mu.Unlock()
	if stand {
		o.reached <- true
		<-o.goOn
	}
	return len(line), nil
}

// before counts how many commands of others were served before the first that is this line.
func (o *servedOrder) before(line string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, l := range o.lines {
		if l == line {
			return i
		}
	}
	return -1
}

// While a long pipeline is served in turns, who asks for little is served after a turn or two of
// it, not after all of them.
func TestTheLineAndTheOthersTakeTurns(t *testing.T) {
	const n, reqs, gate = 8_000, 20, 110
	served := 0
	order := newServedOrder(func(line string) bool {
		if line == "mn" {
			served++
		}
		return served == gate && line == "mn"
	})
	h := start(t, options{loops: 1, verbosity: 2, log: order, reqs: reqs})
	long, small := dial(t, h), dial(t, h)
	small.served()
	long.say(strings.Repeat("mn\r\n", n)) // the replies fit the socket
	<-order.reached                       // it has its turns by the bell now
	small.say("version\r\n")
	eventually(t, "the small one is there", func() bool { return small.served().unread() > 0 })
	order.goOn <- true
	long.hear(strings.Repeat("MN\r\n", n))
	small.hear("VERSION a test\r\n")
	if before := order.before("version"); before < gate || before > gate+3*reqs {
		t.Errorf("%d commands were served before a small one that came after the first %d", before, gate)
	}
}

// Two pipelines alternate.
func TestTwoPipelinesAlternate(t *testing.T) {
	const n, reqs = 8_000, 20
	order := newServedOrder(func(string) bool { return false })
	h := start(t, options{plain: true, loops: 1, verbosity: 2, log: order, reqs: reqs})
	one, other := dial(t, h), dial(t, h)
	pipeline := strings.Repeat("mn\r\n", n) // shorter than what is read at once
	s, o := one.served(), other.served()
	s.standing(t, func() {
		one.say(pipeline)
		other.say(pipeline)
		eventually(t, "both are there", func() bool {
			return s.unread() == len(pipeline) && o.unread() == len(pipeline)
		})
	})
	one.hear(strings.Repeat("MN\r\n", n))
	other.hear(strings.Repeat("MN\r\n", n))
	order.mu.Lock()
	defer order.mu.Unlock()
	run, longest, left := 0, 0, map[string]int{}
	for i, fd := range order.fds {
		if run++; i > 0 && fd != order.fds[i-1] {
			run = 1
		}
		if left[fd]++; left[fd] == n { // the other is alone now
			break
		}
		longest = max(longest, run)
	}
	if longest > 2*reqs {
		t.Errorf("%d commands of one were served while the other had some", longest)
	}
}

// A large multiget to a client who reads as fast as it can is under way for long. Another asks for
// little, again and again: each time it is answered after a turn or two, as the turns are counted,
// not timed.
func TestASmallGetBesideALargeMultiget(t *testing.T) {
	h := start(t, options{loops: 1})
	small, large := dial(t, h), dial(t, h)
	reply := large.fill("k", 500_000)
	small.fill("s", 10)
	const keys = 400
	said := "get" + strings.Repeat(" k", keys) + "\r\n"
	var heard atomic.Int64
	done := make(chan error, 1)
	total := int64(keys*(len(reply)-len("END\r\n")) + len("END\r\n"))
	under := func() bool { n := heard.Load(); return n > 0 && n < total }
	go func() {
		_, err := large.Write([]byte(said))
		buf := make([]byte, 1<<20)
		for err == nil && heard.Load() < total {
			var n int
			n, err = large.Conn.Read(buf)
			heard.Add(int64(n))
		}
		done <- err
	}()
	eventually(t, "it is under way", func() bool { return heard.Load() > 0 })
	answered := 0
	for under() {
		small.say("get s\r\n")
		small.hear("VALUE s 0 10\r\n")
		small.hear(text(len("s")+'s', 10) + "\r\nEND\r\n")
		if under() {
			answered++
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if answered < 2 {
		t.Errorf("%d small gets were answered while 200 MB were sent", answered)
	}
}

// A multiget whose replies all fit the socket has many turns. A small get that comes amid these is
// served before the multiget is done.
func TestASmallGetIsNotBehindAMultiget(t *testing.T) {
	order := newServedOrder(func(line string) bool { return strings.HasPrefix(line, "get k") })
	h := start(t, options{loops: 1, verbosity: 2, log: order})
	small, large := dial(t, h), dial(t, h)
	value := large.fill("k", 3_500)
	s := large.served()
	small.served()
	// Wide enough for all of it, so that it never waits for its client.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20); err != nil {
		t.Fatal(err)
	}
	const keys = 500 // 1.75 MB: 28 times what may gather
	got := make(chan error, 1)
	go func() {
		got <- ask(large, "", strings.Repeat(strings.TrimSuffix(value, "END\r\n"), keys)+"END\r\nMN\r\n")
	}()
	large.say("get" + strings.Repeat(" k", keys) + "\r\nmn\r\n")
	<-order.reached
	stands, goOn := s.stand(t) // as soon as it can, which is amid the multiget
	order.goOn <- true
	<-stands
	small.say("version\r\n")
	eventually(t, "the small one is there", func() bool { return small.served().unread() > 0 })
	goOn()
	small.hear("VERSION a test\r\n")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if first, last := order.before("version"), order.before("mn"); first < 0 || first > last {
		t.Errorf("the small one was served as number %d, the end of the large one was %d", first, last)
	}
}

// Little input can ask for much work. Who asks for little while it is done is served before it is
// done, also when the one who has asked will say no more.
func TestASmallRequestIsNotBehindMuchWork(t *testing.T) {
	long := strings.Repeat("0", 400_000)
	number := "set k 0 0 400000\r\n" + long + "\r\n"
	for _, tt := range []struct{ name, before, line string }{
		{"a multiget of misses", "", "get" + strings.Repeat(" a", 30_000) + "\r\n"},
		{"a multiget of misses that comes in pieces", "", "get" + strings.Repeat(" a", 1_000_000) + "\r\n"},
		{"a multiget of long keys", "", "get" + strings.Repeat(" "+strings.Repeat("q", 240), 20_000) + "\r\n"},
		{"incr of a long number", number, strings.Repeat("incr k 1\r\n", 50)},
		{"flush_all", "", strings.Repeat("flush_all\r\n", 50)},
		{"stats", "", strings.Repeat("stats\r\n", 50)},
		{"cache_memlimit", "", strings.Repeat("cache_memlimit 64\r\n", 50)},
	} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, half-closed %t", tt.name, half), func(t *testing.T) {
				before, _, _ := strings.Cut(tt.line, " ")
				before, _, _ = strings.Cut(before, "\r")
				order := newServedOrder(func(line string) bool {
					stand := before != "" && strings.HasPrefix(line, before)
					if stand {
						before = "" // once
					}
					return stand
				})
				h := start(t, options{loops: 1, verbosity: 2, log: order, reqs: 1000, store: storage.Options{ItemMax: 2 << 20}})
				small, hog := dial(t, h), dial(t, h)
				small.served()
				if tt.before != "" {
					hog.say(tt.before)
					hog.hear("STORED\r\n")
				}
				go func() {
					_, _ = hog.Write([]byte(tt.line + "mn\r\n")) // the end of what is heard tells if it failed
					if half {
						_ = hog.Conn.(interface{ CloseWrite() error }).CloseWrite()
					}
				}()
				<-order.reached
				small.say("version\r\n")
				eventually(t, "the small one is there", func() bool { return small.served().unread() > 0 })
				order.goOn <- true
				small.hear("VERSION a test\r\n")
				for line := ""; line != "MN\r\n"; {
					var err error
					if line, err = hog.r.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
				if half {
					hog.hearEnd()
				}
				if first, last := order.before("version"), order.before("mn"); first < 0 || first > last {
					t.Errorf("the small one was served as number %d, the end of the work was %d", first, last)
				}
			})
		}
	}
}

// With one processor for all loops, whoever else could run does so between two turns of a long
// pipeline.
func TestATurnLeavesTheProcessorToOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const n, reqs = 8_000, 20
	var ran atomic.Int64
	var all sync.WaitGroup
	var over atomic.Bool
	served, from, to := 0, int64(0), int64(0)
	order := newServedOrder(func(line string) bool {
		if line != "mn" {
			return false
		}
		switch served++; served {
		case reqs + 1:
			from = ran.Load()
		case n:
			to = ran.Load()
		}
		return false
	})
	h := start(t, options{loops: 2, verbosity: 2, log: order, reqs: reqs})
	long := dial(t, h)
	long.ping()
	all.Go(func() {
		for !over.Load() {
			ran.Add(1)
			runtime.Gosched()
		}
	})
	long.say(strings.Repeat("mn\r\n", n-1)) // the replies fit the socket
	long.hear(strings.Repeat("MN\r\n", n-1))
	over.Store(true)
	all.Wait()
	order.mu.Lock() // of what its gate has noted
	defer order.mu.Unlock()
	if turns := int64(n / reqs); to-from < turns/4 {
		t.Errorf("another goroutine ran %d times in %d turns", to-from, turns)
	}
}

// Who goes while waiting for its turn holds up nobody.
func TestTurnsOfTheGone(t *testing.T) {
	h := start(t, options{loops: 1})
	c := dial(t, h)
	reply := c.fill("k", 500_000)
	for range 30 {
		gone := dial(t, h)
		gone.say("get" + strings.Repeat(" k", 50) + "\r\n")
		_ = gone.Close()
	}
	for range 20 {
		c.say("get k\r\n")
		c.hear(reply)
	}
	eventually(t, "only one is there", func() bool { return h.conns.Numbers().Current == 1 })
	s := c.served()
	eventually(t, "the line is empty, nobody is blocked, and the bell is still", func() (still bool) {
		s.onLoop(t, func() { still = s.loop.line.empty() && len(s.loop.blocked) == 0 && !s.loop.rings })
		return still
	})
}

// Many read large replies as fast as they can, each through many turns; all get all of it, and so
// does who asks for little.
func TestLargeRepliesLeaveRoomForOthers(t *testing.T) {
	h := start(t, options{loops: 1})
	quick := dial(t, h)
	reply := quick.fill("k", 500_000)
	const crowd, each = 20, 12
	value := strings.TrimSuffix(reply, "END\r\n")
	want := strings.Repeat(value, each) + "END\r\n"
	var all sync.WaitGroup
	var left atomic.Int32
	left.Store(crowd)
	for range crowd {
		c := dial(t, h)
		all.Go(func() {
			defer left.Add(-1)
			for range 3 {
				if err := ask(c, "get"+strings.Repeat(" k", each)+"\r\n", want); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asks := 0
	for left.Load() > 0 {
		quick.ping()
		asks++
	}
	all.Wait()
	if asks < 3 {
		t.Error(fmt.Sprint(asks, " small requests while 360 MB were sent"))
	}
}
