package session

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

func TestFlushPrefixAnswersAndIsCounted(t *testing.T) {
	const refused = "CLIENT_ERROR bad command line format\r\n"
	for _, tt := range []struct {
		said, heard string
		there       string // of a:1, a:2, ab, b
		flushes     uint64 // commands that cmd_flush counts
		obeyed      uint64
	}{
		{"flush_prefix a:\r\n", "OK\r\n", "ab b", 1, 1},
		{"flush_prefix a\r\n", "OK\r\n", "b", 1, 1},
		{"flush_prefix a:1 noreply\r\nmn\r\n", "MN\r\n", "a:2 ab b", 1, 1},
		{"flush_prefix a:\r\nset a:2 0 0 1\r\nx\r\n", "OK\r\nSTORED\r\n", "a:2 ab b", 1, 1},
		{"flush_prefix abc\r\nflush_prefix b\r\n", "OK\r\nOK\r\n", "a:1 a:2 ab", 2, 2},
		{"flush_prefix\r\n", refused, "a:1 a:2 ab b", 0, 0},
		{"flush_prefix a 10\r\n", refused, "a:1 a:2 ab b", 0, 0},
		{"flush_prefix " + strings.Repeat("a", 251) + " noreply\r\nmn\r\n", "MN\r\n", "a:1 a:2 ab b", 0, 0},
	} {
		p := newFixture(t, options{})
		v := p.client()
		v.say("set a:1 0 0 1\r\nx\r\nset a:2 0 0 1\r\nx\r\nset ab 0 0 1\r\nx\r\nset b 0 0 1\r\nx\r\n")
		if got := v.say(tt.said); got != tt.heard {
			t.Errorf("%.40q: %q", tt.said, got)
		}
		for _, key := range []string{"a:1", "a:2", "ab", "b"} {
			if there := v.say("get "+key+"\r\n") != "END\r\n"; there != strings.Contains(" "+tt.there+" ", " "+key+" ") {
				t.Errorf("after %.40q %s is there: %v", tt.said, key, there)
			}
		}
		if s := p.env.snapshot().Served; s.CmdFlush != tt.flushes || s.FlushPrefixes != tt.obeyed {
			t.Errorf("%.40q: %d are counted, %d of them obeyed", tt.said, s.CmdFlush, s.FlushPrefixes)
		}
	}
}

func TestFlushPrefixIsRefusedWhereFlushAllIs(t *testing.T) {
	v := newFixture(t, options{Rules: Rules{DisableFlush: true}}).client()
	v.say("set a 0 0 1\r\nx\r\n")
	if got := v.say("flush_prefix a\r\nflush_prefix a noreply\r\nget a\r\n"); got != "CLIENT_ERROR flush_prefix not allowed\r\nVALUE a 0 1\r\nx\r\nEND\r\n" {
		t.Errorf("%q", got)
	}
}

// Who finds too many under way waits, and what he has said after it is served after it. The others
// do not wait.
func TestAFlushedPrefixWaitsForItsTurn(t *testing.T) {
	p := newFixture(t, options{})
	hurried := false
	p.env.Sweep = func() { hurried = true }
	v, other := p.client(), p.client()
	for i := range 2_000 {
		v.say(fmt.Sprintf("set k%d 0 0 1 noreply\r\nx\r\n", i))
	}
	const more = 3
	var said, heard strings.Builder
	for i := range storage.PrefixesMost + more {
		fmt.Fprintf(&said, "flush_prefix k%d\r\n", 10+i)
	}
	said.WriteString("flush_prefix k3 noreply\r\nget k3\r\nmn\r\n")
	in, waited := []byte(said.String()), 0
	for verdict := Yield; verdict != Idle; {
		var n int
		n, verdict = v.Feed(in)
		in = in[n:]
		heard.Write(v.w.taken())
		if verdict != Later {
			continue
		}
		waited++
		if !hurried {
			t.Error("it waits for the next tick")
		}
		hurried = false
		if got := other.say("get k18\r\nset k5 0 0 1\r\ny\r\n"); waited == 1 && got != "VALUE k18 0 1\r\nx\r\nEND\r\nSTORED\r\n" {
			t.Errorf("meanwhile another is told %q", got)
		}
		if n, verdict = v.Feed(in); n != 0 || verdict != Later || v.BetweenCommands() {
			t.Fatalf("fed again too early: verdict %d, %d bytes consumed", verdict, n)
		}
		v.wait()
	}
	if got := heard.String(); waited == 0 || got != strings.Repeat("OK\r\n", storage.PrefixesMost+more)+"END\r\nMN\r\n" {
		t.Errorf("%d waits, heard %q", waited, got)
	}
	v.w.EndEvent()
	if got := p.env.snapshot().Served.CmdFlush; got != storage.PrefixesMost+more+1 {
		t.Errorf("%d are counted", got)
	}
	p.sweep()
	if got := p.env.snapshot().Insight.Prefixing; got != 0 {
		t.Errorf("%d are under way after all is swept", got)
	}
}

func TestStatsPrefixesTellWhatIsHeld(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	v.say("set user:1 0 0 3\r\nabc\r\nset user:2:x 0 0 1\r\nx\r\nset page:1 0 0 100\r\n" + strings.Repeat("p", 100) + "\r\n")
	v.say("set plain 0 0 2\r\nab\r\nset :x 0 0 1\r\nx\r\nms eHi6eQ== 1 b\r\nx\r\nget user:1 plain\r\nset gone:1 0 0 1\r\nx\r\nflush_prefix gone:\r\n")
	const want = "STAT page: items 1 bytes 106 fetched 0\r\nSTAT user: items 2 bytes 18 fetched 1\r\n" +
		"STAT : items 1 bytes 3 fetched 0\r\nSTAT (none) items 2 bytes 12 fetched 1\r\nEND\r\nMN\r\n"
	if got := v.say("stats prefixes\r\nmn\r\n"); got != want {
		t.Errorf("%q", got)
	}
	v.say("flush_prefix user:\r\n")
	if got := p.client().say("stats prefixes\r\nmn\r\n"); got != want { // less than five seconds old
		t.Errorf("asked again: %q", got)
	}
	all, err := p.env.Prefixes(context.Background())
	if err != nil || len(all) != 4 || string(all[0].Name) != "page:" || all[3].Kind != stats.Undelimited {
		t.Errorf("%v, %v", all, err)
	}
	p.env.Wait()
	if _, err := p.env.Prefixes(context.Background()); err != ErrEnded {
		t.Errorf("after the end: %v", err)
	}
}

func TestStatsPrefixesAreBounded(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	const many = prefixesKept + 500
	for i := range many {
		v.say(fmt.Sprintf("set p%05d:x 0 0 %d noreply\r\n%s\r\n", i, i%50+1, strings.Repeat("v", i%50+1)))
	}
	heard := strings.Split(v.say("stats prefixes\r\n"), "\r\n")
	var items int
	last := heard[prefixesListed]
	if _, err := fmt.Sscanf(last, "STAT (others) items %d", &items); err != nil || items != many-prefixesListed || len(heard) != prefixesListed+3 {
		t.Errorf("%d lines, the last but END %q", len(heard), last)
	}
	if !strings.HasSuffix(heard[0], "bytes 58 fetched 0") {
		t.Errorf("the first is %q", heard[0])
	}
}

func TestStatsPrefixesAreRefusedWhereDumpsAre(t *testing.T) {
	v := newFixture(t, options{Rules: Rules{DisableDump: true}}).client()
	if got := v.say("stats prefixes\r\n"); got != "CLIENT_ERROR stats prefixes not allowed\r\n" {
		t.Errorf("%q", got)
	}
}

// Who goes away while his survey is made leaves no goroutine behind.
func TestASurveyEndsWithItsClient(t *testing.T) {
	p := newFixture(t, options{})
	v, other := p.client(), p.client()
	for i := range 20_000 {
		v.say(fmt.Sprintf("set key%d 0 0 1 noreply\r\nx\r\n", i))
	}
	if _, verdict := v.Feed([]byte("stats prefixes\r\n")); verdict == Later {
		v.Close()
	}
	if got := other.say("stats prefixes\r\n"); got != "STAT (none) items 20000 bytes 168890 fetched 0\r\nEND\r\n" {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if all, err := p.env.Prefixes(ctx); err == nil && len(all) != 1 {
		t.Errorf("%v", all)
	}
}
