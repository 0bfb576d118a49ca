package session

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/events"
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// Env is what all sessions of a server share. Its exported fields are set before the first session
// begins, and then not any more.
type Env struct {
	Store     *storage.Store
	Clock     *expiry.Clock
	Started   time.Time // when Clock stood at its start
	Hub       *events.Hub
	Insight   *insight.Sampler // nil: nothing is looked at
	Passwords *Passwords       // nil: everybody is served
	Rules     Rules
	Settings  stats.Settings // what stats settings repeats of the options
	Version   string         // as clients are told it
	EventLoop string         // its name and version, for stats
	Log       io.Writer      // of -v; it must not block

	// What belongs to the server:
	End           func(graceful bool)              // a client has said shutdown, and is obeyed
	Conns         func() stats.Conns               // numbers of connections
	ResetConns    func()                           // stats reset: those that are counts start over
	Clients       func() func() (stats.Conn, bool) // gives the listeners, then the clients, by descriptor
	HeldByClients func() uint64                    // bytes that wait for clients, outside the store
	LogDropped    func() uint64                    // lines of Log that nobody read in time; nil: there are none
	RefreshCerts  func() error                     // reads certificates again; nil: there is no TLS
	CertsRead     func() time.Time                 // when those in force were read
	Sweep         func()                           // somebody waits for what the next Store.Sweep does: let it be soon; nil: nobody minds
	Beside        func(n int)                      // so many more goroutines, or fewer, compute beside the loops; nil: nobody asks

	// These change while the server runs.
	Verbosity  atomic.Uint32
	CrawlerOff atomic.Bool    // lru_crawler disable
	Late       stats.Counters // what was counted off the loops: use AddNow

	tuning   tuning
	dumping  atomic.Bool // there is one dump of all items at a time
	dumps    atomic.Uint64
	dumpers  sync.WaitGroup
	surveys  surveys
	ahead    timeAhead // debugtime
	warnings warnings
	said     [NumKinds]atomic.Uint32 // when Say last wrote such a line, and 1; 0: never

	mu      sync.Mutex // guards workers
	workers map[*Worker]struct{}
}

// Rules are the options that decide what clients may do.
type Rules struct {
	ReqsPerEvent   int   // commands that are served before the other connections have their turn
	ItemMax        int   // bytes an item may have, by memcached's count
	MemoryLimitMax int64 // how far cache_memlimit may go; 0: as far as the store does
	DisableCAS     bool  // items have no unique, which counts for their size
	DisableFlush   bool
	DisableDump    bool // no commands that list keys
	DisableWatch   bool
	EnableShutdown bool
	SASL           bool // clients of the binary protocol have to log in
}

// Logf writes a line of -v.
func (e *Env) Logf(format string, args ...any) { fmt.Fprintf(e.Log, format, args...) }

// Wait waits for what goes on beside the sessions when all of them are closed. It uses the store.
func (e *Env) Wait() {
	e.surveys.close()
	e.dumpers.Wait()
}

// Sums are what all workers have counted and published, and what was counted late.
func (e *Env) Sums() (sum stats.Sums) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.workers {
		w.Counters.AddTo(&sum)
	}
	e.Late.AddTo(&sum)
	return sum
}

// FlushEvictions tells those who watch of items that had to go while no command was served.
func (e *Env) FlushEvictions() {
	recorder := e.Hub.NewRecorder(e.Clock)
	if recorder.Look(0); recorder.Watched&events.Evictions != 0 {
		recorder.Flush()
	}
}
