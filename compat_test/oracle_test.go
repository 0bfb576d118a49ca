package compat_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
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
	if err := server.introduce(child.Process.Pid, ended); err != nil {
		stop()
		return nil, fmt.Errorf("%w %s", err, stderr.Bytes())
	}
	t.Cleanup(stop)
	return server, nil
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
		stats, err := s.ask("stats", "END")
		if err == nil {
			if !slices.Contains(stats, fmt.Sprintf("STAT pid %d", pid)) {
				return errors.New("somebody else answers on this port")
			}
			return s.learnName()
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

// learnName asks for the version. gomemd's begins with the one of the memcached that it follows.
func (s *tcpServer) learnName() error {
	answer, err := s.ask("version", "VERSION ")
	if err != nil {
		return err
	}
	version := strings.TrimPrefix(answer[len(answer)-1], "VERSION ")
	s.name = "memcached " + version
	if strings.Contains(version, "gomemd") {
		s.name = "gomemd, " + version
	}
	return nil
}
