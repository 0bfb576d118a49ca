package session

import (
	"bytes"
	"strings"
	"testing"
)

// Whoever is hung up on, the log names the setting by which.
func TestBreaches(t *testing.T) {
	file := accounts(t, "alice:s3cret\n")
	for name, row := range map[string]struct {
		opts options
		wire Wire
		said string
		want Breach
	}{
		"text on a port for packets": {options{}, Binary, "mn\r\n", TextNotSpoken},
		"packets on a port for text": {options{}, Text, bNoop, PacketsNotSpoken},
		"packets with -Y alone":      {options{AuthFile: file}, Either, bNoop, PacketsNotSpoken},
		"packets without a login":    {options{AuthFile: file, Rules: Rules{SASL: true}}, Either, bNoop, NoLogin},
		"quit without a login":       {options{AuthFile: file}, Either, "quit\r\n", NoLogin},
		"a line without an end":      {options{AuthFile: file}, Either, strings.Repeat("x", 3000), NoLogin},
		"lengths that cannot be":     {options{}, Either, ask(0x00, "", "abc", "", 0)[:8] + u32(2) + bNoop[12:] + "abc", BadPacket},
		"text behind a packet":       {options{}, Either, bNoop + "mn\r\n", BadPacket},
		"a browser":                  {options{}, Either, "GET / HTTP/1.1\r\n", NoCommand},
		"a line that is too long":    {options{}, Either, strings.Repeat("x", 3000), NoCommand},
	} {
		row.opts.MemoryLimit = 1 << 20
		v := newFixture(t, row.opts).clientOn(row.wire)
		verdict := Idle
		for in := []byte(row.said); len(in) > 0 && verdict != HangUp; {
			n, got := v.Feed(in)
			in, verdict = in[n:], got
		}
		if verdict != HangUp || v.Breach() != row.want || v.Breach().String() == "" {
			t.Errorf("%s: %v, %v", name, verdict, v.Breach())
		}
	}
}

// A login that fails is logged with its name, and never with its password.
func TestFailedLoginsAreLogged(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 1 << 20, AuthFile: accounts(t, "alice:s3cret\n"), Rules: Rules{SASL: true}})
	var log bytes.Buffer
	p.env.Log = &log
	p.env.Verbosity.Store(1)
	for _, said := range []string{bAuth(0x21, "\x00alice\nmallory\x00guess"), "set auth 0 0 11\r\nalice guess\r\n"} {
		log.Reset()
		p.env.Clock.Set(p.env.Clock.Now() + 1)
		v := p.client()
		for in := []byte(said); len(in) > 0; {
			n, _ := v.Feed(in)
			in = in[n:]
		}
		if text := log.String(); !strings.Contains(text, `refused a login as "alice`) || strings.Count(text, "\n") != 1 || strings.Contains(text, "guess") {
			t.Errorf("logged %q", text)
		}
	}
}
