package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The README is as the program makes it: go run ./bench/compare -readme FILE
func TestTheReadmesTableIsMadeOfTheFileItNames(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	file, from, to, err := findResults(string(text))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := summary(file, string(kept))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text[from:to]); got != want {
		t.Errorf("the README has\n%s\nof %s the program makes\n%s", got, file, want)
	}
}

// What printRow prints is what summary reads: two peers, one of which cannot do all.
func TestASummaryIsMadeOfPrintedRows(t *testing.T) {
	var kept strings.Builder
	kept.WriteString("$ go run ./bench/compare\n2026-11-28; gomemd 1 beside memcached 1.6.45, pogocache 1.3; go1.26\n" +
		"2 × A, Linux 6; load average before: 0\nMedians of 1 (smallest–largest), 1s each after 1s, -t 2; client on the same machine\n\n")
	at := func(rate, cpu, p999 float64) []sample { return []sample{{rate: rate, cpu: cpu, p999: p999}} }
	three := func(ours, first, second []sample) []side {
		return []side{{name: "gomemd", samples: ours}, {name: "memcached", samples: first}, {name: "pogocache", samples: second}}
	}
	for _, row := range []struct {
		name  string
		sides []side
	}{
		{"get-10k", three(at(300, 1, 50), at(100, 2, 100), at(200, 1, 0))},
		{"get-1m", three(at(100, 8, 100), at(200, 1, 10), nil)},
		{"open-10k", three(at(100, 1, 10), at(100, 2, 10), at(100, 4, 10))},
		{"idle", three([]sample{{busy: 3}}, []sample{{busy: 2}}, []sample{{busy: 1}})},
	} {
		printRow(&kept, &workload{name: row.name}, row.sides)
	}
	got, err := summary("bench/results/x.txt", kept.String())
	if err != nil {
		t.Fatal(err)
	}
	want := `<!-- results of bench/results/x.txt -->
beside memcached 1.6.45, pogocache 1.3, ` + "`-t 2`" + `, 2 cores that the client shares; ratios gomemd to the other of medians ([all rows](bench/results/x.txt)):

| | operations a second | server CPU an operation | p99.9 | beside pogocache: operations a second | server CPU an operation | p99.9 |
| --- | --: | --: | --: | --: | --: | --: |
| the same, 10,000 a second | | 0.50 | 1.00 | | 0.25 | 1.00 |
| silent connections: 1 | | 1.50 | | | 3.00 | |
| gets of 10 kB · 1 MB | 3.00 · 0.50 | 0.50 · 8.00 | 0.50 · 10.00 | 1.50 · – | 1.00 · – | |
<!-- end of results -->`
	if got != want {
		t.Errorf("%s\nwant\n%s\nof\n%s", got, want, kept.String())
	}
}

func TestOtherFilesMakeNoSummary(t *testing.T) {
	for _, text := range []string{"", "# Results\n", "2026-11-28; gomemd 1 beside memcached 1.6.45; go1.26\n"} {
		if got, err := summary("x", text); err == nil {
			t.Errorf("%q makes %q", text, got)
		}
	}
}

func TestTheRowsOfTheSummaryExist(t *testing.T) {
	known := map[string]bool{}
	for _, w := range workloads {
		known[w.name] = true
	}
	for _, line := range summaryLines {
		for _, row := range line.rows {
			if !known[row.name] {
				t.Errorf("there is no row %s", row.name)
			}
		}
	}
}
