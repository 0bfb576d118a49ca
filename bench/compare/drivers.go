package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
	"github.com/gomemd/gomemd/bench/internal/proc"
)

// A sample is one measurement of one server. What a driver does not know stays 0 and is left out of the table.
type sample struct {
	rate           float64 // commands a second
	cpu, client    float64 // µs of CPU time a command: the server's, and the client's
	user, sys      float64 // the server's, as far as they are known apart
	switches       float64 // of context, a command: the server's
	p50, p99, p999 float64 // µs
	busy, woken    float64 // in a second without commands: ms of CPU time, switches of context
	rss, peak      float64 // bytes
	perConn        float64 // bytes
	errors         int64
	complaint      string
	gc             pair.GC // of a Go server
}

// refused tells whether the server said that it does not know what it was asked.
func (s *sample) refused() bool {
	return s.errors > 0 && (strings.HasPrefix(s.complaint, "ERROR") || strings.HasPrefix(s.complaint, "CLIENT_ERROR"))
}

// A driver puts a server under load for warmup, then measures for seconds.
type driver func(r *run, s *pair.Server, w *workload) (sample, error)

// errAbsent is a driver whose program is not installed.
var errAbsent = errors.New("not installed")

// ourLoad is load, as a child process of its own.
func ourLoad(r *run, s *pair.Server, w *workload) (m sample, err error) {
	args := w.args + " " + r.with
	if w.tls != "" {
		args += " -tls"
	}
	if w.beside != "" {
		stop, err := load.Beside(s.Addr(), w.beside, "-warmup", "0s", "-time", (r.warmup + r.seconds + time.Minute).String())
		if err != nil {
			return m, err
		}
		defer stop()
	}
	warmup, seconds := r.times(w)
	got, err := load.RunSelf(s.Addr(), args, "-warmup", warmup.String(), "-time", seconds.String(), "-pid", strconv.Itoa(s.PID()))
	if err != nil {
		return m, err
	}
	if got.Ops == 0 {
		return m, fmt.Errorf("nothing was answered: %s", got.FirstError)
	}
	m = sample{
		rate: got.Rate, cpu: got.ServerCPU, user: got.ServerUser, sys: got.ServerSys, client: got.ClientCPU,
		p50: got.P50, p99: got.P99, p999: got.P999,
		rss: float64(got.RSS), peak: float64(got.Peak), errors: got.Errors + got.Lost, complaint: got.FirstError,
	}
	if w.option("rate") != "" {
		m.switches = got.Switches
	}
	if w.beside != "" {
		m.cpu, m.user, m.sys, m.switches = 0, 0, 0, 0 // spent on the other one's requests as well
	}
	// A quantile that hardly a request stands behind is none.
	if got.Ops < 1000 {
		m.p999 = 0
	}
	if got.Ops < 100 {
		m.p99 = 0
	}
	return m, nil
}

// times are of one measurement of a row of load's.
func (r *run) times(w *workload) (warmup, seconds time.Duration) {
	if w.least > 0 {
		return max(r.warmup, settleWarmup), max(r.seconds, w.least)
	}
	return r.warmup, r.seconds
}

// settleWarmup is how long servers have to find out that there is little to do.
const settleWarmup = 1500 * time.Millisecond

// idleTime is what a server spends on connections, -idle of them or one, that did one get and then nothing.
func idleTime(r *run, s *pair.Server, w *workload) (m sample, err error) {
	conns := 1
	if text := w.option("idle"); text != "" {
		if conns, err = strconv.Atoi(text); err != nil {
			return m, err
		}
	}
	all, err := load.OpenIdle(s.Addr(), conns)
	if err != nil {
		return m, err
	}
	defer all.Close()
	warmup, seconds := r.times(w)
	time.Sleep(warmup)
	start := time.Now()
	before, err := s.Usage()
	if err != nil {
		return m, err
	}
	time.Sleep(seconds)
	after, err := s.Usage()
	took := time.Since(start).Seconds()
	m.busy = (after.CPU - before.CPU).Seconds() * 1e3 / took
	m.woken = float64(after.Switches-before.Switches) / took
	m.rss, m.peak = float64(after.RSS), float64(after.Peak)
	return m, err
}

// idleConns is how many connections the memory of one is measured with: enough that what the server does once does not show.
const idleConns = 5000

// idleMemory is what a connection costs that did one get and then nothing. The first few make the server allocate what it
// allocates once.
func idleMemory(_ *run, s *pair.Server, _ *workload) (m sample, err error) {
	first, err := load.OpenIdle(s.Addr(), 50)
	if err != nil {
		return m, err
	}
	defer first.Close()
	settle := func() proc.Usage {
		time.Sleep(500 * time.Millisecond)
		u, e := s.Usage()
		err = errors.Join(err, e)
		return u
	}
	before := settle()
	all, e := load.OpenIdle(s.Addr(), idleConns)
	if e != nil {
		return m, e
	}
	defer all.Close()
	after := settle()
	m.rss, m.peak = float64(after.RSS), float64(after.Peak)
	m.perConn = float64(after.RSS-before.RSS) / idleConns
	return m, err
}

// watch runs another program's client and looks at the server in the middle of it: they differ in what they print, but the
// server's own counters and /proc are the same for all.
func (r *run) watch(s *pair.Server, client *exec.Cmd) (m sample, err error) {
	var said bytes.Buffer
	client.Stdout, client.Stderr = &said, &said
	if err := client.Start(); err != nil {
		return m, err
	}
	// A client that does not end by itself is ended.
	impatience := time.AfterFunc(r.clientTime()+10*time.Second, func() { _ = client.Process.Kill() })
	defer impatience.Stop()
	time.Sleep(max(r.warmup, clientWarmup))
	type moment struct {
		at       time.Time
		commands float64
		usage    proc.Usage
	}
	look := func() (l moment) {
		var e1, e2 error
		l.commands, e1 = s.Commands()
		l.usage, e2 = s.Usage()
		l.at = time.Now()
		err = errors.Join(err, e1, e2)
		return l
	}
	before := look()
	time.Sleep(r.seconds)
	after := look()
	ended := client.Wait()
	commands := after.commands - before.commands
	if err == nil && commands == 0 {
		err = errors.Join(ended, fmt.Errorf("the server served nothing while %s said: %s", filepath.Base(client.Path), said.String()))
	}
	if err != nil {
		return m, err
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / commands }
	m.rate = commands / after.at.Sub(before.at).Seconds()
	m.cpu = us(after.usage.CPU - before.usage.CPU)
	m.user, m.sys = us(after.usage.User-before.usage.User), us(after.usage.Sys-before.usage.Sys)
	m.rss, m.peak = float64(after.usage.RSS), float64(after.usage.Peak)
	return m, nil
}

// clientWarmup is the least that others' clients need until all their connections are busy.
const clientWarmup = 1500 * time.Millisecond

// clientTime is how long another's client runs, in whole seconds: past the measured phase at both ends.
func (r *run) clientTime() time.Duration {
	return (max(r.warmup, clientWarmup) + r.seconds + 1500*time.Millisecond).Truncate(time.Second)
}

func (r *run) clientSeconds() string { return strconv.Itoa(int(r.clientTime() / time.Second)) }

// populate sets the keys that another's client will ask for.
func populate(s *pair.Server, prefix string) error {
	_, err := load.RunSelf(s.Addr(), "-mix get -keylen 0 -keys 10001 -ops 1 -conns 1 -prefix "+prefix)
	return err
}

func memtier(r *run, s *pair.Server, w *workload) (m sample, err error) {
	path, err := exec.LookPath("memtier_benchmark")
	if err != nil {
		return m, errAbsent
	}
	if err := populate(s, "memtier-"); err != nil {
		return m, err
	}
	report := filepath.Join(r.Temp, "memtier.json")
	args := append([]string{"-s", "127.0.0.1", "-p", s.Port, "-P", "memcache_text", "--key-maximum", "10000",
		"--test-time", r.clientSeconds(), "--hide-histogram", "--json-out-file", report}, strings.Fields(w.args)...)
	if m, err = r.watch(s, exec.Command(path, args...)); err != nil {
		return m, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return m, err
	}
	m.p50, m.p99, m.p999, err = memtierLatency(text)
	return m, err
}

// memtierLatency reads milliseconds from the report; they are of memtier's whole run.
func memtierLatency(report []byte) (p50, p99, p999 float64, err error) {
	var r struct {
		All struct {
			Totals struct {
				Percentiles map[string]any `json:"Percentile Latencies"` // one of them is not a number
			}
		} `json:"ALL STATS"`
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return 0, 0, 0, fmt.Errorf("memtier's report: %w", err)
	}
	us := func(name string) float64 {
		ms, ok := r.All.Totals.Percentiles[name].(float64)
		if !ok {
			err = fmt.Errorf("memtier's report: no %s", name)
		}
		return ms * 1e3
	}
	return us("p50.00"), us("p99.00"), us("p99.90"), err
}

func crusher(r *run, s *pair.Server, w *workload) (m sample, err error) {
	path, err := exec.LookPath("mc-crusher")
	if err != nil {
		return m, errAbsent
	}
	if err := populate(s, "key:"); err != nil {
		return m, err
	}
	conf := filepath.Join(r.Temp, "crusher.conf")
	if err := os.WriteFile(conf, []byte(w.args+"\n"), 0o666); err != nil {
		return m, err
	}
	return r.watch(s, exec.Command(path, "--conf", conf, "--ip", "127.0.0.1", "--port", s.Port, "--timeout", r.clientSeconds()))
}

func slap(r *run, s *pair.Server, w *workload) (m sample, err error) {
	path, err := exec.LookPath("memcaslap") // Debian's name
	if err != nil {
		if path, err = exec.LookPath("memaslap"); err != nil {
			return m, errAbsent
		}
	}
	return r.watch(s, exec.Command(path, append(strings.Fields(w.args), "-s", s.Addr(), "-t", r.clientSeconds()+"s")...))
}

// only narrows the rows to those whose names match.
func only(rows []workload, pattern string, quick bool) ([]workload, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var some []workload
	for _, w := range rows {
		if re.MatchString(w.name) && (w.quick || !quick) {
			some = append(some, w)
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("no workload matches %q", pattern)
	}
	return some, nil
}
