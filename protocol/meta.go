package protocol

// The meta commands, where mg and me are retrievals, ms stores, md deletes and ma counts:
//
//	("mg" | "md" | "ma" | "me") SP key (SP flag)* EOL
//	"ms" SP key SP bytes (SP flag)* EOL block CRLF
//
// A flag is a letter, and for some letters a token right behind it. Flags are looked at from left to right: one that is
// unknown, or there twice, ends it; a bad token is told when all have been looked at, the last one if there are several.

const (
	metaWordsMax = 20 // words on the line. Source: memcached's MFLAG_MAX_OPT_LENGTH
	opaqueMax    = 32 // bytes of an opaque, its O included. Source: memcached's MFLAG_MAX_OPAQUE_LENGTH
)

// Meta is what the flags of a meta command say. Like a Request's, its slices point into the line.
type Meta struct {
	Flags []byte // the letters, as they stand on the line
	seen  uint64 // the same, a bit for each letter

	Opaque   []byte // O: with its letter
	Mode     byte   // M: 0 is the usual one
	TTL      int32  // T
	Vivify   int32  // N
	Recache  int32  // R
	Compare  uint64 // C
	Explicit uint64 // E; 0 is no wish
	Delta    uint64 // D
	Initial  uint64 // J

	letters [metaWordsMax]byte // where Flags are
	key     [KeyMax]byte       // where Key is, if it came in base64
}

// Has tells whether the flag is there.
func (m *Meta) Has(letter byte) bool { return m.seen>>(letter-'A')&1 != 0 }

// metaLetters are the flags that any of the commands knows, a bit each: all take those of the others and ignore them.
var metaLetters = func() (set uint64) {
	for _, letter := range []byte("bcfhklqstuvxCDEFIJLMNOPRT") {
		set |= 1 << (letter - 'A')
	}
	return set
}()

// meta: mg <key> <flag>*
func meta(r *Request, line []byte) error {
	if err := r.metaWords(line, 2); err != nil {
		return err
	}
	if err := r.metaFlags(2); err != nil {
		return err
	}
	return r.checkOpaque()
}

// metaStorage: ms <key> <bytes> <flag>*
func metaStorage(r *Request, line []byte) error {
	if err := r.metaWords(line, 3); err != nil {
		return err
	}
	n, ok := ParseInt32(r.words.word[2])
	if !ok || n < 0 || int(n) > bytesMax {
		return BadFormat
	}
	r.Bytes, r.Block = int(n), int(n)+len(crlf)
	if err := r.metaFlags(3); err != nil {
		return err
	}
	switch r.Meta.Mode {
	case 0, 'E', 'A', 'P', 'R', 'S':
		return r.checkOpaque()
	}
	return BadStorageMode
}

// metaArithmetic: ma <key> <flag>*
func metaArithmetic(r *Request, line []byte) error {
	if err := r.metaWords(line, 2); err != nil {
		return err
	}
	if err := r.metaFlags(2); err != nil {
		return InvalidOrDuplicateFlag
	}
	switch r.Meta.Mode {
	case 0, 'I', '+', 'D', '-':
		return r.checkOpaque()
	}
	return BadArithmeticMode
}

// metaDebug: me <key> [b]
func metaDebug(r *Request, line []byte) error {
	if err := r.metaWords(line, 2); err != nil {
		return err
	}
	if len(r.Key) > KeyMax {
		return BadFormat
	}
	r.Meta.seen = 0
	if r.words.n > 2 && string(r.words.word[2]) == "b" {
		r.Meta.seen = 1 << ('b' - 'A')
		if !r.decodeKey() {
			return BadFormat
		}
	}
	return nil
}

// metaWords cuts a line whose flags begin with word number first.
func (r *Request) metaWords(line []byte, first int) error {
	w := &r.words
	w.cut(line)
	for i := first; i < w.n; i++ {
		if c := w.word[i][0]; !('A' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return BadFormat
		}
	}
	if w.n < first {
		return BadFormat
	}
	r.Key = w.word[1]
	return nil
}

// metaFlags reads the flags from word number first on.
func (r *Request) metaFlags(first int) error {
	m, w := &r.Meta, &r.words
	if len(r.Key) > KeyMax {
		return BadFormat
	}
	if w.n > metaWordsMax {
		return TooManyFlags
	}
	m.Flags, m.seen, m.Opaque, m.Mode = m.letters[:0], 0, nil, 0
	m.TTL, m.Vivify, m.Recache = 0, 0, 0
	m.Compare, m.Explicit, m.Delta, m.Initial = 0, 0, 1, 0
	r.Flags = 0
	bad, why := false, BadFormat
	for _, word := range w.word[first:w.n] {
		letter, token := word[0], word[1:]
		switch {
		case letter < 'A' || metaLetters>>(letter-'A')&1 == 0:
			return InvalidFlag
		case m.Has(letter):
			return DuplicateFlag
		}
		m.seen |= 1 << (letter - 'A')
		m.Flags = append(m.Flags, letter)
		ok, whyNot := true, BadToken
		switch letter {
		case 'b':
			ok, whyNot = r.decodeKey(), BadKey
		case 'O':
			m.Opaque = word
		case 'M':
			m.Mode = ' '
			if len(token) > 0 {
				m.Mode = token[0]
			}
		case 'T':
			m.TTL, ok = ParseInt32(token)
		case 'N':
			m.Vivify, ok = ParseInt32(token)
		case 'R':
			m.Recache, ok = ParseInt32(token)
		case 'C':
			m.Compare, ok = parseUint64(token)
		case 'E':
			m.Explicit, ok = parseUint64(token)
		case 'D':
			m.Delta, ok = parseUint64(token)
			whyNot = BadDeltaValue
		case 'J':
			m.Initial, ok = parseUint64(token)
			whyNot = BadInitialValue
		case 'F':
			r.Flags, ok = ParseUint32(token)
			whyNot = why // memcached's refusal of it is whatever stood there before
		}
		if !ok {
			bad, why = true, whyNot
		}
	}
	if bad {
		return why
	}
	return nil
}

// checkOpaque comes last: memcached looks at the length when it copies.
func (r *Request) checkOpaque() error {
	if len(r.Meta.Opaque) > opaqueMax {
		return OpaqueTooLong
	}
	return nil
}

// decodeKey makes Key what its base64 means.
func (r *Request) decodeKey() bool {
	n := decodeBase64(r.Meta.key[:], r.Key)
	r.Key = r.Meta.key[:n]
	return n > 0
}

// decodeBase64 is as generous as memcached's: what is no letter of the alphabet is skipped, and so is everything after
// the first group with padding. It needs whole groups of four and returns 0 where it finds none. src is a key, for
// which dst has room.
func decodeBase64(dst, src []byte) (n int) {
	letters := 0
	for _, c := range src {
		if base64Values[c] != noBase64 {
			letters++
		}
	}
	if letters%4 != 0 {
		return 0
	}
	group, in, padding := uint32(0), 0, 0
	for _, c := range src {
		v := base64Values[c]
		if v == noBase64 {
			continue
		}
		if c == '=' {
			padding++
		}
		group = group<<6 | uint32(v)
		if in++; in < 4 {
			continue
		}
		dst[n], dst[n+1], dst[n+2] = byte(group>>16), byte(group>>8), byte(group)
		n, in = n+3, 0
		if padding > 2 {
			return 0
		}
		if padding > 0 {
			return n - padding
		}
	}
	return n
}

const noBase64 = 0xff

// base64Values is what each byte stands for, padding for 0.
var base64Values = func() (values [256]byte) {
	for c := range values {
		values[c] = noBase64
	}
	for v, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		values[c] = byte(v)
	}
	values['='] = 0
	return values
}()
