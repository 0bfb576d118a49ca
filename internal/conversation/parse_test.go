package conversation

import (
	"strings"
	"testing"
	"time"
)

func TestParseCutsIntoTurns(t *testing.T) {
	c, err := Parse("x.txt", `# two clients
(options: -I 2m -C)

> one
> two
< ONE
alice> three
bob> four
alice< THREE

> five
(memcached 1.6.18 hangs up)
> six
(silence)
(4s passes)
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Options, ","); got != "-I,2m,-C" {
		t.Errorf("options %s", got)
	}
	if got := c.Passes(); got != 4*time.Second {
		t.Errorf("passes %v", got)
	}
	var got []string
	for _, s := range c.steps {
		t, ok := s.(*turn)
		if !ok {
			got = append(got, "direction")
			continue
		}
		text := t.client + ":"
		for _, l := range t.said {
			text += " " + strings.TrimSpace(l.text())
		}
		for _, l := range t.answer.lines {
			text += " " + strings.TrimSpace(l.text())
		}
		got = append(got, text)
	}
	want := []string{": one two ONE", "alice: three", "bob: four", "alice: THREE", ": five", ": six", "direction"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("turns\n%q, want\n%q", got, want)
	}
}

func TestParseErrorsNameFileAndLine(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no marker", "get k", "x.txt:2: neither said"},
		{"indented", "  > get k", "x.txt:2: neither said"},
		{"no blank", ">get k", "x.txt:2: a blank belongs after >"},
		{"bad text", `> \q`, `x.txt:2: \q is no escape`},
		{"open direction", "(silence", "x.txt:2: a direction ends with )"},
		{"unknown direction", "(exeunt)", "x.txt:2: (exeunt) is no direction"},
		{"hole said first", "> cas k 0 0 1 {u1}", "x.txt:2: {u1} has not been heard yet"},
		{"compared but never heard", "(u1 is not u2)", "x.txt:2: {u1} has not been heard yet"},
		{"late options", "> a\n< b\n(options: -C)", "x.txt:4: options come before"},
		{"time and a command on its way", "> a\n(2s pass)", "x.txt:3: time passes only after an answer"},
		{"more after a draft", "> a\n< ?\n< b", "x.txt:4: nothing can follow < ?"},
		{"differs without a turn", "(memcached differs: it does)", "x.txt:2: there is no turn"},
		{"differs without a reason", "> a\n(memcached differs:)", "x.txt:3: why does memcached differ"},
		{"another answer without a version", "> a\n(memcached: b)", "x.txt:3: which version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.txt", "# a comment\n"+tt.text+"\n")
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
