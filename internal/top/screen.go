package top

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gomemd/gomemd/internal/asks"
)

// lines is the screen: all servers, or one.
func (m *model) lines(width, height int) []line {
	var body []line
	if m.chosen < 0 {
		body = m.all(width, height-2)
	} else {
		body = m.one(m.servers[m.chosen], width, height-2)
	}
	keys := "q quit, p pause, +/- interval"
	switch {
	case m.chosen < 0:
		keys += ", arrows, Enter: one"
	case len(m.servers) > 1:
		keys += ", arrows, Esc: all"
	}
	title := fmt.Sprintf("gomemd top every %v", m.interval)
	if m.paused {
		title = "gomemd top PAUSED"
	}
	body = append([]line{styled(reverse, "%-*s", width, title+"   "+keys)}, body...)
	return body[:min(len(body), max(height, 1))]
}

// row is a line with a word in front that tells what it is about.
func row(what string, parts ...line) line { return styled(bold, "%-8s ", what).plus(parts...) }

// one is all that is known of one server.
func (m *model) one(h *history, width, height int) []line {
	head := styled(bold, "%s", h.name)
	if h.last == nil {
		return []line{head, h.state()}
	}
	g := h.last.General
	head = head.plus(text("  version %s, up %s", asks.Printable(g["version"]), span(float64(g.Number("uptime")))))
	rows := []line{head, h.state()} // on a line of its own: names may be long

	ops := row("ops/s", text("%-9s", h.ops().as(short)))
	for _, c := range commands {
		if r := h.rate(c.counters...); c.name == "get" || c.name == "set" || r.value > 0 {
			ops = ops.plus(text(" %s %s ", c.name, r.as(short)))
		}
	}
	rows = append(rows, ops,
		row("hits", styled(bold, "%-9s", h.hitsNow().as(percent)), text(" now   %s since the start   %s hits/s, %s misses/s",
			h.hitsEver().as(percent), h.rate("get_hits").as(short), h.rate("get_misses").as(short))))

	bytes, limit := float64(g.Number("bytes")), float64(g.Number("limit_maxbytes"))
	if limit > 0 {
		rows = append(rows, row("memory", bar(bytes/limit, 30), text(" %s of %s, %s", size(bytes), size(limit), percent(bytes/limit))))
	}
	rows = append(rows, row("items", text("%s   %s stored/s", grouped(float64(g.Number("curr_items"))), h.rate("total_items").as(short))))
	least, most := h.evictedAge()
	age := least.as(span)
	if most.as(span) != age {
		age += " to " + most.as(span)
	}
	evicted := h.rate("evictions")
	rows = append(rows, row("lost", hot(evicted, "evicted %s/s", evicted.as(short)),
		text("   expired %s/s   age of the evicted %s", h.expired().as(short), age)))
	rejected := h.rate("rejected_connections")
	rows = append(rows, row("clients", text("%s of %s   %s new/s   ", grouped(float64(g.Number("curr_connections"))), grouped(float64(g.Number("max_connections"))),
		h.rate("total_connections").as(short)), hot(rejected, "rejected %s/s", rejected.as(short))))
	rows = append(rows, row("network", text("in %s/s   out %s/s", h.rate("bytes_read").as(size), h.rate("bytes_written").as(size))))
	rows = append(rows, row("cpu", text("%s of one core: user %s, system %s   %s threads", h.perSecond("rusage_user", "rusage_system").as(percent),
		h.perSecond("rusage_user").as(percent), h.perSecond("rusage_system").as(percent), asks.Printable(g["threads"]))))
	if h.last.ours() {
		rows = append(append(rows, nil), own(h, width)...)
	} else if table := classes(h); len(table) > 0 {
		rows = append(append(rows, nil), table...)
	}
	return scrolled(rows, height, &m.scroll)
}

// scrolled is what is to be seen of rows. The scroll ends with them.
func scrolled(rows []line, height int, scroll *int) []line {
	if len(rows) <= height {
		*scroll = 0
		return rows
	}
	visible := max(height-1, 1)
	*scroll = min(*scroll, len(rows)-visible)
	rest := len(rows) - visible - *scroll
	return append(slices.Clone(rows[*scroll:*scroll+visible]), text("... %d lines more", rest))
}

// hot is styled as a warning when there is any of it.
func hot(n number, format string, args ...any) line {
	if n.value > 0 {
		return styled(warning, format, args...)
	}
	return text(format, args...)
}

// state tells whether a server is there, if there is something to tell about it.
func (h *history) state() line {
	switch {
	case h.err != nil && h.last == nil:
		return styled(bad, "not there: %s", asks.Printable(h.err.Error()))
	case h.err != nil:
		return styled(bad, "GONE since %s: %s", h.since.Format("15:04:05"), asks.Printable(h.err.Error()))
	case h.last == nil:
		return text("connecting")
	case !h.restarted.IsZero():
		return styled(warning, "restarted %s", h.restarted.Format("15:04:05"))
	}
	return nil
}

// expired is how many items a second were reclaimed for having expired.
func (h *history) expired() number {
	if h.last.ours() {
		return h.rateIn(func(s *Sample) asks.Stats { return s.Own }, "expired")
	}
	return h.rate("reclaimed", "crawler_reclaimed")
}

// own is what only gomemd tells.
func own(h *history, width int) (rows []line) {
	o := h.last.Own
	in := func(name string) string { return size(float64(o.Number(name))) }
	rows = append(rows,
		row("process", text("resident %s  items %s  clients %s  runtime %s", in("memory_resident"), in("memory_items"),
			in("memory_connections"), in("memory_runtime"))),
		row("store", text("segments %s  dead %s  free %s  index %s  oldest %s", in("items_segments"), in("items_dead"), in("items_free"),
			in("items_index"), span(float64(o.Number("oldest_age"))))))
	if slow, ok := o.Find("conn_slow"); ok {
		behind := float64(o.Number("conn_behind"))
		rows = append(rows, row("readers", hot(known(behind), "%s behind now", grouped(behind)), text(", %s were slow; cut off: %s",
			grouped(float64(slow)), grouped(float64(o.Number("conn_budget_dropped")+o.Number("conn_pins_dropped"))))))
	}
	if c := curve(o); c != nil {
		rows = append(rows, c)
	}
	return append(rows, hotKeys(h.last.Hot, width)...)
}

// curve is what other values of -m would do: hit ratios in ten-thousandths, by percent of the one in
// force. While too little is known, they are all 0.
func curve(o asks.Stats) line {
	ratios := make(map[int]uint64)
	found := false
	for name := range o {
		factor, _ := strings.CutPrefix(name, "curve_")
		percent, err := strconv.Atoi(factor)
		if ratio, ok := o.Find(name); ok && err == nil {
			ratios[percent], found = ratio, found || ratio > 0
		}
	}
	if !found {
		return nil
	}
	l := row("with -m", text("of"))
	for _, p := range slices.Sorted(maps.Keys(ratios)) {
		l = l.plus(text(" x%s %.1f%%", strconv.FormatFloat(float64(p)/100, 'f', -1, 64), float64(ratios[p])/100))
	}
	return l.plus(text(" hits"))
}

// hotKeysMost is how many are shown of each list.
const hotKeysMost = 10

// hotKeys is a table of the keys that are asked for most, and those that take most of the network.
func hotKeys(s asks.Stats, width int) (rows []line) {
	list := func(name string) (found []map[string]string) {
		for i := range hotKeysMost {
			value, ok := s[name+":"+strconv.Itoa(i+1)]
			if !ok {
				break
			}
			fields := make(map[string]string)
			for _, f := range strings.Split(value, ",") {
				k, v, _ := strings.Cut(f, "=")
				if key, err := url.PathUnescape(v); k == "key" && err == nil {
					v = key
				}
				fields[k] = asks.Printable(v)
			}
			found = append(found, fields)
		}
		return found
	}
	byRequests, byBytes := list("by_requests"), list("by_bytes")
	if len(byRequests) == 0 {
		return nil
	}
	half := max(width/2-1, 20)
	cell := func(of []map[string]string, i int) string {
		if i >= len(of) {
			return ""
		}
		text := of[i]["share"]
		return fmt.Sprintf("%6.6s %%  %s", text, of[i]["key"])
	}
	rows = append(rows, nil, styled(bold, "%-*s  %s", half, "share, keys asked for most", "share, keys with most bytes"))
	for i := range max(len(byRequests), len(byBytes)) {
		rows = append(rows, text("%-*.*s  %s", half, half, cell(byRequests, i), cell(byBytes, i)))
	}
	return rows
}

// classes is a table of slab classes.
func classes(h *history) (rows []line) {
	slabs, items := h.last.Slabs.Classes(""), h.last.Items.Classes("items:")
	for _, n := range slices.Sorted(maps.Keys(slabs)) {
		s := slabs[n]
		chunks, used := float64(s.Number("total_chunks")), float64(s.Number("used_chunks"))
		if chunks == 0 {
			continue
		}
		if rows == nil {
			rows = append(rows, styled(bold, "%5s %7s %10s %9s %5s %9s %7s %7s %8s", "class", "chunk", "items", "memory", "used",
				"evicted/s", "hits/s", "sets/s", "age"))
		}
		class := func(what string) number {
			return h.rateIn(func(s *Sample) asks.Stats { return s.Slabs }, strconv.Itoa(n)+":"+what)
		}
		evicted := h.rateIn(func(s *Sample) asks.Stats { return s.Items }, fmt.Sprintf("items:%d:evicted", n))
		chunk := float64(s.Number("chunk_size"))
		rows = append(rows, text("%5d %7s %10s %9s %4.0f%% ", n, grouped(chunk), grouped(float64(items[n].Number("number"))),
			size(chunks*chunk), 100*used/chunks).plus(hot(evicted, "%9s", evicted.as(short)),
			text(" %7s %7s %8s", class("get_hits").as(short), class("cmd_set").as(short), span(float64(items[n].Number("age"))))))
	}
	return rows
}

// all is a line for each server.
func (m *model) all(width, height int) []line {
	name := max(width-62, 18)
	rows := []line{styled(bold, "%-*s %8s %7s %8s %8s %5s %7s %6s %6s", name, "server", "ops/s", "hits", "items", "memory", "full", "evict/s", "conns", "cpu")}
	for i, h := range m.servers {
		s := normal
		if i == m.cursor && len(m.servers) > 1 {
			s = reverse
		}
		l := styled(s, "%-*.*s", name, name, h.name)
		if h.err != nil || h.last == nil {
			rows = append(rows, l.plus(text("  "), h.state()))
			continue
		}
		g := h.last.General
		limit := float64(g.Number("limit_maxbytes"))
		evicted := h.rate("evictions")
		l = l.plus(text(" %8s %7s %8s %8s %4.0f%% ", h.ops().as(short), h.hitsNow().as(percent), short(float64(g.Number("curr_items"))),
			size(float64(g.Number("bytes"))), 100*float64(g.Number("bytes"))/max(limit, 1)),
			hot(evicted, "%7s", evicted.as(short)),
			text(" %6s %6s", short(float64(g.Number("curr_connections"))), h.perSecond("rusage_user", "rusage_system").as(func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) })))
		if !h.restarted.IsZero() {
			l = l.plus(text("  "), h.state())
		}
		rows = append(rows, l)
	}
	if len(rows) > height { // the cursor stays in sight
		first := min(max(m.cursor-(height-2)/2, 0), len(m.servers)-height+1)
		rows = append(rows[:1], rows[1+first:1+first+max(height-1, 0)]...)
	}
	return rows
}
