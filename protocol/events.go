package protocol

import "strconv"

// The lines that watchers read. Each is a list of name=value, and ends in a bare LF.
//
//	ts=1700000000.000123 gid=7 type=item_get key=motto status=found clsid=1 cfd=12 size=11

// AppendEventHead begins a line: when, its number among all lines, and what it is about.
func AppendEventHead(out []byte, seconds int64, micros int, gid uint64, kind string) []byte {
	out = append(out, "ts="...)
	out = strconv.AppendInt(out, seconds, 10)
	out = append(out, '.')
	for unit := 100_000; unit > 0; unit /= 10 {
		out = append(out, byte('0'+micros/unit%10))
	}
	out = strconv.AppendUint(append(out, " gid="...), gid, 10)
	return append(append(out, " type="...), kind...)
}

// AppendEventWord appends name=word.
func AppendEventWord(out []byte, name, word string) []byte {
	return append(append(append(append(out, ' '), name...), '='), word...)
}

// AppendEventNumber appends name=number.
func AppendEventNumber(out []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(append(append(out, ' '), name...), '='), n, 10)
}

// AppendEventKey appends key=, in URI encoding.
func AppendEventKey(out, key []byte) []byte { return AppendURI(append(out, " key="...), key) }

// AppendEventEnd ends a line.
func AppendEventEnd(out []byte) []byte { return append(out, '\n') }

// AppendSkipped appends the line that tells a slow watcher how many it has missed.
func AppendSkipped(out []byte, n uint64) []byte {
	return append(strconv.AppendUint(append(out, "skipped="...), n, 10), '\n')
}

// AppendURI appends text with everything escaped that has a meaning in an URI (RFC 3986, section 2.3): keys in lines that are
// read by word, such as these and metadump's.
func AppendURI(out, key []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range key {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			out = append(out, c)
		default:
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return out
}

// AppendPrefix appends a line of stats detail dump.
func AppendPrefix(out []byte, prefix string, gets, hits, sets, deletes uint64) []byte {
	out = append(append(out, "PREFIX "...), prefix...)
	out = strconv.AppendUint(append(out, " get "...), gets, 10)
	out = strconv.AppendUint(append(out, " hit "...), hits, 10)
	out = strconv.AppendUint(append(out, " set "...), sets, 10)
	out = strconv.AppendUint(append(out, " del "...), deletes, 10)
	return append(out, crlf...)
}
