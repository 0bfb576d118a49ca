package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/protocol"
)

// However a line is cut, its words are those that it has, in this order, and none is in two pieces.
func TestALongLineInPiecesHasItsWords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var line []byte
		var words []string
		for range 1 + r.IntN([]int{3, 300, 5_000}[r.IntN(3)]) {
			line = append(line, "   "[:1+r.IntN(3)]...)
			word := strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(protocol.KeyMax))
			if r.IntN(4) > 0 {
				word = word[:1]
			}
			words = append(words, word)
			line = append(line, word...)
		}
		line = append(line, []string{"", "\r", " \r", "  "}[r.IntN(4)]...)
		var l longLine
		for rest := line; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN([]int{3, 3000, 100_000}[r.IntN(3)]))
			in := bytes.Clone(rest[:n])
			l.add(in)
			clear(in) // the loop's buffer is used again
			rest = rest[n:]
		}
		if l.size != len(line) || l.kept() > 2*len(line)+2*pieceMax {
			t.Fatalf("%d bytes, %d kept, of %d", l.size, l.kept(), len(line))
		}
		pieces, ok := l.end()
		var got []string
		for _, piece := range pieces {
			got = append(got, strings.Fields(string(piece))...)
		}
		if !ok || strings.Join(got, " ") != strings.Join(words, " ") {
			t.Fatalf("%t, %d words of %d, or other ones", ok, len(got), len(words))
		}
	}
}

// A multiget of some hundred kilobytes comes cut anywhere, and its keys are those that were asked
// for. One that has a word too long for a key is refused as a whole, as a short one is.
func TestALongMultigetComesInPieces(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
	longest := strings.Repeat("k", protocol.KeyMax)
	v.say("set " + longest + " 0 0 1\r\nl\r\n")
	var line, want strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&line, " key%d", i)
		v.say(fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i))
		fmt.Fprintf(&want, "VALUE key%d 0 1\r\nv\r\n", i)
	}
	hits := want.String()
	last := "VALUE " + longest + " 0 1\r\nl\r\n"
	refused := protocol.BadFormat.Line()
	for _, tt := range []struct{ name, line, want string }{
		{"keys", "get" + line.String() + "\r\n", hits + "END\r\n"},
		{"bare LF", "get" + line.String() + "\n", hits + "END\r\n"},
		{"a blank at the end", "get" + line.String() + " \r\n", hits + "END\r\n"},
		{"the longest key last", "get" + line.String() + " " + longest + "\r\n", hits + last + "END\r\n"},
		{"a key too long last", "get" + line.String() + " " + longest + "k\r\nmn\r\n", refused + "MN\r\n"},
		{"a key too long amid", "get" + line.String() + " " + longest + "k" + line.String() + "\r\nmn\r\n", refused + "MN\r\n"},
		{"a key too long first", "get " + longest + "k" + line.String() + "\r\nmn\r\n", refused + "MN\r\n"},
		{"a CR amid", "get a\rb" + line.String() + "\r\n", hits + "END\r\n"},
		{"blanks before and between", "   get" + strings.ReplaceAll(line.String(), " ", "   ") + "\r\n", hits + "END\r\n"},
		{"nothing but blanks", "get" + strings.Repeat(" ", 100_000) + "\r\nmn\r\n", refused + "MN\r\n"},
		{"blanks and one key", "get" + strings.Repeat(" ", 100_000) + "key0\r\nmn\r\n", "VALUE key0 0 1\r\nv\r\nEND\r\nMN\r\n"},
	} {
		for _, cut := range []int{1, 3, 1000, gatherMax + 1, pieceMax - 1, pieceMax, pieceMax + 1, 100_000} {
			text, heard := tt.line, ""
			if cut < 4 {
				heard += v.say(text[:cut])
				text, cut = text[cut:], len(text)
			}
			for len(text) > 0 {
				n := min(cut, len(text))
				heard += v.say(text[:n])
				text = text[n:]
			}
			if heard != tt.want {
				t.Errorf("%s, cut at %d: heard %d bytes, %.60q; want %d", tt.name, cut, len(heard), heard, len(tt.want))
			}
		}
	}
	uniques := strings.Replace("get"+line.String(), "get", "gets", 1) + "\r\n"
	if heard := v.say(uniques); strings.Count(heard, "VALUE ") != 10_000 || len(heard) <= len(hits)+len("END\r\n") {
		t.Errorf("gets: heard %.80q", heard)
	}
}
