package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The meta commands, every flag of every one on each of them: what a flag of another command does is as much asked as what
// its own do. They share their keys with the classic commands.

var metaVerbs = []string{"mg", "mg", "mg", "mg", "ms", "ms", "ms", "md", "ma", "ma", "me"}

// metaFlags are the letters that any of them knows. L and P mean nothing to a server.
const metaFlags = "cfhklqstuvxCDEFIJLMNOPRT"

// ownFlags are those that mean something to a command, and more of them so that they meet.
var ownFlags = map[string]string{
	"mg": "cfhklqstuvCENORTTNcksv",
	"ms": "cksqCCEFIMMMNOTcs",
	"md": "kqCCEIIxxOT",
	"ma": "cktvqCDJMNNOTcvv",
}

// exptimesLong do not end within the run, and are not so near to each other that it matters when they began.
var exptimesLong = []string{"0", "0", "100000", "2591999", "2000000000", "-1", "1000000000"}

// token is what stands behind a letter that wants something, mostly something good.
func (g *grammar) token(letter byte) string {
	switch letter {
	case 'C':
		return unique
	case 'E': // small: which of two is larger must not depend on how a server chooses its own
		return strconv.Itoa(1 + g.IntN(9))
	case 'D', 'J':
		return pick(g, deltasGood)
	case 'F':
		return pick(g, flagsGood)
	case 'M':
		return pick(g, []string{"S", "E", "A", "P", "R", "I", "D", "+", "-", "A", "P", "x", "s", ""})
	case 'O':
		return string(g.bytesOf(1+g.IntN(31), "abcdefghijklmnopqrstuvwxyz0123456789=/+"))
	case 'R':
		return pick(g, []string{"30", "1000000", "0"})
	case 'N':
		return pick(g, []string{"0", "100000", "2591999"})
	case 'T':
		return pick(g, exptimesLong)
	case 'L', 'P':
		return pick(g, []string{"", "x", "1"})
	}
	return ""
}

// badToken is what memcached refuses, or ought to.
func (g *grammar) badToken(letter byte) string {
	switch letter {
	case 'C', 'D', 'J', 'E':
		return pick(g, uniquesStrict)
	case 'F':
		return pick(g, []string{"-1", "4294967296", "abc", "1x", "+1"})
	case 'O':
		return strings.Repeat("o", 32+g.IntN(40))
	case 'N', 'R', 'T':
		return pick(g, []string{"abc", "1x", "2147483648", "+1", "99999999999999"})
	}
	return g.token(letter)
}

func (g *grammar) meta() command {
	verb := pick(g, metaVerbs)
	key := g.key()
	if g.in(3) {
		key = pick(g, g.counters)
	}
	c := command{name: verb, meta: true, reads: verb == "mg", writes: verb == "ma", keys: []string{key}}
	word, flags := key, g.metaFlagsOf(verb, &c)
	if g.in(8) {
		key = g.binaryKey()
		c.keys[0], word = key, base64.StdEncoding.EncodeToString([]byte(key))
		flags = append(flags, "b")
		g.Shuffle(len(flags), func(i, j int) { flags[i], flags[j] = flags[j], flags[i] })
		c.name += ": base64"
		if slices.Contains(flags, "k") {
			c.name += " and k"
		}
	}
	words, block := []string{verb, word}, []byte(nil)
	if verb == "ms" {
		value := g.value(key)
		if g.in(25) {
			c.name += ": bad data chunk"
			block = append(g.words(len(value)+4), '\r', '\n')
		} else {
			block = append(value, '\r', '\n')
		}
		words = append(words, strconv.Itoa(len(value)))
	}
	if g.in(25) {
		words = g.metaBadly(verb, words, &c)
		if verb == "ms" && !strings.HasSuffix(c.name, "key too long") { // then it is not known how long the block is
			block = append(g.words(3), '\r', '\n')
		}
	}
	if verb == "me" || len(words) == 1 { // then a flag is the key
		flags = nil
		if strings.HasPrefix(c.name, "me: base64") {
			flags = []string{"b", "b"} // 1.6.45 heeds a b only before something else
		}
	}
	c = g.storageOf(c, append(words, flags...), block)
	c.keys = []string{key}
	return c
}

// metaFlagsOf chooses flags, and says in the command's name what is known to be answered in two ways.
func (g *grammar) metaFlagsOf(verb string, c *command) (flags []string) {
	letters := map[byte]bool{}
	for range g.IntN(7) {
		letter := metaFlags[g.IntN(len(metaFlags))]
		if own := ownFlags[verb]; own != "" && !g.in(5) {
			letter = own[g.IntN(len(own))]
		}
		if letters[letter] && !g.in(40) {
			continue
		}
		letters[letter] = true
		token := g.token(letter)
		if g.in(60) {
			token = g.badToken(letter)
			if letter == 'O' {
				c.name += ": opaque too long"
			}
		}
		if letter == 'C' && token == unique {
			switch {
			case g.in(12):
				token = "0"
			case g.in(3):
				c.uniqueAge = 1
			}
		}
		flags = append(flags, string(letter)+token)
	}
	if g.in(60) {
		flags = append(flags, pick(g, []string{"z", "S", "i", "!", "1", "", "\x01", "[", "_", "k k", "q q"}))
	}
	if g.in(200) {
		for i := range 22 {
			flags = append(flags, string(metaFlags[i]))
		}
	}
	if verb == "ma" && (letters['T'] || letters['E']) {
		c.name += ": T or E"
	}
	return strings.Fields(strings.Join(flags, " "))
}

// binaryKey is one that classic commands can name as well, or nobody could delete it.
func (g *grammar) binaryKey() string {
	return fmt.Sprintf("%s\x80%d\xff", g.prefix, g.IntN(6))
}

// metaBadly spoils what comes before the flags.
func (g *grammar) metaBadly(verb string, words []string, c *command) []string {
	switch g.IntN(4) {
	case 0:
		c.name += ": key too long"
		words[1] = g.tooLongKey()
	case 1:
		c.name += ": no key"
		words = words[:1]
	case 2:
		if verb != "ms" {
			c.name += ": bad base64"
			return append([]string{verb, pick(g, []string{"!!!!", "abc", "====", "Zm9v=", "a"})}, "b", "k")
		}
		c.name += ": bad length"
		words[2] = pick(g, append(lengthsBad, lengthsStrict...))
	case 3:
		if verb == "ms" {
			c.name += ": too few words"
			words = words[:2]
		}
	}
	return words
}

// sameMeta compares replies to a meta command: uniques by what they name, times as far as two clocks agree, and what only one
// of the servers has not at all.
func (t *talker) sameMeta(c *command, a, b []byte) bool {
	lineA, restA, _ := bytes.Cut(a, []byte("\n"))
	lineB, restB, _ := bytes.Cut(b, []byte("\n"))
	if !bytes.Equal(restA, restB) {
		return false
	}
	wordsA, wordsB := bytes.Split(lineA, []byte(" ")), bytes.Split(lineB, []byte(" "))
	if len(wordsA) != len(wordsB) {
		return false
	}
	for i := range wordsA {
		if !t.sameWord(c, string(bytes.TrimSuffix(wordsA[i], []byte("\r"))), string(bytes.TrimSuffix(wordsB[i], []byte("\r")))) {
			return false
		}
	}
	return true
}

func (t *talker) sameWord(c *command, a, b string) bool {
	for _, prefix := range []string{"cas=", "exp=", "la=", "cls=", "c", "t", "l"} {
		numberA, okA := strings.CutPrefix(a, prefix)
		numberB, okB := strings.CutPrefix(b, prefix)
		if !okA || !okB {
			continue
		}
		x, errX := strconv.ParseUint(strings.TrimPrefix(numberA, "-"), 10, 64)
		y, errY := strconv.ParseUint(strings.TrimPrefix(numberB, "-"), 10, 64)
		if errX != nil || errY != nil {
			return a == b
		}
		switch prefix {
		case "la=", "l", "cls=":
			return true // the second read of several, or how long ago at the least; and slabs
		case "exp=", "t":
			if x > 1<<31 && y > 1<<31 { // of one that the same command has ended: how long ago the clock began
				return true
			}
			return max(x, y)-min(x, y) <= clocksApart && (x > clocksApart || x == y)
		}
		p := pair{x, y}
		if x == 0 && y == 0 || t.learn(c.keys[0], p) {
			return true
		}
		t.misnamed = fmt.Sprintf("uniques of %q, A's and B's: %d after %d", c.keys[0], p, t.uniques[c.keys[0]])
		return false
	}
	return a == b
}

// clocksApart is how many seconds the servers' clocks may be: they started one after the other, and tick as they like.
const clocksApart = 5
