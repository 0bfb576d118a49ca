package conversation

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// A parrot repeats each line in capitals, with some exceptions:
//
//	mute     no answer
//	bye      hangs up
//	count    a number that grows by one each time, in this parrot's life
//	clock    how many seconds have been let go by
//	cut      how many writes this line has come in
type parrot struct {
	name    string
	counted int
	clock   time.Duration
}

func (p *parrot) Dial() (Conn, error)  { return &perch{parrot: p}, nil }
func (p *parrot) Pass(d time.Duration) { p.clock += d }
func (p *parrot) Name() string         { return p.name }

// A perch is a connection to a parrot, and an example of a session without a socket.
type perch struct {
	*parrot
	in, out bytes.Buffer
	writes  int
	gone    bool
}

func (c *perch) Write(said []byte) (int, error) {
	if c.gone {
		return 0, io.ErrClosedPipe
	}
	c.writes++
	c.in.Write(said)
	for !c.gone && bytes.IndexByte(c.in.Bytes(), '\n') >= 0 {
		line, _ := c.in.ReadString('\n')
		c.answer(strings.TrimRight(line, "\r\n"))
	}
	return len(said), nil
}

func (c *perch) answer(line string) {
	switch line {
	case "mute":
	case "bye":
		c.gone = true
	case "count":
		c.counted++
		fmt.Fprintf(&c.out, "%d\r\n", c.counted)
	case "clock":
		fmt.Fprintf(&c.out, "%.0f\r\n", c.clock.Seconds())
	case "cut":
		fmt.Fprintf(&c.out, "%d\r\n", c.writes)
	default:
		c.out.WriteString(strings.ToUpper(line) + "\r\n")
	}
	c.writes = 0
}

func (c *perch) Read(buf []byte) (int, error) {
	switch {
	case c.out.Len() > 0:
		return c.out.Read(buf)
	case c.gone:
		return 0, io.EOF
	}
	return 0, os.ErrDeadlineExceeded
}

func (c *perch) Close() error                    { c.gone = true; return nil }
func (c *perch) CloseWrite() error               { c.gone = true; return nil }
func (c *perch) SetReadDeadline(time.Time) error { return nil }

func play(t *testing.T, p *Player, text string) error {
	t.Helper()
	c, err := Parse("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	return p.Play(c)
}

// complaint is an error as the tables below write it: without line ends, which all lines have.
func complaint(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), `\r\n`, "")
}

const performance = `
> polly
< POLLY
> one
> two\n\
< ONE
< TWO
> spl\
> it
< SPLIT
> {a#*3}
< {A#*3}
> mute
(silence)

> count
< {n1}
> again {n1}
< AGAIN {n1}
alice> count
bob> count
alice< {n2}
bob< {n3}
(n1 is not n2)
(n3 is more than n1)
> clock
< 0
(4s pass)
> clock
< 4
> bye
(the server hangs up)
> back
< BACK
bob> done
(the client hangs up)
bob> back again
bob< BACK AGAIN
(half-close)
(the server hangs up)
`

func TestPlay(t *testing.T) {
	for name, cut := range map[string]Cut{"whole": Whole, "byte by byte": ByteByByte, "at random": AtRandom(1)} {
		t.Run(name, func(t *testing.T) {
			if err := play(t, &Player{Server: &parrot{}, Cut: cut}, performance); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlayNoticesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"another answer", "> a\n< B", `x.txt:2: heard "A", not "B"` + "\n\tafter line 1: > a"},
		{"a longer answer", "> ab\n< A", `x.txt:2: heard "AB", not "A"`},
		{"a shorter answer", "> a\n< AB", `x.txt:2: heard "A", not "AB"`},
		{"no answer", "> mute\n< MUTE", `x.txt:2: heard nothing, not "MUTE"`},
		{"an answer too many", "> a\n> b\n< A\n> c\n< C", `x.txt:4: heard "B" before this was said`},
		{"an answer too many at the end", "> a\n> b\n< A", `x.txt: at the end: heard "B" before the server hung up`},
		{"no silence", "> a\n(silence)", `x.txt:1: heard "A", not silence`},
		{"a hangup for silence", "> bye\n(silence)", `x.txt:1: the server hung up, instead`},
		{"no hangup", "> mute\n(the server hangs up)", `x.txt:1: the server did not hang up`},
		{"an answer before the hangup", "> a\n> bye\n(the server hangs up)", `x.txt:1: heard "A" before the server hung up`},
		{"a hole with something else in it", "> count\n< {n}\n> count\n< {n}", `x.txt:4: heard "2", not "1"`},
		{"a hole with nothing in it", "> x\n< X{n}", `x.txt:2: heard "X", with nothing for {n}`},
		{"equal after all", "> a\n< {a}\n> a\n< {b}\n(a is not b)", `x.txt:5: both are A`},
		{"not more", "> count\n< {a}\n> count\n< {b}\n(a is more than b)", `x.txt:5: 1 is not more than 2`},
		{"a draft", "> a\n< ?", `x.txt:2: a draft has no answer yet`},
		{"nobody there", "> a\n< A\nbob(half-close)", `x.txt:3: this client has no connection`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := complaint(play(t, &Player{Server: &parrot{}}, tt.text))
			if tt.want == "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPlayCuts(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  Cut
		text string
	}{
		{"a turn is one write", Whole, "> one\n> cut\n< ONE\n< 0"}, // the write went to the first line's account
		{"unless a line goes on", Whole, "> c\\\n> u\\\n> t\n< 3"},
		{"byte by byte", ByteByByte, "> cut\n< 5"},
		{"except in one piece", ByteByByte, "(in one piece)\n> cut\n< 1\n> cut\n< 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := play(t, &Player{Server: &parrot{}, Cut: tt.cut}, tt.text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCutsLoseNothing(t *testing.T) {
	said := bytes.Repeat([]byte("0123456789\r\n"), 2000)
	for name, cut := range map[string]Cut{"whole": Whole, "byte by byte": ByteByByte, "at random": AtRandom(7)} {
		if got := bytes.Join(cut(said), nil); !bytes.Equal(got, said) {
			t.Errorf("%s: %d bytes in, %d out", name, len(said), len(got))
		}
	}
	first, second := AtRandom(3), AtRandom(3)
	if len(first(said)) != len(second(said)) {
		t.Error("equal seeds cut in different places")
	}
}

// Where memcached differs, the turn says so, and each server is held to its own answer.
func TestOtherAnswers(t *testing.T) {
	const text = `
> mine
< MINE
> theirs
< OURS
(memcached 1.6.45: THEIRS)
(memcached 1.6.18 differs: it sounds alike)
> mute
< A WORD
(memcached 1.6.45 says nothing)
(memcached 1.6.18 says nothing)
> bye
< A LAST WORD
(memcached 1.6.45 differs: it is short)
(memcached differs: it is short, too)
> whatever
< WHATEVER
`
	for name, want := range map[string]string{
		"memcached 1.6.45": "",
		"memcached 1.6.18": "",
		"memcached 1.6.9":  `x.txt:5: heard "THEIRS", not "OURS"`,
		"gomemd":           `x.txt:5: heard "THEIRS", not "OURS"`,
	} {
		got := complaint(play(t, &Player{Server: &parrot{name: name}}, text))
		if first, _, _ := strings.Cut(got, "\n"); first != want {
			t.Errorf("%s: %s, want %q", name, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	const text = `# drafts
> polly
< ?

alice> nine\x20
alice< ?
> mute
< ?
> bye
< ?
> x 1
> y
< X {n}
< ?
# as written
> right
< RIGHT
# otherwise
> wrong
< RONG
> bye
< BYE
(memcached 1.6.45: GOOD BYE)
# anything
> any
< THING
(memcached differs: it does as it likes)
`
	const want = `# drafts
> polly
< POLLY

alice> nine\x20
alice< NINE\x20
> mute
(silence)
> bye
(the server hangs up)
> x 1
> y
< X {n}
< Y
# as written
> right
< RIGHT
# otherwise
> wrong
< RONG
(memcached 1.6.45: WRONG)
> bye
< BYE
(memcached 1.6.45 hangs up)
# anything
> any
< THING
(memcached differs: it does as it likes)
`
	c, err := Parse("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{Server: &parrot{name: "memcached 1.6.45"}, Rewrite: true}
	if err := p.Play(c); err != nil {
		t.Fatal(err)
	}
	if got := string(c.Text()); got != want {
		t.Errorf("rewritten as\n%s", got)
	}
	if err := play(t, &Player{Server: p.Server}, want); err != nil {
		t.Errorf("what was rewritten is not what is heard: %v", err)
	}
	if err := play(t, &Player{Server: &parrot{name: "gomemd"}, Rewrite: true}, text); err == nil {
		t.Error("gomemd was let to say what is right")
	}
}
