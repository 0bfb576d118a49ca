// Command slow tries gomemd and memcached in turn with clients whose links are slow, whose values
// are large, and who stop, stand still or leave in the middle of them: a row for each scenario.
//
//	go run ./bench/slow
//	go run ./bench/slow -only 'half-close|trickle' -memcached /path/to/memcached
//	go run ./bench/slow -quick                  less of what takes long
//	go run ./bench/slow -large                  with a value of 1 GiB: 5 GB of memory are wanted
//
// A slow link is a small receive buffer and a client that reads and writes at a pace. Every byte
// that is read is compared with what was stored; the cells tell what was
//
//	served      as it should be
//	cut         the connection ended before the answer did
//	refused     answered with an ERROR
//	wrong       another byte, key, version or order
//	lost        a miss, where there was room and nobody took the value away
//	late        right, but after the time that the row allows
//	stuck       20 seconds without a byte, unless the row says otherwise
//
// and the most memory that was resident. It fails when gomemd is worse than memcached: more of any
// of these, anything wrong, an end of its own, or what the row itself asks for. Where both leave
// something to be wished the verdict is "as memcached".
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A row is a scenario: what the servers are started with, and what is done to one of them.
type row struct {
	name  string
	args  string
	does  func(r *run)
	judge func(us, them *run) string // what is worse with us beside what is counted; may be nil
	large bool                       // only with -large
}

// A run is one scenario at one server.
type run struct {
	field.Tally
	*pair.Server
	isGomemd bool
	length   time.Duration // of rows that last
	quick    bool
	waits    field.Waits // of the polite ones, where there are some
	short    string      // what the row itself wants, and did not get
	notes    []string
	peak     int64
	ended    bool // by itself
	endAsked bool // by the row
	took     time.Duration
}

func main() {
	load.Child()
	p := pair.Flags(flag.CommandLine)
	only := flag.String("only", "", "a regular expression: only rows whose names it matches")
	length := flag.Duration("time", 20*time.Second, "of the rows that have no end of their own")
	quick := flag.Bool("quick", false, "a quarter of -time, and a dump of 300,000 items")
	large := flag.Bool("large", false, "with the rows that need 5 GB of memory")
	flag.Parse()
	if *quick {
		*length /= 4
	}
	err := p.Open()
	if err == nil {
		err = table(p, regexp.MustCompile(*only), *length, *quick, *large)
		p.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

func table(p *pair.Pair, only *regexp.Regexp, length time.Duration, quick, large bool) error {
	if err := load.AllowFiles(2000); err != nil {
		return err
	}
	p.Heading("slow")
	fmt.Fprintf(p.Out, "\n| scenario | %s | %s | |\n", p.Kinds[0].Name, p.Kinds[1].Name)
	fmt.Fprintln(p.Out, "| --- | --- | --- | --- |")
	var complaints, worse []string
	for i := range rows {
		row := &rows[i]
		if !only.MatchString(row.name) || row.large && !large {
			continue
		}
		var runs [2]*run
		for k := range p.Kinds {
			r := &run{isGomemd: k == 0, length: length, quick: quick}
			if err := r.play(&p.Kinds[k], row); err != nil {
				return fmt.Errorf("%s: %s: %w", row.name, p.Kinds[k].Name, err)
			}
			for _, text := range r.Complaints(4) {
				text = fmt.Sprintf("%s, %s: %s", row.name, p.Kinds[k].Name, text)
				complaints = append(complaints, text)
			}
			runs[k] = r
		}
		verdict := row.verdict(runs[0], runs[1])
		if strings.HasPrefix(verdict, "WORSE") {
			worse = append(worse, row.name)
		}
		fmt.Fprintf(p.Out, "| %s (`%s`) | %s | %s | %s |\n",
			row.name, row.args, runs[0].cell(), runs[1].cell(), verdict)
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

// play starts a server, does what the row says and stops it.
func (r *run) play(kind *pair.Kind, row *row) (err error) {
	if r.Server, err = kind.Start(strings.Fields(row.args)...); err != nil {
		return err
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(over) })
	start := time.Now()
	row.does(r)
	r.took = time.Since(start)
	close(over)
	watching.Wait()
	if !r.ended {
		r.drops()
	}
	r.Stop()
	return nil
}

// watch looks at the memory, for the server may be gone at the end.
func (r *run) watch(over chan struct{}) {
	for {
		if use, err := r.Usage(); err == nil {
			r.peak = max(r.peak, use.Peak)
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
func (r *run) drops() {
	if !r.isGomemd {
		return
	}
	stats, err := r.StatsOf("gomemd")
	if err != nil {
		return
	}
	for name, n := range stats {
		if strings.HasPrefix(name, "conn_") && n != "0" {
			r.note("%s %s", name, n)
		}
	}
}

func (r *run) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *run) cell() string {
	text := r.Counts.String()
	for _, n := range r.notes {
		text += "; " + n
	}
	text += fmt.Sprintf("; %.0f MiB; %.1f s", float64(r.peak)/(1<<20), r.took.Seconds())
	if r.ended && !r.endAsked {
		text += "; **it ended**"
	}
	return text
}

// gomemd did      and                    verdict
// everything                             fine
// not everything  memcached no better    as memcached
// worse           or wrong               WORSE
func (row *row) verdict(us, them *run) string {
	if us.ended && !us.endAsked {
		return "WORSE: it ended"
	}
	if what := us.WorseThan(them.Counts); what != "" {
		return "WORSE: " + what
	}
	if us.short != "" {
		return "WORSE: " + us.short
	}
	if row.judge != nil {
		if what := row.judge(us, them); what != "" {
			return "WORSE: " + what
		}
	}
	if us.Bad() > 0 {
		return "as memcached"
	}
	return "fine"
}

var errNotServed = errors.New("cannot connect")

// dial gives a client, or counts one who was not let in.
func (r *run) dial(l field.Link) *field.Client {
	c, err := field.Dial(r.Addr(), l)
	if err != nil {
		r.Add(fmt.Errorf("%w: %w", errNotServed, err))
		return nil
	}
	return c
}

// with lends a connection for a while.
func (r *run) with(l field.Link, does func(c *field.Client)) {
	if c := r.dial(l); c != nil {
		defer c.Close()
		does(c)
	}
}

// crowd lets n clients do the same at once, and waits for them. Who returns false gets a connection
// anew until the time is over; a time of 0 is over at once.
func (r *run) crowd(n int, l field.Link, t time.Duration, does func(c *field.Client, i int) bool) {
	var all sync.WaitGroup
	end := time.Now().Add(t)
	for i := range n {
		all.Go(func() {
			for again := true; again; again = time.Now().Before(end) && !r.Ended() {
				r.with(l, func(c *field.Client) {
					for does(c, i) && time.Now().Before(end) {
					}
				})
			}
		})
	}
	all.Wait()
}

// fill stores the first versions of n keys as fast as it goes, and says how many the server took.
func (r *run) fill(prefix string, n, size int) (stored []field.Value) {
	r.with(field.Link{}, func(c *field.Client) {
		for i := range n {
			v := field.Value{Key: fmt.Sprint(prefix, i), Version: 1, Size: size}
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

// within makes an answer that was right and late a trouble.
func within(bound time.Duration, start time.Time, err error) error {
	if took := time.Since(start); err == nil && took > bound {
		return field.Late(fmt.Sprintf("after %.1f s", took.Seconds()))
	}
	return err
}
