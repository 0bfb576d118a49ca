package session

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/stats"
)

// opaque is what the packets of tests bear, so that it can be seen in their replies.
const opaque = 0xdeadbeef

// ask makes a packet.
func ask(opcode byte, extras, key, value string, unique uint64) string {
	p := binary.BigEndian.AppendUint16([]byte{0x80, opcode}, uint16(len(key)))
	p = append(p, byte(len(extras)), 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, uint32(len(extras)+len(key)+len(value)))
	p = binary.BigEndian.AppendUint32(p, opaque)
	p = binary.BigEndian.AppendUint64(p, unique)
	return string(p) + extras + key + value
}

func u32(n ...uint32) (s string) {
	for _, n := range n {
		s += string(binary.BigEndian.AppendUint32(nil, n))
	}
	return s
}

// The packets of tests, by what they do.
func bGet(opcode byte, key string) string               { return ask(opcode, "", key, "", 0) }
func bTouch(opcode byte, key string, exp uint32) string { return ask(opcode, u32(exp), key, "", 0) }
func bSet(opcode byte, key, value string) string        { return ask(opcode, u32(7, 0), key, value, 0) }
func bCount(opcode byte, key string, delta, initial, exp uint32, unique uint64) string {
	return ask(opcode, u32(0, delta, 0, initial, exp), key, "", unique)
}
func bStat(what string) string { return ask(0x10, "", what, "", 0) }

const bNoop = "\x80\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xde\xad\xbe\xef\x00\x00\x00\x00\x00\x00\x00\x00"

// bRead words replies: opcode, status if not 0, c if there is a unique, extras in hex, key, value.
func bRead(t testing.TB, heard string) string {
	t.Helper()
	var all []string
	for in := []byte(heard); len(in) > 0; {
		if len(in) < 24 || in[0] != 0x81 || binary.BigEndian.Uint32(in[12:]) != opaque || in[5] != 0 {
			t.Fatalf("no reply: %q", in)
		}
		keyLen, extras, body := int(binary.BigEndian.Uint16(in[2:])), int(in[4]), int(binary.BigEndian.Uint32(in[8:]))
		if body < extras+keyLen || len(in) < 24+body {
			t.Fatalf("lengths that cannot be: %q", in)
		}
		s := fmt.Sprintf("%02x", in[1])
		if status := binary.BigEndian.Uint16(in[6:]); status != 0 {
			s += fmt.Sprintf(" status %02x", status)
		}
		if binary.BigEndian.Uint64(in[16:]) != 0 {
			s += " c"
		}
		rest := in[24:]
		if extras > 0 {
			s += " " + hex.EncodeToString(rest[:extras])
		}
		if keyLen > 0 {
			s += " key " + string(rest[extras:extras+keyLen])
		}
		if value := rest[extras+keyLen : body]; len(value) > 0 {
			s += " " + string(value)
		}
		all = append(all, s)
		in = in[24+body:]
	}
	return strings.Join(all, "; ")
}

// What memcached 1.6.45 answers, but for the rows with a star: there a value stands where there may
// be none, or what is unknown has a body, and it goes on to read in the middle of a packet.
func TestPackets(t *testing.T) {
	for _, row := range []struct{ name, said, heard string }{
		{"noop", bNoop, "0a"},
		{"noop with a value", ask(0x0a, "", "", "x", 0) + bNoop, "0a status 04 Invalid arguments; closed"},
		{"version", ask(0x0b, "", "", "", 0), "0b 1.6.45-gomemd0.0.0"},
		{"version with a key", bGet(0x0b, "k"), "0b status 04 Invalid arguments; closed"},
		{"quit", ask(0x07, "", "", "", 0) + bNoop, "07; closed"},
		{"quitq", ask(0x17, "", "", "", 0) + bNoop, "closed"},
		{"unknown", ask(0x50, "", "", "", 0) + bNoop, "50 status 81 Unknown command; 0a"},
		{"unknown with a body *", ask(0x1b, u32(1), "key", "value", 0) + bNoop, "1b status 81 Unknown command; 0a"},
		{"no request", bNoop + "\x81" + bNoop[1:], "0a; closed"},
		{"text after a packet", bNoop + "get k\r\n", "0a; closed"},

		{"set and the gets", bSet(0x01, "k", "v") + bGet(0x00, "k") + bGet(0x09, "k") + bGet(0x0c, "k") + bGet(0x0d, "k"),
			"01 c; 00 c 00000007 v; 09 c 00000007 v; 0c c 00000007 key k v; 0d c 00000007 key k v"},
		{"misses", bGet(0x00, "no") + bGet(0x09, "no") + bGet(0x0c, "no") + bGet(0x0d, "no") + bNoop,
			"00 status 01 Not found; 0c status 01 key no; 0a"},
		{"an empty value", bSet(0x01, "k", "") + bGet(0x00, "k"), "01 c; 00 c 00000007"},
		{"set without extras", ask(0x01, "", "k", "v", 0) + bNoop, "01 status 04 Invalid arguments; closed"},
		{"set without a key", bSet(0x01, "", "v") + bNoop, "01 status 04 Invalid arguments; closed"},
		{"get with a value", ask(0x00, "", "k", "v", 0), "00 status 04 Invalid arguments; closed"},
		{"get with extras", ask(0x00, u32(0), "k", "", 0), "00 status 04 Invalid arguments; closed"},
		{"get without a key", ask(0x00, "", "", "", 0), "00 status 04 Invalid arguments; closed"},
		{"the longest key", bGet(0x00, strings.Repeat("k", 250)), "00 status 01 Not found"},
		{"a key too long", bGet(0x00, strings.Repeat("k", 251)) + bNoop, "00 status 04 Invalid arguments; closed"},

		{"add", bSet(0x02, "k", "v") + bSet(0x02, "k", "v") + bSet(0x12, "k", "v") + bSet(0x12, "n", "v") + bNoop,
			"02 c; 02 status 02 Data exists for key.; 12 status 02 Data exists for key.; 0a"},
		{"replace", bSet(0x03, "k", "v") + bSet(0x13, "k", "v") + bSet(0x11, "k", "v") + bSet(0x03, "k", "w") + bSet(0x13, "k", "x"),
			"03 status 01 Not found; 13 status 01 Not found; 03 c"},
		{"append and prepend", ask(0x0e, "", "k", "x", 0) + ask(0x19, "", "k", "x", 0) + bSet(0x11, "k", "b") + ask(0x0e, "", "k", "c", 0) +
			ask(0x0f, "", "k", "a", 0) + ask(0x19, "", "k", "d", 0) + ask(0x1a, "", "k", "_", 0) + bGet(0x00, "k"),
			"0e status 05 Not stored.; 19 status 05 Not stored.; 0e c; 0f c; 00 c 00000007 _abcd"},
		{"append with extras", ask(0x0e, u32(0), "k", "x", 0), "0e status 04 Invalid arguments; closed"},
		{"append of another version", bSet(0x11, "k", "b") + ask(0x0e, "", "k", "c", 99), "0e status 02 Data exists for key."},
		{"cas", ask(0x01, u32(0, 0), "k", "v", 99) + ask(0x02, u32(0, 0), "k", "v", 99) + bSet(0x11, "k", "v") + ask(0x01, u32(0, 0), "k", "v", 99) +
			ask(0x02, u32(0, 0), "k", "v", 99) + ask(0x03, u32(0, 0), "k", "v", 99) + ask(0x11, u32(0, 0), "k", "v", 99),
			"01 status 01 Not found; 02 status 01 Not found; 01 status 02 Data exists for key.; 02 status 02 Data exists for key.; " +
				"03 status 02 Data exists for key.; 11 status 02 Data exists for key."},
		{"too large", bSet(0x11, "k", "v") + bSet(0x02, "k", strings.Repeat("x", 1<<20)) + bSet(0x13, "k", strings.Repeat("x", 1<<20)) +
			ask(0x0e, "", "k", strings.Repeat("x", 1<<20), 0) + bGet(0x00, "k") + bSet(0x11, "k", strings.Repeat("x", 1<<20)) + bGet(0x00, "k"),
			"02 status 03 Too large.; 13 status 03 Too large.; 0e status 03 Too large.; 00 c 00000007 v; 11 status 03 Too large.; 00 status 01 Not found"},
		{"too large together", bSet(0x11, "k", strings.Repeat("x", 600_000)) + ask(0x0e, "", "k", strings.Repeat("x", 600_000), 0),
			"0e status 05 Not stored."},

		{"delete", bGet(0x04, "k") + bGet(0x14, "k") + bSet(0x11, "k", "v") + ask(0x04, "", "k", "", 99) + bGet(0x04, "k") +
			bSet(0x11, "k", "v") + bGet(0x14, "k") + bGet(0x00, "k"),
			"04 status 01 Not found; 14 status 01 Not found; 04 status 02 Data exists for key.; 04; 00 status 01 Not found"},
		{"delete with a value", ask(0x04, "", "k", "v", 0), "04 status 04 Invalid arguments; closed"},
		{"count", bCount(0x05, "n", 3, 7, 0, 0) + bCount(0x05, "n", 3, 7, 0, 0) + bCount(0x06, "n", 1, 7, 0, 0) + bCount(0x15, "n", 1, 7, 0, 0) +
			bCount(0x16, "n", 300, 7, 0, 0) + bGet(0x00, "n"),
			"05 c \x00\x00\x00\x00\x00\x00\x00\x07; 05 c \x00\x00\x00\x00\x00\x00\x00\x0a; 06 c \x00\x00\x00\x00\x00\x00\x00\x09; 00 c 00000000 0 "},
		{"count what is not there", bCount(0x05, "n", 1, 1, 0xffffffff, 0) + bCount(0x16, "n", 1, 1, 0xffffffff, 0),
			"05 status 01 Not found; 16 status 01 Not found"},
		{"count what is no number", bSet(0x11, "k", "v") + bCount(0x05, "k", 1, 1, 0, 0) + bCount(0x15, "k", 1, 1, 0, 0),
			"05 status 06 Non-numeric server-side value for incr or decr; 15 status 06 Non-numeric server-side value for incr or decr"},
		{"count another version", bSet(0x11, "k", "1") + bCount(0x05, "k", 1, 1, 0, 99), "05 status 02 Data exists for key."},
		{"count with other extras", ask(0x05, strings.Repeat("x", 19), "k", "", 0), "05 status 04 Invalid arguments; closed"},
		{"exptimes are unsigned", ask(0x11, u32(0, 0xffffffff), "a", "v", 0) + ask(0x11, u32(0, 1_000_000_000), "b", "v", 0) + bGet(0x00, "a") + bGet(0x00, "b"),
			"00 c 00000000 v; 00 status 01 Not found"},

		{"touch", bSet(0x11, "k", "v") + bTouch(0x1c, "k", 5) + bTouch(0x1d, "k", 5) + bTouch(0x1e, "k", 5) + bTouch(0x23, "k", 5) + bTouch(0x24, "k", 5),
			"1c c 00000007; 1d c 00000007 v; 1e c 00000007 v; 23 c 00000007 key k v; 24 c 00000007 key k v"},
		{"touch what is not there", bTouch(0x1c, "k", 5) + bTouch(0x1d, "k", 5) + bTouch(0x1e, "k", 5) + bTouch(0x23, "k", 5) + bTouch(0x24, "k", 5),
			"1c status 01 Not found; 1d status 01 Not found; 23 status 01 key k"},
		{"touch ends an item", bSet(0x11, "k", "v") + bTouch(0x1c, "k", 1_000_000_000) + bGet(0x00, "k"), "1c c 00000007; 00 status 01 Not found"},
		{"touch without extras", bGet(0x1c, "k"), "1c status 04 Invalid arguments; closed"},
		{"touch with a value *", ask(0x1c, u32(5), "k", bNoop, 0) + bNoop, "1c status 04 Invalid arguments; closed"},

		{"flush", bSet(0x11, "k", "v") + ask(0x08, "", "", "", 0) + bGet(0x00, "k") + bSet(0x11, "k", "v") + ask(0x18, u32(0), "", "", 0) + bGet(0x00, "k"),
			"08; 00 status 01 Not found; 00 status 01 Not found"},
		{"flush in a while", bSet(0x11, "k", "v") + ask(0x08, u32(100), "", "", 0) + bGet(0x00, "k"), "08; 00 c 00000007 v"},
		{"flush with a key", bGet(0x08, "k"), "08 status 04 Invalid arguments; closed"},
		{"flush with other extras", ask(0x08, u32(0, 0), "", "", 0), "08 status 04 Invalid arguments; closed"},

		{"lengths that exceed the body", ask(0x00, "", "abc", "", 0)[:8] + u32(2) + bNoop[12:] + "abc", "00 status 81 Unknown command; closed"},
		{"a body beyond 1 GiB", bSet(0x01, "abc", "")[:8] + u32(1<<30+1) + bNoop[12:], "01 status 04 Invalid arguments; closed"},
		{"a body of 4 GiB", bSet(0x00, "abc", "")[:8] + u32(1<<32-1) + bNoop[12:], "00 status 04 Invalid arguments; closed"},

		{"stat reset", bStat("reset") + bStat("reset"), "10; 10"},
		{"stat items of nothing", bStat("items"), "10"},
		{"stat sizes", bStat("sizes"), "10 key sizes_status disabled; 10"},
		{"stat of what there is not", bStat("bogus") + bStat("conns") + bStat("cachedump 1 0") + bStat("detail") + bStat("detail x"),
			strings.Repeat("10 status 01 Not found; ", 4) + "10 status 01 Not found"},
		{"stat detail", bStat("detail on") + bSet(0x11, "a:1", "v") + bGet(0x09, "a:1") + bGet(0x09, "a:2") + ask(0x1d, u32(0), "a:2", "", 0) +
			ask(0x19, "", "a:1", "x", 0) + bGet(0x14, "a:1") + bStat("detail dump") + bStat("detail off"),
			"10; 09 c 00000007 v; 1d status 01 Not found; 10 key detailed PREFIX a get 3 hit 1 set 2 del 1\r\nEND\r\n; 10; 10"},
		{"stat with a value *", ask(0x10, "", "items", "abc", 0), "10 status 04 Invalid arguments; closed"},
		{"stat with extras", ask(0x10, u32(0), "items", "", 0), "10 status 04 Invalid arguments; closed"},

		{"SASL where there is none", ask(0x20, "", "", "", 0) + ask(0x21, "", "PLAIN", "\x00u\x00p", 0) + ask(0x22, "", "PLAIN", "\x00u\x00p", 0) + bNoop,
			"20 status 81 Unknown command; 21 status 81 Unknown command; 22 status 81 Unknown command; 0a"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
			got := bRead(t, v.say(row.said))
			if v.gone {
				got = strings.TrimPrefix(got+"; closed", "; ")
			}
			if got != row.heard {
				t.Errorf("heard %q\ninstead %q", got, row.heard)
			}
		})
	}
}

// What the options forbid. Source: memcached 1.6.45.
func TestPacketsThatOptionsForbid(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{DisableFlush: true, DisableDump: true}}).client()
	got := bRead(t, v.say(ask(0x08, "", "", "", 0)+ask(0x18, "", "", "", 0)+bStat("detail on")+bStat("detail dump")))
	if got != "08 status 20 Auth failure.; 18 status 20 Auth failure.; 10 status 01 Not found; 10 status 01 Not found" {
		t.Error(got)
	}
	v = newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{DisableCAS: true}}).client()
	got = bRead(t, v.say(ask(0x01, u32(0, 0), "k", "1", 5)+ask(0x0e, "", "k", "2", 5)+bCount(0x05, "k", 1, 0, 0, 5)+ask(0x04, "", "k", "", 5)+bGet(0x00, "k")))
	if got != "01; 0e; 05 status 02 Data exists for key.; 04 status 02 Data exists for key.; 00 00000000 12" {
		t.Error(got)
	}
}

// A set that finds no room takes the old value along, quiet or not; whatever else is refused leaves
// what there is, a set with a unique too.
func TestPacketsThatFindNoRoom(t *testing.T) {
	value := strings.Repeat("y", 40_000)
	for _, row := range []struct {
		said  func(unique uint64) string
		stays bool
	}{
		{func(uint64) string { return bSet(0x01, "k", value) }, false},
		{func(uint64) string { return bSet(0x11, "k", value) }, false},
		{func(uint64) string { return bSet(0x03, "k", value) }, true},
		{func(unique uint64) string { return ask(0x11, u32(0, 0), "k", value, unique) }, true},
		{func(uint64) string { return ask(0x0e, "", "k", value, 0) }, true},
		{func(uint64) string { return ask(0x1a, "", "k", value, 0) }, true},
	} {
		v := newFixture(t, options{MemoryLimit: 1 << 20, DisableEviction: true}).client()
		unique := binary.BigEndian.Uint64([]byte(v.say(bSet(0x01, "k", "v"))[16:]))
		for i := 0; ; i++ {
			if got := bRead(t, v.say(bSet(0x01, fmt.Sprint("fill", i), value[:1000]))); got == "01 status 82 Out of memory allocating item" {
				break
			} else if got != "01 c" {
				t.Fatal(got)
			}
		}
		said := row.said(unique)
		want := fmt.Sprintf("%02x status 82 Out of memory allocating item; 00 c 00000007 v", said[1])
		if !row.stays {
			want = fmt.Sprintf("%02x status 82 Out of memory allocating item; 00 status 01 Not found", said[1])
		}
		if got := bRead(t, v.say(said+bGet(0x00, "k"))); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A reply repeats the opaque of its own packet, and a unique lets its version be replaced, once.
func TestPacketsRepeatOpaqueAndUnique(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
	first := v.say(bSet(0x01, "k", "v"))
	unique := binary.BigEndian.Uint64([]byte(first[16:]))
	if got := v.say(bGet(0x00, "k")); binary.BigEndian.Uint64([]byte(got[16:])) != unique {
		t.Errorf("get tells another unique than set: %q, %q", got, first)
	}
	swap := ask(0x01, u32(0, 0), "k", "w", unique)
	if got := bRead(t, v.say(swap+swap+bGet(0x00, "k"))); got != "01 c; 01 status 02 Data exists for key.; 00 c 00000000 w" {
		t.Error(got)
	}
	second := v.say(bGet(0x00, "k"))
	if got := bRead(t, v.say(ask(0x04, "", "k", "", unique)+ask(0x04, "", "k", "", binary.BigEndian.Uint64([]byte(second[16:]))))); got != "04 status 02 Data exists for key.; 04" {
		t.Error(got)
	}
	in := []byte(bGet(0x00, "x") + bNoop + ask(0x50, "", "", "", 0))
	copy(in[12:], u32(1))
	copy(in[24+1+12:], u32(2))
	copy(in[24+1+24+12:], u32(3))
	var opaques []uint32
	for heard := []byte(v.say(string(in))); len(heard) > 0; heard = heard[24+binary.BigEndian.Uint32(heard[8:]):] {
		opaques = append(opaques, binary.BigEndian.Uint32(heard[12:]))
	}
	if !slices.Equal(opaques, []uint32{1, 2, 3}) {
		t.Error(opaques)
	}
}

// Each way of stat tells what text tells, a packet for each line.
func TestStatsInPackets(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 16 << 20, TrackSizes: true})
	p.client().say("set a 0 0 1\r\nx\r\nset b 0 0 400\r\n" + strings.Repeat("x", 400) + "\r\n")
	for _, word := range []string{"", "settings", "items", "slabs", "sizes", "gomemd"} {
		text := clocked.ReplaceAllString(p.client().say("stats "+word+"\r\n"), "")
		text = strings.ReplaceAll(text, " \r\n", "\r\n") // of what tests have no value for
		var lines strings.Builder
		for _, reply := range strings.Split(bRead(t, p.client().say(bStat(word))), "; ") {
			name, ok := strings.CutPrefix(reply, "10 key ")
			if !ok && reply != "10" {
				t.Fatalf("%s: %q", word, reply)
			}
			if ok {
				lines.WriteString("STAT " + name + "\r\n")
			}
		}
		if got := clocked.ReplaceAllString(lines.String(), "") + "END\r\n"; got != text {
			t.Errorf("stat %q:\n%s\ninstead of\n%s", word, got, text)
		}
	}
}

// Counters change as memcached 1.6.45 has them change, but that values that are too large count.
func TestPacketsAreCounted(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
	v.say(bSet(0x01, "k", "v"))
	for _, row := range []struct {
		said string
		want map[stats.Counter]uint64
	}{
		{bSet(0x01, "k", "v"), map[stats.Counter]uint64{stats.CmdSet: 1, stats.StoredForever: 1}},
		{ask(0x01, u32(0, 0), "k", "v", 99), map[stats.Counter]uint64{stats.CmdSet: 1, stats.CasBadval: 1}},
		{ask(0x01, u32(0, 0), "no", "v", 99), map[stats.Counter]uint64{stats.CmdSet: 1, stats.CasMisses: 1}},
		{ask(0x0e, "", "k", "v", 99), map[stats.Counter]uint64{stats.CmdSet: 1}},
		{bGet(0x00, "k"), map[stats.Counter]uint64{stats.CmdGet: 1, stats.GetHits: 1}},
		{bGet(0x0d, "no"), map[stats.Counter]uint64{stats.CmdGet: 1, stats.GetMisses: 1}},
		{bTouch(0x1c, "k", 0), map[stats.Counter]uint64{stats.CmdTouch: 1, stats.TouchHits: 1}},
		{bTouch(0x1e, "no", 0), map[stats.Counter]uint64{stats.CmdTouch: 1, stats.TouchMisses: 1}},
		{bCount(0x05, "new", 1, 1, 0, 0), nil},
		{bCount(0x05, "new", 1, 1, 0, 0), map[stats.Counter]uint64{stats.IncrHits: 1}},
		{bCount(0x05, "new", 1, 1, 0, 99), nil},
		{bCount(0x06, "no", 1, 1, 0xffffffff, 0), map[stats.Counter]uint64{stats.DecrMisses: 1}},
		{ask(0x04, "", "k", "", 99), nil},
		{bGet(0x04, "k"), map[stats.Counter]uint64{stats.DeleteHits: 1}},
		{bGet(0x14, "k"), map[stats.Counter]uint64{stats.DeleteMisses: 1}},
		{bSet(0x01, "k", strings.Repeat("v", 1<<20)), map[stats.Counter]uint64{stats.StoreTooLarge: 1}},
		{ask(0x08, "", "", "", 0), map[stats.Counter]uint64{stats.CmdFlush: 1}},
		{ask(0x21, "", "PLAIN", "\x00a\x00b", 0), nil},
	} {
		before := v.p.env.Sums()
		v.say(row.said)
		got, after := map[stats.Counter]uint64{}, v.p.env.Sums()
		for c := range after {
			if after[c] != before[c] {
				got[stats.Counter(c)] = after[c] - before[c]
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(row.want) && len(got)+len(row.want) > 0 {
			t.Errorf("%q: %v, want %v", row.said[:24], got, row.want)
		}
	}
}

// Who watches hears of packets.
func TestPacketsAreWatched(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 16 << 20})
	watcher, v := p.client(), p.client()
	watcher.say("watch fetchers mutations deletions\r\n")
	v.say(bSet(0x11, "k\n", "v") + bGet(0x0d, "k\n") + bTouch(0x1c, "k\n", 0) + bCount(0x05, "n", 1, 1, 0, 0) + bGet(0x04, "k\n"))
	var events []string
	for _, line := range strings.Split(strings.TrimSpace(watcher.say("")), "\n") {
		words := strings.Fields(line)
		events = append(events, strings.Join(words[2:5], " "))
	}
	want := []string{
		"type=item_get key=k%0A status=not_found", "type=item_store key=k%0A status=stored",
		"type=item_get key=k%0A status=found", "type=item_get key=k%0A status=found",
		"type=item_get key=n status=not_found", "type=item_store key=n status=stored",
		"type=item_get key=k%0A status=found", "type=deleted key=k%0A cmd=delete",
	}
	if !slices.Equal(events, want) {
		t.Errorf("%q", events)
	}
}

// A key that text cannot name is told in base64, as one that came so.
func TestKeysThatTextCannotName(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 16 << 20})
	v := p.client()
	v.say(bSet(0x11, "a b\r\n", "v") + bCount(0x05, "n ", 1, 1, 0, 0) + bSet(0x11, "plain", "v"))
	for _, line := range []string{"mg YSBiDQo= b", "mg biA= b", "mg plain"} {
		if said := p.client().say("lru_crawler mgdump all\r\n"); !strings.Contains(said, line+"\r\n") {
			t.Errorf("%q lacks %q", said, line)
		}
	}
	if said := p.client().say("stats cachedump 1 0\r\n"); said != "ITEM plain [1 b; 0 s]\r\nEND\r\n" {
		t.Error(said)
	}
	if said := p.client().say("mg YSBiDQo= b k v\r\n"); said != "VA 1 kYSBiDQo= b\r\nv\r\n" {
		t.Error(said)
	}
}

// -vv tells opcodes and keys, never values or messages of SASL.
func TestPacketsAreLogged(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 16 << 20})
	var log bytes.Buffer
	p.env.Log = &log
	p.env.Verbosity.Store(2)
	p.client().say(bSet(0x01, "k\n", "secret") + ask(0x21, "", "PLAIN", "\x00u\x00secret", 0) + ask(0x50, "", "k", "secret", 0) + "\x00")
	if got := log.String(); got != "<0 0x01 k%0A\n<0 0x21 PLAIN\n<0 0x50 \n" {
		t.Errorf("%q", got)
	}
}

func TestPacketsAllocateNothing(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
	v.say(bSet(0x01, "k", "v") + bSet(0x01, "n", "1"))
	for name, said := range map[string]string{
		"get":            bGet(0x00, "k"),
		"getkq and noop": strings.Repeat(bGet(0x0d, "k"), 10) + bGet(0x0d, "no") + bNoop,
		"gat":            bTouch(0x1d, "k", 0),
		"touch":          bTouch(0x1c, "k", 0),
		"set":            bSet(0x01, "k", "v"),
		"setq":           bSet(0x11, "k", "v"),
		"incr":           bCount(0x05, "n", 1, 0, 0, 0),
		"delete":         bGet(0x04, "no"),
	} {
		v.allocatesNothing(t, name, said)
	}
}

// A run of quiet gets is what a multiget is in text: it has its turn's work, and -R is not for it.
func TestAQuietRunIsAMultiget(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: 3}}).client()
	v.say(bSet(0x01, "k", strings.Repeat("v", 1000)))
	in := []byte(strings.Repeat(bGet(0x0d, "no"), 20_000) + strings.Repeat(bGet(0x0d, "k"), 1000) + bNoop)
	said := 0
	turns := v.turns(in, func(consumed int, heard []byte) {
		if v.w.Worked() > TurnWork+TurnWork/10 || len(heard) > OutMax+1100 {
			t.Fatalf("a turn of %d, and %d bytes", v.w.Worked(), len(heard))
		}
		said += len(heard)
	})
	if want := 1000*(24+4+1+1000) + 24; said != want {
		t.Errorf("%d bytes, want %d", said, want)
	}
	if least := 20_000 * quietWork / TurnWork; turns < least || turns > 3*least {
		t.Errorf("%d turns", turns)
	}
	// Other packets are commands.
	if n, verdict := v.Feed([]byte(strings.Repeat(bNoop, 4))); n != 3*len(bNoop) || verdict != Yield {
		t.Errorf("%d bytes consumed, verdict %d", n, verdict)
	}
	v.w.Out.Reset()
}

// Dear packets have few of them served in a turn, as dear lines do.
func TestATurnServesFewDearPackets(t *testing.T) {
	for name, d := range map[string]struct {
		before, said string
		most         int
	}{
		"stat":                 {"", bStat(""), 3},
		"stat reset":           {"", bStat("reset"), 5},
		"flush":                {"", ask(0x08, "", "", "", 0), 1},
		"sets of long values":  {"", bSet(0x11, "k", strings.Repeat("v", 60_000)), 7},
		"incr of long numbers": {bSet(0x11, "k", strings.Repeat("0", 400_000)), bCount(0x15, "k", 1, 0, 0, 0), 8},
	} {
		v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: 1000}}).client()
		v.say(d.before)
		served := 0
		v.turns([]byte(strings.Repeat(d.said, 60)), func(consumed int, _ []byte) {
			if consumed > d.most*len(d.said) {
				t.Fatalf("%s: %d in one turn", name, consumed/len(d.said))
			}
			served += consumed
		})
		if served != 60*len(d.said) {
			t.Errorf("%s: %d served", name, served/len(d.said))
		}
	}
	v := newFixture(t, options{MemoryLimit: 16 << 20, StatsDetail: true, Rules: Rules{ReqsPerEvent: 1000}}).client()
	for i := range 2000 {
		v.say(bGet(0x09, fmt.Sprint(i, ":")))
	}
	for _, said := range []string{strings.Repeat(bStat("detail dump"), 10), strings.Repeat("stats detail dump\r\n", 10)} {
		v := v.p.client()
		if n, verdict := v.Feed([]byte(said)); n > len(said)/10 || verdict == Idle {
			t.Errorf("%d of 10 dumps of prefixes in one turn", n*10/len(said))
		}
		v.w.Out.Reset()
	}
}

// Large values of packets are read to where they will lie, and sent from there.
func TestLargeValuesOfPackets(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 32 << 20, Rules: Rules{ItemMax: 4 << 20}})
	v := p.client()
	value := strings.Repeat("0123456789", 300_000)
	packet := bSet(0x01, "k", value)
	if n, verdict := v.Feed([]byte(packet[:1000])); n != 1000 || verdict != Idle || !v.Streams() {
		t.Fatalf("consumed %d, verdict %d", n, verdict)
	}
	rest := strings.NewReader(packet[1000:] + bNoop)
	for v.Streams() {
		_, _ = v.Stream(func(rooms [][]byte) (int, bool) {
			if slices.ContainsFunc(rooms, func(room []byte) bool { return len(room) == 0 }) || len(rooms) == 0 {
				t.Fatal("asked to read nothing, which a socket answers as it does at its end")
			}
			return reads(rest)(rooms)
		})
	}
	if got := bRead(t, string(v.w.taken())); got != "01 c" || rest.Len() != len(bNoop) || !v.BetweenCommands() {
		t.Errorf("heard %q, %d bytes left", got, rest.Len())
	}
	p.w.Out.Pins = true
	in := []byte(bGet(0x0c, "k") + bNoop)
	heard := ""
	v.turns(in, func(_ int, said []byte) { heard += string(said) })
	if got := bRead(t, heard); got != "0c c 00000007 key k "+value+"; 0a" {
		t.Errorf("heard %d bytes", len(heard))
	}
}

// A get whose value there is no room to pin is served when there is, and once.
func TestAPacketWaitsForRoomToPin(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 4 << 20, Rules: Rules{ItemMax: 512 << 10}})
	p.w.Out.Pins = true
	v, watcher := p.client(), p.client()
	watcher.say("watch fetchers\r\n")
	var held []*Unsent
	for i := 0; ; i++ {
		if i == 100 {
			t.Fatal("there is room for any number of pins")
		}
		if got := bRead(t, v.say(bSet(0x01, "k", strings.Repeat("v", 400_000)))); got != "01 c" {
			t.Fatal(got)
		}
		watcher.say("")
		in := []byte(bGet(0x0c, "k"))
		n, verdict := v.Feed(in)
		if n != len(in) {
			t.Fatalf("consumed %d, verdict %d", n, verdict)
		}
		if clear(in); verdict == Later { // what is consumed is the reader's again
			if !v.Owes() || v.BetweenCommands() || v.Gathered() == 0 || v.w.Out.Pending() > 0 {
				t.Fatal("nothing waits")
			}
			v.w.EndEvent()
			watcher.say("")
			for _, u := range held {
				u.Release()
			}
			<-v.woken
			gets := p.env.Sums()[stats.CmdGet]
			if n, verdict := v.Feed(nil); n != 0 || verdict != Idle {
				t.Fatalf("consumed %d, verdict %d", n, verdict)
			}
			want := fmt.Sprintf("0c c 00000007 key k %s", strings.Repeat("v", 400_000))
			if got := bRead(t, string(v.w.taken())); got != want {
				t.Errorf("heard %.60q", got)
			}
			v.w.EndEvent()
			if n := p.env.Sums()[stats.CmdGet] - gets; n != 1 {
				t.Errorf("counted %d gets", n)
			}
			if said := watcher.say(""); said != "" {
				t.Errorf("told twice: %q", said)
			}
			return
		}
		held = append(held, v.w.Out.Keep(0))
	}
}

// However a head lies about what follows, nothing is gathered but what comes.
func TestALyingPacketTakesNoMemory(t *testing.T) {
	for _, row := range []struct {
		name, head string
		most       int
	}{
		{"a set of 1 GiB", bSet(0x01, "k", "")[:8] + u32(1<<30) + bNoop[12:] + u32(0, 0) + "k", 64},
		{"a set of 900 KB", bSet(0x01, "k", "")[:8] + u32(900_000) + bNoop[12:] + u32(0, 0) + "k", 64},
		{"what is unknown of 1 GiB", "\x80\x50" + bNoop[2:8] + u32(1<<30) + bNoop[12:], 64},
		{"a key of 250 that does not come", "\x80\x00\x00\xfa" + bNoop[4:8] + u32(250) + bNoop[12:], 512},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
			for _, c := range []byte(row.head) {
				if _, verdict := v.Feed([]byte{c}); verdict != Idle {
					t.Fatal(verdict)
				}
			}
			if n := v.Gathered(); n > row.most || v.BetweenCommands() {
				t.Errorf("%d bytes", n)
			}
			v.Session.Close()
		})
	}
}

// Memory that is short has values that have half come go on in the store, as in text.
func TestPacketsWhenMemoryIsShort(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 16 << 20}).client()
	v.w.Short(true)
	packet := bSet(0x01, "k", strings.Repeat("v", 20_000))
	for rest := packet; len(rest) > 0; {
		n := min(len(rest), 3000)
		if got := bRead(t, v.say(rest[:n])); len(rest) > n && (got != "" || v.Gathered() > 4096) || len(rest) == n && got != "01 c" {
			t.Fatalf("heard %q, %d bytes gathered", got, v.Gathered())
		}
		rest = rest[n:]
	}
	if got := bRead(t, v.say(bGet(0x00, "k"))); got != "00 c 00000007 "+strings.Repeat("v", 20_000) {
		t.Errorf("heard %.40q", got)
	}
}

// Wherever packets are cut and turns end, what is said is what would have been said at once.
func TestPacketsHoweverCut(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	opcodes := []byte{0x00, 0x09, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x23, 0x24, 0x01, 0x11, 0x02, 0x12, 0x03, 0x13, 0x0e, 0x19, 0x0f, 0x1a,
		0x04, 0x14, 0x05, 0x15, 0x06, 0x16, 0x08, 0x18, 0x0a, 0x0b, 0x21, 0x50}
	for range 5 {
		var in strings.Builder
		for range 300 {
			opcode, key, unique := opcodes[r.IntN(len(opcodes))], fmt.Sprint("key", r.IntN(5)), uint64(0)
			if r.IntN(10) == 0 {
				unique = 99
			}
			value := strings.Repeat(string(byte('0'+r.IntN(10))), 1<<r.IntN(15)-1)
			if r.IntN(20) == 0 {
				value = strings.Repeat("x", 30_000+r.IntN(80_000)) // too large, some of them
			}
			switch opcode {
			case 0x01, 0x11, 0x02, 0x12, 0x03, 0x13:
				in.WriteString(ask(opcode, u32(r.Uint32(), 0), key, value, unique))
			case 0x0e, 0x19, 0x0f, 0x1a, 0x21, 0x50:
				in.WriteString(ask(opcode, "", key, value, unique))
			case 0x05, 0x15, 0x06, 0x16:
				in.WriteString(bCount(opcode, key, r.Uint32(), 5, uint32(r.IntN(2))*0xffffffff, unique))
			case 0x1c, 0x1d, 0x1e, 0x23, 0x24:
				in.WriteString(bTouch(opcode, key, 0))
			case 0x08, 0x18, 0x0a, 0x0b:
				in.WriteString(ask(opcode, "", "", "", 0))
			default:
				in.WriteString(ask(opcode, "", key, "", unique))
			}
		}
		heard := func(commands int, pins bool, cut func() int) string {
			v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ItemMax: 100_000, ReqsPerEvent: commands}}).client()
			v.w.Out.Pins = pins
			var all bytes.Buffer
			for rest := in.String(); len(rest) > 0; {
				n := min(len(rest), cut())
				all.WriteString(v.say(rest[:n]))
				rest = rest[n:]
			}
			return bRead(t, all.String())
		}
		whole := heard(1<<30, false, func() int { return 1 << 30 })
		for _, most := range []int{50, 5_000, 200_000} {
			if got := heard(1+r.IntN(30), true, func() int { return 1 + r.IntN(most) }); got != whole {
				at := 0
				for at < min(len(got), len(whole)) && got[at] == whole[at] {
					at++
				}
				t.Fatalf("in parts of %d: heard %d bytes of %d, from %d on %.100q, not %.100q", most, len(got), len(whole), at, got[at:], whole[at:])
			}
		}
	}
}

// packetSeeds are conversations, and heads that servers have stumbled over.
func packetSeeds() []string {
	lying := func(opcode byte, key uint16, extras byte, body uint32, rest string) string {
		return "\x80" + string(opcode) + string([]byte{byte(key >> 8), byte(key), extras, 0, 0, 0}) + u32(body) + bNoop[12:] + rest
	}
	return []string{
		bSet(0x01, "k", "hello") + bGet(0x0d, "k") + bGet(0x0d, "no") + bNoop,
		bSet(0x11, "n", "12") + bCount(0x05, "n", 99, 0, 0, 0) + bTouch(0x23, "n", 5) + ask(0x0e, "", "n", "x", 0) + bGet(0x04, "n"),
		bSet(0x01, "k", strings.Repeat("x", 70_000)) + bGet(0x00, "k") + ask(0x08, u32(0), "", "", 0) + ask(0x07, "", "", "", 0),
		bSet(0x01, "k", strings.Repeat("x", 30_000)) + ask(0x0f, "", "k", strings.Repeat("y", 30_000), 0) + bGet(0x0c, "k"),
		ask(0x50, u32(1), "k", "v", 0) + ask(0x20, "", "", "", 0) + ask(0x21, "", "PLAIN", "\x00u\x00p", 0) + bNoop,
		lying(0x0e, 1, 0, 0, "k"),                 // a value shorter than nothing
		lying(0x01, 8, 8, 1<<31, "12345678key"),   // signs of lengths
		lying(0x01, 8, 8, 1<<32-1, "12345678key"), //
		lying(0x02, 0xfa, 8, 0xfa, ""),            // extras beyond the body
		lying(0x21, 0xfa, 0, 0x2fffffff, "PLAIN"), // a message that never comes
		lying(0x05, 1, 20, 21, "k"), lying(0x00, 0xffff, 0, 0xffff, strings.Repeat("k", 300)), lying(0x10, 6, 0, 6, "detail"),
		bNoop[:23], "\x81" + bNoop[1:], bNoop + "get k\r\n",
	}
}

// FuzzPacketCuts: whatever packets come, and however they are cut, the answers are the same and
// every item is whole.
func FuzzPacketCuts(f *testing.F) {
	for i, said := range packetSeeds() {
		f.Add([]byte(said), uint64(i))
	}
	f.Fuzz(func(t *testing.T, said []byte, seed uint64) {
		if len(said) == 0 || said[0] != 0x80 || bytes.Contains(said, []byte{0x80, 0x10}) {
			return // text has its own, and stat counts what has been consumed so far
		}
		opts := options{MemoryLimit: 4 << 20, Rules: Rules{ItemMax: 64 << 10}}
		whole := newFixture(t, opts).client()
		want := whole.say(string(said))
		bCheck(t, want)
		cutter := newFixture(t, opts).client()
		var heard bytes.Buffer
		random := rand.New(rand.NewPCG(seed, 1))
		for rest := said; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(64)))
			heard.WriteString(cutter.say(string(rest[:n])))
			rest = rest[n:]
			if cutter.Gathered() > 4*len(said)+512 {
				t.Fatalf("%d bytes gathered of %d", cutter.Gathered(), len(said))
			}
		}
		if heard.String() != want || whole.gone != cutter.gone || !whole.gone && whole.State() != cutter.State() {
			t.Errorf("said %q\ncut   %q\nwhole %q", said, heard.String(), want)
		}
		whole.Session.Close()
		cutter.Session.Close()
	})
}

// bCheck checks that replies are packets, whatever their opaques.
func bCheck(t *testing.T, heard string) {
	for in := []byte(heard); len(in) > 0; {
		if len(in) < 24 || in[0] != 0x81 || len(in)-24 < int(binary.BigEndian.Uint32(in[8:])) {
			t.Fatalf("no reply: %q", in)
		}
		in = in[24+binary.BigEndian.Uint32(in[8:]):]
	}
}
