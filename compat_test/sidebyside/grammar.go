package main

import (
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

// A grammar says random commands. Full, or narrowed to what memcached 1.6.18 and 1.6.45 answer alike. Here are its rules, keys
// and numbers; what it says stands in retrieval.go, storage.go, other.go, lines.go, meta.go and admin.go.
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
