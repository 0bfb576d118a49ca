package conversation

import (
	"bytes"
	"strings"
	"testing"
)

// text joins the pieces of a line; holes show as <name>.
func (l line) text() string {
	var out strings.Builder
	for _, p := range l.pieces {
		out.Write(p.text)
		if p.hole != "" {
			out.WriteString("<" + p.hole + ">")
		}
	}
	return out.String()
}

func TestLine(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"CRLF is added", `get k`, "get k\r\n"},
		{"an empty line is a line", ``, "\r\n"},
		{"even to one that has a line's end", `a\r\n`, "a\r\n\r\n"},
		{"a bare LF", `get k\n\`, "get k\n"},
		{"a lone backslash leaves the line open", `ge\`, "ge"},
		{"two of them are one, and the line ends", `ge\\`, "ge\\\r\n"},
		{"three are one, and the line is open", `ge\\\`, `ge\`},
		{"escapes", `a\x00\xff\r\n\t\\\{\}b`, "a\x00\xff\r\n\t\\{}b\r\n"},
		{"a blank at the end, made visible", `9\x20`, "9 \r\n"},
		{"a run", `{x*5}y`, "xxxxxy\r\n"},
		{"a run of more than one byte", `{ab\x00*2}`, "ab\x00ab\x00\r\n"},
		{"a run that counts", `get{ k#*3}`, "get k1 k2 k3\r\n"},
		{"a run of lines", `{get k#\r\n*2}\`, "get k1\r\nget k2\r\n"},
		{"a star within a run", `{a*b*2}`, "a*ba*b\r\n"},
		{"a hole", `cas k 0 0 1 {u1} noreply`, "cas k 0 0 1 <u1> noreply\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLine(1, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if l.text() != tt.want {
				t.Errorf("%s is %q, want %q", tt.in, l.text(), tt.want)
			}
		})
	}
}

func TestLineRefused(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"invisible blank", "get k ", "cannot be seen"},
		{"unknown escape", `\q`, `\q is no escape`},
		{"half a byte", `\x4`, "two hex digits"},
		{"not hex", `\xgg`, "two hex digits"},
		{"open brace", `{u1`, "{ without }"},
		{"closed brace", `u1}`, "} without {"},
		{"hole without a name", `{}`, "neither a hole nor a run"},
		{"hole with a bad name", `{U 1}`, "neither a hole nor a run"},
		{"run of none", `{x*0}`, "how many times"},
		{"run of what", `{x*many}`, "how many times"},
		{"run without an end", `{x*99999999999}`, "a run of more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseLine(1, tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.in, err, tt.want)
			}
		})
	}
}

// What is heard and written out reads as what was heard.
func TestWriteOutReadsBack(t *testing.T) {
	for _, heard := range []string{
		"",
		"STORED\r\n",
		"VALUE n 0 2\r\n9 \r\nEND\r\n",
		"?\r\n",
		"\r\n\r\n",
		"a\n\r\nb\r\r\n",
		"no end",
		"ends in a backslash\\",
		"\\\r\n",
		"{u1} and {x*3}\r\n",
		"\x00\x01\xff\r\n",
		strings.Repeat("x", 1000) + "\r\n" + strings.Repeat("#", 100) + strings.Repeat("\n", 100) + strings.Repeat(" ", 100) + "\r\n",
		"{" + strings.Repeat("*", 50) + "}\r\n",
	} {
		var again bytes.Buffer
		for _, text := range writeOut([]byte(heard)) {
			if strings.TrimRight(text, " ") != text || strings.Contains(text, "\n") {
				t.Errorf("%q is written out as %q", heard, text)
			}
			l, err := parseLine(1, text)
			if err != nil {
				t.Fatalf("%q: %v", heard, err)
			}
			again.WriteString(l.text())
		}
		if again.String() != heard {
			t.Errorf("%q reads back as %q", heard, again.String())
		}
	}
}
