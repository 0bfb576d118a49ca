package server

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

func (srv *Server) holds() int64 { now, _ := srv.conns.budget.total(); return now }

// When replies for slow readers take too much memory, those who read nothing go, and those who read stay.
func TestStalledReadersMakeRoom(t *testing.T) {
	clock := expiry.NewClock(1_700_000_000)
	srv := startServer(t, Options{Clock: clock})
	reader := dial(t, srv)
	reply := reader.fill("k", 500_000)
	ask := strings.Repeat("get k\r\n", manyReplies)
	stalled := 0
	for ; srv.holds() < 3<<20; stalled++ {
		dial(t, srv).say(ask)
		eventually(t, "output waits", func() bool { return len(srv.conns.drains(false)) == stalled+1 })
	}
	for quiet, before := 0, int64(0); quiet < 20; time.Sleep(10 * time.Millisecond) { // the sockets take a little more
		if now := srv.holds(); now == before {
			quiet++
		} else {
			quiet, before = 0, now
		}
	}
	setConnMemory(srv, srv.holds()*9/10)
	clock.Set(clock.Now() + stallMax)

	reader.say(ask)
	eventually(t, "the stalled are gone", func() bool { return srv.conns.current.Load() == 1 })
	for range manyReplies {
		reader.hear(reply)
	}
	if got, want := reader.stat("conn_budget_dropped"), strconv.Itoa(stalled); got != want {
		t.Errorf("counted %s closed, want %s", got, want)
	}
	eventually(t, "nothing waits", func() bool { return srv.holds() == 0 })
}

// The drain of a client may still be writing when that one is counted out. What it then gives back was given back already.
func TestTheGoneHoldNothing(t *testing.T) {
	srv := startServer(t, Options{})
	slow := dial(t, srv)
	reply := slow.fill("k", 500_000)
	slow.say(strings.Repeat("get k\r\n", manyReplies))
	eventually(t, "output waits", func() bool { return srv.holds() > 0 })
	b := &srv.conns.budget
	b.release(srv.conns.list()[0])
	for range manyReplies {
		slow.hear(reply)
	}
	eventually(t, "all is written", func() bool { return len(srv.conns.drains(false)) == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sum != 0 || len(b.holders) != 0 {
		t.Errorf("%d bytes are held by %d clients", b.sum, len(b.holders))
	}
}

func setConnMemory(srv *Server, n int64) {
	srv.conns.budget.mu.Lock()
	defer srv.conns.budget.mu.Unlock()
	srv.conns.budget.max = n
}

// Crowds that come at once, before anybody can be said to stand still, hold no more than a quarter above the budget, and one
// who sends whole commands and reads the replies notices nothing.
func TestCrowdsKeepToTheBudget(t *testing.T) {
	const budget = 1 << 20
	crowds := map[string]string{
		"half-sent values":     "set k 0 0 60000\r\n" + strings.Repeat("v", 40_000),
		"endless get lines":    "get " + strings.Repeat("key ", 50_000),
		"readers who read not": strings.Repeat("get large\r\n", 10_000),
	}
	for name, said := range crowds {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, Options{ConnMemory: budget})
			quiet := dial(t, srv)
			quiet.fill("large", 30_000)
			for range 40 {
				_, _ = dial(t, srv).Write([]byte(said)) // it may be closed before all is written
				quiet.say("set q 0 0 1\r\nx\r\nget q\r\n")
				quiet.hear("STORED\r\nVALUE q 0 1\r\nx\r\nEND\r\n")
			}
			eventually(t, "some are closed", func() bool { return srv.env.Sums()[stats.BudgetDropped] > 0 })
			now, peak := srv.conns.budget.total()
			if now > budget*5/4 || peak > 2*budget { // the last to come is counted before the largest goes
				t.Errorf("%d bytes held, %d at most; the budget is %d", now, peak, budget)
			}
			quiet.say("mn\r\n")
			quiet.hear("MN\r\n")
		})
	}
}

// Ten thousand that say one byte each cost next to nothing beside the connection itself.
func TestOneByteIsHeldAsSuch(t *testing.T) {
	srv := startServer(t, Options{})
	for range 200 {
		dial(t, srv).say("g")
	}
	eventually(t, "each byte is held", func() bool { return srv.holds() >= 200 })
	if n := srv.holds(); n > 200*16 {
		t.Errorf("%d bytes held for 200", n)
	}
}

// A client that pipelines faster than its turns come does not fill our memory with requests: gnet runs what was woken before it
// reads on. Should that change, this is where one sees it.
func TestPipelineIsServedAsItComes(t *testing.T) {
	srv := startServer(t, Options{Loops: 1})
	c := dial(t, srv)
	const n, times = 50_000, 12
	go func() {
		said := []byte(strings.Repeat("mn\r\n", n))
		for range times {
			if _, err := c.Write(said); err != nil {
				return
			}
		}
	}()
	heard := strings.Repeat("MN\r\n", n)
	for range times {
		c.hear(heard)
	}
	if _, peak := srv.conns.budget.total(); peak > 512<<10 {
		t.Errorf("%d bytes were held at a time for a client that sent 2.4 MB and read on", peak)
	}
}

// A mistake in serving one client costs that client the connection.
func TestPanicCostsOneConnection(t *testing.T) {
	log, logged, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	mistake := writerFunc(func(line []byte) (int, error) {
		if strings.HasSuffix(string(line), " mn\n") {
			panic("secret")
		}
		return logged.Write(line)
	})
	srv := startServer(t, Options{Loops: 1, Verbosity: 2, Log: mistake})
	other, c := dial(t, srv), dial(t, srv)
	other.fill("k", 10)
	c.say("set a 0 0 1\r\nx\r\n")
	c.hear("STORED\r\n")
	c.say("version\r\nmn\r\n") // what was answered before goes with it
	c.hearEnd()
	other.say("get a\r\n")
	other.hear("VALUE a 0 1\r\nx\r\nEND\r\n")
	if n := other.stat("conn_panics"); n != "1" {
		t.Errorf("conn_panics %s, want 1", n)
	}
	_ = logged.Close()
	line, _ := io.ReadAll(log)
	if text := string(line); !strings.Contains(text, "TestPanicCostsOneConnection") || strings.Contains(text, "secret") {
		t.Errorf("logged: %s", text)
	}
}

// The store's panics are told from others: there a lock may be held, and the process must not go on.
func TestPanicInTheStoreIsKnown(t *testing.T) {
	srv := startServer(t, Options{})
	key := []byte("k")
	hash := storage.Hash(key)
	srv.store.Put(hash, storage.Set, &storage.Item{Key: key, Value: key})
	site := func(f func()) (where string, inStore bool) {
		defer func() {
			_ = recover()
			where, inStore = panicSite()
		}()
		f()
		return
	}
	if where, inStore := site(func() { panic(1) }); inStore || !strings.Contains(where, "TestPanicInTheStore") {
		t.Errorf("a panic of our own: in %s, in the store: %v", where, inStore)
	}
	if where, inStore := site(func() { _ = key[len(key):][3] }); inStore {
		t.Errorf("an index out of range of our own: in %s, in the store: %v", where, inStore)
	}
	var nothing *storage.Store
	if where, inStore := site(func() { nothing.Delete(hash, key) }); !inStore || !strings.Contains(where, "storage") {
		t.Errorf("a panic of the store's: in %s, in the store: %v", where, inStore)
	}
}
