package pair

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/proc"
)

// A Kind is one of those that are compared.
type Kind struct {
	Name    string // in tables
	Path    string
	Env     []string // NAME=value, added to ours
	Through []string // a program, with arguments, that becomes the server: ip netns exec …
	options []string // for each server
	command []string // in the place of Path and options: words with {port} and others
	cpus    []int    // that it may run on; none: all of ours
	Version string   // its own, as its statistics tell it
}

// A Server is a child of ours. It is ended by its handle: nothing that we did not start.
type Server struct {
	Port    string
	child   *exec.Cmd
	said    bytes.Buffer
	version string
	tls     *tls.Config // nil: none
	spent   proc.Usage  // all in all, once it is stopped
}

const (
	startWithin = 10 * time.Second
	stopWithin  = 5 * time.Second
)

// Build makes gomemd in dir if no program was named.
func (k *Kind) Build(dir string) error {
	if k.Path != "" {
		return nil
	}
	k.Path = filepath.Join(dir, "gomemd")
	if text, err := exec.Command("go", "build", "-buildvcs=false", "-o", k.Path, "./cmd/gomemd").CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/gomemd: %w\n%s", err, text)
	}
	return nil
}

// A Setup is what servers are given alike, however each is told.
type Setup struct {
	Memory, Threads, Conns int // MiB, and two numbers
	TLS                    *Identity
}

var usual = Setup{Memory: 64, Threads: 4, Conns: 1024}

// StartAs starts the kind on a free port.
func (k *Kind) StartAs(s Setup) (*Server, error) {
	if s.TLS != nil && k.command != nil && !slices.Contains(k.command, onlyTLS) {
		return nil, errors.New("its command has no " + onlyTLS)
	}
	return k.start(s.TLS, func(port string) []string { return k.words(s, port) })
}

// Start is StartAs with arguments in memcached's words.
func (k *Kind) Start(args ...string) (*Server, error) {
	return k.start(nil, func(port string) []string { return k.memcached(port, args) })
}

// onlyTLS stands in a command before what it needs for TLS alone.
const onlyTLS = "{tls}"

func (k *Kind) words(s Setup, port string) (words []string) {
	numbers := [3]string{strconv.Itoa(s.Memory), strconv.Itoa(s.Threads), strconv.Itoa(s.Conns)}
	if k.command == nil {
		args := []string{"-m", numbers[0], "-t", numbers[1], "-c", numbers[2]}
		if s.TLS != nil {
			args = append(args, "-Z", "-o", "ssl_chain_cert="+s.TLS.Cert+",ssl_key="+s.TLS.Key)
		}
		return k.memcached(port, args)
	}
	values := []string{"{port}", port, "{memory}", numbers[0], "{threads}", numbers[1], "{conns}", numbers[2]}
	if s.TLS != nil {
		values = append(values, "{cert}", s.TLS.Cert, "{key}", s.TLS.Key)
	}
	r := strings.NewReplacer(values...)
	for _, word := range k.command {
		switch {
		case word != onlyTLS:
			words = append(words, r.Replace(word))
		case s.TLS == nil:
			return words
		}
	}
	return words
}

func (k *Kind) memcached(port string, args []string) []string {
	args = slices.Concat([]string{"-l", "127.0.0.1", "-p", port, "-U", "0"}, k.options, args)
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	return slices.Concat(k.Through, []string{k.Path}, args)
}

// serves tells whether a server that has no statistics answers a get. It has no pid to show: that our child is alive, which it
// is not without its port, has to do.
func (s *Server) serves() bool {
	line, err := s.Ask("get no-such-key")
	return err == nil && line == "END" && !s.Ended()
}

// start runs what words makes of a free port. Between our finding the port and the child's taking it somebody else may come
// first, so what answers there is believed only when it names the child's pid.
func (k *Kind) start(id *Identity, words func(port string) []string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command := words(port)
	s := &Server{Port: port, child: exec.Command(command[0], command[1:]...)}
	if id != nil {
		s.tls = id.client
	}
	s.child.Env = append(os.Environ(), k.Env...)
	s.child.Stderr = &s.said
	s.child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // who breaks off a run should find no servers left over
	if err := on(k.cpus, s.child.Start); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline) && !s.Ended(); time.Sleep(10 * time.Millisecond) {
		stats, err := s.Stats()
		if err != nil {
			if k.command != nil && s.serves() {
				return s, nil
			}
			continue
		}
		if stats["pid"] != strconv.Itoa(s.PID()) {
			s.Stop()
			return nil, fmt.Errorf("on port %s answers pid %s, not our child %d", port, stats["pid"], s.PID())
		}
		s.version = stats["version"]
		return s, nil
	}
	s.Stop()
	return nil, fmt.Errorf("%s does not serve: %s", k.Name, strings.TrimSpace(s.said.String()))
}

func (s *Server) PID() int     { return s.child.Process.Pid }
func (s *Server) Addr() string { return "127.0.0.1:" + s.Port }

// Stop asks the server to end, and ends it when it does not.
func (s *Server) Stop() {
	s.spent, _ = s.Usage()
	_ = s.child.Process.Signal(os.Interrupt)
	impatience := time.AfterFunc(stopWithin, func() { _ = s.child.Process.Kill() })
	defer impatience.Stop()
	_ = s.child.Wait()
}

// Kill ends it at once, wherever it is.
func (s *Server) Kill() {
	_ = s.child.Process.Kill()
	_ = s.child.Wait()
}

// Signal sends one.
func (s *Server) Signal(sig os.Signal) error { return s.child.Process.Signal(sig) }

// Ended tells whether it has ended by itself. It is not reaped: that is Stop's or Wait's.
func (s *Server) Ended() bool {
	var info unix.Siginfo
	const look = unix.WEXITED | unix.WNOHANG | unix.WNOWAIT
	err := unix.Waitid(unix.P_PID, s.PID(), &info, look, nil)
	return err != nil || info.Signo != 0
}

// Wait is until it has ended, and not longer than within: then it is killed. The code is -1 if a signal ended it.
func (s *Server) Wait(within time.Duration) (code int) {
	impatience := time.AfterFunc(within, func() { _ = s.child.Process.Kill() })
	defer impatience.Stop()
	_ = s.child.Wait()
	return s.child.ProcessState.ExitCode()
}

func (s *Server) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: time.Second}
	if s.tls != nil {
		return tls.DialWithDialer(d, "tcp", s.Addr(), s.tls)
	}
	return d.Dial("tcp", s.Addr())
}

// Stats is what the server says of itself.
func (s *Server) Stats() (map[string]string, error) { return s.StatsOf("") }

// StatsOf is what it says to stats with an argument.
func (s *Server) StatsOf(what string) (map[string]string, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "stats %s\r\n", what)
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

// Ask says a command, on a connection of its own, and hears the first line of the answer.
func (s *Server) Ask(command string) (line string, err error) {
	conn, err := s.dial()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err = bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

// Commands is how many the server has served, by its own count. Keys, to be exact: of a multiget each counts.
func (s *Server) Commands() (total float64, err error) {
	stats, err := s.Stats()
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

// Usage is what the server has cost so far.
func (s *Server) Usage() (proc.Usage, error) { return proc.Read(s.PID()) }

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
