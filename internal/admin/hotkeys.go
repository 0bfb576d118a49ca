package admin

import (
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gomemd/gomemd/internal/stats"
)

// hotKeysJSON is what /hotkeys tells. Counts are scaled up from the sample.
type hotKeysJSON struct {
	Since      time.Time    `json:"since,omitzero"` // absent, as until, before there was a request
	Until      time.Time    `json:"until,omitzero"`
	Sampled    uint64       `json:"sampled"`  // one request of so many
	Requests   uint64       `json:"requests"` // with a key, all in the window
	Bytes      uint64       `json:"bytes"`    // of values
	ByRequests []hotKeyJSON `json:"by_requests"`
	ByBytes    []hotKeyJSON `json:"by_bytes"`
}

// hotKeyJSON has its key as text or, if that is no UTF-8, in base64.
type hotKeyJSON struct {
	Key       string `json:"key,omitempty"`
	KeyBase64 []byte `json:"key_base64,omitempty"`
	Requests  uint64 `json:"requests"`
	Bytes     uint64 `json:"bytes"`
	Error     uint64 `json:"error"` // at most so much too high, in the unit of the list
}

// jsonOf is the hot keys as JSON has them.
func jsonOf(hot *stats.HotKeys) hotKeysJSON {
	list := func(keys []stats.HotKey) []hotKeyJSON {
		out := make([]hotKeyJSON, len(keys)) // never null
		for i, k := range keys {
			out[i] = hotKeyJSON{Requests: k.Requests, Bytes: k.Bytes, Error: k.Error}
			if utf8.Valid(k.Key) {
				out[i].Key = string(k.Key)
			} else {
				out[i].KeyBase64 = k.Key
			}
		}
		return out
	}
	return hotKeysJSON{
		Since: hot.Since, Until: hot.Until, Sampled: hot.Sampled, Requests: hot.Requests, Bytes: hot.Bytes,
		ByRequests: list(hot.ByRequests), ByBytes: list(hot.ByBytes),
	}
}

// hotkeys tells the hot keys, to whom keys are told.
func (a *Server) hotkeys(w http.ResponseWriter, r *http.Request) {
	if ok, why := a.mayHaveKeys(r); !ok {
		refuse(w, http.StatusForbidden, "%s", why)
		return
	}
	source, started := a.server()
	if !started {
		refuse(w, http.StatusServiceUnavailable, notStarted)
		return
	}
	hot := source.HotKeys()
	if hot.Sampled == 0 {
		refuse(w, http.StatusNotFound, "hot keys are not looked for: see --hot-keys")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(jsonOf(&hot)) // fails only if nobody reads it any more
}
