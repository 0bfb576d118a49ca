package field

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func whole(v Value) []byte {
	text := make([]byte, v.Size)
	v.Put(text, 0)
	return text
}

func TestAValueIsTheSameInPieces(t *testing.T) {
	v := Value{Key: "k", Version: 7, Size: 3<<20 + 5}
	want := whole(v)
	for _, piece := range []int{1, 23, 4095, 4097, 65536} {
		if piece == 1 {
			v.Size = 9000
		} else {
			v.Size = len(want)
		}
		for at := 0; at < v.Size; at += piece {
			text := make([]byte, min(piece, v.Size-at))
			v.Put(text, at)
			if string(text) != string(want[at:at+len(text)]) {
				t.Fatalf("pieces of %d: other bytes at %d", piece, at)
			}
		}
	}
}

// answering plays a server that reads one line and says what it is told to.
func answering(t *testing.T, said []byte) *Client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // not sooner: that would reset a client who has not been accepted
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = bufio.NewReader(conn).ReadString('\n')
		_, _ = conn.Write(said)
	}()
	c, err := Dial(l.Addr().String(), Link{Buffer: narrow, Patience: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reply(vs ...Value) []byte {
	var text []byte
	for _, v := range vs {
		text = fmt.Appendf(text, "VALUE %s %d %d\r\n%s\r\n", v.Key, v.Version, v.Size, whole(v))
	}
	return append(text, "END\r\n"...)
}

// What a client calls each kind of answer.
func TestWhatIsTheMatter(t *testing.T) {
	v, w := Value{"k", 3, 50_000}, Value{"w", 3, 50_000}
	swapped := reply(v)
	head := strings.IndexByte(string(swapped), '\n') + 1
	first, second := swapped[head:head+page], swapped[head+page:head+2*page]
	for i := range first {
		first[i], second[i] = second[i], first[i]
	}
	oneByte := reply(v)
	oneByte[len(oneByte)-100] ^= 1
	flags := reply(v)
	copy(flags, "VALUE k 4")
	older := Value{"k", 2, v.Size}
	renamed := bytes.Replace(reply(w), []byte("w"), []byte("k"), 1)
	for name, c := range map[string]struct {
		said []byte
		want Counts
	}{
		"as it was stored":    {reply(v, w), Counts{Served: 1}},
		"pages are swapped":   {swapped, Counts{Wrong: 1}},
		"one bit":             {oneByte, Counts{Wrong: 1}},
		"another's flags":     {flags, Counts{Wrong: 1}},
		"an older version":    {reply(older), Counts{Wrong: 1}},
		"another key's value": {renamed, Counts{Wrong: 1}},
		"the other order":     {reply(w, v), Counts{Wrong: 1}},
		"twice the same":      {reply(v, v), Counts{Wrong: 1}},
		"one too many":        {reply(v, w, v), Counts{Wrong: 1}},
		"a miss":              {[]byte("END\r\n"), Counts{Lost: 1}},
		"no memory":           {[]byte("SERVER_ERROR out of memory\r\n"), Counts{Refused: 1}},
		"cut":                 {reply(v)[:4000], Counts{Cut: 1}},
		"nothing":             {nil, Counts{Cut: 1}},
	} {
		client := answering(t, c.said)
		var got Tally
		err := client.Get("get", Exactly(v), Exactly(w))
		got.Add(err)
		_ = client.Close()
		if got.Counts != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got.Counts, err, c.want)
		}
	}
}

func TestAReaderKeepsItsPace(t *testing.T) {
	v := Value{"k", 1, 400_000}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Write(reply(v))
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	c, err := Dial(l.Addr().String(), Slow(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	if err := c.Get("get", Exactly(v)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("400 kB at 1 MB/s took %v", took)
	}
}

func TestStuckIsNotCut(t *testing.T) {
	var tally Tally
	ours, theirs := net.Pipe()
	defer theirs.Close()
	p := &paced{Conn: ours, patience: 10 * time.Millisecond}
	_, err := p.Read(make([]byte, 1))
	tally.Add(err)
	tally.Add(errors.New("reset"))
	if tally.Stuck != 1 || tally.Cut != 1 {
		t.Error(tally.Counts)
	}
}

// Who is sent something may wait long until what it says is taken.
func TestAMoveInTheOtherDirectionIsAMove(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	p := &paced{Conn: ours, patience: 300 * time.Millisecond}
	written := make(chan error, 1)
	go func() {
		_, err := p.Write([]byte("said"))
		written <- err
	}()
	for range 20 { // a second
		go func() { _, _ = theirs.Write([]byte("a")) }()
		if _, err := p.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := theirs.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestWorseThan(t *testing.T) {
	for _, c := range []struct {
		us, them Counts
		want     string
	}{
		{Counts{Served: 1}, Counts{Served: 9}, ""},
		{Counts{Cut: 2}, Counts{Cut: 2}, ""},
		{Counts{Cut: 2}, Counts{Cut: 1}, "cut"},
		{Counts{Wrong: 1}, Counts{Wrong: 5}, "**wrong**"},
		{Counts{Wrong: 1, Cut: 1}, Counts{}, "cut **wrong**"},
		{Counts{Stuck: 1}, Counts{Cut: 5}, "stuck"},
	} {
		if got := strings.Join(c.us.WorseThan(c.them), " "); got != c.want {
			t.Errorf("%s beside %s: %q, want %q", c.us, c.them, got, c.want)
		}
	}
}
