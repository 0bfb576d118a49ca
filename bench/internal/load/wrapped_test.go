package load

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// talkPacket answers a get or a set of the binary protocol.
func (f *fake) talkPacket(in *bufio.Reader, out *bufio.Writer) bool {
	var head [packetHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return false
	}
	body := make([]byte, binary.BigEndian.Uint32(head[8:]))
	if _, err := io.ReadFull(in, body); err != nil {
		return false
	}
	before := int(head[4]) + int(binary.BigEndian.Uint16(head[2:]))
	key := string(body[head[4]:before])
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := ""
	head[0], head[4] = packetSays, 0
	binary.BigEndian.PutUint16(head[2:], 0)
	switch value, known := f.items[key]; {
	case head[1] == opcodeSet:
		f.items[key] = string(body[before:])
	case known:
		head[4], answer = 4, "\x00\x00\x00\x00"+value
	default:
		head[7], answer = statusMissed, "Not found"
	}
	binary.BigEndian.PutUint32(head[8:], uint32(len(answer)))
	reply := string(head[:]) + answer
	if f.bend != nil {
		reply = f.bend(reply)
	}
	_, _ = out.WriteString(reply)
	return true
}

// serveTLS is serve behind TLS. It wants a handshake as tlsConfig promises it.
func serveTLS(t *testing.T, f *fake) (addr string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13}
	f.items, f.uniques = map[string]string{}, map[string]int{}
	return listen(t, func(raw net.Conn) {
		c := tls.Server(raw, conf)
		if err := c.Handshake(); err != nil {
			t.Errorf("the server's handshake: %v", err)
		} else if state := c.ConnectionState(); state.DidResume || state.CurveID != tls.X25519 {
			t.Errorf("a handshake with %v, resumed %t", state.CurveID, state.DidResume)
		}
		f.talk(c)
	})
}

func TestLoadsWrapped(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*Spec)
		want func(r Result) bool
	}{
		{"binary", func(s *Spec) { s.Binary = true }, func(r Result) bool { return r.Hits+r.Stored == 600 && r.Checked == r.Hits }},
		{"binary misses", func(s *Spec) { s.Binary, s.Mix, s.Populate = true, "get", 25 },
			func(r Result) bool { return r.Hits > 100 && r.Misses > 100 && r.Hits+r.Misses == 600 }},
		{"binary pipelines", func(s *Spec) { s.Binary, s.Pipeline = true, 9 }, func(r Result) bool { return r.Hits+r.Stored == 600 }},
		{"binary, large", func(s *Spec) { s.Binary, s.Size, s.Keys, s.Ops, s.Mix = true, "0-1000000", 3, 12, "get,set" },
			func(r Result) bool { return r.Hits+r.Stored == 12 }},
		{"TLS", func(s *Spec) { s.TLS = true }, func(r Result) bool { return r.Hits+r.Stored == 600 && r.Checked == r.Hits }},
		{"TLS pipelines", func(s *Spec) { s.TLS, s.Pipeline, s.Multi, s.Mix = true, 7, 9, "mget,set" },
			func(r Result) bool { return r.Ops == 600 && r.Checked == r.Hits }},
		{"TLS, large", func(s *Spec) { s.TLS, s.Size, s.Keys, s.Ops, s.Mix = true, "1000000", 3, 12, "get,set" },
			func(r Result) bool { return r.Hits+r.Stored == 12 && r.Checked == r.Hits }},
		{"TLS and binary", func(s *Spec) { s.TLS, s.Binary, s.Pipeline = true, true, 5 },
			func(r Result) bool { return r.Hits+r.Stored == 600 && r.Checked == r.Hits }},
		{"handshakes", func(s *Spec) { s.TLS, s.Mix, s.Ops = true, "handshake", 30 }, func(r Result) bool { return r.Ops == 30 }},
		{"handshakes at a rate", func(s *Spec) {
			s.TLS, s.Mix, s.Ops, s.Rate, s.Seconds = true, "handshake", 0, 100, 200*time.Millisecond
		},
			func(r Result) bool { return r.Ops == 20 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{}
			s := spec("")
			c.with(&s)
			if s.Addr = serve(t, f); s.TLS {
				s.Addr = serveTLS(t, f)
			}
			r, err := Run(s)
			if err != nil || r.Errors+r.Lost > 0 || !c.want(r) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestNoticesWhatIsWrongInPackets(t *testing.T) {
	for name, bend := range map[string]func(reply []byte) []byte{
		"another opaque": func(reply []byte) []byte { reply[15] ^= 1; return reply },
		"another opcode": func(reply []byte) []byte { reply[1] ^= 4; return reply },
		"no magic":       func(reply []byte) []byte { reply[0] = packetAsks; return reply },
		"a status":       func(reply []byte) []byte { reply[7] = 0x82; return reply },
		"a lying length": func(reply []byte) []byte { reply[8] = 0x7f; return reply },
		"a flipped bit":  func(reply []byte) []byte { reply[len(reply)-1] ^= 1; return reply },
		"two replies":    func(reply []byte) []byte { return append(reply, reply...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(serve(t, &fake{bend: func(reply string) string {
				if len(reply) == packetHead { // to a set
					return reply
				}
				return string(bend([]byte(reply)))
			}}))
			s.Binary, s.Mix = true, "get"
			r, err := Run(s)
			if err != nil || r.Errors == 0 {
				t.Errorf("nothing noticed: %+v, %v", r, err)
			}
		})
	}
}

func TestAServerWithoutTLSIsNotMeasured(t *testing.T) {
	s := spec(listen(t, func(c net.Conn) { _ = c.Close() }))
	s.TLS = true
	if r, err := Run(s); err == nil {
		t.Errorf("%+v", r)
	}
	s.Mix = "handshake"
	if r, err := Run(s); err != nil || r.Ops > 0 || r.Errors == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatDoesNotGoTogether(t *testing.T) {
	for _, args := range []string{"-mix handshake", "-tls -mix handshake,get", "-binary -mix incr", "-tls -reconnect 1", "-binary -reconnect 1", "-tls -idle 1"} {
		if err := Main("load", strings.Fields(args), io.Discard, io.Discard); err == nil {
			t.Errorf("%s passed", args)
		}
	}
}
