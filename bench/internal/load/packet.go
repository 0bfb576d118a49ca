package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The binary protocol, as far as get and set go. Source: memcached's protocol_binary.h.
//
//	| magic 1 | opcode 1 | key length 2 | extras length 1 | type 1 | status 2 | body length 4 | opaque 4 | cas 8 |
//	  0         1          2              4                 5        6          8               12         16
//
// The body is extras, key, value. Requests have 0 where replies have the status. The opaque of ours is the low half of the
// key's number, and comes back in the reply.
const (
	packetHead   = 24
	packetAsks   = 0x80
	packetSays   = 0x81
	opcodeGet    = 0x00
	opcodeSet    = 0x01
	statusFine   = 0
	statusMissed = 1
)

// A packet is a reply under reception.
type packet struct {
	head [packetHead]byte
	got  int // of head
	skip int // bytes of the body that are no value
	left int // bytes of the value still to come
}

func opcodeOf(o op) byte {
	if o == get {
		return opcodeGet
	}
	return opcodeSet
}

// request writes one, the extras of a set being flags and exptime.
func (c *conn) request(t *thread, r request) {
	start := len(c.out)
	var head [packetHead]byte
	c.out = append(c.out, head[:]...)
	size := 0
	if r.op == set {
		size = t.sizes.size(t.dice, r.id)
		head[4] = 8
		c.out = binary.BigEndian.AppendUint32(append(c.out, 0, 0, 0, 0), uint32(t.exptime()))
	}
	at := len(c.out)
	c.out = t.keys.append(c.out, r.id)
	key := len(c.out) - at
	head[0], head[1] = packetAsks, opcodeOf(r.op)
	binary.BigEndian.PutUint16(head[2:], uint16(key))
	binary.BigEndian.PutUint32(head[8:], uint32(int(head[4])+key+size))
	binary.BigEndian.PutUint32(head[12:], uint32(r.id))
	copy(c.out[start:], head[:])
	if size > 0 {
		c.data(t, r.id, size)
	}
}

// takePackets understands replies, wherever the reads cut them.
func (t *thread) takePackets(c *conn, in []byte, now int64) error {
	p := &c.packet
	for {
		if p.got < packetHead {
			n := copy(p.head[p.got:], in)
			in = in[n:]
			if p.got += n; p.got < packetHead {
				return nil
			}
			if err := t.head(c); err != nil {
				return err
			}
		}
		n := min(p.skip, len(in))
		p.skip, in = p.skip-n, in[n:]
		n = min(p.left, len(in))
		if v := &c.value; n > 0 && v.want != nil {
			v.wrong = v.wrong || !bytes.Equal(v.want[:n], in[:n])
			v.want = v.want[n:]
		}
		p.left, in = p.left-n, in[n:]
		if p.skip+p.left > 0 {
			return nil
		}
		if c.value.wrong {
			t.complain("a value that is not its key's")
		}
		c.value = value{}
		p.got = 0
		t.done(c, &c.pend[c.head], now)
	}
}

// head reads what stands before the body. A status that is an error is an answer, counted.
func (t *thread) head(c *conn) error {
	if c.answered() {
		return errUnasked
	}
	p, h := &c.pend[c.head], c.packet.head[:]
	if h[0] != packetSays || h[1] != opcodeOf(p.op) || binary.BigEndian.Uint32(h[12:]) != uint32(p.id) {
		return outOfStep(h)
	}
	before := int(h[4]) + int(binary.BigEndian.Uint16(h[2:]))
	body := int(binary.BigEndian.Uint32(h[8:]))
	if body < before || body-before > max(t.longest, lineMax) {
		return fmt.Errorf("a body of %d bytes, %d of them before the value", body, before)
	}
	status := binary.BigEndian.Uint16(h[6:])
	c.packet.skip = body
	switch {
	case status == statusFine && p.op == get:
		c.packet.skip, c.packet.left = before, body-before
		return t.expect(c, p, p.id, uint64(body-before))
	case status == statusFine:
		p.found = 1
	case status != statusMissed || p.op != get:
		t.complain(fmt.Sprintf("status %#02x", status))
	}
	return nil
}
