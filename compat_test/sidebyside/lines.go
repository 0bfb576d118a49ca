package main

import (
	"bytes"
	"strings"
)

// Command lines that are none, or too long, or the last.

var commandWords = []string{"get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "delete",
	"incr", "decr", "touch", "flush_all", "version", "verbosity", "stats", "quit", "mn"}

func (g *grammar) unknown() command {
	c := command{name: "unknown word"}
	switch n := g.IntN(8); {
	case n == 0: // a known word, one letter off
		word := []byte(pick(g, commandWords))
		switch g.IntN(3) {
		case 0:
			word = append(word, 'x')
		case 1:
			word = append([]byte{'x'}, word...)
		case 2:
			word = bytes.ToUpper(word)
		}
		c.text = g.line(string(word), g.key())
	case n == 1: // a tab is no blank
		c.name = "tab for a blank"
		c.text = g.line(pick(g, commandWords) + "\t" + g.key())
	case n == 2 && g.full:
		c.name = "short line"
		c.text = []byte(pick(g, []string{"\r\n", "\n", "a\r\n", "a\n", "ab\n", " \n", " \r\n", "\r\r\n", "\x00\r\n", "\r\n\r\n", "  \n"}))
	case n == 3 && g.full:
		c.name = "unknown word noreply"
		c.text = g.line("bogus", "noreply")
	case n == 4:
		c.text = g.line("bogus", g.key(), g.key())
	case n == 5:
		c.text = append(g.bytesOf(2+g.IntN(200), "zyxwvu\x01\x02\xff\xfe;:.-_"), '\r', '\n')
	case n == 6 && g.full:
		c.name = "blanks"
		c.text = append(bytes.Repeat([]byte{' '}, 2+g.IntN(90)), '\r', '\n')
	default:
		c.text = g.line(pick(g, []string{"bogus", "foo", "GET", "Set", "statsfoo", "getx", "zz", "xx", "delet", "incrdecr", "\"set\"", "set;", "version2"}))
	}
	return c
}

// leadingBlanks: 1.6.45 refuses what older ones take.
func (g *grammar) leadingBlanks() command {
	if !g.full {
		return command{name: "leading blanks", text: append([]byte("  "), g.line("bogus", "x")...)}
	}
	key := g.key()
	c := command{name: "leading blanks", keys: []string{key}, fresh: true}
	blanks := strings.Repeat(" ", 1+g.IntN(99))
	switch g.IntN(5) {
	case 0:
		c.text = g.line(blanks+"set", key, "0", "0", "4")
		c.text = append(c.text, "zzzz\r\n"...)
	case 1:
		c.text = g.line(blanks+"delete", key)
	case 2:
		c.text = g.line(blanks + "version")
		c.shape = nil
	default:
		c.text = g.line(blanks+"get", key)
	}
	return c
}

// lineMax is where memcached loses patience with a line that has no end, unless it is a get or a gets.
const lineMax = 2048

// longLine is about that rule. It looks at what lies in the server's buffer, so these come alone and in one write.
func (g *grammar) longLine() command {
	c := command{name: "long line", whole: true}
	fill := func(n int) string { return strings.Repeat("z", n) }
	switch g.IntN(8) {
	case 0:
		c.name = "long line without end"
		c.text = []byte(fill(lineMax + 1 + g.IntN(3000)))
		c.hangsUp = true
	case 1:
		c.name = "long gat without end"
		c.text = []byte("gat 0 " + strings.Repeat(g.prefix+" ", lineMax))
		c.hangsUp = true
	case 2:
		c.text = []byte(fill(lineMax-4+g.IntN(8)) + "\r\n")
	case 3:
		c.text = []byte("delete " + g.keyOf(lineMax+g.IntN(3000), "abc") + "\r\n")
	case 4:
		c.text = []byte("gat 0 " + strings.Repeat(g.prefix+" ", lineMax) + "\r\n")
		c.keys = []string{g.prefix}
	case 5:
		c.name = "get: blanks to 2048 and beyond"
		c.text = []byte("get " + strings.Repeat(" ", lineMax+g.IntN(5000)) + g.hot[1] + "\r\n")
		c.keys = []string{g.hot[1]}
		c.whole, c.reads = false, true
	case 6:
		c.name = "gets: one more blank, and more"
		c.text = []byte("gets " + g.hot[2] + strings.Repeat(" ", lineMax+g.IntN(5000)) + "\r\n")
		c.keys = []string{g.hot[2]}
		c.whole, c.reads = false, true
	default:
		if !g.full {
			return g.retrieve("get")
		}
		c.name = "long line: set"
		c.text = []byte("set " + g.keyOf(lineMax+g.IntN(1000), "abc") + " 0 0 4\r\nzzzz\r\n")
	}
	return c
}

// webPage: a browser on the wrong port is hung up on, so that nobody can make it speak memcached.
func (g *grammar) webPage() command {
	if g.in(2) {
		word := g.either([]string{"get " + g.hot[1] + " HTTP/1.1", "foo HTTP", "foo HTTP/1.1 bar", "GET / http/1.1", "HTTP /", "foo xHTTP/1.1"}, []string{"HTTP/1.1"})
		return command{name: "almost HTTP", text: g.line(word), reads: true, keys: []string{g.hot[1]}}
	}
	// Replies that wait are dropped by memcached, so none may wait.
	return command{name: "HTTP", hangsUp: true, fresh: true, text: []byte(pick(g, []string{
		"GET / HTTP/1.1\r\n", "GET / HTTP/1.0\n", "POST /set HTTP/1.1\r\n", "foo HTTP/\r\n", "PUT  /  HTTP/9 \r\n"}))}
}

func (g *grammar) quit() command {
	words := []string{"quit"}
	if g.in(3) {
		words = append(words, pick(g, []string{"x", "noreply", "1 2 3"}))
	}
	return command{name: "quit", text: g.line(words...), hangsUp: true}
}

// leave goes without quit: politely, or in the middle of a value that then must not be stored. (The latter comes
// alone: memcached 1.6.45 keeps earlier replies back while it waits for a value, and then they are lost.)
func (g *grammar) leave() command {
	if g.in(2) {
		c := g.retrieve("get")
		c.name += ", half-closed"
		c.leaves = halfClose
		return c
	}
	key := g.key()
	return command{name: "goes away in a value", keys: []string{key}, leaves: goesAway,
		text: append(g.line("set", key, "0", "0", "1000"), g.bytes(g.IntN(1001))...)}
}
