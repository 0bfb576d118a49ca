package admin

import "net/http"

// hotkeys is to be: JSON of the hot keys.
func (a *Server) hotkeys(w http.ResponseWriter, r *http.Request) {
	if ok, why := a.mayHaveKeys(r); !ok {
		refuse(w, http.StatusForbidden, "%s", why)
		return
	}
	refuse(w, http.StatusNotFound, "hot keys are not looked for")
}
