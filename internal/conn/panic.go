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
	p := recover()
	if p == nil {
		return
	}
	where := panicSite()
	if c.conns.env.Store.Broken() {
		panic(p)
	}
	c.conns.env.Late.AddNow(stats.ConnPanics, 1)
	c.conns.logf("a connection is closed for a mistake of ours in %s\n", where) // not p: it may hold a key
	c.loop.w.Out.Reset()
	c.loop.sealed = c.loop.sealed[:0]
	*goOn = false
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
