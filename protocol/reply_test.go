package protocol

import (
	"strings"
	"testing"
)

func TestAppendValueHead(t *testing.T) {
	unique := uint64(18446744073709551615)
	for _, tt := range []struct {
		want   string
		unique *uint64
	}{
		{"before VALUE k 4294967295 3\r\n", nil},
		{"before VALUE k 4294967295 3 18446744073709551615\r\n", &unique},
	} {
		if got := string(AppendValueHead([]byte("before "), []byte("k"), 4294967295, 3, tt.unique)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestAppendNumberIsALine(t *testing.T) {
	if got := string(AppendNumber(nil, 18446744073709551615)); got != "18446744073709551615\r\n" {
		t.Errorf("got %q", got)
	}
}

// Each refusal has its line, and no line is that of two.
func TestEveryRefusalIsWorded(t *testing.T) {
	seen := map[string]Refusal{}
	for r := None + 1; r < numRefusals; r++ {
		line := r.Line()
		if before, twice := seen[line]; twice || !strings.HasSuffix(line, crlf) {
			t.Errorf("refusal %d: %q, which is that of %d too", r, line, before)
		}
		seen[line] = r
	}
}

// What a packet can be refused for has a status, and that a text.
func TestEveryRefusalOfAPacketHasAStatus(t *testing.T) {
	n := 0
	for r := None + 1; r < numRefusals; r++ {
		status, text := r.Status()
		if (status == StatusOK) != (text == "") {
			t.Errorf("refusal %d: status %d, %q", r, status, text)
		}
		if status != StatusOK {
			n++
		}
	}
	if n != 14 {
		t.Errorf("%d refusals have a status", n)
	}
}
