package conn

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/storage"
)

// Whoever is turned away, cut short or refused by a setting is told of at -v, with that setting.
func TestSaysWhichSettingWasInTheWay(t *testing.T) {
	for _, row := range []struct {
		name string
		opts options
		do   func(*testing.T, *fixture)
		says string
	}{
		{"a line that is too long", options{}, func(t *testing.T, h *fixture) {
			c := dial(t, h)
			c.say("set " + strings.Repeat("k", 3000))
			c.hearGone()
		}, "2048 bytes"},
		{"another protocol", options{}, func(t *testing.T, h *fixture) {
			c := dial(t, h)
			c.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			c.hearGone()
		}, "another protocol"},
		{"too many clients", options{maxConns: 1}, func(t *testing.T, h *fixture) {
			dial(t, h).ping()
			dial(t, h).hear("ERROR Too many open connections\r\n")
		}, "-c allows, 1:"},
		{"too many clients, who wait", options{maxConns: 1, maxConnsWait: true}, func(t *testing.T, h *fixture) {
			dial(t, h).ping()
			dial(t, h)
		}, "no_maxconns_fast"},
		{"a value that is too large", options{}, func(t *testing.T, h *fixture) {
			c := dial(t, h)
			c.say("set k 0 0 1100000 noreply\r\n" + text(0, 1_100_000) + "\r\n")
			c.ping()
		}, "-I allows, 1048576 bytes"},
		{"a value that has no room", options{store: storage.Options{MemoryLimit: 2 << 20, DisableEviction: true}}, func(t *testing.T, h *fixture) {
			c := dial(t, h)
			for i := range 8 {
				c.say("set k" + string(rune('0'+i)) + " 0 0 500000 noreply\r\n" + text(i, 500_000) + "\r\n")
			}
			c.ping()
		}, "(-m) is full"},
		{"the end of the time to drain", options{}, func(t *testing.T, h *fixture) {
			c := dial(t, h)
			c.say("set k 0 0 5\r\nab")
			c.served()
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			h.conns.Drain(ctx)
		}, "1 clients are still there"},
		{"the end", options{}, func(t *testing.T, h *fixture) {
			c := slow(t, h)
			c.fill("k", 400_000)
			c.say("get k k k k k k k k\r\n")
			c.waits(blocked)
			if err := h.stop(); err != nil {
				t.Error(err)
			}
		}, "1 clients have not taken"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, verbosity := range []uint32{0, 1} {
				var log notes
				row.opts.log, row.opts.verbosity = &log, verbosity
				row.opts.plain = true
				row.do(t, start(t, row.opts))
				if verbosity == 0 {
					if text := log.String(); text != "" {
						t.Errorf("without -v: %s", text)
					}
					continue
				}
				eventually(t, "the log says "+row.says, func() bool { return strings.Contains(log.String(), row.says) })
			}
		})
	}
}
