package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// login asks to be let in as alice, and tells whether that was granted.
func (c *talk) login(password string) bool {
	c.t.Helper()
	token := "alice " + password
	if _, err := fmt.Fprintf(c, "set auth 0 0 %d\r\n%s\r\n", len(token), token); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.r.ReadString('\n')
	if line != "STORED\r\n" && line != "CLIENT_ERROR authentication failure\r\n" {
		c.t.Fatalf("%q, %v", line, err)
	}
	return line == "STORED\r\n"
}

// A start takes a file that is written anew without pause, as soon as it is whole.
func TestAStartWhilePasswordsAreRewritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passwords")
	write := func() {
		if err := os.WriteFile(file, []byte("alice:s3cret\nbob:password\n"), 0o644); err != nil { // in place
			t.Error(err)
		}
	}
	write()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	t.Cleanup(func() { stop(); <-stopped })
	go func() {
		defer close(stopped)
		for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			write()
		}
	}()
	for range 3 {
		p := launch(t, with("-Y", file))
		if !p.talk(t).login("s3cret") || p.talk(t).login("") {
			t.Error("these are not the accounts")
		}
		p.endsOn(t, syscall.SIGTERM)
	}
}

// While the password file is written anew, in place and in pieces, and SIGHUP comes all the time,
// nobody gets in by what is there of a line, or by nothing; who has a password gets in. What could
// not be taken is said.
func TestPasswordsRewrittenInPlace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passwords")
	write := func(pieces ...string) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for _, piece := range pieces {
			if _, err := f.WriteString(piece); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Millisecond)
		}
	}
	write("alice:s3cret\n")
	p := launch(t, with("-Y", file))
	hangUp := func() {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	t.Cleanup(func() { stop(); <-stopped })
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			write("", "alice:", "s3c", "ret\nbob:", "pass", "word\n")
		}
	}()
	attempt := 0
	p.waitFor(t, "a complaint, and 40 attempts", func() bool {
		attempt++
		hangUp()
		for _, wrong := range []string{"", "s3c"} {
			if p.talk(t).login(wrong) {
				t.Errorf("alice gets in with %q", wrong)
			}
		}
		if !p.talk(t).login("s3cret") {
			t.Error("alice does not get in")
		}
		return attempt > 40 && strings.HasPrefix(p.said(), "Authfile ["+file+"] ")
	})
	stop()
	<-stopped

	write("alice:other\n")
	p.waitFor(t, "the new password", func() bool { hangUp(); return p.talk(t).login("other") })
	if p.talk(t).login("s3cret") {
		t.Error("the old one is still there")
	}
	p.endsOn(t, syscall.SIGTERM)
}
