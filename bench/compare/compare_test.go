package main

import (
	"errors"
	"strings"
	"testing"
)

func TestMedians(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
	kept := []float64{3, 1, 2}
	spreadOf(kept)
	if kept[0] != 3 {
		t.Error("the samples were sorted in place: rounds would no longer stand beside each other")
	}
}

// A row is made of samples whose medians are easy: three times as fast, for half the time of the processor.
func TestARowSaysWhatMissesItsBar(t *testing.T) {
	ours := []sample{{rate: 300_000, cpu: 2, p999: 100}, {rate: 330_000, cpu: 2, p999: 90}, {rate: 270_000, cpu: 2, p999: 500}}
	theirs := []sample{{rate: 100_000, cpu: 4, p999: 80}, {rate: 100_000, cpu: 4, p999: 80}}
	w := &workload{name: "row", bar: bar{rate: 2, cpu: 0.4}}
	var out strings.Builder
	notes := printRow(&out, w, []side{{name: "gomemd", samples: ours}, {name: "memcached", samples: theirs}})
	for _, want := range []string{"  ratio  ", "300k (270k–330k)", "3.00 ≥ 2.00", "0.50 MISSES ≤ 0.40", "1.25 MISSES ≤ 1.10", "   by round           3.00–3.30 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "p50") {
		t.Error("a column that nobody measured is shown")
	}
	if len(notes) != 2 {
		t.Errorf("two bars are missed, noted are %q", notes)
	}
}

// Of three others one is slower than the first, one does not know what the row needs, and one failed.
func TestARowHasARatioToEachPeer(t *testing.T) {
	at := func(rate float64) []sample { return []sample{{rate: rate, cpu: 1}} }
	sides := []side{
		{name: "gomemd", samples: at(3000)}, {name: "memcached", samples: at(1000)}, {name: "slow", samples: at(500)},
		{name: "plain", without: errors.New("illegal option Z"), cannot: true}, {name: "ill", without: errors.New("it hung up")},
	}
	var out strings.Builder
	notes := printRow(&out, &workload{name: "row", bar: bar{rate: 2}}, sides)
	for _, want := range []string{"to memcached", "3.00 ≥ 2.00", "to slow", "6.00 ", "plain: not run: illegal option Z", "ill: FAILED: it hung up"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for _, not := range []string{"ratio", "to plain", "to ill", "6.00 ≥"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("%q in\n%s", not, out.String())
		}
	}
	if len(notes) != 1 || notes[0] != "row: ill failed" {
		t.Errorf("noted are %q", notes)
	}
	out.Reset()
	sides[0] = side{name: "gomemd", without: errors.New("illegal option Z"), cannot: true}
	if notes := printRow(&out, &workload{name: "row", bar: bar{rate: 2}}, sides[:2]); len(notes) > 0 || strings.Contains(out.String(), "ratio") {
		t.Errorf("a ratio to nothing: %q\n%s", notes, out.String())
	}
}

func TestMemtierReportsMilliseconds(t *testing.T) {
	p50, p99, p999, err := memtierLatency([]byte(`{"ALL STATS": {"Totals": {"Count": 1, "Percentile Latencies":
		{"p50.00": 0.255, "p99.00": 1.5, "p99.90": 3.0, "Histogram log format": {"Compressed Histogram": "x"}}}}}`))
	if err != nil || p50 != 255 || p99 != 1500 || p999 != 3000 {
		t.Error(p50, p99, p999, err)
	}
	if _, _, _, err := memtierLatency([]byte(`{"ALL STATS": {"Totals": {}}}`)); err == nil {
		t.Error("a report without percentiles passed")
	}
}

func TestNamesOfWorkloads(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range workloads {
		if seen[w.name] {
			t.Errorf("two workloads are called %s", w.name)
		}
		seen[w.name] = true
	}
	if some, err := only(workloads, "^mget", false); err != nil || len(some) != 3 {
		t.Errorf("^mget: %v, %v", some, err)
	}
	if _, err := only(workloads, "no such", false); err == nil {
		t.Error("a pattern without matches passed")
	}
	w := workload{args: "-mix get -idle 10000"}
	if w.option("idle") != "10000" || w.option("size") != "" || (&workload{}).option("idle") != "" {
		t.Error("options of rows are not found")
	}
}
