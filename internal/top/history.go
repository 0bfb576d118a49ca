package top

import (
	"time"

	"github.com/gomemd/gomemd/internal/asks"
)

// history is what is known of one server: its last two samples, and whether it is there.
type history struct {
	name      string // printable
	watch     *watch
	asking    bool    // a goroutine has watch at present
	before    *Sample // of the same run of the server as last, or nil
	last      *Sample // nil: it has not answered yet
	err       error   // why it does not answer now
	since     time.Time
	gap       bool      // the next sample is not the one after the last
	restarted time.Time // when it was seen to have started anew; zero: it was not
}

func newHistory(where asks.Where) *history {
	return &history{name: asks.Printable(where.Addr), watch: &watch{where: where}}
}

// take adds a sample. Rates are of two samples in a row: not across a time when it was not there,
// and not across a restart, when counters start over.
func (h *history) take(s Sample) {
	if s.Err != nil {
		if h.err == nil {
			h.since = s.At
		}
		h.err, h.before, h.gap = s.Err, nil, true
		return
	}
	h.before = h.last
	if h.last != nil && startedAnew(h.last, &s) {
		h.restarted, h.gap = s.At, true
	}
	if h.gap {
		h.before = nil
	}
	h.last, h.err, h.gap = &s, nil, false
}

func startedAnew(before, now *Sample) bool {
	return before.General["pid"] != now.General["pid"] || now.General.Number("uptime") < before.General.Number("uptime")
}

// answer is one of those in a sample.
type answer func(*Sample) asks.Stats

func general(s *Sample) asks.Stats { return s.General }

// number is a count or a rate, if it is known.
type number struct {
	value float64
	known bool
}

func known(v float64) number { return number{v, true} }

// rate is how much these counters together grew in a second. It is not known before there are two
// samples, if the server has none of the counters, and if one has become smaller (stats reset).
func (h *history) rate(names ...string) number { return h.rateIn(general, names...) }

func (h *history) rateIn(in answer, names ...string) number {
	if h.before == nil || h.last == nil {
		return number{}
	}
	seconds := h.last.At.Sub(h.before.At).Seconds()
	sum, some := 0.0, false
	for _, name := range names {
		was, ok := in(h.before).Find(name)
		is, okNow := in(h.last).Find(name)
		switch {
		case !ok || !okNow:
			continue
		case is < was:
			return number{}
		}
		sum, some = sum+float64(is-was), true
	}
	if !some || seconds <= 0 {
		return number{}
	}
	return known(sum / seconds)
}

// perSecond is the same of numbers with a point, such as CPU time.
func (h *history) perSecond(names ...string) number {
	if h.before == nil || h.last == nil {
		return number{}
	}
	sum, seconds := 0.0, h.last.At.Sub(h.before.At).Seconds()
	for _, name := range names {
		was, ok := h.before.General.Float(name)
		is, okNow := h.last.General.Float(name)
		if !ok || !okNow || is < was || seconds <= 0 {
			return number{}
		}
		sum += is - was
	}
	return known(sum / seconds)
}

// hitsNow is the hit ratio of the last interval, if there was a get.
func (h *history) hitsNow() number {
	hits, misses := h.rate("get_hits"), h.rate("get_misses")
	if !hits.known || !misses.known || hits.value+misses.value == 0 {
		return number{}
	}
	return known(hits.value / (hits.value + misses.value))
}

// hitsEver is that since the server started.
func (h *history) hitsEver() number {
	hits, misses := float64(h.last.General.Number("get_hits")), float64(h.last.General.Number("get_misses"))
	if hits+misses == 0 {
		return number{}
	}
	return known(hits / (hits + misses))
}

// commands are the rates by command. A meta command counts as what it does, as memcached counts it.
var commands = []struct {
	name     string
	counters []string
}{
	{"get", []string{"cmd_get"}},
	{"set", []string{"cmd_set"}},
	{"delete", []string{"delete_hits", "delete_misses"}},
	{"incr", []string{"incr_hits", "incr_misses"}},
	{"decr", []string{"decr_hits", "decr_misses"}},
	{"touch", []string{"cmd_touch"}},
	{"flush", []string{"cmd_flush"}},
}

// ops is all of them.
func (h *history) ops() number {
	var names []string
	for _, c := range commands {
		names = append(names, c.counters...)
	}
	return h.rate(names...)
}

// evictedAge is how long ago an item was used, or stored, that was evicted last: the least and the
// most of all slab classes, where there are some. Seconds.
func (h *history) evictedAge() (least, most number) {
	if h.last.ours() {
		age := known(float64(h.last.Own.Number("evicted_age")))
		if h.last.General.Number("evictions") == 0 {
			age.known = false
		}
		return age, age
	}
	for _, c := range h.last.Items.Classes("items:") {
		if c.Number("evicted") == 0 {
			continue
		}
		age := float64(c.Number("evicted_time"))
		if !least.known || age < least.value {
			least = known(age)
		}
		if !most.known || age > most.value {
			most = known(age)
		}
	}
	return least, most
}
