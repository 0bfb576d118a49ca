package server

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// Bounds on what one client can make a session hold.
const (
	// outMax is how many bytes of replies may gather before they must be written: beyond it a session stops, in the
	// middle of a multiget if need be. One value more than this can be waiting, no command's worth.
	outMax = 64 << 10
	// batchMax is how many commands of a pipeline, or keys of a multiget, are looked at before the first is served:
	// more of the memory that they need is then fetched at the same time, but it must stay in the nearest cache.
	batchMax = 16
)

// worker is what the sessions of one event loop share. Only that loop's goroutine uses it, but for the published counters.
type worker struct {
	counters stats.Counters
	srv      *Server
	store    *storage.Store
	clock    *expiry.Clock
	out      []byte // replies of the read event being served …

	// … but for the large values among them, if pins is set: replies.go.
	pins   bool
	pinned storage.Pinned
	cuts   []int
	vector [][]byte
	iovecs []unix.Iovec
	turns  *turns // of connections with large replies
	epoll  int32  // the loop's, -1 if it cannot be found; dwell.go

	events events.Recorder // what there is to tell those who watch

	batch  [batchMax]request // the commands being served
	keys   [batchMax][]byte  // the keys of a multiget being served …
	hashes [batchMax]uint64  // … and the hashes of either
}

// request is one command of a batch.
type request struct {
	protocol.Request
	err  error
	line []byte // without its LF
	next int    // where in the input its block begins, or the next command
	hash uint64 // of Key
}

// session is the conversation with one client, without its socket: bytes in, bytes out.
//
//	          a line            a storage line             block complete
//	command ─────────▶ command ───────────────▶ value ─────────────────▶ command
//	   ▲                   └── refused ───────▶ swallow ── block gone ──▶ command
//	   │ all keys served
//	retrieval ◀── replies of a multiget pass outMax ── command
//	   dump   ◀── something that lists all items ── command
//
// After watch it stays in that state, and what comes is dropped (watch.go). With passwords (-Y) a session begins in login;
// auth.go has the way from there to command.
//
// Whoever feeds it writes out what gathers in worker.out, and feeds it no further while that does not fit the socket.
type session struct {
	w     *worker
	fd    int // names the connection in -vv lines
	state state
	line  partial    // command, login: the beginning of a line whose end has not come; token: what has come of it
	want  int        // value, swallow, token: bytes of the block still to come
	block *block     // value: what the block is for
	rest  *retrieval // retrieval: the keys still to be served
	dump  *dump      // dump: what is listed

	watcher *events.Watcher // watch …
	onLines func()          // … to be called when it has lines
	quits   bool            // has said so
}

type state uint8

const (
	stateCommand state = iota
	stateValue
	stateSwallow
	stateRetrieval
	stateDump
	stateLogin
	stateToken
	stateWatch
)

// verdict says why feed came back.
type verdict uint8

const (
	idle   verdict = iota // all input is consumed
	yield                 // it is the other connections' turn: ReqsPerEvent commands were served
	full                  // replies wait to be written
	hangUp                // write what there is and close
)

// feed serves the commands in the input and tells how much of it was consumed and why it stopped. Replies gather in
// worker.out. The input may be cut anywhere; bytes that were consumed are never needed again.
func (s *session) feed(in []byte) (consumed int, _ verdict) {
	turns := s.w.srv.opts.ReqsPerEvent
	s.w.events.Look(s.fd)
	for {
		rest := in[consumed:]
		if len(rest) == 0 && s.state != stateRetrieval && s.state != stateDump {
			return consumed, idle
		}
		if s.w.pending() >= outMax {
			return consumed, full
		}
		switch s.state {
		case stateCommand:
			if turns == 0 {
				return consumed, yield
			}
			n, served, v := s.commands(rest, turns)
			consumed += n
			turns -= served
			if v != idle {
				return consumed, v
			}
		case stateValue:
			consumed += s.value(rest)
		case stateSwallow:
			n := min(s.want, len(rest))
			s.want -= n
			consumed += n
			if s.want == 0 {
				s.state = stateCommand
			}
		case stateRetrieval:
			s.resumeRetrieval()
		case stateDump:
			if s.resumeDump(); s.state == stateDump {
				return consumed, full // or not, but it is the other connections' turn
			}
		case stateLogin:
			if turns == 0 {
				return consumed, yield
			}
			n, v := s.login(rest)
			consumed += n
			turns--
			if v != idle {
				return consumed, v
			}
		case stateToken:
			consumed += s.token(rest)
		case stateWatch:
			return len(in), idle
		}
	}
}

// commands serves the lines that have come, up to a batch or limit of them, each with its block as far as that has come. It
// stops early when a command leaves the session in another state, or when enough replies wait.
func (s *session) commands(in []byte, limit int) (consumed, served int, _ verdict) {
	w := s.w
	n := s.parse(in, min(limit, batchMax))
	if n == 0 {
		s.line.add(in)
		if s.line.tooLong() {
			return len(in), 0, hangUp
		}
		return len(in), 0, idle
	}
	s.line.drop() // it is being served; an idle connection keeps no buffer
	for i := range w.batch[:n] {
		if s.state != stateCommand || w.pending() >= outMax {
			return consumed, served, idle
		}
		req := &w.batch[i]
		if w.srv.verbosity.Load() > 1 {
			w.srv.logf("<%d %s\n", s.fd, bytes.TrimSuffix(req.line, []byte("\r")))
		}
		consumed = req.next
		served++
		if w.events.Watched != 0 && req.err == nil && req.Op.HasKey() {
			w.events.Command(req.Op, req.hash, req.Key)
		}
		switch {
		case req.err != nil:
			if s.refused(req) == hangUp {
				return consumed, served, hangUp
			}
		case req.Block > 0:
			consumed += s.begin(req, in[consumed:])
		default:
			if handlers[req.Op](s, req) == hangUp {
				return consumed, served, hangUp
			}
		}
	}
	return consumed, served, idle
}

// parse cuts up to limit commands off the input, hashes their keys, and has the store warm what they will need. It tells how
// many there are; 0 means that not even the first line has come whole. Nothing is decided here: a command may turn out
// to be the last that is served.
func (s *session) parse(in []byte, limit int) (n int) {
	w := s.w
	for pos, more := 0, true; more && n < limit; {
		end := bytes.IndexByte(in[pos:], '\n')
		if end < 0 {
			break
		}
		req := &w.batch[n]
		req.line, req.next = in[pos:pos+end], pos+end+1
		if n == 0 && s.line.size > 0 {
			req.line = s.line.with(req.line)
		}
		req.err = protocol.Parse(req.line, &req.Request)
		w.hashes[n] = 0
		if req.err == nil && req.Op.HasKey() {
			req.hash = storage.Hash(req.Key)
			w.hashes[n] = req.hash
		}
		n++
		// What comes after a block that is not all here, or after a refusal, may not be a command.
		pos = req.next + req.Block
		more = req.err == nil && pos < len(in)
	}
	if n > 1 {
		w.store.Warm(w.hashes[:n])
	}
	return n
}

// refused answers a line that could not be parsed.
func (s *session) refused(req *request) verdict {
	refusal, ok := req.err.(protocol.Refusal)
	if !ok {
		return hangUp
	}
	s.reply(req.NoReply, string(refusal))
	if req.Block > 0 {
		s.swallow(req.Block)
	}
	return idle
}

// reply appends a line unless the client wants none.
func (s *session) reply(noReply bool, line string) {
	if !noReply {
		s.w.out = append(s.w.out, line...)
	}
}

// swallow reads past n bytes.
func (s *session) swallow(n int) { s.state, s.want = stateSwallow, n }

// gathered is how many bytes of unfinished commands the session keeps.
func (s *session) gathered() int {
	n := s.line.kept()
	if s.block != nil {
		n += cap(s.block.buf)
	}
	if s.rest != nil {
		n += cap(s.rest.keys)
	}
	return n
}

// close gives back what a session holds when its client is gone.
func (s *session) close() {
	if s.block != nil {
		s.block.abort()
	}
	if s.dump != nil {
		s.dump.close()
	}
	s.block, s.rest, s.dump = nil, nil, nil
	s.line.drop()
	if s.watcher != nil {
		s.w.srv.hub.Remove(s.watcher)
		s.watcher = nil
	}
}

// logf writes a line of -v.
func (srv *Server) logf(format string, args ...any) { fmt.Fprintf(srv.opts.Log, format, args...) }
