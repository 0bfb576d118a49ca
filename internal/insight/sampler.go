package insight

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

const (
	// KeyMax is how long a key may be: memcached's rule.
	KeyMax = 250
	// pendingMax is how many bytes of records a loop gathers before it publishes them, and
	// publishedMax how many it publishes before some are lost: at one request of a hundred, a
	// million requests a second with keys of 30 bytes make about half of it from tick to tick.
	pendingMax   = 4 << 10
	publishedMax = 64 << 10
	// drainStep is how many records are read before somebody else may ask.
	drainStep = 64
)

// Options say what is looked at.
type Options struct {
	Every int  // one request of so many is looked at for hot keys; 0: none is
	Curve bool // all requests for a sample of the keys are, for what other limits would do, and by time to live
}

// A Sampler is what all loops' probes write for.
type Sampler struct {
	opts Options
	// Of the upper halves of hashes, those below are of keys in the sample; 0: there is none.
	part    atomic.Uint64
	flushed atomic.Bool   // since the last Drain
	due     atomic.Uint32 // when a flush is; 0: none is

	draining sync.Mutex // one Drain at a time; before mu
	read     []byte     // what it reads

	mu     sync.Mutex // guards what follows
	probes []*Probe
	hot    hot
	curve  *Curve // nil: there is none
}

// New makes a Sampler.
func New(opts Options) *Sampler {
	s := &Sampler{opts: opts, hot: hot{every: uint64(opts.Every)}}
	if opts.Curve {
		s.curve = NewCurve(0, CurveEntries)
		s.part.Store(s.curve.Threshold())
	}
	return s
}

// Op is what a request does to its key.
type Op uint8

// The ops.
const (
	Lookup  Op = iota // a get, or a touch
	Use               // the item is read and written, which is not counted as a get
	Store             // it is stored
	Remove            // it is deleted
	Nothing           // it is refused, or changes nothing
)

// A Request is one that was served, as far as it is of interest.
type Request struct {
	Hash uint64
	Key  []byte
	Size int // bytes of the value that was read or written
	Op   Op
	Hit  bool           // of a Lookup
	Ends expiry.Instant // of a Lookup that hits and a Store: when the item does
}

// A Probe is what one loop looks with.
type Probe struct {
	sampler *Sampler
	gap     int32  // requests until one is looked at, this one included …
	drawn   uint32 // … as it was drawn
	passed  uint64 // requests, up to the last one that was looked at
	part    uint64 // the Sampler's, as of the last Publish
	pending []byte
	missed  uint32 // records that had no room in pending

	mu        sync.Mutex // guards what follows
	published []byte
	of        uint64 // passed, as published
	lost      uint32 // records, that had no room

	told    uint64 // Drain's: of, as it was last read
	samples uint64 // requests that were looked at in this window
	loudest top    // the heaviest of them
}

// Init makes a probe ready for its loop. Without a Sampler it looks at nothing.
func (p *Probe) Init(s *Sampler) {
	if s == nil {
		s = New(Options{})
	}
	p.sampler, p.part = s, s.part.Load()
	p.loudest.init(loudCounters)
	p.draw()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes = append(s.probes, p)
}

// draw decides how many requests go by before one is looked at: one of Every on average, each number
// up to twice as many as likely as another. A fixed number would meet the same command of a pipeline
// every time.
func (p *Probe) draw() {
	p.drawn = math.MaxInt32
	if every := uint32(p.sampler.opts.Every); every > 0 {
		p.drawn = 1 + rand.Uint32N(2*every-1)
	}
	p.gap = int32(p.drawn)
}

// Wants tells whether a request with a key is to be looked at: because it is its turn, or because of its
// key. It is asked once for each, and if it says so Saw has to be called.
func (p *Probe) Wants(hash uint64) bool {
	p.gap--
	return p.gap <= 0 || hash>>32 < p.part
}

// Saw looks at a request. It keeps none of its slices.
func (p *Probe) Saw(r Request) {
	hot := false
	if p.gap <= 0 {
		p.passed += uint64(p.drawn)
		p.draw()
		hot = p.sampler.opts.Every > 0
	}
	if !hot && r.Hash>>32 >= p.part {
		return
	}
	if p.pending == nil {
		p.pending = make([]byte, 0, pendingMax)
	}
	if len(p.pending)+recordMax > pendingMax {
		p.Publish()
	}
	if len(p.pending)+recordMax > pendingMax {
		p.missed++ // somebody reads: better than to wait for him
		return
	}
	p.pending = appendRecord(p.pending, &r, hot)
}

// Flush is told of a flush_all: now if it is Never, or at that moment.
func (p *Probe) Flush(at expiry.Instant) { p.sampler.flush(at) }

// Publish ends a read event: what was looked at in it can be read.
func (p *Probe) Publish() {
	p.part = p.sampler.part.Load()
	if len(p.pending) == 0 || !p.mu.TryLock() {
		return
	}
	p.of = p.passed
	p.lost += p.missed
	if len(p.published)+len(p.pending) <= publishedMax {
		p.published = append(p.published, p.pending...)
	} else {
		p.lost++
	}
	p.mu.Unlock()
	p.pending, p.missed = p.pending[:0], 0
}

// A record, little-endian. Its key comes with it if it is for hot keys.
//
//	| hash 8 | size 4 | ends 4 | op 1 | klen 1 | [key] |
const (
	recordHead = 18
	recordMax  = recordHead + KeyMax

	opMask = 0x0f
	opHit  = 0x40
	opHot  = 0x80
)

type record struct {
	hash uint64
	size uint32
	ends expiry.Instant
	op   byte
	klen uint8
	key  []byte
}

func appendRecord(out []byte, r *Request, hot bool) []byte {
	key, op := r.Key[:min(len(r.Key), KeyMax)], byte(r.Op)
	if r.Hit {
		op |= opHit
	}
	if hot {
		op |= opHot
	}
	out = binary.LittleEndian.AppendUint64(out, r.Hash)
	out = binary.LittleEndian.AppendUint32(out, uint32(min(r.Size, math.MaxUint32)))
	out = binary.LittleEndian.AppendUint32(out, uint32(r.Ends))
	out = append(out, op, byte(len(key)))
	if hot {
		out = append(out, key...)
	}
	return out
}

// next cuts a record off.
func next(in []byte) (r record, rest []byte) {
	r.hash = binary.LittleEndian.Uint64(in)
	r.size = binary.LittleEndian.Uint32(in[8:])
	r.ends = expiry.Instant(binary.LittleEndian.Uint32(in[12:]))
	r.op, r.klen = in[16], in[17]
	in = in[recordHead:]
	if r.op&opHot != 0 {
		r.key, in = in[:r.klen], in[r.klen:]
	}
	return r, in
}

// Totals are of all requests, and of the store.
type Totals struct {
	Limit      int64  // bytes that the store may have
	Gets, Hits uint64 // gets and touches, and those that hit, since the start or the last reset
}

func (s *Sampler) flush(at expiry.Instant) {
	if at == expiry.Never {
		s.flushed.Store(true)
	} else {
		s.due.Store(uint32(at))
	}
}

// Reset starts the counts of the curve over (stats reset).
func (s *Sampler) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.curve != nil {
		s.curve.Reset()
	}
}

// Drain reads what the loops have published until now. It tells of each key that takes more than
// LoudShare of a busy loop, once in a window; told must not call the Sampler, and key is good until it
// returns.
func (s *Sampler) Drain(now expiry.Instant, all Totals, told func(key []byte, share float64)) {
	s.draining.Lock()
	defer s.draining.Unlock()
	probes, flushed := s.begin(now, all.Limit)
	records, lost := 0, uint32(0)
	for _, p := range probes {
		p.mu.Lock()
		s.read, p.published = p.published, s.read[:0]
		passed := p.of - p.told
		p.told = p.of
		of := shares{}
		if p.lost > 0 {
			of.looked = passed / uint64(max(1, s.opts.Every))
		}
		lost, p.lost = lost+p.lost, 0
		p.mu.Unlock()
		of.count(s.read)
		s.mu.Lock()
		s.hot.now.requests += passed
		s.mu.Unlock()
		for in := s.read; len(in) > 0; {
			s.mu.Lock()
			for range drainStep {
				if len(in) == 0 {
					break
				}
				var r record
				r, in = next(in)
				if r.op&opHot != 0 {
					s.hot.add(&r, of.next())
					p.samples++
					p.loudest.add(r.hash, r.key, 1, 0)
				}
				if s.curve != nil && !flushed && s.curve.has(r.hash) {
					s.curve.add(&r)
					records++
				}
			}
			s.mu.Unlock()
			runtime.Gosched() // the loops may have this processor alone
		}
		p.tell(told)
	}
	if s.curve == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.curve.Tick(now, all.Gets, all.Hits)
	s.curve.adapt(records, lost)
	s.part.Store(s.curve.Threshold())
}

// shares are for how many each record for hot keys stands that a loop has published, where others had no
// room: else what was asked for in calmer times would be told as too much, and this as too little.
type shares struct{ looked, read, told uint64 }

func (sh *shares) count(in []byte) {
	if sh.looked == 0 {
		return
	}
	for len(in) > 0 {
		var r record
		if r, in = next(in); r.op&opHot != 0 {
			sh.read++
		}
	}
}

func (sh *shares) next() uint64 {
	if sh.looked <= sh.read {
		return 1
	}
	before := sh.told * sh.looked / sh.read
	sh.told++
	return sh.told*sh.looked/sh.read - before
}

// begin is what comes first. After a flush, what is read may be from before it, and is passed over.
func (s *Sampler) begin(now expiry.Instant, limit int64) (probes []*Probe, flushed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hot.turn(now) {
		for _, p := range s.probes {
			p.samples = 0
			p.loudest.clear()
		}
	}
	flushed = s.flushed.Swap(false)
	if due := expiry.Instant(s.due.Load()); due.Passed(now) {
		flushed = true
		s.due.Store(0)
	}
	if s.curve != nil {
		s.curve.SetLimit(limit)
		s.curve.now = now
		if flushed {
			s.curve.Flush()
		}
	}
	return s.probes, flushed
}

// The counters of a loop are for keys that take more than LoudShare of it: among eight, whoever has
// more than an eighth is there (top.go).
const loudCounters = 8

// LoudShare is the share of a loop's requests from which a key is told of: a loop that serves one key
// half of the time has other keys' clients wait for it. loudLeast is how many of them must have been
// looked at: a loop with few requests is in nobody's way.
const (
	LoudShare = 0.25
	loudLeast = 1000
)

// tell tells of keys that have become loud.
func (p *Probe) tell(told func(key []byte, share float64)) {
	if p.samples < loudLeast {
		return
	}
	for i := range p.loudest.counters {
		c := &p.loudest.counters[i]
		share := float64(c.weight-c.excess) / float64(p.samples)
		if !c.told && share > LoudShare {
			c.told = true
			told(c.name(), share)
		}
	}
}

// HotKeys are those that were asked for most in the last finished window and the one that is running.
// unix makes a time of an instant.
func (s *Sampler) HotKeys(unix func(expiry.Instant) int64) stats.HotKeys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hot.report(unix)
}

// Look is what is known of the sample of keys: the curve, and hits and misses by the time that items
// were stored for.
func (s *Sampler) Look() (stats.Curve, []stats.TTLHits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.curve == nil {
		return stats.Curve{}, nil
	}
	return s.curve.Report(), s.curve.byTTL()
}
