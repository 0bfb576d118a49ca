// Command cores shows what the number of event loops and of Go's processors does to gomemd on the
// cores that this machine has: whether a -t or a GOMAXPROCS that somebody has set to the cores of
// another machine costs anything, and whether what gomemd chooses by itself is the best that could
// be chosen.
//
//	cores                                  all settings and rows, a good half hour
//	cores -only opensips -threads 1,4      some of them
//	cores -settings gomemd,loops           some of the settings
//	cores -where apart                     the server has the first core alone, the client the others
//
// The settings of a number n:
//
//	gomemd       the program with -t n: how many loops that gives is its own choice
//	gomemd-p     the same, with GOMAXPROCS=n in the environment
//	loops        n event loops, whatever the machine has; the number of processors follows the load
//	loops-p      the same with GOMAXPROCS=n: all processors from the start, none goes
//	memcached    with -t n, to compare
//
// The program gomemd takes what it is told as a wish, so for loops and loops-p this program is the
// server: package server with as many loops as asked, built with gomemd's profile.
//
// The bar is for gomemd and gomemd-p: no setting may be more than a tenth slower than the best of
// all settings of gomemd in its row and place. Rows are measured round by round, all settings in
// turn in each; the numbers are medians, and settings are compared within a round. The best of many
// is also the luckiest, so a bar is missed by who is that much slower in every round.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// fallMost is how much less than the best setting's rate the others' may be.
const fallMost = 0.10

// A row is what the client does, in load's words; they are rows of bench/compare.
type row struct{ name, args string }

var rows = []row{
	{"get10-set1-32", "-mix get:10,set:1 -size 32 -conns 50"},
	{"pipe20-get", "-mix get -pipeline 20 -conns 20"},
	{"get-100k", "-mix get -size 100000 -keys 200 -conns 10"},
	{"opensips", "-mix aside -fresh 0.05 -exptime 1200 -conns 300 -active 8 -prefix passwd_sip: -keylen 36 -keys 50000"},
}

// A setting is one way to start a server for n threads.
type setting struct {
	name  string
	procs bool // GOMAXPROCS is n
	bar   bool // it is what users start
}

var settings = []setting{{"gomemd", false, true}, {"gomemd-p", true, true}, {"loops", false, false}, {"loops-p", true, false}, {"memcached", false, false}}

// A place says on which cores server and client run.
type place struct {
	name           string
	server, client unix.CPUSet
}

// A run is what the command line said.
type run struct {
	*pair.Pair
	loops           pair.Kind // this program as the server
	threads         []int
	settings        []setting
	warmup, seconds time.Duration
	rounds          int
}

func main() {
	load.Child()
	if os.Getenv(serveEnv) != "" {
		check(serve(os.Args[1:]))
		return
	}
	check(cores())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cores:", err)
		os.Exit(1)
	}
}

func cores() error {
	r := &run{Pair: pair.Flags(flag.CommandLine)}
	only := flag.String("only", "", "a regular expression: only rows whose names it matches")
	threads := flag.String("threads", "1,2,3,4,8,16", "numbers of threads")
	which := flag.String("settings", "gomemd,gomemd-p,loops,loops-p,memcached", "settings")
	where := flag.String("where", "anywhere,apart", "on which cores server and client run")
	flag.IntVar(&r.rounds, "rounds", 3, "how often each is measured")
	flag.DurationVar(&r.seconds, "time", 2*time.Second, "how long each time")
	flag.DurationVar(&r.warmup, "warmup", 500*time.Millisecond, "how long to run before it")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	for text := range strings.SplitSeq(*threads, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 256 {
			return fmt.Errorf("-threads %s: want numbers from 1 to 256", *threads)
		}
		r.threads = append(r.threads, n)
	}
	for name := range strings.SplitSeq(*which, ",") {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("-settings %s: there is no %q", *which, name)
		}
		r.settings = append(r.settings, settings[i])
	}
	places, err := placesOf(*where)
	if err != nil {
		return err
	}
	if flag.NArg() > 0 || r.rounds < 1 || r.seconds <= 0 || r.warmup < 0 {
		return errors.New("only options; -rounds from 1, -time above 0, -warmup from 0")
	}
	// Before any server starts: they inherit what we may open.
	if err := load.AllowFiles(2048); err != nil {
		return err
	}
	defer r.Close()
	if err := r.Open(); err != nil {
		return err
	}
	if err := r.buildLoops(); err != nil {
		return err
	}
	r.Heading("cores")
	fmt.Fprintf(r.Out, "Medians of %d (smallest–largest), %v each after %v\n", r.rounds, r.seconds, r.warmup)
	var missed []string
	for i := range rows {
		for k := range places {
			if pattern.MatchString(rows[i].name) {
				some, err := r.measure(&rows[i], &places[k])
				if err != nil {
					return fmt.Errorf("%s, %s: %w", rows[i].name, places[k].name, err)
				}
				missed = append(missed, some...)
			}
		}
	}
	if len(missed) == 0 {
		fmt.Fprintln(r.Out, "\nEvery bar is met.")
		return nil
	}
	fmt.Fprintln(r.Out, "\nBars that are not met:")
	for _, m := range missed {
		fmt.Fprintln(r.Out, "  "+m)
	}
	return nil
}

// placesOf finds out which cores there are for us.
func placesOf(names string) (places []place, err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	for name := range strings.SplitSeq(names, ",") {
		p := place{name: name, server: all, client: all}
		switch name {
		case "anywhere":
		case "apart":
			if all.Count() < 2 {
				return nil, errors.New("-where apart wants two cores")
			}
			first := 0
			for !all.IsSet(first) {
				first++
			}
			p.server.Zero()
			p.server.Set(first)
			p.client.Clear(first)
		default:
			return nil, fmt.Errorf("-where: %q is neither anywhere nor apart", name)
		}
		places = append(places, p)
	}
	return places, nil
}

// buildLoops builds this program once more, with gomemd's profile.
func (r *run) buildLoops() error {
	r.loops = pair.Kind{Name: "loops", Path: filepath.Join(r.Temp, "loops"), Env: append([]string{serveEnv + "=1"}, r.Kinds[0].Env...)}
	build := exec.Command("go", "build", "-buildvcs=false", "-pgo=cmd/gomemd/default.pgo", "-o", r.loops.Path, "./bench/cores")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./bench/cores: %w\n%s", err, text)
	}
	return nil
}

// kind is the server of a setting for n threads.
func (r *run) kind(s setting, n int) pair.Kind {
	k := r.Kinds[0]
	switch s.name {
	case "loops", "loops-p":
		k = r.loops
	case "memcached":
		k = r.Kinds[1]
	}
	if s.procs {
		k.Env = append(slices.Clone(k.Env), fmt.Sprint("GOMAXPROCS=", n))
	}
	return k
}

// A line is a setting of a row, and what was measured of it.
type line struct {
	setting
	threads               int
	rate, cpu, p999, busy []float64 // 1/s, µs of the server's a command, µs, of the client's core
	errors                int64
	complaint             string
}

// measure prints a row in one place, and tells which bars are missed.
func (r *run) measure(w *row, at *place) (missed []string, err error) {
	var lines []line
	for _, s := range r.settings {
		for _, n := range r.threads {
			lines = append(lines, line{setting: s, threads: n})
		}
	}
	for range r.rounds {
		for i := range lines {
			if err := r.once(&lines[i], w, at); err != nil {
				return nil, fmt.Errorf("%s, %d: %w", lines[i].name, lines[i].threads, err)
			}
		}
	}
	best := -1
	for i := range lines {
		if lines[i].name != "memcached" && (best < 0 || median(lines[i].rate) > median(lines[best].rate)) {
			best = i
		}
	}
	fmt.Fprintf(r.Out, "\n%-24s%-24s%-12s%-20s%-22s%s\n", w.name+", "+at.name, "ops/s", "of the best", "CPU µs/op", "p99.9 µs", "client busy")
	for i := range lines {
		l := &lines[i]
		part, most := 0.0, 0.0
		if best >= 0 {
			part, most = partOf(l.rate, lines[best].rate)
		}
		verdict := fmt.Sprintf("%.2f", part)
		if l.bar && most < 1-fallMost {
			verdict += " MISSES"
			missed = append(missed, fmt.Sprintf("%s, %s: %s %d: %.2f of the best", w.name, at.name, l.name, l.threads, part))
		}
		fmt.Fprintf(r.Out, "  %-12s%10d%s\n", l.name, l.threads, "  "+strings.TrimRight(fmt.Sprintf("%-24s%-12s%-20s%-22s%.0f %%",
			spread(l.rate, "%.0f"), verdict, spread(l.cpu, "%.2f"), spread(l.p999, "%.0f"), 100*median(l.busy)), " "))
		if l.errors > 0 {
			fmt.Fprintf(r.Out, "    %d ERRORS: %s\n", l.errors, l.complaint)
			missed = append(missed, fmt.Sprintf("%s, %s: %s %d: errors", w.name, at.name, l.name, l.threads))
		}
	}
	return missed, nil
}

// once measures one setting once. Whom we start runs where we do at that moment: Open has us on one
// thread, which starts them.
func (r *run) once(l *line, w *row, at *place) error {
	if err := unix.SchedSetaffinity(0, &at.server); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	k := r.kind(l.setting, l.threads)
	s, err := k.StartAs(pair.Setup{Memory: 1024, Threads: l.threads, Conns: 1024})
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := unix.SchedSetaffinity(0, &at.client); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	got, err := load.RunSelf(s.Addr(), w.args, "-warmup", r.warmup.String(), "-time", r.seconds.String(), "-pid", strconv.Itoa(s.PID()))
	if err != nil {
		return err
	}
	l.rate, l.cpu = append(l.rate, got.Rate), append(l.cpu, got.ServerUser+got.ServerSys)
	l.p999, l.busy = append(l.p999, got.P999), append(l.busy, got.Rate*got.ClientCPU/1e6)
	if l.errors += got.Errors + got.Lost; l.complaint == "" {
		l.complaint = got.FirstError
	}
	return nil
}

// partOf is what part of another setting's rate one has in the same round, the median and the most:
// a machine that others use may be half as fast in the next.
func partOf(rate, other []float64) (middle, most float64) {
	parts := make([]float64, len(rate))
	for i := range rate {
		parts[i] = rate[i] / other[i]
	}
	return median(parts), slices.Max(parts)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// spread is the median, and the smallest and the largest in brackets.
func spread(values []float64, format string) string {
	text := fmt.Sprintf(format, median(values))
	if len(values) == 1 {
		return text
	}
	return text + fmt.Sprintf(" ("+format+"–"+format+")", slices.Min(values), slices.Max(values))
}
