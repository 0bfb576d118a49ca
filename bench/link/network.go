package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A network is a namespace at the far end of a link.
//
//	server, loopback, host ══ near ──── far ══ clients, relay
//	                          each lets out rate
type network struct {
	name, near, far string
	host            string // this side's address
	ns              *os.File
}

const (
	networkPrefix = "gomemd-link-"
	namespaces    = "/run/netns" // where ip keeps them
	burst         = 256 << 10    // bytes that the limiter lets by at once
)

// makeNetwork needs ip and tc. The addresses are of 198.18.0.0/15, which is for tests of networks.
func makeNetwork(rate int) (n *network, err error) {
	pid := os.Getpid()
	n = &network{
		name: fmt.Sprint(networkPrefix, pid),
		near: fmt.Sprintf("gl%da", pid), far: fmt.Sprintf("gl%db", pid),
		host: fmt.Sprintf("198.18.%d.%d", pid>>6&255, pid&63<<2+1),
	}
	there := fmt.Sprintf("198.18.%d.%d", pid>>6&255, pid&63<<2+2)
	limit := []string{"root", "tbf", "rate", fmt.Sprint(rate*8) + "bit",
		"burst", strconv.Itoa(burst), "latency", "50ms"}
	inside := func(words ...string) []string {
		return append([]string{"ip", "netns", "exec", n.name}, words...)
	}
	for _, words := range [][]string{
		{"ip", "netns", "add", n.name},
		{"ip", "link", "add", n.near, "mtu", "1500", "type", "veth",
			"peer", "name", n.far, "mtu", "1500", "netns", n.name},
		{"ip", "addr", "add", n.host + "/30", "dev", n.near},
		{"ip", "link", "set", n.near, "up"},
		inside("ip", "link", "set", "lo", "up"),
		inside("ip", "addr", "add", there+"/30", "dev", n.far),
		inside("ip", "link", "set", n.far, "up"),
		append([]string{"tc", "qdisc", "add", "dev", n.near}, limit...),
		inside(append([]string{"tc", "qdisc", "add", "dev", n.far}, limit...)...),
	} {
		if said, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return n, fmt.Errorf("%s: %w, %s", strings.Join(words, " "), err, oneLine(said))
		}
	}
	n.ns, err = os.Open(filepath.Join(namespaces, n.name))
	return n, err
}

func oneLine(said []byte) string { return strings.Join(strings.Fields(string(said)), " ") }

// remove takes the namespace away, and with it both interfaces, also when only half was made.
func (n *network) remove() {
	if n.ns != nil {
		_ = n.ns.Close()
	}
	removeNetwork(n.name, n.near)
}

// removeNetwork does not mind what is not there. A namespace whose last connections are still
// ending keeps its interface for a while: so that is removed by its name, too.
func removeNetwork(name, near string) {
	_ = exec.Command("ip", "link", "del", near).Run()
	_ = exec.Command("ip", "netns", "del", name).Run()
}

// sweepNetworks removes what processes have left that are no more.
func sweepNetworks() {
	found, _ := filepath.Glob(filepath.Join(namespaces, networkPrefix+"*"))
	for _, path := range found {
		name := filepath.Base(path)
		pid := strings.TrimPrefix(name, networkPrefix)
		if isGone(pid) {
			removeNetwork(name, "gl"+pid+"a")
		}
	}
}

func isGone(pid string) bool {
	_, err := os.Stat(filepath.Join("/proc", pid))
	return pid != "" && errors.Is(err, os.ErrNotExist)
}

// inside runs does in the namespace. A socket stays in the namespace in which it was made, so it is
// only the making that needs to be there; the thread comes back, or ends with its goroutine.
func (n *network) inside(does func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer home.Close()
			err = unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = does()
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}
		result <- err
	}()
	return <-result
}

// dial is field.Link's.
func (n *network) dial(d *net.Dialer, addr string) (conn net.Conn, err error) {
	err = n.inside(func() error {
		conn, err = d.Dial("tcp", addr)
		return err
	})
	return conn, err
}

func (n *network) listen() (l net.Listener, err error) {
	err = n.inside(func() error {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	return l, err
}
