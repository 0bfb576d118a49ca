package admin

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// ask has the guard and the routes of a listener answer a request that comes from there.
func ask(a *Server, method, path, from string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host, r.RemoteAddr = a.Addr().String(), from
	for name, value := range header {
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	a.http.Handler.ServeHTTP(w, r)
	return w
}

const here, elsewhere = "127.0.0.1:4711", "192.0.2.7:4711"

func TestOnlyNamesOfThisHostAreAnswered(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	loopback := listen(t, Options{})
	named := listen(t, Options{Addr: "localhost:0", Hosts: []string{"Cache.Example."}})
	everywhere := listen(t, Options{Addr: "0.0.0.0:0"})
	open := listen(t, Options{Hosts: []string{"*"}})
	for _, tt := range []struct {
		admin *Server
		host  string
		want  int
	}{
		{loopback, "127.0.0.1:9150", 200},
		{loopback, "127.0.0.1", 200},
		{loopback, "[::1]:9150", 200},
		{loopback, "[::1]", 200},
		{loopback, "10.1.2.3:80", 200}, // the outside of a container
		{loopback, "localhost:9150", 200},
		{loopback, "LOCALHOST.", 200},
		{loopback, "", 200}, // HTTP 1.0
		{loopback, "evil.example:9150", 403},
		{loopback, "evil.example", 403},
		{loopback, "localhost.evil.example", 403},
		{loopback, "127.0.0.1.evil.example:9150", 403},
		{loopback, "cache.example", 403},
		{named, "cache.example:9150", 200},
		{named, "CACHE.example", 200},
		{named, "evil.example", 403},
		{everywhere, machine + ":9150", 200},
		{everywhere, "evil.example", 403},
		{everywhere, "*", 403},
		{open, "evil.example", 200},
	} {
		if w := ask(tt.admin, "GET", "/healthz", here, map[string]string{"Host": tt.host}); w.Code != tt.want {
			t.Errorf("%s, Host: %q: %d %s, want %d", tt.admin.opts.Addr, tt.host, w.Code, w.Body, tt.want)
		}
	}
}

func TestScriptsOfOtherSitesAreNotAnswered(t *testing.T) {
	a := listen(t, Options{})
	for _, tt := range []struct {
		site, mode string
		want       int
	}{
		{"", "", 200},
		{"none", "navigate", 200},
		{"same-origin", "cors", 200},
		{"cross-site", "cors", 403},
		{"cross-site", "no-cors", 403},
		{"same-site", "cors", 403}, // another port of this host
		{"cross-site", "navigate", 200},
	} {
		if w := ask(a, "GET", "/healthz", here, map[string]string{"Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode}); w.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.site, tt.mode, w.Code, tt.want)
		}
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	a := listen(t, Options{Pprof: true})
	a.Serve(still{})
	for _, path := range []string{"/healthz", "/metrics", "/hotkeys", "/debug/pprof/symbol", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			if w := ask(a, method, path, here, nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	status, _, body := get(t, a, "/metrics", func(r *http.Request) { r.Method = "HEAD" })
	if status != http.StatusOK || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
}

func TestKeysAreForThisHostUnlessTold(t *testing.T) {
	for _, tt := range []struct {
		addr string
		keys bool
		from string
		head string // of a proxy
		want int
	}{
		{"127.0.0.1:0", false, here, "", 200},
		{"[::1]:0", false, "[::1]:4711", "", 200},
		{":0", false, here, "", 200},
		{"127.0.0.1:0", false, elsewhere, "", 403}, // redirected by the system's packet filter
		{"127.0.0.1:0", false, here, "X-Forwarded-For", 403},
		{"127.0.0.1:0", false, here, "Forwarded", 403},
		{"127.0.0.1:0", true, here, "Forwarded", 200},
		{"0.0.0.0:0", false, elsewhere, "", 403},
		{"0.0.0.0:0", false, here, "", 403}, // whoever has the machine's network may be another container
		{"0.0.0.0:0", true, elsewhere, "", 200},
		{"*:0", false, here, "", 403},
	} {
		a, err := Listen(Options{Addr: tt.addr, Keys: tt.keys})
		if err != nil {
			if strings.HasPrefix(tt.addr, "[") {
				continue // no IPv6
			}
			t.Fatal(err)
		}
		a.Serve(still{hot: hotKeys})
		header := map[string]string{}
		if tt.head != "" {
			header[tt.head] = "for=192.0.2.7"
		}
		if w := ask(a, "GET", "/hotkeys", tt.from, header); w.Code != tt.want || tt.want != 200 && !strings.Contains(w.Body.String(), "--admin-keys") {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Body)
		}
		a.Close()
	}
}

// A client can send a header empty, behind which its proxy puts the one with the address.
func TestAProxyIsSeenThatHidesItsHeaders(t *testing.T) {
	a := listen(t, Options{})
	a.Serve(still{hot: hotKeys})
	for _, tt := range []struct {
		what string
		as   func(r *http.Request)
		want int
	}{
		{"no proxy", func(*http.Request) {}, 200},
		{"an empty header before the proxy's", func(r *http.Request) { r.Header["X-Forwarded-For"] = []string{"", "192.0.2.7"} }, 403},
		{"an empty header", func(r *http.Request) { r.Header["Forwarded"] = []string{""} }, 403},
		{"the scheme alone", func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, 403},
		{"HTTP 1.0", func(r *http.Request) { r.Proto, r.ProtoMinor = "HTTP/1.0", 0 }, 403},
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/hotkeys", nil)
		r.RemoteAddr = here
		tt.as(r)
		w := httptest.NewRecorder()
		a.http.Handler.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d %s", tt.what, w.Code, w.Body)
		}
	}
}

func TestProfilesAreServedWhenAskedFor(t *testing.T) {
	for pprof, want := range map[bool]int{false: 404, true: 200} {
		a := listen(t, Options{Pprof: pprof})
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/cmdline"} {
			if w := ask(a, "GET", path, here, nil); w.Code != want {
				t.Errorf("%v: %s: %d, want %d", pprof, path, w.Code, want)
			}
		}
	}
}
