package load

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A Spec says what to do, in the words of the command line.
type Spec struct {
	Addr string

	// how
	Conns, Threads, Pipeline, Active, Reconnect, Idle int
	Rate                                              float64
	Binary, TLS                                       bool
	// how long
	Warmup, Seconds time.Duration
	Ops             int64
	// what
	Mix            string
	Multi          int
	Keys, Populate int64
	Dist, Trace    string
	Prefix         string
	KeyLen         int
	Fresh          float64
	Size, Exptime  string
	// checks and measures
	Verify, PID int
	Seed        uint64
}

// Flags makes a Spec from a command line.
func (s *Spec) Flags(f *flag.FlagSet) {
	f.StringVar(&s.Addr, "addr", "127.0.0.1:11211", "the server; loopback addresses only")

	f.IntVar(&s.Conns, "conns", 50, "connections")
	f.IntVar(&s.Threads, "threads", 1, "threads of ours, each with its share of the connections")
	f.IntVar(&s.Pipeline, "pipeline", 1, "requests sent together on a connection")
	f.Float64Var(&s.Rate, "rate", 0, "open loop: requests a second, whatever the server does (0: closed loop)")
	f.IntVar(&s.Active, "active", 0, "closed loop: connections with a request under way at one time, drawn anew for each (0: all)")
	f.IntVar(&s.Reconnect, "reconnect", 0, "requests before a connection says quit, is closed with RST and made again (0: never)")
	f.IntVar(&s.Idle, "idle", 0, "further connections that do one get each and then nothing")
	f.BoolVar(&s.Binary, "binary", false, "speak the binary protocol: get and set alone")
	f.BoolVar(&s.TLS, "tls", false, "TLS 1.3 with X25519; the server's certificate is not checked")

	f.DurationVar(&s.Warmup, "warmup", time.Second, "how long to run before measuring (with -ops: 0)")
	f.DurationVar(&s.Seconds, "time", 5*time.Second, "how long to measure")
	f.Int64Var(&s.Ops, "ops", 0, "end after so many requests (0: only the time counts)")

	f.StringVar(&s.Mix, "mix", "get:10,set:1", "what is sent, with weights: get, mget, set, aside (a get, and a set when it missed),\n"+
		"cas (a gets, and a cas when it hit), incr, touch, delete, mg (with v), ms, metadump (of all), stats (of all kinds);\n"+
		"handshake alone, with -tls: a connection with a full handshake, one command on it, and its end")
	f.IntVar(&s.Multi, "multi", 50, "keys of an mget")
	f.Int64Var(&s.Keys, "keys", 10_000, "how many different keys")
	f.Int64Var(&s.Populate, "populate", -1, "keys set beforehand, from the first on (-1: all)")
	f.StringVar(&s.Dist, "dist", "uniform", "which key is next: uniform, seq, zipf:<s>")
	f.StringVar(&s.Trace, "trace", "", "take the keys from this file: one key or \"key size\" a line, may be .gz; or zipf:<s>,<keys>,<requests>;\n"+
		"nothing is set beforehand")
	f.StringVar(&s.Prefix, "prefix", "key:", "beginning of each key")
	f.IntVar(&s.KeyLen, "keylen", 16, "length of a key: zeros are put between prefix and number")
	f.Float64Var(&s.Fresh, "fresh", 0, "share of the requests that go to a key never used before")
	f.StringVar(&s.Size, "size", "32", "bytes of a value: 32, 100-1000, 100:90,5000:10, lognormal:<median>,<sigma>[,<cut>], trace")
	f.StringVar(&s.Exptime, "exptime", "0", "exptime of what is set: a number, or from-to")

	f.IntVar(&s.Verify, "verify", 8, "compare every n-th value byte by byte (0: none)")
	f.IntVar(&s.PID, "pid", 0, "the server's process: report its CPU time and memory")
	f.Uint64Var(&s.Seed, "seed", 1, "of all dice")
}

// loopback refuses to burden anybody else's machine.
func loopback(addr string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ap, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err == nil && !ap.Addr().IsLoopback() {
		err = errors.New("not a loopback address")
	}
	if err != nil {
		return ap, fmt.Errorf("-addr %s: %w", addr, err)
	}
	return ap, nil
}

// A workload is a Spec made ready: all that the threads share. Nothing in it changes, but for the sequences.
type workload struct {
	keys, counters keyer
	choose         chooser
	sizes          sizer
	longest        int // value
	expFrom, expTo int
	picks          []op // one for each point of weight
	multi          int
	fresh          uint64 // of 2^64
	freshNext      atomic.Int64
	verify         int
	binary, secure bool
	block          []byte // see offset
	seed           uint64
}

// An op is a command as it is sent.
type op uint8

const (
	get op = iota
	mget
	set
	aside // a get that is followed by a set when it misses
	gets  // followed by a cas when it hits
	cas
	incr
	touch
	del
	metaGet // mg with v
	metaSet // ms
	metadump
	stats
	handshake
	seed // a set of a number, for incr
)

var opNames = map[string]op{"get": get, "mget": mget, "set": set, "aside": aside, "cas": gets, "incr": incr, "touch": touch, "delete": del,
	"mg": metaGet, "ms": metaSet, "metadump": metadump, "stats": stats, "handshake": handshake}

// spread is how many different places in the block values begin at. Prime, so that keys in a row do not share places.
const spread = 65521

// offset is where the value of a key begins in the block. What counters hold is a number and is not compared.
func offset(id int64) int { return int(uint64(id) * 40503 % spread) }

func newWorkload(s *Spec) (*workload, error) {
	w := &workload{multi: s.Multi, verify: s.Verify, seed: s.Seed, binary: s.Binary, secure: s.TLS}
	var err error
	if w.picks, err = parseMix(s.Mix); err != nil {
		return nil, err
	}
	for _, o := range w.picks {
		switch {
		case o == handshake && !(s.TLS && w.onlyHandshakes()):
			return nil, errors.New("-mix handshake goes alone, and with -tls")
		case s.Binary && o != get && o != set:
			return nil, errors.New("-binary: -mix of get and set alone")
		}
	}
	if s.Multi < 1 || s.Multi > 1000 {
		return nil, fmt.Errorf("-multi %d: want 1 to 1000", s.Multi)
	}
	var t *Trace
	if s.Trace != "" {
		if t, err = ReadTrace(s.Trace); err != nil {
			return nil, err
		}
		w.choose = t
		s.Keys, s.Populate, s.Fresh = int64(len(t.Keys)), 0, 0
	} else if w.choose, err = newChooser(s.Dist, s.Keys); err != nil {
		return nil, err
	}
	if s.KeyLen > 250 || len(s.Prefix) > 200 || strings.ContainsAny(s.Prefix, " \r\n") {
		return nil, errors.New("-prefix, -keylen: a key has no blanks and up to 250 bytes")
	}
	w.keys = keyer{prefix: s.Prefix, width: s.KeyLen - len(s.Prefix)}
	// incr needs numbers to count, so it has its own keys beside those of the others.
	w.counters = keyer{prefix: s.Prefix + "n", width: s.KeyLen - len(s.Prefix) - 1}
	if t != nil {
		w.keys.words, w.counters.words = t.Keys, t.Keys
	}
	if w.sizes, err = newSizer(s.Size, t); err != nil {
		return nil, err
	}
	if w.expFrom, w.expTo, err = parseExptime(s.Exptime); err != nil {
		return nil, err
	}
	if s.Fresh < 0 || s.Fresh > 0.99 {
		return nil, fmt.Errorf("-fresh %v: want 0 to 0.99", s.Fresh)
	}
	w.fresh = uint64(s.Fresh * (1 << 63) * 2)
	w.freshNext.Store(s.Keys)
	w.longest = w.sizes.most()
	w.block = randomBlock(w.longest+spread, s.Seed)
	return w, nil
}

// onlyHandshakes tells whether nothing is asked for but connections.
func (w *workload) onlyHandshakes() bool {
	return !slices.ContainsFunc(w.picks, func(o op) bool { return o != handshake })
}

// randomBlock holds all bytes there are, CR and LF among them: who looks for line ends inside a value will find some.
func randomBlock(n int, seed uint64) []byte {
	dice := rand.NewPCG(seed, 0xb10c)
	block := make([]byte, 0, n+8)
	for len(block) < n {
		v := dice.Uint64()
		block = append(block, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
	}
	return block[:n]
}

func parseMix(text string) (picks []op, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, weight, weighted := strings.Cut(part, ":")
		o, ok := opNames[name]
		n := 1
		if weighted {
			n, err = strconv.Atoi(weight)
		}
		if !ok || err != nil || n < 0 || n > 1000 {
			return nil, fmt.Errorf("-mix %q: %q: want a command and a weight up to 1000, for example get:10", text, part)
		}
		for range n {
			picks = append(picks, o)
		}
	}
	if len(picks) == 0 {
		return nil, fmt.Errorf("-mix %q: nothing to send", text)
	}
	return picks, nil
}

func parseExptime(text string) (from, to int, err error) {
	first, last, ranged := strings.Cut(text, "-")
	if from, err = strconv.Atoi(first); err == nil {
		if to = from; ranged {
			to, err = strconv.Atoi(last)
		}
	}
	if err != nil || to < from {
		return 0, 0, fmt.Errorf("-exptime %q: want a number, or from-to", text)
	}
	return from, to, nil
}

func (s *Spec) check() error {
	for _, n := range []struct {
		name           string
		is, from, most int
	}{
		{"conns", s.Conns, 1, 100_000},
		{"threads", s.Threads, 1, 256},
		{"pipeline", s.Pipeline, 1, 10_000},
		{"active", s.Active, 0, s.Conns},
		{"reconnect", s.Reconnect, 0, 1 << 30},
		{"idle", s.Idle, 0, 100_000},
		{"verify", s.Verify, 0, 1 << 30},
	} {
		if n.is < n.from || n.is > n.most {
			return fmt.Errorf("-%s %d: want %d to %d", n.name, n.is, n.from, n.most)
		}
	}
	switch {
	case s.Rate < 0 || s.Ops < 0 || s.Warmup < 0 || s.Seconds <= 0 || s.Seconds > time.Hour:
		return errors.New("-rate, -ops, -warmup: not below 0; -time: above 0 and up to an hour")
	case s.Rate > 0 && (s.Active > 0 || s.Reconnect > 0):
		return errors.New("-rate does not go with -active or -reconnect")
	case s.Rate > 0 && s.Ops > 0:
		return errors.New("-rate goes with -time, not with -ops")
	case s.Active > 0 && s.Reconnect > 0:
		return errors.New("-active does not go with -reconnect")
	case s.Reconnect > 0 && (s.Binary || s.TLS):
		return errors.New("-reconnect does not go with -binary or -tls")
	case s.Idle > 0 && s.TLS:
		return errors.New("-idle does not go with -tls")
	}
	if s.Ops > 0 {
		s.Warmup = 0 // it would use up the count
	}
	s.Threads = min(s.Threads, s.Conns)
	return nil
}
