package server

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/gomemd/gomemd/protocol"
)

// prefixesMax is how many prefixes are counted; later ones are not. Source: memcached's stats_prefix.c.
const prefixesMax = 1 << 16

// prefixes count what is done to keys that begin alike, up to the delimiter (-D), while stats detail is on. Keys without one
// are not counted, nor are the meta commands, incr, decr and touch, as in memcached.
type prefixes struct {
	delimiter byte
	mu        sync.Mutex
	counts    map[string]*prefix
}

type prefix struct{ gets, hits, sets, deletes uint64 }

func (ps *prefixes) count(key []byte, add func(*prefix)) {
	head, _, ok := bytes.Cut(key, []byte{ps.delimiter})
	if !ok {
		return
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.counts[string(head)]
	if p == nil {
		if len(ps.counts) == prefixesMax {
			return
		}
		if ps.counts == nil {
			ps.counts = map[string]*prefix{}
		}
		p = new(prefix)
		ps.counts[string(head)] = p
	}
	add(p)
}

func (ps *prefixes) clear() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	clear(ps.counts)
}

func (ps *prefixes) dump(out []byte) []byte {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(ps.counts)) {
		p := ps.counts[name]
		out = protocol.AppendPrefix(out, name, p.gets, p.hits, p.sets, p.deletes)
	}
	return append(out, protocol.End...)
}

// detail serves stats detail.
func (s *session) detail(args [][]byte) {
	w, word := s.w, ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch {
	case w.srv.opts.DisableDump:
		s.reply(false, string(protocol.DetailNotAllowed))
	case word == "on", word == "off":
		w.srv.lookout.setDetail(word == "on")
		w.watched = w.srv.watched() // for what follows in this read event
		s.reply(false, protocol.OK)
	case word == "dump":
		w.out = w.srv.prefixes.dump(w.out)
	default:
		s.reply(false, string(protocol.DetailUsage))
	}
}
