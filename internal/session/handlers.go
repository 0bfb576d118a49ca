package session

import "github.com/gomemd/gomemd/protocol"

// handlers says what serves an Op. The storage commands have none here: they are served in two
// steps, when their line has come and when their block is complete (set.go).
var handlers = [protocol.NumOps]func(*Session, *request) Verdict{
	protocol.OpGet:         (*Session).get,
	protocol.OpGets:        (*Session).get,
	protocol.OpGat:         (*Session).get,
	protocol.OpGats:        (*Session).get,
	protocol.OpDelete:      (*Session).delete,
	protocol.OpIncr:        (*Session).incr,
	protocol.OpDecr:        (*Session).decr,
	protocol.OpTouch:       (*Session).touch,
	protocol.OpMetaGet:     (*Session).metaGet,
	protocol.OpMetaDelete:  (*Session).metaDelete,
	protocol.OpMetaArith:   (*Session).metaArith,
	protocol.OpMetaDebug:   (*Session).metaDebug,
	protocol.OpFlushAll:    (*Session).flushAll,
	protocol.OpFlushPrefix: (*Session).flushPrefix,
	protocol.OpVersion:     (*Session).version,
	protocol.OpVerbosity:   (*Session).verbosity,
	protocol.OpQuit:        (*Session).quit,
	protocol.OpStats:       (*Session).stats,
	protocol.OpWatch:       (*Session).watch,
	protocol.OpNoop:        (*Session).noop,

	protocol.OpMemoryLimit:  (*Session).memoryLimit,
	protocol.OpShutdown:     (*Session).shutdown,
	protocol.OpCrawler:      (*Session).crawler,
	protocol.OpLRU:          (*Session).lru,
	protocol.OpSlabs:        (*Session).slabs,
	protocol.OpRefreshCerts: (*Session).refreshCerts,
	protocol.OpDebugTime:    (*Session).debugTime,
}
