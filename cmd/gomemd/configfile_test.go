package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "memcached.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// debianFile is /etc/memcached.conf as Debian's package has it: installed, or from memory.
func debianFile(t *testing.T) string {
	t.Helper()
	if text, err := os.ReadFile("/usr/share/memcached/memcached.conf.default"); err == nil {
		return string(text)
	}
	return "# memcached default config file\n-d\n\n# Log memcached's output to /var/log/memcached\nlogfile /var/log/memcached.log\n\n" +
		"# -v\n-m 64\n-p 11211\n-u memcache\n-l 127.0.0.1\n# -c 1024\n-P /var/run/memcached/memcached.pid\n"
}

const rhelFile = `# see memcached(1)
PORT="11211"
USER="memcached"
MAXCONN="2000"

CACHESIZE=128   # megabytes
OPTIONS="-l 127.0.0.1,::1 -M"
`

func TestConfigFile(t *testing.T) {
	mine := configFile(t, `# as Debian writes it
-d
logfile /var/log/memcached.log

# -vv
-m 64
-p 11211  # the usual
-u memcache
-l 127.0.0.1,::1
  -c 2000 -t 2
-d -dv -P "/run/mem cached.pid"
--max-item-size=2m
logfile /var/log/another.log
`)
	c, err := parse("gomemd", []string{"-m", "32", "-v", "--config", mine, "-c", "3000"})
	if err != nil {
		t.Fatal(err)
	}
	if c.opts.MemoryLimit != 64<<20 || c.opts.MaxConns != 3000 || c.opts.Loops != 2 || c.opts.ItemMax != 2<<20 ||
		c.opts.Verbosity != 2 || c.daemon || c.user != "memcache" || c.pidfile != "/run/mem cached.pid" ||
		c.opts.Settings.Inter != "127.0.0.1,::1" {
		t.Errorf("%+v", c)
	}
	if want := []string{"warning: " + mine + ":3: logfile is ignored, the log is standard error"}; !slices.Equal(c.warnings, want) {
		t.Errorf("warnings %q, want %q", c.warnings, want)
	}
}

// As people's editors leave files, both forms mean what they meant.
func TestConfigFileForms(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"unmodified":        func(s string) string { return s },
		"CRLF":              func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"a byte order mark": func(s string) string { return "\ufeff" + s },
		"no last line end":  func(s string) string { return strings.TrimSuffix(s, "\n") },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse("gomemd", []string{"--config", configFile(t, change(debianFile(t)))})
			if err != nil || c.opts.MemoryLimit != 64<<20 || c.opts.Settings.Port != 11211 || c.user != "memcache" || c.daemon ||
				c.opts.Settings.Inter != "127.0.0.1" || c.pidfile != "/var/run/memcached/memcached.pid" || len(c.warnings) != 1 {
				t.Errorf("Debian's: %v, %+v", err, c)
			}
			c, err = parse("gomemd", []string{"--config", configFile(t, change(rhelFile))})
			if err != nil || c.opts.MemoryLimit != 128<<20 || c.opts.Settings.Port != 11211 || c.user != "memcached" || c.daemon ||
				c.opts.Settings.Inter != "127.0.0.1,::1" || c.opts.MaxConns != 2000 || !c.opts.DisableEviction || len(c.warnings) != 0 {
				t.Errorf("RHEL's: %v, %+v", err, c)
			}
		})
	}
	// OPTIONS has the last word, wherever it stands, and of two lines with one name the later;
	// nothing is an option too few.
	c, err := parse("gomemd", []string{"--config", configFile(t, "OPTIONS='-m 96 -o \"idle_timeout=5\"'\nCACHESIZE=64\nMAXCONN=5\nMAXCONN=6\n")})
	if err != nil || c.opts.MemoryLimit != 96<<20 || c.opts.MaxConns != 6 || c.opts.IdleTimeout == 0 || c.opts.Settings.Port != 11211 {
		t.Errorf("%v, %+v", err, c)
	}
	for _, text := range []string{"", "\n\n# nothing\n", "\ufeff", "OPTIONS=\"\"\n"} {
		if _, err := parse("gomemd", []string{"--config", configFile(t, text)}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// RHEL's form is what systemd makes of it: without quotes a value is the rest of the line, and an
// empty one leaves the default.
func TestConfigFileWithoutQuotes(t *testing.T) {
	for _, text := range []string{
		"PORT=11311\nCACHESIZE=\nMAXCONN=2000\nOPTIONS=-M -l 127.0.0.1,::1\n",
		"OPTIONS= \t-M   -l '127.0.0.1,::1'  # and nobody else\nCACHESIZE=\"\"\nPORT= 11311 \nUSER=''\nMAXCONN=2000 # clients\n",
		"CACHESIZE=128\nMAXCONN=2000\r\nPORT=11311\r\nOPTIONS=-M -l 127.0.0.1,::1 \r\nCACHESIZE= # the default\r\n",
	} {
		c, err := parse("gomemd", []string{"--config", configFile(t, text)})
		if err != nil || c.opts.MemoryLimit != 64<<20 || c.opts.Settings.Port != 11311 || c.user != "" ||
			c.opts.Settings.Inter != "127.0.0.1,::1" || c.opts.MaxConns != 2000 || !c.opts.DisableEviction {
			t.Errorf("%q: %v, %+v", text, err, c)
		}
	}
}

// What is not understood is refused with its line, and never skipped: the next thing would be a
// server that listens everywhere.
func TestConfigFileRefuses(t *testing.T) {
	for _, row := range []struct {
		text, complaint string
		code            int
	}{
		{"-m 64\n–l 127.0.0.1\n", `2: "–l" is no option`, exUsage}, // an en dash
		{"\ufeffl 127.0.0.1", `1: "l" is no option`, exUsage},
		{"-m 64\n\n# x\n-l 127.0.0.1 ::1\n", `4: "::1" is no option`, exUsage},
		{"-m 64 –c 100", `1: "–c" is no option`, exUsage},
		{"-l 127.0.0.1\r\nlisten on it\r\n", `2: "listen" is no option`, exUsage},
		{"-v -- -l 127.0.0.1", `1: "-l" is no option`, exUsage},
		{"-d nonsense", `1: "nonsense" is no option`, exUsage},
		{"- m 64", `1: "-" is no option`, exUsage},
		{"[Service]", `1: "[Service]" is no option`, exUsage},
		{"-v\nlogfile", `2: "logfile" is no option`, exUsage},
		{"logfile /x -l 127.0.0.1", `1: "logfile" is no option`, exUsage},
		{"-m\n64", "1: gomemd: option requires an argument -- 'm'\nIllegal argument \"?\"", exFailure},
		{"-m 64\n--port", "2: gomemd: option '--port' requires an argument\nIllegal argument \"?\"", exFailure},
		{"\n-m abc", "2: ERROR: Invalid memory limit abc: megabytes, or a number with m or g, like 200m or 1g.", exUsage},
		{"-v\n-P \"/run/x\n\"", "2: EOF found when expecting closing quote", exUsage},
		{"--config FILE", "1: --config in such a file", exUsage},
		{"-v --config=-m", "1: --config in such a file", exUsage},

		{"PORT=11211\nSERVERS=\"a b\"\n", "2: SERVERS is none of PORT, USER, CACHESIZE, MAXCONN and OPTIONS", exUsage},
		{"# x\nPORT=11211\n-l 127.0.0.1\n", `3: "-l" among lines of NAME="value"`, exUsage},
		{"PORT=11211\nlogfile /x\n", `2: "logfile" among lines of NAME="value"`, exUsage},
		{"-l 127.0.0.1\nPORT=\"11211\"\n", `2: "PORT=11211" among lines of options`, exUsage},
		{"PORT = 11211", `1: "PORT" is no option`, exUsage},
		{"export PORT=11211", `1: "export" is no option`, exUsage},
		{"PORT=11211\nOPTIONS=l 127.0.0.1\n", `2: "l" is no option`, exUsage},
		{"PORT=11211\nOPTIONS=\"-l\" 127.0.0.1\n", `2: "127.0.0.1" after the value of OPTIONS, which ends with its quotes`, exUsage},
		{"PORT=11211\n\"MAXCONN=5\"\n", `2: "MAXCONN=5" among lines of NAME="value"`, exUsage},
		{"PORT=11211 11212\n", "1: ERROR: Invalid port number 11211 11212.", exUsage},
		{"PORT=11211\nOPTIONS=-l 127.0.0.1 \\\n", "2: EOF found after escape character", exUsage},
		{"MAXCONN=5\nOPTIONS=\"l 127.0.0.1\"\nPORT=1\n", `2: "l" is no option`, exUsage},
		{"PORT=11211\nOPTIONS=\"-l '127.0.0.1\"", "2: EOF found when expecting closing quote", exUsage},
		{"USER=x\nPORT=\" \"\n", "2: ERROR: Invalid port number .", exUsage},
		{"PORT=1\nMAXCONN=many\n", "2: Maximum connections must be greater than 0", exFailure},
		{"OPTIONS='--config FILE'", "1: --config in such a file", exUsage},
	} {
		file := configFile(t, row.text)
		_, err := parse("gomemd", []string{"--config=" + file})
		var e exit
		if want := file + ":" + row.complaint; !errors.As(err, &e) || e.text != want || e.code != row.code {
			t.Errorf("%q: %#v, want %d, %s", row.text, err, row.code, want)
		}
	}
}

// Both forms start the program; what is wrong with a file ends it with its line.
func TestConfigFileStarts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"Debian": debianFile(t), "RHEL": rhelFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := configFile(t, text)
			p := launch(t, []string{"--config", file, "-u", "root", "-l", "127.0.0.1:0", "-p", "-1", "-P", "{dir}/pid"}, func(p *process) {
				// What the file listens on may be somebody else's.
				text = strings.NewReplacer("-l 127.0.0.1\n", "-l 127.0.0.1:0\n", "127.0.0.1,::1", "127.0.0.1:0").Replace(text)
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			})
			p.talk(t).ask("mn\r\n", "MN\r\n")
			p.endsOn(t, syscall.SIGTERM)
			want := ""
			if name == "Debian" {
				want = "logfile is ignored, the log is standard error\n"
			}
			if said := p.said(); !strings.HasSuffix(said, want) || strings.Count(said, "\n") != strings.Count(want, "\n") {
				t.Errorf("said %q", said)
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		t.Parallel()
		file := configFile(t, "-p 0\nl 127.0.0.1\n")
		code, _, said := tryFor(t, 20*time.Second, gomemd(t), asUser([]string{"--config", file})...)
		if want := file + ":2: \"l\" is no option\n"; code != exUsage || said != want {
			t.Errorf("exit %d, %q; want %d, %q", code, said, exUsage, want)
		}
	})
}

// FuzzConfigFile: whatever is in the file, it ends in a configuration, a page, or an exit that
// names one of its lines; and if a line is added to a good file that is no option, that line is
// named.
func FuzzConfigFile(f *testing.F) {
	f.Add("# x\n-d\nlogfile y\n-m 64 # z\n-P \"a b\"\n", uint(2))
	f.Add("-l 'x\n' -m\\\n64\r\n--port=1\n-", uint(0))
	f.Add("OPTIONS=-l ::1 # x\nPORT=\nCACHESIZE= 5\\\n", uint(1))
	f.Add("\ufeffPORT=\"1\"\r\nOPTIONS='-l \"::1\"'\nCACHESIZE=5 # x\n", uint(1))
	f.Fuzz(func(t *testing.T, text string, at uint) {
		if strings.Contains(text, "--conf") {
			t.Skip("other files")
		}
		n, err := newConfig().understand("gomemd", "file", text)
		lines := slices.Collect(strings.Lines(text))
		var e exit
		switch {
		case err == nil:
		case errors.Is(err, errHelp), errors.Is(err, errVersion), errors.Is(err, errShown):
			return
		case !errors.As(err, &e) || e.code == 0 || e.text == "" || n < 1 || n > len(lines):
			t.Fatalf("line %d: %#v", n, err)
		default:
			return
		}
		i := int(at % uint(len(lines)+1))
		if i == 0 && strings.HasPrefix(text, "\ufeff") || i > 0 && !strings.HasSuffix(lines[i-1], "\n") {
			return
		}
		more := strings.Join(slices.Insert(lines, i, "–l 127.0.0.1\n"), "")
		if n, err = newConfig().understand("gomemd", "file", more); !errors.As(err, &e) || n == 0 {
			t.Errorf("line %d of %q: line %d, %v", i+1, more, n, err)
		}
	})
}
