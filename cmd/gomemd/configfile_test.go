package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	debian := write("memcached.conf", `# as Debian writes it
-d
logfile /var/log/memcached.log

# -vv
-m 64
-p 11211  # the usual
-u memcache
-l 127.0.0.1,::1
  -c 2000 -t 2
-P "/run/mem cached.pid"
--max-item-size=2m
`)
	c, err := parse("gomemd", []string{"-m", "32", "-v", "--config", debian, "-c", "3000"})
	if err != nil {
		t.Fatal(err)
	}
	if c.opts.MemoryLimit != 64<<20 || c.opts.MaxConns != 3000 || c.opts.Loops != 2 || c.opts.ItemMax != 2<<20 ||
		c.opts.Verbosity != 1 || c.daemon || c.user != "memcache" || c.pidfile != "/run/mem cached.pid" ||
		c.opts.Settings.Inter != "127.0.0.1,::1" {
		t.Errorf("%+v", c)
	}
	for text, complaint := range map[string]string{
		"-m abc":         "ERROR: Invalid memory limit abc: megabytes, or a number with m or g, like 200m or 1g.",
		"-m 64\n--port":  "gomemd: option '--port' requires an argument\nIllegal argument \"?\"",
		"-P \"/run/x":    "Could not understand the options in FILE: EOF found when expecting closing quote",
		"--config FILE":  "Could not understand the options in FILE: --config in such a file",
		"-v --config=-m": "Could not understand the options in FILE: --config in such a file",
	} {
		file := write("bad", text)
		_, err := parse("gomemd", []string{"--config=" + file})
		if want := strings.ReplaceAll(complaint, "FILE", file); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzConfigFile: whatever is in the file, the words understood come from lines that begin with a dash, in their order, and
// understanding them as options ends in a configuration, a page or an exit.
func FuzzConfigFile(f *testing.F) {
	f.Add("# x\n-d\nlogfile y\n-m 64 # z\n-P \"a b\"\n")
	f.Add("-l 'x\n' -m\\\n64\r\n--port=1\n-")
	f.Fuzz(func(t *testing.T, text string) {
		args, err := fileOptions(text)
		if err != nil {
			return
		}
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			t.Fatalf("%q begins with %q", text, args[0])
		}
		c := newConfig()
		var e exit
		err = c.parse("gomemd", slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "--conf") }))
		switch {
		case err == nil, errors.Is(err, errHelp), errors.Is(err, errVersion), errors.Is(err, errShown):
		case !errors.As(err, &e) || e.code == 0 || e.text == "":
			t.Errorf("%#v", err)
		}
	})
}
