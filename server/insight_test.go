package server

import (
	"fmt"
	"testing"
	"time"
)

// A server looks at its requests unless told otherwise, and tells which keys are asked for most: its
// owner by HotKeys, clients by stats hotkeys.
func TestHotKeysOfAServer(t *testing.T) {
	for name, tt := range map[string]struct {
		every, sampled int
	}{"each": {1, 1}, "as usual": {0, 100}, "none": {-1, 0}} {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, Options{HotKeys: tt.every})
			c := dial(t, srv)
			c.say("set k 0 0 10\r\n1234567890\r\n")
			c.hear("STORED\r\n")
			for len(srv.HotKeys().ByRequests) == 0 && tt.sampled > 0 {
				for range 100 {
					c.say("get k\r\n")
					c.hear("VALUE k 0 10\r\n1234567890\r\nEND\r\n")
				}
				time.Sleep(time.Millisecond) // the tick reads
			}
			hot := srv.HotKeys()
			if hot.Sampled != uint64(tt.sampled) {
				t.Errorf("one of %d", hot.Sampled)
			}
			names, values, _ := c.allStats(" hotkeys")
			if tt.sampled == 0 {
				if len(names) != 1 || hot.ByRequests != nil {
					t.Errorf("%v, %+v", names, hot)
				}
				return
			}
			if k := hot.ByRequests[0]; string(k.Key) != "k" || k.Requests == 0 || k.Requests > hot.Requests || k.Bytes != 10*k.Requests {
				t.Errorf("%+v", hot)
			}
			var requests, bytes int
			if _, err := fmt.Sscanf(values["by_requests:1"], "key=k,requests=%d,bytes=%d,share=100.00,error=0", &requests, &bytes); err != nil || bytes != 10*requests {
				t.Errorf("%v, %v", values, err)
			}
		})
	}
}
