package protocol

import (
	"encoding/base64"
	"strconv"
)

const crlf = "\r\n"

// Every line the server can say stands in this file, but for its refusals (refusal.go).

// Answers to storage, deletion, touch and administration, with their line ends.
const (
	Stored    = "STORED\r\n"
	NotStored = "NOT_STORED\r\n"
	Exists    = "EXISTS\r\n"
	NotFound  = "NOT_FOUND\r\n"
	Deleted   = "DELETED\r\n"
	Touched   = "TOUCHED\r\n"
	OK        = "OK\r\n"
	Reset     = "RESET\r\n"
	End       = "END\r\n"
	Noop      = "MN\r\n"
)

// The codes that answers to meta commands begin with, without their line ends: flags may follow.
const (
	MetaHead      = "HD"
	MetaValue     = "VA " // and the length of the value that follows the line
	MetaMiss      = "EN"
	MetaNotFound  = "NF"
	MetaNotStored = "NS"
	MetaExists    = "EX"
	MetaDebug     = "ME "
)

// MetaEnd is what mgdump ends with.
const MetaEnd = "EN\r\n"

// AppendValueHead appends the line that comes before a value: VALUE <key> <flags> <bytes> [<unique>]. A unique of 0 is
// what a server without cas has; retrievals that do not show one leave it out.
func AppendValueHead(out, key []byte, flags uint32, n int, unique *uint64) []byte {
	out = append(out, "VALUE "...)
	out = append(out, key...)
	out = append(out, ' ')
	out = strconv.AppendUint(out, uint64(flags), 10)
	out = append(out, ' ')
	out = strconv.AppendUint(out, uint64(n), 10)
	if unique != nil {
		out = append(out, ' ')
		out = strconv.AppendUint(out, *unique, 10)
	}
	return append(out, crlf...)
}

// AppendValueEnd appends the line end after a value.
func AppendValueEnd(out []byte) []byte { return append(out, crlf...) }

// AppendNumber appends the answer to incr and decr.
func AppendNumber(out []byte, n uint64) []byte {
	return append(strconv.AppendUint(out, n, 10), crlf...)
}

// AppendFlag appends a flag of an answer to a meta command that is a number: the letter, and the number.
func AppendFlag(out []byte, letter byte, n uint64) []byte {
	return strconv.AppendUint(append(out, ' ', letter), n, 10)
}

// AppendMark appends a flag of an answer to a meta command that is a letter alone.
func AppendMark(out []byte, letter byte) []byte { return append(out, ' ', letter) }

// AppendOpaque appends what the client wants to hear again, its O included.
func AppendOpaque(out, opaque []byte) []byte { return append(append(out, ' '), opaque...) }

// AppendKeyFlag appends the key of a meta command, in base64 and marked b where the bytes of the key could not stand there.
func AppendKeyFlag(out, key []byte, binary bool) []byte {
	out = append(out, " k"...)
	if !binary {
		return append(out, key...)
	}
	return append(base64.StdEncoding.AppendEncode(out, key), " b"...)
}

// AppendVersion appends the answer to version.
func AppendVersion(out []byte, version string) []byte {
	out = append(out, "VERSION "...)
	out = append(out, version...)
	return append(out, crlf...)
}

// AppendPrefixHeld appends a line of stats prefixes: what is held under keys that begin alike.
func AppendPrefixHeld(out []byte, name string, items, bytes, fetched uint64) []byte {
	out = append(append(out, "STAT "...), name...)
	out = strconv.AppendUint(append(out, " items "...), items, 10)
	out = strconv.AppendUint(append(out, " bytes "...), bytes, 10)
	out = strconv.AppendUint(append(out, " fetched "...), fetched, 10)
	return append(out, crlf...)
}

// AppendStat appends a line of statistics: STAT <name> <value>. Telegraf refuses a line without a value, so an empty one is
// never sent.
func AppendStat(out []byte, name, value string) []byte {
	out = append(out, "STAT "...)
	out = append(out, name...)
	out = append(out, ' ')
	out = append(out, value...)
	return append(out, crlf...)
}
