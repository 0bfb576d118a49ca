package server

import (
	"encoding/binary"
	"strings"
	"testing"
)

// request is a packet, and reply one of those that come back.
func request(opcode byte, extras, key, value string) string {
	return packet(0x80, opcode, extras, key, value)
}
func reply(opcode byte, extras, key, value string) string {
	return packet(0x81, opcode, extras, key, value)
}

func packet(magic, opcode byte, extras, key, value string) string {
	p := binary.BigEndian.AppendUint16([]byte{magic, opcode}, uint16(len(key)))
	p = append(p, byte(len(extras)), 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, uint32(len(extras)+len(key)+len(value)))
	return string(p) + "\x00\x00\x00\x01" + strings.Repeat("\x00", 8) + extras + key + value
}

const zeros = "\x00\x00\x00\x00"

// Large values of packets come through sockets whole, in pipelines too. Without uniques replies are
// known to the byte.
func TestLargeValuesInPackets(t *testing.T) {
	c := dial(t, startServer(t, Options{Listen: []string{"127.0.0.1:0"}, DisableCAS: true, ItemMax: 4 << 20}))
	large, larger := strings.Repeat("0123456789", 10_000), strings.Repeat("abcdefghij", 200_000)
	for range 5 {
		c.say(request(0x01, zeros+zeros, "a", large) + request(0x11, zeros+zeros, "b", larger) + request(0x01, zeros+zeros, "c", "small") + request(0x0a, "", "", ""))
		c.hear(reply(0x01, "", "", "") + reply(0x01, "", "", "") + reply(0x0a, "", "", ""))
		c.say(request(0x0d, "", "a", "") + request(0x0d, "", "none", "") + request(0x09, "", "b", "") + request(0x0d, "", "c", "") + request(0x0a, "", "", ""))
		c.hear(reply(0x0d, zeros, "a", large) + reply(0x09, zeros, "", larger) + reply(0x0d, zeros, "c", "small") + reply(0x0a, "", "", ""))
	}
	c.say(request(0x07, "", "", "") + request(0x0a, "", "", ""))
	c.hear(reply(0x07, "", "", ""))
	c.hearEnd()
}

// A listener lets its clients speak what it says, and with SASL both after a login of their own.
func TestProtocols(t *testing.T) {
	version := reply(0x0b, "", "", versionText)
	for _, row := range []struct {
		protocol      Protocol
		text, packets bool
	}{{Negotiated, true, true}, {ASCII, true, false}, {Binary, false, true}} {
		t.Run(row.protocol.String(), func(t *testing.T) {
			srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, Protocol: row.protocol})
			for said, allowed := range map[string]bool{"mn\r\n": row.text, request(0x0b, "", "", ""): row.packets} {
				c := dial(t, srv)
				c.say(said)
				switch {
				case !allowed:
					c.hearEnd()
				case said == "mn\r\n":
					c.hear("MN\r\n")
				default:
					c.hear(version)
				}
			}
		})
	}
}

func TestLoginInPackets(t *testing.T) {
	srv := startServer(t, Options{Listen: []string{"127.0.0.1:0"}, SASL: true, AuthFile: passwordFile(t, "alice:s3cret\n")})
	c := dial(t, srv)
	c.say(request(0x20, "", "", "") + request(0x21, "", "PLAIN", "\x00alice\x00s3cret") + request(0x0a, "", "", ""))
	c.hear(reply(0x20, "", "", "PLAIN") + reply(0x21, "", "", "Authenticated") + reply(0x0a, "", "", ""))
	c = dial(t, srv)
	c.say("get k\r\n" + login("alice", "s3cret") + "get k\r\n")
	c.hear("CLIENT_ERROR unauthenticated\r\nSTORED\r\nEND\r\n")
	c = dial(t, srv)
	c.say(request(0x0a, "", "", ""))
	c.hear(strings.Replace(reply(0x0a, "", "", "Auth failure."), "\x00\x00\x00\x00\x00\x0d", "\x00\x20\x00\x00\x00\x0d", 1))
	c.hearEnd()
}
