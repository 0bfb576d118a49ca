package conn

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// Who goes when too much is held, and who stays.
func TestWhoGoesForMemory(t *testing.T) {
	const max = 1000
	for _, tt := range []struct {
		name  string
		holds []int // before the last comes
		still []expiry.Instant
		last  int
		gone  map[int]reason
		tight bool
	}{
		{"below half", []int{100, 100}, []expiry.Instant{9, 0}, 200, nil, false},
		{"above half", []int{300, 100}, []expiry.Instant{9, 0}, 200, nil, true},
		{"all of it", []int{500, 300}, []expiry.Instant{9, 9}, 200, nil, true},
		{"more, and somebody stands still", []int{10, 900}, []expiry.Instant{5, 4}, 200, map[int]reason{0: stoodStillMemory}, true},
		{"more, and nobody stands still", []int{300, 700}, []expiry.Instant{4, 4}, 200, nil, true},
		{"just 5/4", []int{500, 500}, []expiry.Instant{4, 4}, 250, nil, true},
		{"more than 5/4", []int{400, 600}, []expiry.Instant{4, 4}, 251, map[int]reason{1: heldMost}, true},
		{"the last holds most", []int{300, 400}, []expiry.Instant{4, 4}, 600, map[int]reason{2: heldMost}, true},
		{"those who stand still are enough", []int{800, 300}, []expiry.Instant{0, 5}, 400, map[int]reason{1: stoodStillMemory}, true},
		{"both", []int{900, 100}, []expiry.Instant{0, 5}, 500, map[int]reason{0: heldMost, 1: stoodStillMemory}, false},
		{"all stand still", []int{900, 100}, []expiry.Instant{5, 6}, 100, map[int]reason{0: stoodStillMemory, 1: stoodStillMemory}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := expiry.Instant(100)
			clock := aClock()
			clock.Set(now)
			cs := New(Options{Memory: max}, &session.Env{Clock: clock})
			gone := map[*Conn]reason{}
			cs.budget.close = func(c *Conn, why reason) { gone[c] = why }
			var all []*Conn
			add := func(n int, still expiry.Instant) {
				c := &Conn{conns: cs}
				c.served.Store(uint32(now - still))
				all = append(all, c)
				cs.budget.hold(c, n)
			}
			for i, n := range tt.holds {
				add(n, tt.still[i])
			}
			add(tt.last, 0)
			sum := 0
			for i, n := range append(slices.Clone(tt.holds), tt.last) {
				if gone[all[i]] != tt.gone[i] {
					t.Errorf("%d: %q, want %q", i, texts[gone[all[i]]], texts[tt.gone[i]])
				}
				if gone[all[i]] == noReason {
					sum += n
				}
			}
			if held, _ := cs.Memory(); held != int64(sum) || cs.budget.tight.Load() != tt.tight {
				t.Errorf("%d held, want %d; tight: %v", held, sum, cs.budget.tight.Load())
			}
			for c, why := range gone { // it takes a while until they are closed
				c.why.Store(uint32(why))
				cs.budget.hold(c, 50)
			}
			if held, _ := cs.Memory(); held != int64(sum) {
				t.Errorf("%d held, want %d, for those who go count again", held, sum)
			}
			for _, c := range all {
				cs.budget.hold(c, 0)
				cs.budget.release(c)
			}
			if held, _ := cs.Memory(); held != 0 || len(cs.budget.holders) != 0 {
				t.Errorf("%d held at the end", held)
			}
		})
	}
}

// What one client holds counts and goes: by whoever has taken less than stillLeast.
func TestHoldingLessIsNoReason(t *testing.T) {
	clock := aClock()
	clock.Set(100)
	cs := New(Options{Memory: 1000}, &session.Env{Clock: clock})
	cs.budget.close = func(*Conn, reason) { t.Error("somebody is closed") }
	a, b := &Conn{conns: cs}, &Conn{conns: cs}
	for _, c := range []*Conn{a, b} {
		c.served.Store(100)
	}
	cs.budget.hold(a, 600)
	cs.budget.hold(b, 600)
	clock.Set(200)
	cs.budget.hold(b, 500) // still too much, but it is getting better
}

// Who does not stand still when room is needed may do so the next time.
func TestWhoGoesTheNextTime(t *testing.T) {
	clock := aClock()
	clock.Set(100)
	cs := New(Options{Memory: 1000}, &session.Env{Clock: clock})
	var gone []*Conn
	cs.budget.close = func(c *Conn, _ reason) { gone = append(gone, c) }
	a, b := &Conn{conns: cs}, &Conn{conns: cs}
	for _, c := range []*Conn{a, b} {
		c.served.Store(100)
	}
	cs.budget.hold(a, 600)
	cs.budget.hold(b, 600)
	if len(gone) > 0 {
		t.Fatal("somebody is closed")
	}
	clock.Set(100 + stillAfter)
	b.served.Store(uint32(clock.Now()))
	cs.budget.hold(b, 601)
	if len(gone) != 1 || gone[0] != a {
		t.Errorf("%d are closed", len(gone))
	}
}

func setMemory(h *fixture, n int64) {
	h.conns.budget.mu.Lock()
	defer h.conns.budget.mu.Unlock()
	h.conns.budget.max = n
}

// copiedReplies is a client who reads nothing and has asked for replies that are copied: these
// count.
func copiedReplies(t *testing.T, h *fixture) *client {
	t.Helper()
	c := slow(t, h)
	c.fill("copied", 3_000)
	c.say(strings.Repeat("get copied\r\n", 100))
	c.waits(blocked)
	return c
}

// Input, beginnings of lines and of small values, and copies of replies count, and values that are
// pinned do not.
func TestWhatCounts(t *testing.T) {
	for _, tt := range []struct {
		name        string
		says        string
		phase       phase
		least, most int64
	}{
		{"copies of replies", strings.Repeat("get small\r\n", 100), blocked, session.OutMax / 4, session.OutMax * 2},
		{"a pinned value", "get large\r\n", blocked, 0, 200},
		{"ten times a pinned value", strings.Repeat("get large\r\n", 10), blocked, 0, 2_000},
		{"input behind a pinned value", "get large\r\n" + strings.Repeat("get none\r\n", 1_500), blocked, 14_000, 20_000},
		{"the beginning of a line", "get " + strings.Repeat("key ", 5_000), reading, 20_000, 40_000},
		{"the beginning of a small value", "set k 0 0 20000\r\n" + strings.Repeat("v", 10_000), reading, 10_000, 30_000},
		{"the beginning of a large value", "set k 0 0 900000\r\n" + strings.Repeat("v", 100_000), reading, 0, 1_000},
		{"the keys of a multiget", "get" + strings.Repeat(" large", 1000) + "\r\n", blocked, 5_000, 20_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t, options{plain: true, loops: 1})
			other := dial(t, h)
			other.fill("large", 900_000)
			other.fill("small", 3_000)
			c := slow(t, h)
			s := c.served()
			if len(tt.says) < readBuffer { // what is read at once
				c.sayAtOnce(tt.says)
			} else {
				c.say(tt.says)
			}
			eventually(t, "all of it has come", func() bool { return s.phase() == tt.phase && (tt.phase == blocked || s.unread() == 0) })
			eventually(t, "as much is held as should be", func() bool { return h.holds() >= tt.least })
			other.ping() // the loop has looked at all of it
			if n := h.holds(); n > tt.most || n < tt.least {
				t.Errorf("%d bytes held, want %d to %d", n, tt.least, tt.most)
			}
			c.reset()
			eventually(t, "nothing is held", func() bool { return h.holds() == 0 })
		})
	}
}

// When replies for slow readers take too much memory, those who read nothing go, and those who read
// stay.
func TestStalledReadersMakeRoom(t *testing.T) {
	clock := aClock()
	var log notes
	h := start(t, options{plain: true, clock: clock, verbosity: 1, log: &log})
	reader := dial(t, h)
	reader.fill("k", 3_000)
	var stalled []*client
	for h.holds() < 1<<20 {
		stalled = append(stalled, copiedReplies(t, h))
	}
	setMemory(h, h.holds()*9/10)
	h.step(int(stillAfter))
	if n := h.counted(stats.BudgetDropped); n != 0 {
		t.Fatalf("%d are closed though nobody needs their room", n)
	}
	last := copiedReplies(t, h) // who has asked for more just now
	eventually(t, "the stalled are gone", func() bool { return h.conns.Numbers().Current == 2 })
	if got, want := reader.stat("conn_budget_dropped"), strconv.Itoa(len(stalled)); got != want {
		t.Errorf("counted %s closed, want %s", got, want)
	}
	if n := strings.Count(log.String(), "memory for connections ("); n != len(stalled) {
		t.Errorf("%d of %d are told of", n, len(stalled))
	}
	for _, c := range stalled {
		c.hearGone()
	}
	last.reset()
	eventually(t, "nothing waits", func() bool { return h.holds() == 0 })
}

// A connection may still be served when it is counted out. What it then gives back was given back
// already.
func TestTheGoneHoldNothing(t *testing.T) {
	h := start(t, options{})
	c := slow(t, h)
	reply := c.fill("k", 3_000)
	c.say(strings.Repeat("get k\r\n", 100))
	s := c.waits(blocked)
	eventually(t, "something is held", func() bool { return h.holds() > 0 })
	b := &h.conns.budget
	s.onLoop(t, func() {
		s.why.Store(uint32(heldMost))
		b.release(s)
	})
	for range 100 {
		c.hear(reply)
	}
	s.onLoop(t, func() {})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sum != 0 || len(b.holders) != 0 {
		t.Errorf("%d bytes are held by %d clients", b.sum, len(b.holders))
	}
}

// Crowds that come at once, before anybody can be said to stand still, hold no more than a quarter
// above the budget, and one who sends whole commands and reads the replies notices nothing.
func TestCrowdsKeepToTheBudget(t *testing.T) {
	const budget = 1 << 20
	crowds := map[string]string{
		"half-sent values":     "set k 0 0 60000\r\n" + strings.Repeat("v", 40_000),
		"endless get lines":    "get " + strings.Repeat("key ", 50_000),
		"readers who read not": strings.Repeat("get large\r\n", 20) + strings.Repeat("get small\r\n", 10_000),
	}
	for name, said := range crowds {
		t.Run(name, func(t *testing.T) {
			h := start(t, options{memory: budget, clock: aClock()})
			quiet := dial(t, h)
			quiet.fill("large", 4_000)
			quiet.fill("small", 10)
			for range 60 {
				c := slow(t, h)
				go func() { _, _ = c.Write([]byte(said)) }() // it may be closed before all is written
				quiet.say("set q 0 0 1\r\nx\r\nget q\r\n")
				quiet.hear("STORED\r\nVALUE q 0 1\r\nx\r\nEND\r\n")
			}
			if name == "half-sent values" { // they go on in the store
				eventually(t, "all have begun", func() bool { return h.counted(stats.CmdSet) == 2+60+60 })
				if n := h.counted(stats.BudgetDropped); n > 0 {
					t.Errorf("%d are closed", n)
				}
			} else {
				eventually(t, "some are closed", func() bool { return h.counted(stats.BudgetDropped) > 0 })
			}
			now, peak := h.conns.Memory()
			if now > budget*5/4 || peak > 2*budget { // the last to come is counted before the largest goes
				t.Errorf("%d bytes held, %d at most; the budget is %d", now, peak, budget)
			}
			quiet.ping()
		})
	}
}

// While more than half is held, turns are short: little is made that may not fit.
func TestTurnsAreShortWhenMemoryIs(t *testing.T) {
	h := start(t, options{loops: 1})
	first := copiedReplies(t, h)
	long := h.holds()
	setMemory(h, long*3/2)
	first.reset()
	eventually(t, "nothing is held", func() bool { return h.holds() == 0 })
	copiedReplies(t, h)
	if !h.conns.budget.tight.Load() {
		t.Fatalf("%d bytes of %d are held, and that is not tight", h.holds(), long*3/2)
	}
	c := slow(t, h)
	c.say(strings.Repeat("get copied\r\n", 1000))
	s := c.waits(blocked)
	copied := 0
	s.onLoop(t, func() { copied = s.unsent().Copied() })
	if copied > 16<<10 {
		t.Errorf("%d bytes of replies wait for one more", copied)
	}
}

// Two hundred that say one byte each cost next to nothing beside the connection itself.
func TestOneByteIsHeldAsSuch(t *testing.T) {
	h := start(t, options{})
	for range 200 {
		dial(t, h).say("g")
	}
	eventually(t, "each byte is held", func() bool { return h.in(reading) == 200 && h.holds() >= 200 })
	if n := h.holds(); n > 200*16 {
		t.Errorf("%d bytes held for 200", n)
	}
}

// Pinned values take no memory of the budget however many wait, and when it is used up nobody goes
// for them.
func TestPinnedValuesAreNotInTheBudget(t *testing.T) {
	h := start(t, options{memory: withRecords(200<<10, 20), clock: aClock(), store: storage.Options{MemoryLimit: 64 << 20}})
	var crowd []*client
	var replies []string
	for i := range 20 {
		c := slow(t, h)
		crowd, replies = append(crowd, c), append(replies, c.fill("k"+strconv.Itoa(i), 400_000))
		c.say("get k" + strconv.Itoa(i) + "\r\n")
		c.waits(blocked)
	}
	if n := h.holds(); n > withRecords(20*100, 20) {
		t.Errorf("%d bytes are held", n)
	}
	for i, c := range crowd {
		c.hear(replies[i])
	}
}

// However many clients send long pipelines and read the answers at once, nobody is closed for what has
// been read of them and waits for its turn, nor for values that have half come.
func TestNobodyGoesForInputThatWaitsForItsTurn(t *testing.T) {
	const crowd, sets = 400, 700
	h := start(t, options{loops: 2, memory: withRecords(4<<20, crowd), maxConns: crowd + 10})
	pipeline := strings.Repeat("set k 0 0 100\r\n"+strings.Repeat("v", 100)+"\r\n", sets)
	var clients []*client
	for range crowd {
		clients = append(clients, dial(t, h))
	}
	var all sync.WaitGroup
	for i, c := range clients {
		half := fmt.Sprintf("set half%d 0 0 60000\r\n%s", i, strings.Repeat("v", 30_000))
		all.Go(func() { c.say(pipeline + half) })
		all.Go(func() { c.hear(strings.Repeat("STORED\r\n", sets)) })
	}
	all.Wait()
	for _, c := range clients {
		c.say(strings.Repeat("v", 30_000) + "\r\n")
	}
	for _, c := range clients {
		c.hear("STORED\r\n")
	}
	if n := h.counted(stats.BudgetDropped); n > 0 {
		t.Errorf("%d are closed", n)
	}
}

// A value that was to be refused has got its room before that. What its client has sent since is about to
// be served: it is not what the budget is full of.
func TestWhatIsAboutToBeServedIsNotCounted(t *testing.T) {
	const budget, commands = 16 << 10, 5000
	h := start(t, options{loops: 1, memory: budget})
	c := dial(t, h)
	c.ping()
	b := &h.conns.budget
	b.mu.Lock()
	b.add(2 * budget)
	b.mu.Unlock()
	c.served().refuse.Store(true)
	c.say(strings.Repeat("mn\r\n", commands))
	c.hear(strings.Repeat("MN\r\n", commands))
	b.mu.Lock()
	b.add(-2 * budget)
	b.mu.Unlock()
}

// A crowd sends halves of values, more than the store and the budget hold. Nobody is closed for
// that: of the values that wait for room in the store some are refused, those that have waited the
// longest, and not one that has just come.
func TestNobodyGoesForValuesThatWaitForRoom(t *testing.T) {
	const crowd, size = 60, 1_900_000
	budget := withRecords(128<<10, crowd)
	const refusal = "SERVER_ERROR out of memory storing object\r\n"
	h := start(t, options{loops: 2, clock: aClock(), memory: budget,
		store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20}})
	value := text(1, size)
	upload := func(key string) (c *client, half, sent chan bool) {
		c, half, sent = dial(t, h), make(chan bool), make(chan bool)
		go func() {
			defer close(sent)
			_, _ = fmt.Fprintf(c.Conn, "set %s 0 0 %d\r\n%s", key, size, value[:size/2]) // hear tells if it failed
			<-half
			_, _ = c.Write([]byte(value[size/2:] + "\r\n"))
		}()
		return c, half, sent
	}
	var clients []*client
	var halves, sents []chan bool
	settled := func() bool {
		for _, c := range clients {
			if s := c.there(); s != nil && s.phase() != held && (s.phase() != reading || s.unread() > 0) {
				return false
			}
		}
		return h.counted(stats.CmdSet) == uint64(len(clients))
	}
	for i := range crowd + 1 {
		if i == crowd {
			eventually(t, "all of the crowd have begun", settled)
			h.clock.Set(h.clock.Now() + 1)
		}
		c, half, sent := upload(fmt.Sprint("key", i))
		clients, halves, sents = append(clients, c), append(halves, half), append(sents, sent)
	}
	eventually(t, "the last has begun", settled)
	if n := h.counted(stats.BudgetDropped); n > 0 {
		t.Errorf("%d are closed", n)
	}
	if _, peak := h.conns.Memory(); peak > 2*budget+2*64<<10 { // each loop's last is counted before another goes
		t.Errorf("%d bytes held; the budget is %d", peak, budget)
	}
	for _, half := range halves {
		close(half)
	}
	stored, refused := 0, 0
	for i, c := range clients {
		line, err := c.r.ReadString('\n')
		switch {
		case line == "STORED\r\n":
			stored++
		case line == refusal && i < crowd:
			refused++
		default:
			t.Errorf("%d hears %q (%v)", i, line, err)
		}
		<-sents[i]
	}
	if stored == 0 || refused == 0 {
		t.Errorf("%d are stored, %d refused", stored, refused)
	}
	eventually(t, "nothing is held", func() bool { return h.holds() == 0 })
}

// Clients who may never log in do not cost one who has done so its connection, though it holds more
// than any of them.
func TestStrangersGoFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte("alice:s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, options{memory: 256 << 10, passwords: file, plain: true})
	inside := dial(t, h)
	inside.say("set auth 0 0 12\r\nalice s3cret\r\n")
	inside.hear("STORED\r\n")
	inside.say("set k 0 0 60000\r\n" + strings.Repeat("v", 30_000))
	inside.amid(session.StateValue)
	for range 40 {
		stranger := dial(t, h)
		stranger.say("set auth 0 0 16000\r\n")
		_, _ = io.WriteString(stranger.Conn, strings.Repeat("x", 15_000)) // some are gone by then
	}
	eventually(t, "some have gone", func() bool { return h.counted(stats.BudgetDropped) > 0 })
	inside.say(strings.Repeat("v", 30_000) + "\r\n")
	inside.hear("STORED\r\n")
}
