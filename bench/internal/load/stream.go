package load

import (
	"bytes"
	"errors"
)

// A stream cuts what a server says into lines and value blocks, wherever the reads happened to cut it. Blocks are handed on
// in pieces as they come: a megabyte is never gathered.
//
//	        next: a line               next: a piece, again and again
//	line ──────────────▶ line   block ───────────────────────────────▶ block
//	  └── block(n) by the caller ──▶ │
//	  ◀────────── n bytes and CRLF gone ─┘ next: blockEnd
type stream struct {
	partial []byte // the beginning of a line that is not complete
	left    int    // bytes of the block still to come
	end     int    // bytes of CRLF still to come behind the block
}

type token uint8

const (
	more     token = iota // the input is used up
	line                  // a line without its end; valid until the next call
	piece                 // some bytes of a block
	blockEnd              // the block was complete and CRLF followed
)

// lineMax bounds a line: the longest a server sends is VALUE with a key of 250 bytes and four numbers, or an error.
const lineMax = 2048

var (
	errLine  = errors.New("a line without end")
	errBlock = errors.New("a value block that does not end in CRLF")
)

// block says that n bytes and CRLF follow the line just read.
func (s *stream) block(n int) { s.left, s.end = n, len(crlf) }

// next takes the next token off in.
func (s *stream) next(in []byte) (tok token, text, rest []byte, err error) {
	if s.left > 0 {
		if len(in) == 0 {
			return more, nil, nil, nil
		}
		n := min(s.left, len(in))
		s.left -= n
		return piece, in[:n], in[n:], nil
	}
	if s.end > 0 {
		n := min(s.end, len(in))
		if string(in[:n]) != crlf[len(crlf)-s.end:][:n] {
			return more, nil, in, errBlock
		}
		if s.end -= n; s.end > 0 {
			return more, nil, nil, nil
		}
		return blockEnd, nil, in[n:], nil
	}
	i := bytes.IndexByte(in, '\n')
	if i < 0 {
		if len(s.partial)+len(in) > lineMax {
			return more, nil, in, errLine
		}
		s.partial = append(s.partial, in...)
		return more, nil, nil, nil
	}
	text = in[:i]
	if len(s.partial) > 0 {
		text = append(s.partial, text...)
		s.partial = text[:0]
	}
	if len(text) > 0 && text[len(text)-1] == '\r' {
		text = text[:len(text)-1]
	}
	return line, text, in[i+1:], nil
}
