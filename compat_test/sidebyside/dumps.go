package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dumped is what a metadump tells of an item and two servers can agree about: not when it was last used, nor its unique.
type dumped struct {
	exp         int64
	fetch       string
	size, flags string
}

// compareDumps tells of which items the servers think differently at the end of a run. Keys in doubt have been deleted by then.
func (r *report) compareDumps(servers [2]*peer) error {
	var items [2]map[string]dumped
	for i, s := range servers {
		var err error
		if items[i], err = s.dump(); err != nil {
			return fmt.Errorf("server %c: %w", 'A'+i, err)
		}
	}
	keys := maps.Clone(items[0])
	maps.Copy(keys, items[1])
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		a, inA := items[0][key]
		b, inB := items[1][key]
		near := max(a.exp, b.exp)-min(a.exp, b.exp) <= clocksApart
		if inA == inB && near && a.fetch == b.fetch && a.size == b.size && a.flags == b.flags {
			continue
		}
		if r.misdumped++; r.misdumped <= r.opt.show {
			fmt.Fprintf(r.out, "DUMPED DIFFERENTLY: %s, A %t %+v, B %t %+v\n", key, inA, a, inB, b)
		}
	}
	fmt.Fprintf(r.out, "%d items in the dump of A, %d in that of B, %d differ\n", len(items[0]), len(items[1]), r.misdumped)
	return nil
}

// dump asks for all items.
func (s *peer) dump() (map[string]dumped, error) {
	if _, err := s.ask("lru_crawler enable", ""); err != nil { // OK, or an error that it runs already
		return nil, err
	}
	conn, err := net.DialTimeout(s.network, s.addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "lru_crawler metadump hash\r\n"); err != nil {
		return nil, err
	}
	items := map[string]dumped{}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "OK":
		case line == "END":
			return items, nil
		default:
			words := map[string]string{}
			for _, word := range strings.Fields(line) {
				name, value, _ := strings.Cut(word, "=")
				words[name] = value
			}
			exp, err := strconv.ParseInt(words["exp"], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("a line of its dump: %q", line)
			}
			items[words["key"]] = dumped{exp, words["fetch"], words["size"], words["flags"]}
		}
	}
	return nil, fmt.Errorf("its dump has no end: %w", lines.Err())
}
