package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/admin"
	"github.com/gomemd/gomemd/server"
)

// TestWhatChartsAndUnitsPass takes command lines as deployments write them.
func TestWhatChartsAndUnitsPass(t *testing.T) {
	for _, row := range []struct {
		from string
		args []string
		want func(c *config)
	}{
		{"nothing", nil, func(c *config) {}},
		{"a chart: flag and value in one word", []string{"-m 8192", "--extended=modern,track_sizes", "-I 5m", "-c 16384", "-v", "-u 11211"},
			func(c *config) {
				c.opts.MemoryLimit, c.opts.ItemMax, c.opts.MaxConns = 8192<<20, 5<<20, 16384
				c.opts.Verbosity, c.user = 1, "11211"
				c.noops = []string{"-o modern"}
				c.opts.TrackSizes = true
			}},
		{"Debian's memcached.conf", strings.Fields("-m 64 -p 11211 -u memcache -l 127.0.0.1 -P /var/run/memcached/memcached.pid"),
			func(c *config) {
				c.portGiven, c.user, c.inter = true, "memcache", []string{"127.0.0.1"}
				c.pidfile, c.opts.Settings.Inter = "/var/run/memcached/memcached.pid", "127.0.0.1"
			}},
		{"a sysconfig file", strings.Fields("-p 11211 -u nobody -m 64 -c 1024 -l 127.0.0.1,::1"),
			func(c *config) {
				c.portGiven, c.user, c.inter, c.opts.Settings.Inter = true, "nobody", []string{"127.0.0.1,::1"}, "127.0.0.1,::1"
			}},
		{"glued and bundled", []string{"-m64", "-vvv", "-dk", "-I5m", "-omodern"},
			func(c *config) {
				c.opts.Verbosity, c.daemon, c.opts.LockMemory, c.opts.ItemMax = 3, true, true, 5<<20
				c.noops = []string{"-o modern"}
			}},
		{"a bundle whose last takes the next word", strings.Fields("-dvvm 128 -o modern -o no_modern junk -C"),
			func(c *config) {
				c.daemon, c.opts.Verbosity, c.opts.MemoryLimit, c.opts.DisableCAS = true, 2, 128<<20, true
				c.lru.maintainer, c.opts.MaxConnsWait, c.noops = false, true, []string{"-o modern"}
				c.opts.Settings.NoCrawler, c.opts.Settings.NoMaintainer = true, true
			}},
		{"after -- nothing is an option", strings.Fields("-M -- -F"), func(c *config) { c.opts.DisableEviction = true }},
		{"long names", strings.Fields("--memory-limit=100 --threads 2 --disable-flush-all --unix-mask 770 --listen-backlog=5 --max-reqs-per-event 7"),
			func(c *config) {
				c.opts.MemoryLimit, c.opts.Loops, c.opts.DisableFlush = 100<<20, 2, true
				c.opts.UnixMask, c.opts.Backlog, c.opts.ReqsPerEvent = 0o770, 5, 7
			}},
		{"abbreviated", strings.Fields("--memory-l 100 --verb --thr=2"),
			func(c *config) { c.opts.MemoryLimit, c.opts.Verbosity, c.opts.Loops = 100<<20, 1, 2 }},
		{"memory with a suffix", []string{"-m", "200m"}, func(c *config) { c.opts.MemoryLimit = 200 << 20 }},
		{"memory with another", []string{"-m", "2G"}, func(c *config) { c.opts.MemoryLimit = 2 << 30 }},
		{"item sizes", []string{"-I", "512k"}, func(c *config) { c.opts.ItemMax = 512 << 10 }},
		{"item size in bytes", []string{"-I", "2097152"}, func(c *config) { c.opts.ItemMax = 2 << 20 }},
		{"what the server is to do", strings.Fields("-A -X -W -D ; -Y f -o idle_timeout=30,no_maxconns_fast"),
			func(c *config) {
				o := &c.opts
				o.EnableShutdown, o.DisableDump, o.DisableWatch, o.PrefixDelimiter, o.StatsDetail = true, true, true, ';', true
				o.AuthFile, o.IdleTimeout, o.MaxConnsWait = "f", 30*time.Second, true
			}},
		{"packing", []string{"--pack-hex"}, func(c *config) { c.opts.PackHex = true }},
		{"hot keys", []string{"--hot-keys", "0.5"}, func(c *config) { c.opts.HotKeys = 200 }},
		{"no curve", []string{"--no-curve"}, func(c *config) { c.opts.NoCurve = true }},
		{"no hot keys", []string{"--hot-keys=0"}, func(c *config) { c.opts.HotKeys = -1 }},
		{"how long to drain", []string{"--drain-timeout", "90s"}, func(c *config) { c.drainTimeout = 90 * time.Second }},
		{"how many seconds to drain", []string{"--drain-timeout=7"}, func(c *config) { c.drainTimeout = 7 * time.Second }},
		{"a blank before a number", []string{"-o", "idle_timeout= 30"}, func(c *config) { c.opts.IdleTimeout = 30 * time.Second }},
		{"the admin listener", strings.Fields("--admin :9150 --admin-keys --admin-pprof --admin-hosts a,b --admin-hosts=c"),
			func(c *config) {
				c.admin = admin.Options{Addr: ":9150", Keys: true, Pprof: true, Hosts: []string{"a", "b", "c"}}
			}},
		{"a health check", []string{"--healthcheck"}, func(c *config) { c.healthcheck = true }},
		{"a health check elsewhere", strings.Fields("--healthcheck 10.0.0.1:9150 -m 64"),
			func(c *config) { c.healthcheck, c.healthcheckAddr = true, "10.0.0.1:9150" }},
		{"-B auto", strings.Fields("-B ascii -B auto"), func(c *config) { c.protocolGiven = true }},
		{"-U alone moves TCP", []string{"-U", "11222"},
			func(c *config) {
				c.opts.Settings.Port, c.opts.Settings.UDPPort = 11222, 11222
			}},
		{"-U beside -p does not", strings.Fields("-U 11222 -p -1"),
			func(c *config) {
				c.opts.Settings.Port, c.portGiven, c.opts.Settings.UDPPort = -1, true, 11222
			}},
		{"-B binary", strings.Fields("-B binary"), func(c *config) { c.protocolGiven, c.opts.Protocol = true, server.Binary }},
		{"both protocols, with passwords", strings.Fields("-S -Y f"), func(c *config) { c.opts.SASL, c.opts.AuthFile = true, "f" }},
		{"-l repeated", strings.Fields("-l 127.0.0.1 -l 127.0.0.2;127.0.0.3 -l 127.0.0.1"),
			func(c *config) {
				c.inter = []string{"127.0.0.1", "127.0.0.2;127.0.0.3"}
				c.opts.Settings.Inter = "127.0.0.1,127.0.0.2;127.0.0.3"
			}},
	} {
		t.Run(row.from, func(t *testing.T) {
			want := newConfig()
			row.want(want)
			got, err := parse("gomemd", row.args)
			if err != nil {
				t.Fatal(err)
			}
			got.memoryGiven = false // MemoryLimit tells as much
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q:\ngot  %+v\nwant %+v", row.args, got, want)
			}
		})
	}
}

func TestPages(t *testing.T) {
	for _, row := range []struct {
		args        string
		first, last string
	}{
		{"-V", versionLine + "\n", versionLine + "\n"},
		{"--version", versionLine + "\n", versionLine + "\n"},
		{"-i", versionLine + "\n\nMIT License\n", "License).\n"},
		{"-h", versionLine + "\n-p, --port=<num>          TCP port to listen on (default: 11211)\n", "what a running memcached would need here; it is only read\n"},
		{"-vh -c 0", versionLine + "\n", "what a running memcached would need here; it is only read\n"},
	} {
		c, err := parse("gomemd", strings.Fields(row.args))
		if !errors.Is(err, errShown) {
			t.Errorf("%s: %v", row.args, err)
		}
		if !strings.HasPrefix(c.page, row.first) || !strings.HasSuffix(c.page, row.last) {
			t.Errorf("%s shows\n%s", row.args, c.page)
		}
	}
}

// TestHelpPromisesNothing looks at -h as memcached's test suite does, which decides by these words what to try.
func TestHelpPromisesNothing(t *testing.T) {
	page := strings.ToLower(helpPage("gomemd"))
	for _, word := range []string{"unix-socket", "enable-ssl", "enable-sasl", "udp-port"} {
		if !strings.Contains(page, word) {
			t.Errorf("%s is missing", word)
		}
	}
	for _, word := range []string{"ext_path", "proxy_config", "no_drop_privileges"} {
		if strings.Contains(page, word) {
			t.Errorf("%s would make the suite try it", word)
		}
	}
	if strings.HasPrefix(page, "memcached 1.1.") {
		t.Error("that looks like a memcached without UDP")
	}
	for line := range strings.Lines(page) {
		if len(line) > 100 {
			t.Errorf("too long: %s", line)
		}
	}
}

// TestTableIsMemcacheds holds the table to the letters and long names of memcached 1.6.45.
func TestTableIsMemcacheds(t *testing.T) {
	names := map[string]string{
		"a": "unix-mask", "A": "enable-shutdown", "Z": "enable-ssl", "p": "port", "s": "unix-socket", "U": "udp-port",
		"m": "memory-limit", "M": "disable-evictions", "c": "conn-limit", "k": "lock-memory", "h": "help", "i": "license",
		"V": "version", "r": "enable-coredumps", "v": "verbose", "d": "daemon", "l": "listen", "u": "user", "P": "pidfile",
		"f": "slab-growth-factor", "n": "slab-min-size", "t": "threads", "D": "D", "L": "enable-largepages",
		"R": "max-reqs-per-event", "C": "disable-cas", "b": "listen-backlog", "B": "protocol", "I": "max-item-size",
		"S": "enable-sasl", "F": "disable-flush-all", "X": "disable-dumping", "W": "disable-watch", "Y": "auth-file",
		"e": "memory-file", "o": "extended", "N": "napi-ids",
	}
	valueless := "AZMkhiVrvdLCSFXW"
	for _, o := range options {
		if o.letter == "" { // ours
			continue
		}
		if names[o.letter] != o.long {
			t.Errorf("-%s is --%s, not --%s", o.letter, names[o.letter], o.long)
		}
		if (o.arg == "") != strings.Contains(valueless, o.letter) {
			t.Errorf("-%s: value %q", o.letter, o.arg)
		}
		delete(names, o.letter)
	}
	if len(names) > 0 {
		t.Errorf("missing: %v", names)
	}
}

// FuzzParse: whatever is typed, the answer is a configuration, a page, or an exit with a code and a text.
func FuzzParse(f *testing.F) {
	f.Add("-dvvm\n128\n-o\nmodern,hashpower=12")
	f.Add("--\n-m")
	f.Add("-l\nproto[ascii]:tag_a_:[::1]:1")
	f.Add("--=\n---\n-=\n-\n")
	f.Fuzz(func(t *testing.T, words string) {
		c, err := parse("gomemd", strings.Split(words, "\n"))
		if c == nil {
			t.Fatal("no configuration")
		}
		var e exit
		switch {
		case err == nil:
			if err := c.opts.Validate(); err != nil && err.Error() != "no address to listen on" {
				t.Errorf("the server would refuse: %v", err)
			}
		case errors.Is(err, errShown):
			if c.page == "" {
				t.Error("an empty page")
			}
		case !errors.As(err, &e) || e.code == 0 || e.text == "":
			t.Errorf("%#v", err)
		}
	})
}
