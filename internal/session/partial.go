package session

import "bytes"

// Bounds on a line whose end has not come.
const (
	// lineMax is how long it may be, as in memcached: only a multiget may be longer …
	lineMax = 2048
	// … up to this, which memcached does not limit.
	multigetMax = 8 << 20
	// blanksMax is how many blanks may stand before such a long get. Source: memcached's
	// try_read_command_ascii.
	blanksMax = 100
	// pieceMax is the longest that is copied when more comes.
	pieceMax = 64 << 10
)

// partial is the beginning of a line whose end has not come. It is kept in pieces, and made whole
// once, at its end: a slice that grows with it would be copied again and again, some megabytes at a
// time, while others wait for the loop (bench/abuse).
type partial struct {
	pieces [][]byte
	size   int
}

// add copies what came.
func (p *partial) add(in []byte) {
	p.size += len(in)
	for len(in) > 0 {
		last := len(p.pieces) - 1
		if last < 0 || len(p.pieces[last]) == pieceMax {
			p.pieces = append(p.pieces, nil)
			last++
		}
		n := min(len(in), pieceMax-len(p.pieces[last]))
		p.pieces[last] = append(p.pieces[last], in[:n]...)
		in = in[n:]
	}
}

// with is the line made whole by its end. It may be a piece's own bytes: add nothing before the
// line is done with.
func (p *partial) with(end []byte) []byte {
	switch len(p.pieces) {
	case 0:
		return end
	case 1:
		return append(p.pieces[0], end...)
	}
	whole := make([]byte, 0, p.size+len(end))
	for _, piece := range p.pieces {
		whole = append(whole, piece...)
	}
	return append(whole, end...)
}

func (p *partial) drop() { *p = partial{} }

// kept is how many bytes it takes.
func (p *partial) kept() (n int) {
	for _, piece := range p.pieces {
		n += cap(piece)
	}
	return n
}

// tooLong tells whether it is longer than any but a multiget may be.
func (p *partial) tooLong() bool {
	if p.size <= lineMax {
		return false
	}
	begin := p.pieces[0]
	start := bytes.TrimLeft(begin, " ")
	multiget := bytes.HasPrefix(start, []byte("get ")) || bytes.HasPrefix(start, []byte("gets "))
	return !multiget || len(begin)-len(start) > blanksMax || p.size > multigetMax
}
