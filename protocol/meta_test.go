package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// showMeta prints what a meta request carries.
func showMeta(r *Request) string {
	var b strings.Builder
	m := &r.Meta
	fmt.Fprintf(&b, "%s %q", r.Op, r.Key)
	if r.Op == OpMetaDebug {
		if m.Has('b') {
			b.WriteString(" b")
		}
		return b.String()
	}
	if r.Op == OpMetaSet {
		fmt.Fprintf(&b, " bytes %d", r.Bytes)
	}
	if len(m.Flags) > 0 {
		fmt.Fprintf(&b, " flags %s", m.Flags)
	}
	for _, letter := range m.Flags {
		switch letter {
		case 'O':
			fmt.Fprintf(&b, ", %s", m.Opaque)
		case 'M':
			fmt.Fprintf(&b, ", mode %c", m.Mode)
		case 'T':
			fmt.Fprintf(&b, ", ttl %d", m.TTL)
		case 'N':
			fmt.Fprintf(&b, ", vivify %d", m.Vivify)
		case 'R':
			fmt.Fprintf(&b, ", recache %d", m.Recache)
		case 'C':
			fmt.Fprintf(&b, ", compare %d", m.Compare)
		case 'E':
			fmt.Fprintf(&b, ", explicit %d", m.Explicit)
		case 'D':
			fmt.Fprintf(&b, ", delta %d", m.Delta)
		case 'J':
			fmt.Fprintf(&b, ", initial %d", m.Initial)
		case 'F':
			fmt.Fprintf(&b, ", client flags %d", r.Flags)
		}
	}
	return b.String()
}

func TestParseMeta(t *testing.T) {
	long := strings.Repeat("k", KeyMax)
	const (
		badToken = "CLIENT_ERROR bad token in command line format"
		invalid  = "CLIENT_ERROR invalid flag"
		twice    = "CLIENT_ERROR duplicate flag"
		either   = "CLIENT_ERROR invalid or duplicate flag"
		badKey   = "CLIENT_ERROR error decoding key"
	)
	for _, tt := range []struct{ line, want string }{
		{"mg k", `mg "k"`},
		{"  mg  k  v ", `mg "k" flags v`},
		{"mg k s v t f c h l u q k Oabc", `mg "k" flags svtfchluqkO, Oabc`},
		{"mg k T-1 N30 R0", `mg "k" flags TNR, ttl -1, vivify 30, recache 0`},
		{"mg k x I M F1 J1 D1 Pz Lz", `mg "k" flags xIMFJDPL, mode  , client flags 1, initial 1, delta 1`},
		{"mg k O", `mg "k" flags O, O`},
		{"mg k O" + strings.Repeat("o", 31), `mg "k" flags O, O` + strings.Repeat("o", 31)},
		{"mg k O" + strings.Repeat("o", 32), "CLIENT_ERROR opaque token too long"},
		{"mg", badFormat},
		{"mg " + long, `mg "` + long + `"`},
		{"mg " + long + "k", badFormat},
		{"mg k s s", twice},
		{"mg k z", invalid},
		{"mg k 1", invalid},
		{"mg k _", invalid},
		{"mg k !", badFormat},
		{"mg k {", badFormat},
		{"mg k \xff", badFormat},
		{"mg k T", badToken},
		{"mg k Tx", badToken},
		{"mg k T+1", badToken},
		{"mg k T2147483648", badToken},
		{"mg k N", badToken},
		{"mg k R1x", badToken},
		{"mg k C", badToken},
		{"mg k C18446744073709551616", badToken},
		{"mg k E-1", badToken},
		{"mg k Dx", "CLIENT_ERROR invalid numeric delta value"},
		{"mg k J", "CLIENT_ERROR invalid numeric initial value"},
		{"mg k F", badFormat},
		{"mg k F4294967296", badFormat},
		{"mg k Tx F-1", badToken}, // F is refused without a reason of its own
		{"mg k Tx Dx", "CLIENT_ERROR invalid numeric delta value"},
		{"mg k Tx v v", twice},
		{"mg k Tx z", invalid},
		{"mg !!! b", badKey},
		{"mg Zm9 b", badKey},
		{"mg Zm9v b v", `mg "foo" flags bv`},
		{"mg Zm9v v b", `mg "foo" flags vb`},
		{"mg Zm8AAQ== b", `mg "fo\x00\x01" flags b`},
		{"mg Z-m.9v b", `mg "foo" flags b`},  // other letters are skipped …
		{"mg Zm8=Zm9v b", `mg "fo" flags b`}, // … and what follows padding
		{"mg Z=m8 b", "mg \"d\\t\" flags b"}, // padding is a letter, too
		{"mg Zg== b", `mg "f" flags b`},
		{"mg Z=== b", badKey},
		{"mg k " + strings.Join(strings.Split("svtfkchluqPLIxM", ""), " ") + " T1 N1 O", `mg "k" flags svtfkchluqPLIxMTNO, mode  , ttl 1, vivify 1, O`},
		{"mg k " + strings.Join(strings.Split("svtfkchluqPLIxM", ""), " ") + " T1 N1 O E1", "CLIENT_ERROR options flags are too long"},

		{"ms k 3", `ms "k" bytes 3`},
		{"ms k 3 MSET", `ms "k" bytes 3 flags M, mode S`},
		{"ms k 3 F7 T100 C5 E6 c", `ms "k" bytes 3 flags FTCEc, client flags 7, ttl 100, compare 5, explicit 6`},
		{"ms k", badFormat},
		{"ms k S3", badFormat},
		{"ms k -1", badFormat},
		{"ms k 2147483646", badFormat},
		{"ms k 3 !", badFormat}, // and the block is not known
		{"ms k 3 z", invalid + ", swallow 5"},
		{"ms k 3 M", "CLIENT_ERROR invalid mode for ms M token, swallow 5"},
		{"ms k 3 Ms", "CLIENT_ERROR invalid mode for ms M token, swallow 5"},
		{"ms k 3 M\x00", "ms \"k\" bytes 3 flags M, mode \x00"},
		{"ms k 3 F-1", badFormat + ", swallow 5"},
		{"ms " + long + "k 3", badFormat + ", swallow 5"},
		{"ms k 3 O" + strings.Repeat("o", 32), "CLIENT_ERROR opaque token too long, swallow 5"},

		{"md k q x I T30 C1", `md "k" flags qxITC, ttl 30, compare 1`},
		{"md k z", invalid},
		{"ma k N0 J13 D2 MD", `ma "k" flags NJDM, vivify 0, initial 13, delta 2, mode D`},
		{"ma k M+", `ma "k" flags M, mode +`},
		{"ma k Mi", "CLIENT_ERROR invalid mode for ma M token"},
		{"ma k v v", either},
		{"ma k z", either},
		{"ma k Dx", either},
		{"ma k D-1", either},
		{"ma " + long + "k", either},
		{"ma k !", badFormat},
		{"ma", badFormat},

		{"me k", `me "k"`},
		{"me Zm9v b", `me "foo" b`},
		{"me Zm9v b b", `me "foo" b`},
		{"me k b", badFormat},
		{"me k v b", `me "k"`},
		{"me " + long + "k", badFormat},
		{"mx k", "ERROR"},
	} {
		var r Request
		err := Parse([]byte(tt.line), &r)
		got := show(&r, err)
		if err == nil {
			got = showMeta(&r)
		}
		if got != tt.want {
			t.Errorf("%.60q\n got %.200s\nwant %.200s", tt.line, got, tt.want)
		}
	}
}

func TestMetaRequestIsUsedAgain(t *testing.T) {
	var r Request
	for _, line := range []string{"mg Zm9v b v T5 N6 R7 C8 E9 D10 J11 F12 MI Oxyz", "cas k 1 2 3 4"} {
		if err := Parse([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if err := Parse([]byte("ma n"), &r); err != nil {
		t.Fatal(err)
	}
	m := &r.Meta
	if len(m.Flags) != 0 || m.Has('b') || m.TTL|m.Vivify|m.Recache != 0 || m.Compare|m.Explicit|m.Initial != 0 ||
		m.Delta != 1 || r.Flags != 0 || m.Mode != 0 || m.Opaque != nil || string(r.Key) != "n" {
		t.Errorf("of earlier lines something is left: %+v", r)
	}
	if err := Parse([]byte("append k 0 0 3"), &r); err != nil || r.Unique != 0 {
		t.Errorf("append has the unique of an earlier cas: %d, %v", r.Unique, err)
	}
}

func TestParseMetaAllocatesNothing(t *testing.T) {
	var r Request
	for _, line := range []string{"mg k v", "mg Zm9v b k v Oabc", "ms k 3 T100 c", "md k q", "ma k v", "me k", "mg k z"} {
		l := []byte(line)
		if n := testing.AllocsPerRun(100, func() { _ = Parse(l, &r) }); n != 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}

func TestAppendKeyFlag(t *testing.T) {
	for _, tt := range []struct {
		key    string
		binary bool
		want   string
	}{
		{"foo", false, "HD kfoo"},
		{"foo", true, "HD kZm9v b"},
		{"fo\x00\r\n", true, "HD kZm8ADQo= b"},
	} {
		if got := string(AppendKeyFlag([]byte("HD"), []byte(tt.key), tt.binary)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.key, got, tt.want)
		}
	}
}
