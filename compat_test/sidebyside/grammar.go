package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A command is what goes to both servers: a line, or a line and its value block, or something that is neither.
type command struct {
	name string // what it tries, for counting: "set: bad flags"
	text []byte
	keys []string // what it may touch

	// A cas sends to each server that server's own unique of keys[0], cut into text at uniqueAt.
	// uniqueAge 0 is the latest one seen, 1 the one before.
	uniqueAt, uniqueAge int // uniqueAt 0: none

	reads  bool // leaves references to its items in the server until the reply is out
	writes bool // incr, decr: looks at those references

	meta      bool                    // the reply is compared as one to a meta command
	shape     func(reply []byte) bool // the reply is compared by its form, not by its bytes
	fresh     bool                    // everything before is answered first
	whole     bool                    // in one write, and alone
	hangsUp   bool                    // the server closes (quit): nothing can follow
	leaves    leave                   // we close: nothing can follow either
	exclusive bool                    // touches everybody's keys: all other connections wait
}

type leave uint8

const (
	stays     leave = iota
	halfClose       // we say no more, and hear to the end
	goesAway        // we close both ways, in the middle of a value
)

// unique marks where a cas has its unique, until the line is made.
const unique = "{unique}"

// A grammar says random commands. Full, or narrowed to what memcached 1.6.18 and 1.6.45 answer alike.
type grammar struct {
	*rand.Rand
	full    bool
	prefix  string // of every key that is stored, so that connections do not see each other
	itemMax int

	rules  []rule
	weight int // of all of them

	said                           int
	hot, counters, odd, big, large []string
}

// keysLast is for how many commands a grammar keeps its keys: long enough for hits, short enough for variety.
const keysLast = 20_000

func newGrammar(seed uint64, conn int, opt options) *grammar {
	g := &grammar{
		Rand:    rand.New(rand.NewPCG(seed, uint64(conn))),
		full:    opt.grammar == "full",
		prefix:  string(rune('A' + conn)),
		itemMax: opt.itemMax,
	}
	g.rules = rules
	if g.full {
		g.rules = slices.Concat(rules, fullRules)
	}
	for _, r := range g.rules {
		g.weight += r.weight
	}
	return g
}

// A rule is something that can be said, and how often.
type rule struct {
	weight int
	say    func(*grammar) command
}

// rules are for both grammars.
var rules = []rule{
	{260, func(g *grammar) command { return g.retrieve("get") }},
	{140, func(g *grammar) command { return g.retrieve("gets") }},
	{40, func(g *grammar) command { return g.retrieveAndTouch("gat") }},
	{30, func(g *grammar) command { return g.retrieveAndTouch("gats") }},
	{240, func(g *grammar) command { return g.store("set") }},
	{60, func(g *grammar) command { return g.store("add") }},
	{50, func(g *grammar) command { return g.store("replace") }},
	{60, func(g *grammar) command { return g.store("append") }},
	{50, func(g *grammar) command { return g.store("prepend") }},
	{110, func(g *grammar) command { return g.store("cas") }},
	{80, (*grammar).remove},
	{120, func(g *grammar) command { return g.arith("incr") }},
	{110, func(g *grammar) command { return g.arith("decr") }},
	{70, (*grammar).touch},
	{20, (*grammar).version},
	{15, (*grammar).verbosity},
	{25, (*grammar).noop},
	{12, (*grammar).stats},
	{40, (*grammar).unknown},
	{10, (*grammar).leadingBlanks},
	{6, (*grammar).longLine},
	{3, (*grammar).manyKeys},
	{2, (*grammar).aboutItemMax},
	{6, (*grammar).largeValue},
	{2, (*grammar).webPage},
	{2, (*grammar).quit},
	{2, (*grammar).leave},
	{1, (*grammar).flushAll},
}

// fullRules are for the full grammar alone: 1.6.18 knows fewer flags and answers otherwise.
var fullRules = []rule{
	{700, (*grammar).meta},
	{20, (*grammar).admin},
}

// next says one command.
func (g *grammar) next() command {
	if g.said%keysLast == 0 {
		g.chooseKeys()
	}
	g.said++
	n := g.IntN(g.weight)
	for _, r := range g.rules {
		if n -= r.weight; n < 0 {
			return r.say(g)
		}
	}
	panic("weights do not add up")
}

func (g *grammar) in(n int) bool { return g.IntN(n) == 0 } // once in n

func pick[T any](g *grammar, from []T) T { return from[g.IntN(len(from))] }

// either picks from common, and under the full grammar from both lists.
func (g *grammar) either(common, only45 []string) string {
	if n := g.IntN(len(common) + len(only45)); g.full && n >= len(common) {
		return only45[n-len(common)]
	}
	return pick(g, common)
}

// line joins words the way clients do, and now and then the way only people at a terminal do.
func (g *grammar) line(words ...string) []byte {
	var line []byte
	for i, word := range words {
		if i > 0 {
			line = append(line, ' ')
			if g.in(60) {
				line = append(line, strings.Repeat(" ", g.IntN(30))...)
			}
		}
		line = append(line, word...)
	}
	if g.in(30) {
		line = append(line, strings.Repeat(" ", 1+g.IntN(5))...)
	}
	if g.in(12) && len(line) >= len("get") { // shorter and 1.6.45 wants its CR
		return append(line, '\n')
	}
	return append(line, '\r', '\n')
}

// Keys

func (g *grammar) chooseKeys() {
	epoch := strconv.Itoa(g.said / keysLast)
	g.hot, g.counters, g.odd, g.big, g.large = nil, nil, nil, nil, nil
	g.hot = append(g.hot, g.prefix)
	for i := range 8 {
		g.hot = append(g.hot, fmt.Sprintf("%s%sk%d", g.prefix, epoch, i))
		g.counters = append(g.counters, fmt.Sprintf("%s%sn%d", g.prefix, epoch, i))
	}
	g.big = append(g.big, g.prefix+"big1", g.prefix+"big2")
	g.large = append(g.large, g.prefix+"large1", g.prefix+"large2", g.prefix+"large3")
	for _, n := range []int{250, 250, 249, 128, 127, 64} {
		g.odd = append(g.odd, g.keyOf(n, "abcdefghijklmnopqrstuvwxyz"))
	}
	everyByte := make([]byte, 0, 256)
	for b := 1; b < 256; b++ {
		if b != ' ' && b != '\n' {
			everyByte = append(everyByte, byte(b))
		}
	}
	if g.full { // 1.6.18 ends a key at a NUL
		everyByte = append(everyByte, 0, 0, 0)
		g.odd = append(g.odd, g.prefix+"nul\x00", g.prefix+"nul\x00a", g.prefix+"nul\x00b", g.prefix+"\x00", g.prefix+"\x80\x00")
	}
	for range 10 {
		g.odd = append(g.odd, g.keyOf(2+g.IntN(40), string(everyByte)))
	}
	g.odd = append(g.odd, g.keyOf(250, string(everyByte)),
		g.prefix+"\xff\xfe", g.prefix+"a\rb", g.prefix+"a\r", g.prefix+"\tb", g.prefix+"\x01", g.prefix+"\x7f",
		g.prefix+"é😀", g.prefix+":;=?&%20", g.prefix+"noreply", g.prefix+"0", g.prefix+"-1")
}

// keyOf makes a key of n bytes. Its last byte is no CR: that would need an end of line we do not always say.
func (g *grammar) keyOf(n int, alphabet string) string {
	key := []byte(g.prefix)
	for len(key) < n {
		key = append(key, alphabet[g.IntN(len(alphabet))])
	}
	if key[len(key)-1] == '\r' {
		key[len(key)-1] = 'r'
	}
	return string(key)
}

func (g *grammar) key() string {
	switch n := g.IntN(100); {
	case n < 65:
		return pick(g, g.hot)
	case n < 80:
		return pick(g, g.counters)
	case n < 97:
		return pick(g, g.odd)
	}
	return fmt.Sprintf("%sx%d", g.prefix, g.IntN(100_000))
}

func (g *grammar) tooLongKey() string {
	return g.keyOf(pick(g, []int{251, 251, 252, 300, 1000}), "abcdefghijklmnopqrstuvwxyz")
}

// Numbers. Those that only 1.6.45 reads strictly, or that send 1.6.18 out of step, stand apart.

var (
	flagsGood = []string{"0", "0", "0", "0", "0", "1", "5", "32", "65535", "2147483647", "2147483648", "4294967295"}
	flagsEdge = []string{"4294967296", "4294967297", "18446744073709551615", "+1", "-0", "+0", "007", "0000000000000000000000005"}
	flagsBad  = []string{"-1", "1x", "x1", "0x10", "abc", "1.5", "1e3", "-", "+", "--1", "18446744073709551616",
		"99999999999999999999999", "-18446744073709551615", "-18446744073709551616", "1_000", "\t1", "1\t", "٣", "-1x", "\x00", "1\x00", "-9223372036854775808"}

	// None ends within the next hour: the two servers do not tick together, and the run must not see which ticks first.
	exptimesGood = []string{"0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "100000", "2591999", "2592000",
		"2000000000", "2147483647", "-1", "-100", "2592001", "1000000000"}
	exptimesEdge = []string{"+100000", "+0", "-0", "00", "0100000", "-2147483648", "-2147483647"}
	// What a set cuts to 32 bits, and touch and gat refuse.
	exptimesWide = []string{"2147483648", "4294967295", "4294967296", "99999999999", "-2147483649", "-4294967296", "-9999999999",
		"9223372036854775806", "-9223372036854675808"} // cut: -2 and 100000
	exptimesHuge = []string{"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "99999999999999999999"}
	exptimesBad = []string{"abc", "1.5", "0x10", "1e5", "-", "--1", "100000x", "x", "1_0", "never", "\t0"}

	// Of 2^63 and more, 1.6.18 sometimes says that it is no number: it looks for a minus sign in the memory behind it.
	hugeNumbers = []string{"9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551614"}

	deltasGood = []string{"0", "1", "1", "2", "5", "9", "10", "99", "100", "1000000", "4294967295", "4294967296",
		"0005", "0000000000000000000001"}
	deltasBad    = []string{"abc", "-1", "1x", "x1", "18446744073709551616", "99999999999999999999", "1.5", "0x10", "-", "--1"}
	deltasStrict = []string{"-0", "+1", "00000000000000000000001", "000000000000000000000000000000001", "+", "1\x00", "+18446744073709551615"}

	uniquesGood   = []string{"0", "18446744073709551615", "9223372036854775807", "17000000000000000000"}
	uniquesStrict = []string{"+1", "-1", "abc", "1x", "18446744073709551616", "-", "1.5", "0x1", "00000000000000000000001", "-0", "99999999999999999999999"}

	// Lengths that cannot be read: the block is then taken for commands. (What is readable but too large is aboutItemMax's.)
	lengthsBad    = []string{"abc", "-1", "-5", "99999999999999999999", "2147483646", "2147483647", "2147483648", "3000000000", "x3", "-2147483648"}
	lengthsStrict = []string{"-", "+3", "3x", "0x3", "3.0", "4294967295", "4294967296", "4294967299", "000000000003", "0000000000000000000003",
		"-4294967293", "18446744073709551619", "\t3", "3\t", "3\x00", "+", "--3"}

	junkWords = []string{"x", "0", "1", "-1", "foo", "NOREPLY", "noreplyx", "norepl", "noreply\t", "abc", "\x01", "0 0"}
)

func (g *grammar) exptime() string {
	switch {
	case g.in(12):
		return pick(g, exptimesEdge)
	case g.in(20):
		return g.either(exptimesWide, exptimesHuge)
	case g.in(50):
		return strconv.FormatInt(-g.Int64N(1<<40), 10)
	}
	return pick(g, exptimesGood)
}

// exptime32 is for the commands that refuse what does not fit.
func (g *grammar) exptime32() string {
	switch {
	case g.in(15):
		return g.either([]string{"-2147483648", "-2147483647", "00", "-0", "0100000"}, slices.Concat(exptimesEdge, exptimesWide, exptimesHuge))
	case g.in(25):
		return g.either([]string{"abc", "x", "100000x", "1.5"}, exptimesBad)
	}
	return pick(g, exptimesGood)
}

// Retrieval

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

// Storage

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

// Everything else with a key

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
	words := []string{verb, key, delta}
	switch {
	case g.full && g.in(40):
		c.name += ": too few words"
		words = words[:1+g.IntN(2)]
	case g.in(60):
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

func (g *grammar) touch() command {
	key := g.key()
	c := command{name: "touch", keys: []string{key}}
	words := []string{"touch", key, g.exptime32()}
	switch {
	case g.full && g.in(20):
		c.name += ": too few words"
		words = words[:1+g.IntN(2)]
	case g.in(40):
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

// Without a key

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
