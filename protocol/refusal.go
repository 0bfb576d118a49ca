package protocol

// Refusal is why something is not done: a value, which each way of talking words for its clients.
// As text it is the line to send.
type Refusal uint8

// The refusals. None is that of what is done.
const (
	None Refusal = iota

	// Refusals of a line, by Parse.
	Unknown
	BadFormat
	BadExptime
	BadDelta
	DeleteUsage

	// Refusals of a meta line, by Parse.
	TooManyFlags
	DuplicateFlag
	InvalidFlag
	InvalidOrDuplicateFlag
	BadToken
	BadKey
	BadDeltaValue
	BadInitialValue
	BadStorageMode
	BadArithmeticMode
	OpaqueTooLong

	// Refusals of a packet, by ParsePacket: what follows it cannot be understood.
	BadPacket    // its lengths are not those of its opcode, or its key is too long
	BodyTooShort // for the key and extras that it shall have
	BodyTooLong

	// Refusals of what a well-formed line or packet asks for.
	BadChunk
	NotNumber
	FlushNotAllowed
	FlushPrefixNotAllowed
	TooLarge
	OutOfMemory
	OutOfMemoryIncr
	OutOfMemoryNew // of ma

	// What a memcached that runs with -X says of walking through its keys.
	DetailNotAllowed
	CachedumpNotAllowed
	HotKeysNotAllowed // ours
	PrefixesNotAllowed

	DetailUsage
	TooManyConns
	WatchNotAllowed
	WatchPipelined
	TooManyWatchers

	// Answers to administration.
	ShutdownNotEnabled
	BadShutdownMode
	LimitTooSmall
	LimitNotMegabytes
	LimitOutOfBounds
	NoCertificates
	CrawlerRuns
	CrawlerDisabled
	CrawlerBusy
	CrawlerBadClass
	CrawlerNoClass
	CrawlerError
	CrawlerSleepsLong
	DumpNotAllowed
	DumpNotFirst
	KeysNotAllowed
	KeysNotFirst
	CachedumpUsage
	IllegalClass
	LRUPercents
	LRUFactors
	ReassignBadClass
	ReassignSame
	ReassignNoSpare
	AutomoveWindow

	// Refusals of who has not logged in (-Y).
	Unauthenticated
	TokenTooLong
	BadTermination
	BadTokenFormat
	AuthFailure

	numRefusals
)

// refusalLines are the refusals in the text protocol.
var refusalLines = [numRefusals]string{
	Unknown:     "ERROR\r\n",
	BadFormat:   "CLIENT_ERROR bad command line format\r\n",
	BadExptime:  "CLIENT_ERROR invalid exptime argument\r\n",
	BadDelta:    "CLIENT_ERROR invalid numeric delta argument\r\n",
	DeleteUsage: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",

	TooManyFlags:           "CLIENT_ERROR options flags are too long\r\n",
	DuplicateFlag:          "CLIENT_ERROR duplicate flag\r\n",
	InvalidFlag:            "CLIENT_ERROR invalid flag\r\n",
	InvalidOrDuplicateFlag: "CLIENT_ERROR invalid or duplicate flag\r\n",
	BadToken:               "CLIENT_ERROR bad token in command line format\r\n",
	BadKey:                 "CLIENT_ERROR error decoding key\r\n",
	BadDeltaValue:          "CLIENT_ERROR invalid numeric delta value\r\n",
	BadInitialValue:        "CLIENT_ERROR invalid numeric initial value\r\n",
	BadStorageMode:         "CLIENT_ERROR invalid mode for ms M token\r\n",
	BadArithmeticMode:      "CLIENT_ERROR invalid mode for ma M token\r\n",
	OpaqueTooLong:          "CLIENT_ERROR opaque token too long\r\n",

	BadPacket:    "CLIENT_ERROR bad packet\r\n",
	BodyTooShort: "CLIENT_ERROR packet with a body that is too short\r\n",
	BodyTooLong:  "CLIENT_ERROR packet with a body that is too long\r\n",

	BadChunk:              "CLIENT_ERROR bad data chunk\r\n",
	NotNumber:             "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
	FlushNotAllowed:       "CLIENT_ERROR flush_all not allowed\r\n",
	FlushPrefixNotAllowed: "CLIENT_ERROR flush_prefix not allowed\r\n",
	TooLarge:              "SERVER_ERROR object too large for cache\r\n",
	OutOfMemory:           "SERVER_ERROR out of memory storing object\r\n",
	OutOfMemoryIncr:       "SERVER_ERROR out of memory\r\n",
	OutOfMemoryNew:        "SERVER_ERROR Out of memory allocating new item\r\n",
	DetailNotAllowed:      "CLIENT_ERROR stats detail not allowed\r\n",
	CachedumpNotAllowed:   "CLIENT_ERROR stats cachedump not allowed\r\n",
	HotKeysNotAllowed:     "CLIENT_ERROR stats hotkeys not allowed\r\n",
	PrefixesNotAllowed:    "CLIENT_ERROR stats prefixes not allowed\r\n",
	DetailUsage:           "CLIENT_ERROR usage: stats detail on|off|dump\r\n",
	TooManyConns:          "ERROR Too many open connections\r\n",
	WatchNotAllowed:       "CLIENT_ERROR watch commands not allowed\r\n",
	WatchPipelined:        "ERROR cannot pipeline other commands before watch\r\n",
	TooManyWatchers:       "WATCHER_TOO_MANY log watcher limit reached\r\n",

	ShutdownNotEnabled: "SERVER_ERROR: shutdown not enabled\r\n",
	BadShutdownMode:    "CLIENT_ERROR invalid shutdown mode\r\n",
	LimitTooSmall:      "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n",
	LimitNotMegabytes:  "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n",
	LimitOutOfBounds:   "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n",
	NoCertificates:     "Error TLS not enabled\r\n",
	CrawlerRuns:        "ERROR failed to start lru crawler thread\r\n",
	CrawlerDisabled:    "CLIENT_ERROR lru crawler disabled\r\n",
	CrawlerBusy:        "BUSY currently processing crawler request\r\n",
	CrawlerBadClass:    "BADCLASS invalid class id\r\n",
	CrawlerNoClass:     "NOTSTARTED no items to crawl\r\n",
	CrawlerError:       "ERROR an unknown error happened\r\n",
	CrawlerSleepsLong:  "CLIENT_ERROR sleep must be one second or less\r\n",
	DumpNotAllowed:     "ERROR metadump not allowed\r\n",
	DumpNotFirst:       "ERROR cannot pipeline other commands before metadump\r\n",
	KeysNotAllowed:     "ERROR key dump not allowed\r\n",
	KeysNotFirst:       "ERROR cannot pipeline other commands before mgdump\r\n",
	CachedumpUsage:     "CLIENT_ERROR bad command line\r\n",
	IllegalClass:       "CLIENT_ERROR Illegal slab id\r\n",
	LRUPercents:        "ERROR hot and warm pcts must not exceed 80\r\n",
	LRUFactors:         "ERROR hot/warm age factors must be greater than 0\r\n",
	ReassignBadClass:   "BADCLASS invalid src or dst class id\r\n",
	ReassignSame:       "SAME src and dst class are identical\r\n",
	ReassignNoSpare:    "NOSPARE source class has no spare pages\r\n",
	AutomoveWindow:     "CLIENT_ERROR automove window too low or too high\r\n",

	Unauthenticated: "CLIENT_ERROR unauthenticated\r\n",
	TokenTooLong:    "CLIENT_ERROR auth token too long\r\n",
	BadTermination:  "CLIENT_ERROR bad command line termination\r\n",
	BadTokenFormat:  "CLIENT_ERROR bad authentication token format\r\n",
	AuthFailure:     "CLIENT_ERROR authentication failure\r\n",
}

// Status is the outcome in a reply of the binary protocol.
type Status uint16

// The statuses.
const (
	StatusOK        Status = 0x00
	StatusNotFound  Status = 0x01
	StatusExists    Status = 0x02
	StatusTooLarge  Status = 0x03
	StatusInvalid   Status = 0x04
	StatusNotStored Status = 0x05
	StatusNotNumber Status = 0x06
	StatusAuth      Status = 0x20
	StatusAuthMore  Status = 0x21 // SASL goes on with a step
	StatusUnknown   Status = 0x81
	StatusNoMemory  Status = 0x82
)

// statusTexts are the bodies of replies with a status. Source: memcached's write_bin_error.
var statusTexts = [...]string{
	StatusNotFound:  "Not found",
	StatusExists:    "Data exists for key.",
	StatusTooLarge:  "Too large.",
	StatusInvalid:   "Invalid arguments",
	StatusNotStored: "Not stored.",
	StatusNotNumber: "Non-numeric server-side value for incr or decr",
	StatusAuth:      "Auth failure.",
	StatusUnknown:   "Unknown command",
	StatusNoMemory:  "Out of memory",
}

// refusalStatuses are the refusals in the binary protocol. Those that no packet meets are OK.
var refusalStatuses = [numRefusals]Status{
	Unknown:         StatusUnknown,
	BadPacket:       StatusInvalid,
	BodyTooShort:    StatusUnknown,
	BodyTooLong:     StatusInvalid,
	NotNumber:       StatusNotNumber,
	FlushNotAllowed: StatusAuth,
	TooLarge:        StatusTooLarge,
	OutOfMemory:     StatusNoMemory,
	OutOfMemoryIncr: StatusNoMemory,
	OutOfMemoryNew:  StatusNoMemory,

	DetailNotAllowed:  StatusNotFound,
	HotKeysNotAllowed: StatusNotFound,
	Unauthenticated:   StatusAuth,
	AuthFailure:       StatusAuth,
}

// Status is the refusal in the binary protocol, and its text.
func (r Refusal) Status() (status Status, text string) {
	status = refusalStatuses[r]
	text = statusTexts[status]
	switch r {
	case OutOfMemory:
		text = "Out of memory allocating item"
	case OutOfMemoryIncr:
		text = "Out of memory incrementing value"
	case OutOfMemoryNew:
		text = "Out of memory allocating new item"
	}
	return status, text
}

// Line is the refusal in the text protocol, with its line end.
func (r Refusal) Line() string { return refusalLines[r] }

// Error is the same, for Parse, whose errors refusals are.
func (r Refusal) Error() string { return r.Line() }
