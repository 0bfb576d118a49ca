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
	turns, rest := 0, strings.NewReader(strings.Repeat("v", size)+"\r\n")
	for ; v.Streams(); turns++ {
		n, _ := v.Stream(reads(rest))
		if n > 2*streamMax {
			t.Fatalf("%d bytes in one turn", n)
		}
	}
	if got := string(slices.Concat(v.w.Out.Parts()...)); got != "STORED\r\n" {
		t.Errorf("heard %q", got)
	}
	v.w.Out.Reset()
	if turns < size/streamMax/2 {
		t.Errorf("%d turns for %d bytes", turns, size)
	}
	if got := v.say("get k\r\n"); got != fmt.Sprintf("VALUE k 0 %d\r\n%s\r\nEND\r\n", size, strings.Repeat("v", size)) {
		t.Errorf("heard %d bytes", len(got))
	}
}

// reads is a read for Stream.
func reads(from *strings.Reader) func(rooms [][]byte) (int, bool) {
	return func(rooms [][]byte) (n int, more bool) {
		for _, room := range rooms {
			got, _ := from.Read(room)
			n += got
		}
		return n, from.Len() > 0
	}
}

// Whether large values are copied or sent from where they lie, the bytes are the same.
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
	p.w.Out.Reset()
	if n := p.w.Out.Pending(); n != 0 || len(p.w.Out.Parts()) != 0 {
		t.Errorf("%d bytes after Reset", n)
	}
}
