package protocol

import "math"

// memcached reads numbers in two ways, and so do we. Most are strict: decimal digits, a minus sign where the number has
// one, no plus sign, and no more characters than these. The flags and the exptime of the storage commands go through
// C's strtoul and strtol, which take white space, either sign, and stop at white space.
const (
	digits32Max = 11
	digits64Max = 22
)

func parseUint64(word []byte) (n uint64, ok bool) {
	if len(word) > digits64Max {
		return 0, false
	}
	for _, c := range word {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(word) > 0
}

// ParseUint32 reads a strict number of 32 bits.
func ParseUint32(word []byte) (uint32, bool) {
	n, ok := parseUint64(word)
	return uint32(n), ok && len(word) <= digits32Max && n <= math.MaxUint32
}

// ParseInt32 reads one that may be negative. It takes a lone "-" for 0, as memcached does.
func ParseInt32(word []byte) (int32, bool) {
	if len(word) > digits32Max {
		return 0, false
	}
	if string(word) == "-" {
		return 0, true
	}
	negative := len(word) > 0 && word[0] == '-'
	if negative {
		word = word[1:]
	}
	n, ok := parseUint64(word)
	switch {
	case !ok:
		return 0, false
	case negative:
		return int32(-int64(n)), n <= -math.MinInt32
	default:
		return int32(n), n <= math.MaxInt32
	}
}

// parseFlags reads 64 bits as strtoul does and keeps the lower 32: 4294967296 is 0, -0 is 0. A negative number counts
// modulo 2^64 and is refused only when its highest bit is set, which is how memcached tells a sign from a large number.
func parseFlags(word []byte) (uint32, bool) {
	n, negative, ok := scan(word)
	if negative {
		n = -n
		ok = ok && int64(n) >= 0
	}
	return uint32(n), ok
}

// parseExptime reads 64 bits as strtol does and keeps the lower 32: 4294967295 is -1.
func parseExptime(word []byte) (int32, bool) {
	n, negative, ok := scan(word)
	if negative {
		return int32(-int64(n)), ok && n <= 1<<63
	}
	return int32(n), ok && n <= math.MaxInt64
}

// scan reads white space, a sign and digits; ok when there was a digit, the number fits 64 bits, and what follows it is
// white space, a NUL, or the word's end.
func scan(word []byte) (n uint64, negative, ok bool) {
	i := 0
	for i < len(word) && isSpace(word[i]) {
		i++
	}
	if i < len(word) && (word[i] == '-' || word[i] == '+') {
		negative = word[i] == '-'
		i++
	}
	first := i
	for ; i < len(word); i++ {
		d := uint64(word[i] - '0')
		if d > 9 {
			break
		}
		if n > (math.MaxUint64-d)/10 {
			return 0, false, false
		}
		n = n*10 + d
	}
	ended := i == len(word) || isSpace(word[i]) || word[i] == 0
	return n, negative, i > first && ended
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
