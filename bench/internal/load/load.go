package load

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/proc"
)

// Counts are of the measured phase, but for Errors and Lost, which are of the whole run: none of them is expected.
type Counts struct {
	Ops       int64 `json:"ops"` // commands; an mget is one, an aside that missed and a cas are two
	Hits      int64 `json:"hits"`
	Misses    int64 `json:"misses"`
	Stored    int64 `json:"stored"`
	NotStored int64 `json:"not_stored"`
	Checked   int64 `json:"checked"` // values compared byte by byte
	Errors    int64 `json:"errors"`
	Lost      int64 `json:"lost"` // asked, or due, and never answered
}

// A Result is one line of JSON.
type Result struct {
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"ops_per_s"`
	Counts
	FirstError string `json:"first_error,omitempty"`

	// microseconds
	Mean float64 `json:"mean_us"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`

	// microseconds of CPU time per command
	ClientCPU  float64 `json:"client_cpu_us"`
	ServerCPU  float64 `json:"server_cpu_us,omitempty"`
	ServerUser float64 `json:"server_user_us,omitempty"` // these two are 0 if they are not known: see proc.TicksEnough
	ServerSys  float64 `json:"server_sys_us,omitempty"`
	Switches   float64 `json:"server_switches,omitempty"` // of context, per command
	RSSBefore  int64   `json:"rss_before,omitempty"`      // bytes
	RSS        int64   `json:"rss,omitempty"`
	Peak       int64   `json:"peak,omitempty"`
}

// Run does what the Spec says and returns when it is over: after the time, or the count, or when no connection is left.
func Run(s Spec) (r Result, err error) {
	to, err := loopback(s.Addr)
	if err != nil {
		return r, err
	}
	if err := s.check(); err != nil {
		return r, err
	}
	w, err := newWorkload(&s)
	if err != nil {
		return r, err
	}
	if err := AllowFiles(s.Conns + s.Idle); err != nil {
		return r, err
	}
	// One more processor than threads: the threads never let go of theirs.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(s.Threads + 1))
	if w.onlyHandshakes() {
		return shakeHands(&s, to)
	}
	if err := populate(&s, w, to); err != nil {
		return r, err
	}
	idle, err := OpenIdle(s.Addr, s.Idle)
	if err != nil {
		return r, err
	}
	defer idle.Close()
	return drive(&s, w, to)
}

// drive runs the threads and watches the clock and the server meanwhile.
func drive(s *Spec, w *workload, to netip.AddrPort) (r Result, err error) {
	base := time.Now()
	threads := make([]*thread, s.Threads)
	for i := range threads {
		t := newThread(s, w, to, base, i)
		threads[i] = t
		defer t.close()
		for _, c := range t.conns {
			if err := t.open(c); err != nil {
				return r, err
			}
		}
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what is needed is there, and a collection would be seen as latency

	from := time.Since(base) + s.Warmup
	until := from + s.Seconds
	var all sync.WaitGroup
	over := make(chan struct{})
	for i, t := range threads {
		t.from, t.until = int64(from), int64(until)
		if s.Rate > 0 {
			gap := 1e9 * float64(s.Threads) / s.Rate
			// The threads' requests fall between each other's, not together.
			t.due = &schedule{start: float64(time.Since(base)) + gap*float64(i)/float64(s.Threads), gap: gap}
		}
		all.Go(t.run)
	}
	go func() { all.Wait(); close(over) }()

	time.Sleep(from - time.Since(base))
	before, err := look(s.PID)
	if err != nil {
		return r, err
	}
	select {
	case <-over:
	case <-time.After(until - time.Since(base)):
	}
	after, err := look(s.PID)
	<-over
	if err != nil {
		return r, err
	}
	return sum(threads, before, after), nil
}

// A cost is what both sides have spent at one moment.
type cost struct {
	server, client proc.Usage
}

func look(pid int) (c cost, err error) {
	if c.client, err = proc.Read(os.Getpid()); err == nil && pid > 0 {
		c.server, err = proc.Read(pid)
	}
	return c, err
}

func newThread(s *Spec, w *workload, to netip.AddrPort, base time.Time, i int) *thread {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		panic(sockErr("epoll_create1", err)) // only without descriptors or memory; we made room for both
	}
	share := func(n int) int { return n*(i+1)/s.Threads - n*i/s.Threads }
	t := &thread{
		workload: w, to: to, base: base, pipeline: s.Pipeline, again: s.Reconnect, ep: ep, left: math.MaxInt64,
		dice:   rand.NewPCG(s.Seed, uint64(i)),
		events: make([]unix.EpollEvent, 512),
		iov:    make([]unix.Iovec, 0, vectorsMax),
		buf:    make([]byte, bufLen),
		plain:  make([]byte, recordMax),
		hist:   hdrhistogram.New(1, latest, 3),
	}
	if s.Ops > 0 {
		t.left = s.Ops*int64(i+1)/int64(s.Threads) - s.Ops*int64(i)/int64(s.Threads)
	}
	for k := range share(s.Conns) {
		t.conns = append(t.conns, &conn{fd: -1, index: int32(k), pend: make([]pending, 0, s.Pipeline)})
	}
	t.alive = len(t.conns)
	if s.Active > 0 {
		active := max(share(s.Active), 1)
		t.resting = slices.Clone(t.conns[active:])
	}
	return t
}

func (t *thread) close() {
	for _, c := range t.conns {
		if c.fd >= 0 {
			_ = unix.Close(c.fd)
		}
	}
	_ = unix.Close(t.ep)
}

func sum(threads []*thread, before, after cost) (r Result) {
	hist := hdrhistogram.New(1, latest, 3)
	last := int64(0)
	from, until := threads[0].from, threads[0].until
	for _, t := range threads {
		hist.Merge(t.hist)
		c := &t.counts
		r.Ops, r.Hits, r.Misses = r.Ops+c.Ops, r.Hits+c.Hits, r.Misses+c.Misses
		r.Stored, r.NotStored = r.Stored+c.Stored, r.NotStored+c.NotStored
		r.Checked, r.Errors, r.Lost = r.Checked+c.Checked, r.Errors+c.Errors, r.Lost+c.Lost
		if r.FirstError == "" {
			r.FirstError = t.complaint
		}
		last = max(last, t.last)
	}
	// A run that ended before its time, having sent all it should, took until its last reply; and so did an open loop
	// that was behind at the end.
	open, counted := threads[0].due != nil, threads[0].left <= 0
	end := until
	if last > from && (counted && last < until || open && last > until) {
		end = last
	}
	r.Seconds = float64(end-from) / 1e9
	r.Rate = float64(r.Ops) / r.Seconds
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	r.Mean, r.Max = hist.Mean()/1e3, us(hist.Max())
	r.P50, r.P99, r.P999 = us(hist.ValueAtQuantile(50)), us(hist.ValueAtQuantile(99)), us(hist.ValueAtQuantile(99.9))
	perOp := func(d time.Duration) float64 { return us(int64(d)) / float64(max(r.Ops, 1)) }
	r.ClientCPU = perOp(after.client.CPU - before.client.CPU)
	if spent := after.server.CPU - before.server.CPU; spent > 0 {
		r.ServerCPU = perOp(spent)
		if spent >= proc.TicksEnough {
			r.ServerUser = perOp(after.server.User - before.server.User)
			r.ServerSys = perOp(after.server.Sys - before.server.Sys)
		}
		r.Switches = float64(after.server.Switches-before.server.Switches) / float64(max(r.Ops, 1))
	}
	r.RSSBefore, r.RSS, r.Peak = before.server.RSS, after.server.RSS, after.server.Peak
	return r
}

// populate sets the keys before anybody measures, those that the mix asks for.
func populate(s *Spec, w *workload, to netip.AddrPort) error {
	n := s.Populate
	if n < 0 {
		n = s.Keys
	}
	var others, numbers bool
	for _, o := range w.picks {
		others, numbers = others || o != incr, numbers || o == incr
	}
	for _, kind := range []struct {
		wanted bool
		op     op
	}{{others, set}, {numbers, seed}} {
		if !kind.wanted || n == 0 {
			continue
		}
		quick := *s
		quick.Warmup, quick.Seconds, quick.Ops, quick.PID = 0, 10*time.Minute, n, 0
		quick.Conns, quick.Threads, quick.Active, quick.Reconnect, quick.Rate = 2, 1, 0, 0, 0
		quick.Pipeline = min(64, max(1, (256<<10)/(w.longest+1))) // what fits into the socket's buffer
		choose, err := newChooser("seq", n)
		if err != nil {
			return err
		}
		sets := &workload{
			keys: w.keys, counters: w.counters, choose: choose, sizes: w.sizes, longest: w.longest,
			expFrom: w.expFrom, expTo: w.expTo, picks: []op{kind.op}, block: w.block, seed: w.seed,
			binary: w.binary, secure: w.secure,
		}
		r, err := drive(&quick, sets, to)
		// memcached refuses some of the sets of a plain fill for want of memory; what is measured comes afterwards.
		if err == nil && r.Stored < n-n/100 {
			err = fmt.Errorf("populate: %d of %d stored; %s", r.Stored, n, r.FirstError)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Idle are connections that were used once.
type Idle struct{ fds []int }

// OpenIdle opens n connections and lets each do a get, so that the server has for it whatever it has for a connection that
// is in use.
func OpenIdle(addr string, n int) (*Idle, error) {
	to, err := loopback(addr)
	if err != nil {
		return nil, err
	}
	if err := AllowFiles(n); err != nil {
		return nil, err
	}
	idle := &Idle{}
	reply := make([]byte, 64)
	for range n {
		fd, err := dial(to, true)
		if err == nil {
			idle.fds = append(idle.fds, fd)
			err = ask(fd, "get no-such-key\r\n", "END\r\n", reply)
		}
		if err != nil {
			idle.Close()
			return nil, fmt.Errorf("idle connection %d: %w", len(idle.fds), err)
		}
	}
	return idle, nil
}

func ask(fd int, question, answer string, buf []byte) error {
	if err := awaitSocket(fd, unix.POLLOUT); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte(question)); err != nil {
		return err
	}
	for got := 0; got < len(answer); {
		if err := awaitSocket(fd, unix.POLLIN); err != nil {
			return err
		}
		n, err := unix.Read(fd, buf[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return errHangUp
		}
		if got += n; string(buf[:got]) != answer[:min(got, len(answer))] {
			return outOfStep(buf[:got])
		}
	}
	return nil
}

func (i *Idle) Close() {
	for _, fd := range i.fds {
		_ = unix.Close(fd)
	}
	i.fds = nil
}

func (r *Result) summary(out io.Writer) {
	fmt.Fprintf(out, "%.0f ops/s (%d in %.2f s); hits %d, misses %d, stored %d, not stored %d; %d values compared\n",
		r.Rate, r.Ops, r.Seconds, r.Hits, r.Misses, r.Stored, r.NotStored, r.Checked)
	fmt.Fprintf(out, "latency µs: p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", r.P50, r.P99, r.P999, r.Max)
	if r.RSS > 0 {
		fmt.Fprintf(out, "server: %.2f µs an operation (user %.2f, sys %.2f), %.2f switches, %.1f MiB, peak %.1f\n",
			r.ServerCPU, r.ServerUser, r.ServerSys, r.Switches, float64(r.RSS)/(1<<20), float64(r.Peak)/(1<<20))
	}
	if r.Errors+r.Lost > 0 {
		fmt.Fprintf(out, "%d errors, the first: %s; %d requests without an answer\n", r.Errors, r.FirstError, r.Lost)
	}
}
