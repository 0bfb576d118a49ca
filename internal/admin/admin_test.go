package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gomemd/gomemd/internal/stats"
)

func TestMain(m *testing.M) {
	// gnet's pool of goroutines is there for good.
	const pool = "github.com/panjf2000/ants/v2.(*poolCommon)."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(pool+"purgeStaleWorkers"), goleak.IgnoreAnyFunction(pool+"ticktock"))
}

// still is a server whose numbers do not change.
type still struct {
	brief stats.Snapshot
	hot   stats.HotKeys
}

func (s still) Brief() stats.Snapshot  { return s.brief }
func (s still) HotKeys() stats.HotKeys { return s.hot }

// listen starts a listener on a free port of loopback.
func listen(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	a, err := Listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// get asks for a page; change may change the request.
func get(t *testing.T, a *Server, path string, change func(*http.Request)) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+a.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	reply, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, reply.Header, string(text)
}

func TestReadyIsAfterTheStartAndBeforeTheDrain(t *testing.T) {
	a := listen(t, Options{})
	want := func(when string, ready int) {
		t.Helper()
		if status, _, body := get(t, a, "/readyz", nil); status != ready {
			t.Errorf("%s: readyz says %d %s, want %d", when, status, body, ready)
		}
		if status, _, body := get(t, a, "/healthz", nil); status != http.StatusOK {
			t.Errorf("%s: healthz says %d %s", when, status, body)
		}
	}
	want("starting", http.StatusServiceUnavailable)
	a.Serve(still{})
	want("serving", http.StatusOK)
	a.Drain()
	want("draining", http.StatusServiceUnavailable)
}

func dial(t *testing.T, a *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func TestAddresses(t *testing.T) {
	for addr, local := range map[string]bool{
		":0": true, "127.0.0.1:0": true, "localhost:0": true, "0.0.0.0:0": false, "[::]:0": false, "*:0": false,
	} {
		if a := listen(t, Options{Addr: addr}); a.local != local {
			t.Errorf("%s: listens on %s", addr, a.Addr())
		}
	}
	a := listen(t, Options{})
	if _, err := Listen(Options{Addr: a.Addr().String()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("twice on one address: %v", err)
	}
	if _, err := Listen(Options{Addr: "9150"}); err == nil {
		t.Error("9150 is no address")
	}
}

// Who opens as many connections as there may be keeps nobody out, unless all of them are at work.
func TestThereAreSoManyConnections(t *testing.T) {
	for _, tt := range []struct {
		what, says string
		answered   bool
		quiet      int
		lets       bool // one more in
	}{
		{"idle", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", true, maxConns, true},
		{"silent", "", false, maxConns, true},
		{"in the middle of a request", "GET /healthz HTTP/1.1\r\n", false, maxConns, true},
		{"at work", "GET /debug/pprof/heap?seconds=8 HTTP/1.1\r\nHost: localhost\r\n\r\n", false, 0, false},
	} {
		a := listen(t, Options{Pprof: true})
		for range maxConns {
			c := dial(t, a)
			io.WriteString(c, tt.says)
			if tt.answered {
				if _, err := io.ReadAtLeast(c, make([]byte, 1<<10), 12); err != nil {
					t.Fatal(err)
				}
			}
		}
		there := func(open, quiet int) func() bool {
			return func() bool {
				a.conns.mu.Lock()
				defer a.conns.mu.Unlock()
				return a.conns.open == open && len(a.conns.quiet) == quiet
			}
		}
		waitFor(t, tt.what, there(maxConns, tt.quiet))
		c := dial(t, a)
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := c.Read(make([]byte, 1)); (err == nil) != tt.lets {
			t.Errorf("%s: one more is told: %v", tt.what, err)
		}
		waitFor(t, tt.what+", with one more", there(maxConns, tt.quiet))
	}
}

func waitFor(t *testing.T, what string, come func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !come(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it does not come to that", what)
		}
	}
}

func TestHealthcheckAsksWhetherItIsReady(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // concerns whoever leaves this host
	a := listen(t, Options{Addr: "*:0"})
	_, port, _ := net.SplitHostPort(a.Addr().String())
	check := func(addr, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		said := "ready"
		if err := Healthcheck(ctx, addr); err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: %s, want %s", addr, said, want)
		}
	}
	check("127.0.0.1:"+port, "starting")
	a.Serve(still{})
	for _, host := range []string{"127.0.0.1", "localhost", "", "*", "0.0.0.0"} {
		check(host+":"+port, "ready")
	}
	a.Drain()
	check("127.0.0.1:"+port, "503 Service Unavailable: draining")
	a.Close()
	check("127.0.0.1:"+port, "connection refused")
	check("nonsense", "missing port")
}

func TestANilListenerDoesNothing(t *testing.T) {
	var a *Server
	a.Serve(still{})
	a.Drain()
	a.Close()
}

// slow is a server whose numbers take a moment.
type slow struct {
	still
	asked  chan struct{} // somebody reads them
	inside atomic.Int32
}

func (s *slow) Brief() stats.Snapshot {
	s.inside.Add(1)
	defer s.inside.Add(-1)
	select {
	case s.asked <- struct{}{}:
	default:
	}
	time.Sleep(50 * time.Millisecond)
	return s.brief
}

// After Close the server may be shut down: nobody reads its numbers any more.
func TestNobodyReadsTheServerAfterClose(t *testing.T) {
	for _, path := range []string{"/metrics", "/events"} {
		a, source := listen(t, Options{}), &slow{asked: make(chan struct{}, 1)}
		a.Serve(source)
		asks := make(chan error, 1)
		go func() {
			reply, err := http.Get("http://" + a.Addr().String() + path)
			if err == nil {
				_, err = io.Copy(io.Discard, reply.Body)
				_ = reply.Body.Close()
			}
			asks <- err
		}()
		<-source.asked
		if a.Close(); source.inside.Load() > 0 {
			t.Errorf("%s is being answered after Close", path)
		}
		<-asks // cut off, or not
	}
}
