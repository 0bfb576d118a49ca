package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show prints what a verb's request carries, as a reader would jot it down.
func show(r *Request, err error) string {
	var b strings.Builder
	b.WriteString(r.Op.String())
	switch r.Op {
	case OpGet, OpGets, OpGat, OpGats:
		for keys := r.Keys; ; {
			key := keys.Next()
			if len(key) == 0 {
				break
			}
			fmt.Fprintf(&b, " %q", key)
		}
		if r.Op == OpGat || r.Op == OpGats {
			fmt.Fprintf(&b, " exptime %d", r.Exptime)
		}
	case OpSet, OpAdd, OpReplace, OpAppend, OpPrepend:
		fmt.Fprintf(&b, " %q flags %d exptime %d bytes %d", r.Key, r.Flags, r.Exptime, r.Bytes)
	case OpCas:
		fmt.Fprintf(&b, " %q flags %d exptime %d bytes %d unique %d", r.Key, r.Flags, r.Exptime, r.Bytes, r.Unique)
	case OpDelete, OpFlushPrefix:
		fmt.Fprintf(&b, " %q", r.Key)
	case OpIncr, OpDecr:
		fmt.Fprintf(&b, " %q by %d", r.Key, r.Delta)
	case OpTouch:
		fmt.Fprintf(&b, " %q exptime %d", r.Key, r.Exptime)
	case OpFlushAll:
		fmt.Fprintf(&b, " delay %d %v", r.Exptime, r.ExptimeOK)
	case OpVerbosity:
		fmt.Fprintf(&b, " %d", r.Level)
	case OpStats:
		for _, arg := range r.Args() {
			fmt.Fprintf(&b, " %q", arg)
		}
	}
	if err != nil {
		b.Reset()
		b.WriteString(strings.TrimSpace(err.Error()))
		if r.Block > 0 {
			fmt.Fprintf(&b, ", swallow %d", r.Block)
		}
	}
	if r.NoReply {
		b.WriteString(", noreply")
	}
	return b.String()
}

const badFormat = "CLIENT_ERROR bad command line format"

// The answers here are memcached 1.6.45's; compat_test asks it itself.
func TestParse(t *testing.T) {
	long := strings.Repeat("k", KeyMax)
	for _, tt := range []struct{ line, want string }{
		{"get k", `get "k"`},
		{"get a b  c ", `get "a" "b" "c"`},
		{"  get k", `get "k"`},
		{"get k noreply", `get "k" "noreply"`},
		{"get", badFormat},
		{"get ", badFormat},
		{"get " + long, `get "` + long + `"`},
		{"get " + long + "k", badFormat},
		{"get a " + long + "k", badFormat},
		{"get\tk", "ERROR"},
		{"GET k", "ERROR"},
		{"gets a\rb \xff\x00", `gets "a\rb" "\xff\x00"`},
		{"gat 10 a b", `gat "a" "b" exptime 10`},
		{"gats -1 a", `gats "a" exptime -1`},
		{"gat 10", badFormat},
		{"gat x a", "CLIENT_ERROR invalid exptime argument"},
		{"gat +1 a", "CLIENT_ERROR invalid exptime argument"},
		{"gat x " + long + "k", "CLIENT_ERROR invalid exptime argument"},

		{"set k 1 2 3", `set "k" flags 1 exptime 2 bytes 3`},
		{"set k 1 2 3 noreply", `set "k" flags 1 exptime 2 bytes 3, noreply`},
		{"set k 1 2 3 x y noreply", `set "k" flags 1 exptime 2 bytes 3, noreply`},
		{"set k 1 2 3 noreply x", `set "k" flags 1 exptime 2 bytes 3`},
		{"set k 1 2 3 NOREPLY", `set "k" flags 1 exptime 2 bytes 3`},
		{"set k 0 0", badFormat},
		{"set k 0 0 noreply", badFormat}, // the fifth word is the length: not one, so nothing is known of a block
		{"set k 0 0 -1", badFormat},
		{"set k 0 0 +1", badFormat},
		{"set k 0 0 01", `set "k" flags 0 exptime 0 bytes 1`},
		{"set k 0 0 000000000001", badFormat},
		{"set k 0 0 2147483645", `set "k" flags 0 exptime 0 bytes 2147483645`},
		{"set k 0 0 2147483646", badFormat},
		{"set k 0 0 4294967296", badFormat},
		{"set k x 0 3", badFormat + ", swallow 5"},
		{"set k -1 0 3 noreply", badFormat + ", swallow 5, noreply"},
		{"set k -0 0 3", `set "k" flags 0 exptime 0 bytes 3`},
		{"set k -18446744073709551615 0 3", `set "k" flags 1 exptime 0 bytes 3`},
		{"set k +1 +2 3", `set "k" flags 1 exptime 2 bytes 3`},
		{"set k 1x 0 3", badFormat + ", swallow 5"},
		{"set k 1\tx 0 3", `set "k" flags 1 exptime 0 bytes 3`},
		{"set k 4294967295 0 3", `set "k" flags 4294967295 exptime 0 bytes 3`},
		{"set k 4294967296 0 3", `set "k" flags 0 exptime 0 bytes 3`},
		{"set k 18446744073709551616 0 3", badFormat + ", swallow 5"},
		{"set k 0 4294967295 3", `set "k" flags 0 exptime -1 bytes 3`},
		{"set k 0 9223372036854775808 3", badFormat + ", swallow 5"},
		{"set k 0 -9223372036854775808 3", `set "k" flags 0 exptime 0 bytes 3`},
		{"set k 0 1.5 3", badFormat + ", swallow 5"},
		{"set " + long + "k 0 0 3", badFormat + ", swallow 5"},
		{"cas k 1 2 3 4", `cas "k" flags 1 exptime 2 bytes 3 unique 4`},
		{"cas k 1 2 3", badFormat + ", swallow 5"},
		{"cas k 1 2 3 noreply", badFormat + ", swallow 5, noreply"},
		{"cas k 1 2 3 18446744073709551615 noreply", `cas "k" flags 1 exptime 2 bytes 3 unique 18446744073709551615, noreply`},
		{"cas k 1 2 3 18446744073709551616", badFormat + ", swallow 5"},
		{"cas k 1 2 3 -1", badFormat + ", swallow 5"},

		{"delete k", `delete "k"`},
		{"delete k noreply", `delete "k", noreply`},
		{"delete k 0", `delete "k"`},
		{"delete k 0 noreply", `delete "k", noreply`},
		{"delete noreply", `delete "noreply"`},
		{"delete", badFormat},
		{"delete k 10", strings.TrimSpace(DeleteUsage.Line())},
		{"delete k 10 noreply", strings.TrimSpace(DeleteUsage.Line()) + ", noreply"},
		{"delete " + long + "k", badFormat},

		{"incr n 1", `incr "n" by 1`},
		{"decr n 18446744073709551615 noreply", `decr "n" by 18446744073709551615, noreply`},
		{"incr n 0000000000000000000001", `incr "n" by 1`},
		{"incr n 00000000000000000000001", "CLIENT_ERROR invalid numeric delta argument"},
		{"incr n 18446744073709551616", "CLIENT_ERROR invalid numeric delta argument"},
		{"incr n -1", "CLIENT_ERROR invalid numeric delta argument"},
		{"incr n +1", "CLIENT_ERROR invalid numeric delta argument"},
		{"incr n", badFormat},
		{"incr n noreply", "CLIENT_ERROR invalid numeric delta argument, noreply"},

		{"touch k 10", `touch "k" exptime 10`},
		{"touch k -", `touch "k" exptime 0`},
		{"touch k -2147483648 noreply", `touch "k" exptime -2147483648, noreply`},
		{"touch k 2147483648", "CLIENT_ERROR invalid exptime argument"},
		{"touch k", badFormat},

		{"flush_all", "flush_all delay 0 true"},
		{"flush_all noreply", "flush_all delay 0 true, noreply"},
		{"flush_all 10 noreply", "flush_all delay 10 true, noreply"},
		{"flush_all -1", "flush_all delay -1 true"},
		{"flush_all x noreply", "flush_all delay 0 false, noreply"},
		{"flush_all 1 2", "flush_all delay 1 true"},
		{"flush_prefix user:", `flush_prefix "user:"`},
		{"flush_prefix  user: noreply ", `flush_prefix "user:", noreply`},
		{"flush_prefix noreply", `flush_prefix "noreply"`},
		{"flush_prefix " + long, `flush_prefix "` + long + `"`},
		{"flush_prefix " + long + "k", badFormat},
		{"flush_prefix " + long + "k noreply", badFormat + ", noreply"},
		{"flush_prefix", badFormat},
		{"flush_prefix  ", badFormat},
		{"flush_prefix a 10", badFormat},
		{"flush_prefix a b noreply", badFormat + ", noreply"},
		{"verbosity 1", "verbosity 1"},
		{"verbosity 1 noreply", "verbosity 1, noreply"},
		{"verbosity noreply", badFormat + ", noreply"},
		{"verbosity", badFormat},
		{"verbosity -1", badFormat},
		{"version x", "version"},
		{"stats", "stats"},
		{"stats  conns", `stats "conns"`},
		{"statsx", "ERROR"},
		{"quit now", "quit"},
		{"mn", "mn"},
		{"mn\r", "mn"},

		{"", badFormat},
		{"\r", badFormat},
		{"a\r", badFormat},
		{"ab", badFormat},
		{"ab\r", "ERROR"},
		{"   \r", "ERROR"},
		{"foo noreply", "ERROR, noreply"},
		{"GET / HTTP/1.1\r", ErrHangUp.Error()},
		{"HTTP/1.1", "ERROR"},
	} {
		var r Request
		if got := show(&r, Parse([]byte(tt.line), &r)); got != tt.want {
			t.Errorf("%.60q\n got %.200s\nwant %.200s", tt.line, got, tt.want)
		}
	}
}

// One Request serves every line of a connection, so nothing of a line may be left in it for the next.
func TestRequestIsUsedAgain(t *testing.T) {
	var r Request
	for _, line := range []string{"set k 1 2 3 noreply", "flush_all 10", "gat 7 a b", "stats conns"} {
		if err := Parse([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	for line, want := range map[string]string{
		"get k":     `get "k"`,
		"flush_all": "flush_all delay 0 true",
		"foo":       "ERROR",
		"set k x 0": badFormat,
		"stats":     "stats",
	} {
		if got := show(&r, Parse([]byte(line), &r)); got != want {
			t.Errorf("%q after others: got %s, want %s", line, got, want)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	var r Request
	for _, line := range []string{"get a b c", "set k 1 2 3", "set k x 2 3", "foo", "incr n 1", "delete k 10"} {
		l := []byte(line)
		if n := testing.AllocsPerRun(100, func() { _ = Parse(l, &r) }); n != 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}

func TestEveryOpHasAVerbOrAnOpcode(t *testing.T) {
	packets := map[Op]bool{}
	for _, c := range opcodes {
		packets[c.op] = true
	}
	for op := OpUnknown + 1; op < NumOps; op++ {
		if op.String() == "unknown" && !packets[op] {
			t.Errorf("Op %d cannot be asked for", op)
		}
	}
}

// Whatever the line, Parse returns, with keys a store can take and a block that a server can wait for.
func FuzzParse(f *testing.F) {
	for _, v := range verbs {
		f.Add([]byte(v.name + " k 0 0 1 2 noreply\r"))
	}
	f.Add([]byte("GET / HTTP/1.0"))
	f.Add([]byte("set \t \v 9223372036854775807 2147483645"))
	f.Add([]byte("ms Zm8AAQ== 3 b c k s q Oabc T-1 C18446744073709551615 E1 F4294967295 I MA N30\r"))
	f.Add([]byte("mg =Zm9 b h l t u v x R0 D1 J1 P L"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return // the session cuts lines
		}
		var r Request
		err := Parse(line, &r)
		var refusal Refusal
		switch {
		case errors.As(err, &refusal):
			if !strings.HasSuffix(refusal.Line(), "\r\n") {
				t.Errorf("%q is refused with %q, which is no line", line, refusal)
			}
		case err != nil && !errors.Is(err, ErrHangUp):
			t.Errorf("%q: %v", line, err)
		case err == nil:
			if (r.Op == OpGet || r.Op == OpGats) && len(r.Keys.After(0)) == 0 {
				t.Errorf("%q: a retrieval without a key", line)
			}
			if (len(r.Key) == 0 || len(r.Key) > KeyMax) && (r.Op >= OpSet && r.Op <= OpMetaDebug || r.Op == OpFlushPrefix) {
				t.Errorf("%q: key of %d bytes", line, len(r.Key))
			}
			if m := &r.Meta; r.Op >= OpMetaGet && r.Op < OpMetaDebug && (len(m.Flags) > metaWordsMax || len(m.Opaque) > opaqueMax) {
				t.Errorf("%q: %d flags, opaque of %d bytes", line, len(m.Flags), len(m.Opaque))
			}
		}
		if r.Block != 0 && (r.Block < len(crlf) || r.Block > bytesMax+len(crlf)) {
			t.Errorf("%q: a block of %d", line, r.Block)
		}
	})
}
