package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A server that is started with a memory file is there for its clients at once: who connects while the file is read waits for the
// end of that, is not refused, and hears of no miss that is none. The port file is written when all is read, so whatever was said
// before it is there was said while the file was being read.
func TestClientsWaitWhileAMemoryFileIsRead(t *testing.T) {
	t.Parallel()
	const items = 700_000 // one processor reads them for a good while
	const clients = 8
	dir := memoryDir(t)
	args := func() []string {
		return with("-m", "64", "-e", filepath.Join(dir, "items"), "-s", filepath.Join(dir, "socket"))
	}
	p := launch(t, args())
	c := p.talk(t)
	out := bufio.NewWriterSize(c, 1<<16)
	for i := range items {
		fmt.Fprintf(out, "set key-%012d 0 0 8 noreply\r\n%08d\r\n", i, i)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	c.ask("mn\r\n", "MN\r\n")

	for try := 1; ; try++ {
		_ = p.Process.Kill()
		<-p.ended
		if err := os.Remove(filepath.Join(dir, "socket")); err != nil {
			t.Fatal(err)
		}
		p = prepare(t, gomemd(t), args())
		p.Env = append(p.Env, "GOMAXPROCS=1")
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { p.ended <- p.Wait() }()
		t.Cleanup(func() { _ = p.Process.Kill() })
		var waiting [clients]*talk
		for i := range waiting {
			var conn net.Conn
			p.waitFor(t, "a listener", func() bool {
				var err error
				conn, err = net.Dial("unix", filepath.Join(dir, "socket"))
				return err == nil
			})
			t.Cleanup(func() { _ = conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			waiting[i] = &talk{t, conn, bufio.NewReader(conn)}
			// Keys from all over the file, and one that gets a new value before the old one has been read.
			fmt.Fprintf(conn, "get key-%012d\r\nset key-%012d 0 0 5\r\ntry %d\r\n", i*(items-1)/(clients-1), i*1000+1, try)
		}
		early := !exists(p.path("ports"))
		for i, c := range waiting {
			n := i * (items - 1) / (clients - 1)
			c.ask("", fmt.Sprintf("VALUE key-%012d 0 8\r\n%08d\r\nEND\r\nSTORED\r\n", n, n))
		}
		for i, c := range waiting {
			c.ask(fmt.Sprintf("get key-%012d\r\n", i*1000+1), fmt.Sprintf("VALUE key-%012d 0 5\r\ntry %d\r\nEND\r\n", i*1000+1, try))
		}
		p.waitFor(t, "the port file", func() bool { return exists(p.path("ports")) })
		if early {
			break
		}
		if try == 20 {
			t.Fatal("twenty times the file was read before anybody could ask: this shows nothing")
		}
	}
	p.port = firstPort(t, p.path("ports"))
	if n := stat(t, "tcp", p.tcp(), "curr_items"); n != fmt.Sprint(items) {
		t.Errorf("%s items, want %d", n, items)
	}
}

// memoryDir is a directory in memory, if there is one with room for a file of -m 64.
func memoryDir(t *testing.T) string {
	var shm unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &shm); err != nil || shm.Bavail*uint64(shm.Bsize) < 200<<20 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "gomemd-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A start that waits for another server to leave the memory file ends in order when it is told to,
// and the other one keeps its items. Its unix socket is there before it waits, so whoever can
// connect to that finds it waiting, or about to.
func TestSignalsEndAStartThatWaits(t *testing.T) {
	t.Parallel()
	file := filepath.Join(memoryDir(t), "items")
	first := launch(t, with("-m", "16", "-e", file))
	c := first.talk(t)
	c.ask("set k 0 0 1\r\nx\r\n", "STORED\r\n")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		p := prepare(t, gomemd(t), []string{"-m", "16", "-e", file, "-s", "{dir}/socket"})
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { p.ended <- p.Wait() }()
		t.Cleanup(func() { _ = p.Process.Kill() })
		p.waitFor(t, "a listener", func() bool {
			conn, err := net.Dial("unix", p.path("socket"))
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		})
		p.endsOn(t, sig)
		if p.said() != "" {
			t.Errorf("%s: said %q", sig, p.said())
		}
	}
	c.ask("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n")
}
