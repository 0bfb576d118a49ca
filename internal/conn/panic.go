package conn

import (
	"runtime"
	"strings"

	"github.com/gomemd/gomemd/internal/stats"
)

// recoverPanic is deferred around the serving of a connection: a mistake of ours costs that client
// its connection, and nobody else anything. It counts, and says where at -v.
//
// Not so when a shard of the store was locked: what its lock guards may be changed by half. Serving
// on would be serving wrong values, so the process dies with the panic's own text.
func (c *Conn) recoverPanic(goOn *bool) {
	if p := recover(); p != nil {
		c.conns.mistake(p, "a connection is closed")
		c.loop.w.Out.Reset()
		c.loop.sealed = c.loop.sealed[:0]
		*goOn = false
	}
}

// recoverPanic is the same for a datagram: it is dropped.
func (p *packets) recoverPanic() {
	if why := recover(); why != nil {
		p.conns.mistake(why, "a datagram is dropped")
		p.end()
	}
}

// mistake counts and tells of a panic, unless it has to go on.
func (cs *Conns) mistake(p any, done string) {
	where := panicSite()
	if cs.env.Store.Broken() {
		panic(p)
	}
	cs.env.Late.AddNow(stats.ConnPanics, 1)
	cs.env.Warn("%s for a mistake of ours in %s\n", done, where) // not p: it may hold a key
}

// panicSite tells, from a deferred function, which function panicked.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicked := false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case !panicked:
			panicked = f.Function == "runtime.gopanic"
		case !strings.HasPrefix(f.Function, "runtime."):
			return f.Function
		}
	}
	return "an unknown place"
}
