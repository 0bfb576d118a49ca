package field

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A Row is a scenario: what the servers are started with, and what is done to one of them.
type Row struct {
	Name string
	Args string
	Does func(r *Run)

	// Judge tells what is worse with us beside what is counted; nil: nothing.
	Judge func(us, them *Run) string

	// Before makes what a server is to run in, and more arguments for it. What it has made, undo
	// takes away when the server has ended; there is one even with an error. nil: nothing.
	Before func(r *Run, kind *pair.Kind) (more []string, undo func(), err error)
}

func (row *Row) String() string {
	if row.Args == "" {
		return row.Name
	}
	return fmt.Sprintf("%s (`%s`)", row.Name, row.Args)
}

// NotRun is an error of Before: this machine, or who we are on it, does not allow the row.
type NotRun string

func (n NotRun) Error() string { return "not run: " + string(n) }

// A Run is one scenario at one server.
type Run struct {
	Tally
	*pair.Server
	IsGomemd bool
	Other    *Run          // gomemd's, when it is memcached's turn
	Length   time.Duration // of rows that last
	Quick    bool
	P99      time.Duration // of the polite ones, where there are some
	Short    string        // what the row itself wants, and did not get; of gomemd it counts
	EndAsked bool          // the row itself ends the server
	Peak     int64         // bytes resident at most, so far

	notes []string
	ended bool
	took  time.Duration
}

// A Table is rows, and what the command line says of them.
type Table struct {
	only   string
	length time.Duration
	quick  bool
}

// TableFlags adds -only, -time and -quick to a command line.
func TableFlags(f *flag.FlagSet, length time.Duration) *Table {
	t := &Table{}
	f.StringVar(&t.only, "only", "", "a regular expression: only rows whose names it matches")
	f.DurationVar(&t.length, "time", length, "of the rows that have no end of their own")
	f.BoolVar(&t.quick, "quick", false, "a quarter of -time, and less of what takes long")
	return t
}

// Main runs the rows and does not return if gomemd is worse in one of them. The flags are parsed.
func (t *Table) Main(program string, p *pair.Pair, rows []Row) {
	err := p.Open()
	if err == nil {
		err = t.run(program, p, rows)
		p.Close()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}

func (t *Table) run(program string, p *pair.Pair, rows []Row) error {
	only, err := regexp.Compile(t.only)
	if err != nil {
		return err
	}
	if t.quick {
		t.length /= 4
	}
	if err := load.AllowFiles(2000); err != nil {
		return err
	}
	p.Heading(program)
	fmt.Fprintf(p.Out, "\n| scenario | %s | %s | |\n", p.Kinds[0].Name, p.Kinds[1].Name)
	fmt.Fprintln(p.Out, "| --- | --- | --- | --- |")
	var complaints, worse []string
	for i := range rows {
		row := &rows[i]
		if !only.MatchString(row.Name) {
			continue
		}
		runs, err := t.both(p, row)
		var notRun NotRun
		if errors.As(err, &notRun) {
			fmt.Fprintf(p.Out, "| %s | | | %v |\n", row, notRun)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", row.Name, err)
		}
		for k, r := range runs {
			for _, text := range r.Complaints(4) {
				text = fmt.Sprintf("%s, %s: %s", row.Name, p.Kinds[k].Name, text)
				complaints = append(complaints, text)
			}
		}
		verdict := row.verdict(runs[0], runs[1])
		if strings.HasPrefix(verdict, "WORSE") {
			worse = append(worse, row.Name)
		}
		fmt.Fprintf(p.Out, "| %s | %s | %s | %s |\n", row, runs[0].cell(), runs[1].cell(), verdict)
	}
	if len(complaints) > 0 {
		fmt.Fprintf(p.Out, "\n%s\n", strings.Join(complaints, "\n"))
	}
	if len(worse) > 0 {
		return fmt.Errorf("worse than %s in %d rows: %s",
			p.Kinds[1].Name, len(worse), strings.Join(worse, "; "))
	}
	return nil
}

// both plays a row at gomemd, and then at memcached.
func (t *Table) both(p *pair.Pair, row *Row) (runs [2]*Run, err error) {
	for k, kind := range p.Kinds {
		runs[k] = &Run{IsGomemd: k == 0, Other: runs[0], Length: t.length, Quick: t.quick}
		if err := runs[k].play(&kind, row); err != nil {
			return runs, fmt.Errorf("%s: %w", kind.Name, err)
		}
	}
	return runs, nil
}

// play starts a server, does what the row says and stops it.
func (r *Run) play(kind *pair.Kind, row *Row) (err error) {
	args := strings.Fields(row.Args)
	if row.Before != nil {
		more, undo, err := row.Before(r, kind)
		defer undo()
		if err != nil {
			return err
		}
		args = append(args, more...)
	}
	if r.Server, err = kind.Start(args...); err != nil {
		return err
	}
	defer r.Stop()
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(over) })
	start := time.Now()
	row.Does(r)
	r.took = time.Since(start)
	close(over)
	watching.Wait()
	if !r.ended {
		r.drops()
	}
	return nil
}

// watch looks at the memory, for the server may be gone at the end.
func (r *Run) watch(over chan struct{}) {
	for {
		if use, err := r.Usage(); err == nil {
			r.Peak = max(r.Peak, use.Peak)
		}
		r.ended = r.ended || r.Ended()
		select {
		case <-over:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// drops notes whom gomemd says it closed.
func (r *Run) drops() {
	if !r.IsGomemd {
		return
	}
	stats, err := r.StatsOf("gomemd")
	if err != nil {
		return
	}
	for name, n := range stats {
		if strings.HasPrefix(name, "conn_") && n != "0" {
			r.Note("%s %s", name, n)
		}
	}
}

// Note adds a remark to the cell.
func (r *Run) Note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *Run) cell() string {
	text := r.Counts.String()
	for _, n := range r.notes {
		text += "; " + n
	}
	text += fmt.Sprintf("; %.0f MiB; %.1f s", float64(r.Peak)/(1<<20), r.took.Seconds())
	if r.ended && !r.EndAsked {
		text += "; **it ended**"
	}
	return text
}

// gomemd did      and                    verdict
// everything                             fine
// not everything  memcached no better    as memcached
// worse           or wrong               WORSE
func (row *Row) verdict(us, them *Run) string {
	what := us.WorseThan(them.Counts)
	if us.ended && !us.EndAsked {
		what = append(what, "it ended")
	}
	if us.Short != "" {
		what = append(what, us.Short)
	}
	if row.Judge != nil {
		if judged := row.Judge(us, them); judged != "" {
			what = append(what, judged)
		}
	}
	switch {
	case len(what) > 0:
		return "WORSE: " + strings.Join(what, ", ")
	case us.Bad() > 0:
		return "as memcached"
	}
	return "fine"
}

var errNotServed = errors.New("cannot connect")

// Dial gives a client, or counts one who was not let in.
func (r *Run) Dial(l Link) *Client {
	c, err := Dial(r.Addr(), l)
	if err != nil {
		r.Add(fmt.Errorf("%w: %w", errNotServed, err))
		return nil
	}
	return c
}

// With lends a connection for a while.
func (r *Run) With(l Link, does func(c *Client)) {
	if c := r.Dial(l); c != nil {
		defer c.Close()
		does(c)
	}
}

// Crowd lets n clients do the same at once, and waits for them. Who returns false gets a connection
// anew until the time is over; a time of 0 is over at once.
func (r *Run) Crowd(n int, l Link, t time.Duration, does func(c *Client, i int) bool) {
	var all sync.WaitGroup
	end := time.Now().Add(t)
	for i := range n {
		all.Go(func() {
			for again := true; again; again = time.Now().Before(end) && !r.Ended() {
				r.With(l, func(c *Client) {
					for does(c, i) && time.Now().Before(end) {
					}
				})
				time.Sleep(time.Millisecond) // if it is not let in, it does not storm
			}
		})
	}
	all.Wait()
}

// Fill stores the first versions of n keys as fast as it goes, and says how many the server took.
func (r *Run) Fill(prefix string, n, size int) (stored []Value) {
	r.With(Link{}, func(c *Client) {
		for i := range n {
			v := Value{Key: fmt.Sprint(prefix, i), Version: 1, Size: size}
			err := c.Set(v, 0)
			if err == nil {
				stored = append(stored, v)
			} else if !r.Add(err) {
				return
			}
		}
	})
	return stored
}

// Within makes an answer that was right and late a trouble.
func Within(bound time.Duration, start time.Time, err error) error {
	if took := time.Since(start); err == nil && took > bound {
		return Late(fmt.Sprintf("after %.1f s", took.Seconds()))
	}
	return err
}

// Polite tells how long the polite ones waited.
func (r *Run) Polite(p50, p99 time.Duration) {
	r.P99 = p99
	r.Note("polite ones p50 %s, p99 %s", Short(p50), Short(p99))
}

// Short is a time in milliseconds.
func Short(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

// PoliteWaits is a Judge: polite ones may wait twice as long as at memcached, and 10 ms are
// nobody's fault on a machine that the clients share.
func PoliteWaits(us, them *Run) string {
	bound := max(2*them.P99, 10*time.Millisecond)
	if us.P99 > bound {
		return fmt.Sprintf("p99 %s, more than %s", Short(us.P99), Short(bound))
	}
	return ""
}
