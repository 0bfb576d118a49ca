package protocol

import (
	"encoding/binary"
	"testing"
)

// The picture in binary.go, in bytes: a set of hello under key, with flags 7, for 60 seconds.
var setPacket = []byte("\x80\x01\x00\x03\x08\x00\x00\x00\x00\x00\x00\x10\xde\xad\xbe\xef\x00\x00\x00\x00\x00\x00\x00\x2a" +
	"\x00\x00\x00\x07\x00\x00\x00\x3c" + "key" + "hello")

func TestParsePacket(t *testing.T) {
	var p Packet
	for n := range 24 + 8 + 3 {
		if head, err := ParsePacket(setPacket[:n], &p); head != 0 || err != nil {
			t.Fatalf("%d bytes: head %d, %v", n, head, err)
		}
	}
	head, err := ParsePacket(setPacket, &p)
	if err != nil || head != 35 || p.Op != OpSet || p.Opcode != 1 || p.Opaque != 0xdeadbeef || p.Unique != 42 ||
		p.Flags != 7 || p.Exptime != 60 || string(p.Key) != "key" || p.Value != 5 || p.Quiet {
		t.Errorf("head %d, %v, %+v", head, err, p)
	}
	// Nothing of it is left for the next.
	flush := []byte("\x80\x08" + string(make([]byte, 22)))
	if head, err := ParsePacket(flush, &p); err != nil || head != 24 || p.Op != OpFlushAll || p.Exptime != 0 || p.Flags != 0 || len(p.Key) > 0 || p.Value != 0 {
		t.Errorf("head %d, %v, %+v", head, err, p)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = ParsePacket(setPacket, &p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReplyPackets(t *testing.T) {
	tag := Tag{Opcode: 0x0c, Opaque: 0xdeadbeef}
	const want = "\x81\x0c\x00\x03\x04\x00\x00\x00\x00\x00\x00\x0c\xde\xad\xbe\xef\x00\x00\x00\x00\x00\x00\x00\x2a" +
		"\x00\x00\x00\x07" + "key" + "hello"
	if got := append(AppendHit(nil, tag, []byte("key"), 7, 5, 42), "hello"...); string(got) != want {
		t.Errorf("%q", got)
	}
	const refused = "\x81\x0c\x00\x00\x00\x00\x00\x03\x00\x00\x00\x0a\xde\xad\xbe\xef\x00\x00\x00\x00\x00\x00\x00\x00Too large."
	if got := AppendRefusal(nil, tag, TooLarge); string(got) != refused {
		t.Errorf("%q", got)
	}
}

// Whatever the packet, ParsePacket reads nothing beyond it, and what it lets through is what its
// opcode has: a key that a store can take, and a value that a server can wait for.
func FuzzParsePacket(f *testing.F) {
	f.Add(setPacket)
	for opcode := range opcodes {
		p := []byte(string(setPacket))
		p[1] = byte(opcode)
		f.Add(p)
	}
	for _, lengths := range [][3]uint32{{0xffff, 0xff, 0xffffffff}, {1, 0, 0}, {3, 8, 10}, {250, 8, 1 << 30}, {251, 8, 300}, {0, 20, 20}, {1, 20, 1 << 31}} {
		p := []byte(string(setPacket))
		binary.BigEndian.PutUint16(p[2:], uint16(lengths[0]))
		p[4] = byte(lengths[1])
		binary.BigEndian.PutUint32(p[8:], lengths[2])
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var p, again Packet
		head, err := ParsePacket(in[:len(in):len(in)], &p)
		if head < 0 || head > len(in) || head > HeadMax || p.Value < 0 {
			t.Fatalf("head %d of %d, value %d", head, len(in), p.Value)
		}
		switch {
		case head == 0:
			if err != nil || len(in) >= HeadMax {
				t.Fatalf("%d bytes are no head: %v", len(in), err)
			}
			return
		case err != nil:
			return
		}
		c := opcodes[p.Opcode]
		if len(p.Key) > KeyMax || p.Value > 0 && !c.value || len(p.Key) == 0 && c.key == keyed ||
			head+p.Value != 24+int(binary.BigEndian.Uint32(in[8:])) {
			t.Errorf("%q: %+v", in, p)
		}
		// The same head alone is the same packet; less of it is none yet.
		if n, err := ParsePacket(in[:head], &again); n != head || err != nil || again.Tag != p.Tag || string(again.Key) != string(p.Key) {
			t.Errorf("%q: %d, %v, %+v", in, n, err, again)
		}
		if n, err := ParsePacket(in[:head-1], &again); head > 24 && (n != 0 || err != nil) {
			t.Errorf("%q: %d, %v without its last byte", in, n, err)
		}
	})
}
