package session

import "testing"

// What memcached 1.6.45 does with a delay, second by second.
func TestFlushAllDelay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		command  string
		livesFor int // seconds that an item stored before lives on; -1: it stays
	}{
		{"now", "flush_all", 0},
		{"negative is now", "flush_all -5", 0},
		{"one second is none", "flush_all 1", 0},
		{"three seconds", "flush_all 3", 2},
		{"a date", "flush_all 1700000010", 9},
		{"a date before the server started finds nothing that old", "flush_all 2592001", -1},
		{"and replaces what was due", "flush_all 3\r\nflush_all 2592001", -1},
		{"the later replaces the earlier", "flush_all 9\r\nflush_all 3", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newFixture(t, options{})
			v := p.client()
			v.say("set k 0 0 1\r\nx\r\n" + tt.command + "\r\n")
			lived := -1
			for second := range 12 {
				if v.say("get k\r\n") == "END\r\n" {
					lived = second
					break
				}
				p.Pass(1e9)
			}
			if lived != tt.livesFor {
				t.Errorf("lived for %d seconds, want %d", lived, tt.livesFor)
			}
		})
	}
}
