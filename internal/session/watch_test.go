package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/events"
)

// Nobody watches: what is served costs no memory.
func TestServingUnwatchedAllocatesNothing(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	said := []byte("set k 0 0 3\r\nabc\r\nget k\r\nincr k 1\r\ntouch k 0\r\ndelete k\r\nmg k v\r\n")
	serve := func() {
		v.Feed(said)
		p.w.Out.Reset()
	}
	serve()
	if n := testing.AllocsPerRun(1000, serve); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStatsDetail(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	check := func(say, want string) {
		t.Helper()
		if got := v.say(say); got != want {
			t.Errorf("%.60q: %q, want %q", say, got, want)
		}
	}
	v.say("get off:1\r\n")
	check("stats detail dump\r\n", "END\r\n")
	// One write: what follows "on" is counted at once.
	check("stats detail on\r\nget a:1 b:2 none\r\nstats detail off\r\nget a:1\r\nstats detail dump\r\n",
		"OK\r\nEND\r\nOK\r\nEND\r\nPREFIX a get 1 hit 0 set 0 del 0\r\nPREFIX b get 1 hit 0 set 0 del 0\r\nEND\r\n")
	v.say("stats reset\r\nstats detail on\r\n")
	v.say("set a:1 0 0 1\r\nx\r\nset a:b:c 0 0 5\r\n")
	v.say("bad data\r\nadd :e 0 0 1\r\nx\r\ngat 0 a:1\r\ngets a:1\r\ndelete a:1\r\ndelete a:2\r\nms a:1 1\r\nx\r\nmg a:1\r\nincr a:1 1\r\nmd a:1\r\n")
	check("stats detail dump\r\n", "PREFIX  get 0 hit 0 set 1 del 0\r\nPREFIX a get 2 hit 2 set 2 del 2\r\nEND\r\n")
	if got := v.say("stats settings\r\n"); !strings.Contains(got, "STAT detail_enabled yes\r\n") {
		t.Errorf("%q", got)
	}
}

func TestPrefixesAreBounded(t *testing.T) {
	p := newFixture(t, options{StatsDetail: true, PrefixDelimiter: '/'})
	v := p.client()
	for i := range events.PrefixesMax + 100 {
		v.say(fmt.Sprintf("get %d/k\r\n", i))
	}
	if n := strings.Count(v.say("stats detail dump\r\n"), "PREFIX"); n != events.PrefixesMax {
		t.Errorf("%d prefixes", n)
	}
	if v.say("stats reset\r\nstats detail dump\r\n") != "RESET\r\nEND\r\n" {
		t.Error("stats reset leaves some")
	}
}

func TestStatsSizes(t *testing.T) {
	p := newFixture(t, options{TrackSizes: true})
	v := p.client()
	v.say("set a 0 0 1\r\nx\r\nset c 0 0 1\r\ny\r\nset b 1 0 300\r\n" + strings.Repeat("x", 300) + "\r\n")
	if got, want := v.say("stats sizes\r\n"), "STAT 64 2\r\nSTAT 384 1\r\nEND\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
