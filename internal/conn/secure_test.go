package conn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
)

// overTLS has all tests of this package, but those of unix sockets, talk by TLS.
var overTLS = flag.Bool("tls", false, "talk by TLS")

// testTLS is a server's configuration, with a certificate that nobody can verify.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:                  tls.VersionTLS12,
		DynamicRecordSizingDisabled: true,
	}
})

// socketOf is the socket of a client, be what it says encrypted or not.
func socketOf(c net.Conn) *net.TCPConn {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	return c.(*net.TCPConn)
}

// withRecords is a budget for so many clients who may all be in the middle of a record of TLS: their
// parts of records are held too.
func withRecords(budget int64, clients int) int64 {
	if *overTLS {
		budget += int64(clients) * recordBuffer
	}
	return budget
}

// dribble is a socket that sends each byte by itself.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (n int, err error) {
	for ; n < len(p) && err == nil; n++ {
		_, err = d.Conn.Write(p[n : n+1])
	}
	return n, err
}

// dialTLS makes a client with a configuration of its own, over a socket that is made of the usual
// one.
func dialTLS(t testing.TB, h *fixture, config *tls.Config, over func(net.Conn) net.Conn) *client {
	t.Helper()
	socket, err := net.Dial("tcp", h.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(4 * patience))
	config.InsecureSkipVerify = true
	return clientOf(t, h, tls.Client(over(socket), config))
}

func itself(c net.Conn) net.Conn { return c }

// What comes byte by byte, handshake and records, is understood.
func TestTLSByteByByte(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			h := start(t, options{tls: true})
			c := dialTLS(t, h, &tls.Config{MinVersion: version, MaxVersion: version},
				func(c net.Conn) net.Conn { return dribble{c} })
			value := text(1, 20_000)
			c.say("set k 0 0 20000\r\n" + value + "\r\n")
			c.hear("STORED\r\n")
			c.say("get k\r\nmn\r\n")
			c.hear("VALUE k 0 20000\r\n" + value + "\r\nEND\r\nMN\r\n")
		})
	}
}

// Who has said that no more will come gets all replies, and then the same from us.
func TestTLSEndsOnBothSides(t *testing.T) {
	h := start(t, options{tls: true})
	c := slow(t, h)
	reply := c.fill("k", 500_000)
	c.say("get k\r\nmn\r\n")
	c.halfClose()
	c.hear(reply + "MN\r\n")
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || err != io.EOF { // and not that it was cut off
		t.Errorf("read %d bytes, %v", n, err)
	}
	c = dial(t, h)
	c.say("mn\r\nquit\r\n")
	c.hear("MN\r\n")
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after quit: read %d bytes, %v", n, err)
	}
}

// Whoever breaks the rules is told so and closed; what came before is served. Nobody else notices.
func TestTLSBrokenRules(t *testing.T) {
	h := start(t, options{tls: true})
	other := dial(t, h)
	other.ping()

	c := dial(t, h)
	c.ping()
	c.say("set k 0 0 1\r\nv\r\n")
	c.hear("STORED\r\n")
	if _, err := socketOf(c.Conn).Write([]byte("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.r.ReadByte(); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("heard %v", err)
	}
	eventually(t, "it is counted", func() bool { return h.counted(stats.SSLProtoErrors) == 1 })

	plain, err := net.Dial("tcp", h.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(patience))
	_, _ = plain.Write([]byte("get k\r\n"))
	if text, _ := io.ReadAll(plain); bytes.Contains(text, []byte("VALUE")) || bytes.Contains(text, []byte("END")) {
		t.Errorf("served %q without TLS", text)
	}
	eventually(t, "that is counted", func() bool { return h.counted(stats.SSLHandshakeErrors) == 1 })
	other.ping()
	eventually(t, "they are gone", func() bool { return h.conns.Numbers().Current == 1 })
}

// Those who begin to shake hands and go no further hold nobody up: not the others, and not the end.
func TestTLSHandshakesThatStandStill(t *testing.T) {
	h := start(t, options{tls: true})
	for range 50 {
		c, err := net.Dial("tcp", h.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("\x16\x03\x01\x02\x00"))
	}
	eventually(t, "they are there", func() bool { return h.conns.Numbers().Current == 50 && h.holds() == 50*shakeHolds })
	dial(t, h).ping()
	began := time.Now()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= shakeWithin/2 {
		t.Errorf("the end waited for them, %v", took)
	}
	if n := h.conns.Numbers().Current; n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := h.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// They go when others need the memory, those who have stood still the longest, like any others.
func TestTLSHandshakesGiveWay(t *testing.T) {
	h := start(t, options{tls: true, clock: aClock(), memory: 4 * shakeHolds})
	var crowd []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", h.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		crowd = append(crowd, c)
	}
	eventually(t, "they are there", func() bool { return h.holds() == 5*shakeHolds })
	h.clock.Set(h.clock.Now() + stillAfter)
	dial(t, h).ping()
	for _, c := range crowd {
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	}
	if n := h.counted(stats.BudgetDropped); n != 5 {
		t.Errorf("%d have gone", n)
	}
}

// The buffers that a large record needs are not each connection's for good.
func TestTLSIdleConnectionsAreSmall(t *testing.T) {
	if rawInput == 0 {
		t.Fatal("crypto/tls's buffer cannot be reached")
	}
	h := start(t, options{tls: true, loops: 1})
	const crowd = 100
	value := "set k 0 0 16000\r\n" + strings.Repeat("v", 16000) + "\r\n"
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	dial(t, h).ping() // the loop has its buffers
	before := heap()
	var clients []*client
	for range crowd {
		c := dial(t, h)
		c.say(value)
		c.hear("STORED\r\n")
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.served().onLoop(t, func() {
			if x := c.served().secure; x.kept() > 1<<10 {
				t.Errorf("%d bytes are kept", x.kept())
			}
		})
	}
	t.Logf("%d bytes of heap for both ends of each connection", (heap()-before)/crowd)
	if n := h.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	runtime.KeepAlive(clients)
}

// A mistake of ours in a handshake costs that client its connection.
func TestTLSPanicInAHandshake(t *testing.T) {
	config := testTLS().Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "a.mistake" {
			panic("planted")
		}
		return nil, nil
	}
	var log notes
	h := start(t, options{tls: true, config: config, verbosity: 1, log: &log})
	for range 3 { // more than may compute at the same time
		c := dialTLS(t, h, &tls.Config{ServerName: "a.mistake"}, itself)
		if _, err := c.r.ReadByte(); err == nil {
			t.Error("it is served")
		}
	}
	dial(t, h).ping()
	eventually(t, "they are counted", func() bool { return h.counted(stats.ConnPanics) == 3 && h.conns.Numbers().Current == 1 })
	if !strings.Contains(log.String(), "a mistake of ours in github.com/gomemd/gomemd/internal/conn.TestTLSPanicInAHandshake") {
		t.Error(log.String())
	}
}
