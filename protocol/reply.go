package protocol

import "strconv"

const crlf = "\r\n"

// Every line the server can say stands in this file.

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

// Refusals of a line, by Parse.
const (
	Unknown     Refusal = "ERROR\r\n"
	BadFormat   Refusal = "CLIENT_ERROR bad command line format\r\n"
	BadExptime  Refusal = "CLIENT_ERROR invalid exptime argument\r\n"
	BadDelta    Refusal = "CLIENT_ERROR invalid numeric delta argument\r\n"
	DeleteUsage Refusal = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
)

// Refusals of what a well-formed line asks for.
const (
	BadChunk        Refusal = "CLIENT_ERROR bad data chunk\r\n"
	NotNumber       Refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
	FlushNotAllowed Refusal = "CLIENT_ERROR flush_all not allowed\r\n"
	TooLarge        Refusal = "SERVER_ERROR object too large for cache\r\n"
	OutOfMemory     Refusal = "SERVER_ERROR out of memory storing object\r\n"
	OutOfMemoryIncr Refusal = "SERVER_ERROR out of memory\r\n"
	// What a memcached that runs with -X says of walking through its keys.
	DetailNotAllowed    Refusal = "CLIENT_ERROR stats detail not allowed\r\n"
	CachedumpNotAllowed Refusal = "CLIENT_ERROR stats cachedump not allowed\r\n"
	TooManyConns        Refusal = "ERROR Too many open connections\r\n"
)

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

// AppendVersion appends the answer to version.
func AppendVersion(out []byte, version string) []byte {
	out = append(out, "VERSION "...)
	out = append(out, version...)
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
