package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/storage"
)

func passwordFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func login(user, password string) string {
	token := user + " " + password
	return fmt.Sprintf("set auth 0 0 %d\r\n%s\r\n", len(token), token)
}

func TestEveryListenerAsksForThePassword(t *testing.T) {
	file := passwordFile(t, "foo:bar\n")
	socket := filepath.Join(t.TempDir(), "s")
	for _, opts := range []Options{{AuthFile: file}, {AuthFile: file, UnixSocket: socket}} {
		c := dial(t, startServer(t, opts))
		c.say("get k\r\n" + login("foo", "baz"))
		c.hear("CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR authentication failure\r\n")
		c.say(login("foo", "bar") + "get k\r\n")
		c.hear("STORED\r\nEND\r\n")
		if cmds, errs := c.stat("auth_cmds"), c.stat("auth_errors"); cmds != "2" || errs != "1" {
			t.Errorf("auth_cmds %s, auth_errors %s", cmds, errs)
		}
	}
}

func TestReloadOfPasswords(t *testing.T) {
	file := passwordFile(t, "foo:old\n")
	srv := startServer(t, Options{AuthFile: file})
	inside := dial(t, srv)
	inside.say(login("foo", "old"))
	inside.hear("STORED\r\n")

	for _, step := range []struct{ text, old, new string }{
		{"foo:new\n", "CLIENT_ERROR authentication failure\r\n", "STORED\r\n"},
		{"nonsense\n", "CLIENT_ERROR authentication failure\r\n", "STORED\r\n"}, // what was read before stays
		{"foo:old\nfoo:new\n", "STORED\r\n", "STORED\r\n"},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *AuthFileError
		if err := srv.Reload(); errors.As(err, &bad) != (step.text == "nonsense\n") {
			t.Errorf("%q: %v", step.text, err)
		}
		for password, want := range map[string]string{"old": step.old, "new": step.new} {
			c := dial(t, srv)
			c.say(login("foo", password))
			c.hear(want)
		}
	}
	inside.say("get k\r\n")
	inside.hear("END\r\n")
}

// The password file is read before anybody can connect.
func TestPasswordsComeBeforeTheListener(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var bad *AuthFileError
	if _, err := Start(Options{Listen: []string{other.Addr().String()}, AuthFile: passwordFile(t, "nonsense\n")}); !errors.As(err, &bad) {
		t.Errorf("%v: it listens first", err)
	}
}

func TestStartRefusesABadPasswordFile(t *testing.T) {
	for _, file := range []string{passwordFile(t, "nonsense"), "/nonexistent", t.TempDir()} {
		var bad *AuthFileError
		if _, err := Start(Options{Listen: []string{"127.0.0.1:0"}, AuthFile: file}); !errors.As(err, &bad) || bad.File != file {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Whatever the options, the listener and the protocol: who has to log in is served nothing before
// that, and who has, or need not, is served where the protocol is spoken.
func TestWhoIsServedWhere(t *testing.T) {
	const secret = "nobody's business"
	file := passwordFile(t, "alice:s3cret\n")
	const text, packets = 1, 2
	gets := map[int]string{text: "get k\r\n", packets: request(0x0c, "", "k", "")}
	logins := map[int]map[string]string{
		text:    {"": "", "right": login("alice", "s3cret"), "wrong": login("alice", "guess")},
		packets: {"": "", "right": request(0x21, "", "PLAIN", "\x00alice\x00s3cret"), "wrong": request(0x21, "", "PLAIN", "\x00alice\x00guess")},
	}
	for name, row := range map[string]struct {
		opts      Options
		passwords bool
		spoken    int // where the listener says nothing else
	}{
		"nothing":       {Options{}, false, text | packets},
		"ascii":         {Options{Protocol: ASCII}, false, text},
		"binary":        {Options{Protocol: Binary}, false, packets},
		"-Y":            {Options{AuthFile: file}, true, text},
		"-S -Y":         {Options{AuthFile: file, SASL: true}, true, text | packets},
		"-S -B binary":  {Options{SASLFile: file, SASL: true, Protocol: Binary}, true, packets},
		"-S -Y ascii":   {Options{AuthFile: file, SASL: true, Protocol: ASCII}, true, text},
		"-Y, -B binary": {Options{AuthFile: file, Protocol: Binary}, true, text},
	} {
		listens := map[string]int{"": row.spoken, "proto[ascii]:": text, "proto[negotiating]:": text | packets, "proto[binary]:": packets}
		if row.passwords && !row.opts.SASL {
			listens["proto[negotiating]:"] = text
			delete(listens, "proto[binary]:") // is refused
		}
		for word, spoken := range listens {
			opts, encryption := row.opts, certificates(t, t.TempDir())
			opts.Listen = []string{"notls:" + word + "127.0.0.1:0", "btls:" + word + "127.0.0.1:0"}
			opts.TLS = &encryption
			if word == "" {
				opts.UnixSocket = filepath.Join(t.TempDir(), "s")
			}
			srv := startServer(t, opts)
			store(t, srv, "k", secret)
			for i, addr := range srv.Addrs() {
				for said, get := range gets {
					for password, login := range logins[said] {
						served := strings.Contains(saysAndHears(t, addr, i == 1, login+get), secret)
						if want := spoken&said != 0 && (password == "right" || !row.passwords); served != want && (row.passwords || password == "") {
							t.Errorf("%s, %q, %v: %q after login %q: served: %v", name, word, addr, get, password, served)
						}
					}
				}
			}
		}
	}
	if _, err := Start(Options{Listen: []string{"proto[binary]:127.0.0.1:0"}, AuthFile: file}); err == nil {
		t.Error("a listener for packets, who have no login, is opened")
	}
}

// store puts an item there without asking any listener.
func store(t *testing.T, srv *Server, key, value string) {
	t.Helper()
	item := storage.Item{Key: []byte(key), Value: []byte(value), Deadline: expiry.Never}
	if status := srv.store.Put(srv.store.Hash(item.Key), storage.Set, &item); status != storage.Stored {
		t.Fatal(status)
	}
}

// saysAndHears is all that a client hears who says a text and no more.
func saysAndHears(t *testing.T, addr net.Addr, encrypted bool, text string) string {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if encrypted {
		over := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := over.HandshakeContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		c = over
	}
	_, _ = io.WriteString(c, text)
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	heard, _ := io.ReadAll(c) // it may be cut off, which is one way not to be served
	return string(heard)
}
