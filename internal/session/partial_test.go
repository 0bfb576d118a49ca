package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestALineInPiecesIsTheLine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p partial
		var whole []byte
		for range r.IntN(20) {
			in := bytes.Repeat([]byte{byte('a' + r.IntN(26))}, r.IntN(1+[]int{3, 3000, 100_000}[r.IntN(3)]))
			p.add(in)
			whole = append(whole, in...)
			clear(in) // the loop's buffer is used again
		}
		if p.size != len(whole) || p.kept() > 2*len(whole)+64 {
			t.Fatalf("%d bytes, %d kept, of %d", p.size, p.kept(), len(whole))
		}
		if got := p.with([]byte("end")); string(got) != string(whole)+"end" {
			t.Fatalf("%d bytes, and other ones", len(got))
		}
	}
}

// A multiget of some hundred kilobytes comes cut anywhere, and its keys are those that were asked
// for.
func TestALongMultigetComesInPieces(t *testing.T) {
	v := newFixture(t, options{}).client()
	var line, want strings.Builder
	line.WriteString("get")
	for i := range 40_000 {
		fmt.Fprintf(&line, " key%d", i)
		if i%5_000 == 0 {
			v.say(fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i))
			fmt.Fprintf(&want, "VALUE key%d 0 1\r\nv\r\n", i)
		}
	}
	line.WriteString("\r\n")
	for _, cut := range []int{1, 3, 1000, pieceMax - 1, pieceMax, pieceMax + 1, 100_000} {
		text, heard := line.String(), ""
		if cut < 4 {
			heard += v.say(text[:cut])
			text, cut = text[cut:], len(text)
		}
		for len(text) > 0 {
			n := min(cut, len(text))
			heard += v.say(text[:n])
			text = text[n:]
		}
		if heard != want.String()+"END\r\n" {
			t.Errorf("cut at %d: heard %q", cut, heard)
		}
	}
}
