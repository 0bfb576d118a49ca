package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// A dear command is one of which a short line asks for much work.
type dear struct {
	name   string
	before string // said first
	line   string
	n      int // of it in the pipeline
	most   int // commands a turn may serve, or for a multiget keys
}

func dears() []dear {
	set := func(n int, value string) string {
		return fmt.Sprintf("set k 0 0 %d\r\n%s\r\n", n, strings.Repeat(value, n))
	}
	return []dear{
		{"incr of a long number", set(400_000, "0"), "incr k 1\r\n", 40, 8},
		{"decr of a long number", set(100_000, "0"), "decr k 1\r\n", 80, 29},
		{"ma of a long number", set(400_000, "0"), "ma k\r\n", 40, 8},
		{"incr of what is no number", set(400_000, "0") + "append k 0 0 1\r\nx\r\n", "incr k 1\r\n", 40, 8},
		{"sets of long values", "", "set s 0 0 60000\r\n" + strings.Repeat("s", 60_000) + "\r\n", 100, 7},
		{"flush_all", "", "flush_all\r\n", 60, 1},
		{"flush_prefix", "", "flush_prefix k\r\n", 60, 1},
		{"cache_memlimit", "", "cache_memlimit 64\r\n", 60, 1},
		{"stats", "", "stats\r\n", 60, 3},
		{"stats slabs", "", "stats slabs\r\n", 60, 5},
		{"stats gomemd", "", "stats gomemd\r\n", 60, 2},
		{"stats reset", "", "stats reset\r\n", 60, 5},
	}
}

// turns feeds a session until it is done, and counts the turns. each is called after every one,
// with what it has consumed and said.
func (v *client) turns(in []byte, each func(consumed int, said []byte)) (n int) {
	v.w.Events.Flush()
	for again := true; again; n++ {
		consumed, verdict := v.Feed(in)
		said := v.w.taken()
		each(consumed, said)
		if in = in[consumed:]; verdict == Later {
			<-v.woken
		}
		again = verdict == Yield || verdict == Full || verdict == Later
	}
	return n
}

// However long a pipeline of dear commands is, a turn serves few of them, and all are served in
// the end.
func TestATurnServesFewDearCommands(t *testing.T) {
	for _, tt := range dears() {
		t.Run(tt.name, func(t *testing.T) {
			v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: 1000}}).client()
			v.say(tt.before)
			served := 0
			turns := v.turns([]byte(strings.Repeat(tt.line, tt.n)), func(consumed int, _ []byte) {
				if consumed > tt.most*len(tt.line) {
					t.Fatalf("%d of them in one turn", consumed/len(tt.line))
				}
				served += consumed / len(tt.line)
			})
			if served != tt.n || turns < tt.n/tt.most {
				t.Errorf("%d of %d were served, in %d turns", served, tt.n, turns)
			}
		})
	}
}

// Cheap commands have what -R says of a turn, and no less.
func TestATurnServesManyCheapCommands(t *testing.T) {
	for _, line := range []string{"get k\r\n", "set k 0 0 100\r\n" + strings.Repeat("v", 100) + "\r\n", "mn\r\n", "nonsense\r\n",
		"mg missing q\r\n", "touch k 0\r\n", "incr n 1\r\n", "append k 0 0 1\r\ny\r\n", "verbosity 0\r\n", "slabs automove 0\r\n"} {
		const reqs = 100
		v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: reqs}}).client()
		v.say("set k 0 0 1\r\nv\r\nset n 0 0 1\r\n1\r\n")
		if n, verdict := v.Feed([]byte(strings.Repeat(line, reqs+1))); n != reqs*len(line) || verdict != Yield {
			t.Errorf("%q: %d of %d in one turn, verdict %d", line, n/len(line), reqs, verdict)
		}
		v.w.Out.Reset()
	}
}

// A multiget of many keys, whole or in pieces, stops in the middle when its turn is over and goes
// on where it was. What is said in between has cost about what a turn may cost.
func TestAMultigetOfMissesTakesTurns(t *testing.T) {
	const keys = 1_000_000
	for _, key := range []string{" a", " " + strings.Repeat("q", 240)} {
		for _, n := range []int{25_000 / len(key), keys / len(key)} {
			v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: 1000}}).client()
			line := []byte("get" + strings.Repeat(key, n) + "\r\nmn\r\n")
			heard, turns := "", 0
			for rest := line; len(rest) > 0 || v.Owes(); {
				event := rest[:min(len(rest), 64<<10)] // what is read at once
				consumed, verdict := v.Feed(event)
				turns++
				if v.w.Worked() > TurnWork+TurnWork/2 {
					t.Fatalf("%d keys %.3q: a turn of %d", n, key, v.w.Worked())
				}
				if verdict == Idle && consumed < len(event) {
					t.Fatalf("idle with input left")
				}
				heard += string(v.w.taken())
				for i := range event[:consumed] {
					event[i] = 'X' // consumed bytes are the reader's again
				}
				rest = rest[consumed:]
			}
			if heard != "END\r\nMN\r\n" {
				t.Errorf("%d keys %.3q: heard %q", n, key, heard)
			}
			if least := n * keyWork / TurnWork; turns < least {
				t.Errorf("%d keys %.3q: %d turns", n, key, turns)
			}
		}
	}
}

// So does a list of many clients.
func TestAListOfClientsTakesTurns(t *testing.T) {
	p := newFixture(t, options{MemoryLimit: 16 << 20})
	p.listed = 5_000
	v := p.client()
	heard := ""
	turns := v.turns([]byte("stats conns\r\nmn\r\n"), func(_ int, said []byte) {
		if n := strings.Count(string(said), ":state"); n > TurnWork/clientWork {
			t.Fatalf("%d clients in one turn", n)
		}
		heard += string(said)
	})
	if n := strings.Count(heard, ":state conn_read\r\n"); n != p.listed || !strings.HasSuffix(heard, "\r\nEND\r\nMN\r\n") || turns < 20 {
		t.Errorf("%d clients of %d in %d turns, the last %q", n, p.listed, turns, heard[max(0, len(heard)-60):])
	}
}

// clocked is what changes by itself in statistics.
var clocked = regexp.MustCompile(`STAT (rusage_\w+|pid|uptime|time|memory_\w+|threads) [^\r]*\r\n`)

// Wherever turns end, what is said is what would have been said at once.
func TestTurnsChangeNoReply(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	commands := []string{"get k\r\n", "gets k n missing k\r\n", "get" + strings.Repeat(" n", 3000) + " k" + "\r\n",
		"get" + strings.Repeat(" missing", 4000) + " k\r\n", "mn\r\n", "nonsense\r\n", "set n 0 0 2\r\n17\r\n",
		"set m 0 0 5 noreply\r\nhello\r\n", "mg k s v\r\n", "mg missing q\r\n", "me missing\r\n", "ms k x\r\n", "delete m\r\n"}
	for _, d := range dears() {
		commands = append(commands, d.line)
	}
	for range 5 {
		var in strings.Builder
		in.WriteString("set k 0 0 50000\r\n" + strings.Repeat("0", 50_000) + "\r\n")
		for range 60 {
			in.WriteString(commands[r.IntN(len(commands))])
		}
		heard := func(commands int, cut func() int) string {
			v := newFixture(t, options{MemoryLimit: 16 << 20, Rules: Rules{ReqsPerEvent: commands}}).client()
			var all bytes.Buffer
			for rest := in.String(); len(rest) > 0; {
				n := min(len(rest), cut())
				all.WriteString(v.say(rest[:n]))
				rest = rest[n:]
			}
			return string(clocked.ReplaceAll(all.Bytes(), nil))
		}
		whole := heard(1<<30, func() int { return 1 << 30 })
		if got := heard(1+r.IntN(30), func() int { return 1 + r.IntN(100_000) }); got != whole {
			at := 0
			for at < min(len(got), len(whole)) && got[at] == whole[at] {
				at++
			}
			t.Errorf("heard %d bytes of %d, from %d on %.100q, not %.100q", len(got), len(whole), at, got[at:], whole[at:])
		}
	}
}
