package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketOptionsOfAcceptedConnections(t *testing.T) {
	h := start(t, options{})
	fd := dial(t, h).served().fd
	for name, option := range map[string][2]int{
		"SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		"TCP_NODELAY":  {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		if on, err := unix.GetsockoptInt(fd, option[0], option[1]); err != nil || on == 0 {
			t.Errorf("%s is %d, %v", name, on, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	h := start(t, options{unix: true, mask: 0o770})
	info, err := os.Stat(h.conns.opts.UnixSocket)
	if err != nil || info.Mode().Perm() != 0o770 {
		t.Errorf("mode %v, %v; want 0770", info.Mode(), err)
	}
	c := dial(t, h)
	c.say("set k 0 0 1\r\nx\r\nget k\r\n")
	c.hear("STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
}

// What stands at the socket's path is removed only if it is a socket that a dead server left.
func TestUnixSocketPathIsTaken(t *testing.T) {
	dir := t.TempDir()
	inDir := filepath.Join(dir, "precious", "file")
	if err := os.MkdirAll(filepath.Dir(inDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inDir, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(inDir), inDir} {
		if open, err := Listen(ListenOptions{Unix: path, UnixMask: 0o700, Backlog: 1}); err == nil {
			CloseAll(open)
			t.Errorf("listens at %s", path)
		}
	}
	if _, err := os.Stat(inDir); err != nil {
		t.Error(err)
	}
	stale := filepath.Join(dir, "stale")
	for range 2 { // the second finds the file of the first, which stays as memcached's does
		open, err := Listen(ListenOptions{Unix: stale, UnixMask: 0o700, Backlog: 1})
		if err != nil {
			t.Fatal(err)
		}
		CloseAll(open)
		if _, err := os.Lstat(stale); err != nil {
			t.Error(err)
		}
	}
}

// memcached's -l 0.0.0.0 is IPv4 alone, so that -l 0.0.0.0,:: are two listeners.
func TestEveryFamilyHasItsListener(t *testing.T) {
	four, err := Listen(ListenOptions{TCP: []Address{{Addr: "0.0.0.0:0"}}, Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(four)
	port := four[0].Addr().(*net.TCPAddr).Port
	six, err := Listen(ListenOptions{TCP: []Address{{Addr: fmt.Sprintf("[::]:%d", port)}}, Backlog: 1})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Skip("no IPv6 on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	CloseAll(six)
}

// Every address is listened on, or none.
func TestAnAddressInUseLeavesNothingBehind(t *testing.T) {
	taken, err := Listen(ListenOptions{TCP: []Address{{Addr: "127.0.0.1:0"}}, Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(taken)
	before := openFiles(t)
	_, err = Listen(ListenOptions{TCP: []Address{{Addr: "127.0.0.1:0"}, {Addr: taken[0].Addr().String()}}, Backlog: 1})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a taken address: %v", err)
	}
	eventually(t, "nothing stays open", func() bool { return openFiles(t) <= before })
}
