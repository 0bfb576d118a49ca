package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The README's table stands between two comments, of which the first names the file that it is made from. All of what is
// between them is ours: nothing in it is written by hand.
const (
	resultsBegin = "<!-- results of "
	resultsEnd   = "<!-- end of results -->"
)

// rewriteReadme makes the table of a README afresh, from a file that -o kept.
func rewriteReadme(readme, file string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	table, err := summary(filepath.ToSlash(file), string(kept))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	_, from, to, err := findResults(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return os.WriteFile(readme, []byte(string(text[:from])+table+string(text[to:])), 0o666)
}

// findResults finds what is between the comments, both included, and the file that they name.
func findResults(readme string) (file string, from, to int, err error) {
	from = strings.Index(readme, resultsBegin)
	end := strings.Index(readme, resultsEnd)
	if from < 0 || end < from {
		return "", 0, 0, fmt.Errorf("no %q … %q", resultsBegin, resultsEnd)
	}
	first, _, _ := strings.Cut(readme[from+len(resultsBegin):], "\n")
	return strings.TrimSuffix(strings.TrimSpace(first), " -->"), from, end + len(resultsEnd), nil
}

// A line of the README's table: what some rows are, in words, and which. Rows that the file does not have are left out.
type summaryLine struct {
	before string
	rows   []summaryRow
	after  string
}

type summaryRow struct{ words, name string }

// one is a line about a single row.
func one(words, name string) summaryLine { return summaryLine{rows: []summaryRow{{words, name}}} }

var summaryLines = []summaryLine{
	one("gets and sets 10:1, 32 bytes, 50 connections", "get10-set1-32"),
	{"the same, ", []summaryRow{{"10", "open-10"}, {"50", "open-50"}, {"100", "open-100"}, {"1,000", "open-1k"}, {"10,000", "open-10k"}}, " a second"},
	{"silent connections: ", []summaryRow{{"1", "idle"}, {"10,000", "idle-10k"}}, ""},
	{"pipelines of 20 ", []summaryRow{{"gets", "pipe20-get"}, {"sets", "pipe20-set"}}, ""},
	one("multigets of 50", "mget50"),
	one("OpenSIPS-like: 8 of 300 connections busy", "opensips"),
	one("connect, get, quit", "connect-get-quit"),
	one("sets that evict, pipelines of 20", "evicting-set"),
	{"gets of ", []summaryRow{{"10 kB", "get-10k"}, {"100 kB", "get-100k"}, {"1 MB", "get-1m"}}, ""},
	{"sets of ", []summaryRow{{"10 kB", "set-10k"}, {"100 kB", "set-100k"}, {"1 MB", "set-1m"}}, ""},
	one("gets and sets 1:1, 500 kB, pipelines of 10, 4 connections", "mixed-500k"),
	{"memtier_benchmark: ", []summaryRow{{"sets and gets 1:10", "memtier-get10-set1-32"}, {"pipelines of 20 gets", "memtier-pipe20-get"},
		{"500 kB 1:1 in pipelines of 10", "memtier-mixed-500k"}}, ""},
	{"what looking costs: ", []summaryRow{{"`stats`, 10 Hz", "stats-10hz"}, {"metadump", "metadump"}}, ""},
	{"binary, pipelines of 20 ", []summaryRow{{"gets", "bin-get"}, {"sets", "bin-set"}}, " ([0126](docs/decisions/0126-packets-over-the-same-commands.md))"},
	{"TLS: ", []summaryRow{{"gets of 32 bytes", "tls-get"}, {"pipelines of 20", "tls-pipe"}, {"gets of 100 kB", "tls-get-100k"}, {"handshakes", "tls-handshake"}},
		" ([0125](docs/decisions/0125-tls-on-the-loops.md))"},
}

// A result is the ratios of one row: to whom, of which column.
type result map[string]map[string]string

var (
	rowHead     = regexp.MustCompile(`^(\S+)\s+(ops/s|CPU ms/s)( |$)`)
	headingLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d; \S+ \S+ beside ([^;]+); `)
	machineLine = regexp.MustCompile(`^(\d+) × `)
	threadsWord = regexp.MustCompile(`, (-t \d+);`)
	ratioText   = regexp.MustCompile(`^\s*(\d[\d.]*)`)
)

// summary is the part of the README that a kept table makes, comments included.
func summary(file, kept string) (string, error) {
	rows, peers, heading, err := readResults(kept)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s -->\n%s ([all rows](%s)):\n\n", resultsBegin, file, heading, file)
	titles, under := "| |", "| --- |"
	for i, peer := range peers {
		before := ""
		if i > 0 {
			before = "beside " + peer + ": "
		}
		titles += " " + before + "operations a second | server CPU an operation | p99.9 |"
		under += " --: | --: | --: |"
	}
	fmt.Fprintf(&b, "%s\n%s\n", titles, under)
	for _, line := range summaryLines {
		var words []string
		var there []result
		for _, row := range line.rows {
			if r := rows[row.name]; r != nil {
				words, there = append(words, row.words), append(there, r)
			}
		}
		if len(there) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s%s%s |", line.before, strings.Join(words, " · "), line.after)
		for _, peer := range peers {
			for _, cell := range [][]string{{"ops/s"}, {"CPU µs/op", "CPU ms/s"}, {"p99.9 µs"}} {
				b.WriteString(cellOf(joinRatios(there, peer, line, cell)))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString(resultsEnd)
	return b.String(), nil
}

// joinRatios is one cell: a ratio of each row, and nothing where no row has one. At a given rate the rate is no result.
func joinRatios(rows []result, peer string, line summaryLine, columns []string) string {
	if columns[0] == "ops/s" && (strings.HasPrefix(line.rows[0].name, "open-") || line.rows[0].name == "stats-10hz") {
		return ""
	}
	var ratios []string
	known := false
	for _, r := range rows {
		ratio := "–"
		for _, c := range columns {
			if is := r[peer][c]; is != "" {
				ratio, known = is, true
			}
		}
		ratios = append(ratios, ratio)
	}
	if !known {
		return ""
	}
	return strings.Join(ratios, " · ")
}

// readResults reads a table as printRow prints it: under a row's name its columns' titles, and below them, where the titles
// begin, the ratios.
func readResults(kept string) (rows map[string]result, peers []string, heading string, err error) {
	rows = map[string]result{}
	var others, machine, threads string
	var current result
	var head []rune
	for line := range strings.Lines(kept) {
		line = strings.TrimRight(line, "\n")
		if m := headingLine.FindStringSubmatch(line); m != nil && others == "" {
			others = m[1]
			for other := range strings.SplitSeq(others, ", ") {
				name, _, _ := strings.Cut(other, " ")
				peers = append(peers, name)
			}
			continue
		}
		if m := machineLine.FindStringSubmatch(line); m != nil {
			machine = m[1]
		}
		if m := threadsWord.FindStringSubmatch(line); m != nil && threads == "" {
			threads = m[1]
		}
		if m := rowHead.FindStringSubmatch(line); m != nil {
			current, head = result{}, []rune(line)
			rows[m[1]] = current
			continue
		}
		peer, ok := strings.CutPrefix(line, "  to ")
		switch {
		case ok:
			peer, _, _ = strings.Cut(peer, " ")
		case strings.HasPrefix(line, "  ratio ") && len(peers) > 0:
			peer = peers[0]
		default:
			continue
		}
		if current != nil {
			current[peer] = ratiosUnder(head, []rune(line))
		}
	}
	if len(peers) == 0 || len(rows) == 0 {
		return nil, nil, "", errors.New("this is no result of compare")
	}
	return rows, peers, fmt.Sprintf("beside %s, `%s`, %s cores that the client shares; ratios gomemd to the other of medians",
		others, threads, machine), nil
}

// ratiosUnder takes of a line what stands under the titles of the columns.
func ratiosUnder(head, line []rune) map[string]string {
	ratios := map[string]string{}
	for _, c := range columns {
		at := strings.Index(string(head), " "+c.title)
		if at < 0 {
			continue
		}
		at = len([]rune(string(head)[:at])) + 1
		if at >= len(line) {
			continue
		}
		if m := ratioText.FindStringSubmatch(string(line[at:min(len(line), at+c.width)])); m != nil && line[at] != ' ' {
			ratios[c.title] = m[1]
		}
	}
	return ratios
}

func cellOf(text string) string {
	if text == "" {
		return " |"
	}
	return " " + text + " |"
}
