package stats

import (
	"reflect"
	"strings"
	"testing"
)

// Each counter has a field of its own in Served, and the other way round.
func TestEveryCounterIsServed(t *testing.T) {
	var cs Counters
	for c := range NumCounters {
		cs.Add(c, 1<<c)
	}
	var sums Sums
	if cs.AddTo(&sums); sums != (Sums{}) {
		t.Errorf("seen before they are published: %v", sums)
	}
	cs.Publish()
	cs.Publish()
	cs.AddTo(&sums)
	served, union := reflect.ValueOf(sums.Served()), uint64(0)
	for i := range served.NumField() {
		union += served.Field(i).Uint()
	}
	if served.NumField() != int(NumCounters) || union != 1<<NumCounters-1 {
		t.Errorf("%d fields for %d counters, which sum up to %b", served.NumField(), NumCounters, union)
	}
	cs.Reset()
	var after Sums
	if cs.AddTo(&after); after != (Sums{}) {
		t.Errorf("after the reset: %v", after)
	}
}

// A renderer needs a snapshot and nothing else.
func TestASnapshotIsEnough(t *testing.T) {
	s := Snapshot{Served: Served{CmdGet: 7}, Settings: Settings{Tuned: map[string]string{"temp_lru": "yes"}}, LogDropped: 9}
	s.Store.CurrItems, s.Store.HeldBytes = 3, 5
	for want, got := range map[string][]byte{
		"STAT cmd_get 7\r\n":              AppendGeneral(nil, &s),
		"STAT temp_lru yes\r\n":           AppendSettings(nil, &s),
		"STAT items:1:number 3\r\n":       AppendItems(nil, &s),
		"STAT 1:used_chunks 3\r\n":        AppendSlabs(nil, &s),
		"STAT conn_panics 0\r\n":          AppendOwn(nil, &s),
		"STAT log_dropped 9\r\n":          AppendOwn(nil, &s),
		"STAT 4:state conn_parse_cmd\r\n": AppendConn(nil, &Conn{FD: 4, State: "conn_read"}, 4),
		"STAT sizes_status disabled\r\n":  AppendSizes(nil, false, func(func(int, uint64)) {}),
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
