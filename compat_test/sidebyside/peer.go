package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A peer is one of the two servers compared, started by us or found running.
type peer struct {
	network, addr string
	version       string    // what it says of itself
	child         *exec.Cmd // nil when it was there before us
}

func (s *peer) String() string { return fmt.Sprintf("%s at %s", s.version, s.addr) }

// open starts the server when spec is a command, else connects to what is there.
func open(spec string) (*peer, error) {
	if spec == "" {
		return nil, errors.New("give an address or a command")
	}
	s := &peer{network: "tcp", addr: spec}
	if strings.Contains(spec, "{port}") {
		return s, s.start(spec)
	}
	if strings.HasPrefix(spec, "/") {
		s.network = "unix"
	}
	var err error
	s.version, err = s.ask("version", "VERSION ")
	return s, err
}

// start runs the command. Between our finding a free port and the child's taking it somebody else may come first,
// so what answers there is believed only when it names the child's pid.
func (s *peer) start(command string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.addr = "127.0.0.1:" + port
	words := strings.Fields(strings.ReplaceAll(command, "{port}", port))
	s.child = exec.Command(words[0], words[1:]...)
	if err := s.child.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pid, err := s.ask("stats", "STAT pid ")
		if err != nil {
			continue
		}
		if pid != strconv.Itoa(s.child.Process.Pid) {
			s.stop()
			return fmt.Errorf("at %s answers pid %s, not our child %d", s.addr, pid, s.child.Process.Pid)
		}
		s.version, err = s.ask("version", "VERSION ")
		return err
	}
	s.stop()
	return fmt.Errorf("%q does not serve at %s", words, s.addr)
}

// stop ends the child, by its handle: nothing that we did not start.
func (s *peer) stop() {
	if s.child == nil {
		return
	}
	_ = s.child.Process.Signal(os.Interrupt)
	patience := time.AfterFunc(5*time.Second, func() { _ = s.child.Process.Kill() })
	defer patience.Stop()
	_ = s.child.Wait()
}

// ask sends one command and gives what follows prefix in the first line of the reply that has it.
func (s *peer) ask(command, prefix string) (string, error) {
	conn, err := net.DialTimeout(s.network, s.addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprintf(conn, "%s\r\n", command)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			return rest, nil
		}
		if lines.Text() == "END" {
			break
		}
	}
	return "", fmt.Errorf("no %q in the reply to %s", prefix, command)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
