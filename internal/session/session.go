package session

import (
	"bytes"

	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// Session is the conversation with one client.
//
//	          a line, or packet   one with a value           value complete
//	command ────────────────▶ command ──────────────▶ value ─────────────────▶ command
//	   ▲                         └── refused ───────▶ swallow ── value gone ──▶ command
//	   │ all keys served
//	retrieval ◀── replies of a multiget pass OutMax ── command
//	   dump   ◀── something that lists all items ── command
//	  clients ◀── stats conns ───────────────────── command
//	   again  ◀── the store has no room to pin ──── command
//	   again  ◀── too many prefixes are flushed ─── command
//	  survey  ◀── stats prefixes ────────────────── command
//
// It begins in first: the first byte says whether lines are spoken or packets, from then on (Wire).
// In text with passwords (-Y) the next state is login; auth.go has the way from there to command.
// Packets have a login of their own (sasl.go), in which token is the only state. After watch a
// session stays in that state, and what comes is dropped (watch.go).
//
// Whoever feeds it writes out what gathers in Worker.Out, and feeds it no further while that does
// not fit the socket. The zero value is ready for Init.
type Session struct {
	w     *Worker
	fd    int // names the connection in -vv lines
	wake  func()
	state State
	wire  Wire
	op    protocol.Op // of the command that was served last
	line  []byte      // command, login: the beginning of a line or a packet's head; token: what has come of it
	long  *longLine   // command: the same of a multiget beyond lineMax
	want  int         // value, swallow, token: bytes of the block still to come
	kept  []byte      // swallow: what is said when they have; again, token: the line or head that is to be served
	block *block      // value: what the block is for
	rest  *retrieval  // retrieval: the keys still to be served
	dump  *dump       // dump: what is listed

	clients  func() (stats.Conn, bool) // clients: gives those still to be listed
	survey   *survey                   // survey: what is waited for …
	surveyed []byte                    // … and what is still to be said of it
	place    uint64                    // again: of a flush_prefix among those that wait

	watcher  *events.Watcher // watch
	quits    bool            // has said so
	breach   Breach          // why it is hung up on, if it has not
	admitted bool            // has logged in, or need not
	steps    bool            // a step of SASL may come
}

// State is where in the conversation a session is.
type State uint8

// The states.
const (
	StateCommand State = iota
	StateValue
	StateSwallow
	StateRetrieval
	StateDump
	StateClients
	StateLogin
	StateToken
	StateWatch
	StateAgain
	StateSurvey
	StateFirst
)

// Waits tells whether a session in this state waits for its client to begin a command. The
// beginning of one may have come.
func (st State) Waits() bool {
	return st == StateFirst || st == StateCommand || st == StateLogin
}

// String is the state's name in stats conns, which is memcached's.
func (st State) String() string { return stateTexts[st] }

var stateTexts = [...]string{
	StateCommand:   "conn_read",
	StateValue:     "conn_nread",
	StateSwallow:   "conn_swallow",
	StateRetrieval: "conn_mwrite",
	StateDump:      "conn_watch",
	StateClients:   "conn_mwrite",
	StateLogin:     "conn_read",
	StateToken:     "conn_nread",
	StateWatch:     "conn_watch",
	StateAgain:     "conn_mwrite",
	StateSurvey:    "conn_mwrite",
	StateFirst:     "conn_read",
}

// Verdict says why Feed came back.
type Verdict uint8

// The verdicts.
const (
	Idle   Verdict = iota // all input is consumed
	Yield                 // it is the other connections' turn: enough work was done (turn.go)
	Full                  // replies wait to be written
	Later                 // the store has no room for what comes next: wake is called when it may have
	HangUp                // write what there is and close
)

// Wire is which of memcached's two protocols a client may speak, and then which it does. It chooses
// with the first byte that it sends: 0x80 begins a packet of the binary protocol, and no line of
// text. Who begins with what he may not speak is hung up on.
type Wire uint8

// The wires.
const (
	Either Wire = iota
	Text
	Binary
)

// Init begins a conversation, on the worker of the loop that has the connection. fd names the
// connection in what is logged and told to watchers. wake is called, by any goroutine, when the
// session should be fed again though nothing has come: after Later, and when the client watches and
// there are lines for it. It must not wait, nor call the session or the store. With passwords and no
// SASL the wire is Text, whichever is given.
func (s *Session) Init(w *Worker, fd int, wake func(), wire Wire) {
	env := w.env
	s.w, s.fd, s.wake, s.wire = w, fd, wake, wire
	if env.Passwords != nil && !env.Rules.SASL {
		s.wire = Text // in packets there would be no way to log in
	}
	s.admitted = env.Passwords == nil && !env.Rules.SASL
	s.state = StateFirst
}

// chooses lets the first byte of a conversation choose the wire, if it may.
func (s *Session) chooses(first byte) bool {
	wire := Text
	if first == protocol.MagicRequest {
		wire = Binary
	}
	if s.wire != Either && s.wire != wire {
		s.breach = TextNotSpoken
		if wire == Binary {
			s.breach = PacketsNotSpoken
		}
		return false
	}
	s.wire, s.state = wire, StateCommand
	if wire == Text && !s.admitted {
		s.state = StateLogin
	}
	return true
}

// Feed serves the commands in the input and tells how much of it was consumed and why it stopped.
// Replies gather in Worker.Out. The input may be cut anywhere; bytes that were consumed are never
// needed again. The input may be empty: there may be replies to go on with.
func (s *Session) Feed(in []byte) (consumed int, _ Verdict) {
	t := &s.w.turn
	t.begin(s.w.perEvent())
	s.w.wake = s.wake
	s.w.Events.Look(s.fd)
	for {
		rest := in[consumed:]
		if len(rest) == 0 && !s.Owes() {
			return consumed, Idle
		}
		if t.full(&s.w.Out) {
			return consumed, Full
		}
		switch s.state {
		case StateFirst:
			if !s.chooses(rest[0]) {
				return consumed, HangUp
			}
		case StateCommand:
			if t.spent() {
				return consumed, Yield
			}
			n, v := 0, Idle
			if s.wire == Binary {
				n, v = s.packets(rest)
			} else {
				n, v = s.commands(rest)
			}
			consumed += n
			if v != Idle {
				return consumed, v
			}
		case StateValue:
			n, v := s.value(rest)
			consumed += n
			if v != Idle {
				return consumed, v
			}
		case StateSwallow:
			n := min(s.want, len(rest))
			s.want -= n
			consumed += n
			if s.want == 0 {
				s.w.Out.buf = append(s.w.Out.buf, s.kept...)
				s.state, s.kept = StateCommand, nil
			}
		case StateRetrieval:
			if v := s.resumeRetrieval(); v != Idle {
				return consumed, v
			}
		case StateAgain:
			if v := s.resumeAgain(); v != Idle {
				return consumed, v
			}
		case StateDump:
			if v := s.resumeDump(); v != Idle {
				return consumed, v
			}
		case StateClients:
			if v := s.resumeClients(); v != Idle {
				return consumed, v
			}
		case StateSurvey:
			if v := s.resumeSurvey(); v != Idle {
				return consumed, v
			}
		case StateLogin:
			if t.spent() {
				return consumed, Yield
			}
			t.serve()
			n, v := s.login(rest)
			consumed += n
			if v != Idle {
				return consumed, v
			}
		case StateToken:
			consumed += s.token(rest)
		case StateWatch:
			s.lines()
			return len(in), Idle
		}
	}
}

// State tells where in the conversation the session is.
func (s *Session) State() State { return s.state }

// BetweenCommands tells whether nothing of a command has come that is not served and answered.
// Replies may still wait in Worker.Out. Who watches asks for nothing any more.
func (s *Session) BetweenCommands() bool {
	return (s.state.Waits() || s.state == StateWatch) && len(s.line) == 0 && s.long == nil
}

// Owes tells whether there may be more to say without more input: Feed goes on with it.
func (s *Session) Owes() bool {
	switch s.state {
	case StateRetrieval, StateDump, StateClients, StateAgain, StateSurvey, StateWatch:
		return true
	}
	return false
}

// Quits tells whether the client has said quit.
func (s *Session) Quits() bool { return s.quits }

// afterBlock reads past the n bytes of a block, and then says what answer appends to the replies.
// Proxies pair answers with requests: one that comes before its request has been sent is taken for
// something else's, or for a server that is out of its mind.
func (s *Session) afterBlock(n int, answer func()) {
	out := &s.w.Out
	begin := len(out.buf)
	answer()
	if n > 0 {
		s.state, s.want, s.kept = StateSwallow, n, bytes.Clone(out.buf[begin:])
		out.buf = out.buf[:begin]
	}
}

// Gathered is how many bytes of unfinished commands the session keeps.
func (s *Session) Gathered() int {
	n := cap(s.line)
	if s.long != nil {
		n += s.long.kept()
	}
	if s.block != nil {
		n += cap(s.block.buf)
	}
	if s.rest != nil {
		n += s.rest.kept()
	}
	return n + cap(s.kept) + len(s.surveyed)
}

// Close gives back what a session holds when its client is gone.
func (s *Session) Close() {
	if s.block != nil {
		s.block.abort()
	}
	if s.dump != nil {
		s.dump.close()
	}
	if s.survey != nil {
		s.w.env.surveys.leave(s.survey)
	}
	s.block, s.rest, s.dump, s.clients, s.kept, s.survey, s.surveyed = nil, nil, nil, nil, nil, nil, nil
	s.line, s.long = nil, nil
	if s.watcher != nil {
		s.w.env.Hub.Remove(s.watcher)
		s.watcher = nil
	}
}
