package admin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
)

var hotKeys = stats.HotKeys{
	Since: time.Unix(1_700_000_000, 0).UTC(), Until: time.Unix(1_700_000_010, 0).UTC(), Sampled: 100, Requests: 5000, Bytes: 7000,
	ByRequests: []stats.HotKey{{Key: []byte("<b>häufig</b>"), Requests: 4000, Bytes: 1000, Error: 100}},
	ByBytes:    []stats.HotKey{{Key: []byte{'k', 0xff}, Requests: 1, Bytes: 6000}},
}

func TestHotKeysAreToldAsJSON(t *testing.T) {
	a := listen(t, Options{})
	if w := ask(a, "GET", "/hotkeys", here, nil); w.Code != 503 {
		t.Errorf("starting: %d", w.Code)
	}
	a.Serve(still{})
	if w := ask(a, "GET", "/hotkeys", here, nil); w.Code != 404 {
		t.Errorf("off: %d", w.Code)
	}
	a.Serve(still{hot: hotKeys})
	w := ask(a, "GET", "/hotkeys", here, nil)
	var got hotKeysJSON
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/json" || got.Sampled != 100 || got.Requests != 5000 || got.Bytes != 7000 ||
		!got.Since.Equal(hotKeys.Since) || !got.Until.Equal(hotKeys.Until) {
		t.Errorf("%v %+v", w.Header(), got)
	}
	if k := got.ByRequests[0]; k.Key != "<b>häufig</b>" || k.KeyBase64 != nil || k.Requests != 4000 || k.Bytes != 1000 || k.Error != 100 {
		t.Errorf("%+v", k)
	}
	if k := got.ByBytes[0]; k.Key != "" || string(k.KeyBase64) != "k\xff" {
		t.Errorf("a key that is no text: %+v", k)
	}
}
