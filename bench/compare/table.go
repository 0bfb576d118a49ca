package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A spread is a median with the smallest and the largest.
type spread struct{ median, least, most float64 }

// spreadOf leaves the order of its argument alone. The median of an even number is the mean of the middle two.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return spread{median, v[0], v[len(v)-1]}
}

// A column is one thing that is measured.
type column struct {
	title  string
	width  int
	of     func(*sample) float64
	format func(float64) string
	bar    func(bar) float64
	higher bool // is better
}

var columns = []column{
	{"ops/s", 23, func(s *sample) float64 { return s.rate }, count, func(b bar) float64 { return b.rate }, true},
	{"CPU µs/op", 20, func(s *sample) float64 { return s.cpu }, short, func(b bar) float64 { return b.cpu }, false},
	{"user", 7, func(s *sample) float64 { return s.user }, short, nil, false},
	{"sys", 7, func(s *sample) float64 { return s.sys }, short, nil, false},
	{"switches/op", 20, func(s *sample) float64 { return s.switches }, short, nil, false},
	{"CPU ms/s", 20, func(s *sample) float64 { return s.busy }, short, func(b bar) float64 { return b.busy }, false},
	{"switches/s", 20, func(s *sample) float64 { return s.woken }, short, nil, false},
	{"p50 µs", 20, func(s *sample) float64 { return s.p50 }, short, func(b bar) float64 { return b.p50 }, false},
	{"p99 µs", 21, func(s *sample) float64 { return s.p99 }, short, func(b bar) float64 { return b.p99 }, false},
	{"p99.9 µs", 22, func(s *sample) float64 { return s.p999 }, short, func(b bar) float64 { return b.p999 }, false},
	{"RSS MiB", 8, func(s *sample) float64 { return s.rss / (1 << 20) }, short, nil, false},
	{"peak", 8, func(s *sample) float64 { return s.peak / (1 << 20) }, short, nil, false},
}

// narrow columns show the median alone.
const narrow = 10

func short(v float64) string {
	switch {
	case v >= 100_000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func count(v float64) string {
	if v >= 10_000 {
		return short(v/1000) + "k" // of rates three digits mean something
	}
	return fmt.Sprintf("%.0f", v)
}

// printRow writes one workload: a line for each server, and what one has to do with the other.
//
//	get10-set1-32   ops/s                   CPU µs/op …
//	  gomemd        91.0k (88.4k–92.1k)     9.21 (9.02–9.40) …
//	  memcached     90.2k (87.9k–90.8k)     9.30 (9.11–9.52) …
//	  ratio         1.01 ≥ 1.00             0.99 ≤ 1.00 …
//	   by round     0.98–1.03               0.97–1.02 …
//
// By round are the smallest and the largest of the ratios of measurements that followed each other. With more than one other
// there is a ratio for each, and it says to whom.
func printRow(out io.Writer, w *workload, sides []side) (notes []string) {
	if w.bar.perConn > 0 {
		return printPerConn(out, w, sides)
	}
	var head strings.Builder
	lines := make([]sideLines, len(sides))
	fmt.Fprintf(&head, "%-22s", w.name)
	for i, s := range sides {
		title := "ratio"
		if len(sides) > 2 {
			title = "to " + s.name
		}
		fmt.Fprintf(&lines[i].own, "  %-20s", s.name)
		fmt.Fprintf(&lines[i].ratio, "  %-20s", title)
		fmt.Fprintf(&lines[i].rounds, "  %-20s", " by round")
	}
	for _, c := range columns {
		all := make([]spread, len(sides))
		values := make([][]float64, len(sides))
		measured := false
		for i := range sides {
			for k := range sides[i].samples {
				values[i] = append(values[i], c.of(&sides[i].samples[k]))
			}
			all[i] = spreadOf(values[i])
			measured = measured || all[i].median != 0
		}
		if !measured {
			continue
		}
		pad(&head, c.title, c.width)
		for i, s := range all {
			own, ratio, rounds := "", "", ""
			if len(values[i]) > 0 {
				own = c.format(s.median)
				if c.width > narrow && s.least < s.most {
					own += " (" + c.format(s.least) + "–" + c.format(s.most) + ")"
				}
			}
			if i > 0 && s.median > 0 && len(values[0]) > 0 {
				is := all[0].median / s.median
				ratio = fmt.Sprintf("%.2f", is)
				if least := w.barTo(i, sides[i].name); c.bar != nil && c.bar(least) > 0 {
					verdict, missed := judge(is, c.bar(least), c.higher)
					if ratio += verdict; missed {
						title := w.name
						if i > 1 {
							title += " to " + sides[i].name
						}
						notes = append(notes, fmt.Sprintf("%s: %s %s", title, c.title, ratio))
					}
				}
				if by := ratios(values[0], values[i]); c.width > narrow && by.least < by.most {
					rounds = fmt.Sprintf("%.2f–%.2f", by.least, by.most)
				}
			}
			pad(&lines[i].own, own, c.width)
			pad(&lines[i].ratio, ratio, c.width)
			pad(&lines[i].rounds, rounds, c.width)
		}
	}
	printLine(out, &head)
	for i := range lines {
		printLine(out, &lines[i].own)
	}
	for i := 1; i < len(lines); i++ {
		if n := min(len(sides[0].samples), len(sides[i].samples)); n > 0 {
			if printLine(out, &lines[i].ratio); n > 1 {
				printLine(out, &lines[i].rounds)
			}
		}
	}
	notes = append(notes, printWithout(out, w, sides)...)
	printRemarks(out, sides)
	fmt.Fprintln(out)
	return notes
}

// sideLines are what a row says of one server.
type sideLines struct{ own, ratio, rounds strings.Builder }

func printLine(out io.Writer, line *strings.Builder) {
	fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
}

// ratios are of what was measured in the same round.
func ratios(ours, theirs []float64) spread {
	var by []float64
	for round := range min(len(ours), len(theirs)) {
		if theirs[round] > 0 {
			by = append(by, ours[round]/theirs[round])
		}
	}
	return spreadOf(by)
}

func judge(is, bar float64, higher bool) (verdict string, missed bool) {
	if higher {
		if is >= bar {
			return fmt.Sprintf(" ≥ %.2f", bar), false
		}
		return fmt.Sprintf(" MISSES ≥ %.2f", bar), true
	}
	if is <= bar {
		return fmt.Sprintf(" ≤ %.2f", bar), false
	}
	return fmt.Sprintf(" MISSES ≤ %.2f", bar), true
}

func printPerConn(out io.Writer, w *workload, sides []side) (notes []string) {
	fmt.Fprintf(out, "%-22sKiB of RSS for each of %d idle connections that did a get\n", w.name, idleConns)
	for i := range sides {
		var values []float64
		for _, s := range sides[i].samples {
			values = append(values, s.perConn/1024)
		}
		s := spreadOf(values)
		fmt.Fprintf(out, "  %-20s", sides[i].name)
		if len(values) > 0 {
			fmt.Fprintf(out, "%.2f (%.2f–%.2f)", s.median, s.least, s.most)
		}
		if i == 0 && len(values) > 0 {
			verdict, missed := judge(s.median, w.bar.perConn/1024, false)
			if fmt.Fprint(out, verdict); missed {
				notes = append(notes, fmt.Sprintf("%s: %.2f%s", w.name, s.median, verdict))
			}
		}
		fmt.Fprintln(out)
	}
	notes = append(notes, printWithout(out, w, sides)...)
	fmt.Fprintln(out)
	return notes
}

const (
	gcMost   = 0.01             // of the CPU time
	stopMost = time.Millisecond // of the world
)

// clientBusy: above it, the one thread of the client has no time left, and what is measured is the client.
const clientBusy = 0.9

// printWithout says why servers have no numbers. One that failed is noted like a bar that is missed; one that does not know what
// the row needs is not.
func printWithout(out io.Writer, w *workload, sides []side) (notes []string) {
	for i := range sides {
		switch at := &sides[i]; {
		case at.without == nil:
		case at.cannot:
			fmt.Fprintf(out, "  %s: not run: %s\n", at.name, oneLine(at.without))
		default:
			fmt.Fprintf(out, "  %s: FAILED: %s\n", at.name, oneLine(at.without))
			notes = append(notes, w.name+": "+at.name+" failed")
		}
	}
	return notes
}

func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

// printRemarks says of each server what the numbers do not.
func printRemarks(out io.Writer, sides []side) {
	for i := range sides {
		at := &sides[i]
		var busy []float64
		for _, s := range at.samples {
			busy = append(busy, s.rate*s.client/1e6)
			if s.errors > 0 {
				fmt.Fprintf(out, "  %s: %d ERRORS: %s\n", at.name, s.errors, s.complaint)
			}
			if s.gc.Share > gcMost || s.gc.LongestStop > stopMost {
				fmt.Fprintf(out, "  %s: %d collections took %.1f %% of the CPU time, the longest stop %v\n",
					at.name, s.gc.Collections, 100*s.gc.Share, s.gc.LongestStop)
			}
		}
		if b := spreadOf(busy).median; b > clientBusy {
			fmt.Fprintf(out, "  %s: the client was busy %.0f %% of the time: the rate is its own\n", at.name, b*100)
		}
	}
}

// pad counts characters; fmt's widths do too, but only of the text alone.
func pad(b *strings.Builder, text string, width int) {
	b.WriteString(text)
	b.WriteString(strings.Repeat(" ", max(1, width-len([]rune(text)))))
}
