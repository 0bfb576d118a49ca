package conn

import (
	"bytes"
	"context"
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

	"golang.org/x/sys/unix"

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
	if took := time.Since(began); took >= shakeStill/2 {
		t.Errorf("the end waited for them, %v", took)
	}
	if n := h.conns.Numbers().Current; n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := h.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// Who has said nothing holds nothing, and is in nobody's way.
func TestTLSSilentClients(t *testing.T) {
	h := start(t, options{tls: true, memory: 4 * shakeHolds}) // there is one place
	for range 100 {
		c, err := net.Dial("tcp", h.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, "they are there", func() bool { return h.conns.Numbers().Current == 100 })
	dial(t, h).ping()
	if n := h.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// However many come at once, and however few places there are: nobody is turned away, nor is who is
// served already.
func TestTLSACrowdComesAtOnce(t *testing.T) {
	h := start(t, options{tls: true, memory: 8 * shakeHolds})
	inside := dial(t, h)
	reply := inside.fill("k", 100_000)
	var all sync.WaitGroup
	for range 300 {
		c := dial(t, h)
		all.Go(func() {
			if err := ask(c, "mn\r\n", "MN\r\n"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 {
		inside.say("get k\r\n")
		inside.hear(reply)
	}
	all.Wait()
	if n := h.counted(stats.BudgetDropped) + h.counted(stats.SSLHandshakeErrors); n != 0 {
		t.Errorf("%d have gone", n)
	}
	if _, peak := h.conns.Memory(); peak > 8*shakeHolds {
		t.Errorf("%d bytes were held", peak)
	}
}

// Who stands still in the midst of it leaves its place to who waits for one.
func TestTLSHandshakesGiveWay(t *testing.T) {
	h := start(t, options{tls: true, memory: 4 * shakeHolds})
	c, err := net.Dial("tcp", h.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = c.Write([]byte("\x16\x03\x01\x02\x00"))
	eventually(t, "it has its place", func() bool { return h.holds() == shakeHolds })
	dial(t, h).ping()
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

// What a handshake makes us hold is bounded, and counted as it comes.
func TestTLSHandshakesAreBounded(t *testing.T) {
	h := start(t, options{tls: true})
	c, err := net.Dial("tcp", h.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	hello := "\x01\x00\xff\xfb" + strings.Repeat("x", 65531) // of 65,531 bytes
	record := func(text string) string {
		return "\x16\x03\x01" + string([]byte{byte(len(text) >> 8), byte(len(text))}) + text
	}
	_, _ = io.WriteString(c, record(hello[:10_000]))
	eventually(t, "it is counted", func() bool { return h.holds() > shakeHolds+2*10_000 })
	for cut := hello[10_000:]; len(cut) > 0; cut = cut[min(len(cut), 10_000):] {
		_, _ = io.WriteString(c, record(cut[:min(len(cut), 10_000)])) // it may be closed by then
	}
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if _, peak := h.conns.Memory(); peak > shakeHolds+2*shakeBytes {
		t.Errorf("%d bytes were held", peak)
	}
	eventually(t, "nothing is held", func() bool { return h.holds() == 0 })
}

// A graceful end does not wait for who has asked nothing yet.
func TestTLSDrainDoesNotWaitForHandshakes(t *testing.T) {
	h := start(t, options{tls: true})
	for _, text := range []string{"", "\x16\x03\x01\x02\x00"} {
		c, err := net.Dial("tcp", h.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, text)
	}
	eventually(t, "they are there", func() bool { return h.conns.Numbers().Current == 2 && h.holds() == shakeHolds })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.conns.Drain(ctx)
	if ctx.Err() != nil {
		t.Error("it waited")
	}
}

// What the client has sent last is confirmed at once: many wait for that with their first request.
func TestTLSFirstRequestDoesNotWait(t *testing.T) {
	h := start(t, options{tls: true})
	s := dial(t, h).served()
	if quick, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK); err != nil || quick != 1 {
		t.Errorf("TCP_QUICKACK is %d, %v", quick, err)
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
