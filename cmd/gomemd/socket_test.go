package main

import (
	"bufio"
	"net"
	"syscall"
	"testing"
	"time"
)

// talkOnSocket talks to whoever listens, as soon as there is room.
func (p *process) talkOnSocket(t *testing.T, socket string) *talk {
	t.Helper()
	var c net.Conn
	p.waitFor(t, "a connection", func() bool {
		var err error
		c, err = net.Dial("unix", socket)
		return err == nil
	})
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &talk{t, c, bufio.NewReader(c)}
}

// second starts another server on a server's unix socket, and wants it to be refused.
func (p *process) second(t *testing.T) {
	t.Helper()
	code, _, said := tryFor(t, 20*time.Second, gomemd(t), asUser([]string{"-s", p.path("socket")})...)
	want := "failed to listen on UNIX socket: " + p.path("socket") + ": Address already in use\n"
	if code != exOSErr || said != want {
		t.Errorf("exit %d, %q; want %d, %q", code, said, exOSErr, want)
	}
}

// The unix socket of a server that lives is not taken away from it, even if it stands still, with
// room for clients to wait or without. That of one that was killed is replaced.
func TestUnixSocketOfAnotherServer(t *testing.T) {
	t.Parallel()
	p := launch(t, []string{"-s", "{dir}/socket", "-b", "1"})
	p.talkOnSocket(t, p.path("socket")).ask("set k 0 0 1\r\nx\r\n", "STORED\r\n")
	p.second(t)
	p.talkOnSocket(t, p.path("socket")).ask("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n")

	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 4 { // more than can wait
		p.second(t)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.talkOnSocket(t, p.path("socket")).ask("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n")

	_ = p.Process.Kill()
	<-p.ended
	if !exists(p.path("socket")) {
		t.Fatal("the killed server's socket is gone: this shows nothing")
	}
	after := prepare(t, gomemd(t), []string{"-s", p.path("socket")})
	if err := after.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { after.ended <- after.Wait() }()
	t.Cleanup(func() { _ = after.Process.Kill() })
	after.talkOnSocket(t, p.path("socket")).ask("get k\r\n", "END\r\n")
	after.endsOn(t, syscall.SIGTERM)
}

// A socket on which somebody waits for something else than clients is in use, too.
func TestUnixSocketOfAnotherKind(t *testing.T) {
	t.Parallel()
	p := prepare(t, gomemd(t), nil)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.path("socket"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p.second(t)
	if !exists(p.path("socket")) {
		t.Error("it is gone")
	}
}
