package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// The binary protocol. Source: memcached's protocol_binary.h.
//
//	| magic 1 | opcode 1 | key length 2 | extras length 1 | type 1 | status 2 | body length 4 | opaque 4 | cas 8 |
//	  0         1          2              4                 5        6          8               12         16
//
// The body is extras, key, value. Requests have 0 where replies have the status.
const (
	packetHead = 24
	asks       = 0x80
	says       = 0x81

	atKeyLen, atExtras, atType, atStatus, atBody, atOpaque, atCAS = 2, 4, 5, 6, 8, 12, 16
)

type opcode byte

// A quiet form says nothing where the loud one says the expected.
const (
	opGet opcode = iota
	opSet
	opAdd
	opReplace
	opDelete
	opIncr
	opDecr
	opQuit
	opFlush
	opGetQ
	opNoop
	opVersion
	opGetK
	opGetKQ
	opAppend
	opPrepend
	opStat
	opSetQ
	opAddQ
	opReplaceQ
	opDeleteQ
	opIncrQ
	opDecrQ
	opQuitQ
	opFlushQ
	opAppendQ
	opPrependQ
)

const (
	opTouch opcode = iota + 0x1c
	opGat
	opGatQ
	opSASLList opcode = 0x20
	opSASLAuth opcode = 0x21
	opSASLStep opcode = 0x22
	opGatK     opcode = 0x23
	opGatKQ    opcode = 0x24
)

var opcodeNames = map[opcode]string{
	opGet: "get", opSet: "set", opAdd: "add", opReplace: "replace", opDelete: "delete", opIncr: "incr", opDecr: "decr",
	opQuit: "quit", opFlush: "flush", opGetQ: "getq", opNoop: "noop", opVersion: "version", opGetK: "getk", opGetKQ: "getkq",
	opAppend: "append", opPrepend: "prepend", opStat: "stat", opSetQ: "setq", opAddQ: "addq", opReplaceQ: "replaceq",
	opDeleteQ: "deleteq", opIncrQ: "incrq", opDecrQ: "decrq", opQuitQ: "quitq", opFlushQ: "flushq", opAppendQ: "appendq",
	opPrependQ: "prependq", opTouch: "touch", opGat: "gat", opGatQ: "gatq", opGatK: "gatk", opGatKQ: "gatkq",
	opSASLList: "sasl list", opSASLAuth: "sasl auth", opSASLStep: "sasl step",
}

func (o opcode) String() string {
	if name, ok := opcodeNames[o]; ok {
		return name
	}
	return fmt.Sprintf("opcode %02x", byte(o))
}

// statusNames are without digits, which a report leaves out of the kinds of differences.
var statusNames = map[uint16]string{0x00: "done", 0x01: "not found", 0x02: "exists", 0x03: "too large", 0x04: "invalid",
	0x05: "not stored", 0x06: "no number", 0x20: "no auth", 0x21: "auth goes on", 0x81: "unknown", 0x82: "no memory"}

// request makes one that is right in itself.
func request(op opcode, extras []byte, key string, value []byte) []byte {
	p := make([]byte, packetHead, packetHead+len(extras)+len(key)+len(value))
	p[0], p[1], p[atExtras] = asks, byte(op), byte(len(extras))
	binary.BigEndian.PutUint16(p[atKeyLen:], uint16(len(key)))
	binary.BigEndian.PutUint32(p[atBody:], uint32(len(extras)+len(key)+len(value)))
	p = append(append(p, extras...), key...)
	return append(p, value...)
}

// A packet is one reply, head and body.
type packet []byte

func (p packet) opcode() opcode { return opcode(p[1]) }
func (p packet) extras() int    { return int(p[atExtras]) }
func (p packet) keyLen() int    { return int(binary.BigEndian.Uint16(p[atKeyLen:])) }
func (p packet) status() uint16 { return binary.BigEndian.Uint16(p[atStatus:]) }
func (p packet) opaque() uint32 { return binary.BigEndian.Uint32(p[atOpaque:]) }
func (p packet) cas() uint64    { return binary.BigEndian.Uint64(p[atCAS:]) }
func (p packet) body() []byte   { return p[packetHead:] }

// cutPacket takes one off what was heard. What is no packet, or not a whole one, stays.
func cutPacket(heard []byte) (p packet, rest []byte, ok bool) {
	if len(heard) < packetHead || heard[0] != says {
		return nil, heard, false
	}
	long := packetHead + int(binary.BigEndian.Uint32(heard[atBody:]))
	if long > len(heard) {
		return nil, heard, false
	}
	return heard[:long], heard[long:], true
}

// String is for people, one line without the opaque.
func (p packet) String() string {
	status, ok := statusNames[p.status()]
	if !ok {
		status = fmt.Sprintf("status %#04x", p.status())
	}
	text := fmt.Sprintf("%s: %s, extras %d, key %d", status, p.opcode(), p.extras(), p.keyLen())
	if p[atType] != 0 {
		text += fmt.Sprintf(", type %d", p[atType])
	}
	if p.cas() == 0 {
		text += ", no cas"
	}
	return text + ", " + quote(p.body(), 80)
}

// samePackets says whether two replies to one command mean the same. They may be several packets, or none.
func (t *packetTalker) samePackets(c *command, a, b []packet) bool {
	if c.shape != nil && len(a)+len(b) > 0 {
		return c.shape(join(a)) && c.shape(join(b))
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i][:atCAS], b[i][:atCAS]) || !bytes.Equal(a[i].body(), b[i].body()) {
			return false
		}
		ua, ub := a[i].cas(), b[i].cas()
		if (ua == 0) != (ub == 0) {
			return false
		}
		if p := (pair{ua, ub}); ua != 0 && !t.learn(c.keys[0], p) {
			t.misnamed = fmt.Sprintf("cas of %q, A's and B's: %d after %d", c.keys[0], p, t.uniques[c.keys[0]])
			return false
		}
	}
	return true
}

func join(all []packet) (text []byte) {
	for _, p := range all {
		text = append(text, p...)
	}
	return text
}

// isPacketStats: names with values, and one packet without either at the end.
func isPacketStats(reply []byte) bool {
	for {
		p, rest, ok := cutPacket(reply)
		if !ok || p.opcode() != opStat || p.status() != 0 || p.extras() != 0 || p.cas() != 0 {
			return false
		}
		if len(p.body()) == 0 {
			return len(rest) == 0
		}
		if p.keyLen() == 0 || p.keyLen() > len(p.body()) {
			return false
		}
		reply = rest
	}
}

func isPacketVersion(reply []byte) bool {
	p, rest, ok := cutPacket(reply)
	return ok && len(rest) == 0 && p.opcode() == opVersion && p.status() == 0 && p.keyLen() == 0 && p.extras() == 0 &&
		strings.HasPrefix(string(p.body()), "1.6.")
}
