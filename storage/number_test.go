package storage

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// plainNumber reads a number as parseNumber should, from all of it at once.
func plainNumber(value []byte) (uint64, bool) {
	i := 0
	for i < len(value) && isSpace(value[i]) {
		i++
	}
	negative := false
	if i < len(value) && (value[i] == '+' || value[i] == '-') {
		negative = value[i] == '-'
		i++
	}
	first, n := i, uint64(0)
	for ; i < len(value) && '0' <= value[i] && value[i] <= '9'; i++ {
		d := uint64(value[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if i == first || i < len(value) && value[i] != 0 && !isSpace(value[i]) {
		return 0, false
	}
	if negative {
		n = -n
		if int64(n) < 0 {
			return 0, false
		}
	}
	return n, true
}

// A number may be cut anywhere, for a long value is kept in parts.
func TestNumbersInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Repeat(rapid.SampledFrom([]string{" ", "0", "\t", " \t", "7"}).Draw(t, "fill"), rapid.IntRange(0, 30).Draw(t, "fills"))
		for _, c := range rapid.SliceOfN(rapid.SampledFrom([]string{" ", "\n", "0", "00000000", "1", "9", "18446744073709551615", "+", "-", "x", "\x00"}), 0, 6).Draw(t, "parts") {
			text += c
		}
		var d numeral
		for rest := []byte(text); len(rest) > 0; {
			n := rapid.IntRange(0, len(rest)).Draw(t, "part")
			if d.read(rest[:n]) {
				break
			}
			rest = rest[n:]
		}
		got, ok := d.value()
		want, is := plainNumber([]byte(text))
		if got != want || ok != is {
			t.Fatalf("%q: %d, %v; want %d, %v", text, got, ok, want, is)
		}
	})
}

// memcached 1.6.45: a number of up to 524228 bytes is one, under a key of one letter; a longer one
// is not.
func TestALongNumberIsANumberUpToAPoint(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 16 << 20, ItemMax: 2 << 20, Shards: 1, SegmentSize: 32 << 10})
	for _, tt := range []struct {
		n    int
		want Status
	}{{1, Stored}, {600, Stored}, {400_000, Stored}, {524_228, Stored}, {524_229, NotNumber}, {1_000_000, NotNumber}} {
		for _, fill := range []string{" ", "0", "\t"} {
			value := bytes.Repeat([]byte(fill), tt.n)
			if fill == " " {
				value[0] = '5'
			} else {
				value[tt.n-1] = '5'
			}
			if got := commit(st, []byte("k"), Set, value); got != Stored {
				t.Fatal(got)
			}
			n, got := st.Incr(st.Hash([]byte("k")), []byte("k"), 3)
			if got != tt.want || got == Stored && n != 8 {
				t.Errorf("%d bytes: %d, %d", tt.n, n, got)
			}
			want := string(value)
			if tt.want == Stored {
				want = "8" + strings.Repeat(" ", tt.n-1)
			}
			if got, _ := get(st, "k"); got != want {
				t.Errorf("%d bytes: %.20q, %d bytes", tt.n, got, len(got))
			}
		}
	}
}

// A long number whose reader has not ended is not changed under his eyes.
func TestANumberThatIsReadStays(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10})
	for _, n := range []int{10, 600, 5_000, 200_000} {
		key, value := fmt.Sprint("k", n), append([]byte("12"), bytes.Repeat([]byte(" "), n)...)
		if n < 10_000 {
			put(st, Set, key, string(value), 0)
		} else {
			commit(st, []byte(key), Set, value)
		}
		var p Pinned
		st.View(st.Hash([]byte(key)), []byte(key), func(it Item) { it.Pin(&p) })
		for range 3 {
			if _, status := st.Incr(st.Hash([]byte(key)), []byte(key), 1); status != Stored {
				t.Fatal(status)
			}
		}
		if got := bytes.Join(p.Pieces, nil); !bytes.Equal(got, value) {
			t.Errorf("%d bytes have changed under a reader: %.10q", n, got)
		}
		p.Release()
		if got, _ := get(st, key); got != "15"+strings.Repeat(" ", n) {
			t.Errorf("%d bytes: %.10q", n, got)
		}
	}
}

// memcached 1.6.45: a number that becomes longer counts as an item that was stored, another one
// does not.
func TestALongerNumberCountsAsStored(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, PackHex: true})
	for _, tt := range []struct {
		value string
		want  uint64
	}{
		{"9", 1}, {"99", 1}, {"10", 0}, {"9 ", 0}, {"00009", 0}, {"8", 0},
		{strings.Repeat("0", 39) + "9", 0}, {"9" + strings.Repeat(" ", 600), 0}, {"9" + strings.Repeat(" ", 300_000), 0},
	} {
		for _, shown := range []bool{false, true} {
			commit(st, []byte("k"), Set, []byte(tt.value))
			if len(tt.value) < 1000 {
				put(st, Set, "k", tt.value, 0)
			}
			if shown {
				unique(t, st, "k")
			}
			before := st.Stats().TotalItems
			if _, status := st.Incr(st.Hash([]byte("k")), []byte("k"), 1); status != Stored {
				t.Fatal(status)
			}
			if got := st.Stats().TotalItems - before; got != tt.want {
				t.Errorf("%.10q, %d bytes, shown %v: %d more items", tt.value, len(tt.value), shown, got)
			}
		}
	}
}
