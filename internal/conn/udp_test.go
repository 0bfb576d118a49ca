package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// sender is a client that sends datagrams. Any of them, there or back, may be lost or late: so all
// that these tests ask for may be asked for again.
type sender struct {
	t testing.TB
	*net.UDPConn
	id uint16 // of the last request
}

// sends makes a client of the fixture's UDP socket.
func sends(t testing.TB, h *fixture) *sender {
	t.Helper()
	addrs := h.conns.Addrs()
	return sendsTo(t, addrs[len(addrs)-1].(*net.UDPAddr))
}

func sendsTo(t testing.TB, addr *net.UDPAddr) *sender {
	t.Helper()
	c, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadBuffer(4 << 20) // or as much as the system gives
	return &sender{t: t, UDPConn: c}
}

// send sends a request, and gives its id.
func (c *sender) send(request string) uint16 {
	c.t.Helper()
	c.id++
	c.sendRaw(binary.BigEndian.AppendUint16(nil, c.id), "\x00\x00\x00\x01\x00\x00"+request)
	return c.id
}

func (c *sender) sendRaw(head []byte, tail string) {
	c.t.Helper()
	if _, err := c.Write(append(head, tail...)); err != nil {
		c.t.Fatal(err)
	}
}

// datagram is one that has come.
type datagram struct {
	id, sequence, total uint16
	payload             string
}

// receive gives the next, unless none comes in the time.
func (c *sender) receive(within time.Duration) (d datagram, came bool) {
	c.t.Helper()
	in := make([]byte, 2000)
	_ = c.SetReadDeadline(time.Now().Add(within))
	n, err := c.Read(in)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return d, false
	case err != nil:
		c.t.Fatal(err)
	case n <= udpHeader || n > 1400 || binary.BigEndian.Uint16(in[6:]) != 0:
		c.t.Fatalf("not a datagram of a reply: %q", in[:n])
	}
	return datagram{binary.BigEndian.Uint16(in), binary.BigEndian.Uint16(in[2:]), binary.BigEndian.Uint16(in[4:]),
		string(in[udpHeader:n])}, true
}

// asks sends a request and gives the replies to its commands, as far as they have come when a later
// request is answered. Each is one datagram long.
func (c *sender) asks(request string) (replies []string) {
	c.t.Helper()
	id := c.send(request)
	last := c.send("mn\r\n")
	for {
		d, came := c.receive(time.Second)
		switch {
		case !came: // lost, or late
			last = c.send("mn\r\n")
		case d.id == last:
			return replies
		case d.id == id:
			if d.total != 1 || d.sequence != 0 {
				c.t.Errorf("%.100q: datagram %d of %d", request, d.sequence, d.total)
			}
			replies = append(replies, d.payload)
		}
	}
}

// expect asks until all replies have come, and no others.
func (c *sender) expect(request string, want ...string) {
	c.t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got = c.asks(request); slices.Equal(got, want) {
			return
		}
		for _, reply := range got {
			if !slices.Contains(want, reply) || len(got) > len(want) {
				c.t.Fatalf("%.100q: heard %.300q, want %.300q", request, got, want)
			}
		}
	}
	c.t.Fatalf("%.100q: heard %.300q, want %.300q", request, got, want)
}

// message asks until each datagram of the one reply has come at least once.
func (c *sender) message(request string) string {
	c.t.Helper()
	var parts []string
	have := 0
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for id := c.send(request); ; {
			d, came := c.receive(time.Second)
			if !came {
				break
			}
			if d.id != id {
				continue
			}
			if parts == nil {
				parts = make([]string, d.total)
			}
			if int(d.total) != len(parts) || int(d.sequence) >= len(parts) {
				c.t.Fatalf("datagram %d of %d, which were %d", d.sequence, d.total, len(parts))
			}
			if parts[d.sequence] == "" {
				have++
			}
			if parts[d.sequence] = d.payload; have == len(parts) {
				return strings.Join(parts, "")
			}
		}
	}
	c.t.Fatalf("%.100q: %d of %d datagrams have come", request, have, len(parts))
	return ""
}

func TestUDPConversations(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c := sends(t, h)
	block, badLine := strings.Repeat("x", 1000), "CLIENT_ERROR bad command line format\r\n"
	for _, row := range []struct {
		request string
		replies []string // one for each command that has one
	}{
		{"get a\r\n", []string{"END\r\n"}},
		{"set a 7 0 1\r\nA\r\n", []string{"STORED\r\n"}},
		{"get a\r\n", []string{"VALUE a 7 1\r\nA\r\nEND\r\n"}},
		{"get a\n", []string{"VALUE a 7 1\r\nA\r\nEND\r\n"}},
		{"get a b a\r\n", []string{"VALUE a 7 1\r\nA\r\nVALUE a 7 1\r\nA\r\nEND\r\n"}}, // a multiget has one
		{"set a 0 0 1\r\nB\r\nget a\r\nmn\r\nbogus\r\n", []string{"STORED\r\n", "VALUE a 0 1\r\nB\r\nEND\r\n", "MN\r\n", "ERROR\r\n"}},
		{"set a 0 0 1 noreply\r\nC\r\nget a\r\n", []string{"VALUE a 0 1\r\nC\r\nEND\r\n"}},
		{"set a 0 0 1 noreply\r\nD\r\n", nil},
		{"mg zz v\r\nmg a v q\r\nmg zz v q\r\nmn\r\n", []string{"EN\r\n", "VA 1\r\nD\r\n", "MN\r\n"}},
		{strings.Repeat("mn\r\n", 100), slices.Repeat([]string{"MN\r\n"}, 100)}, // more than -R

		// What is not whole is not there.
		{"get a", nil},
		{"get a\r\nget", []string{"VALUE a 0 1\r\nD\r\nEND\r\n"}},
		{"a\r\n", []string{badLine}}, // nothing of the last one
		{"set b 0 0 1000\r\n" + block[:999], nil},
		{"x\r\nget b\r\n", []string{badLine, "END\r\n"}},
		{"set b 0 0 9000\r\n" + block, nil},
		{"set b 0 0 900000\r\n" + block, nil},
		{"set b 0 0 9000000\r\n" + block, nil},
		{"get b\r\n", []string{"END\r\n"}},
		{"set b 0 0 1\r\nxyz\r\nget b\r\n", []string{"CLIENT_ERROR bad data chunk\r\n", badLine, "END\r\n"}},
		{"get " + strings.Repeat("k", 3000), nil},
		{"k" + strings.Repeat("k", 3000) + "\r\nget b\r\n", []string{"ERROR\r\n", "END\r\n"}},

		// What would have gone on with a connection does not.
		{"get b\r\nquit\r\nget b\r\n", []string{"END\r\n"}},
		{"get b\r\n", []string{"END\r\n"}},
		{"watch\r\n", []string{"CLIENT_ERROR watch commands not allowed\r\n"}},
		{"lru_crawler metadump all\r\n", []string{"ERROR metadump not allowed\r\n"}},
		{"lru_crawler mgdump all\r\n", []string{"ERROR key dump not allowed\r\n"}},
		{"stats cachedump 1 0\r\n", []string{"ITEM a [1 b; 0 s]\r\nEND\r\n"}},
		{"shutdown\r\n", []string{"SERVER_ERROR: shutdown not enabled\r\n"}},

		{"ERROR\r\n", nil}, // somebody's reply
	} {
		c.expect(row.request, row.replies...)
	}
	if n := dial(t, h).stat("udp_dropped"); n != "0" {
		t.Errorf("udp_dropped %s", n)
	}
}

// Two servers of whom somebody sends one a datagram in the other's name have little to say to each
// other.
func TestTwoServersFallSilent(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c := sends(t, h)
	for _, first := range []string{
		"get a\r\n", "set a 0 0 1\r\nA\r\n", "set a 0 0 1\r\nABC\r\n", "get a\r\n", "mn\r\n", "mg a v\r\n", "mg no v\r\n", "incr a 1\r\n",
		"bogus\r\n", "x\r\n", "\r\n", "version\r\n", "verbosity\r\n", "watch\r\n", "lru_crawler metadump all\r\n", "stats sizes\r\n",
	} {
		said := first
		for n := 0; said != ""; n++ {
			if said = strings.Join(c.asks(said), ""); n == 3 {
				t.Errorf("after %q the %d. reply is %q", first, n+1, said)
				break
			}
		}
	}
}

func TestUDPHeaders(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	other := sends(t, h)
	for request, want := range map[string]bool{
		"\xA7\x01\x00\x00\x00\x01\x00\x00mn\r\n": true,
		"\xA7\x01\x00\x05\x00\x01\x00\x00mn\r\n": true, // its number does not matter …
		"\xA7\x01\x00\x00\x00\x01\xff\xffmn\r\n": true, // … nor what is reserved
		"\xA7\x01\x00\x00\x00\x02\x00\x00mn\r\n": false,
		"\xA7\x01\x00\x00\x00\x00\x00\x00mn\r\n": false,
		"\xA7\x01\x00\x00\x01\x01\x00\x00mn\r\n": false,
		"\xA7\x01\x00\x00\x00\x01\x00\x00":       false,
		"\xA7\x01\x00\x00\x00\x01\x00":           false,
		"":                                       false,
	} {
		c := sends(t, h)
		answered := false
		for end := time.Now().Add(patience); !answered && time.Now().Before(end); {
			c.sendRaw(nil, request)
			other.expect("mn\r\n", "MN\r\n") // so that one before has been served, unless it is lost
			var d datagram
			if d, answered = c.receive(50 * time.Millisecond); answered && d != (datagram{0xA701, 0, 1, "MN\r\n"}) {
				t.Errorf("%q: %+v", request, d)
			}
			if !want {
				break
			}
		}
		if answered != want {
			t.Errorf("%q: answered %v", request, answered)
		}
	}
}

func TestALongReplyTakesManyDatagrams(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0", store: storage.Options{ItemMax: 2 << 20}})
	c, stores := sends(t, h), dial(t, h)
	for _, size := range []int{
		udpPayload - len("VALUE k 0 1367\r\n\r\nEND\r\n"), // one, full
		udpPayload - len("VALUE k 0 1367\r\n\r\nEND\r\n") + 1,
		5_000, 70_000, 1_000_000,
	} {
		want := stores.fill("k", size)
		if got := c.message("get k\r\n"); got != want {
			t.Errorf("a value of %d bytes: heard %d, want %d", size, len(got), len(want))
		}
	}
}

// A multiget has one reply, however many turns it takes.
func TestAMultigetOverUDP(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c, stores := sends(t, h), dial(t, h)
	var request, want strings.Builder
	request.WriteString("get")
	for i := range 4_000 {
		key := "key" + strconv.Itoa(i)
		if i%5 == 0 { // the others are misses
			reply := stores.fill(key, 300)
			want.WriteString(strings.TrimSuffix(reply, "END\r\n"))
		}
		request.WriteString(" " + key)
	}
	want.WriteString("END\r\n")
	if got := c.message(request.String() + "\r\n"); got != want.String() {
		t.Errorf("heard %d bytes, want %d", len(got), want.Len())
	}
	if n := h.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// A reply that is longer than memory for clients allows is refused, and nothing is kept of it.
func TestAReplyTooLongForUDP(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0", memory: 1 << 20})
	c, stores := sends(t, h), dial(t, h)
	want := stores.fill("k", 200_000)
	c.expect("get"+strings.Repeat(" k", 20)+"\r\n", "SERVER_ERROR the reply is too long for UDP\r\n")
	if got := c.message("get k k\r\n"); got != strings.TrimSuffix(want, "END\r\n")+want {
		t.Errorf("heard %d bytes", len(got))
	}
	if n := h.counted(stats.UDPDropped); n == 0 || h.holds() != 0 {
		t.Errorf("%d replies dropped, %d bytes held", n, h.holds())
	}
}

// Uploads, and lines, that end with their datagram hold nothing.
func TestUploadsThatEndWithTheirDatagram(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0", store: storage.Options{MemoryLimit: 8 << 20}})
	c, stores := sends(t, h), dial(t, h)
	stores.fill("here", 10)
	for range 200 { // of one shard
		c.expect("set k 0 0 900000\r\n" + strings.Repeat("x", 50_000))
	}
	stores.fill("k", 900_000)
	if n := stores.stat("curr_items"); n != "2" {
		t.Errorf("%s items", n)
	}
	before := h.counted(stats.BytesRead)
	eventually(t, "half a line has come", func() bool { c.send("get half a line"); return h.counted(stats.BytesRead) > before })
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if n := h.conns.packets[0].s.Gathered(); n > 0 {
		t.Errorf("the last session keeps %d bytes", n)
	}
}

// The list of all items may take a goroutine to be made.
func TestALongListOverUDP(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c, stores := sends(t, h), dial(t, h)
	const items = 20_000
	for i := range items {
		stores.say(fmt.Sprintf("set k%d 0 0 1 noreply\r\nx\r\n", i))
	}
	stores.ping()
	if got := c.message("stats cachedump 1 0\r\n"); strings.Count(got, "ITEM k") != items || !strings.HasSuffix(got, "END\r\n") {
		t.Errorf("%d items of %d", strings.Count(got, "ITEM k"), items)
	}
}

// A mistake in serving a datagram costs its client the replies, and nobody else anything.
func TestPanicCostsOneDatagram(t *testing.T) {
	var log notes
	mistake := writerFunc(func(line []byte) (int, error) {
		if strings.HasSuffix(string(line), " version\n") {
			panic("secret")
		}
		return log.Write(line)
	})
	h := start(t, options{loops: 1, verbosity: 2, log: mistake, udp: "127.0.0.1:0"})
	c := sends(t, h)
	c.expect("set a 0 0 1\r\nx\r\nversion\r\nget a\r\n", "STORED\r\n")
	c.expect("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n")
	if n := dial(t, h).stat("conn_panics"); n == "0" {
		t.Error("not counted")
	}
	if text := log.String(); !strings.Contains(text, "a datagram is dropped for a mistake of ours in") || strings.Contains(text, "secret") {
		t.Errorf("logged: %s", text)
	}
}

// A reply comes from the address that was asked, or a client that is connected would not hear it.
func TestUDPAnswersFromWhereItWasAsked(t *testing.T) {
	for listen, hosts := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.1", "127.0.0.2"},
		":0":        {"127.0.0.1", "127.0.0.2", "::1"},
		"[::]:0":    {"::1"},
	} {
		probe, err := net.ListenPacket("udp", strings.Replace(listen, "[::]", "[::1]", 1))
		if err != nil {
			t.Logf("%s: %v", listen, err)
			continue
		}
		_ = probe.Close()
		h := start(t, options{udp: listen})
		port := h.conns.Addrs()[1].(*net.UDPAddr).Port
		for _, host := range hosts {
			if _, err := net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
				t.Logf("%s: %v", host, err)
				continue
			}
			sendsTo(t, &net.UDPAddr{IP: net.ParseIP(host), Port: port}).expect("mn\r\n", "MN\r\n")
		}
	}
}

// stats conns has a row for the socket, and no client of it; they are not counted.
func TestUDPInStatsConns(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c := sends(t, h)
	c.expect("mn\r\n", "MN\r\n")
	row := fmt.Sprintf("STAT %d:UDP UDP\r\nSTAT %[1]d:addr udp:%s\r\nSTAT %[1]d:state conn_read\r\nSTAT %[1]d:secs_since_last_cmd ",
		h.conns.packets[0].fd, c.RemoteAddr())
	if got := c.message("stats conns\r\n"); !strings.Contains(got, strings.Replace(row, "conn_read", "conn_parse_cmd", 1)) {
		t.Errorf("no %q in %q", row, got)
	}
	other := dial(t, h)
	other.say("stats conns\r\n")
	var all strings.Builder
	for !strings.HasSuffix(all.String(), "END\r\n") {
		line, err := other.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(line)
	}
	if !strings.Contains(all.String(), row) {
		t.Errorf("no %q in %q", row, all.String())
	}
	if other.stat("curr_connections") != "1" || other.stat("total_connections") != "1" {
		t.Errorf("%s connections of %s", other.stat("curr_connections"), other.stat("total_connections"))
	}
	before := h.counted(stats.BytesRead)
	c.expect("mn\r\n", "MN\r\n") // that is two datagrams of 12 bytes, there and back
	eventually(t, "both are counted", func() bool { return h.counted(stats.BytesRead)-before >= 24 })
}

// The end closes the socket and waits for who serves it.
func TestTheEndOfUDP(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	c := sends(t, h)
	c.expect("mn\r\n", "MN\r\n")
	done := make(chan struct{})
	go func() { // all the time
		defer close(done)
		for {
			if _, err := c.Write([]byte("\x00\x01\x00\x00\x00\x01\x00\x00mn\r\n")); errors.Is(err, net.ErrClosed) {
				return
			}
			runtime.Gosched()
		}
	}()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	<-done
	again, err := net.ListenUDP("udp", c.RemoteAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// A get leaves no garbage, as with a connection.
func TestUDPServesWithoutGarbage(t *testing.T) {
	h := start(t, options{udp: "127.0.0.1:0"})
	dial(t, h).fill("k", 100)
	socket, err := listenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	p := newPackets(h.conns, socket) // one that is served here
	p.in, p.oob = []byte("\x00\x01\x00\x00\x00\x01\x00\x00get k\r\n"), nil
	p.from = socket.LocalAddr().(*net.UDPAddr).AddrPort()
	if n := testing.AllocsPerRun(1000, p.serve); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
