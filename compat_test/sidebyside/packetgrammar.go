package main

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// A packetGrammar says random packets: those that are right over a few keys, by all opcodes, loud and quiet, and those that are
// wrong in one way each.
type packetGrammar struct {
	*grammar
	rules  []packetRule
	weight int
}

type packetRule struct {
	weight int
	say    func(*packetGrammar) command
}

// packetRules are for both grammars: the narrow one leaves out what gomemd, memcached 1.6.18 and 1.6.45 answer differently.
var packetRules = []packetRule{
	{300, func(g *packetGrammar) command { return g.retrieve(opGet, opGetQ, opGetK, opGetKQ) }},
	{100, func(g *packetGrammar) command { return g.retrieve(opTouch, opGat, opGatQ, opGatK, opGatKQ) }},
	{300, (*packetGrammar).store},
	{100, (*packetGrammar).affix},
	{80, (*packetGrammar).remove},
	{150, (*packetGrammar).arith},
	{20, func(g *packetGrammar) command { return g.bare(opNoop) }},
	{10, (*packetGrammar).version},
	{10, (*packetGrammar).stat},
	{15, (*packetGrammar).sasl},
	{15, (*packetGrammar).unknown},
	{20, (*packetGrammar).wrongLengths},
	{10, (*packetGrammar).lyingBody},
	{4, (*packetGrammar).notAPacket},
	{4, (*packetGrammar).truncated},
	{4, func(g *packetGrammar) command { c := g.bare(opQuit, opQuitQ); c.hangsUp = true; return c }},
	{2, (*packetGrammar).aboutItemMax},
	{1, (*packetGrammar).flush},
}

func newPacketGrammar(seed uint64, conn int, opt options) *packetGrammar {
	g := &packetGrammar{grammar: newGrammar(seed, conn, opt), rules: packetRules}
	for _, r := range g.rules {
		g.weight += r.weight
	}
	return g
}

// next says one command.
func (g *packetGrammar) next() command {
	if g.said%keysLast == 0 {
		g.chooseKeys()
		for _, odd := range []string{" ", "a b", "\r\n", "\n", "a\r\nb", "\x00", "\x80\x00", " \x00 "} {
			g.odd = append(g.odd, g.prefix+odd)
		}
	}
	g.said++
	n := g.IntN(g.weight)
	for _, r := range g.rules {
		if n -= r.weight; n < 0 {
			c := r.say(g)
			g.decorate(&c)
			return c
		}
	}
	panic("weights do not add up")
}

// decorate fills fields that nobody should look at: the type, and what is the status in replies.
func (g *packetGrammar) decorate(c *command) {
	if g.in(20) && len(c.text) >= packetHead {
		c.text[atType] = byte(g.IntN(256))
	}
	if g.in(20) && len(c.text) >= packetHead {
		c.text[atStatus+g.IntN(2)] = byte(g.IntN(256))
	}
}

// withCAS gives a command the cas of its key, as this server called it: the latest, an older one, or nobody's.
func (g *packetGrammar) withCAS(c command, once int) command {
	if g.in(once) {
		c.uniqueAt, c.uniqueAge = atCAS, g.IntN(3)
		c.name += " cas"
	}
	return c
}

func (g *packetGrammar) bare(ops ...opcode) command {
	op := pick(g.grammar, ops)
	return command{name: op.String(), text: request(op, nil, "", nil)}
}

func (g *packetGrammar) retrieve(ops ...opcode) command {
	op := pick(g.grammar, ops)
	c := command{name: op.String(), keys: []string{g.key()}, reads: true}
	var extras []byte
	if op >= opTouch {
		extras = g.exptime()
	}
	c.text = request(op, extras, c.keys[0], nil)
	return g.withCAS(c, 15) // which a get does not look at
}

func (g *packetGrammar) store() command {
	op := pick(g.grammar, []opcode{opSet, opSet, opSet, opSetQ, opSetQ, opAdd, opAddQ, opReplace, opReplaceQ})
	c := command{name: op.String(), keys: []string{g.key()}}
	value := g.value()
	if g.in(10) && slices.Contains(g.odd, c.keys[0]) {
		value = nil
	}
	flags := pick(g.grammar, []uint32{0, 0, 1, 5, 65536, 1<<32 - 1, 0xdeadbeef})
	extras := append(binary.BigEndian.AppendUint32(nil, flags), g.exptime()...)
	c.text = request(op, extras, c.keys[0], value)
	return g.withCAS(c, 4)
}

func (g *packetGrammar) affix() command {
	op := pick(g.grammar, []opcode{opAppend, opAppendQ, opPrepend, opPrependQ})
	c := command{name: op.String(), keys: []string{g.key()}}
	c.text = request(op, nil, c.keys[0], g.small())
	return g.withCAS(c, 6)
}

func (g *packetGrammar) remove() command {
	op := pick(g.grammar, []opcode{opDelete, opDeleteQ})
	c := command{name: op.String(), keys: []string{g.key()}}
	c.text = request(op, nil, c.keys[0], nil)
	return g.withCAS(c, 4)
}

func (g *packetGrammar) arith() command {
	op := pick(g.grammar, []opcode{opIncr, opIncr, opDecr, opDecr, opIncrQ, opDecrQ})
	key := pick(g.grammar, g.counters)
	if g.in(4) {
		key = pick(g.grammar, g.hot)
	}
	c := command{name: op.String(), keys: []string{key}, writes: true}
	number := func() uint64 {
		if g.in(4) || !g.full {
			return g.number()
		}
		return pick(g.grammar, []uint64{0, 1, 1, 2, 9, 10, 99, 1000000, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1})
	}
	extras := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, number()), number())
	if g.in(2) {
		extras = append(extras, g.exptime()...)
	} else {
		extras = append(extras, 0xff, 0xff, 0xff, 0xff) // do not create
	}
	c.text = request(op, extras, key, nil)
	return g.withCAS(c, 6)
}

// number stays far below 2^63 with the narrow grammar: see knownPacketDifferences.
func (g *packetGrammar) number() uint64 {
	n := g.Uint64() >> g.IntN(64)
	if !g.full {
		n >>= 24
	}
	return n
}

func (g *packetGrammar) version() command {
	c := g.bare(opVersion)
	c.shape = isPacketVersion
	return c
}

func (g *packetGrammar) stat() command {
	if key := pick(g.grammar, []string{"", "settings", "items", "slabs"}); g.in(3) {
		return command{name: "stat " + key, text: request(opStat, nil, key, nil), shape: isPacketStats}
	}
	word := g.either([]string{"bogus", "SETTINGS", "x", "sizes", "detail", "detail x", "item", "slab"}, []string{"reset"})
	return command{name: "stat " + word, text: request(opStat, nil, word, nil), exclusive: word == "reset"}
}

// sasl: both servers are without.
func (g *packetGrammar) sasl() command {
	op := pick(g.grammar, []opcode{opSASLList, opSASLAuth, opSASLStep})
	c := command{name: op.String(), text: request(op, nil, "", nil)}
	if op != opSASLList {
		c.text = request(op, nil, pick(g.grammar, []string{"PLAIN", "CRAM-MD5", "X"}), []byte("\x00user\x00pass"))
	}
	return c
}

// unknown is an opcode that nobody has. memcached loses count if such a packet has a key or extras, so that what follows may
// be anything, and we say no more.
func (g *packetGrammar) unknown() command {
	op := opcode(pick(g.grammar, []int{0x1b, 0x1f, 0x25, 0x30, 0x3c, 0x50, 0x7f, 0x80, 0xff}))
	c := command{name: "unknown", text: request(op, nil, "", nil)}
	switch {
	case g.full && g.in(8):
		c.name += ": key"
		c.text = request(op, g.small()[:g.IntN(2)], "key", g.small())
		c.leaves = halfClose
	case g.in(3):
		c.name += ": value"
		c.text = request(op, nil, "", g.small())
	}
	return c
}

// needs is what a packet must have.
type needs struct {
	op          opcode
	extras, key int
}

var allNeeds = []needs{
	{opGet, 0, 1}, {opGetQ, 0, 1}, {opGetK, 0, 1}, {opGetKQ, 0, 1}, {opSet, 8, 1}, {opSetQ, 8, 1}, {opAdd, 8, 1}, {opAddQ, 8, 1},
	{opReplace, 8, 1}, {opReplaceQ, 8, 1}, {opDelete, 0, 1}, {opDeleteQ, 0, 1}, {opIncr, 20, 1}, {opIncrQ, 20, 1}, {opDecr, 20, 1},
	{opDecrQ, 20, 1}, {opAppend, 0, 1}, {opAppendQ, 0, 1}, {opPrepend, 0, 1}, {opPrependQ, 0, 1}, {opTouch, 4, 1}, {opGat, 4, 1},
	{opGatQ, 4, 1}, {opGatK, 4, 1}, {opGatKQ, 4, 1}, {opNoop, 0, 0}, {opVersion, 0, 0}, {opQuit, 0, 0}, {opQuitQ, 0, 0},
	{opSASLList, 0, 0}, {opSASLAuth, 0, 1}, {opSASLStep, 0, 1},
}

func touching(op opcode) bool { return op >= opTouch && op <= opGatQ || op == opGatK || op == opGatKQ }

// wrongLengths are extras, keys and bodies of lengths that the opcode does not have. The server answers and hangs up.
func (g *packetGrammar) wrongLengths() command {
	n := pick(g.grammar, allNeeds)
	key := g.key()
	c := command{name: n.op.String(), keys: []string{key}, hangsUp: true}
	if n.key == 0 {
		key = ""
	}
	extras, value := make([]byte, n.extras), []byte(nil)
	takes := slices.Contains([]opcode{opSet, opSetQ, opAdd, opAddQ, opReplace, opReplaceQ, opAppend, opAppendQ, opPrepend, opPrependQ,
		opSASLAuth, opSASLStep}, n.op)
	touches := touching(n.op)
	switch what := g.IntN(4); {
	case what == 0 && n.key > 0:
		c.name += ": no key"
		key = ""
	case what == 1:
		c.name += ": key too long"
		key = g.keyOf(pick(g.grammar, []int{251, 256, 300, 1000, 15_000}), "abcdef")
		if g.full && g.in(5) { // memcached resets the connection, and what it had yet to say is lost
			c.name += " for a buffer"
			c.fresh = true
			key = g.keyOf(pick(g.grammar, []int{17_000, 65_535}), "abcdef")
		}
	case what == 2 && !takes && (g.full || !touches):
		c.name += ": value"
		if value = g.small()[:1]; touches {
			c.hangsUp, c.leaves = false, halfClose // memcached takes it for the next packet
		}
	default:
		c.name += ": wrong extras"
		extras = make([]byte, pick(g.grammar, slices.DeleteFunc([]int{0, 1, 4, 8, 12, 20, 21, 24, 255}, func(k int) bool { return k == n.extras })))
	}
	c.text = request(n.op, extras, key, value)
	return c
}

// lyingBody has a length of body that is not that of its parts, or none that anybody takes.
func (g *packetGrammar) lyingBody() command {
	n := pick(g.grammar, allNeeds)
	key := g.key()
	c := command{name: n.op.String(), keys: []string{key}, hangsUp: true}
	c.text = request(n.op, make([]byte, n.extras), key, nil)
	body := uint32(len(c.text) - packetHead)
	switch what := g.IntN(3); {
	case what == 0 && body > 0:
		c.name += ": body too short"
		body = uint32(g.IntN(int(body)))
	case what == 1 && g.full:
		c.name += ": body above all bounds"
		c.fresh = true // 1.6.18 then says nothing more
		body = pick(g.grammar, []uint32{1<<30 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1})
	case !g.full && (touching(n.op) || n.key > 0 && n.op != opDelete && n.op != opGet):
		c.name += ": body of the key alone"
		body = uint32(len(key) - 1)
	default:
		// The server waits for what does not come, if it is a set or an append, and stores nothing.
		c.name += ": body that does not come"
		c.hangsUp, c.leaves = false, halfClose
		body += uint32(1 + g.IntN(100))
	}
	binary.BigEndian.PutUint32(c.text[atBody:], body)
	return c
}

// notAPacket is on a connection that has begun with one. memcached hangs up without saying what it had yet to say, so all is
// answered before.
func (g *packetGrammar) notAPacket() command {
	c := command{name: "no packet: magic", text: request(opGet, nil, g.key(), nil), hangsUp: true, fresh: true}
	switch g.IntN(3) {
	case 0:
		c.text[0] = pick(g.grammar, []byte{0x81, 0x00, 0xff, 0x82, 'g'})
	default:
		c.name = "no packet: text"
		c.text = []byte("get " + g.hot[1] + "                         \r\n")
	}
	return c
}

// truncated is a packet that we end in the middle.
func (g *packetGrammar) truncated() command {
	kinds := []func() command{g.remove, g.arith}
	if g.full { // in packets memcached counts a set when it is over, gomemd when it begins, as both do in text
		kinds = append(kinds, g.store, g.affix)
	}
	c := pick(g.grammar, kinds)()
	c.name += ", half of it"
	c.text = c.text[:g.IntN(len(c.text))]
	c.leaves = halfClose
	if len(c.text) < packetHead {
		c.uniqueAt = 0
	}
	return c
}

func (g *packetGrammar) aboutItemMax() command {
	op := pick(g.grammar, []opcode{opSet, opSetQ, opAdd, opReplace, opAppend, opPrependQ})
	c := command{name: op.String(), keys: []string{pick(g.grammar, g.big)}, exclusive: true}
	size := g.itemMax/2 - 1000
	if g.in(2) {
		c.name += ": too large"
		size = g.itemMax + 1 + g.IntN(5000)
	}
	var extras []byte
	if op < opAppend || op == opSetQ {
		extras = make([]byte, 8)
	}
	c.text = request(op, extras, c.keys[0], make([]byte, size))
	return c
}

func (g *packetGrammar) flush() command {
	op := pick(g.grammar, []opcode{opFlush, opFlushQ})
	return command{name: op.String(), text: request(op, make([]byte, 4*g.IntN(2)), "", nil), exclusive: true}
}

// exptime is 4 bytes. None ends within the next hour: the two servers do not tick together.
func (g *packetGrammar) exptime() []byte {
	return binary.BigEndian.AppendUint32(nil, pick(g.grammar, []uint32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100_000, 2_591_999, 2_592_000, 2_592_001,
		1_000_000_000, 2_000_000_000, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1}))
}

// small does not begin with a blank: looking for a number, memcached goes over blanks beyond the end of a value, into whatever
// the memory held before. That is why arith stays away from odd keys too, which alone may be empty.
func (g *packetGrammar) small() []byte {
	value := make([]byte, 1+g.IntN(40))
	for i := range value {
		value[i] = byte(g.Uint32())
	}
	if value[0] == ' ' || value[0] >= '\t' && value[0] <= '\r' {
		value[0] = '~'
	}
	return value
}

func (g *packetGrammar) value() []byte {
	switch {
	case g.in(3):
		return strconv.AppendUint(nil, g.number(), 10)
	case g.in(20):
		return make([]byte, 1000+g.IntN(40_000))
	}
	return g.small()
}
