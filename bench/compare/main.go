// Command compare measures gomemd beside memcached: the same loads, the same machine, the same hour.
//
// For each workload it starts the two in turn, several times over (A B A B …), each time afresh on a port of the kernel's
// choice; puts them under load; and reads from /proc what that cost them. What it prints are medians, with the smallest and the
// largest in brackets, and ratios gomemd to memcached. Where there is a bar, the ratio stands beside it.
//
//	compare                                  all workloads, about half an hour
//	compare -quick                           the most telling ones, five minutes
//	compare -only 'pipe|mget' -rounds 5      those whose names match
//	compare -env GOMAXPROCS=1 -threads 1     how gomemd does with that in its environment
//	compare -gomemd /usr/bin/memcached       memcached beside itself: how far the numbers can be trusted
//	compare -with '-exptime 2-6'             every workload, while items expire
//	compare -quick -o quick.txt              keep the result in bench/results
//
//	workloads.go   the rows and their bars
//	server.go      starts and stops the two
//	drivers.go     who puts them under load: our own load, or other people's clients
//	table.go       medians, ratios, print
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/proc"
)

// A run is what the command line said.
type run struct {
	warmup, seconds time.Duration
	rounds, threads int
	with            string
	self, temp      string // our own program; a directory for what is in between
	kinds           [2]kind
}

// loadCommand makes this program the load generator: the child that ourLoad starts.
const loadCommand = "load"

// results is where -o keeps its files, seen from the root of the repository.
const results = "bench/results"

func main() {
	// Children die with the thread that started them (Pdeathsig): this one lasts as long as the program.
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == loadCommand {
		if err := load.Main(loadCommand, os.Args[2:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	if err := compare(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func compare() error {
	gomemd := flag.String("gomemd", "", "the program to measure (default: it is built from ./cmd/gomemd)")
	memcached := flag.String("memcached", "memcached", "the program to measure it against")
	pattern := flag.String("only", "", "a regular expression: only workloads whose names it matches")
	quick := flag.Bool("quick", false, "a selection that takes about 5 minutes")
	rounds := flag.Int("rounds", 3, "how often each server is measured")
	seconds := flag.Float64("seconds", 5, "how long a measurement takes (2 with -quick)")
	warmup := flag.Float64("warmup", 1, "how long to run before it (0.5 with -quick)")
	threads := flag.Int("threads", 2, "-t of both servers")
	var env []string
	flag.Func("env", "NAME=value for gomemd's environment; may be repeated", func(v string) error { env = append(env, v); return nil })
	with := flag.String("with", "", "options of load added to every workload of ours")
	keep := flag.String("o", "", "keep the result in this file, under "+results+" if it is a bare name")
	list := flag.Bool("list", false, "print the workloads and do nothing")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: only options", flag.Arg(0))
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *quick && !given["seconds"] {
		*seconds = 2
	}
	if *quick && !given["warmup"] {
		*warmup = 0.5
	}
	if *rounds < 1 || *seconds <= 0 || *seconds > 600 || *warmup < 0 || *warmup > 600 || *threads < 1 {
		return errors.New("-rounds and -threads from 1, -seconds above 0, -warmup from 0, both up to 600")
	}
	rows, err := only(workloads, *pattern, *quick)
	if err != nil {
		return err
	}
	if *list {
		for _, w := range rows {
			fmt.Printf("%-22s %s\n", w.name, w.args)
		}
		return nil
	}

	r := &run{rounds: *rounds, threads: *threads, with: *with}
	r.seconds, r.warmup = time.Duration(*seconds*float64(time.Second)), time.Duration(*warmup*float64(time.Second))
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if r.temp, err = os.MkdirTemp("", "compare"); err != nil {
		return err
	}
	defer os.RemoveAll(r.temp)
	if *gomemd == "" {
		*gomemd = filepath.Join(r.temp, "gomemd")
		if text, err := exec.Command("go", "build", "-o", *gomemd, "./cmd/gomemd").CombinedOutput(); err != nil {
			return fmt.Errorf("go build ./cmd/gomemd: %w\n%s", err, text)
		}
	}
	r.kinds = [2]kind{{name: "gomemd", path: *gomemd, env: env}, {name: "memcached", path: *memcached}}
	// Before any server starts: they inherit what we may open.
	if err := load.AllowFiles(connsMost); err != nil {
		return err
	}

	out := io.Writer(os.Stdout)
	if *keep != "" {
		if !strings.ContainsRune(*keep, '/') {
			*keep = filepath.Join(results, *keep)
		}
		file, err := os.Create(*keep)
		if err != nil {
			return err
		}
		defer file.Close()
		out = io.MultiWriter(os.Stdout, file)
	}
	return r.table(out, rows)
}

// table measures row by row and prints each when it is done: a run that is broken off has shown what it knew.
func (r *run) table(out io.Writer, rows []workload) error {
	if err := r.learnVersions(); err != nil {
		return err
	}
	r.heading(out)
	var notes []string
	for i := range rows {
		w := &rows[i]
		samples, err := r.measure(w)
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(out, "%-22s%v\n\n", w.name, err)
			continue
		}
		if err != nil {
			fmt.Fprintf(out, "%-22sFAILED: %v\n\n", w.name, err)
			notes = append(notes, w.name+": failed")
			continue
		}
		notes = append(notes, printRow(out, w, [2]string{r.kinds[0].name, r.kinds[1].name}, samples)...)
	}
	if len(notes) == 0 {
		fmt.Fprintln(out, "Every bar is met.")
		return nil
	}
	fmt.Fprintln(out, "Bars that are not met:")
	for _, n := range notes {
		fmt.Fprintln(out, "  "+n)
	}
	return nil
}

const (
	connsUsual = 1024
	connsMost  = 12_000 // for the rows with thousands of connections
)

func (r *run) measure(w *workload) (samples [2][]sample, err error) {
	drive := w.driver
	if drive == nil {
		drive = ourLoad
	}
	memory, conns := w.memory, connsUsual
	if memory == 0 {
		memory = memoryUsual
	}
	if w.bar.perConn > 0 || w.option("idle") != "" {
		conns = connsMost
	}
	for range r.rounds {
		for side := range r.kinds {
			s, err := start(&r.kinds[side], memory, r.threads, conns)
			if err != nil {
				return samples, err
			}
			m, err := drive(r, s, w)
			s.stop()
			if err != nil {
				return samples, fmt.Errorf("%s: %w", r.kinds[side].name, err)
			}
			samples[side] = append(samples[side], m)
		}
	}
	return samples, nil
}

func (r *run) learnVersions() error {
	for side := range r.kinds {
		s, err := start(&r.kinds[side], memoryUsual, r.threads, connsUsual)
		if err != nil {
			return err
		}
		r.kinds[side].version = s.version
		s.stop()
	}
	if r.kinds[0].path == r.kinds[1].path {
		r.kinds[0].name, r.kinds[1].name = r.kinds[1].name, r.kinds[1].name+" again"
	}
	return nil
}

// heading tells what made the numbers.
func (r *run) heading(out io.Writer) {
	var uname unix.Utsname
	_ = unix.Uname(&uname)
	fmt.Fprintf(out, "$ %s\n", commandLine(os.Args[1:]))
	fmt.Fprintf(out, "%s; %s %s beside %s %s; %s\n", time.Now().Format(time.DateOnly), r.kinds[0].name, r.kinds[0].version,
		r.kinds[1].name, r.kinds[1].version, runtime.Version())
	fmt.Fprintf(out, "%d × %s, Linux %s; load average before: %s\n", runtime.NumCPU(), proc.CPU(),
		unix.ByteSliceToString(uname.Release[:]), proc.LoadAverage())
	fmt.Fprintf(out, "Medians of %d (smallest–largest), %v each after %v, -t %d; client on the same machine\n\n",
		r.rounds, r.seconds, r.warmup, r.threads)
}

// commandLine is what to type to make the numbers again. Of paths only the last part: where somebody keeps programs is not
// the reader's business.
func commandLine(args []string) string {
	words := []string{"go run ./bench/compare"}
	for _, word := range args {
		name, value, isAssigned := strings.Cut(word, "=")
		switch {
		case isAssigned && strings.HasPrefix(name, "-") && filepath.IsAbs(value):
			word = name + "=" + filepath.Base(value)
		case filepath.IsAbs(word):
			word = filepath.Base(word)
		}
		if strings.ContainsAny(word, " |*$()") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
