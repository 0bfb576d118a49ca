package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomemd/gomemd/server"
)

// skip leaves a test out because of what this machine lacks. CI lacks nothing.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("would be skipped: %s", why)
	}
	t.Skip(why)
}

// startGomemd runs a gomemd in this process until the test ends, with room for all that is said: nothing may be evicted.
func startGomemd(t *testing.T) string {
	t.Helper()
	srv, err := server.Start(server.Options{Listen: []string{"127.0.0.1:0"}, MemoryLimit: 4 << 30, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return srv.Addrs()[0].String()
}

func openForTest(t *testing.T, spec string) *peer {
	t.Helper()
	s, err := open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// The narrow grammar holds for every memcached since 1.6.18, so whichever is installed will do.
func TestSideBySide(t *testing.T) {
	command := memcachedCommand(t)
	opt := options{commands: 20_000, conns: 4, grammar: "1.6.18", itemMax: 1 << 20, seed: 1, patience: 20 * time.Second, show: 3}
	var out strings.Builder
	rep, err := compare([2]*peer{openForTest(t, startGomemd(t)), openForTest(t, command)}, opt, &out)
	if err != nil {
		t.Fatal(err)
	}
	if rep.unlisted() > 0 {
		rep.summary(&out)
		t.Errorf("A is gomemd, B is %s\n%s", command, out.String())
	}
}

// Two gomemds agree; through a proxy that changes a byte now and then they do not.
func TestNoticesAPlantedFish(t *testing.T) {
	opt := options{commands: 20_000, conns: 2, grammar: "full", itemMax: 1 << 20, seed: 2, patience: 20 * time.Second}
	for _, every := range []int{0, 1000} {
		through := startProxy(t, startGomemd(t), every)
		var out strings.Builder
		rep, err := compare([2]*peer{openForTest(t, startGomemd(t)), openForTest(t, through.addr)}, opt, &out)
		if err != nil {
			t.Fatal(err)
		}
		planted := int(through.planted.Load())
		// Not each can be noticed: of version and stats only the form is compared.
		if noticed := rep.unlisted(); noticed > planted || noticed < planted*3/4 {
			t.Errorf("%d replies were changed, %d differences noticed", planted, noticed)
			rep.summary(&out)
			t.Log(out.String())
		}
	}
}

// A proxy stands before a server and, when every is not 0, changes one byte after so many ENDs. When everyPacket is not 0, it
// changes a status after so many reads that begin with a packet.
type proxy struct {
	addr  string
	every int

	everyPacket int
	packets     atomic.Int64

	ends    atomic.Int64
	planted atomic.Int64
}

func startProxy(t *testing.T, target string, every int) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{addr: l.Addr().String(), every: every}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.(*net.TCPConn).CloseWrite()
			}()
			go p.carry(client, server)
		}
	}()
	return p
}

// carry brings what the server says to the client.
func (p *proxy) carry(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		said := buf[:n]
		ends := int64(bytes.Count(said, []byte("END\r\n")))
		if now := p.ends.Add(ends); p.every > 0 && now/int64(p.every) > (now-ends)/int64(p.every) {
			said[0] ^= 0x04
			p.planted.Add(1)
		}
		if n >= packetHead && said[0] == says && p.everyPacket > 0 && p.packets.Add(1)%int64(p.everyPacket) == 0 {
			said[atStatus+1] ^= 0x40
			p.planted.Add(1)
		}
		if _, werr := client.Write(said); err != nil || werr != nil {
			return
		}
	}
}

// A unique is a name: the same again, or new on both sides.
func TestUniquesAreNames(t *testing.T) {
	talk := &talker{uniques: make(map[string][]pair)}
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"VALUE k 0 1 7\r\nx\r\nEND\r\n", "VALUE k 0 1 500\r\nx\r\nEND\r\n", true},  // first sight
		{"VALUE k 0 1 7\r\nx\r\nEND\r\n", "VALUE k 0 1 500\r\nx\r\nEND\r\n", true},  // again
		{"VALUE k 0 1 8\r\nx\r\nEND\r\n", "VALUE k 0 1 500\r\nx\r\nEND\r\n", false}, // new for one only
		{"VALUE k 0 1 8\r\nx\r\nEND\r\n", "VALUE k 0 1 501\r\nx\r\nEND\r\n", true},  // new for both
		{"VALUE k 0 1 7\r\nx\r\nEND\r\n", "VALUE k 0 1 501\r\nx\r\nEND\r\n", false}, // the old one's name
		{"VALUE k 0 1 9\r\nx\r\nEND\r\n", "VALUE k 1 1 502\r\nx\r\nEND\r\n", false}, // other flags
		{"VALUE k 0 1 9\r\nx\r\nEND\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n", false},     // no unique
		{"VALUE j 0 1 7\r\nx\r\nEND\r\n", "VALUE j 0 1 7\r\ny\r\nEND\r\n", false},   // other value
		{"VALUE k 0 5 9\r\nx\r\nEND\r\n", "VALUE k 0 5 9\r\nx\r\nEND\r\n", true},    // no value at all, but alike
	} {
		if got := talk.same(&command{}, []byte(tc.a), []byte(tc.b)); got != tc.same {
			t.Errorf("same(%q, %q) = %v", tc.a, tc.b, got)
		}
	}
}
