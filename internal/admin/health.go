package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// notStarted is also what a process says that has nothing to start: it can serve nobody.
const notStarted = "starting: there may be a memory file to read (with neither a port nor a unix socket, this does not end)"

// healthz tells that the process answers: an orchestrator that gets nothing should start another.
func (a *Server) healthz(w http.ResponseWriter, _ *http.Request) { say(w, "ok") }

// readyz tells whether clients should be sent here. See the package's table of states.
func (a *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch _, started := a.server(); {
	case a.draining.Load():
		refuse(w, http.StatusServiceUnavailable, "draining: the server is about to end")
	case !started:
		refuse(w, http.StatusServiceUnavailable, notStarted)
	default:
		say(w, "ok")
	}
}

// say answers with a line of plain text.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, text)
}

// Healthcheck asks the listener at an address, as Options.Addr has it, whether its server is ready.
func Healthcheck(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host == "" || host == anyHost || err == nil && ip.IsUnspecified() {
		host = loopback
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	transport := http.Transport{DisableKeepAlives: true} // and no proxy, whatever the environment says
	reply, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(reply.Body, 1<<10))
		return fmt.Errorf("%s: %s", reply.Status, strings.TrimSpace(string(why)))
	}
	return nil
}
