// Command fill over-fills gomemd and a memcached in turn, each workload into a fresh server, and prints a table of what they
// keep: how many items, of live items how many, and how soon the memory of expired ones comes back.
//
//	fill                                        every workload at -m 64
//	fill -m 1024 -factor 2 -only '^[0-9/]+$'    the fixed sizes in a gigabyte
//	fill -only ttl                              those whose names match
//
// Keys and values are made from an item's number, so that what is kept can be asked for: the servers' own statistics are
// believed only for counts. A workload writes -factor times the limit, counting key, value and 24 bytes an item.
//
//	workloads.go   the rows and their bars
//	wire.go        writes items and asks for them
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func run() error {
	both := pair.Flags(flag.CommandLine)
	memory := flag.Int("m", 64, "-m of both servers, in MiB")
	factor := flag.Float64("factor", 3, "how often the limit is written")
	pattern := flag.String("only", "", "a regular expression: only workloads whose names it matches")
	list := flag.Bool("list", false, "print the workloads and do nothing")
	flag.Parse()
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	var rows []workload
	for _, w := range workloads {
		if only.MatchString(w.name) {
			rows = append(rows, w)
		}
	}
	if *list {
		for _, w := range rows {
			fmt.Println(w.name)
		}
		return nil
	}
	if flag.NArg() > 0 || *memory < 1 || *factor <= 0 || len(rows) == 0 {
		return fmt.Errorf("only options; -m from 1, -factor above 0, -only a name of -list")
	}
	defer both.Close()
	if err := both.Open(); err != nil {
		return err
	}
	both.Heading("fill")
	fmt.Fprintf(both.Out, "-m %d, -t 2; peak is the most memory resident, MiB\n\n", *memory)
	fmt.Fprintf(both.Out, "| workload | | %s | %s | ratio | peak |\n| --- | --- | --: | --: | --- | --- |\n", both.Kinds[0].Name, both.Kinds[1].Name)
	for i := range rows {
		var outcomes [2]outcome
		for side := range both.Kinds {
			if outcomes[side], err = fill(&both.Kinds[side], &rows[i], *memory, *factor); err != nil {
				return fmt.Errorf("%s: %s: %w", rows[i].name, both.Kinds[side].Name, err)
			}
		}
		fmt.Fprint(both.Out, printed(&rows[i], outcomes, *memory))
	}
	return nil
}

// An outcome is what a workload found out about one server.
type outcome struct {
	figures []figure
	errors  int64 // replies to sets that were neither STORED nor NOT_STORED
	peak    int64 // bytes
}

func start(k *pair.Kind, memory int) (*pair.Server, error) {
	return k.Start("-m", strconv.Itoa(memory), "-t", "2")
}

func fill(k *pair.Kind, w *workload, memory int, factor float64) (o outcome, err error) {
	s, err := start(k, memory)
	if err != nil {
		return o, err
	}
	defer s.Stop()
	f := &filler{kind: k, server: s, memory: memory, limit: float64(memory << 20), factor: factor, start: time.Now()}
	w.do(f)
	usage, err := s.Usage()
	return outcome{f.figures, f.errors, usage.Peak}, err
}

// A figure is one number, how it is shown, and what it should be.
type figure struct {
	what  string
	value float64
	unit  unit
	bar   bar
}

type unit func(float64) string

func items(v float64) string {
	digits := strconv.FormatInt(int64(v), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }
func seconds(v float64) string {
	if v > patience {
		return fmt.Sprintf("> %d s", patience)
	}
	return fmt.Sprintf("%.0f s", v)
}

// A bar is what gomemd wants to reach; zero is none.
type bar struct{ ratio, least, most float64 }

const peakBar = 80.0 / 64 // of the limit, at -m 64; above it the runtime's own few megabytes weigh less

// printed makes a workload's lines of the table, one for each figure. What was refused is told, as is a bar that is missed.
//
//	| 20/8 | items kept | 1,726,321 | 699,008 | 2.47 ≥ 2.36 | 74, 71 |
func printed(w *workload, o [2]outcome, memory int) string {
	var b strings.Builder
	for i, ours := range o[0].figures {
		theirs := o[1].figures[i]
		verdict := ""
		if ours.bar.ratio > 0 && theirs.value > 0 {
			verdict = fmt.Sprintf("%.2f", ours.value/theirs.value)
		}
		switch {
		case ours.bar.ratio > 0:
			verdict += judged("≥", fmt.Sprintf("%.2f", ours.bar.ratio), ours.value >= ours.bar.ratio*theirs.value)
		case ours.bar.least > 0:
			verdict += judged("≥", ours.unit(ours.bar.least), ours.value >= ours.bar.least)
		case ours.bar.most > 0:
			verdict += judged("≤", ours.unit(ours.bar.most), ours.value <= ours.bar.most)
		}
		name, peak := "", ""
		if i == 0 {
			name = w.name
			peak = fmt.Sprintf("%d, %d", o[0].peak>>20, o[1].peak>>20)
			if float64(o[0].peak) > peakBar*float64(memory<<20) {
				peak += " MISSES ≤ " + strconv.Itoa(int(peakBar*float64(memory)))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", name, ours.what, ours.unit(ours.value), theirs.unit(theirs.value), strings.TrimSpace(verdict), peak)
	}
	if o[0].errors+o[1].errors > 0 {
		fmt.Fprintf(&b, "| | sets refused | %d | %d |%s | |\n", o[0].errors, o[1].errors, judged("≤", "0", o[0].errors == 0))
	}
	return b.String()
}

func judged(sign, bar string, met bool) string {
	if met {
		return " " + sign + " " + bar
	}
	return " MISSES " + sign + " " + bar
}
