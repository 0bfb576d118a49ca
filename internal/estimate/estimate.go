// Package estimate asks a running memcached a few read-only questions and says what its items would
// need here. It estimates from counters, never from the items themselves: what these do not tell,
// it gives as a range that holds whatever the truth is.
//
//	estimate.go   Run, ask      the command, and its questions
//	report.go     Report, Make  what follows from the answers
//	settings.go   judge         which settings mean nothing here, and which are refused
//	print.go      Print         the report for people
//
// # What memcached tells
//
// `stats` has the sum of all items, as memcached counts them:
//
//	header 48 | cas 8, not with -C | key | NUL 1 | client flags 0 or 4 | value | CRLF 2
//
// and so what keys and values take together, within four bytes an item. It does not tell how many
// items have client flags or a deadline, and how many have expired. `stats items` has the same sum
// by slab class, which bounds the sizes; so does `stats sizes`, more finely, with -o track_sizes.
// Nothing else is asked for: without track_sizes, versions before 1.4.27 walk all items for `stats
// sizes` and serve nobody meanwhile, and a metadump costs the server what it costs to read it.
package estimate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gomemd/gomemd/internal/asks"
)

const usage = `Usage: gomemd estimate [options] HOST:PORT

Asks a running memcached for its statistics (stats, items, slabs, settings, and
sizes if it tracks them) and tells what its items would need here. It reads no
items and changes nothing. HOST:PORT may be [v6]:port, a host, or a unix socket's
path.

Options:
`

// Exit codes: 1 if the server cannot be asked, 64 (EX_USAGE) for a mistake on the command line.
const (
	exFailure = 1
	exUsage   = 64
)

// Run is the command, with the words after its name.
func Run(args []string, stdout, stderr io.Writer) int {
	set := pflag.NewFlagSet("gomemd estimate", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	var options asks.Options
	var known Known
	asJSON := set.Bool("json", false, "print JSON")
	set.StringVar(&known.TTL, "ttl", "", "what you know and it does not tell: `all` items have an\nexpiration time, or none")
	set.IntVar(&known.Flags, "client-flags", -1, "the same of clients' flags: they take `n` bytes: 0 (they\nare 0), 1 (less than 256), 2 or 4")
	options.Add(set)
	fail := func(code int, err error) int {
		fmt.Fprintf(stderr, "gomemd estimate: %s\n", err)
		return code
	}
	switch err := set.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage, set.FlagUsages())
		return 0
	case err != nil:
		return fail(exUsage, err)
	case set.NArg() != 1:
		return fail(exUsage, errors.New("name one server, as HOST:PORT; --help tells more"))
	}
	if err := known.check(); err != nil {
		return fail(exUsage, err)
	}
	where, err := options.Where(set.Arg(0))
	if err != nil {
		return fail(exUsage, err)
	}
	answers, err := Ask(context.Background(), where)
	if err != nil {
		return fail(exFailure, err)
	}
	report, err := Make(answers, known)
	if err != nil {
		return fail(exFailure, err)
	}
	report.Server = where.Addr
	if *asJSON {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		err = out.Encode(report)
	} else {
		_, err = io.WriteString(stdout, report.Print())
	}
	if err != nil {
		return fail(exFailure, err)
	}
	return 0
}

// Answers are what the server said to each question.
type Answers struct {
	General, Items, Slabs, Settings asks.Stats
	Sizes                           asks.Stats // none if it does not track them
}

// Ask asks a server.
func Ask(ctx context.Context, w asks.Where) (*Answers, error) {
	c, err := asks.Dial(ctx, w)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	a := new(Answers)
	for _, q := range []struct {
		words string
		to    *asks.Stats
	}{
		{"", &a.General}, {"settings", &a.Settings}, {"items", &a.Items}, {"slabs", &a.Slabs},
	} {
		if *q.to, err = c.Stats(q.words); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace("stats "+q.words), err)
		}
	}
	if a.Settings["track_sizes"] == "yes" {
		if a.Sizes, err = c.Stats("sizes"); err != nil && !errors.Is(err, asks.ErrRefused) {
			return nil, fmt.Errorf("stats sizes: %w", err)
		}
	}
	return a, nil
}
