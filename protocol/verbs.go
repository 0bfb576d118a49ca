package protocol

// Op says what a request asks for. internal/session has one handler for each.
type Op uint8

const (
	OpUnknown Op = iota
	OpGet
	OpGets
	OpGat
	OpGats
	OpSet
	OpAdd
	OpReplace
	OpAppend
	OpPrepend
	OpCas
	OpDelete
	OpIncr
	OpDecr
	OpTouch
	OpMetaGet
	OpMetaSet
	OpMetaDelete
	OpMetaArith
	OpMetaDebug
	OpFlushAll
	OpFlushPrefix
	OpVersion
	OpVerbosity
	OpQuit
	OpStats
	OpWatch
	OpNoop
	OpMemoryLimit
	OpShutdown
	OpCrawler
	OpLRU
	OpSlabs
	OpRefreshCerts
	OpDebugTime
	OpMechanisms // of SASL, which there are; this and the next two in packets only
	OpAuth
	OpAuthStep
	NumOps
)

// A verb is a command's word, and how the line after it is cut.
type verb struct {
	name  string
	op    Op
	shape func(r *Request, line []byte) error // nil: what follows the word does not matter
}

// verbs is everything the server can be asked.
var verbs = [...]verb{
	{"get", OpGet, retrieval},
	{"gets", OpGets, retrieval},
	{"gat", OpGat, retrievalAndTouch},
	{"gats", OpGats, retrievalAndTouch},
	{"set", OpSet, storage},
	{"add", OpAdd, storage},
	{"replace", OpReplace, storage},
	{"append", OpAppend, storage},
	{"prepend", OpPrepend, storage},
	{"cas", OpCas, storage},
	{"delete", OpDelete, deletion},
	{"incr", OpIncr, arithmetic},
	{"decr", OpDecr, arithmetic},
	{"touch", OpTouch, touch},
	{"flush_all", OpFlushAll, flushAll},
	{"flush_prefix", OpFlushPrefix, flushPrefix},
	{"version", OpVersion, nil},
	{"verbosity", OpVerbosity, verbosity},
	{"quit", OpQuit, nil},
	{"stats", OpStats, arguments},
	{"watch", OpWatch, arguments},
	{"mg", OpMetaGet, meta},
	{"ms", OpMetaSet, metaStorage},
	{"md", OpMetaDelete, meta},
	{"ma", OpMetaArith, metaArithmetic},
	{"me", OpMetaDebug, metaDebug},
	{"mn", OpNoop, nil},
	{"cache_memlimit", OpMemoryLimit, administration},
	{"shutdown", OpShutdown, administration},
	{"lru_crawler", OpCrawler, administration},
	{"lru", OpLRU, administration},
	{"slabs", OpSlabs, administration},
	{"refresh_certs", OpRefreshCerts, administration},
	{"debugtime", OpDebugTime, administration},
}

// byLength finds a verb by the length of its word: no length has more than a handful, and the busiest come first.
var byLength = func() (t [len("cache_memlimit") + 1][]verb) {
	for _, v := range verbs {
		t[len(v.name)] = append(t[len(v.name)], v)
	}
	return
}()

func findVerb(word []byte) *verb {
	if len(word) >= len(byLength) {
		return nil
	}
	for i := range byLength[len(word)] {
		if v := &byLength[len(word)][i]; v.name == string(word) {
			return v
		}
	}
	return nil
}

// HasKey tells whether op is about a key, or several.
func (op Op) HasKey() bool { return OpGet <= op && op <= OpMetaDebug }

// Touches tells whether a retrieval also sets the deadline.
func (op Op) Touches() bool { return op == OpGat || op == OpGats }

// Retrieves tells whether op may be about more than one key, and is answered with values.
func (op Op) Retrieves() bool { return OpGet <= op && op <= OpGats }

// Stores tells whether a block follows op's line.
func (op Op) Stores() bool { return OpSet <= op && op <= OpCas || op == OpMetaSet }

// String is the first word that means op.
func (op Op) String() string {
	for _, v := range verbs {
		if v.op == op {
			return v.name
		}
	}
	return "unknown"
}
