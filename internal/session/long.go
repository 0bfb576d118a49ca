package session

import (
	"bytes"

	"github.com/gomemd/gomemd/protocol"
)

// Bounds on a line whose end has not come.
const (
	// lineMax is how long it may be, as in memcached: only a multiget may be longer …
	lineMax = 2048
	// … up to this, which memcached does not limit.
	multigetMax = 8 << 20
	// blanksMax is how many blanks may stand before such a long get. Source: memcached's
	// try_read_command_ascii.
	blanksMax = 100
	// pieceMax is how many bytes of its words lie together.
	pieceMax = 64 << 10
	// gatherMax is how much of it is read before the turn is asked: 30 µs if its keys are of one
	// letter.
	gatherMax = 8 << 10
)

// longLine is the words of a multiget that comes in pieces, as far as they have come. No word is in
// two pieces, so each is a list of keys of its own, and nothing has to be made whole or be walked a
// second time before the first key is served:
//
//	get a  bc de│f ghi\r│\n   as it comes
//	get a bc│def ghi          as it is kept
type longLine struct {
	pieces [][]byte // words, with a blank between two
	size   int      // of the line
	word   int      // length of the last word, which may go on
	bad    bool     // one of them is too long for a key
}

// mayBeLong tells whether a line that begins so may be longer than lineMax.
func mayBeLong(begin []byte) bool {
	start := bytes.TrimLeft(begin, " ")
	multiget := bytes.HasPrefix(start, []byte("get ")) || bytes.HasPrefix(start, []byte("gets "))
	return multiget && len(begin)-len(start) <= blanksMax
}

// add takes what comes, and tells how much work that was.
func (l *longLine) add(in []byte) (work int) {
	l.size += len(in)
	work = len(in) / 8 * wordWork
	for len(in) > 0 {
		if in[0] == ' ' {
			l.endWord()
			in = in[1:]
			continue
		}
		end := bytes.IndexByte(in, ' ')
		if end < 0 {
			end = len(in)
		}
		l.part(in[:end])
		in = in[end:]
		work += wordWork
	}
	return work
}

// part adds to the last word.
func (l *longLine) part(text []byte) {
	begins := l.word == 0
	l.word += len(text)
	if l.word > protocol.KeyMax+len("\r") {
		l.refuse()
	}
	if l.bad {
		return
	}
	last := len(l.pieces) - 1
	switch {
	case last < 0:
		l.pieces = append(l.pieces, nil)
		last++
	case len(l.pieces[last])+len(" ")+len(text) <= pieceMax:
		if begins {
			l.pieces[last] = append(l.pieces[last], ' ')
		}
	default: // the word goes on in another piece, with what has come of it
		full := l.pieces[last]
		begun := l.word - len(text)
		l.pieces = append(l.pieces, append(make([]byte, 0, pieceMax), full[len(full)-begun:]...))
		l.pieces[last] = full[:len(full)-begun]
		last++
	}
	l.pieces[last] = append(l.pieces[last], text...)
}

func (l *longLine) endWord() {
	if l.word > protocol.KeyMax {
		l.refuse()
	}
	l.word = 0
}

// refuse forgets the words: they will not be served.
func (l *longLine) refuse() { l.pieces, l.bad = nil, true }

// end ends the line, whose LF has come. The words of a multiget are its verb and keys.
func (l *longLine) end() (words [][]byte, ok bool) {
	if last := len(l.pieces) - 1; last >= 0 && l.word > 0 {
		if text := l.pieces[last]; text[len(text)-1] == '\r' {
			l.pieces[last] = text[:len(text)-1]
			l.word--
		}
	}
	l.endWord()
	return l.pieces, !l.bad
}

// kept is how many bytes it takes.
func (l *longLine) kept() (n int) {
	for _, piece := range l.pieces {
		n += cap(piece)
	}
	return n
}

// gather takes some of a long line, and has it served when its end has come.
func (s *Session) gather(in []byte) (consumed int, _ Verdict) {
	in = in[:min(len(in), gatherMax)]
	end := bytes.IndexByte(in, '\n')
	if end < 0 {
		s.w.turn.spend(s.long.add(in))
		if s.long.size > multigetMax {
			return len(in), HangUp
		}
		return len(in), Idle
	}
	s.w.turn.spend(s.long.add(in[:end]))
	s.serveLong()
	return end + 1, Idle
}

// serveLong begins to serve a long line that has come.
func (s *Session) serveLong() {
	w := s.w
	w.turn.serve()
	pieces, ok := s.long.end()
	s.long = nil
	if !ok {
		s.refuse(false, protocol.BadFormat)
		return
	}
	if w.env.Verbosity.Load() > 1 {
		s.logLine(pieces[0])
	}
	verb, keys, _ := bytes.Cut(pieces[0], []byte(" "))
	pieces[0] = keys
	if len(keys) == 0 && len(pieces) == 1 {
		s.refuse(false, protocol.BadFormat)
		return
	}
	how := lookup{unique: string(verb) == "gets"}
	s.rest = &retrieval{how: how, keys: keys, more: pieces[1:]}
	s.state = StateRetrieval
}

// logLine is for -vv. Of a long line it tells the beginning.
func (s *Session) logLine(line []byte) {
	s.w.env.Logf("<%d %s\n", s.fd, bytes.TrimSuffix(line[:min(len(line), pieceMax)], []byte("\r")))
}
