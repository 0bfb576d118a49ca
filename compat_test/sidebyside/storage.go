package main

import (
	"bytes"
	"strconv"
	"strings"
)

// Storage commands: set, add, replace, append, prepend and cas, and the values they store.

// value is what is stored: anything but blanks alone. Those memcached skips when it looks for a number to
// increment, CRLF included, and goes on in whatever its memory holds behind the item.
func (g *grammar) value(key string) []byte {
	v := g.anyValue(key)
	if len(v) > 0 && len(bytes.Trim(v, " \t\n\v\f\r")) == 0 {
		v = append(v, '.')
	}
	return v
}

// anyValue is mostly a number for counters.
func (g *grammar) anyValue(key string) []byte {
	switch {
	case len(key) > 2 && strings.Contains(key[1:], "n") && len(key) < 8 && !g.in(5), g.in(10):
		return []byte(g.number())
	case g.in(8):
		return g.bytes(g.IntN(2000))
	case g.in(12):
		return []byte(pick(g, []string{"\r\n", "END\r\n", "VALUE x 0 1\r\nx\r\nEND", "a\r\nb\r\nc", "\x00\x00", "\n", "\r", "line1\nline2\n", "STORED\r\n", " ", ""}))
	}
	return g.bytes(g.IntN(40))
}

func (g *grammar) number() string {
	n := g.either([]string{"0", "1", "5", "9", "10", "99", "100", "1000", "4294967295", "4294967296",
		strconv.FormatUint(g.Uint64()>>(4+g.IntN(60)), 10)}, hugeNumbers)
	if g.in(5) {
		return pick(g, []string{" ", "+", "-", "00", "  ", "\t", "\n", "\r\n", "+ ", "-0", "0x", "\x00", "+-", "000000000000000000000000"}) + n
	}
	if g.in(5) {
		return n + pick(g, []string{" ", "  ", " abc", "x", "\tx", "\r\nx", "\nx", "\x0bx", "\x0cx", "\x00x", "\x00", ".5", "e5", " 1", "-", "\xa0", "\x85", "00000000000000000000"})
	}
	return n
}

func (g *grammar) bytes(n int) []byte {
	out := make([]byte, n)
	if g.in(3) {
		for i := range out {
			out[i] = byte(g.Uint32())
		}
		return out
	}
	for i := range out {
		out[i] = 'a' + byte(g.IntN(26))
	}
	return out
}

// words is a value that may also be read as a line of commands, none of which does anything.
func (g *grammar) words(n int) []byte {
	return append([]byte("zz"), g.bytesOf(max(0, n-2), "z xyzw0123456789")...)
}

func (g *grammar) bytesOf(n int, alphabet string) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[g.IntN(len(alphabet))]
	}
	return out
}

func (g *grammar) flags() string {
	if g.in(15) {
		return pick(g, flagsEdge)
	}
	return pick(g, flagsGood)
}

func (g *grammar) store(verb string) command {
	if g.in(12) {
		return g.storeBadly(verb)
	}
	key := g.key()
	value := g.value(key)
	if !g.full && (verb == "append" || verb == "prepend") {
		value = append(append([]byte("z"), value...), 'z') // no digits to digits: see hugeNumbers
	}
	length := strconv.Itoa(len(value))
	if g.in(30) {
		length = strings.Repeat("0", g.IntN(11-len(length))) + length
	}
	return g.storage(command{name: verb}, verb, key, g.flags(), g.exptime(), length, g.noreply(), append(value, '\r', '\n'))
}

func (g *grammar) noreply() string {
	if g.in(12) {
		return "noreply"
	}
	if g.in(60) { // one word more, which nobody minds
		return pick(g, []string{"NOREPLY", "x", "0", "noreplyx"})
	}
	return ""
}

// storage puts a storage command together; a cas gets its unique.
func (g *grammar) storage(c command, verb, key, flags, exptime, length, tail string, block []byte) command {
	words := []string{verb, key, flags, exptime, length}
	if verb == "cas" {
		word := unique
		switch {
		case g.in(12):
			word = pick(g, uniquesGood)
		case g.in(4):
			c.uniqueAge = 1
		}
		words = append(words, word)
	}
	if tail != "" {
		words = append(words, strings.Fields(tail)...)
	}
	return g.storageOf(c, words, block)
}

func (g *grammar) storageOf(c command, words []string, block []byte) command {
	c.keys = append(c.keys, words[min(1, len(words)-1)])
	line := g.line(words...)
	if at := bytes.Index(line, []byte(unique)); at >= 0 {
		c.uniqueAt = at
		line = append(line[:at:at], line[at+len(unique):]...)
	}
	c.text = append(line, block...)
	return c
}

// storeBadly says a storage command that is refused, one way or another. Its block ends in CRLF, so
// that the next command begins a line whether the server takes the block or reads it as commands.
func (g *grammar) storeBadly(verb string) command {
	key, flags, exptime := g.key(), pick(g, flagsGood), pick(g, exptimesGood)
	block := append(g.words(3+g.IntN(60)), '\r', '\n')
	length := strconv.Itoa(len(block) - 2)
	tail := ""
	if g.in(6) {
		tail = "noreply"
	}
	if !g.full {
		// The length is refused after the reply is known to be unwanted, or not: only without noreply do both answer alike.
		if g.in(3) {
			return g.storage(command{name: verb + ": bad length"}, verb, key, flags, exptime, pick(g, lengthsBad), "", block)
		}
		return g.badBlock(verb, key, tail)
	}
	c := command{name: verb}
	switch g.IntN(8) {
	case 0:
		c.name += ": bad flags"
		flags = pick(g, flagsBad)
	case 1:
		c.name += ": bad exptime"
		exptime = pick(g, exptimesBad)
	case 2:
		c.name += ": bad length"
		length = g.either(lengthsBad, lengthsStrict)
		if g.in(2) {
			block = append(g.words(3), '\r', '\n')
		}
	case 3:
		c.name += ": key too long"
		key = g.tooLongKey()
	case 4:
		words := []string{verb, key, flags, exptime, length, "0"}
		words = words[:1+g.IntN(4)]
		if verb == "cas" && g.in(2) {
			c.name += ": no unique"
			words = []string{verb, key, flags, exptime, length}
		} else {
			c.name += ": too few words"
		}
		if tail != "" && len(words) < 4 {
			words = append(words, tail)
		}
		return g.storageOf(c, words, block)
	case 5:
		c.name += ": too many words"
		for range 1 + g.IntN(30) {
			tail = pick(g, junkWords) + " " + tail
		}
	case 6:
		if verb == "cas" {
			c.name += ": bad unique"
			return g.storageOf(c, []string{verb, key, flags, exptime, length, pick(g, uniquesStrict)}, block)
		}
		fallthrough
	case 7:
		return g.badBlock(verb, key, tail)
	}
	if tail == "noreply" {
		c.name += " noreply"
	}
	return g.storage(c, verb, key, flags, exptime, length, tail, block)
}

// badBlock has a block that does not end where the line says. Exactly length+2 bytes are taken, the rest is read as commands.
func (g *grammar) badBlock(verb, key, tail string) command {
	c := command{name: verb + ": bad data chunk"}
	n := g.IntN(100)
	var block []byte
	if g.in(2) {
		ends := []string{"xx", "\nx", "x\n", "\r\r", "\n\r", "\n\n", "\rx", "x\r", "\x00\x00"}
		block = append(g.bytes(n), pick(g, ends)...)
	} else {
		// Two letters at least: of a shorter line 1.6.18 and 1.6.45 think differently.
		block = append(g.words(n+4+g.IntN(20)), '\r', '\n')
		if g.full && g.in(2) {
			block = append(block[:n+2-g.IntN(2)], '\r', '\n')
		}
		if len(block) < n+2 {
			block = append(block, "zz"[:n+2-len(block)]...)
		}
	}
	if string(block[n:min(n+2, len(block))]) == "\r\n" {
		block[n] = '!'
	}
	if tail != "" {
		c.name += " noreply"
	}
	return g.storage(c, verb, key, pick(g, flagsGood), pick(g, exptimesGood), strconv.Itoa(n), tail, block)
}

// itemOverhead is what memcached's items need beside key, value and flags: 48 of header, 8 of unique, NUL, CRLF.
const itemOverhead = 48 + 8 + 1 + 2

// aboutItemMax stores, or appends to, values about as large as the server takes.
func (g *grammar) aboutItemMax() command {
	key := pick(g, g.big)
	flags := pick(g, []string{"0", "0", "7"})
	n := g.itemMax - itemOverhead - len(key)
	if flags != "0" {
		n -= 4
	}
	n += pick(g, []int{-1000, -1, 0, 0, 1, 1, 2, 59, 100, 5000})
	verb := pick(g, []string{"set", "set", "set", "add", "replace", "cas", "append"})
	c := command{name: verb + ": large"}
	switch g.IntN(5) {
	case 0:
		n = g.IntN(5000)
		verb = pick(g, []string{"append", "prepend"})
		c.name = verb + ": to large"
	case 1:
		c := command{name: "get: large", keys: []string{key}, reads: true}
		c.text = g.line("get", key)
		return c
	}
	value := bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
	end := "\r\n"
	if g.in(10) {
		c.name += ", bad data chunk"
		end = "xx"
	}
	tail := ""
	if g.in(6) {
		c.name += " noreply"
		tail = "noreply"
	}
	return g.storage(c, verb, key, flags, "0", strconv.Itoa(n), tail, append(value, end...))
}

// largeValue is of any size up to a megabyte, as likely small as large on a scale of powers.
func (g *grammar) largeValue() command {
	key := pick(g, g.large)
	n := 1000 << g.IntN(10)
	n = min(n+g.IntN(n), g.itemMax*9/10)
	switch verb := pick(g, []string{"get", "gets", "set", "set", "append", "prepend", "incr", "touch", "delete"}); verb {
	case "get", "gets":
		return command{name: verb + ": any size", keys: []string{key}, reads: true, text: g.line(verb, key)}
	case "incr":
		return command{name: verb + ": any size", keys: []string{key}, writes: true, text: g.line(verb, key, "5")}
	case "touch":
		return command{name: verb + ": any size", keys: []string{key}, text: g.line(verb, key, pick(g, exptimesGood))}
	case "delete":
		return command{name: verb + ": any size", keys: []string{key}, text: g.line(verb, key)}
	case "append", "prepend":
		n >>= g.IntN(10)
		fallthrough
	default:
		value := g.bytes(n)
		if g.full && g.in(4) {
			copy(value, "12 ") // a number
		}
		return g.storage(command{name: verb + ": any size"}, verb, key, pick(g, flagsGood), pick(g, exptimesGood),
			strconv.Itoa(n), g.noreply(), append(value, '\r', '\n'))
	}
}
