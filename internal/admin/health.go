package admin

import (
	"fmt"
	"net/http"
)

// healthz tells that the process answers: an orchestrator that gets nothing should start another.
func (a *Server) healthz(w http.ResponseWriter, _ *http.Request) { say(w, "ok") }

// readyz tells whether clients should be sent here. See the package's table of states.
func (a *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch _, started := a.server(); {
	case a.draining.Load():
		refuse(w, http.StatusServiceUnavailable, "draining: the server is about to end")
	case !started:
		refuse(w, http.StatusServiceUnavailable, "starting: a memory file may be read")
	default:
		say(w, "ok")
	}
}

// say answers with a line of plain text.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, text)
}
