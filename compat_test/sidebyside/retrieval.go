package main

import "fmt"

// Retrieval commands: get, gets, gat and gats.

func (g *grammar) keysOf(c *command, n, lineMax int) []string {
	var words []string
	for size := 0; len(words) < n; {
		key := g.key()
		if size += len(key) + 30; size > lineMax { // 30: a run of blanks
			break
		}
		words = append(words, key)
	}
	c.keys = append(c.keys, words...)
	return words
}

func (g *grammar) keyCount() int {
	switch n := g.IntN(100); {
	case n < 70:
		return 1
	case n < 95:
		return 2 + g.IntN(4)
	case n < 99:
		return 6 + g.IntN(30)
	}
	return 100 + g.IntN(300)
}

func (g *grammar) retrieve(verb string) command {
	c := command{name: verb, reads: true}
	if g.full && g.in(60) {
		return g.retrieveBadly(verb)
	}
	words := append([]string{verb}, g.keysOf(&c, g.keyCount(), 1<<20)...)
	if g.in(50) {
		c.name += " noreply" // a key like any other
		words = append(words, "noreply")
	}
	c.text = g.line(words...)
	return c
}

func (g *grammar) retrieveBadly(verb string) command {
	if g.in(2) {
		return command{name: verb + ": no key", text: g.line(verb)}
	}
	// memcached 1.6.45 drops replies that wait before this one, so none may wait.
	c := command{name: verb + ": key too long", fresh: true}
	words := g.keysOf(&c, g.IntN(4), 1000)
	words = append(words, g.tooLongKey())
	words = append(words, g.keysOf(&c, g.IntN(3), 500)...)
	if g.in(4) {
		c.name += " noreply"
		words = append(words, "noreply")
	}
	c.text = g.line(append([]string{verb}, words...)...)
	return c
}

func (g *grammar) retrieveAndTouch(verb string) command {
	c := command{name: verb, reads: true}
	if g.full && g.in(25) {
		switch g.IntN(3) {
		case 0:
			return command{name: verb + ": nothing", text: g.line(verb)}
		case 1:
			return command{name: verb + ": no key", text: g.line(verb, g.exptime32())}
		}
		c := command{name: verb + ": key too long", fresh: true}
		words := append([]string{verb, pick(g, exptimesGood)}, g.keysOf(&c, g.IntN(3), 500)...)
		c.text = g.line(append(words, g.tooLongKey())...)
		return c
	}
	words := []string{verb, g.exptime32()}
	words = append(words, g.keysOf(&c, min(g.keyCount(), 40), 1900)...)
	if g.in(50) {
		c.name += " noreply"
		words = append(words, "noreply")
	}
	c.text = g.line(words...)
	return c
}

// manyKeys is a multiget that comes in many reads; only get and gets may be longer than 2048.
func (g *grammar) manyKeys() command {
	verb := pick(g, []string{"get", "gets"})
	// Too many keys to name: one of them may be in doubt after a known difference just before, so that is settled first.
	c := command{name: verb + ": many keys", reads: true, fresh: true}
	n := 1000 + g.IntN(3000)
	words := make([]string, 0, n+1)
	words = append(words, verb)
	c.keys = append(c.keys, g.hot[:3]...)
	for range n {
		switch key := g.IntN(100_000); {
		case key < 1000:
			words = append(words, pick(g, c.keys))
		default:
			words = append(words, fmt.Sprintf("%sx%d", g.prefix, key))
		}
	}
	c.text = g.line(words...)
	return c
}
