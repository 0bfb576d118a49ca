package estimate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/internal/asks"
)

const mib = 1 << 20

// count prints a whole number with commas.
func count(v float64) string {
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// around prints a range as its middle and how far off that may be.
func around(r Range, format func(float64) string) string {
	return fmt.Sprintf("%s ±%.0f %%", format(r.Middle()), max(1, math.Ceil(100*r.Error())))
}

func inMiB(bytes float64) string { return strconv.FormatFloat(bytes/mib, 'f', 1, 64) }

func tenths(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// between prints a range by its ends, once if they are the same.
func between(r Range, format func(float64) string) string {
	low, high := format(r.Low), format(r.High)
	if low == high {
		return low
	}
	return low + " to " + high
}

// Print is the report for people, in 80 columns. There is nothing but printable ASCII and "±" in it.
func (r *Report) Print() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	state := "not full"
	if r.Full {
		state = "full"
	}
	line("%s: memcached %s, up %s, %s", asks.Printable(r.Server), r.Version, (time.Duration(r.Uptime) * time.Second).String(), state)
	line("")

	t, h := &r.There, &r.Here
	line("Its memory                              MiB   share   an item")
	row := func(what string, of Range) {
		share := Range{100 * of.Low / float64(max(t.Slabs, 1)), 100 * of.High / float64(max(t.Slabs, 1))}
		note := ""
		if off := math.Ceil(100 * of.Error()); off >= 1 {
			note = fmt.Sprintf("  ±%.0f %%", off)
		}
		line("  %-32s %8s  %4.0f %%  %8s%s", what, inMiB(of.Middle()), share.Middle(), tenths(of.Middle()/float64(r.Items)), note)
	}
	exactly := func(n uint64) Range { return Range{float64(n), float64(n)} }
	row("keys and values", t.Payload)
	row("headers of items", t.Headers)
	row("rounding up to slab chunks", exactly(t.Rounding))
	row("free chunks", exactly(t.FreeChunks))
	row("free pages, ends of pages", exactly(t.FreePages+t.PageEnds))
	row("all slab pages (-m is "+inMiB(float64(r.Limit))+")", exactly(t.Slabs))
	row("hash table, beside -m", exactly(t.HashTable))
	line("")

	line("                              memcached    gomemd")
	compare := func(what, there, here string) {
		line("%s", strings.TrimRight(fmt.Sprintf("%-24s %14s    %s", what, there, here), " "))
	}
	compare("bytes an item", tenths(t.Bytes.High), around(h.Bytes, tenths))
	compare("items in a MiB", count(t.PerMiB.Low), around(h.PerMiB, count))
	if filled := count(t.PerMiB.High); filled != count(t.PerMiB.Low) {
		compare("  were its pages filled", filled, "")
	}
	items, now := count(float64(r.Items)), ""
	if !r.Full {
		now = " now"
	}
	compare("items with -m "+strings.TrimSuffix(inMiB(float64(r.Limit)), ".0"), items+now, around(h.Items, count))
	compare("-m for "+items+" items", strings.TrimSuffix(inMiB(float64(t.Slabs)), ".0"), between(h.MiB, count))
	line("")
	if r.Full {
		line("The same -m would keep %.2f to %.2f times as many items here.", h.More.Low, h.More.High)
	} else {
		line("Once full, the same -m would keep %.2f to %.2f times as many items here.", h.More.Low, h.More.High)
	}
	line("That is for items as they are mixed now: it evicts by slab class, gomemd does not.")
	line("All of gomemd's index and headers is in its -m; it needs some 10 MiB beside that.")
	line("")

	e := &r.Expired
	line("Expired items are among those above, and counters do not tell how many.")
	switch {
	case e.PerHour == 0:
		line("None was reclaimed since it started.")
	case e.Crawler:
		line("It reclaimed %s an hour in the mean, and looks for them once an hour at least.", count(e.PerHour))
	default:
		line("It reclaimed %s an hour in the mean, and looks for them only when it needs room.", count(e.PerHour))
	}
	if e.EvictedTTL >= 0 {
		line("Of what it evicted, %.0f %% had an expiration time.", 100*e.EvictedTTL)
	}
	line("")

	line("The ranges hold whatever the truth is about what it does not tell:")
	for _, u := range r.Unknown {
		line("  - %s", u)
	}
	if !r.Exact {
		line("  - sizes within a slab class: only their mean (-o track_sizes would tell)")
	}
	line("  and the layout's own error, %.0f %%.", 100*modelError)
	line("")

	if len(r.Settings) == 0 {
		line("Settings: none that differs from memcached's default is ignored or refused here.")
		return b.String()
	}
	line("Settings that do not mean here what they mean there:")
	for _, s := range r.Settings {
		line("  %-9s  %s %s: %s", s.Verdict, s.Name, s.Value, s.Why)
	}
	return b.String()
}
