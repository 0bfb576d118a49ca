package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// memcachedCommand starts the installed memcached, whichever it is, without the background threads, which at moments of their own
// hold items that incr would change in place.
func memcachedCommand(t *testing.T) string {
	t.Helper()
	memcached, err := exec.LookPath("memcached")
	if err != nil {
		skip(t, "memcached is not installed (make deps)")
	}
	command := memcached + " -l 127.0.0.1 -U 0 -m 256 -o no_lru_maintainer,no_lru_crawler -p {port}"
	if os.Geteuid() == 0 {
		command += " -u root"
	}
	return command
}

// The narrow grammar holds for every memcached since 1.6.18, so whichever is installed will do.
func TestPacketsSideBySide(t *testing.T) {
	command := memcachedCommand(t)
	opt := options{commands: 20_000, conns: 4, protocol: "binary", grammar: "1.6.18", itemMax: 1 << 20, seed: 1, patience: 20 * time.Second, show: 3}
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

// Two memcacheds agree about packets; through a proxy that changes a status now and then they do not.
func TestNoticesAPlantedFishInPackets(t *testing.T) {
	command := memcachedCommand(t)
	opt := options{commands: 20_000, conns: 2, protocol: "binary", grammar: "1.6.18", itemMax: 1 << 20, seed: 2, patience: 20 * time.Second}
	for _, every := range []int{0, 40} {
		through := startProxy(t, openForTest(t, command).addr, 0)
		through.everyPacket = every
		var out strings.Builder
		rep, err := compare([2]*peer{openForTest(t, command), openForTest(t, through.addr)}, opt, &out)
		if err != nil {
			t.Fatal(err)
		}
		planted := int(through.planted.Load())
		// Not each can be noticed: what a new connection says first, and deletes after a difference, are not compared.
		if noticed := rep.unlisted(); noticed > planted || noticed < planted/2 || planted == 0 != (every == 0) {
			t.Errorf("%d replies were changed, %d differences noticed", planted, noticed)
			rep.summary(&out)
			t.Log(out.String())
		}
	}
}

// reply makes a packet as a server would.
func replyPacket(op opcode, status byte, opaque, cas byte, body string) packet {
	p := packet(request(op, nil, "", []byte(body)))
	p[0], p[atStatus+1], p[atOpaque+3], p[atCAS+7] = says, status, opaque, cas
	return p
}

func TestPacketsBelongToTheirCommands(t *testing.T) {
	get, noop := replyPacket(opGet, 0, 8, 5, "x"), replyPacket(opNoop, 0, 9, 0, "")
	stat := replyPacket(opStat, 0, 7, 0, "pid1")
	for _, c := range []struct {
		name   string
		heard  string
		counts [2]int // of the packets to 7 and 8
		rest   string
		order  int
	}{
		{"all", string(stat) + string(stat) + string(get) + string(noop), [2]int{2, 1}, "", 3},
		{"a quiet one", string(get) + string(noop), [2]int{0, 1}, "", 2},
		{"half a packet", string(get) + string(noop[:20]), [2]int{0, 1}, string(noop[:20]), 1},
		{"text", "ERROR\r\n", [2]int{}, "ERROR\r\n", 0},
		{"nobody's", string(replyPacket(opGet, 0, 77, 5, "x")), [2]int{}, string(replyPacket(opGet, 0, 77, 5, "x")), 1},
		{"a noop that failed", string(replyPacket(opNoop, 1, 9, 0, "")), [2]int{}, string(replyPacket(opNoop, 1, 9, 0, "")), 1},
	} {
		replies := make([][]packet, 2)
		rest, order := sort([]byte(c.heard), replies, 7)
		if len(replies[0]) != c.counts[0] || len(replies[1]) != c.counts[1] || string(rest) != c.rest || len(order) != c.order {
			t.Errorf("%s: %d and %d packets, the rest %q, order %v", c.name, len(replies[0]), len(replies[1]), rest, order)
		}
	}
}

func TestPacketsAreCompared(t *testing.T) {
	talk := &packetTalker{talker: &talker{uniques: make(map[string][]pair)}}
	one := func(p packet) []packet { return []packet{p} }
	typed := replyPacket(opGet, 0, 1, 7, "x")
	typed[atType] = 1
	c := &command{keys: []string{"k"}}
	for _, tc := range []struct {
		name string
		a, b []packet
		same bool
	}{
		{"first sight", one(replyPacket(opGet, 0, 1, 7, "x")), one(replyPacket(opGet, 0, 1, 50, "x")), true},
		{"again", one(replyPacket(opSet, 0, 1, 7, "")), one(replyPacket(opSet, 0, 1, 50, "")), true},
		{"a cas new for one", one(replyPacket(opGet, 0, 1, 8, "x")), one(replyPacket(opGet, 0, 1, 50, "x")), false},
		{"no cas from one", one(replyPacket(opGet, 0, 1, 0, "x")), one(replyPacket(opGet, 0, 1, 50, "x")), false},
		{"another body", one(replyPacket(opGet, 0, 1, 7, "x")), one(replyPacket(opGet, 0, 1, 50, "y")), false},
		{"another status", one(replyPacket(opGet, 0, 1, 7, "x")), one(replyPacket(opGet, 1, 1, 50, "x")), false},
		{"another opcode", one(replyPacket(opGet, 0, 1, 7, "x")), one(replyPacket(opGetQ, 0, 1, 50, "x")), false},
		{"another type", one(replyPacket(opGet, 0, 1, 7, "x")), one(typed), false},
		{"none from one", one(replyPacket(opGet, 0, 1, 7, "x")), nil, false},
		{"none", nil, nil, true},
	} {
		if got := talk.samePackets(c, tc.a, tc.b); got != tc.same {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
	end := replyPacket(opStat, 0, 1, 0, "")
	stat := packet(request(opStat, nil, "pid", []byte("1")))
	stat[0] = says
	for text, want := range map[string]bool{
		string(stat) + string(end): true, string(end): true, string(stat): false, "": false, string(end) + string(stat): false,
		string(replyPacket(opStat, 1, 1, 0, "Not found")): false,
	} {
		if isPacketStats([]byte(text)) != want {
			t.Errorf("statistics %q: %t", text, !want)
		}
	}
}
