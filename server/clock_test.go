package server

import (
	"testing"

	"github.com/gomemd/gomemd/expiry"
)

// The real clock is the monotonic one, and when somebody sets the machine's time no deadline moves.
// Should the server's own clock be stepped all the same: an hour forwards ends what had less to
// live, an hour back ends nothing and brings nothing back that somebody has missed. The rest lives
// an hour longer, and everything can be stored, read and changed as before.
func TestClockIsStepped(t *testing.T) {
	const hour = 3600
	clock := expiry.NewClock(1_700_000_000)
	clock.Set(expiry.Start + 10*hour)
	srv := startServer(t, Options{Clock: clock, IdleTimeout: 2 * hour * 1e9})
	c := dial(t, srv)
	step := func(by int) {
		clock.Set(clock.Now() + expiry.Instant(by))
		srv.Sweep()
		srv.conns.Tick()
		if err := srv.store.Check(); err != nil {
			t.Error(err)
		}
	}
	round := func() {
		t.Helper()
		c.say("set k 0 100 1\r\n1\r\nincr k 1\r\ntouch k 200\r\nappend k 0 0 1\r\n0\r\ngets k\r\ndelete k\r\nget k\r\n")
		c.hear("STORED\r\n2\r\nTOUCHED\r\nSTORED\r\nVALUE k 0 2 ")
		if _, err := c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.hear("20\r\nEND\r\nDELETED\r\nEND\r\n")
	}
	c.say("set minutes 0 600 1\r\nm\r\nset hours 0 7200 1\r\nh\r\nset ever 0 0 1\r\ne\r\n")
	c.hear("STORED\r\nSTORED\r\nSTORED\r\n")
	round()

	step(hour)
	c.say("get minutes hours ever\r\n")
	c.hear("VALUE hours 0 1\r\nh\r\nVALUE ever 0 1\r\ne\r\nEND\r\n")
	round()
	c.say("set later 0 600 1\r\nl\r\n")
	c.hear("STORED\r\n")

	step(-hour)
	c.say("get minutes hours ever later\r\n")
	c.hear("VALUE hours 0 1\r\nh\r\nVALUE ever 0 1\r\ne\r\nVALUE later 0 1\r\nl\r\nEND\r\n")
	round()
	step(2*hour - 1)
	c.say("get hours ever later\r\n")
	c.hear("VALUE hours 0 1\r\nh\r\nVALUE ever 0 1\r\ne\r\nEND\r\n")
	step(1)
	c.say("get hours ever\r\n")
	c.hear("VALUE ever 0 1\r\ne\r\nEND\r\n")
	round()
}
