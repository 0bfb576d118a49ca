package compat_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
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
)

// startServer starts what the conversations are held with, with memcached's options, until the test ends.
func startServer(t *testing.T, options []string) *tcpServer {
	t.Helper()
	if *oracle == "" {
		return startGomemd(t, options)
	}
	return startOracle(t, *oracle, options)
}

// startOracle starts a memcached of its own: one that happens to run already has items, clients and a clock that are
// not ours to touch.
func startOracle(t *testing.T, path string, options []string) *tcpServer {
	t.Helper()
	const attempts = 5 // a free port can be taken by somebody else before the child listens on it
	var err error
	for range attempts {
		var server *tcpServer
		if server, err = tryOracle(t, path, options); err == nil {
			return server
		}
	}
	t.Fatalf("%s does not start: %v", path, err)
	return nil
}

func tryOracle(t *testing.T, path string, options []string) (*tcpServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	udp := 0
	if i := slices.Index(options, "-U"); i >= 0 { // memcached would choose the port, and not tell
		udp = port
		options = slices.Delete(slices.Clone(options), i, i+2)
	}
	args := append([]string{"-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", strconv.Itoa(udp)}, options...)
	args = append(args, steadyOptions(path)...)
	if os.Getuid() == 0 {
		args = append(args, "-u", "root") // it refuses to run as root unless told so
	}
	child := exec.Command(path, args...)
	if slices.Contains(options, "-S") {
		if child.Env, err = saslEnvironment(t); err != nil {
			return nil, err
		}
	}
	var stderr bytes.Buffer
	child.Stderr = &stderr
	if err := child.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait() // how it ended is told by stderr, if it matters
		close(ended)
	}()
	stop := func() {
		_ = child.Process.Kill()
		<-ended
	}
	server := &tcpServer{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), sleeps: true, pass: time.Sleep}
	server.udp = server.addr
	if slices.Contains(options, "-Y") {
		server.login = "set auth 0 0 12\r\nalice s3cret\r\n" // of testdata/passwords
	}
	server.sasl = slices.Contains(options, "-S")
	server.tls = slices.Contains(options, "-Z")
	if err := server.introduce(child.Process.Pid, ended); err != nil {
		stop()
		return nil, fmt.Errorf("%w %s", err, stderr.Bytes())
	}
	t.Cleanup(stop)
	return server, nil
}

// saslEnvironment has memcached's SASL know alice of testdata/passwords. It looks her up as alice@HOST.
func saslEnvironment(t *testing.T) ([]string, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	pwdb := filepath.Join(dir, "pwdb")
	for file, line := range map[string]string{
		pwdb:                                 "alice@" + host + ":s3cret",
		filepath.Join(dir, "memcached.conf"): "mech_list: plain", // or clients prefer one that needs other files
	} {
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	return append(os.Environ(), "MEMCACHED_SASL_PWDB="+pwdb, "SASL_CONF_PATH="+dir), nil
}

// steadyOptions keep a memcached from answering one way now and another way then. Its LRU maintainer holds on to an item
// for a moment after every second read or so, and an incr that comes in this moment cannot write in place: the value is
// then as long as its digits, and not padded with blanks.
func steadyOptions(path string) []string {
	version, err := exec.Command(path, "-V").Output()
	if err != nil || !bytes.HasPrefix(version, []byte("memcached ")) {
		return nil
	}
	return []string{"-o", "no_lru_maintainer"}
}

// freePort asks the kernel for a port that nobody listens on at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// introduce waits until the child answers, makes sure that it is the child who does, and learns its name.
func (s *tcpServer) introduce(pid int, ended <-chan struct{}) error {
	deadline := time.After(20 * time.Second)
	for {
		stats, err := s.stats()
		if err == nil {
			if !slices.Contains(stats, fmt.Sprintf("STAT pid %d", pid)) {
				return errors.New("somebody else answers on this port")
			}
			return s.learnName(stats)
		}
		select {
		case <-ended:
			return errors.New("it ended:")
		case <-deadline:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stats are its general statistics, as lines.
func (s *tcpServer) stats() ([]string, error) {
	if s.sasl {
		return s.statsInBinary()
	}
	return s.ask("stats", "END")
}

// statsInBinary says who it is and asks for the statistics in the binary protocol: no other is spoken under -S.
func (s *tcpServer) statsInBinary() ([]string, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := func(opcode byte, key, value string) []byte {
		header := make([]byte, 24)
		header[0], header[1] = 0x80, opcode
		binary.BigEndian.PutUint16(header[2:], uint16(len(key)))
		binary.BigEndian.PutUint32(header[8:], uint32(len(key)+len(value)))
		return slices.Concat(header, []byte(key), []byte(value))
	}
	const auth, stat = 0x21, 0x10
	say := slices.Concat(request(auth, "PLAIN", "\x00alice\x00s3cret"), request(stat, "", ""))
	if _, err := conn.Write(say); err != nil {
		return nil, err
	}
	var lines []string
	for r := bufio.NewReader(conn); ; {
		header := make([]byte, 24)
		if _, err := io.ReadFull(r, header); err != nil {
			return lines, err
		}
		body := make([]byte, binary.BigEndian.Uint32(header[8:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return lines, err
		}
		if status := binary.BigEndian.Uint16(header[6:]); status != 0 {
			return lines, fmt.Errorf("opcode %#x: status %d %s", header[1], status, body)
		}
		key := binary.BigEndian.Uint16(header[2:])
		if header[1] == stat && key == 0 {
			return lines, nil
		}
		if header[1] == stat {
			lines = append(lines, fmt.Sprintf("STAT %s %s", body[:key], body[key:]))
		}
	}
}

// learnName looks for the version. gomemd's begins with the one of the memcached that it follows.
func (s *tcpServer) learnName(stats []string) error {
	for _, line := range stats {
		if version, ok := strings.CutPrefix(line, "STAT version "); ok {
			s.name = "memcached " + version
			if strings.Contains(version, "gomemd") {
				s.name = "gomemd, " + version
			}
			return nil
		}
	}
	return errors.New("it does not tell its version")
}
