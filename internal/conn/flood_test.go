package conn

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// After floods of clients of every rude kind there is not one descriptor or goroutine more than
// before, and after the end none at all.
func TestFloodsLeaveNothingBehind(t *testing.T) {
	const limit, crowd = 50, 400
	others := goleak.IgnoreCurrent()
	before := openFiles(t)
	h := start(t, options{maxConns: limit, memory: 1 << 20, loops: 2})
	addr := h.addr().String()
	good := dial(t, h) // connected before all others, and served all the time
	good.ping()
	good.say("set k 0 0 100000 noreply\r\n" + strings.Repeat("v", 100_000) + "\r\n")
	good.ping()
	during := openFiles(t)

	polite := uint64(0) // who leave without a reset
	for _, flood := range []struct {
		name, says string
		reset      bool
	}{
		{"connect", "", false},
		{"connect and reset", "", true},
		{"half a line", "get k", false},
		{"half a line and reset", "get k", true},
		{"half a value", "set h 0 0 1000\r\nhalf", true},
		{"half a large value", "set h 0 0 900000\r\n" + strings.Repeat("v", 10_000), true},
		{"unread replies", strings.Repeat("get k k k k k k k k k k\r\n", 20), false},
		{"unread replies and reset", strings.Repeat("get k k k k k k k k k k\r\n", 20), true},
		{"a pipeline", strings.Repeat("mn\r\n", 2_000), false},
		{"a pipeline and reset", strings.Repeat("mn\r\n", 2_000), true},
		{"watch", "watch\r\n", false},
	} {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range crowd / 8 {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.SetDeadline(time.Now().Add(time.Second))
					_, _ = c.Write([]byte(flood.says)) // those beyond the limit are closed already
					if flood.reset {
						_ = c.(*net.TCPConn).SetLinger(0)
					}
					_ = c.Close()
				}
			})
		}
		all.Wait()
		if !flood.reset {
			polite += crowd
		}
		good.ping()
		eventually(t, "the "+flood.name+" are gone", func() bool { return h.conns.Numbers().Current == 1 })
		eventually(t, "their descriptors are closed", func() bool { return openFiles(t) <= during })
		eventually(t, "nothing is held for the "+flood.name, func() bool { return h.holds() == 0 && h.conns.sending.Load() == 0 })
	}
	// A reset may end a client while it waits to be accepted, and some systems never show such a
	// one. The others have all come, the last of them perhaps only now: current says 1 too while
	// clients wait.
	came := func() uint64 { n := h.conns.Numbers(); return n.Total + n.Rejected }
	eventually(t, "all who took their leave are counted", func() bool { return came() > polite })
	if came() > 1+11*crowd {
		t.Errorf("%d are counted of %d", came(), 1+11*crowd)
	}
	_ = good.Close()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
	// gnet keeps a pool of goroutines, and what cleans it, for the life of the process.
	pool := []goleak.Option{goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"), others}
	eventually(t, "all goroutines have ended", func() bool { return goleak.Find(pool...) == nil })
}
