package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A kind is one of the two that are compared.
type kind struct {
	name    string // in the table
	path    string
	env     []string
	version string // learnt when it first runs
}

// A server is a child of ours. It is ended by its handle: nothing that we did not start.
type server struct {
	port    string
	child   *exec.Cmd
	said    bytes.Buffer
	version string
}

const (
	startWithin = 10 * time.Second
	stopWithin  = 5 * time.Second
)

// start gives the kind a free port. Between our finding it and the child's taking it somebody else may come first, so
// what answers there is believed only when it names the child's pid.
func start(k *kind, memory, threads, conns int) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-m", strconv.Itoa(memory), "-t", strconv.Itoa(threads), "-c", strconv.Itoa(conns)}
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	s := &server{port: port, child: exec.Command(k.path, args...)}
	s.child.Env = append(os.Environ(), k.env...)
	s.child.Stderr = &s.said
	s.child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // who breaks off a run should find no servers left over
	if err := s.child.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		stats, err := s.stats()
		if err != nil {
			continue
		}
		if stats["pid"] != strconv.Itoa(s.pid()) {
			s.stop()
			return nil, fmt.Errorf("on port %s answers pid %s, not our child %d", port, stats["pid"], s.pid())
		}
		s.version = stats["version"]
		return s, nil
	}
	s.stop()
	return nil, fmt.Errorf("%s does not serve: %s", k.name, s.said.String())
}

func (s *server) pid() int     { return s.child.Process.Pid }
func (s *server) addr() string { return "127.0.0.1:" + s.port }

func (s *server) stop() {
	_ = s.child.Process.Signal(os.Interrupt)
	impatience := time.AfterFunc(stopWithin, func() { _ = s.child.Process.Kill() })
	defer impatience.Stop()
	_ = s.child.Wait()
}

func (s *server) stats() (map[string]string, error) {
	conn, err := net.DialTimeout("tcp", s.addr(), time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(conn, "stats\r\n")
	stats := map[string]string{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if lines.Text() == "END" {
			return stats, nil
		}
		if words := strings.SplitN(lines.Text(), " ", 3); len(words) == 3 && words[0] == "STAT" {
			stats[words[1]] = words[2]
		}
	}
	return nil, errors.New("stats without END")
}

// commands is how many the server has served, by its own count. Keys, to be exact: of a multiget each counts.
func (s *server) commands() (total float64, err error) {
	stats, err := s.stats()
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"cmd_get", "cmd_set", "cmd_touch"} {
		n, err := strconv.ParseFloat(stats[name], 64)
		if err != nil {
			return 0, fmt.Errorf("stats: %s: %w", name, err)
		}
		total += n
	}
	return total, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
