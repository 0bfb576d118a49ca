package events

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/gomemd/gomemd/protocol"
)

// PrefixesMax is how many prefixes are counted; later ones are not. Source: memcached's
// stats_prefix.c.
const PrefixesMax = 1 << 16

// prefixes count what is done to keys that begin alike, up to the delimiter (-D), while stats
// detail is on. Keys without one are not counted, nor are the meta commands, incr, decr and touch,
// as in memcached.
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
		if len(ps.counts) == PrefixesMax {
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

// printable is a prefix as it can stand in a line.
func printable(name string) string {
	if protocol.Nameable([]byte(name)) {
		return name
	}
	return string(protocol.AppendURI(nil, []byte(name)))
}

func (ps *prefixes) dump(out []byte) []byte {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(ps.counts)) {
		p := ps.counts[name]
		out = protocol.AppendPrefix(out, printable(name), p.gets, p.hits, p.sets, p.deletes)
	}
	return append(out, protocol.End...)
}
