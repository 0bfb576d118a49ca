package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Commands that neither store nor retrieve a value: first those with a key, then those without.

func (g *grammar) remove() command {
	key := g.key()
	c := command{name: "delete", keys: []string{key}}
	words := []string{"delete", key}
	switch {
	case g.full && g.in(20):
		c.name += ": no key"
		words = words[:1]
	case g.full && g.in(60):
		c.name += ": noreply alone"
		words[1] = "noreply"
	case g.in(30):
		c.name += ": key too long"
		words[1] = g.tooLongKey()
	case g.in(8):
		words = append(words, "0")
		c.name += " 0"
	case g.full && g.in(15):
		c.name += ": junk"
		words = append(words, pick(g, []string{"10", "foo", "-1", "00", "NOREPLY", "noreplyx", "0x", "\x00"}))
		if g.in(4) {
			c.name += "s"
			words = append(words, "x")
		}
	}
	if g.in(8) && len(words) > 1 && c.name != "delete: noreply alone" {
		words = append(words, "noreply")
		c.name += " noreply"
	}
	c.text = g.line(words...)
	return c
}

func (g *grammar) arith(verb string) command {
	key := pick(g, g.counters)
	if g.in(4) {
		key = g.key()
	}
	c := command{name: verb, keys: []string{key}, writes: true}
	delta := g.either(deltasGood, hugeNumbers)
	switch {
	case g.full && g.in(4):
		delta = strconv.FormatUint(g.Uint64()>>g.IntN(64), 10)
	case g.in(20):
		c.name += ": bad delta"
		delta = g.either(deltasBad, deltasStrict)
	}
	return g.threeWords(c, 40, 60, verb, key, delta)
}

func (g *grammar) touch() command {
	key := g.key()
	return g.threeWords(command{name: "touch", keys: []string{key}}, 20, 40, "touch", key, g.exptime32())
}

// threeWords puts an incr, a decr or a touch together: once in few words too few, once in long with a key too long.
func (g *grammar) threeWords(c command, few, long int, words ...string) command {
	switch {
	case g.full && g.in(few):
		c.name += ": too few words"
		words = words[:1+g.IntN(2)]
	case g.in(long):
		c.name += ": key too long"
		words[1] = g.tooLongKey()
	case g.in(60):
		words = append(words, "x")
	}
	if g.in(10) && (g.full || len(words) == 3) {
		words = append(words, "noreply")
		c.name += " noreply"
	}
	c.text = g.line(words...)
	return c
}

// version is a promise to sound like a memcached, not to be the same one.
func (g *grammar) version() command {
	words := []string{"version"}
	if g.in(3) {
		words = append(words, pick(g, []string{"x", "noreply", "1 2"}))
	}
	return command{name: "version", text: g.line(words...), shape: func(reply []byte) bool {
		return bytes.HasPrefix(reply, []byte("VERSION 1.6.")) && bytes.Count(reply, []byte("\n")) == 1 && bytes.HasSuffix(reply, []byte("\r\n"))
	}}
}

func (g *grammar) verbosity() command {
	word := g.either(
		[]string{"0", "0", "0", "0", "0", "1", "0 noreply", "0 0", "noreply", "abc", "-1", "abc noreply"},
		[]string{"", "", "+0", "0 0 0", "0 0 0 0 noreply", "4294967296", "1x", "00000000000", "000000000000", "-0"})
	return command{name: "verbosity " + word, text: g.line(append([]string{"verbosity"}, strings.Fields(word)...)...)}
}

func (g *grammar) noop() command {
	if g.full && g.in(20) {
		return command{name: "mn and a bare LF", text: []byte("mn\n")}
	}
	if g.in(4) {
		return command{name: "mn", text: g.line("mn", pick(g, []string{"x", "noreply", "0 0", ""}))}
	}
	return command{name: "mn", text: []byte("mn\r\n")}
}

func (g *grammar) stats() command {
	if word := pick(g, []string{"", "settings", "items", "slabs", "conns"}); g.in(4) {
		return command{name: "stats " + word, text: g.line(append([]string{"stats"}, strings.Fields(word)...)...), shape: isStats}
	}
	word := g.either(
		[]string{"sizes", "bogus", "noreply", "SIZES", "Reset", "resetx", "x reset", "itemsx", "0"},
		[]string{"reset", "reset", "reset noreply", "r", "res", "rese"}) // not where counters are compared
	return command{name: "stats " + word, text: g.line(append([]string{"stats"}, strings.Fields(word)...)...),
		exclusive: strings.HasPrefix(word, "r")} // everybody's counters
}

// isStats: STAT lines of three words or more, then END.
func isStats(reply []byte) bool {
	for {
		line, rest, ok := bytes.Cut(reply, []byte("\r\n"))
		if !ok {
			return false
		}
		if string(line) == "END" {
			return len(rest) == 0
		}
		if words := bytes.Fields(line); len(words) < 3 || string(words[0]) != "STAT" {
			return false
		}
		reply = rest
	}
}

// flushAll empties both servers, at once or, as far as this run is concerned, never.
func (g *grammar) flushAll() command {
	if g.in(4) {
		return g.flushLater()
	}
	c := command{exclusive: true}
	word := pick(g, []string{"", "", "", "0", "-1", "noreply", "0 noreply", "abc", "abc noreply", "0 x", "-100"})
	if g.full && g.in(2) {
		word = pick(g, []string{"+100000", "2147483648", "99999999999", "1.5", "-2147483648", "x y z", "100000x", "-", "-0"})
		c.text = []byte("flush_all\r\n") // whoever took the word and whoever did not, both are empty now
	}
	c.name = "flush_all " + word
	c.text = append(g.line(append([]string{"flush_all"}, strings.Fields(word)...)...), c.text...)
	return c
}

// flushLater sets a delay, looks whether that left things alone, and flushes: memcached forgets with the new time that
// older items were flushed before, and whether they come back depends on when it last looked at them.
func (g *grammar) flushLater() command {
	key := g.hot[1]
	word := g.either([]string{"100000", "1000000", "2000000000", "2591999"}, []string{"2592001", "1000000000"})
	c := command{name: "flush_all " + word + " and now", exclusive: true, keys: []string{key}}
	c.text = fmt.Appendf(nil, "set %s 0 0 1 noreply\r\nx\r\nflush_all %s\r\nget %s\r\nflush_all\r\n", key, word, key)
	return c
}
