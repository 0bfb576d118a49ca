package compat_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/certs/certstest"
)

// rounds are clients of other languages, and of Go where they need modules that gomemd does not. Each walks the same
// round in its own words, by a script in testdata/clients:
//
//	values    none, binary, with line ends, of every type the client knows; keys of 250 bytes, and with any byte
//	storing   add, replace, append, prepend; cas, in time and too late
//	counting  incr, decr, below 0 and over 2^64, of nothing and of a word
//	many      keys in one request, to store, to get, to delete
//	sizes     half a megabyte or more, and too large
//	time      short, touched, over
//	quietly   noreply or quiet operations, where the client has them
//	the rest  version, stats, flush_all; with a password, that a wrong one is refused
//
// A client walks it once in each way that it can speak, which the script is told after the host and the port: "text",
// "binary", "sasl" (binary, after a password), "tls <CA file>" (the client's own protocol) and "udp <port>".
//
// With -oracle they walk it with memcached, which tells whether the script is right. For "sasl" this has to be one that
// was built with --enable-sasl-pwdb.
var rounds = []struct {
	client string
	pkg    string   // where it comes from
	there  []string // succeeds where the client is installed
	walk   []string
	ways   []string
}{
	{"pylibmc", "Debian package python3-pylibmc",
		[]string{"/usr/bin/python3", "-c", "import pylibmc"},
		[]string{"/usr/bin/python3", "-B", "python/pylibmc_round.py"}, []string{"text", "binary", "sasl"}},
	{"pymemcache", "Debian package python3-pymemcache",
		[]string{"/usr/bin/python3", "-c", "import pymemcache"},
		[]string{"/usr/bin/python3", "-B", "python/pymemcache_round.py"}, []string{"text", "tls"}},
	{"bmemcached", "Debian package python3-binary-memcached",
		[]string{"/usr/bin/python3", "-c", "import bmemcached"},
		[]string{"/usr/bin/python3", "-B", "python/bmemcached_round.py"}, []string{"binary", "sasl", "tls"}},
	{"php-memcached", "Debian package php-memcached",
		[]string{"php", "-r", "new Memcached;"},
		[]string{"php", "php/memcached.php"}, []string{"text", "binary", "sasl", "udp"}},
	{"dalli", "Debian packages ruby and ruby-dalli",
		[]string{"ruby", "-e", "require 'dalli'"},
		[]string{"ruby", "ruby/dalli.rb"}, []string{"binary", "sasl"}}, // its requests for several keys fail in TLS
	{"Cache::Memcached::Fast", "Debian package libcache-memcached-fast-perl",
		[]string{"perl", "-MCache::Memcached::Fast", "-e1"}, []string{"perl", "perl/fast.pl"}, []string{"text"}},
	{"spymemcached", "Debian packages default-jdk-headless and libspymemcached-java",
		[]string{"sh", "-c", "javac -version && test -e " + spymemcached},
		[]string{"java", "-cp", spymemcached, "java/Spymemcached.java"}, []string{"text", "binary", "sasl"}},
	{"gomemcached", "Go module github.com/couchbase/gomemcached",
		[]string{"go", "build", "-C", "go", "-o", os.DevNull, "./gomemcached"},
		[]string{"go", "run", "-C", "go", "./gomemcached"}, []string{"binary", "sasl", "tls"}},
	{"mc", "Go module github.com/memcachier/mc/v3",
		[]string{"go", "build", "-C", "go", "-o", os.DevNull, "./mc"},
		[]string{"go", "run", "-C", "go", "./mc"}, []string{"binary", "sasl"}},
	{"node memcached", "npm package memcached",
		[]string{"node", "-e", "require('./node/node_modules/memcached')"},
		[]string{"node", "node/memcached.js"}, []string{"text"}},
	{"node memcache-client", "npm package memcache-client",
		[]string{"node", "-e", "require('./node/node_modules/memcache-client')"},
		[]string{"node", "node/memcache-client.js"}, []string{"text", "tls"}},
	{"node memjs", "npm package memjs",
		[]string{"node", "-e", "require('./node/node_modules/memjs')"},
		[]string{"node", "node/memjs.js"}, []string{"binary", "sasl"}},
	{"node keyv", "npm package @keyv/memcache",
		[]string{"node", "-e", "require('./node/node_modules/@keyv/memcache')"},
		[]string{"node", "node/keyv.js"}, []string{"binary", "sasl"}},
}

const (
	scripts      = "testdata/clients"
	spymemcached = "/usr/share/java/spymemcached.jar"
)

func TestClientRounds(t *testing.T) {
	for _, r := range rounds {
		for _, way := range r.ways {
			t.Run(r.client+" "+way, func(t *testing.T) {
				t.Parallel()
				check := exec.Command(r.there[0], r.there[1:]...)
				check.Dir = scripts
				if out, err := check.CombinedOutput(); err != nil {
					leaveOut(t, fmt.Sprintf("%s is not installed (%s; make deps): %v %.200q", r.client, r.pkg, err, out))
				}
				server, told := startForWay(t, way)
				walk(t, server, r.walk, told...)
			})
		}
	}
}

// startForWay starts a server that can be spoken to in this way, and tells what a script is told about it.
func startForWay(t *testing.T, way string) (server *tcpServer, told []string) {
	t.Helper()
	switch way {
	case "sasl":
		return startServer(t, []string{"-S"}), []string{way}
	case "tls":
		ca, chain, key := certificates(t)
		return startServer(t, []string{"-Z", "-o", "ssl_chain_cert=" + chain + ",ssl_key=" + key}), []string{way, ca}
	case "udp":
		port, err := freePort()
		must(t, err)
		return startServer(t, []string{"-U", strconv.Itoa(port)}), []string{way, strconv.Itoa(port)}
	}
	return startServer(t, nil), []string{way}
}

// walk runs a script with a server. Where it says "pass 3", it wants three seconds to go by, and a line when they have.
func walk(t *testing.T, server *tcpServer, script []string, more ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	host, port, err := net.SplitHostPort(server.addr)
	must(t, err)
	program, err := exec.LookPath(script[0])
	must(t, err)
	cmd := exec.CommandContext(ctx, program, slices.Concat(script[1:], []string{host, port}, more)...)
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

// certificates makes an authority of its own, and a certificate by it for 127.0.0.1.
func certificates(t *testing.T) (ca, chain, key string) {
	t.Helper()
	dir := t.TempDir()
	authority := certstest.Issue(t, "authority", nil)
	certstest.Write(t, dir, certstest.Issue(t, "localhost", authority, func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}), authority)
	return filepath.Join(dir, "ca"), filepath.Join(dir, "chain"), filepath.Join(dir, "key")
}
