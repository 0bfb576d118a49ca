package top

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/gomemd/gomemd/internal/asks"
	"github.com/gomemd/gomemd/server"
)

const patience = 30 * time.Second

func start(t *testing.T, socket string) *server.Server {
	t.Helper()
	srv, err := server.Start(server.Options{UnixSocket: socket, MemoryLimit: 16 << 20, Loops: 1, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(srv) })
	return srv
}

func stop(srv *server.Server) { _ = srv.Shutdown(context.Background()) }

// say sends lines and reads until the answer to a last mn.
func say(t *testing.T, socket, lines string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, lines+"mn\r\n")
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "MN\r\n" {
			return
		}
	}
}

func newModel(addrs ...string) *model {
	m := &model{interval: time.Second, chosen: -1, width: 80, height: 24}
	for _, a := range addrs {
		m.servers = append(m.servers, newHistory(asks.Where{Addr: a, Patience: patience}))
	}
	if len(addrs) == 1 {
		m.chosen = 0
	}
	return m
}

// sample asks a server and hands the answer to Update, as if at that moment.
func (m *model) sample(t *testing.T, server int, at time.Time) {
	t.Helper()
	s := m.servers[server].watch.ask(t.Context())
	s.At = at
	m.Update(sampled{server, m.turn, s})
}

func (m *model) screen() string {
	var b strings.Builder
	for _, l := range m.lines(m.width, m.height) {
		b.WriteString(l.plain() + "\n")
	}
	return b.String()
}

func (m *model) shows(t *testing.T, wants ...string) {
	t.Helper()
	screen := m.screen()
	for _, want := range wants {
		if !strings.Contains(screen, want) {
			t.Errorf("there is no %q on it:\n%s", want, screen)
		}
	}
}

func press(m *model, keys ...tea.KeyPressMsg) (cmd tea.Cmd) {
	for _, k := range keys {
		_, cmd = m.Update(k)
	}
	return cmd
}

func char(c rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: c, Text: string(c)} }

// What a real server counts between two samples is on the screen, by the second.
func TestShowsRatesOfARealServer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	start(t, socket)
	m := newModel(socket)
	m.servers[0].name = "cache-17.internal:11211"
	begin := time.Now()
	m.shows(t, "connecting")
	m.sample(t, 0, begin)
	m.shows(t, "ops/s    -", "items    0")
	say(t, socket, strings.Repeat("set k 0 0 100\r\n"+strings.Repeat("v", 100)+"\r\n", 40)+strings.Repeat("get k\r\n", 90)+strings.Repeat("get none\r\n", 30)+
		strings.Repeat("delete none\r\n", 4)+strings.Repeat("incr none 1\r\n", 6))
	m.sample(t, 0, begin.Add(2*time.Second))
	m.shows(t, "ops/s    85 ", "get 60 ", "set 20 ", "delete 2 ", "incr 3\n", "hits     75.0 %", "45 hits/s, 15 misses/s", "items    1 ",
		"of 16.0 MiB", "evicted 0/s", "process  resident", "store    segments", "readers  0 behind now")
	m.sample(t, 0, begin.Add(3*time.Second))
	m.shows(t, "ops/s    0 ", "hits     -", "75.0 % since the start")
	for _, l := range m.lines(80, 24) {
		if n := len(l.plain()); n > 80 {
			t.Errorf("%d columns: %s", n, l.plain())
		}
	}
}

// A server that goes is said to be gone, with the last that is known; the one that comes after it
// is said to have started anew, and no rate is made of counters of both. Nor is one of counters that
// were reset.
func TestAServerThatGoesAndComesBack(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	srv := start(t, socket)
	m := newModel(socket)
	begin := time.Now()
	m.sample(t, 0, begin)
	say(t, socket, strings.Repeat("get none\r\n", 50))
	m.sample(t, 0, begin.Add(time.Second))
	m.shows(t, "get 50 ")

	say(t, socket, "stats reset\r\n")
	m.sample(t, 0, begin.Add(2*time.Second))
	m.shows(t, "ops/s    - ", "get - ")
	m.sample(t, 0, begin.Add(3*time.Second))
	m.shows(t, "ops/s    0 ")

	stop(srv)
	m.sample(t, 0, begin.Add(4*time.Second))
	m.shows(t, "GONE since", "ops/s    - ")
	m.sample(t, 0, begin.Add(5*time.Second)) // it is not asked so soon again, and still gone
	m.shows(t, "GONE since")

	start(t, socket)
	say(t, socket, strings.Repeat("get none\r\n", 70))
	m.servers[0].watch.retryAt = time.Time{}
	m.servers[0].last.General["uptime"] = "1000000" // it ran longer than this test does
	m.sample(t, 0, begin.Add(6*time.Second))
	m.shows(t, "restarted", "ops/s    - ")
	if strings.Contains(m.screen(), "GONE") {
		t.Errorf("it is back:\n%s", m.screen())
	}
	m.sample(t, 0, begin.Add(7*time.Second))
	m.shows(t, "restarted", "ops/s    0 ")
}

func TestSeveralServersALineEach(t *testing.T) {
	dir := t.TempDir()
	one, two, none := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "none")
	start(t, one)
	start(t, two)
	m := newModel(one, two, none)
	begin := time.Now()
	for i := range m.servers {
		m.sample(t, i, begin)
	}
	say(t, two, strings.Repeat("get none\r\n", 30))
	for i := range m.servers {
		m.sample(t, i, begin.Add(time.Second))
	}
	m.width = 200
	m.shows(t, "server", "not there: dial unix", "    30 ")
	press(m, tea.KeyPressMsg{Code: tea.KeyDown}, tea.KeyPressMsg{Code: tea.KeyEnter})
	m.shows(t, two, "get 30 ", "Esc: all")
	press(m, tea.KeyPressMsg{Code: tea.KeyEscape})
	m.shows(t, "not there")
}

func TestKeys(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	start(t, socket)
	m := newModel(socket)
	m.sample(t, 0, time.Now())
	press(m, char('+'))
	m.shows(t, "every 2s")
	press(m, char('-'), char('-'), char('-'), char('-'))
	m.shows(t, "every 500ms")
	m.servers[0].asking = false
	press(m, char('p'))
	m.shows(t, "PAUSED")
	if _, cmd := m.Update(due{0, m.turn}); cmd != nil {
		t.Error("it asks while it is paused")
	}
	if press(m, char('p')) == nil {
		t.Error("it does not ask after the pause")
	}
	turn := m.turn
	m.servers[0].asking = false
	if _, cmd := m.Update(due{0, turn - 1}); cmd != nil {
		t.Error("an old tick asks: there would be two in each interval")
	}
	if _, cmd := m.Update(due{0, turn}); cmd == nil {
		t.Error("a tick does not ask")
	}
	for _, k := range []tea.KeyPressMsg{char('q'), {Code: 'c', Mod: tea.ModCtrl}} {
		cmd := press(m, k)
		if cmd == nil {
			t.Errorf("%s does not quit", k)
			continue
		}
		if _, quits := cmd().(tea.QuitMsg); !quits {
			t.Errorf("%s does not quit", k)
		}
	}
}

// hostile is what a server could send: it clears the screen, if it can.
const hostile = "\x1b[2J\x1b]0;owned\a\x9b31m\x00\x7f\xff"

// No byte that a server sends reaches the terminal but printable ASCII, wherever it stands.
func TestNoByteOfAServerIsAnOrder(t *testing.T) {
	m := newModel("127.0.0.1:1", "127.0.0.1:1"+hostile)
	evil := asks.Stats{"version": hostile, "threads": hostile, "pid": hostile, "rusage_user": hostile, "limit_maxbytes": "1"}
	for i, own := range []asks.Stats{{"memory_items": hostile, "curve_gets": "1", "curve_200": "NaN", "curve_" + hostile: "1"}, nil} {
		m.servers[i].take(Sample{At: time.Now(), General: evil, Own: own,
			Slabs: asks.Stats{"1:total_chunks": "1", "1:chunk_size": hostile},
			Hot:   asks.Stats{"by_requests:1": "key=" + hostile + ",share=" + hostile, "by_bytes:1": hostile}})
	}
	m.height = 60
	check := func() {
		t.Helper()
		for _, l := range m.lines(m.width, m.height) {
			for _, p := range l {
				if i := strings.IndexFunc(p.text, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
					t.Errorf("there is %q in %q", p.text[i], p.text)
				}
			}
		}
	}
	for m.chosen = -1; m.chosen < len(m.servers); m.chosen++ {
		check()
	}
	m.chosen = 1
	m.servers[1].take(Sample{At: time.Now(), Err: errors.New(hostile)})
	check()
	m.chosen = 0
	m.shows(t, `key`, `\x1b[2J`)
}

// The screen is never higher or wider than the terminal, whatever that is.
func TestEverySizeOfTerminal(t *testing.T) {
	m := newModel("a:1", "b:1")
	slabs := asks.Stats{}
	for i := range 40 {
		slabs[fmt.Sprint(i, ":total_chunks")] = "1"
	}
	for _, h := range m.servers {
		h.take(Sample{At: time.Now(), General: asks.Stats{"curr_items": "1", "limit_maxbytes": "1"}, Slabs: slabs})
	}
	for _, width := range []int{1, 2, 20, 40, 80, 300} {
		for _, height := range []int{1, 2, 3, 24, 100} {
			for _, m.chosen = range []int{-1, 0} {
				m.Update(tea.WindowSizeMsg{Width: width, Height: height})
				press(m, tea.KeyPressMsg{Code: tea.KeyDown})
				rows := strings.Split(m.View().Content, "\n")
				if len(rows) > height {
					t.Errorf("%dx%d: %d rows", width, height, len(rows))
				}
				for _, l := range m.lines(width, height) {
					if got := l.cut(width); len(plainText(got)) > width {
						t.Errorf("%dx%d: %d columns: %q", width, height, len(plainText(got)), got)
					}
				}
			}
		}
	}
}

// plainText leaves out the orders that we make ourselves.
func plainText(s string) string {
	for {
		i := strings.IndexByte(s, '\x1b')
		if i < 0 {
			return s
		}
		s = s[:i] + s[i+strings.IndexByte(s[i:], 'm')+1:]
	}
}

// What gomemd tells of hot keys and of other values of -m is shown when it tells it; keys that no
// line could hold are encoded by the server.
func TestHotKeysAndTheCurve(t *testing.T) {
	m := newModel("cache:1")
	own := asks.Stats{"memory_items": "1", "curve_keys": "10", "curve_own": "9000"}
	answer := Sample{At: time.Now(), General: asks.Stats{"curr_items": "1"}, Own: own, Hot: asks.Stats{"sampled": "0"}}
	m.servers[0].take(answer)
	if s := m.screen(); strings.Contains(s, "with -m") || strings.Contains(s, "keys") {
		t.Errorf("it shows what it does not know:\n%s", s)
	}
	for percent, ratio := range map[string]string{"50": "8012", "75": "8500", "100": "9000", "150": "9200", "200": "9300", "400": "10000"} {
		own["curve_"+percent] = ratio
	}
	answer.Hot = asks.Stats{"sampled": "100",
		"by_requests:1": "key=user%3A1,requests=300,bytes=30,share=75.00,error=0", "by_requests:2": "key=%00%20%FF,requests=1,bytes=1,share=25.00,error=0",
		"by_bytes:1": "key=blob,requests=3,bytes=30,share=96.77,error=0"}
	m.servers[0].take(answer)
	m.shows(t, "with -m  of x0.5 80.1% x0.75 85.0% x1 90.0% x1.5 92.0% x2 93.0% x4 100.0% hits\n",
		" 75.00 %  user:1 ", ` 25.00 %  \x00 \xff`, " 96.77 %  blob")
	for _, l := range m.lines(80, 24) {
		if n := len(l.plain()); n > 80 {
			t.Errorf("%d columns: %s", n, l.plain())
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		short(0): "0", short(9.5): "9.5", short(9999): "9,999", short(12345): "12.3k", short(999_999): "1.00M", short(4_560_000_000): "4.56G",
		size(999): "999 B", size(1 << 20): "1.00 MiB", size(1000): "0.98 KiB", size(123 << 30): "123 GiB",
		span(59): "59s", span(3600): "1h 0m", span(90_000): "1d 1h", percent(0.5): "50.0 %", grouped(1234567): "1,234,567",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Without a terminal it prints what the screen would show.
func TestPlainText(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	start(t, socket)
	say(t, socket, "set k 0 0 1\r\n1\r\n")
	var out, complaint bytes.Buffer
	if code := Run([]string{"--once", "--interval", "100ms", socket}, &out, &complaint); code != 0 || complaint.Len() > 0 {
		t.Errorf("exit %d, %s", code, complaint.String())
	}
	for _, want := range []string{"ops/s    0 ", "items    1 ", "process "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in it:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("there are orders for a terminal in it: %q", out.String())
	}
	out.Reset()
	if code := Run([]string{"--once", "--interval", "100ms", socket, socket + "none"}, &out, &complaint); code != exFailure || !strings.Contains(out.String(), "not there") {
		t.Errorf("exit %d, %s", code, out.String())
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exUsage, "name a server"},
		{[]string{"--nonsense"}, exUsage, "unknown flag"},
		{[]string{"-i", "1ms", "a"}, exUsage, "--interval must be"},
		{[]string{"--ca", "/nowhere", "a"}, exUsage, "no such file"},
		{[]string{"--help"}, 0, "Usage: gomemd top"},
	} {
		var out bytes.Buffer
		if code := Run(tt.args, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q: exit %d, %q", tt.args, code, out.String())
		}
	}
}
