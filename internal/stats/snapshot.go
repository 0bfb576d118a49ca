package stats

import (
	"os"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/storage"
)

// Snapshot is everything that a server can tell of itself, at one moment. It holds no reference to
// the server and may be kept.
type Snapshot struct {
	Process  Process
	Served   Served
	Store    storage.Stats    // what the store holds and has done
	Restored storage.Restored // what the start found in the memory file
	Conns    Conns
	Watch    Watch
	Crawler  Crawler
	Settings Settings
	Insight  Insight

	LogDropped uint64 // lines of the log that nobody read in time
	CertAge    uint64 // seconds since the certificates in force were read

	// These two take longer to find out, and a snapshot may have been taken without them.
	Memory  Memory
	Clients []Conn // the listeners, then the clients, by descriptor
}

// Process is the process and its clock.
type Process struct {
	PID       int
	Version   string // as clients are told it
	EventLoop string // its name and version
	Uptime    uint64 // seconds, at least 1: dashboards divide by it
	Time      int64  // seconds since 1970
	UserTime  syscall.Timeval
	SysTime   syscall.Timeval
}

// ThisProcess asks the system about this process. What the clock says is for the caller to add.
func ThisProcess() Process {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails only for a bad argument
	return Process{PID: os.Getpid(), UserTime: usage.Utime, SysTime: usage.Stime}
}

// Served is what serving requests has counted; each is the Counter of its name.
type Served struct {
	CmdGet, CmdSet, CmdFlush, CmdTouch, CmdMeta uint64
	FlushPrefixes                               uint64

	GetHits, GetMisses, TouchHits, TouchMisses, DeleteHits, DeleteMisses uint64
	IncrHits, IncrMisses, DecrHits, DecrMisses                           uint64
	CasHits, CasMisses, CasBadval                                        uint64
	StoredForever, StoreTooLarge, StoreNoMemory                          uint64

	AuthCmds, AuthErrors                                          uint64
	BytesRead, BytesWritten                                       uint64
	ConnYields, IdleKicks, BudgetDropped, PinsDropped, ConnPanics uint64
	SlowReaders, UDPDropped                                       uint64

	SSLHandshakeErrors, SSLProtoErrors, SSLNewSessions uint64
}

// Served gives the sums their names.
func (s *Sums) Served() Served {
	return Served{
		CmdGet: s[CmdGet], CmdSet: s[CmdSet], CmdFlush: s[CmdFlush], CmdTouch: s[CmdTouch], CmdMeta: s[CmdMeta],
		FlushPrefixes: s[FlushPrefixes],

		GetHits: s[GetHits], GetMisses: s[GetMisses], TouchHits: s[TouchHits], TouchMisses: s[TouchMisses],
		DeleteHits: s[DeleteHits], DeleteMisses: s[DeleteMisses],
		IncrHits: s[IncrHits], IncrMisses: s[IncrMisses], DecrHits: s[DecrHits], DecrMisses: s[DecrMisses],
		CasHits: s[CasHits], CasMisses: s[CasMisses], CasBadval: s[CasBadval],
		StoredForever: s[StoredForever], StoreTooLarge: s[StoreTooLarge], StoreNoMemory: s[StoreNoMemory],

		AuthCmds: s[AuthCmds], AuthErrors: s[AuthErrors],
		BytesRead: s[BytesRead], BytesWritten: s[BytesWritten],
		ConnYields: s[ConnYields], IdleKicks: s[IdleKicks],
		BudgetDropped: s[BudgetDropped], PinsDropped: s[PinsDropped], ConnPanics: s[ConnPanics],
		SlowReaders: s[SlowReaders], UDPDropped: s[UDPDropped],

		SSLHandshakeErrors: s[SSLHandshakeErrors], SSLProtoErrors: s[SSLProtoErrors], SSLNewSessions: s[SSLNewSessions],
	}
}

// Conns are numbers of connections.
type Conns struct {
	Current      uint64 // clients now
	Behind       uint64 // of these, with replies that wait until they take some
	Total        uint64 // clients that were let in
	Rejected     uint64 // and that were not, because there were too many
	ReservedFDs  int    // descriptors that are not for clients
	Paused       bool   // accepting rests
	Pauses       uint64 // how often it has rested
	PausedMicros uint64 // for how long, in all
}

// Watch is what has been told to watchers.
type Watch struct {
	Watchers int
	Written  uint64 // lines, each counted once
	Dropped  uint64 // evictions that could not be kept until they were told
	Sent     uint64 // lines, for each watcher that got them
	Skipped  uint64 // and that did not
}

// Crawler is what stands for memcached's LRU crawler: the dumps of all items.
type Crawler struct {
	On      bool // it has not been disabled
	Running bool
	Starts  uint64
}

// Settings are the options in force, as `stats settings` repeats them.
type Settings struct {
	MaxConns     int
	MaxConnsWait bool
	Backlog      int
	IdleTimeout  time.Duration
	Port         int
	UDPPort      int
	Inter        string // -l as given
	UnixSocket   string
	UnixMask     os.FileMode
	Protocol     string
	Threads      int
	ReqsPerEvent int

	ItemMax         int
	DisableEviction bool
	DisableCAS      bool
	DisableFlush    bool
	DisableDump     bool
	EnableShutdown  bool
	MemoryFile      string
	AuthFile        string
	SASL            bool
	TLS             TLS

	PrefixDelimiter byte
	TrackSizes      bool
	WatcherBuffer   int
	RecorderBuffer  int
	NoMaintainer    bool

	Verbosity   uint32            // as it is now
	StatsDetail bool              // likewise
	Tuned       map[string]string // what the commands that tune memcached's slabs and LRU have set, by setting
}

// TLS is how connections are encrypted. Without it all is as zero.
type TLS struct {
	Enabled                             bool
	ChainFile, KeyFile, CAFile, Ciphers string
	Verify                              int // by the numbers of -o ssl_verify_mode
	KeyFormat                           int // by those of -o ssl_keyformat
	MinVersion                          uint16
	WriteBuffer                         int
	SessionCache, KernelTLS             bool
}

// Conn is a listener or a client.
type Conn struct {
	FD     int
	UDP    bool   // a socket for datagrams, which is all that there is of their clients
	Addr   string // "tcp:127.0.0.1:1234"
	Listen string // where the client came in; "" for a listener and for UDP
	State  string // memcached's name for it
	Quiet  uint64 // seconds since it last asked something
}
