package session

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/conversation"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/invariants"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// options are what a test's server may be told.
type options struct {
	Rules
	MemoryLimit     int64
	DisableEviction bool
	StatsDetail     bool
	TrackSizes      bool
	PrefixDelimiter byte
	AuthFile        string
	Loops           int
	Insight         insight.Options
}

// A fixture is a server without sockets: what its clients say goes straight to sessions. It does
// what a server does, but for waiting: everything is written at once, and a session is always fed
// until it has nothing more to do.
type fixture struct {
	env *Env
	w   *Worker
	end []bool // clients have said shutdown; graceful?

	listed int // in stats conns
}

func newFixture(t testing.TB, opts options) *fixture {
	orElse(&opts.MemoryLimit, 64<<20)
	orElse(&opts.ItemMax, 1<<20)
	orElse(&opts.ReqsPerEvent, 20)
	orElse(&opts.PrefixDelimiter, ':')
	p := &fixture{env: &Env{}}
	clock := expiry.NewClock(1_700_000_000)
	store, err := storage.Open(storage.Options{
		MemoryLimit: opts.MemoryLimit, ItemMax: opts.ItemMax, DisableEviction: opts.DisableEviction,
		DisableCAS: opts.DisableCAS, TrackSizes: opts.TrackSizes, HeapArena: invariants.Enabled,
	}, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.env.Wait()
		if err := store.Check(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	p.env = &Env{
		Store: store, Clock: clock, Started: time.Now(), Hub: events.NewHub(store, 256<<10, opts.PrefixDelimiter),
		Insight: insight.New(opts.Insight),
		Rules:   opts.Rules, Version: "1.6.45-gomemd0.0.0", EventLoop: "none", Log: io.Discard,
		Settings: stats.Settings{ItemMax: opts.ItemMax, ReqsPerEvent: opts.ReqsPerEvent, DisableEviction: opts.DisableEviction,
			DisableCAS: opts.DisableCAS, DisableFlush: opts.DisableFlush, DisableDump: opts.DisableDump,
			EnableShutdown: opts.EnableShutdown, TrackSizes: opts.TrackSizes, PrefixDelimiter: opts.PrefixDelimiter},
		End:           func(graceful bool) { p.end = append(p.end, graceful) },
		Conns:         func() stats.Conns { return stats.Conns{Current: 1, Total: 1} },
		ResetConns:    func() {},
		Clients:       p.list,
		HeldByClients: func() uint64 { return 0 },
	}
	p.env.Hub.SetDetail(opts.StatsDetail)
	if opts.AuthFile != "" {
		if p.env.Passwords, err = LoadPasswords(opts.AuthFile, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.w = NewWorker(p.env)
	return p
}

func orElse[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// list is what stats conns tells: clients that are not there.
func (p *fixture) list() (next func() (stats.Conn, bool)) {
	fd := 0
	return func() (stats.Conn, bool) {
		fd++
		return stats.Conn{FD: fd, Addr: "tcp:192.0.2.1:40000", Listen: "tcp:192.0.2.2:11211", State: "conn_read"}, fd <= p.listed
	}
}

func (p *fixture) Dial() (conversation.Conn, error) { return p.client(), nil }

func (p *fixture) client() *client { return p.clientOn(Either) }

func (p *fixture) clientOn(wire Wire) *client {
	v := &client{p: p}
	v.woken = make(chan struct{}, 1)
	v.Init(p.w, 0, func() {
		select {
		case v.woken <- struct{}{}:
		default:
		}
	}, wire)
	return v
}

func (p *fixture) Pass(d time.Duration) {
	p.env.Clock.Set(p.env.Clock.Now() + expiry.Instant(d/time.Second))
	p.sweep()
}

func (p *fixture) sweep() {
	for p.env.Store.Sweep() {
	}
	p.env.FlushEvictions()
}

func (p *fixture) Name() string { return "gomemd" }

// client is one end of a conversation.
type client struct {
	Session
	p      *fixture
	unread []byte // input that the session has not consumed
	heard  bytes.Buffer
	gone   bool
	woken  chan struct{}
}

func (v *client) Write(said []byte) (int, error) {
	if v.gone {
		return 0, io.ErrClosedPipe
	}
	v.unread = append(v.unread, said...)
	for more := true; more && !v.gone; {
		n, verdict := v.Feed(v.unread)
		v.unread = v.unread[n:]
		v.heard.Write(v.w.taken())
		if verdict == Later {
			v.wait()
		}
		more = verdict == Yield || verdict == Full || verdict == Later
		v.gone = verdict == HangUp
	}
	v.w.EndEvent()
	return len(said), nil
}

// wait waits until the session is to be fed again. Prefixes that are flushed come to an end by sweeping.
func (v *client) wait() {
	for v.p.env.Store.Prefixing() == storage.PrefixesMost {
		select {
		case <-v.woken:
			return
		default:
			v.p.env.Store.Sweep()
		}
	}
	<-v.woken
}

func (v *client) Read(buf []byte) (int, error) {
	n, err := v.heard.Read(buf)
	if err == io.EOF && !v.gone {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (v *client) Close() error                    { v.gone = true; v.Session.Close(); return nil }
func (v *client) CloseWrite() error               { return v.Close() }
func (v *client) SetReadDeadline(time.Time) error { return nil }

// taken writes the replies out.
func (w *Worker) taken() []byte {
	out := bytes.Join(w.Out.Parts(), nil)
	w.Out.Reset()
	return out
}

func (v *client) say(text string) string {
	v.heard.Reset()
	_, _ = v.Write([]byte(text)) // a closed client hears nothing
	return v.heard.String()
}

// Every conversation is held whole, byte by byte, and cut at random; the answers may not depend on
// the cutting.
func TestConversationsHoweverCut(t *testing.T) {
	files, err := filepath.Glob("../../compat_test/testdata/conversations/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	cuts := map[string]conversation.Cut{
		"whole":        conversation.Whole,
		"byte by byte": conversation.ByteByByte,
	}
	seeds := uint64(5)
	if invariants.Enabled {
		seeds = 1 // a store each that has to be cleared, and one goroutine: no race to see
	}
	for seed := range seeds {
		cuts[fmt.Sprintf("cut at random %d", seed)] = conversation.AtRandom(seed)
	}
	for _, file := range files {
		c, err := conversation.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, cut := range cuts {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				opts, err := optionsOf(c.Options)
				if err != nil {
					t.Fatal(err)
				}
				player := conversation.Player{Server: newFixture(t, opts), Cut: cut}
				if err := player.Play(c); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// FuzzCuts: whatever bytes come, and however they are cut, the answers are the same and every item
// is whole.
//
// Lines beyond lineMax are left out: memcached hangs up when it has that much of a line without its
// end, so there the answer does depend on what arrives together, and we follow.
func FuzzCuts(f *testing.F) {
	f.Add([]byte("set k 0 0 5\r\nhello\r\nget k\r\n"), uint64(1))
	f.Add([]byte("set k 1 0 2 noreply\r\n12\r\nincr k 99\r\ngets k k\r\nappend k 0 0 1\r\nx\r\ngat 5 k\r\n"), uint64(2))
	f.Add([]byte("set k 0 0 99999999\r\nxx\r\nget k\r\n"), uint64(3))
	f.Add([]byte("set k 0 0 3\r\nhello\r\nfoo\r\ncas k 0 0 1\r\nx\r\nGET / HTTP/1.0\r\n"), uint64(4))
	f.Add([]byte("ms k 5 T30 F7 c\r\nhello\r\nmg k v t f c k Oabc\r\nmd k I T9\r\nmg k v c s\r\nms k 2 I C1\r\nxx\r\nmg none N30 v\r\nmn\r\n"), uint64(5))
	f.Add([]byte("ma n N0 J5 v\r\nma n MD D2 q\r\nma n v t\r\nms Zm9v 1 b q\r\n1\r\nmg Zm9v b k v q\r\nme n\r\nms k 9 MA\r\nx\r\nmn\r\n"), uint64(6))
	f.Fuzz(func(t *testing.T, said []byte, seed uint64) {
		for line := range bytes.SplitSeq(said, []byte("\n")) {
			if len(line) >= lineMax {
				t.Skip()
			}
		}
		if bytes.Contains(said, []byte("stats")) || bytes.Contains(said, []byte("dump")) {
			t.Skip() // counts what has been consumed so far, or looks what comes before it
		}
		whole := newFixture(t, options{MemoryLimit: 4 << 20, Rules: Rules{ItemMax: 64 << 10}}).client().say(string(said))
		cutter := newFixture(t, options{MemoryLimit: 4 << 20, Rules: Rules{ItemMax: 64 << 10}}).client()
		var heard bytes.Buffer
		random := rand.New(rand.NewPCG(seed, 1))
		for rest := said; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(64)))
			heard.WriteString(cutter.say(string(rest[:n])))
			rest = rest[n:]
		}
		if heard.String() != whole {
			t.Errorf("said %q\ncut   %q\nwhole %q", said, heard.String(), whole)
		}
	})
}

func TestOneTurnServesReqsPerEvent(t *testing.T) {
	p := newFixture(t, options{Rules: Rules{ReqsPerEvent: 3}})
	v := p.client()
	in := []byte("mn\r\nmn\r\nmn\r\nmn\r\n")
	n, verdict := v.Feed(in)
	if verdict != Yield || n != len("mn\r\n")*3 {
		t.Errorf("feed consumed %d and said %d, want 12 and yield", n, verdict)
	}
	if n, verdict = v.Feed(in[n:]); verdict != Idle || n != len("mn\r\n") {
		t.Errorf("then feed consumed %d and said %d, want 4 and idle", n, verdict)
	}
}

// A multiget with more to say than OutMax stops where it is and goes on later, without being asked
// again.
func TestMultigetWaitsForItsReplies(t *testing.T) {
	v := newFixture(t, options{}).client()
	value := bytes.Repeat([]byte("v"), 10_000)
	v.say("set k 0 0 10000\r\n" + string(value) + "\r\n")
	line := "get" + string(bytes.Repeat([]byte(" k"), 100)) + "\r\n"

	want := string(bytes.Repeat(append(append([]byte("VALUE k 0 10000\r\n"), value...), "\r\n"...), 100)) + "END\r\n"
	var heard bytes.Buffer
	in := []byte(line)
	for turns := 0; ; turns++ {
		n, verdict := v.Feed(in)
		for i := range in[:n] {
			in[i] = 'X' // consumed bytes are the reader's again
		}
		in = in[n:]
		if v.w.Out.Pending() > OutMax+len(value)+100 {
			t.Fatalf("%d bytes of replies in one turn", v.w.Out.Pending())
		}
		heard.Write(v.w.taken())
		if verdict == Idle {
			if turns < 10 {
				t.Errorf("a megabyte of replies took %d turns", turns)
			}
			break
		}
	}
	if heard.String() != want {
		t.Errorf("heard %d bytes, want %d", heard.Len(), len(want))
	}
}

// An idle connection holds no buffer, whatever came before.
func TestNothingIsKeptBetweenCommands(t *testing.T) {
	v := newFixture(t, options{}).client()
	v.say("get a")
	v.say("b\r\n")
	v.say("set k 0 0 5\r\nhe")
	v.say("llo\r\n")
	if v.line != nil || v.long != nil || v.block != nil || v.rest != nil {
		t.Errorf("kept: line %v, block %v, rest %v", v.line, v.block, v.rest)
	}
}

func TestRequestsAllocateNothing(t *testing.T) {
	p := newFixture(t, options{})
	v := p.client()
	v.say("set k 0 0 32\r\n0123456789abcdef0123456789abcdef\r\nset n 0 0 1\r\n1\r\n")
	for _, said := range []string{
		"get k\r\n",
		"get k k k missing\r\n",
		"gets k\r\n",
		"gat 0 k\r\n",
		"set k 0 0 32\r\n0123456789abcdef0123456789abcdee\r\n",
		"set k 0 0 32 noreply\r\n0123456789abcdef0123456789abcdee\r\n",
		"incr n 1\r\n",
		"touch k 0\r\n",
		"delete missing\r\n",
	} {
		v.allocatesNothing(t, said, said)
	}
}

// allocatesNothing has something served again and again.
func (v *client) allocatesNothing(t *testing.T, name, said string) {
	t.Helper()
	in := []byte(said)
	n := testing.AllocsPerRun(200, func() {
		if n, verdict := v.Feed(in); n != len(in) || verdict != Idle {
			t.Fatalf("%q: consumed %d, verdict %d", name, n, verdict)
		}
		v.w.Out.Reset()
		v.w.Counters.Publish()
	})
	if n != 0 {
		t.Errorf("%q: %v allocations", name, n)
	}
}
