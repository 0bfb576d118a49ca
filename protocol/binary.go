package protocol

import "encoding/binary"

// The binary protocol: packets of a head, of which a part is always there, and a value.
//
//	 0     1      2      4      5     6      8       12     16    24
//	┌─────┬──────┬──────┬──────┬─────┬──────┬───────┬──────┬──────┬────────┬─────┬───────┐
//	│magic│opcode│key   │extras│type │vbuck.│body   │opaque│unique│ extras │ key │ value │
//	│     │      │length│length│     │status│length │      │      │        │     │       │
//	└─────┴──────┴──────┴──────┴─────┴──────┴───────┴──────┴──────┴────────┴─────┴───────┘
//	                                                              └──── body length ─────┘
//
// Numbers are big-endian. A request's magic is 0x80, a reply's 0x81. Two bytes of a request name a
// vbucket, which does not matter here, and in a reply they are the status. A reply repeats opcode and
// opaque of its request, by which clients tell what is answered: quiet commands say nothing when
// they succeed, and quiet retrievals nothing when they miss.
//
// Source: memcached's protocol-binary.xml, and proto_bin.c where that is silent.

// MagicRequest is the first byte of a request, and of no line of text.
const MagicRequest = 0x80

const (
	magicReply = 0x81
	headMin    = 24      // bytes of a head without extras and key
	bodyMax    = 1 << 30 // Source: memcached's ITEM_SIZE_MAX_UPPER_LIMIT

	// NoInitial is the exptime of an incr or decr that creates nothing.
	NoInitial = 0xffffffff
)

// Tag is what a reply repeats of its request.
type Tag struct {
	Opcode uint8
	Opaque uint32
}

// Packet is the head of one request, cut up. Its Key points into the input and dies with it.
type Packet struct {
	Tag
	Op        Op
	Quiet     bool // success is not told, nor a miss of a retrieval
	ShowKey   bool // of retrievals: the reply has the key, that of a miss too
	ShowValue bool // of retrievals: touch shows only the flags

	Key     []byte // of stat: what is asked for; of SASL: the mechanism
	Value   int    // bytes that follow the head
	Unique  uint64 // 0: any version
	Flags   uint32
	Exptime uint32 // as sent; flush's delay
	Delta   uint64 // incr, decr
	Initial uint64
}

// command is what is known of an opcode.
type command struct {
	op     Op
	extras uint8 // length of the extras
	key    need
	value  bool // there may be one
	quiet  bool
	shows  shows
}

// need says whether a packet has a key.
type need uint8

const (
	keyless need = iota
	keyed
	either
)

// shows says what the reply to a retrieval has.
type shows uint8

const (
	showsFlags shows = iota
	showsValue
	showsKey // and the value
)

const (
	extrasStore = 8  // flags, exptime
	extrasCount = 20 // delta, initial, exptime
	extrasTouch = 4  // exptime
	extrasFlush = 4  // exptime; may be missing
	extrasMost  = extrasCount
)

// HeadMax is the longest head of a packet that is not refused for what its first 24 bytes say.
const HeadMax = headMin + extrasMost + KeyMax

// opcodes is everything that can be asked in packets.
var opcodes = [...]command{
	0x00: {OpGet, 0, keyed, false, false, showsValue},
	0x09: {OpGet, 0, keyed, false, true, showsValue},
	0x0c: {OpGet, 0, keyed, false, false, showsKey},
	0x0d: {OpGet, 0, keyed, false, true, showsKey},
	0x1c: {OpGat, extrasTouch, keyed, false, false, showsFlags}, // touch
	0x1d: {OpGat, extrasTouch, keyed, false, false, showsValue},
	0x1e: {OpGat, extrasTouch, keyed, false, true, showsValue},
	0x23: {OpGat, extrasTouch, keyed, false, false, showsKey},
	0x24: {OpGat, extrasTouch, keyed, false, true, showsKey},
	0x01: {OpSet, extrasStore, keyed, true, false, 0},
	0x11: {OpSet, extrasStore, keyed, true, true, 0},
	0x02: {OpAdd, extrasStore, keyed, true, false, 0},
	0x12: {OpAdd, extrasStore, keyed, true, true, 0},
	0x03: {OpReplace, extrasStore, keyed, true, false, 0},
	0x13: {OpReplace, extrasStore, keyed, true, true, 0},
	0x0e: {OpAppend, 0, keyed, true, false, 0},
	0x19: {OpAppend, 0, keyed, true, true, 0},
	0x0f: {OpPrepend, 0, keyed, true, false, 0},
	0x1a: {OpPrepend, 0, keyed, true, true, 0},
	0x04: {OpDelete, 0, keyed, false, false, 0},
	0x14: {OpDelete, 0, keyed, false, true, 0},
	0x05: {OpIncr, extrasCount, keyed, false, false, 0},
	0x15: {OpIncr, extrasCount, keyed, false, true, 0},
	0x06: {OpDecr, extrasCount, keyed, false, false, 0},
	0x16: {OpDecr, extrasCount, keyed, false, true, 0},
	0x07: {OpQuit, 0, keyless, false, false, 0},
	0x17: {OpQuit, 0, keyless, false, true, 0},
	0x08: {OpFlushAll, extrasFlush, keyless, false, false, 0},
	0x18: {OpFlushAll, extrasFlush, keyless, false, true, 0},
	0x0a: {OpNoop, 0, keyless, false, false, 0},
	0x0b: {OpVersion, 0, keyless, false, false, 0},
	0x10: {OpStats, 0, either, false, false, 0},
	0x20: {OpMechanisms, 0, keyless, false, false, 0},
	0x21: {OpAuth, 0, keyed, true, false, 0},
	0x22: {OpAuthStep, 0, keyed, true, false, 0},
}

// ParsePacket cuts the head of a packet off the input and tells how long it is: 0 says that it has
// not come whole. The error is a Refusal, or ErrHangUp for what is no packet.
//
//	Unknown       the head is 24 bytes, and all that follows is Value: to be read past
//	the others    nothing after the packet can be understood
func ParsePacket(in []byte, p *Packet) (head int, _ error) {
	if len(in) > 0 && in[0] != MagicRequest {
		return 1, ErrHangUp
	}
	if len(in) < headMin {
		return 0, nil
	}
	p.Opcode = in[1]
	keyLen, extras := int(binary.BigEndian.Uint16(in[2:])), int(in[4])
	body := int(binary.BigEndian.Uint32(in[8:]))
	p.Opaque, p.Unique = binary.BigEndian.Uint32(in[12:]), binary.BigEndian.Uint64(in[16:])
	var c command
	if int(p.Opcode) < len(opcodes) {
		c = opcodes[p.Opcode]
	}
	p.Op, p.Quiet, p.ShowKey, p.ShowValue = c.op, c.quiet, c.shows == showsKey, c.shows >= showsValue
	p.Key, p.Value = nil, body
	switch {
	case keyLen+extras > body:
		return headMin, BodyTooShort
	case body > bodyMax:
		return headMin, BodyTooLong
	case keyLen > KeyMax:
		return headMin, BadPacket
	case c.op == OpUnknown:
		return headMin, Unknown
	case c.fits(keyLen, extras, body-keyLen-extras):
	default:
		return headMin, BadPacket
	}
	head = headMin + extras + keyLen
	if len(in) < head {
		return 0, nil
	}
	p.Key, p.Value = in[headMin+extras:head], body-keyLen-extras
	p.Flags, p.Exptime = 0, 0
	switch ext := in[headMin:]; extras {
	case extrasStore:
		p.Flags, p.Exptime = binary.BigEndian.Uint32(ext), binary.BigEndian.Uint32(ext[4:])
	case extrasCount:
		p.Delta, p.Initial = binary.BigEndian.Uint64(ext), binary.BigEndian.Uint64(ext[8:])
		p.Exptime = binary.BigEndian.Uint32(ext[16:])
	case extrasTouch: // or extrasFlush
		p.Exptime = binary.BigEndian.Uint32(ext)
	}
	return head, nil
}

// fits tells whether a packet of these lengths is one of the command.
func (c *command) fits(key, extras, value int) bool {
	switch {
	case extras != int(c.extras) && !(c.op == OpFlushAll && extras == 0),
		c.key == keyless && key > 0,
		c.key == keyed && key == 0,
		!c.value && value > 0:
		return false
	}
	return true
}

// AppendPacketHead appends the first 24 bytes of a reply, whose extras, key and value follow.
func AppendPacketHead(out []byte, tag Tag, status Status, extras, key, value int, unique uint64) []byte {
	out = append(out, magicReply, tag.Opcode)
	out = binary.BigEndian.AppendUint16(out, uint16(key))
	out = append(out, byte(extras), 0)
	out = binary.BigEndian.AppendUint16(out, uint16(status))
	out = binary.BigEndian.AppendUint32(out, uint32(extras+key+value))
	out = binary.BigEndian.AppendUint32(out, tag.Opaque)
	return binary.BigEndian.AppendUint64(out, unique)
}

// AppendHit appends the beginning of a hit, which n bytes of value follow. key may be nil.
func AppendHit(out []byte, tag Tag, key []byte, flags uint32, n int, unique uint64) []byte {
	out = AppendPacketHead(out, tag, StatusOK, 4, len(key), n, unique)
	return append(binary.BigEndian.AppendUint32(out, flags), key...)
}

// AppendMiss appends a miss that tells of which key.
func AppendMiss(out []byte, tag Tag, key []byte) []byte {
	return append(AppendPacketHead(out, tag, StatusNotFound, 0, len(key), 0, 0), key...)
}

// AppendStatus appends a reply that is a status, and its text if that has one.
func AppendStatus(out []byte, tag Tag, status Status) []byte {
	return AppendStatusText(out, tag, status, statusTexts[status])
}

// AppendStatusText appends a reply that is a status, and a text.
func AppendStatusText(out []byte, tag Tag, status Status, text string) []byte {
	return append(AppendPacketHead(out, tag, status, 0, 0, len(text), 0), text...)
}

// AppendRefusal appends why something is not done.
func AppendRefusal(out []byte, tag Tag, why Refusal) []byte {
	status, text := why.Status()
	return AppendStatusText(out, tag, status, text)
}

// AppendDone appends a reply without a body.
func AppendDone(out []byte, tag Tag, unique uint64) []byte {
	return AppendPacketHead(out, tag, StatusOK, 0, 0, 0, unique)
}

// AppendCount appends the answer to incr and decr.
func AppendCount(out []byte, tag Tag, n, unique uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendPacketHead(out, tag, StatusOK, 0, 0, 8, unique), n)
}

// AppendPacketStat appends one of the replies to stat. The last has neither name nor value.
func AppendPacketStat(out []byte, tag Tag, name, value []byte) []byte {
	out = AppendPacketHead(out, tag, StatusOK, 0, len(name), len(value), 0)
	return append(append(out, name...), value...)
}

// Nameable tells whether lines can have a key, or a part of one: in packets any byte may come.
func Nameable(key []byte) bool {
	for _, c := range key {
		if c <= ' ' {
			return false
		}
	}
	return true
}
