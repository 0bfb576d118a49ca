package protocol

import (
	"encoding/base64"
	"strconv"
)

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

// Refusals of a line, by Parse.
const (
	Unknown     Refusal = "ERROR\r\n"
	BadFormat   Refusal = "CLIENT_ERROR bad command line format\r\n"
	BadExptime  Refusal = "CLIENT_ERROR invalid exptime argument\r\n"
	BadDelta    Refusal = "CLIENT_ERROR invalid numeric delta argument\r\n"
	DeleteUsage Refusal = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
)

// Refusals of a meta line, by Parse.
const (
	TooManyFlags           Refusal = "CLIENT_ERROR options flags are too long\r\n"
	DuplicateFlag          Refusal = "CLIENT_ERROR duplicate flag\r\n"
	InvalidFlag            Refusal = "CLIENT_ERROR invalid flag\r\n"
	InvalidOrDuplicateFlag Refusal = "CLIENT_ERROR invalid or duplicate flag\r\n"
	BadToken               Refusal = "CLIENT_ERROR bad token in command line format\r\n"
	BadKey                 Refusal = "CLIENT_ERROR error decoding key\r\n"
	BadDeltaValue          Refusal = "CLIENT_ERROR invalid numeric delta value\r\n"
	BadInitialValue        Refusal = "CLIENT_ERROR invalid numeric initial value\r\n"
	BadStorageMode         Refusal = "CLIENT_ERROR invalid mode for ms M token\r\n"
	BadArithmeticMode      Refusal = "CLIENT_ERROR invalid mode for ma M token\r\n"
	OpaqueTooLong          Refusal = "CLIENT_ERROR opaque token too long\r\n"
)

// Refusals of what a well-formed line asks for.
const (
	BadChunk        Refusal = "CLIENT_ERROR bad data chunk\r\n"
	NotNumber       Refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
	FlushNotAllowed Refusal = "CLIENT_ERROR flush_all not allowed\r\n"
	TooLarge        Refusal = "SERVER_ERROR object too large for cache\r\n"
	OutOfMemory     Refusal = "SERVER_ERROR out of memory storing object\r\n"
	OutOfMemoryIncr Refusal = "SERVER_ERROR out of memory\r\n"
	OutOfMemoryNew  Refusal = "SERVER_ERROR Out of memory allocating new item\r\n" // of ma
	// What a memcached that runs with -X says of walking through its keys.
	DetailNotAllowed    Refusal = "CLIENT_ERROR stats detail not allowed\r\n"
	CachedumpNotAllowed Refusal = "CLIENT_ERROR stats cachedump not allowed\r\n"
	DetailUsage         Refusal = "CLIENT_ERROR usage: stats detail on|off|dump\r\n"
	TooManyConns        Refusal = "ERROR Too many open connections\r\n"
	WatchNotAllowed     Refusal = "CLIENT_ERROR watch commands not allowed\r\n"
	WatchPipelined      Refusal = "ERROR cannot pipeline other commands before watch\r\n"
	TooManyWatchers     Refusal = "WATCHER_TOO_MANY log watcher limit reached\r\n"
)

// Answers to administration.
const (
	ShutdownNotEnabled Refusal = "SERVER_ERROR: shutdown not enabled\r\n"
	BadShutdownMode    Refusal = "CLIENT_ERROR invalid shutdown mode\r\n"
	LimitTooSmall      Refusal = "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
	LimitNotMegabytes  Refusal = "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
	LimitOutOfBounds   Refusal = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
	NoCertificates     Refusal = "Error TLS not enabled\r\n"

	CrawlerRuns       Refusal = "ERROR failed to start lru crawler thread\r\n"
	CrawlerDisabled   Refusal = "CLIENT_ERROR lru crawler disabled\r\n"
	CrawlerBusy       Refusal = "BUSY currently processing crawler request\r\n"
	CrawlerBadClass   Refusal = "BADCLASS invalid class id\r\n"
	CrawlerNoClass    Refusal = "NOTSTARTED no items to crawl\r\n"
	CrawlerError      Refusal = "ERROR an unknown error happened\r\n"
	CrawlerSleepsLong Refusal = "CLIENT_ERROR sleep must be one second or less\r\n"
	DumpNotAllowed    Refusal = "ERROR metadump not allowed\r\n"
	DumpNotFirst      Refusal = "ERROR cannot pipeline other commands before metadump\r\n"
	KeysNotAllowed    Refusal = "ERROR key dump not allowed\r\n"
	KeysNotFirst      Refusal = "ERROR cannot pipeline other commands before mgdump\r\n"
	CachedumpUsage    Refusal = "CLIENT_ERROR bad command line\r\n"
	IllegalClass      Refusal = "CLIENT_ERROR Illegal slab id\r\n"
	MetaEnd                   = "EN\r\n" // of mgdump

	LRUPercents      Refusal = "ERROR hot and warm pcts must not exceed 80\r\n"
	LRUFactors       Refusal = "ERROR hot/warm age factors must be greater than 0\r\n"
	ReassignBadClass Refusal = "BADCLASS invalid src or dst class id\r\n"
	ReassignSame     Refusal = "SAME src and dst class are identical\r\n"
	ReassignNoSpare  Refusal = "NOSPARE source class has no spare pages\r\n"
	AutomoveWindow   Refusal = "CLIENT_ERROR automove window too low or too high\r\n"
)

// Refusals of who has not logged in (-Y).
const (
	Unauthenticated Refusal = "CLIENT_ERROR unauthenticated\r\n"
	TokenTooLong    Refusal = "CLIENT_ERROR auth token too long\r\n"
	BadTermination  Refusal = "CLIENT_ERROR bad command line termination\r\n"
	BadTokenFormat  Refusal = "CLIENT_ERROR bad authentication token format\r\n"
	AuthFailure     Refusal = "CLIENT_ERROR authentication failure\r\n"
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

// AppendStat appends a line of statistics: STAT <name> <value>. Telegraf refuses a line without a value, so an empty one is
// never sent.
func AppendStat(out []byte, name, value string) []byte {
	out = append(out, "STAT "...)
	out = append(out, name...)
	out = append(out, ' ')
	out = append(out, value...)
	return append(out, crlf...)
}
