package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gomemd/gomemd/internal/stats"
)

// GET /events is what the live page reads, and whoever else likes: server-sent events, one a second,
// each a [Document] in one line of JSON. The first one comes at once.
//
// Nothing is kept and nothing is done while nobody reads. All readers are told of the same snapshot,
// one a second. There may be maxReaders of them; the next one is refused with 503. A reader that is
// behind misses events, and one whose connection takes nothing for takeWithin is dropped: nobody
// waits for either.

const (
	liveEvery  = time.Second
	maxReaders = 16
	takeWithin = 5 * time.Second
	unread     = 32 << 10 // bytes that a reader may leave in the kernel, which allows itself twice that: ten events
	// comeBack is when a reader should come again that lost us. Its unit in the stream is ms.
	comeBack = 2 * time.Second
	// latencyOver is over how many events latency is told: a second's sample is too small for a
	// 99.9th percentile.
	latencyOver = 10
)

// A Document is one event. Bytes are bytes, times are seconds, where nothing else is said. Fields may
// be added; what is there keeps its name and its meaning.
type Document struct {
	Time    int64   `json:"time"` // ms since 1970, by the server's clock
	Over    float64 `json:"over"` // seconds that Since is about; 0: there was no event before, and Since is all 0
	Version string  `json:"version"`
	PID     int     `json:"pid"`
	Uptime  uint64  `json:"uptime"`
	// Draining: the server is about to end.
	Draining bool `json:"draining,omitempty"`

	Total Counts `json:"total"` // since the start of the server, or since stats reset
	Since Counts `json:"since"` // since the event before; after a reset: since that

	Store   StoreNow   `json:"store"`
	Memory  MemoryNow  `json:"memory"`
	Clients ClientsNow `json:"clients"`

	Latency []Latency `json:"latency"` // of the last ten seconds at most, of kinds of which there were any

	// How many items there were of each class, since the start. Class i is of more than 2^(i-1) and
	// at most 2^i; class 0 is of 0 and 1. Trailing zeros are left out.
	Sizes       []uint64 `json:"sizes"`       // items stored, by bytes of key and value
	TTLs        []uint64 `json:"ttls"`        // items stored with a deadline, by seconds until then; Total.Forever has none
	EvictedIdle []uint64 `json:"evictedIdle"` // items evicted, by seconds since they were last used

	TTLHits []TTLHits `json:"ttlHits"`         // hits of a sample of keys, by what they were last stored for; empty if there is none (--no-curve, -M)
	Curve   *Curve    `json:"curve,omitempty"` // absent while too little is known

	Warnings []Warning `json:"warnings"`           // the last ones, the oldest first
	Hot      *Hot      `json:"hot,omitempty"`      // absent where keys are not told
	Withheld string    `json:"withheld,omitempty"` // why they are not
}

// Counts are numbers of what has happened.
type Counts struct {
	Get    uint64 `json:"get"` // keys asked for
	Set    uint64 `json:"set"`
	Delete uint64 `json:"delete"`
	Count  uint64 `json:"count"` // incr, decr, ma
	Touch  uint64 `json:"touch"` // touch, gat

	Hits   uint64 `json:"hits"` // of Get
	Misses uint64 `json:"misses"`

	Forever     uint64 `json:"forever"` // items stored without a deadline
	Evicted     uint64 `json:"evicted"`
	EvictedIdle uint64 `json:"evictedIdle"` // for how many seconds those had not been used, all together
	Expired     uint64 `json:"expired"`

	TooLarge uint64 `json:"tooLarge"` // sets refused: larger than -I
	NoMemory uint64 `json:"noMemory"` // sets refused: nothing could be evicted

	Accepted   uint64 `json:"accepted"` // connections
	Rejected   uint64 `json:"rejected"` // more than -c
	SlowReads  uint64 `json:"slowReads"`
	Idle       uint64 `json:"idle"`    // connections closed by idle_timeout
	Dropped    uint64 `json:"dropped"` // connections closed to get at memory that they held
	Panics     uint64 `json:"panics"`  // connections closed by a mistake of ours
	AuthErrors uint64 `json:"authErrors"`
	TLSErrors  uint64 `json:"tlsErrors"`
	LogDropped uint64 `json:"logDropped"` // lines of the log that nobody read in time

	BytesIn  uint64 `json:"bytesIn"`
	BytesOut uint64 `json:"bytesOut"`
	CPU      uint64 `json:"cpu"` // µs of processor time
}

// StoreNow is what the store holds.
type StoreNow struct {
	Limit      uint64 `json:"limit"`      // -m
	Items      uint64 `json:"items"`      // the expired ones that nobody has noticed included
	Live       uint64 `json:"live"`       // bytes in segments that belong to these
	Dead       uint64 `json:"dead"`       // bytes in segments that were overwritten, deleted or moved away
	Index      uint64 `json:"index"`      // index and segment table
	Free       uint64 `json:"free"`       // segments that could be taken at once
	Ended      uint64 `json:"ended"`      // of Live: expired or flushed, and not taken back yet
	MayEvict   bool   `json:"mayEvict"`   // not -M
	EvictedAge uint64 `json:"evictedAge"` // age of the segment that was evicted last
	Prefixing  int    `json:"prefixing"`  // flush_prefix whose memory is being taken back
}

// MemoryNow is where the memory of the process is. Items is what -m bounds.
type MemoryNow struct {
	Items       uint64 `json:"items"`
	Connections uint64 `json:"connections"`
	Runtime     uint64 `json:"runtime"`
	Program     uint64 `json:"program"`
	Resident    uint64 `json:"resident"` // as the system counts
}

// ClientsNow are connections.
type ClientsNow struct {
	Current  uint64 `json:"current"`
	Max      int    `json:"max"`    // -c
	Behind   uint64 `json:"behind"` // with replies that wait until they are taken
	Watchers int    `json:"watchers"`
	Paused   bool   `json:"paused"` // nobody is accepted for now
}

// Latency is how long requests of one kind took, of a sample of N: µs that so many did not exceed.
// A percentile is absent where the sample has nothing beyond it.
type Latency struct {
	Kind string  `json:"kind"`
	N    uint64  `json:"n"`
	P50  float64 `json:"p50,omitempty"`
	P99  float64 `json:"p99,omitempty"`
	P999 float64 `json:"p999,omitempty"`
}

// TTLHits are of keys that were stored for at most Upto seconds, and for more than the entry before
// says. Upto is 0 for those without a deadline. Misses of keys that were never stored, or evicted long
// ago, are not in them (stats.TTLHits).
type TTLHits struct {
	Upto   uint64 `json:"upto"`
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"`
}

// Curve is which hit ratio other memory limits would have.
type Curve struct {
	Keys   uint64       `json:"keys"`   // in the sample
	Gets   uint64       `json:"gets"`   // of them
	Ratio  float64      `json:"ratio"`  // in the server itself
	Points [][2]float64 `json:"points"` // multiple of -m, hit ratio
}

// Hot are the keys that were asked for most.
type Hot struct {
	Sampled    uint64   `json:"sampled"`  // one request of so many is looked at; 0: none is, it is off
	Seconds    float64  `json:"seconds"`  // length of the window
	Requests   uint64   `json:"requests"` // with a key, in the window
	Bytes      uint64   `json:"bytes"`    // of values
	ByRequests []HotKey `json:"byRequests"`
	ByBytes    []HotKey `json:"byBytes"`
}

// HotKey is one of them. What it has may be too much by Error, in the unit of its list.
type HotKey struct {
	Key      string `json:"key"` // as it is, but for what cannot be printed: \n, \xff, \u202e; and \\ is a backslash
	Requests uint64 `json:"requests"`
	Bytes    uint64 `json:"bytes"`
	Error    uint64 `json:"error"`
}

// Warning is a line of the log.
type Warning struct {
	Time int64  `json:"time"` // ms since 1970
	Text string `json:"text"`
}

// live has the readers of events, and makes them.
type live struct {
	every, within time.Duration // liveEvery, takeWithin

	mu      sync.Mutex
	readers map[*liveReader]struct{}
	latest  map[string][]byte // the last event, as it is for readers of each liveReader.why
	stop    chan struct{}     // closed, it ends who makes events; nil: nobody does

	running sync.WaitGroup // who makes events
}

// liveReader is one who reads.
type liveReader struct {
	why    string      // it may not have keys; "": it may
	events chan []byte // the next one; full: it is behind
}

// join lets a reader in, or finds that there are enough. The last event is the first one for it.
func (l *live) join(source Source, draining func() bool, why string) (*liveReader, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.readers) >= maxReaders {
		return nil, false
	}
	r := &liveReader{why: why, events: make(chan []byte, 1)}
	if event := l.latest[why]; event != nil {
		r.events <- event
	}
	if l.readers == nil {
		l.readers = map[*liveReader]struct{}{}
	}
	l.readers[r] = struct{}{}
	if l.stop == nil {
		stop := make(chan struct{})
		l.stop = stop
		l.running.Go(func() { l.run(source, draining, stop) })
	}
	return r, true
}

// leave lets a reader go. The last one ends the work.
func (l *live) leave(r *liveReader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, r)
	if len(l.readers) == 0 {
		close(l.stop)
		l.stop, l.latest = nil, nil
	}
}

// run makes events until it is stopped.
func (l *live) run(source Source, draining func() bool, stop chan struct{}) {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	var past history
	for {
		all := source.Brief()
		doc := past.next(time.Now(), &all)
		doc.Draining = draining()
		l.tell(doc, &all, source, stop)
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// tell gives everybody the event that is for them.
func (l *live) tell(doc *Document, all *stats.Snapshot, source Source, stop chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != stop {
		return // all have gone meanwhile
	}
	l.latest = map[string][]byte{}
	for r := range l.readers {
		event, made := l.latest[r.why]
		if !made {
			doc.addKeys(r.why, all, source)
			event = encoded(doc)
			l.latest[r.why] = event
		}
		select {
		case r.events <- event:
		default: // it is behind, and misses this one
		}
	}
}

// encoded is a document as it is sent.
func encoded(doc *Document) []byte {
	text, err := json.Marshal(doc)
	if err != nil {
		text = []byte("{}") // only a ratio that is no number could not be told
	}
	return append(append([]byte("data: "), text...), "\n\n"...)
}

// events is GET /events.
func (a *Server) events(w http.ResponseWriter, r *http.Request) {
	source, started := a.server()
	if !started {
		refuse(w, http.StatusServiceUnavailable, "starting: there are no numbers yet")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	_, why := a.mayHaveKeys(r)
	reader, ok := a.live.join(source, a.draining.Load, why)
	if !ok {
		refuse(w, http.StatusServiceUnavailable, "there are %d readers of events already", maxReaders)
		return
	}
	defer a.live.leave(reader)
	if conn, ok := r.Context().Value(connOf{}).(*net.TCPConn); ok {
		_ = conn.SetWriteBuffer(unread) // or megabytes would wait in the kernel before anybody notices
	}
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events until it has some KiB
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // that of the request, which has been read
	send := func(text []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(a.live.within))
		_, err := w.Write(text)
		return err == nil && control.Flush() == nil
	}
	for next := fmt.Appendf(nil, "retry: %d\n\n", comeBack.Milliseconds()); send(next); {
		select {
		case next = <-reader.events:
		case <-r.Context().Done(): // it has gone, or Close
			return
		}
	}
}

// connOf is under which name a request's context has its connection.
type connOf struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connOf{}, conn)
}

// history is what the next event is compared with.
type history struct {
	at      time.Time // of the event before; zero: there was none
	total   Counts
	latency []stats.Insight // the last ones, the oldest first; only Latency is looked at
}

// next is the event that a snapshot makes, without what depends on who reads.
func (past *history) next(at time.Time, all *stats.Snapshot) *Document {
	st := &all.Store
	doc := &Document{
		Time: at.UnixMilli(), Version: all.Process.Version, PID: all.Process.PID, Uptime: all.Process.Uptime,
		Total: countsOf(all),
		Store: StoreNow{
			Limit: st.LimitBytes, Items: st.CurrItems, Live: st.SegmentBytes - min(st.DeadBytes, st.SegmentBytes), Dead: st.DeadBytes,
			Index: st.IndexBytes + st.TableBytes, Free: st.FreeBytes, MayEvict: !all.Settings.DisableEviction,
			Ended: all.Insight.Ended, EvictedAge: st.EvictedAge, Prefixing: all.Insight.Prefixing,
		},
		Memory: MemoryNow{
			Items: all.Memory.Items, Connections: all.Memory.Connections, Runtime: all.Memory.Runtime,
			Program: all.Memory.Program, Resident: all.Memory.Resident,
		},
		Clients: ClientsNow{
			Current: all.Conns.Current, Behind: all.Conns.Behind, Max: all.Settings.MaxConns, Watchers: all.Watch.Watchers, Paused: all.Conns.Paused,
		},
		Sizes: trimmed(all.Insight.Stored.Counts[:]), TTLs: trimmed(all.Insight.TTL.Counts[:]),
		EvictedIdle: trimmed(st.EvictedIdle.Counts[:]),
		TTLHits:     make([]TTLHits, 0, len(all.Insight.TTLHits)),
	}
	for _, t := range all.Insight.TTLHits {
		doc.TTLHits = append(doc.TTLHits, TTLHits(t))
	}
	if c := &all.Insight.Curve; len(c.Points) > 0 {
		doc.Curve = &Curve{Keys: c.Keys, Gets: c.Gets, Ratio: rounded(c.Ratio, 1e4)}
		for _, p := range c.Points {
			doc.Curve.Points = append(doc.Curve.Points, [2]float64{p.Factor, rounded(p.HitRatio, 1e4)})
		}
	}
	if !past.at.IsZero() {
		doc.Over = rounded(at.Sub(past.at).Seconds(), 1e3)
		doc.Since = doc.Total.minus(&past.total)
	}
	past.at, past.total = at, doc.Total
	doc.Latency = past.latencies(&all.Insight)
	return doc
}

// addKeys adds what depends on whether keys may be told.
func (d *Document) addKeys(why string, all *stats.Snapshot, source Source) {
	d.Withheld, d.Hot, d.Warnings = why, nil, make([]Warning, 0, len(all.Insight.Warnings))
	for _, w := range all.Insight.Warnings {
		text := printable([]byte(w.Text))
		if w.Key && why != "" {
			text = "(a warning that names a key: " + why + ")"
		}
		d.Warnings = append(d.Warnings, Warning{Time: w.Time.UnixMilli(), Text: text})
	}
	if why != "" {
		return
	}
	hot := source.HotKeys()
	d.Hot = &Hot{
		Sampled: hot.Sampled, Seconds: rounded(hot.Until.Sub(hot.Since).Seconds(), 10),
		Requests: hot.Requests, Bytes: hot.Bytes, ByRequests: keysOf(hot.ByRequests), ByBytes: keysOf(hot.ByBytes),
	}
}

func keysOf(keys []stats.HotKey) []HotKey {
	out := make([]HotKey, 0, len(keys))
	for _, k := range keys {
		out = append(out, HotKey{Key: printable(k.Key), Requests: k.Requests, Bytes: k.Bytes, Error: k.Error})
	}
	return out
}

// printable is text with everything escaped that has no picture of its own, or that would change
// the direction of what comes after it.
func printable(text []byte) string {
	quoted := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			quoted = append(quoted, `\\`...)
		case r == utf8.RuneError && n == 1, !strconv.IsPrint(r):
			q := strconv.Quote(string(text[:n]))
			quoted = append(quoted, q[1:len(q)-1]...)
		default:
			quoted = append(quoted, text[:n]...)
		}
		text = text[n:]
	}
	return string(quoted)
}

// countsOf takes from a snapshot what is counted.
func countsOf(all *stats.Snapshot) Counts {
	s, st := &all.Served, &all.Store
	return Counts{
		Get: s.CmdGet, Set: s.CmdSet, Delete: s.DeleteHits + s.DeleteMisses, Touch: s.CmdTouch,
		Count: s.IncrHits + s.IncrMisses + s.DecrHits + s.DecrMisses,
		Hits:  s.GetHits, Misses: s.GetMisses,
		Forever: s.StoredForever, Evicted: st.Evictions, EvictedIdle: st.EvictedIdle.Sum, Expired: st.Expired,
		TooLarge: s.StoreTooLarge, NoMemory: s.StoreNoMemory,
		Accepted: all.Conns.Total, Rejected: all.Conns.Rejected, SlowReads: s.SlowReaders, Idle: s.IdleKicks,
		Dropped: s.BudgetDropped + s.PinsDropped, Panics: s.ConnPanics,
		AuthErrors: s.AuthErrors, TLSErrors: s.SSLHandshakeErrors + s.SSLProtoErrors, LogDropped: all.LogDropped,
		BytesIn: s.BytesRead, BytesOut: s.BytesWritten,
		CPU: uint64(max(0, (all.Process.UserTime.Nano()+all.Process.SysTime.Nano())/1000)),
	}
}

// minus is what has happened since before was counted.
func (c *Counts) minus(before *Counts) Counts {
	return Counts{
		Get: since(c.Get, before.Get), Set: since(c.Set, before.Set), Delete: since(c.Delete, before.Delete),
		Count: since(c.Count, before.Count), Touch: since(c.Touch, before.Touch),
		Hits: since(c.Hits, before.Hits), Misses: since(c.Misses, before.Misses),
		Forever: since(c.Forever, before.Forever), Evicted: since(c.Evicted, before.Evicted),
		EvictedIdle: since(c.EvictedIdle, before.EvictedIdle), Expired: since(c.Expired, before.Expired),
		TooLarge: since(c.TooLarge, before.TooLarge), NoMemory: since(c.NoMemory, before.NoMemory),
		Accepted: since(c.Accepted, before.Accepted), Rejected: since(c.Rejected, before.Rejected),
		SlowReads: since(c.SlowReads, before.SlowReads), Idle: since(c.Idle, before.Idle),
		Dropped: since(c.Dropped, before.Dropped), Panics: since(c.Panics, before.Panics),
		AuthErrors: since(c.AuthErrors, before.AuthErrors), TLSErrors: since(c.TLSErrors, before.TLSErrors),
		LogDropped: since(c.LogDropped, before.LogDropped),
		BytesIn:    since(c.BytesIn, before.BytesIn), BytesOut: since(c.BytesOut, before.BytesOut),
		CPU: since(c.CPU, before.CPU),
	}
}

// since is by how much a counter has grown. One that is less than before has started over.
func since(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// latencies compares with what was counted latencyOver events ago, or at the first one.
func (past *history) latencies(now *stats.Insight) []Latency {
	out := []Latency{}
	if len(past.latency) > 0 {
		before := &past.latency[0]
		for kind := range stats.NumKinds {
			if l := latencyOf(&now.Latency[kind], &before.Latency[kind]); l.N > 0 {
				l.Kind = kind.String()
				out = append(out, l)
			}
		}
	}
	if len(past.latency) == latencyOver {
		copy(past.latency, past.latency[1:])
		past.latency = past.latency[:latencyOver-1]
	}
	past.latency = append(past.latency, stats.Insight{Latency: now.Latency})
	return out
}

func latencyOf(now, before *stats.TimesTaken) (l Latency) {
	var counts stats.TimesTaken
	for i, n := range now.Counts {
		if n < before.Counts[i] { // it has started over
			counts = *now
			break
		}
		counts.Counts[i] = n - before.Counts[i]
	}
	for _, n := range counts.Counts {
		l.N += n
	}
	l.P50 = percentile(&counts, l.N, 500)
	l.P99 = percentile(&counts, l.N, 990)
	l.P999 = percentile(&counts, l.N, 999)
	return l
}

// percentile is the µs that so many of a thousand did not exceed, by the bounds of the classes; 0
// when n are too few to have one that is beyond.
func percentile(t *stats.TimesTaken, n, perMille uint64) float64 {
	beyond := n * (1000 - perMille) / 1000
	if beyond == 0 {
		return 0
	}
	for i := len(t.Counts) - 1; i > 0; i-- {
		if t.Counts[i] > beyond {
			return rounded(stats.TimeBounds[min(i, len(stats.TimeBounds)-1)]*1e6, 10)
		}
		beyond -= t.Counts[i]
	}
	return 1
}

func rounded(x, parts float64) float64 { return math.Round(x*parts) / parts }

func trimmed(counts []uint64) []uint64 {
	n := len(counts)
	for n > 0 && counts[n-1] == 0 {
		n--
	}
	return counts[:n:n]
}
