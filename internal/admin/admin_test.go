package admin

import (
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/gomemd/gomemd/internal/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
