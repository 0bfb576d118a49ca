package compat_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rounds are clients of other languages. Each walks the same round in its own words, by a script in testdata/clients:
//
//	values    none, binary, with line ends, of every type the client knows; keys of 250 bytes, and with any byte
//	storing   add, replace, append, prepend; cas, in time and too late
//	counting  incr, decr, below 0 and over 2^64, of nothing and of a word
//	many      keys in one request, to store, to get, to delete
//	sizes     a megabyte, and too large
//	time      short, touched, over
//	quietly   noreply, where the client has it
//	the rest  version, stats, flush_all
//
// With -oracle they walk it with memcached, which tells whether the script is right.
var rounds = []struct {
	client string
	pkg    string   // where it comes from
	there  []string // succeeds where the client is installed
	walk   []string
}{
	{"pylibmc", "Debian package python3-pylibmc",
		[]string{"/usr/bin/python3", "-c", "import pylibmc"}, []string{"/usr/bin/python3", "-B", "python/pylibmc_round.py"}},
	{"pymemcache", "Debian package python3-pymemcache",
		[]string{"/usr/bin/python3", "-c", "import pymemcache"}, []string{"/usr/bin/python3", "-B", "python/pymemcache_round.py"}},
	{"php-memcached", "Debian package php-memcached",
		[]string{"php", "-r", "new Memcached;"}, []string{"php", "php/memcached.php"}},
	{"Cache::Memcached::Fast", "Debian package libcache-memcached-fast-perl",
		[]string{"perl", "-MCache::Memcached::Fast", "-e1"}, []string{"perl", "perl/fast.pl"}},
	{"node memcached", "npm package memcached",
		[]string{"node", "-e", "require('./node/node_modules/memcached')"}, []string{"node", "node/memcached.js"}},
	{"node memcache-client", "npm package memcache-client",
		[]string{"node", "-e", "require('./node/node_modules/memcache-client')"}, []string{"node", "node/memcache-client.js"}},
}

const scripts = "testdata/clients"

func TestClientRounds(t *testing.T) {
	for _, r := range rounds {
		t.Run(r.client, func(t *testing.T) {
			t.Parallel()
			check := exec.Command(r.there[0], r.there[1:]...)
			check.Dir = scripts
			if out, err := check.CombinedOutput(); err != nil {
				leaveOut(t, fmt.Sprintf("%s is not installed (%s; make deps): %v %.200q", r.client, r.pkg, err, out))
			}
			walk(t, startServer(t, nil), r.walk)
		})
	}
}

// walk runs a script with a server. Where it says "pass 3", it wants three seconds to go by, and a line when they have.
func walk(t *testing.T, server *tcpServer, script []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host, port, err := net.SplitHostPort(server.addr)
	must(t, err)
	script[0], err = exec.LookPath(script[0])
	must(t, err)
	cmd := exec.CommandContext(ctx, script[0], append(script[1:], host, port)...)
	cmd.Dir = filepath.FromSlash(scripts)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // perl complains of one that is not installed
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var seconds int
		if n, _ := fmt.Sscanf(lines.Text(), "pass %d", &seconds); n == 1 {
			server.Pass(time.Duration(seconds) * time.Second)
			_, _ = io.WriteString(stdin, "\n") // who is gone by now has an exit status
			continue
		}
		fmt.Fprintln(&said, lines.Text())
	}
	if err := cmd.Wait(); err != nil || said.Len() > 0 || stderr.Len() > 0 {
		t.Errorf("%v\n%s%s", err, said.String(), stderr.String())
	}
}
