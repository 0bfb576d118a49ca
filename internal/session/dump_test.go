package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A dump hands on a chunk at a time, leaves the others their turn, and there is one at a time.
func TestADumpWaitsForItsReader(t *testing.T) {
	p := newFixture(t, options{})
	v, other := p.client(), p.client()
	const items = 20_000
	for i := range items {
		v.say(fmt.Sprintf("set key%d 0 0 1 noreply\r\nx\r\n", i))
	}
	in := []byte("lru_crawler metadump all\r\nmn\r\n")
	var heard strings.Builder
	turns := 0
	for {
		n, verdict := v.Feed(in)
		in = in[n:]
		if v.w.Out.Pending() > 2*dumpChunk {
			t.Fatalf("%d bytes of a dump in one turn", v.w.Out.Pending())
		}
		heard.Write(v.w.taken())
		switch verdict {
		case Later:
			<-v.woken
		case Full:
			turns++
		}
		if verdict == Idle {
			break
		}
		if got := other.say("lru_crawler mgdump all\r\nlru_crawler crawl all\r\nmn\r\n"); got != strings.Repeat("BUSY currently processing crawler request\r\n", 2)+"MN\r\n" {
			t.Fatalf("during a dump: %q", got)
		}
	}
	lines := strings.Split(heard.String(), "\n")
	if turns < 20 || lines[0] != "OK\r" || len(lines) != items+4 || lines[items+1] != "END\r" || lines[items+2] != "MN\r" {
		t.Errorf("%d lines in %d turns, the first %q, the last %q", len(lines), turns, lines[0], lines[len(lines)-3:])
	}
	if got := other.say("lru_crawler crawl all\r\n"); got != "OK\r\n" {
		t.Errorf("after the dump: %q", got)
	}
}

// Who goes away in the middle of a dump leaves no trace of it.
func TestADumpEndsWithItsClient(t *testing.T) {
	p := newFixture(t, options{})
	v, other := p.client(), p.client()
	for i := range 5_000 {
		v.say(fmt.Sprintf("set key%d 0 0 1 noreply\r\nx\r\n", i))
	}
	if _, verdict := v.Feed([]byte("lru_crawler metadump all\r\n")); verdict != Later {
		t.Fatalf("verdict %d", verdict)
	}
	v.w.Out.Reset()
	_ = v.Close()
	if got := other.say("lru_crawler crawl all\r\n"); got != "OK\r\n" {
		t.Errorf("after the client has gone: %q", got)
	}
	p.env.Wait() // or it hangs
}

// stats cachedump ends at two megabytes, or where it was told to.
func TestCachedumpEnds(t *testing.T) {
	v := newFixture(t, options{}).client()
	for i := range 30_000 {
		v.say(fmt.Sprintf("set key%d%s 0 0 1 noreply\r\nx\r\n", i, strings.Repeat("k", 100)))
	}
	all := v.say("stats cachedump 1 0\r\n")
	if n := len(all); n > cachedumpMax || n < cachedumpMax-200 || !strings.HasSuffix(all, "s]\r\nEND\r\n") {
		t.Errorf("%d bytes, the last %q", n, all[n-30:])
	}
	if n := strings.Count(v.say("stats cachedump 1 7\r\n"), "ITEM "); n != 7 {
		t.Errorf("%d items of 7", n)
	}
}

func TestShutdownIsForTheOwnerToCarryOut(t *testing.T) {
	for command, graceful := range map[string]bool{"shutdown": false, "shutdown graceful": true} {
		p := newFixture(t, options{Rules: Rules{EnableShutdown: true}})
		v := p.client()
		if got := v.say(command + "\r\n"); got != "" || !v.gone || !slices.Equal(p.end, []bool{graceful}) {
			t.Errorf("%s: said %q, gone %t, told: %v", command, got, v.gone, p.end)
		}
	}
}

// The memory limit moves live, and items go or stay by it.
func TestMemoryLimitMovesLive(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	fill := func() uint64 {
		for i := range 40_000 {
			v.say(fmt.Sprintf("set key%d 0 0 1000 noreply\r\n%01000d\r\n", i, i))
		}
		p.sweep()
		return p.env.Store.Stats().Bytes >> 20
	}
	if got := v.say("cache_memlimit 16\r\n"); got != "OK\r\n" {
		t.Fatal(got)
	}
	if mb := fill(); mb < 12 || mb > 16 {
		t.Errorf("%d MB with a limit of 16", mb)
	}
	v.say("cache_memlimit 32\r\n")
	if mb := fill(); mb < 28 || mb > 32 {
		t.Errorf("%d MB with a limit of 32", mb)
	}
	v.say("cache_memlimit 8\r\n")
	p.sweep()
	if s := p.env.Store.Stats(); s.Bytes > 8<<20 || s.LimitBytes != 8<<20 {
		t.Errorf("%d bytes with a limit of %d", s.Bytes, s.LimitBytes)
	}
	if got := v.say("cache_memlimit 100000\r\n"); got != "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n" {
		t.Error(got)
	}
}
