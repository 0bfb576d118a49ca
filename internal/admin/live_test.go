package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/server"
)

// listenLive is listen for a server that serves, with events that come as quickly as is said.
func listenLive(t *testing.T, source Source, every time.Duration) *Server {
	t.Helper()
	a := listen(t, Options{})
	a.live.every = every
	a.Serve(source)
	return a
}

// stream is a reader of events.
type stream struct {
	t     *testing.T
	reply *http.Response
	lines *bufio.Scanner
}

// read begins to read events. It ends with the test, or before, by close.
func read(t *testing.T, a *Server, header ...string) *stream {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+a.Addr().String()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	reply, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reply.Body.Close() })
	return &stream{t, reply, bufio.NewScanner(reply.Body)}
}

func (s *stream) close() { _ = s.reply.Body.Close() }

// text is the next event. False: there are no more.
func (s *stream) text() (string, bool) {
	for s.lines.Scan() {
		if data, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			return data, true
		}
	}
	return "", false
}

func (s *stream) next() (doc Document) {
	s.t.Helper()
	text, ok := s.text()
	if !ok {
		s.t.Fatalf("the stream has ended: %d, %v", s.reply.StatusCode, s.lines.Err())
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	return doc
}

// counting counts how often a server is asked.
type counting struct {
	*server.Server
	asked atomic.Int64
}

func (c *counting) Brief() stats.Snapshot {
	c.asked.Add(1)
	return c.Server.Brief()
}

func TestEventsTellWhatHasHappenedSinceTheOneBefore(t *testing.T) {
	srv := startServer(t, nil)
	c := talk(t, srv)
	c.ask("set before 0 0 1\r\n1\r\n")
	eventually(t, "the set is counted", func() bool { return srv.Brief().Served.CmdSet == 1 })
	events := read(t, listenLive(t, srv, 10*time.Millisecond))
	first := events.next()
	if first.Over != 0 || first.Since != (Counts{}) || first.Total.Set != 1 {
		t.Errorf("the first event is of %v s and has %+v; in all %+v", first.Over, first.Since, first.Total)
	}
	c.ask("set a 0 60 3\r\nabc\r\n")
	for range 3 {
		c.ask("get a\r\n")
	}
	c.ask("get b\r\n")
	var sum Counts
	for doc := first; doc.Total.Get < 4; {
		if doc = events.next(); doc.Over <= 0 {
			t.Errorf("a later event is of %v s", doc.Over)
		}
		sum.Set += doc.Since.Set
		sum.Get += doc.Since.Get
		sum.Hits += doc.Since.Hits
		sum.Misses += doc.Since.Misses
	}
	if want := (Counts{Set: 1, Get: 4, Hits: 3, Misses: 1}); sum != want {
		t.Errorf("events have told of %+v, want %+v", sum, want)
	}
}

func TestCountersThatStartOverAreNeverNegative(t *testing.T) {
	srv := startServer(t, nil)
	c := talk(t, srv)
	for range 50 {
		c.ask("get a\r\n")
	}
	events := read(t, listenLive(t, srv, 10*time.Millisecond))
	events.next()
	c.ask("stats reset\r\n")
	c.ask("get a\r\n")
	for {
		doc := events.next()
		if doc.Since.Get > 1 || doc.Since.Misses > 1 {
			t.Fatalf("one get after the reset: %+v", doc.Since)
		}
		if doc.Total.Get == 1 {
			return
		}
	}
}

func TestNothingIsDoneWhileNobodyReads(t *testing.T) {
	source := &counting{Server: startServer(t, nil)}
	const every = 5 * time.Millisecond
	a := listenLive(t, source, every)
	time.Sleep(10 * every)
	if n := source.asked.Load(); n != 0 {
		t.Fatalf("before anybody has read the server was asked %d times", n)
	}
	events := read(t, a)
	events.next()
	events.next()
	events.close()
	eventually(t, "nobody makes events", func() bool {
		a.live.mu.Lock()
		defer a.live.mu.Unlock()
		return a.live.stop == nil
	})
	time.Sleep(every) // one may be under way
	n := source.asked.Load()
	time.Sleep(10 * every)
	if after := source.asked.Load(); after > n+1 {
		t.Errorf("after the last reader has left the server was asked %d times", after-n)
	}
	if doc := read(t, a).next(); doc.Over != 0 {
		t.Errorf("after a rest the first event is of %v s", doc.Over)
	}
}

func TestReadersShareSnapshots(t *testing.T) {
	source := &counting{Server: startServer(t, nil)}
	a := listenLive(t, source, 20*time.Millisecond)
	var mu sync.Mutex
	seen := map[int64]string{} // by time
	var readers sync.WaitGroup
	for range maxReaders {
		events := read(t, a)
		readers.Go(func() {
			for range 10 {
				text, _ := events.text()
				var doc Document
				_ = json.Unmarshal([]byte(text), &doc)
				mu.Lock()
				if other, ok := seen[doc.Time]; ok && other != text {
					t.Errorf("two readers are told different things:\n%s\n%s", text, other)
				}
				seen[doc.Time] = text
				mu.Unlock()
			}
			events.close()
		})
	}
	readers.Wait()
	if asked := int(source.asked.Load()); asked > 2*len(seen)+2 { // readers that are behind miss some
		t.Errorf("the server was asked %d times for %d events", asked, len(seen))
	}
}

func TestMoreReadersThanAllowedAreRefusedUntilOneLeaves(t *testing.T) {
	a := listenLive(t, startServer(t, nil), time.Second)
	var all []*stream
	for range maxReaders {
		events := read(t, a)
		events.next()
		all = append(all, events)
	}
	if status := read(t, a).reply.StatusCode; status != http.StatusServiceUnavailable {
		t.Fatalf("one more is told %d", status)
	}
	all[0].close()
	eventually(t, "the next is let in", func() bool {
		events := read(t, a)
		defer events.close()
		return events.reply.StatusCode == http.StatusOK
	})
}

func TestAReaderThatTakesNothingIsDroppedAndNobodyWaits(t *testing.T) {
	a := listenLive(t, startServer(t, nil), time.Millisecond)
	a.live.within = 300 * time.Millisecond
	conn, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	readers := func() int {
		a.live.mu.Lock()
		defer a.live.mu.Unlock()
		return len(a.live.readers)
	}
	eventually(t, "it reads", func() bool { return readers() == 1 })
	other := read(t, a)
	for begin := time.Now(); ; {
		other.next()
		if readers() == 1 {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("who takes nothing is not dropped")
		}
	}
	other.next()
}

func TestCloseEndsStreams(t *testing.T) {
	a := listenLive(t, startServer(t, nil), time.Hour)
	events := read(t, a)
	events.next()
	begin := time.Now()
	a.Close()
	if text, ok := events.text(); ok {
		t.Errorf("after Close there is another event: %s", text)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("that took %v", took)
	}
}

func TestEventsBeforeTheServerHasStartedAreRefused(t *testing.T) {
	a := listen(t, Options{})
	if status, _, body := get(t, a, "/events", nil); status != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("told %d %q", status, body)
	}
}

func TestKeysAreWithheldWithTheReason(t *testing.T) {
	told := stats.HotKeys{Sampled: 100, Requests: 10, ByRequests: []stats.HotKey{{Key: []byte("secret"), Requests: 10}}}
	var brief stats.Snapshot
	brief.Insight.Warnings = []stats.Warning{{Text: "all the time: secret", Key: true}, {Text: "too large: 5"}}
	a := listenLive(t, still{brief: brief, hot: told}, 20*time.Millisecond)
	through, direct := read(t, a, "Via", "1.1 proxy"), read(t, a)
	for range 3 {
		if text, _ := direct.text(); !strings.Contains(text, `"key":"secret"`) || !strings.Contains(text, "all the time: secret") ||
			strings.Contains(text, "withheld") {
			t.Errorf("on loopback: %s", text)
		}
		if text, _ := through.text(); strings.Contains(text, "secret") || !strings.Contains(text, "too large: 5") ||
			!strings.Contains(text, `"withheld":"keys are not served through a proxy`) {
			t.Errorf("through a proxy: %s", text)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"user:17", "user:17"},
		{"Größe 東京", "Größe 東京"},
		{`a\b"c'`, `a\\b"c'`},
		{"a\x00b\xffc\n\t", `a\x00b\xffc\n\t`},
		{"\u202egnp.exe\u200b", `\u202egnp.exe\u200b`},
		{"<script>alert(1)</script>", "<script>alert(1)</script>"}, // text, wherever it goes
		{"\ufffd", "\ufffd"},
	} {
		if got := printable([]byte(c.key)); got != c.want {
			t.Errorf("%q is printed as %q, want %q", c.key, got, c.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	bound := func(i int) float64 { return rounded(stats.TimeBounds[i]*1e6, 10) }
	counts := func(pairs ...int) (t stats.TimesTaken) {
		for i := 0; i < len(pairs); i += 2 {
			t.Counts[pairs[i]] = uint64(pairs[i+1])
		}
		return t
	}
	last := stats.TimeClasses - 1
	for _, c := range []struct {
		name        string
		now, before stats.TimesTaken
		want        Latency
	}{
		{"none", counts(), counts(), Latency{}},
		{"one has nothing beyond", counts(8, 1), counts(), Latency{N: 1}},
		{"two: half is the lower one", counts(8, 1, 12, 1), counts(), Latency{N: 2, P50: bound(8)}},
		{"a hundred, one slow", counts(8, 99, 40, 1), counts(), Latency{N: 100, P50: bound(8), P99: bound(8)}},
		{"a hundred, two slow", counts(8, 98, 40, 2), counts(), Latency{N: 100, P50: bound(8), P99: bound(40)}},
		{"a thousand", counts(8, 989, 20, 10, 40, 1), counts(), Latency{N: 1000, P50: bound(8), P99: bound(20), P999: bound(20)}},
		{"only since then", counts(8, 1000, 20, 4), counts(8, 1000), Latency{N: 4, P50: bound(20)}},
		{"started over", counts(8, 4), counts(8, 1000), Latency{N: 4, P50: bound(8)}},
		{"the last class has no bound", counts(last, 4), counts(), Latency{N: 4, P50: bound(last - 1)}},
		{"at most a microsecond", counts(0, 4), counts(), Latency{N: 4, P50: 1}},
	} {
		if got := latencyOf(&c.now, &c.before); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestLatencyIsOfTheLastTenEvents(t *testing.T) {
	var past history
	var all stats.Snapshot
	for i := range 30 {
		all.Insight.Latency[stats.KindGet].Counts[i] += 2
		doc := past.next(time.Unix(int64(i), 0), &all)
		n := uint64(2 * min(i, latencyOver))
		switch {
		case n == 0 && len(doc.Latency) != 0:
			t.Errorf("the first event has %+v", doc.Latency)
		case n > 0 && (len(doc.Latency) != 1 || doc.Latency[0].Kind != "get" || doc.Latency[0].N != n):
			t.Errorf("event %d has %+v, want %d of get", i, doc.Latency, n)
		}
	}
}

// Every field of Counts is compared with the event before.
func TestMinusLeavesNothingOut(t *testing.T) {
	fields := strings.Count(marshalled(t, Counts{}), ":0")
	var c Counts
	if err := json.Unmarshal([]byte(strings.ReplaceAll(marshalled(t, c), ":0", ":7")), &c); err != nil {
		t.Fatal(err)
	}
	var before Counts
	if err := json.Unmarshal([]byte(strings.ReplaceAll(marshalled(t, before), ":0", ":2")), &before); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(marshalled(t, c.minus(&before)), ":5"); got != fields {
		t.Errorf("%d of %d are: %s", got, fields, marshalled(t, c.minus(&before)))
	}
}

func marshalled(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Text has a contrast of 4.5 with what it is on, lines and areas of 3, and those of one chart differ
// in lightness: WCAG 1.4.3 and 1.4.11.
func TestColoursCanBeToldApart(t *testing.T) {
	css, err := os.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root(\.stale)? \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 4 {
		t.Fatalf("there are %d lists of colours, want light, dark, and both when stale", len(blocks))
	}
	colours := func(over ...int) map[string]string {
		all := map[string]string{}
		for _, b := range over {
			for _, m := range regexp.MustCompile(`--(\w+): ([^;]+);`).FindAllStringSubmatch(blocks[b][2], -1) {
				all[m[1]] = m[2]
			}
		}
		for name, value := range all {
			if of, ok := strings.CutPrefix(value, "var(--"); ok {
				all[name] = all[strings.TrimSuffix(of, ")")]
			}
		}
		return all
	}
	for scheme, c := range map[string]map[string]string{
		"light": colours(0), "dark": colours(0, 1), "light, stale": colours(0, 2), "dark, stale": colours(0, 1, 2, 3),
	} {
		want := func(of, on string, least float64) {
			t.Helper()
			if got := contrast(luminance(t, c[of]), luminance(t, c[on])); got < least {
				t.Errorf("%s: --%s %s on --%s %s has a contrast of %.2f, want %.1f", scheme, of, c[of], on, c[on], got, least)
			}
		}
		for _, of := range []string{"text", "muted", "accent", "good", "warn", "bad"} {
			want(of, "back", 4.5)
			want(of, "panel", 4.5)
		}
		for i := 1; i <= 7; i++ {
			want(fmt.Sprint("s", i), "panel", 3)
		}
		if strings.Contains(scheme, "stale") {
			continue
		}
		for _, chart := range [][]int{{1, 2, 3}, {1, 2, 4}, {1, 5}, {1, 7}, {5, 7}} {
			for i, a := range chart {
				for _, b := range chart[i+1:] {
					la, lb := lightness(t, c[fmt.Sprint("s", a)]), lightness(t, c[fmt.Sprint("s", b)])
					if math.Abs(la-lb) < 5 {
						t.Errorf("%s: --s%d and --s%d are as light as each other: %.0f, %.0f", scheme, a, b, la, lb)
					}
				}
			}
		}
	}
}

// luminance is WCAG's relative luminance of "#rrggbb".
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatalf("%q: %v", colour, err)
	}
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb)
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

// lightness is CIE's L*, of 0 to 100.
func lightness(t *testing.T, colour string) float64 {
	t.Helper()
	return 116*math.Cbrt(luminance(t, colour)) - 16
}

// eventually waits for what must come about, however busy the machine is.
func eventually(t *testing.T, what string, come func() bool) {
	t.Helper()
	for begin := time.Now(); !come(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("never: %s", what)
		}
	}
}

// BenchmarkEvent is what a second with a reader costs, of a server with 64 MiB.
func BenchmarkEvent(b *testing.B) {
	srv, err := server.Start(server.Options{Listen: []string{"127.0.0.1:0"}, Loops: 1, MemoryLimit: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = srv.Shutdown(b.Context()) }()
	var past history
	bytes := 0
	for b.Loop() {
		all := srv.Brief()
		doc := past.next(time.Now(), &all)
		doc.addKeys("", &all, srv)
		bytes = len(encoded(doc))
	}
	b.ReportMetric(float64(bytes), "B/event")
}
