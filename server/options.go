package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
)

// Version is gomemd's own. What clients see in VERSION starts with the memcached it follows,
// because libmemcached parses three numbers there and gives up on anything else.
const (
	Version          = "0.1.0"
	memcachedVersion = "1.6.45"
	versionText      = memcachedVersion + "-gomemd" + Version
)

// AuthFileError is why Options.AuthFile cannot be used. Its text is memcached's.
type AuthFileError = session.AuthFileError

// Log takes lines for a writer that may be slow or stuck, and nobody waits for it.
type Log = events.Log

// NewLog makes a log that writes to out.
func NewLog(out io.Writer) *Log { return events.NewLog(out) }

// Options say what to serve and where. The zero value of a field is memcached's default, named
// beside it; a server with none of Listen, UnixSocket and UDP serves nobody and is refused by
// Validate.
type Options struct {
	// Listen are the TCP addresses, "host:port" or ":port". Words before that say what is different
	// there: notls:, btls: and mtls: without and with TLS, without and with client certificates;
	// proto[ascii]:, proto[binary]: and proto[negotiating]: which protocol is spoken.
	Listen []string

	// Protocol is what is spoken where Listen says nothing else. With AuthFile alone it is ASCII.
	Protocol Protocol // -B: either, the first byte of a connection says which

	// SASL, -S, has clients of the binary protocol log in by SASL, with AuthFile's passwords, or, if
	// there is none, with SASLFile's. Those of the text protocol log in as they do with AuthFile
	// alone.
	SASL     bool
	SASLFile string // MEMCACHED_SASL_PWDB: passwords of users of this host's realm, and of others

	UDP []string // -U: UDP addresses, "host:port"; none may be with AuthFile or SASL
	TLS *TLS     // -Z: how connections are encrypted; nil: not at all

	UnixSocket   string        // path of a unix socket
	UnixMask     os.FileMode   // -a: its permission bits; 0700
	Backlog      int           // -b: connections the kernel queues before they are accepted; 1024
	MaxConns     int           // -c: clients at a time; the next one gets an error line; 1024
	MaxConnsWait bool          // -o no_maxconns_fast: the next one waits instead, until somebody leaves
	IdleTimeout  time.Duration // -o idle_timeout: TCP clients that have said nothing for longer are closed; 0: never

	// OwnProcess says that the program is this server and nothing else: it may set GOMAXPROCS and
	// GOGC to follow the load, unless the environment sets them. An embedder's are left alone.
	OwnProcess bool

	Loops        int // -t: event loops; 4
	ReqsPerEvent int // -R: requests served before the loop turns to its other connections; 20

	MemoryLimit     int64  // -m, bytes: items, index and all; 64 MiB
	MemoryLimitMax  int64  // how far cache_memlimit may raise it; 0: as far as the store goes, sixteen times
	ItemMax         int    // -I, bytes an item may have by memcached's count; 1 MiB
	DisableEviction bool   // -M: a full cache refuses instead
	DisableCAS      bool   // -C
	DisableFlush    bool   // -F
	DisableDump     bool   // -X: no commands that list keys
	DisableWatch    bool   // -W: no watch
	EnableShutdown  bool   // -A: shutdown is obeyed
	LockMemory      bool   // -k
	PackHex         bool   // --pack-hex: values of 24 to 256 lower-case hexadecimal digits, a multiple of 8, are kept in half the room
	LargePages      bool   // -L: quicker from some 512 MB on, at up to 2 MB more for each 16 MB of MemoryLimit
	MemoryFile      string // -e: the items are kept in this file, for the next server that is started with it

	// Cancel, when it is closed, ends a Start that waits for MemoryFile's last user, with
	// context.Canceled, and the wait for who is writing AuthFile. Nil: it waits as long as it
	// takes, which is seconds.
	Cancel <-chan struct{}

	HotKeys int  // --hot-keys: one request of so many is looked at for HotKeys; 100; negative: none
	NoCurve bool // --no-curve: it is not found out what more memory would do (Stats.Insight.Curve)

	PrefixDelimiter byte // -D: ends the prefix of a key in stats detail; ':'
	StatsDetail     bool // -D: stats detail is on from the start
	TrackSizes      bool // -o track_sizes: stats sizes tells how many items there are of each size
	WatcherBuffer   int  // -o watcher_logbuf_size, bytes: lines that wait for a slow watcher; 256 KiB

	// AuthFile, -Y, has the passwords without which nobody is served, a line "user:password" each,
	// of at most 255 bytes, 8 at most. "": everybody is served.
	AuthFile string

	// ConnMemory is how many bytes all connections may make the server hold outside the store, in
	// and out: replies that wait for slow readers, input behind them, values and lines of which a
	// part has come; 16 MiB, with TLS 32, for each client may be in the middle of a record
	// of 16 KiB. Beyond it those go who have stood still for seconds.
	ConnMemory int64

	// SocketMemory is how many bytes the kernel should hold for all connections, as far as it lets
	// itself be told; 0: as many as it likes. Control groups of version 2 count them.
	SocketMemory int64

	Verbosity int // -v: 1 errors, 2 commands, 3 more; never values

	// Log is where that goes; os.Stderr. Nobody waits for it: lines that it does not take in time
	// are dropped, counted, and said to be missing. One goroutine at a time writes to it. A [*Log]
	// is used as it is, for programs that have lines of their own for it.
	Log io.Writer

	// Clock is for tests, which move it by hand and call Sweep when time has passed. Nil: real
	// time.
	Clock *expiry.Clock

	Settings Settings
}

// Settings is what only `stats settings` repeats.
type Settings struct {
	Port    int    // -p
	UDPPort int    // -U
	Inter   string // -l as given, "" when it was not
	Threads int    // -t as given; Loops when it was not

	NoCrawler    bool // -o no_lru_crawler …
	NoMaintainer bool // … and no_lru_maintainer: stats leaves their names out
}

// rules are the options that decide what clients may do.
func (o *Options) rules() session.Rules {
	return session.Rules{
		ReqsPerEvent: o.ReqsPerEvent, ItemMax: o.ItemMax, MemoryLimitMax: o.MemoryLimitMax, DisableCAS: o.DisableCAS,
		DisableFlush: o.DisableFlush, DisableDump: o.DisableDump, DisableWatch: o.DisableWatch, EnableShutdown: o.EnableShutdown,
		SASL: o.SASL,
	}
}

// insight is what is looked at of the requests.
func (o *Options) insight() insight.Options {
	// Where nothing is evicted more memory has other uses.
	return insight.Options{Every: max(o.HotKeys, 0), Curve: !o.NoCurve && !o.DisableEviction}
}

// settings is what stats tells of the options.
func (o *Options) settings() stats.Settings {
	return stats.Settings{
		MaxConns: o.MaxConns, MaxConnsWait: o.MaxConnsWait, Backlog: o.Backlog, IdleTimeout: o.IdleTimeout,
		Port: o.Settings.Port, UDPPort: o.Settings.UDPPort, Inter: o.Settings.Inter, UnixSocket: o.UnixSocket, UnixMask: o.UnixMask,
		Protocol: o.protocol().String(), Threads: o.Settings.Threads, ReqsPerEvent: o.ReqsPerEvent,

		ItemMax: o.ItemMax, DisableEviction: o.DisableEviction, DisableCAS: o.DisableCAS, DisableFlush: o.DisableFlush,
		DisableDump: o.DisableDump, EnableShutdown: o.EnableShutdown, MemoryFile: o.MemoryFile, AuthFile: o.AuthFile, SASL: o.SASL,

		PrefixDelimiter: o.PrefixDelimiter, TrackSizes: o.TrackSizes, WatcherBuffer: o.WatcherBuffer, RecorderBuffer: events.RecorderBuffer,
		NoMaintainer: o.Settings.NoMaintainer, TLS: o.TLS.settings(),
	}
}

// limits of Options; what lies outside is a mistake, not a wish
const (
	memoryMin  = 1 << 20 // smaller than that no shard has room for its index
	itemMaxMin = 1 << 10 // memcached.c: "Item max size cannot be less than 1024 bytes."
	itemMaxMax = 1 << 30
)

// Validate lists every complaint at once, so that an operator corrects a command line in one go.
func (o Options) Validate() error {
	o = o.withDefaults()
	var complaints []error
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Errorf(format, args...)) }
	if len(o.Listen) == 0 && o.UnixSocket == "" && len(o.UDP) == 0 {
		complain("no address to listen on")
	}
	if _, err := o.addresses(); err != nil {
		complain("%w", err)
	}
	if o.Protocol > Binary {
		complain("%d is no protocol", o.Protocol)
	}
	if o.SASL && o.AuthFile == "" && o.SASLFile == "" {
		complain("SASL needs a file of passwords")
	}
	if (o.SASL || o.AuthFile != "") && len(o.UDP) > 0 {
		complain("nobody can log in over UDP")
	}
	if o.TLS != nil {
		if err := o.TLS.complaints(); err != nil {
			complaints = append(complaints, err)
		}
	}
	if o.MaxConns < 0 {
		complain("Maximum connections must be greater than 0")
	}
	if o.Loops < 0 {
		complain("Number of threads must be greater than 0")
	}
	if o.ReqsPerEvent < 0 {
		complain("Number of requests per event must be greater than 0")
	}
	if o.MemoryLimit < memoryMin {
		complain("a memory limit of %d bytes is too small, the least is %d", o.MemoryLimit, memoryMin)
	}
	if o.ItemMax < itemMaxMin || o.ItemMax > itemMaxMax {
		complain("an item size limit of %d bytes is outside %d to %d", o.ItemMax, itemMaxMin, itemMaxMax)
	} else if int64(o.ItemMax) > o.MemoryLimit/2 {
		complain("Cannot set item size limit higher than 1/2 of memory max.")
	}
	return errors.Join(complaints...)
}

func (o Options) withDefaults() Options {
	orElse(&o.UnixMask, 0o700)
	orElse(&o.Backlog, 1024)
	orElse(&o.MaxConns, 1024)
	orElse(&o.Loops, 4)
	orElse(&o.ReqsPerEvent, 20)
	orElse(&o.MemoryLimit, 64<<20)
	orElse(&o.ItemMax, 1<<20)
	if o.TLS != nil {
		orElse(&o.ConnMemory, 32<<20)
	}
	orElse(&o.ConnMemory, 16<<20)
	orElse(&o.WatcherBuffer, 256<<10)
	orElse(&o.HotKeys, 100)
	orElse(&o.PrefixDelimiter, ':')
	orElse(&o.Settings.Threads, o.Loops)
	if o.Log == nil {
		o.Log = os.Stderr
	}
	return o
}

// log is Options.Log as one that nobody waits for.
func (o *Options) log() *Log {
	if l, ok := o.Log.(*Log); ok {
		return l
	}
	return NewLog(o.Log)
}

func orElse[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}
