package conn

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// withGoroutines has goroutines accept everywhere, as beside an unknown gnet.
func withGoroutines(t *testing.T) {
	before := direct
	direct = false
	t.Cleanup(func() { direct = before })
}

// A test's binary has gnet of go.mod, so loops accept, and the constants are to be looked over when
// go.mod asks for another.
func TestLoopsAcceptWithTheGnetThatIsKnown(t *testing.T) {
	if !direct {
		t.Error("loops do not accept")
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := gnetPath + " v" + gnetVersion; !strings.Contains(string(mod), want) {
		t.Errorf("go.mod does not ask for %s", want)
	}
	gnet := debug.Module{Path: gnetPath, Version: "v" + gnetVersion}
	other, fork := gnet, gnet
	other.Version, fork.Replace = "v2.10.1", &debug.Module{Path: "../gnet"}
	for _, tt := range []struct {
		what string
		main string
		deps []*debug.Module
		ok   bool
		want bool
	}{
		{"the known one", "", []*debug.Module{{Path: "golang.org/x/sys"}, &gnet}, true, true},
		{"another", ourPath, []*debug.Module{&other}, true, false},
		{"another in its place", ourPath, []*debug.Module{&fork}, true, false},
		{"modules, and gnet is not among them", ourPath, []*debug.Module{{Path: "golang.org/x/sys"}}, true, false},
		{"a test of ours", ourPath, nil, true, true},
		{"a test of somebody else's", "example.com/app", nil, true, false},
		{"a program that does not say", "", nil, false, false},
	} {
		if got := isGnet(&debug.BuildInfo{Main: debug.Module{Path: tt.main}, Deps: tt.deps}, tt.ok); got != tt.want {
			t.Errorf("%s: %v", tt.what, got)
		}
	}
}

// However a connection is taken in, it is the same: its addresses, its options.
func TestAcceptedConnections(t *testing.T) {
	for _, who := range []string{"loops", "goroutines"} {
		for _, tt := range []struct {
			listen string
			dial   []string
		}{
			{"127.0.0.1:0", []string{"127.0.0.1"}},
			{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.0.0.1"}},
			{":0", []string{"127.0.0.1", "::1", "127.0.0.2"}},
			{"[::1]:0", []string{"::1"}},
		} {
			t.Run(who+" at "+tt.listen, func(t *testing.T) {
				for _, ip := range tt.dial {
					l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
					if err != nil {
						t.Skip("this machine has no such address:", err)
					}
					_ = l.Close()
				}
				if who == "goroutines" {
					withGoroutines(t)
				}
				h := start(t, options{plain: true, addr: tt.listen})
				for _, ip := range tt.dial {
					to := net.JoinHostPort(ip, strconv.Itoa(h.addr().(*net.TCPAddr).Port))
					raw, err := net.Dial("tcp", to)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = raw.Close() }()
					c := clientOf(t, h, raw)
					c.ping()
					s := c.served() // by its address
					family := "tcp:"
					if strings.Contains(ip, ":") {
						family = "tcp6:"
					}
					if got := addressText(s.remote); got != family+c.LocalAddr().String() {
						t.Errorf("from %s, not %s", got, c.LocalAddr())
					}
					if got := addressText(s.local); got != family+to {
						t.Errorf("to %s, not %s", got, to)
					}
					for name, option := range map[string][2]int{
						"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
					} {
						if on, err := unix.GetsockoptInt(s.fd, option[0], option[1]); err != nil || on == 0 {
							t.Errorf("%s: %d (%v)", name, on, err)
						}
					}
					if flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
						t.Errorf("flags %x (%v): programs that are started would inherit it", flags, err)
					}
				}
			})
		}
	}
}

// A new client goes to the loop with the fewest.
func TestClientsGoWhereTheFewestAre(t *testing.T) {
	const loops, each = 3, 5
	h := start(t, options{plain: true, loops: loops})
	of := map[*loop][]*client{}
	come := func() *loop {
		c := dial(t, h)
		c.ping()
		l := c.served().loop
		of[l] = append(of[l], c)
		return l
	}
	for range loops * each {
		come()
	}
	var left *loop
	for l, crowd := range of {
		if len(crowd) != each {
			t.Errorf("a loop has %d clients of %d", len(crowd), loops*each)
		}
		left = l
	}
	for _, c := range of[left][1:] {
		_ = c.Close()
	}
	eventually(t, "they are gone", func() bool { return left.crowd.Load() == 1 })
	// One may find that the listener is where the last was accepted.
	come()
	here := 0
	for range each - 2 {
		if come() == left {
			here++
		}
	}
	if here < each-3 {
		t.Errorf("%d clients of %d went where the fewest are", here, each-2)
	}
}

// A crowd that has come while the loop was busy, beyond what is accepted in one turn, is served whole.
func TestACrowdAtTheDoor(t *testing.T) {
	h := start(t, options{plain: true, loops: 1})
	first := dial(t, h)
	first.ping()
	s := first.served()
	busy, release := make(chan bool), make(chan bool)
	var loop sync.WaitGroup
	loop.Go(func() {
		s.onLoop(t, func() {
			close(busy)
			<-release
		})
	})
	<-busy
	crowd := make([]*client, 20*acceptsAtOnce)
	for i := range crowd {
		crowd[i] = dial(t, h)
	}
	close(release)
	loop.Wait()
	for _, c := range crowd {
		c.ping()
	}
}

// A listener that another process has, too, goes on to be ready after we have closed it. No loop
// watches it any more.
func TestNobodyWatchesAListenerThatIsClosed(t *testing.T) {
	h := start(t, options{plain: true, loops: 2})
	c := dial(t, h)
	c.ping()
	other, err := unix.Dup(h.conns.doors[0].fd) // as another process would have it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(other) }()
	var stat unix.Stat_t
	if err := unix.Fstat(other, &stat); err != nil {
		t.Fatal(err)
	}
	watched := func() (n int) {
		for _, l := range h.conns.engine.all {
			info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", l.writable))
			if err != nil {
				t.Fatal(err)
			}
			n += len(regexp.MustCompile(fmt.Sprintf(`(?m)^tfd:.* ino:%x\b`, stat.Ino)).FindAll(info, -1))
		}
		return n
	}
	if n := watched(); n != 1 {
		t.Fatalf("the listener is watched by %d loops", n)
	}
	h.conns.StopAccepting()
	if n := watched(); n != 0 {
		t.Errorf("%d loops watch a listener that is closed", n)
	}
	c.ping()
}
