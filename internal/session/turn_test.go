package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An upload that never has to wait for its bytes leaves the others their turn all the same.
func TestAnUploadTakesTurns(t *testing.T) {
	v := newFixture(t, options{Rules: Rules{ItemMax: 4 << 20}}).client()
	const size = 3 << 20
	v.say(fmt.Sprintf("set k 0 0 %d\r\n", size))
	turns := 0
	for ; v.Streams(); turns++ {
		n := v.Stream(func(room []byte) (int, bool) {
			for i := range room {
				room[i] = 'v'
			}
			return len(room), true
		})
		if n > 2*streamMax {
			t.Fatalf("%d bytes in one turn", n)
		}
	}
	if turns < size/streamMax/2 {
		t.Errorf("%d turns for %d bytes", turns, size)
	}
	if got := v.say("\r\nget k\r\n"); got != fmt.Sprintf("STORED\r\nVALUE k 0 %d\r\n%s\r\nEND\r\n", size, strings.Repeat("v", size)) {
		t.Errorf("heard %d bytes", len(got))
	}
}

// Whether large values are copied or sent from where they lie, the bytes are the same, and so is the rest from any of them on.
func TestRepliesInParts(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	v.say("set small 1 0 3\r\nabc\r\n")
	for i, n := range []int{pinMin - 1, pinMin, 20_000, 100_000} {
		v.say(fmt.Sprintf("set large%d 0 0 %d\r\n%s\r\n", i, n, strings.Repeat(fmt.Sprint(i), n)))
	}
	in := []byte("get small large0 small large1 large1\r\nmg large2 v\r\nget small large2\r\n")
	want := v.say(string(in))
	p.w.Out.Pins = true
	if n, verdict := v.Feed(in); n != len(in) || verdict != Idle {
		t.Fatalf("consumed %d, verdict %d", n, verdict)
	}
	parts := slices.Clone(p.w.Out.Parts())
	if got := string(slices.Concat(parts...)); got != want || p.w.Out.Pending() != len(want) || len(parts) != 9 {
		t.Errorf("%d bytes in %d parts, %d pending; want %d in 9", len(got), len(parts), p.w.Out.Pending(), len(want))
	}
	for _, from := range []int{0, 1, 30, 5_000, len(want) / 2, len(want) - 1, len(want)} {
		if got := string(p.w.Out.Rest(from)); got != want[from:] {
			t.Errorf("from %d on: %d bytes", from, len(got))
		}
	}
	p.w.Out.Reset()
	if n := p.w.Out.Pending(); n != 0 || len(p.w.Out.Parts()) != 0 {
		t.Errorf("%d bytes after Reset", n)
	}
}

// A worker that ends leaves its counts.
func TestAWorkerThatEndsStaysCounted(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	other := NewWorker(p.env)
	v.say("get k\r\n")
	v.MoveTo(other)
	_, _ = v.Feed([]byte("get k\r\nget k\r\n"))
	other.Close()
	other.Out.Reset()
	v.MoveTo(p.w)
	if n := p.env.Snapshot().Served.GetMisses; n != 3 {
		t.Errorf("%d misses counted of 3", n)
	}
}
