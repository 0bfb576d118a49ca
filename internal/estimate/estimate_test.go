package estimate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/asks"
	"github.com/gomemd/gomemd/internal/invariants"
	"github.com/gomemd/gomemd/server"
)

const patience = 30 * time.Second

// startMemcached starts one of its own, on a unix socket, and returns the socket's path.
func startMemcached(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("memcached")
	if err != nil {
		const why = "memcached is not installed (Debian package memcached; make deps)"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	socket := filepath.Join(t.TempDir(), "s")
	args = append([]string{"-s", socket, "-t", "1"}, args...)
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	child := exec.Command(path, args...)
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return socket
		}
	}
	t.Fatalf("memcached does not listen: %s", said.String())
	return ""
}

// startGomemd starts a server of so many MiB in this process.
func startGomemd(t *testing.T, mib int) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	srv, err := server.Start(server.Options{UnixSocket: socket, MemoryLimit: int64(mib) << 20, ItemMax: 1 << 20,
		Loops: 1, Log: io.Discard, Clock: expiry.NewClock(time.Now().Unix())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	return socket
}

// A workload says what its i-th item is.
type workload func(i int) (nkey, nvalue int, flags uint32, exptime int)

func fixed(nkey, nvalue int, flags uint32, exptime int) workload {
	return func(int) (int, int, uint32, int) { return nkey, nvalue, flags, exptime }
}

// fill stores items until so many bytes of keys and values are written, and returns how many.
func fill(t *testing.T, socket string, w workload, bytes int) (items int) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	out := bufio.NewWriterSize(c, 1<<16)
	value := strings.Repeat("v", 1<<16)
	for ; bytes > 0; items++ {
		nkey, nvalue, flags, exptime := w(items)
		fmt.Fprintf(out, "set %0*d %d %d %d noreply\r\n%s\r\n", nkey, items, flags, exptime, nvalue, value[:nvalue])
		bytes -= nkey + nvalue
	}
	fmt.Fprint(out, "mn\r\n")
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(c).ReadString('\n'); err != nil || answer != "MN\r\n" {
		t.Fatalf("%q, %v", answer, err)
	}
	return items
}

func ask(t *testing.T, socket, words string) asks.Stats {
	t.Helper()
	c, err := asks.Dial(t.Context(), asks.Where{Addr: socket, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Stats(words)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func estimated(t *testing.T, socket string, known Known) *Report {
	t.Helper()
	a, err := Ask(t.Context(), asks.Where{Addr: socket, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Make(a, known)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mixed has sizes of all kinds, client flags on every third item and an expiration time on every other.
func mixed(i int) (nkey, nvalue int, flags uint32, exptime int) {
	x := uint32(i) * 2654435761
	nkey, nvalue = 8+int(x>>5%40), int(x>>7%300)
	if x%8 == 0 {
		nvalue = int(x >> 9 % 6000)
	}
	if x%64 == 1 {
		nvalue = int(x >> 9 % 60_000)
	}
	return nkey, nvalue, uint32(i%3%2) * 70_000, i % 2 * 1000
}

var unknown = Known{Flags: -1}

// What a memcached tells of its items, and what a real gomemd keeps of them, agree within the range
// that is given. Items of one size are stored in both, more than either holds. Of mixed ones the
// memcached gets no more than it holds: it evicts by slab class, and would end with another mix.
func TestTheEstimateHoldsWhatARealServerKeeps(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks at every step make minutes of it, and there is no race in one connection")
	}
	for _, tt := range []struct {
		name  string
		items workload
		args  []string
		known Known
		most  float64 // the error that is given must not be more
		limit int     // MiB
	}{
		{"20/8", fixed(20, 8, 0, 0), nil, unknown, 0.15, 8},
		{"20/8 known", fixed(20, 8, 0, 0), nil, Known{TTL: "none"}, 0.03, 8},
		{"20/8 flags and expiration", fixed(20, 8, 5, 100_000), nil, unknown, 0.15, 8},
		{"20/8 known flags and expiration", fixed(20, 8, 5, 100), nil, Known{TTL: "all", Flags: 1}, 0.06, 8},
		{"24/32", fixed(24, 32, 0, 0), nil, unknown, 0.10, 8},
		{"30/100 without cas", fixed(30, 100, 0, 0), []string{"-C"}, Known{TTL: "none"}, 0.03, 8},
		{"20/18, tracked", fixed(20, 18, 0, 0), []string{"-o", "track_sizes"}, Known{TTL: "none"}, 0.03, 8}, // 97 bytes count as 128
		{"40/1000", fixed(40, 1000, 0, 0), nil, unknown, 0.03, 8},
		{"40/10000", fixed(40, 10_000, 0, 3600), nil, unknown, 0.03, 8},
		{"mixed", mixed, []string{"-f", "1.5"}, unknown, 0.05, 64},
		{"mixed, tracked", mixed, []string{"-o", "track_sizes"}, unknown, 0.05, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			there := startMemcached(t, append(tt.args, "-m", fmt.Sprint(tt.limit))...)
			isMixed, plenty := strings.HasPrefix(tt.name, "mixed"), tt.limit<<20/4*5
			if isMixed {
				fill(t, there, tt.items, 6<<20)
			} else {
				fill(t, there, tt.items, plenty)
			}
			r := estimated(t, there, tt.known)
			if r.Full == isMixed {
				t.Errorf("full: %v, says the report", r.Full)
			}
			if got := ask(t, there, "").Number("curr_items"); got != r.Items {
				t.Errorf("%d items, not %d", r.Items, got)
			}
			if strings.Contains(tt.name, "tracked") != r.Exact {
				t.Errorf("sizes tracked: %v", r.Exact)
			}
			here := startGomemd(t, tt.limit)
			fill(t, here, tt.items, plenty)
			s := ask(t, here, "")
			if s.Number("evictions") == 0 {
				t.Fatal("gomemd is not full")
			}
			kept := float64(s.Number("curr_items"))
			t.Logf("memcached %d, gomemd %.0f, foretold %.0f to %.0f", r.Items, kept, r.Here.Items.Low, r.Here.Items.High)
			if kept < r.Here.Items.Low || kept > r.Here.Items.High || r.Here.Items.Error() > tt.most {
				t.Errorf("gomemd keeps %.0f; %.0f to %.0f were foretold (±%.1f %%)", kept, r.Here.Items.Low, r.Here.Items.High, 100*r.Here.Items.Error())
			}
		})
	}
}

// With the -m that is named for its items, all of them are kept; with less than what the range
// begins with, they are not.
func TestTheMemoryThatIsNamedSuffices(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks at every step make minutes of it, and there is no race in one connection")
	}
	const bytes = 6 << 20
	there := startMemcached(t, "-m", "64")
	items := fill(t, there, fixed(24, 32, 0, 0), bytes)
	r := estimated(t, there, Known{TTL: "none"})
	if r.Full || r.Items != uint64(items) {
		t.Fatalf("full: %v; %d items of %d", r.Full, r.Items, items)
	}
	for _, tt := range []struct {
		mib   float64
		fewer bool
	}{{r.Here.MiB.High, false}, {r.Here.MiB.Low - 1, true}} {
		here := startGomemd(t, int(tt.mib))
		fill(t, here, fixed(24, 32, 0, 0), bytes)
		if kept := ask(t, here, "").Number("curr_items"); (kept < uint64(items)) != tt.fewer {
			t.Errorf("-m %.0f of %v keeps %d of %d items", tt.mib, r.Here.MiB, kept, items)
		}
	}
}

// Items that have expired and are still there cannot be told from others: the report says so, and
// the range holds for all that is counted.
func TestExpiredItemsAreNotHidden(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks at every step make minutes of it, and there is no race in one connection")
	}
	half := func(i int) (int, int, uint32, int) { return 24, 32, 0, i % 2 }
	there := startMemcached(t, "-m", "64", "-o", "no_lru_crawler")
	items := fill(t, there, half, 1<<20)
	c, err := net.Dial("unix", there)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		fmt.Fprintf(c, "mg %024d\r\n", items|1-2)
		if line, err := in.ReadString('\n'); err != nil || line == "EN\r\n" {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("nothing expires")
		}
	}
	r := estimated(t, there, unknown)
	if r.Items < uint64(items)*9/10 {
		t.Skipf("%d of %d items are there: this memcached has reclaimed them already", r.Items, items)
	}
	if r.Expired.Share != (Range{0, 1}) || r.Expired.Crawler {
		t.Errorf("%+v", r.Expired)
	}
	if text := r.Print(); !strings.Contains(text, "counters do not tell how many") || !strings.Contains(text, "have expired") {
		t.Errorf("it does not say so:\n%s", text)
	}
}

func run(t *testing.T, args ...string) (code int, out, errors string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// The command, as it is used.
func TestTheReportForPeopleAndForPrograms(t *testing.T) {
	there := startMemcached(t, "-m", "64", "-f", "1.1", "-o", "hot_lru_pct=30,no_lru_crawler")
	fill(t, there, fixed(24, 32, 0, 0), 1<<20)
	code, text, complaint := run(t, there)
	if code != 0 || complaint != "" {
		t.Fatalf("exit %d, %s", code, complaint)
	}
	for _, want := range []string{"keys and values", "rounding up to slab chunks", "-m for 18,725 items",
		"ignored    growth_factor 1.10", "ignored    hot_lru_pct 30", "different  lru_crawler no"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in it:\n%s", want, text)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, there) && len([]rune(line)) > 100 {
			t.Errorf("a long line: %s", line)
		}
	}
	code, text, complaint = run(t, "--json", there)
	var r Report
	if err := json.Unmarshal([]byte(text), &r); code != 0 || err != nil || r.Items != 18725 || len(r.Settings) != 3 {
		t.Errorf("exit %d, %v, %s\n%s", code, err, complaint, text)
	}
}

func TestMistakesAndServersThatCannotBeAsked(t *testing.T) {
	empty := startMemcached(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exUsage, "name one server"},
		{[]string{"a", "b"}, exUsage, "name one server"},
		{[]string{"--nonsense", "a"}, exUsage, "unknown flag"},
		{[]string{"--ttl", "some", "a"}, exUsage, "all or none"},
		{[]string{"--client-flags", "3", "a"}, exUsage, "0, 1, 2 or 4"},
		{[]string{"--user", "x", "a"}, exUsage, "password"},
		{[]string{"--help"}, 0, "Usage: gomemd estimate"},
		{[]string{"/nowhere/at/all"}, exFailure, "no such file"},
		{[]string{empty}, exFailure, "it has no items"},
		{[]string{filledGomemd(t)}, exFailure, "it is gomemd already"},
	} {
		code, out, complaint := run(t, tt.args...)
		if code != tt.code || !strings.Contains(out+complaint, tt.want) {
			t.Errorf("%q: exit %d, %q, want %d and %q", tt.args, code, out+complaint, tt.code, tt.want)
		}
	}
}

func filledGomemd(t *testing.T) string {
	socket := startGomemd(t, 8)
	fill(t, socket, fixed(24, 32, 0, 0), 1000)
	return socket
}

// A memcached with external storage or a proxy is refused here, and its settings may say anything.
func TestSettingsThatAreRefused(t *testing.T) {
	list := judge(&Answers{
		General:  asks.Stats{"extstore_limit_maxbytes": "1"},
		Settings: asks.Stats{"proxy_enabled": "yes", "client_flags_size": "8", "memory_file": "\x1b[2J", "growth_factor": "1.25"},
	})
	var got []string
	for _, s := range list {
		got = append(got, s.Verdict+" "+s.Name+" "+s.Value)
	}
	want := `refused ext_path in use, refused proxy_enabled yes, refused client_flags_size 8, different memory_file \x1b[2J`
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
}
