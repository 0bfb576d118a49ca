package session

import (
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/gomemd/gomemd/protocol"
)

// The commands that tune slabs and LRU lists. There are none here: what is said is checked as
// memcached checks it, repeated by stats settings, and changes nothing else, except that
// lru_crawler disable forbids the dumps.

// tuning is what has been said, by the name that stats settings has for it.
type tuning struct {
	mu   sync.Mutex
	said map[string]string
}

func (t *tuning) set(name, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = map[string]string{}
	}
	t.said[name] = value
}

func (t *tuning) all() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.said)
}

// crawler serves lru_crawler.
func (s *Session) crawler(req *request) Verdict {
	env, args := s.w.env, req.Args()
	why := protocol.Unknown
	switch len(args) {
	case 1:
		why = env.switchCrawler(string(args[0]))
	case 2:
		switch string(args[0]) {
		case "metadump":
			return s.dumpAll(req, args[1], protocol.DumpNotAllowed, protocol.DumpNotFirst,
				dump{line: appendMetadump, end: protocol.End})
		case "mgdump":
			return s.dumpAll(req, args[1], protocol.KeysNotAllowed, protocol.KeysNotFirst,
				dump{line: appendMgdump, end: protocol.MetaEnd})
		case "crawl":
			why = env.crawl(args[1])
		case "tocrawl", "sleep":
			why = env.tuneCrawler(string(args[0]), args[1])
		}
	}
	s.done(req.NoReply, why)
	return Idle
}

func (e *Env) switchCrawler(word string) (why protocol.Refusal) {
	switch word {
	case "enable":
		if !e.CrawlerOff.CompareAndSwap(true, false) {
			return protocol.CrawlerRuns
		}
	case "disable":
		e.CrawlerOff.Store(true)
	default:
		return protocol.Unknown
	}
	return protocol.None
}

// crawl is for memory of expired items, which comes back without.
func (e *Env) crawl(classes []byte) (why protocol.Refusal) {
	_, refusal := anyOurs(classes, false)
	switch {
	case e.CrawlerOff.Load():
		return protocol.CrawlerDisabled
	case refusal != protocol.None:
		return refusal
	case e.dumping.Load():
		return protocol.CrawlerBusy
	}
	return protocol.None
}

// sleepMax is memcached's: a second, in microseconds.
const sleepMax = 1_000_000

func (e *Env) tuneCrawler(name string, word []byte) (why protocol.Refusal) {
	n, ok := protocol.ParseUint32(word)
	switch {
	case !ok:
		return protocol.BadFormat
	case name == "sleep" && n > sleepMax:
		return protocol.CrawlerSleepsLong
	}
	e.tuning.set("lru_crawler_"+name, strconv.FormatUint(uint64(n), 10))
	return protocol.None
}

// lru serves lru tune, mode and temp_ttl.
func (s *Session) lru(req *request) Verdict {
	s.done(req.NoReply, s.w.env.tuneLRU(req.Args()))
	return Idle
}

func (e *Env) tuneLRU(args [][]byte) (why protocol.Refusal) {
	t := &e.tuning
	switch {
	case len(args) >= 5 && string(args[0]) == "tune":
		return t.ages(args[1:])
	case len(args) >= 2 && string(args[0]) == "mode":
		switch string(args[1]) {
		case "flat":
			t.set("lru_segmented", "no")
			return protocol.None
		case "segmented":
			t.set("lru_segmented", "yes")
			return protocol.None
		}
	case len(args) >= 2 && string(args[0]) == "temp_ttl":
		ttl, ok := protocol.ParseInt32(args[1])
		switch {
		case !ok:
		case ttl < 0:
			t.set("temp_lru", "no")
			return protocol.None
		default:
			t.set("temp_lru", "yes")
			t.set("temporary_ttl", strconv.Itoa(int(ttl)))
			return protocol.None
		}
	}
	return protocol.Unknown
}

// ages is lru tune <hot %> <warm %> <hot factor> <warm factor>.
func (t *tuning) ages(args [][]byte) (why protocol.Refusal) {
	hot, ok1 := protocol.ParseUint32(args[0])
	warm, ok2 := protocol.ParseUint32(args[1])
	hotFactor, err1 := strconv.ParseFloat(string(args[2]), 64)
	warmFactor, err2 := strconv.ParseFloat(string(args[3]), 64)
	switch {
	case !ok1 || !ok2 || err1 != nil || err2 != nil:
		return protocol.Unknown
	case hot+warm > 80:
		return protocol.LRUPercents
	case hotFactor <= 0 || warmFactor <= 0:
		return protocol.LRUFactors
	}
	t.set("hot_lru_pct", strconv.Itoa(int(hot)))
	t.set("warm_lru_pct", strconv.Itoa(int(warm)))
	t.set("hot_max_factor", fmt.Sprintf("%.2f", hotFactor))
	t.set("warm_max_factor", fmt.Sprintf("%.2f", warmFactor))
	return protocol.None
}

// slabs serves slabs reassign and automove.
func (s *Session) slabs(req *request) Verdict {
	args := req.Args()
	why := protocol.Unknown
	switch {
	case len(args) == 3 && string(args[0]) == "reassign":
		why = reassign(args[1], args[2])
	case len(args) >= 2 && string(args[0]) == "automove":
		why = s.w.env.tuning.automove(args[1:])
	}
	s.done(req.NoReply, why)
	return Idle
}

// slabClasses is how many slab classes memcached makes with its default options.
const slabClasses = 39

// reassign would move a page from a slab class to another. No class has one to spare, least of all
// one that does not exist.
func reassign(from, to []byte) (why protocol.Refusal) {
	src, ok1 := protocol.ParseInt32(from)
	dst, ok2 := protocol.ParseInt32(to)
	switch {
	case !ok1 || !ok2:
		return protocol.BadFormat
	case src == dst:
		return protocol.ReassignSame
	case src < 0 || dst < 0 || src > slabClasses || dst > slabClasses:
		return protocol.ReassignBadClass
	}
	return protocol.ReassignNoSpare
}

// automove is slabs automove <level>, ratio <part>, freeratio <part> and window <seconds>.
func (t *tuning) automove(args [][]byte) (why protocol.Refusal) {
	switch word := string(args[0]); word {
	case "ratio", "freeratio":
		if len(args) < 2 {
			return protocol.Unknown
		}
		part, err := strconv.ParseFloat(string(args[1]), 64)
		if err != nil {
			return protocol.Unknown
		}
		t.set("slab_automove_"+word, fmt.Sprintf("%.2f", part))
	case "window":
		if len(args) < 2 {
			return protocol.BadFormat
		}
		seconds, ok := protocol.ParseUint32(args[1])
		switch {
		case !ok:
			return protocol.BadFormat
		case seconds < 3 || seconds > 1800:
			return protocol.AutomoveWindow
		}
		t.set("slab_automove_window", strconv.Itoa(int(seconds)))
	default:
		level, ok := protocol.ParseUint32(args[0])
		switch {
		case !ok:
			return protocol.BadFormat
		case level > 2:
			return protocol.Unknown
		}
		t.set("slab_automove", strconv.Itoa(int(level)))
	}
	return protocol.None
}
