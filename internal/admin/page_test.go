package admin

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/server"
)

var (
	shots      = flag.String("shots", "", "make pictures of the page in this directory")
	shotsAfter = flag.Duration("after", 75*time.Second, "-shots: after so much traffic")
	soak       = flag.Duration("soak", 0, "have the page open for so long, and see that its memory does not grow")
)

// startServer starts a server without a memory file on a free port of loopback.
func startServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := server.Options{Listen: []string{"127.0.0.1:0"}, Loops: 1, MemoryLimit: 64 << 20}
	if change != nil {
		change(&opts)
	}
	srv, err := server.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	return srv
}

// talker is a client of the text protocol that sends a line and reads one.
type talker struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func talk(t *testing.T, srv *server.Server) *talker {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &talker{t, conn, bufio.NewReader(conn)}
}

// ask sends what it is given and reads lines until one ends the reply.
func (c *talker) ask(format string, args ...any) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if !strings.HasPrefix(line, "VALUE ") {
			return strings.TrimSpace(line)
		}
		if _, err := c.r.ReadString('\n'); err != nil { // values here have no line ends
			c.t.Fatal(err)
		}
	}
}

// has asks for a key.
func (c *talker) has(key string) (hit bool) {
	fmt.Fprintf(c, "get %s\r\n", key)
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "END") {
			return hit
		}
		hit = true
	}
}

// chromium starts a browser without a window; it ends with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium: make deps")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.NoSandbox) // in containers it is root, and it sees our page alone
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeAll := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		closeAll()
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is a tab of a browser, and what was heard of it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string // of the console
	requests   []string // URLs
}

// open opens a page in a tab of its own. It ends with the test.
func open(t *testing.T, ctx context.Context, url string, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	b := &tab{t: t}
	var end context.CancelFunc
	b.ctx, end = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(end)
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.do(do(network.Enable, network.EnableParams{}), do(log.Enable, cdp.Empty{}))
	b.do(append(before, chromedp.Navigate(url))...)
	return b
}

// do makes an action of a command of which no reply is wanted.
func do[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprint("console.", e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// do has the tab do something.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, 2*time.Minute)
	defer end()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// js is the text that an expression has.
func (b *tab) js(expression string) string {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, 2*time.Minute)
	defer end()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return strings.ReplaceAll(value, "\u00a0", " ")
}

// text is what an element says.
func (b *tab) text(id string) string {
	b.t.Helper()
	return b.js(fmt.Sprintf("document.getElementById(%q).textContent", id))
}

// until waits for an element to say something.
func (b *tab) until(id, what string) {
	b.t.Helper()
	var said string
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if said = b.text(id); strings.Contains(said, what) {
			return
		}
	}
	b.t.Fatalf("#%s never said %q, but %q", id, what, said)
}

// window is a browser window's size, and whether its user likes it dark.
func window(width, height int64, dark bool) chromedp.Action[chromedp.Void] {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return chromedp.Steps(
		chromedp.EmulateViewport(width, height),
		do(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
	)
}

// traffic asks a server until the test ends: a cache in front of something slow, with keys that are
// as unequally liked as words are.
func traffic(t *testing.T, srv *server.Server, rate int) {
	const clients, batch = 4, 50
	var all [clients]*talker
	for i := range all {
		all[i] = talk(t, srv)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	t.Cleanup(func() { close(stop); running.Wait() })
	value := strings.Repeat("v", 64<<10)
	for me, c := range all {
		running.Go(func() {
			dice := rand.New(rand.NewPCG(7, uint64(me)))
			likes := rand.NewZipf(dice, 1.01, 1, 400_000)
			ticks := time.NewTicker(time.Second * batch * clients / time.Duration(rate))
			defer ticks.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticks.C:
				}
				for range batch {
					n := likes.Uint64()
					key := fmt.Sprintf("%s:%d", []string{"user", "session", "page", "cart"}[n%4], n)
					sized := rand.New(rand.NewPCG(n, 1))
					size := min(int(30*1.0/(0.002+sized.Float64())), len(value))
					ttl := []int{0, 60, 300, 3600, 86400}[sized.IntN(5)]
					switch {
					case dice.IntN(100) == 0:
						c.ask("delete %s\r\n", key)
					case dice.IntN(50) == 0:
						if c.ask("incr counter:%d 1\r\n", n%16) == "NOT_FOUND" {
							c.ask("set counter:%d 0 0 1\r\n0\r\n", n%16)
						}
					case dice.IntN(30) == 0:
						c.ask("touch %s %d\r\n", key, ttl)
					default:
						if !c.has(key) {
							c.ask("set %s 0 %d %d\r\n%s\r\n", key, ttl, size, value[:size])
						}
					}
				}
			}
		})
	}
}

// complaints are those of the console until now, but for those that have to be.
func (b *tab) complaintsBut(expected string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if expected == "" || !strings.Contains(c, expected) {
			all = append(all, c)
		}
	}
	return all
}

// withKeys is a server with hot keys that somebody made up.
type withKeys struct {
	*server.Server
	hot stats.HotKeys
}

func (s withKeys) HotKeys() stats.HotKeys { return s.hot }

// hostile is a key that would do something if it were taken for anything but text.
const hostile = `<img/src=x/onerror=document.title='caught'>"'&\`

func TestPage(t *testing.T) {
	ctx := chromium(t)
	srv := startServer(t, nil)
	a := listen(t, Options{})
	now := time.Now()
	a.Serve(withKeys{srv, stats.HotKeys{
		Since: now.Add(-10 * time.Second), Until: now, Sampled: 100, Requests: 1000, Bytes: 5000,
		ByRequests: []stats.HotKey{{Key: []byte(hostile), Requests: 250, Bytes: 5}, {Key: []byte("b\xff"), Requests: 10, Bytes: 5}},
		ByBytes:    []stats.HotKey{{Key: []byte("large"), Requests: 1, Bytes: 4000}},
	}})
	url := "http://" + a.Addr().String() + "/"
	b := open(t, ctx, url, window(1440, 900, false))

	// In this order: the first ones are about a server that nobody has asked anything.
	t.Run("says that there is no data yet", func(t *testing.T) {
		b := b.of(t)
		b.until("link", "Live")
		for id, want := range map[string]string{
			"healthy": "Yes: nobody asks anything at present", "full": "No: ", "more": "Not known yet: ",
			"sizes-n": "No data yet", "ttls-n": "No data yet", "idle-n": "No data yet", "ttlhits-n": "No data yet",
			"ratio-n": "No data yet", "curve-n": "Not known yet", "warnings-n": "None.",
		} {
			b.until(id, want)
		}
		for _, id := range []string{"ratio", "latency", "curve"} {
			if shown := b.js(fmt.Sprintf("!document.querySelector('#%s .none').hidden", id)); shown != "true" {
				t.Errorf("the chart %s does not say that it has no data", id)
			}
		}
	})
	t.Run("moves with traffic", func(t *testing.T) {
		b := b.of(t)
		c := talk(t, srv)
		c.ask("set a 0 100 10\r\n0123456789\r\n")
		for range 3 {
			c.ask("get a\r\n")
		}
		c.ask("get b\r\n")
		b.until("ratio-n", "75.0 % of 4 gets")
		b.until("sizes-t", "8 B – 16 B100.0 %1")
		b.until("ttls-t", "64 s – 2.1 min100.0 %1")
		b.until("conns-t", "open1") // the connection of this test
		before := b.text("requests-t")
		for range 20 {
			c.ask("get a\r\n")
		}
		b.until("ratio-n", "95.8 % of 24 gets")
		if after := b.text("requests-t"); after == before {
			t.Errorf("the table of requests has not changed: %s", after)
		}
		if hidden := b.js("document.querySelector('#ratio .none').hidden"); hidden != "true" {
			t.Error("the chart of the hit ratio says that it has no data")
		}
	})
	t.Run("shows keys as text", func(t *testing.T) {
		b := b.of(t)
		escaped := strings.ReplaceAll(hostile, `\`, `\\`)
		b.until("hottest", escaped+" takes 25.0 % of requests, 25 a second.")
		b.until("hot-t", escaped+"25.0 %25")
		b.until("hot-t", `b\xff1.0 %1.0`)
		b.until("heavy-t", "large80.0 %400 B")
		if found := b.js("document.images.length + ' ' + document.title"); found != "0 gomemd "+a.Addr().String() {
			t.Errorf("it has become something else: %s", found)
		}
	})
	t.Run("loads nothing from elsewhere and has no complaints", func(t *testing.T) {
		b := b.of(t)
		if all := b.complaintsBut(""); len(all) > 0 {
			t.Errorf("the console has %q", all)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, r := range b.requests {
			if !strings.HasPrefix(r, url) {
				t.Errorf("it asks for %s", r)
			}
		}
		if len(b.requests) < 6 {
			t.Errorf("only %d requests were seen: %q", len(b.requests), b.requests)
		}
	})
	t.Run("can be read without seeing it", func(t *testing.T) { accessible(t, b.of(t)) })
	t.Run("works by keyboard alone", func(t *testing.T) { keyboard(t, b.of(t)) })
	t.Run("fits", func(t *testing.T) {
		b := b.of(t)
		for _, width := range []int64{320, 360, 768, 1280, 2560} {
			b.do(window(width, 800, width == 768))
			if over := b.js(tooWide); over != "" {
				t.Errorf("at %d px it is wider than the window: %s", width, over)
			}
		}
	})
	t.Run("pauses", func(t *testing.T) {
		b := b.of(t)
		b.js("document.getElementById('pause').click()")
		b.until("link", "Paused at ")
		before := b.text("ratio-n")
		c := talk(t, srv)
		c.ask("get a\r\n")
		time.Sleep(2 * time.Second) // more would be shown by now, if it did not pause
		if after := b.text("ratio-n"); after != before {
			t.Errorf("while it pauses %q becomes %q", before, after)
		}
		b.js("document.getElementById('pause').click()")
		b.until("ratio-n", "of 25 gets")
	})
	t.Run("withholds keys and says why", func(t *testing.T) {
		b := open(t, ctx, url, do(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Via": "1.1 proxy"}}))
		b.until("hottest", "Not shown: keys are not served through a proxy")
		b.until("hot-n", "Not shown: keys are not served through a proxy")
		if text := b.js("document.body.textContent"); strings.Contains(text, "onerror") {
			t.Errorf("there is a key in %s", text)
		}
	})
}

// of is the tab in a subtest.
func (b *tab) of(t *testing.T) *tab {
	b.t = t
	return b
}

// tooWide names what reaches beyond the window.
const tooWide = `[...document.querySelectorAll('body *')].filter(e => !e.closest('.unseen, .u-wrap') &&
	e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map(e => e.tagName + '#' + e.id + '.' + e.className + ' ' + e.getBoundingClientRect().right).join(', ')`

// accessible looks at what assistive technology needs: names, landmarks, headings in order, heads of tables.
func accessible(t *testing.T, b *tab) {
	for what, expression := range map[string]string{
		"a language":                   "document.documentElement.lang === 'en'",
		"one of each landmark":         "['header', 'main', 'footer'].every(n => document.querySelectorAll('body > ' + n).length === 1)",
		"one heading above all":        "document.querySelectorAll('h1').length === 1",
		"no heading that skips":        "[...document.querySelectorAll('h1, h2, h3')].every((h, i) => i === 0 ? h.tagName === 'H1' : h.tagName === 'H2')",
		"no id twice":                  "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size === document.querySelectorAll('[id]').length",
		"sections with names":          "[...document.querySelectorAll('section')].every(s => document.getElementById(s.getAttribute('aria-labelledby')).textContent.trim())",
		"tables with captions":         "[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)",
		"columns with names":           "[...document.querySelectorAll('thead th')].every(h => h.scope === 'col' && h.textContent)",
		"rows with names":              "[...document.querySelectorAll('tbody tr')].every(r => r.cells[0].tagName === 'TH' && r.cells[0].scope === 'row' && r.cells[0].textContent)",
		"charts with names":            "[...document.querySelectorAll('.chart')].every(c => c.getAttribute('aria-label') && c.getAttribute('role'))",
		"charts beside a table":        "[...document.querySelectorAll('.chart')].every(c => c.nextElementSibling.tagName === 'TABLE')",
		"canvases that are hidden":     "[...document.querySelectorAll('canvas')].every(c => c.closest('[aria-hidden=true]'))",
		"controls with names":          "[...document.querySelectorAll('a, button, select')].every(c => (c.getAttribute('aria-label') || c.textContent).trim())",
		"one live region":              "document.querySelectorAll('[aria-live], [role=status], [role=alert]').length === 1",
		"no motion for who wants none": "[...document.styleSheets].some(s => [...s.cssRules].some(r => r.conditionText === '(prefers-reduced-motion: no-preference)'))",
	} {
		if b.js(expression) != "true" {
			t.Errorf("there should be %s: %s", what, expression)
		}
	}
}

// keyboard goes through the page with Tab, and chooses a moment in a chart.
func keyboard(t *testing.T, b *tab) {
	b.js("document.activeElement.blur()")
	reached := map[string]bool{}
	for range 20 {
		b.do(chromedp.KeyEvent(kb.Tab))
		reached[b.js("document.activeElement.id")] = true
		if shown := b.js("getComputedStyle(document.activeElement).outlineStyle"); b.js("document.activeElement.tagName") != "BODY" && shown == "none" {
			t.Errorf("one does not see that %s is chosen", b.js("document.activeElement.id"))
		}
	}
	for _, id := range []string{"pause", "requests", "ratio", "kind", "latency", "memory", "network", "conns"} {
		if !reached[id] {
			t.Errorf("Tab does not reach %s, but %v", id, reached)
		}
	}
	b.js("document.getElementById('requests').focus()")
	value := "document.getElementById('requests').getAttribute('aria-valuetext')"
	last := b.js(value)
	b.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	if two := b.js(value); two == last || !regexp.MustCompile(`^\d\d:\d\d:\d\d: get \S+, set `).MatchString(two) {
		t.Errorf("two to the left of %q is %q", last, two)
	}
	head := "document.getElementById('requests-t').parentNode.tHead.rows[0].cells[1].textContent"
	if chosen := b.js(head); !strings.HasPrefix(b.js(value), chosen) {
		t.Errorf("the table is of %q, the chart of %q", chosen, b.js(value))
	}
	b.do(chromedp.KeyEvent(kb.Escape))
	if left := b.js(head); left != "now" {
		t.Errorf("after Escape the table is of %q", left)
	}
}

func TestPageSurvivesARestart(t *testing.T) {
	ctx := chromium(t)
	first := startServer(t, nil)
	a := listen(t, Options{})
	a.Serve(first)
	c := talk(t, first)
	for range 1000 {
		c.ask("get a\r\n")
	}
	b := open(t, ctx, "http://"+a.Addr().String()+"/")
	b.until("ratio-n", "of 1,000 gets")
	a.Close()
	b.until("link", "Not connected since ")
	b.until("healthy", "Not known: not connected since ")
	if stale := b.js("document.documentElement.className"); stale != "stale" {
		t.Errorf("what is old looks as if it were new: %q", stale)
	}
	_ = first.Shutdown(context.Background())

	second := startServer(t, nil)
	var again *Server
	eventually(t, "the address is free again", func() (ok bool) {
		var err error
		again, err = Listen(Options{Addr: a.Addr().String()})
		return err == nil
	})
	t.Cleanup(again.Close)
	// It is listening before it has numbers, as after a start with a memory file.
	b.until("link", "starting")
	again.Serve(second)
	c = talk(t, second)
	c.ask("get a\r\n")
	b.until("link", "Live")
	b.until("ratio-n", "0.0 % of 1 get.")
	if stale := b.js("document.documentElement.className"); stale != "" {
		t.Errorf("what is new looks as if it were old: %q", stale)
	}
	if text := b.js("document.body.textContent"); strings.Contains(text, "−") {
		t.Errorf("there are negative numbers: %s", text)
	}
	if all := b.complaintsBut("Failed to load resource"); len(all) > 0 {
		t.Errorf("the console has %q", all)
	}
}

// TestPageForLong has the page open for as long as -soak says, with traffic. Without, it does nothing.
func TestPageForLong(t *testing.T) {
	if *soak == 0 {
		return
	}
	ctx := chromium(t)
	srv := startServer(t, func(o *server.Options) { o.MemoryLimit = 16 << 20 })
	a := listen(t, Options{})
	a.Serve(srv)
	traffic(t, srv, 1000)
	b := open(t, ctx, "http://"+a.Addr().String()+"/", window(1440, 900, false))
	b.until("link", "Live")
	// What a page of ten minutes has at most it has after ten minutes: that is where growth begins.
	begin, before, from := time.Now(), 0.0, min(*soak/2, 11*time.Minute)
	for time.Since(begin) < *soak {
		time.Sleep(min(time.Minute, *soak/10))
		used := b.heap()
		t.Logf("after %3.0f s: %.2f MiB of JavaScript's heap, %s nodes", time.Since(begin).Seconds(), used/(1<<20), b.js("document.querySelectorAll('*').length"))
		if before == 0 && time.Since(begin) >= from {
			before = used
		}
	}
	if grown := b.heap() - before; grown > 1<<20 {
		t.Errorf("since %v it has grown by %.2f MiB", from, grown/(1<<20))
	}
	if all := b.complaintsBut(""); len(all) > 0 {
		t.Errorf("the console has %q", all)
	}
}

// heap is how many bytes JavaScript's heap has after its garbage has been collected.
func (b *tab) heap() float64 {
	b.t.Helper()
	for range 2 { // what was held by finalizers goes with the second
		if _, err := chromedp.Call(b.ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			b.t.Fatal(err)
		}
	}
	usage, err := chromedp.Call(b.ctx, runtime.GetHeapUsage, cdp.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	return usage.UsedSize
}

// TestPictures makes the pictures of docs/page, to be looked at: -shots ../../docs/page.
func TestPictures(t *testing.T) {
	if *shots == "" {
		return
	}
	ctx := chromium(t)
	srv := startServer(t, func(o *server.Options) { o.MemoryLimit = 8 << 20 })
	a := listen(t, Options{})
	a.Serve(srv)
	b := open(t, ctx, "http://"+a.Addr().String()+"/", window(1440, 900, false))
	b.until("link", "Live")
	b.picture("no-data", 1440, 0, true)
	traffic(t, srv, 5000)
	time.Sleep(*shotsAfter)
	b.picture("light", 1440, 0, false)
	b.picture("dark", 2560, 0, true)
	b.picture("narrow", 360, 1500, false)
	a.Close()
	b.until("link", "Not connected")
	b.picture("lost", 1440, 900, false)
}

// picture makes one, in 256 colours, of the beginning of the page, or with height 0 of all of it.
func (b *tab) picture(name string, width, height int64, dark bool) {
	b.t.Helper()
	b.do(window(width, max(height, 900), dark), chromedp.Sleep(1500*time.Millisecond))
	take := chromedp.FullScreenshot(100)
	if height > 0 {
		take = chromedp.CaptureScreenshot()
	}
	text, err := chromedp.Run(b.ctx, take)
	if err != nil {
		b.t.Fatal(err)
	}
	full, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	small := image.NewPaletted(full.Bounds(), mostly(full))
	draw.Draw(small, small.Bounds(), full, full.Bounds().Min, draw.Src)
	file, err := os.Create(filepath.Join(*shots, name+".png"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(file, small); err != nil {
		b.t.Fatal(err)
	}
}

// mostly is the colours that a picture has most of, of shades that are nearly the same only one.
func mostly(full image.Image) color.Palette {
	pixels := map[color.Color]int{}
	for y := full.Bounds().Min.Y; y < full.Bounds().Max.Y; y++ {
		for x := full.Bounds().Min.X; x < full.Bounds().Max.X; x++ {
			pixels[full.At(x, y)]++
		}
	}
	var chosen color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(pixels), func(a, b color.Color) int { return pixels[b] - pixels[a] }) {
		if len(chosen) == 256 {
			break
		}
		if len(chosen) < 32 || apart(c, chosen[chosen.Index(c)]) > 10 {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// apart is by how much two colours differ, of 255, where they do most.
func apart(a, b color.Color) int {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	differ := func(x, y uint32) int { return max(int(x>>8)-int(y>>8), int(y>>8)-int(x>>8)) }
	return max(differ(r1, r2), differ(g1, g2), differ(b1, b2))
}
