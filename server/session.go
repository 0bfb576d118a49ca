package server

import (
	"bytes"
	"fmt"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// Bounds on what one client can make a session hold.
const (
	// outMax is how many bytes of replies may gather before they must be written: beyond it a session stops, in the
	// middle of a multiget if need be. One value more than this can be waiting, no command's worth.
	outMax = 64 << 10
	// lineMax is how long a line may be whose end has not come, as in memcached: only a multiget may be longer …
	lineMax = 2048
	// … up to this, which memcached does not limit.
	multigetMax = 32 << 20
	// blanksMax is how many blanks may stand before such a long get. Source: memcached's try_read_command_ascii.
	blanksMax = 100
	// batchMax keys are hashed, and their memory touched, before the first of them is served.
	batchMax = 16
)

// worker is what the sessions of one event loop share. Only that loop's goroutine uses it, but for the totals of tally.
type worker struct {
	tally  tally
	srv    *Server
	store  *storage.Store
	clock  *expiry.Clock
	out    []byte           // replies of the read event being served
	req    protocol.Request // the line being served
	keys   [batchMax][]byte
	hashes [batchMax]uint64
}

// session is the conversation with one client, without its socket: bytes in, bytes out.
//
//	          a line            a storage line             block complete
//	command ─────────▶ command ───────────────▶ value ─────────────────▶ command
//	   ▲                   └── refused ───────▶ swallow ── block gone ──▶ command
//	   │ all keys served
//	retrieval ◀── replies of a multiget pass outMax ── command
//
// Whoever feeds it writes out what gathers in worker.out, and feeds it no further while that does not fit the socket.
type session struct {
	w     *worker
	fd    int // names the connection in -vv lines
	state state
	line  []byte     // command: the beginning of a line whose end has not come
	want  int        // value, swallow: bytes of the block still to come
	block *block     // value: what the block is for
	rest  *retrieval // retrieval: the keys still to be served
}

type state uint8

const (
	stateCommand state = iota
	stateValue
	stateSwallow
	stateRetrieval
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
	for requests := 0; ; {
		if len(s.w.out) >= outMax {
			return consumed, full
		}
		rest := in[consumed:]
		switch s.state {
		case stateCommand:
			if len(rest) == 0 {
				return consumed, idle
			}
			if requests == s.w.srv.opts.ReqsPerEvent {
				return consumed, yield
			}
			n, v := s.command(rest)
			consumed += n
			if v == hangUp {
				return consumed, hangUp
			}
			requests++
		case stateValue:
			if len(rest) == 0 {
				return consumed, idle
			}
			n := s.value(rest)
			consumed += n
		case stateSwallow:
			if len(rest) == 0 {
				return consumed, idle
			}
			n := min(s.want, len(rest))
			s.want -= n
			consumed += n
			if s.want == 0 {
				s.state = stateCommand
			}
		case stateRetrieval:
			s.resumeRetrieval()
		}
	}
}

// command serves one line, and the value after it when that has come too.
func (s *session) command(in []byte) (consumed int, _ verdict) {
	end := bytes.IndexByte(in, '\n')
	if end < 0 {
		s.line = append(s.line, in...)
		if tooLong(s.line) {
			return len(in), hangUp
		}
		return len(in), idle
	}
	line, consumed := in[:end], end+1
	if len(s.line) > 0 {
		s.line = append(s.line, line...)
		line = s.line
		s.line = nil // it is served before anything else comes; an idle connection keeps no buffer
	}
	w := s.w
	err := protocol.Parse(line, &w.req)
	if w.srv.verbosity.Load() > 1 {
		w.srv.logf("<%d %s\n", s.fd, bytes.TrimSuffix(line, []byte("\r")))
	}
	if err != nil {
		return consumed, s.refused(&w.req, err)
	}
	if w.req.Block > 0 {
		return consumed + s.begin(&w.req, in[consumed:]), idle
	}
	return consumed, handlers[w.req.Op](s, &w.req)
}

// refused answers a line that could not be parsed.
func (s *session) refused(req *protocol.Request, err error) verdict {
	refusal, ok := err.(protocol.Refusal)
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

// tooLong tells whether a line without an end is longer than any but a multiget may be.
func tooLong(line []byte) bool {
	if len(line) <= lineMax {
		return false
	}
	start := bytes.TrimLeft(line, " ")
	multiget := bytes.HasPrefix(start, []byte("get ")) || bytes.HasPrefix(start, []byte("gets "))
	return !multiget || len(line)-len(start) > blanksMax || len(line) > multigetMax
}

// close gives back what a session holds when its client is gone.
func (s *session) close() {
	if s.block != nil {
		s.block.abort()
	}
	s.block, s.rest, s.line = nil, nil, nil
}

// logf writes a line of -v.
func (srv *Server) logf(format string, args ...any) { fmt.Fprintf(srv.opts.Log, format, args...) }
