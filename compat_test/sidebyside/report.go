package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A difference is one command that two servers answered differently.
type difference struct {
	conn, index int
	command     *command
	replies     [2][]byte
	before      []string // earlier commands on its keys
}

// A kind is what many differences have in common.
type kind struct {
	name  string
	known *known
	seen  int
}

// A report counts and prints. All talkers share it.
type report struct {
	opt   options
	out   io.Writer
	known []*known // of these two servers
	newer int      // which of them is the newer

	mu         sync.Mutex
	commands   int
	kinds      map[string]*kind
	miscounted int // counters of stats that differ
	misdumped  int // items that differ at the end
}

func newReport(servers [2]*peer, opt options, out io.Writer) *report {
	r := &report{opt: opt, out: out, kinds: make(map[string]*kind)}
	if opt.grammar != "full" {
		return r // it says nothing about which these servers are known to differ
	}
	list := knownDifferences
	if opt.protocol == "binary" {
		list = knownPacketDifferences
	}
	for i := range list {
		if newer, ok := list[i].between(servers); ok {
			r.newer = newer
			r.known = append(r.known, &list[i])
		}
	}
	return r
}

func (r *report) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands += n
}

// difference prints it, unless it is known or there were enough of its kind.
func (r *report) difference(d difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.lookUp(d)
	name := d.command.name + "\n\tA " + firstLine(d.replies[0]) + "\n\tB " + firstLine(d.replies[1])
	if known != nil {
		name = known.reason
	}
	k := r.kinds[name]
	if k == nil {
		k = &kind{name: name, known: known}
		r.kinds[name] = k
	}
	k.seen++
	if k.known != nil || k.seen > r.opt.show {
		return
	}
	fmt.Fprintf(r.out, "\nDIFFERENCE in command %d of connection %d of %d, seed %d (%s)\n", d.index, d.conn, r.opt.conns, r.opt.seed, d.command.name)
	for _, line := range d.before {
		fmt.Fprintf(r.out, "  before  %s\n", line)
	}
	fmt.Fprintf(r.out, "  said    %s\n  A said  %s\n  B said  %s\n", quote(d.command.text, 600), quote(d.replies[0], 600), quote(d.replies[1], 600))
}

// inDoubt says whether these two servers are known to disagree about commands like c.
func (r *report) inDoubt(c *command) bool {
	return slices.ContainsFunc(r.known, func(k *known) bool { return k.about(c) })
}

func (r *report) lookUp(d difference) *known {
	for _, k := range r.known {
		if k.about(d.command) && k.explains(d.replies[r.newer], d.replies[1-r.newer]) {
			return k
		}
	}
	return nil
}

// unlisted counts the differences that nobody has given a reason for.
func (r *report) unlisted() int {
	n := r.miscounted + r.misdumped
	for _, k := range r.kinds {
		if k.known == nil {
			n += k.seen
		}
	}
	return n
}

func (r *report) summary(w io.Writer) {
	reasons := make(map[*known]int)
	var unlisted []*kind
	for _, k := range r.kinds {
		if k.known != nil {
			reasons[k.known] += k.seen
		} else {
			unlisted = append(unlisted, k)
		}
	}
	for _, k := range r.known {
		if reasons[k] > 0 {
			fmt.Fprintf(w, "known: %6d × %s\n", reasons[k], k.reason)
		}
	}
	slices.SortFunc(unlisted, func(a, b *kind) int { return b.seen - a.seen })
	for _, k := range unlisted {
		fmt.Fprintf(w, "UNLISTED: %6d × %s\n", k.seen, k.name)
	}
	fmt.Fprintf(w, "%d unlisted differences of %d kinds\n", r.unlisted(), len(unlisted))
}

var (
	digits = regexp.MustCompile(`[0-9]+`)
	keyOf  = regexp.MustCompile(`^VALUE [^ ]*`)
)

// firstLine is a reply with what is particular taken out.
func firstLine(reply []byte) string {
	line, rest, _ := strings.Cut(string(reply), "\n")
	line = keyOf.ReplaceAllString(line, "VALUE k")
	line = digits.ReplaceAllString(line, "N")
	if rest != "" {
		line += "\n…"
	}
	return quote([]byte(line), 100)
}

// quote keeps what is long readable: both ends of it.
func quote(b []byte, long int) string {
	if len(b) > long {
		return fmt.Sprintf("%q …(%d bytes)… %q", b[:long*3/4], len(b)-long, b[len(b)-long/4:])
	}
	return fmt.Sprintf("%q", b)
}
