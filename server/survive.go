package server

import (
	"runtime"
	"strings"

	"github.com/gomemd/gomemd/internal/stats"
)

// recoverPanic is deferred around the serving of a connection: a mistake of ours costs that client its connection, and nobody
// else anything. It counts, and says where at -v.
//
// Not so when the store was being called: its lock may be held, and what it guards be changed by half. Serving on would be
// serving wrong values, so the process dies with the panic's own text.
func (c *conn) recoverPanic(giveUp func()) {
	p := recover()
	if p == nil {
		return
	}
	where, inStore := panicSite()
	if inStore {
		panic(p)
	}
	c.srv.env.Late.AddNow(stats.ConnPanics, 1)
	if c.srv.env.Verbosity.Load() > 0 {
		c.srv.env.Logf("a connection is closed for a mistake of ours in %s\n", where) // not p: it may hold a key
	}
	giveUp()
}

// panicSite tells, from a deferred function, which of our functions panicked, and whether the store is among its callers.
func panicSite() (where string, inStore bool) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicked := false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case !panicked:
			panicked = f.Function == "runtime.gopanic"
		case strings.HasPrefix(f.Function, storePackage):
			return f.Function, true
		case where == "" && !strings.HasPrefix(f.Function, "runtime."):
			where = f.Function
		}
	}
	return where, false
}

// storePackage is how names of the store's functions begin.
const storePackage = "github.com/gomemd/gomemd/storage."
