package load

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hear reads what a server said in the given portions and tells what it understood.
func hear(portions ...string) (heard []string, err error) {
	var s stream
	var block strings.Builder
	for _, p := range portions {
		in := []byte(p)
		for {
			tok, text, rest, err := s.next(in)
			if err != nil {
				return heard, err
			}
			if in = rest; tok == more {
				break
			}
			switch tok {
			case line:
				heard = append(heard, string(text))
				var n int
				if _, err := fmt.Sscanf(string(text), "VALUE k 0 %d", &n); err == nil {
					s.block(n)
				}
			case piece:
				block.Write(text)
			case blockEnd:
				heard = append(heard, fmt.Sprintf("block %q", block.String()))
				block.Reset()
			}
		}
	}
	return heard, nil
}

const said = "VALUE k 0 9\r\na\r\nEND\r\nb\r\nVALUE k 0 0\r\n\r\nEND\r\nSTORED\n\r\nVALUE k 0 2\r\n\r\n\r\nSERVER_ERROR out of memory\r\n"

var understood = []string{"VALUE k 0 9", `block "a\r\nEND\r\nb"`, "VALUE k 0 0", `block ""`, "END", "STORED", "", "VALUE k 0 2",
	`block "\r\n"`, "SERVER_ERROR out of memory"}

func TestRepliesAreTheSameHoweverTheyAreCut(t *testing.T) {
	check := func(portions ...string) {
		t.Helper()
		if heard, err := hear(portions...); err != nil || !slices.Equal(heard, understood) {
			t.Fatalf("%q: %q, %v", portions, heard, err)
		}
	}
	check(said)
	check(strings.Split(said, "")...)
	for i := range said {
		for j := i; j <= len(said); j++ {
			check(said[:i], said[i:j], said[j:])
		}
	}
}

func TestABlockEndsInCRLF(t *testing.T) {
	for _, text := range []string{"VALUE k 0 1\r\naa\r\n", "VALUE k 0 1\r\na\rx", "VALUE k 0 1\r\na\n\r"} {
		if _, err := hear(strings.Split(text, "")...); !errors.Is(err, errBlock) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestALineIsNotGatheredForEver(t *testing.T) {
	if _, err := hear(slices.Repeat([]string{"no end "}, lineMax)...); !errors.Is(err, errLine) {
		t.Error(err)
	}
}

func TestNumbersOfAValueLine(t *testing.T) {
	for text, want := range map[string]string{
		"0 32":                     "[0 32 0] 2 true",
		"4294967295 1048576 99":    "[4294967295 1048576 99] 3 true",
		"0 0 18446744073709551615": "[0 0 18446744073709551615] 3 true",
		"7":                        "[7 0 0] 1 true",
		"":                         "[0 0 0] 0 true",
		"0 -1":                     "[0 0 0] 1 false",
		"0  1":                     "[0 0 0] 1 false",
		"0 1 2 3":                  "[0 1 2] 3 false",
	} {
		n, count, ok := numbers([]byte(text))
		if got := fmt.Sprint(n, count, ok); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
