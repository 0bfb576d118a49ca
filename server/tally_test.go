package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

// settle waits until what came before is counted: a reply may be here a moment sooner.
func (c *client) settle() {
	c.say("mn\r\n")
	c.hear("MN\r\n")
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// What is stored is counted by size and time to live, what is refused or joined is not.
func TestWhatIsStoredIsCountedBySizeAndTimeToLive(t *testing.T) {
	srv := startServer(t, Options{Clock: expiry.NewClock(1_700_000_000), ItemMax: 1 << 20})
	c := dial(t, srv)
	c.say("set k 0 0 9\r\n123456789\r\nadd key7 0 100 1\r\nx\r\nadd key7 0 100 1\r\nx\r\nappend key7 0 0 1\r\nx\r\n" +
		"ms meta 2 T600\r\nok\r\nset gone 0 -1 1\r\nx\r\n")
	c.hear("STORED\r\nSTORED\r\nNOT_STORED\r\nSTORED\r\nHD\r\nSTORED\r\n")
	c.say(fmt.Sprintf("set large 0 60 100000\r\n%0100000d\r\n", 1))
	c.hear("STORED\r\n")
	c.settle()
	all := srv.Stats()
	var stored, ttl stats.Histogram
	for _, n := range []uint64{1 + 9, 4 + 1, 4 + 2, 4 + 1, 5 + 100_000} {
		stored.Counts[stats.Class(n)]++
		stored.Sum += n
	}
	for _, n := range []uint64{100, 600, 0, 60} {
		ttl.Counts[stats.Class(n)]++
		ttl.Sum += n
	}
	if all.Insight.Stored != stored {
		t.Errorf("sizes: %v, want %v", all.Insight.Stored, stored)
	}
	if all.Insight.TTL != ttl || all.Served.StoredForever != 1 {
		t.Errorf("times to live: %v and %d for ever, want %v and 1", all.Insight.TTL, all.Served.StoredForever, ttl)
	}
	c.say("stats reset\r\n")
	c.hear("RESET\r\n")
	c.settle()
	if all := srv.Stats(); all.Insight.Stored != (stats.Histogram{}) || all.Insight.TTL != (stats.Histogram{}) || sum(all.Insight.Latency[stats.KindSet].Counts[:]) != 0 {
		t.Errorf("after the reset: %v", all.Insight)
	}
}

// The time of some commands is taken, each kind by itself.
func TestTheTimeOfSomeCommandsIsTaken(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	for kind, said := range map[stats.Kind][2]string{
		stats.KindGet:    {"get no\r\n", "END\r\n"},
		stats.KindSet:    {"set k 0 0 1\r\nx\r\n", "STORED\r\n"},
		stats.KindDelete: {"delete no\r\n", "NOT_FOUND\r\n"},
		stats.KindCount:  {"incr no 1\r\n", "NOT_FOUND\r\n"},
		stats.KindTouch:  {"touch no 1\r\n", "NOT_FOUND\r\n"},
		stats.KindOther:  {"mn\r\n", "MN\r\n"},
	} {
		before, began := srv.Stats().Insight.Latency, time.Now()
		for range 100 { // one of 31 at the least
			c.say(said[0])
			c.hear(said[1])
		}
		took := time.Since(began)
		c.settle()
		for k, after := range srv.Stats().Insight.Latency {
			n, spent := sum(after.Counts[:])-sum(before[k].Counts[:]), after.Sum-before[k].Sum
			if stats.Kind(k) != kind && stats.Kind(k) != stats.KindOther && n != 0 { // settle's own may come later
				t.Errorf("%d of %v after %q", n, stats.Kind(k), said[0])
			}
			if stats.Kind(k) == kind && (n < 3 || n > 110 || spent <= 0 || spent > took) {
				t.Errorf("%d of %v take %v, when 100 took %v", n, kind, spent, took)
			}
		}
	}
}

// Who does not take replies is seen, and what it costs others is not counted as their time.
func TestSlowReadersAreCounted(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 256 << 20, ItemMax: 32 << 20})
	c := dial(t, srv)
	const n = 30 << 20 // more than sockets take
	c.say(fmt.Sprintf("set large 0 0 %d\r\n%s\r\n", n, strings.Repeat("x", n)))
	c.hear("STORED\r\n")
	c.say("get large\r\n")
	within := time.Now().Add(patience)
	for srv.Stats().Conns.Behind != 1 || srv.Stats().Served.SlowReaders != 1 {
		if time.Now().After(within) {
			t.Fatalf("%d are behind, %d were", srv.Stats().Conns.Behind, srv.Stats().Served.SlowReaders)
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := io.CopyN(io.Discard, c.r, n+int64(len("VALUE large 0 31457280\r\n\r\nEND\r\n"))); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if all := srv.Stats(); all.Conns.Behind != 0 || all.Served.SlowReaders != 1 {
		t.Errorf("then %d are behind, %d were", all.Conns.Behind, all.Served.SlowReaders)
	}
}

// The last warnings are kept, whether they are logged or not: one a second of each kind.
func TestTheLastWarningsAreKept(t *testing.T) {
	log := &syncBuffer{}
	clock := expiry.NewClock(1_700_000_000)
	srv := startServer(t, Options{Clock: clock, ItemMax: 1024, Log: log})
	c := dial(t, srv)
	for range 30 {
		c.say("set k 0 0 2000\r\n" + strings.Repeat("x", 2000) + "\r\nset k 0 0 2000\r\n" + strings.Repeat("x", 2000) + "\r\n")
		c.hear("SERVER_ERROR object too large for cache\r\nSERVER_ERROR object too large for cache\r\n")
		clock.Set(clock.Now() + 1)
	}
	warned := srv.Stats().Insight.Warnings
	if len(warned) != 20 {
		t.Errorf("%d warnings are kept: %v", len(warned), warned)
	}
	for i, w := range warned {
		if !strings.Contains(w.Text, "larger than -I allows") || strings.HasSuffix(w.Text, "\n") || w.Key || i > 0 && w.Time.Before(warned[i-1].Time) {
			t.Errorf("warning %d: %+v", i, w)
		}
	}
	if log.String() != "" {
		t.Errorf("without -v the log says %q", log)
	}
}
