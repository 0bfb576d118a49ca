// Package top shows in a terminal what a memcached-compatible server does: rates by command, hits,
// memory, what is evicted and how old it was, clients; and more of a gomemd. It knows of a server
// only what `stats` and its kin tell over the network, and shows none of it unescaped.
//
//	top.go      Run                    the command: flags, and whether there is a terminal
//	watch.go    watch.ask, Sample      asks one server, again and again, and connects again
//	history.go  history.take, rate     two samples → rates; servers that went and came
//	model.go    model.Update           keys and time (bubbletea)
//	screen.go   one, all               lines, for the terminal and without one
//	text.go     line, cut              words, numbers and colours
//
// Each server has one question under way at most, in a goroutine of bubbletea's. Nothing else runs
// beside the model.
package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/asks"
)

const usage = `Usage: gomemd top [options] HOST:PORT …

Watches memcached-compatible servers: in the terminal, or as plain text where
stdout is none. HOST:PORT may be [v6]:port, a host, or a unix socket's path.

Keys: q quit, p pause, + and - change the interval; of several servers: up and
down choose one, Enter shows it alone, Esc shows all; arrows scroll what is long.

Options:
`

// Exit codes: 1 if a server cannot be asked (with --once), 64 (EX_USAGE) for a mistake on the
// command line.
const (
	exFailure = 1
	exUsage   = 64
)

// intervals are what + and - choose from.
var intervals = []time.Duration{
	500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// intervalLeast keeps questions from being a load of their own.
const intervalLeast = 100 * time.Millisecond

// Run is the command, with the words after its name.
func Run(args []string, stdout, stderr io.Writer) int {
	set := pflag.NewFlagSet("gomemd top", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	var options asks.Options
	interval := set.DurationP("interval", "i", time.Second, "how often to ask")
	once := set.Bool("once", false, "print plain text after one interval, and end")
	plain := set.Bool("plain", false, "print plain text at each interval, be there a terminal or not")
	options.Add(set)
	fail := func(code int, err error) int {
		fmt.Fprintf(stderr, "gomemd top: %s\n", err)
		return code
	}
	switch err := set.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage, set.FlagUsages())
		return 0
	case err != nil:
		return fail(exUsage, err)
	case set.NArg() == 0:
		return fail(exUsage, errors.New("name a server, as HOST:PORT; --help tells more"))
	case *interval < intervalLeast:
		return fail(exUsage, fmt.Errorf("--interval must be %v or more", intervalLeast))
	}
	m := &model{interval: *interval, chosen: -1, width: 80, height: 24}
	for _, addr := range set.Args() {
		where, err := options.Where(addr)
		if err != nil {
			return fail(exUsage, err)
		}
		m.servers = append(m.servers, newHistory(where))
	}
	if len(m.servers) == 1 {
		m.chosen = 0
	}
	if *once || *plain || !isTerminal(stdout) || os.Getenv("TERM") == "dumb" {
		return m.printPlain(stdout, *once)
	}
	if _, err := tea.NewProgram(m, tea.WithOutput(stdout)).Run(); err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fail(exFailure, err)
	}
	return 0
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// printPlain prints what the screen would show at each interval, until nobody reads it, or once.
func (m *model) printPlain(out io.Writer, once bool) int {
	ask := func() {
		done := make(chan struct{})
		for _, s := range m.servers {
			go func() { s.take(s.watch.ask(context.Background())); done <- struct{}{} }()
		}
		for range m.servers {
			<-done
		}
	}
	ask()
	for {
		time.Sleep(m.interval)
		ask()
		text := ""
		for _, l := range m.lines(plainWidth, plainHeight) {
			text += l.plain() + "\n"
		}
		if _, err := io.WriteString(out, text+"\n"); err != nil {
			return exFailure
		}
		if !once {
			continue
		}
		for _, s := range m.servers {
			if s.err != nil {
				return exFailure
			}
		}
		return 0
	}
}

// Plain text has as many lines as there is to tell, within reason.
const (
	plainWidth  = 120
	plainHeight = 200
)
