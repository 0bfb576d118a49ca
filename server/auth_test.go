package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
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
