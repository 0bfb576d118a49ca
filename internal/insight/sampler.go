package insight

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"

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
	Every int // one request of so many is looked at for hot keys; 0: none is
}

// A Sampler is what all loops' probes write for.
type Sampler struct {
	opts Options

	draining sync.Mutex // one Drain at a time; before mu
	read     []byte     // what it reads

	mu     sync.Mutex // guards what follows
	probes []*Probe
	hot    hot
}

// New makes a Sampler.
func New(opts Options) *Sampler {
	return &Sampler{opts: opts, hot: hot{every: uint64(opts.Every)}}
}

// A Request is one that was served, as far as it is of interest.
type Request struct {
	Hash uint64
	Key  []byte
	Size int // bytes of the value that was read or written
}

// A Probe is what one loop looks with.
type Probe struct {
	sampler *Sampler
	gap     int32  // requests until one is looked at, this one included …
	drawn   uint32 // … as it was drawn
	passed  uint64 // requests, up to the last one that was looked at
	pending []byte

	mu        sync.Mutex // guards what follows
	published []byte
	of        uint64 // passed, as published

	told    uint64 // Drain's: of, as it was last read
	samples uint64 // requests that were looked at in this window
	loudest top    // the heaviest of them
}

// Init makes a probe ready for its loop. Without a Sampler it looks at nothing.
func (p *Probe) Init(s *Sampler) {
	if s == nil {
		s = New(Options{})
	}
	p.sampler = s
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

// Wants tells whether a request with a key is to be looked at. It is asked once for each, and if it
// says so Saw has to be called.
func (p *Probe) Wants() bool {
	p.gap--
	return p.gap <= 0
}

// Saw looks at a request. It keeps none of its slices.
func (p *Probe) Saw(r Request) {
	p.passed += uint64(p.drawn)
	p.draw()
	if p.sampler.opts.Every == 0 {
		return
	}
	if p.pending == nil {
		p.pending = make([]byte, 0, pendingMax)
	}
	if len(p.pending)+recordMax > pendingMax {
		p.Publish()
	}
	if len(p.pending)+recordMax > pendingMax {
		p.pending = p.pending[:0] // somebody reads: better than to wait for him
	}
	p.pending = appendRecord(p.pending, &r)
}

// Publish ends a read event: what was looked at in it can be read.
func (p *Probe) Publish() {
	if len(p.pending) == 0 || !p.mu.TryLock() {
		return
	}
	p.of = p.passed
	if len(p.published)+len(p.pending) <= publishedMax { // else they are lost
		p.published = append(p.published, p.pending...)
	}
	p.mu.Unlock()
	p.pending = p.pending[:0]
}

// A record, little-endian:
//
//	| hash 8 | size 4 | klen 1 | key |
const (
	recordHead = 13
	recordMax  = recordHead + KeyMax
)

type record struct {
	hash uint64
	size uint32
	key  []byte
}

func appendRecord(out []byte, r *Request) []byte {
	key := r.Key[:min(len(r.Key), KeyMax)]
	out = binary.LittleEndian.AppendUint64(out, r.Hash)
	out = binary.LittleEndian.AppendUint32(out, uint32(min(r.Size, math.MaxUint32)))
	return append(append(out, byte(len(key))), key...)
}

// next cuts a record off.
func next(in []byte) (r record, rest []byte) {
	r.hash = binary.LittleEndian.Uint64(in)
	r.size = binary.LittleEndian.Uint32(in[8:])
	end := recordHead + int(in[12])
	r.key = in[recordHead:end]
	return r, in[end:]
}

// Drain reads what the loops have published until now. It tells of each key that takes more than
// LoudShare of a busy loop, once in a window; told must not call the Sampler, and key is good until it
// returns.
func (s *Sampler) Drain(now expiry.Instant, told func(key []byte, share float64)) {
	s.draining.Lock()
	defer s.draining.Unlock()
	s.mu.Lock()
	probes := s.probes // it only grows
	if s.hot.turn(now) {
		for _, p := range probes {
			p.samples = 0
			p.loudest.clear()
		}
	}
	s.mu.Unlock()
	for _, p := range probes {
		p.mu.Lock()
		s.read, p.published = p.published, s.read[:0]
		passed := p.of - p.told
		p.told = p.of
		p.mu.Unlock()
		if passed == 0 {
			continue
		}
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
				s.hot.add(&r)
				p.add(&r)
			}
			s.mu.Unlock()
		}
		p.tell(told)
	}
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

func (p *Probe) add(r *record) {
	p.samples++
	p.loudest.add(r.hash, r.key, 1, 0)
}

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
