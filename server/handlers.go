package server

import "github.com/gomemd/gomemd/protocol"

// handlers says what serves an Op. The storage commands have none here: they are served in two steps, when their line has
// come and when their block is complete (set.go).
var handlers = [protocol.NumOps]func(*session, *request) verdict{
	protocol.OpGet:        (*session).get,
	protocol.OpGets:       (*session).get,
	protocol.OpGat:        (*session).get,
	protocol.OpGats:       (*session).get,
	protocol.OpDelete:     (*session).delete,
	protocol.OpIncr:       (*session).incr,
	protocol.OpDecr:       (*session).decr,
	protocol.OpTouch:      (*session).touch,
	protocol.OpMetaGet:    (*session).metaGet,
	protocol.OpMetaDelete: (*session).metaDelete,
	protocol.OpMetaArith:  (*session).metaArith,
	protocol.OpMetaDebug:  (*session).metaDebug,
	protocol.OpFlushAll:   (*session).flushAll,
	protocol.OpVersion:    (*session).version,
	protocol.OpVerbosity:  (*session).verbosity,
	protocol.OpQuit:       (*session).quit,
	protocol.OpStats:      (*session).stats,
	protocol.OpWatch:      (*session).watch,
	protocol.OpNoop:       (*session).noop,

	protocol.OpMemoryLimit:  (*session).memoryLimit,
	protocol.OpShutdown:     (*session).shutdown,
	protocol.OpCrawler:      (*session).crawler,
	protocol.OpLRU:          (*session).lru,
	protocol.OpSlabs:        (*session).slabs,
	protocol.OpRefreshCerts: (*session).refreshCerts,
	protocol.OpDebugTime:    (*session).debugTime,
}
