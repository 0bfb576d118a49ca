package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What memcached 1.6.45 takes for a password file.
func TestPasswordFiles(t *testing.T) {
	long := strings.Repeat("p", accountLineMax-len("u:"))
	for _, tt := range []struct {
		name, text string
		accounts   []string // user, blank, password; nil: refused
	}{
		{"two", "foo:bar\nbaaaz:quux\n", []string{"foo bar", "baaaz quux"}},
		{"no newline at the end", "foo:bar", []string{"foo bar"}},
		{"CRLF", "foo:bar\r\nbaaaz:quux\r\n", []string{"foo bar", "baaaz quux"}},
		{"a password of several words", "foo:carpe diem\n", []string{"foo carpe diem"}},
		{"a password with a colon", "foo:a:b\n", []string{"foo a:b"}},
		{"no password", "foo:\n", []string{"foo "}},
		{"no user", ":bar\n", []string{" bar"}},
		{"a user with two passwords", "foo:old\nfoo:new\n", []string{"foo old", "foo new"}},
		{"as long as may be", "u:" + long + "\n", []string{"u " + long}},
		{"eight count", strings.Repeat("a:b\n", 8) + "i:j\nwhatever\n", []string{"a b"}},
		{"nothing", "", nil},
		{"an empty line", "\n", nil},
		{"an empty line between", "a:b\n\nc:d\n", nil},
		{"an empty line at the end", "a:b\n\n", nil},
		{"no colon", "foo\n", nil},
		{"a colon after the CR", "foo\r:bar\n", nil},
		{"a NUL", "foo:b\x00r\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			accounts, err := parseAccounts([]byte(tt.text))
			if tt.accounts == nil {
				if err != errMalformed {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := passwords{}
			p.accounts.Store(&accounts)
			for _, who := range tt.accounts {
				user, password, _ := strings.Cut(who, " ")
				if !p.admits(newAccount([]byte(user), []byte(password))) {
					t.Errorf("%q is not admitted", who)
				}
			}
			if p.admits(newAccount([]byte("i"), []byte("j"))) || p.admits(newAccount(nil, nil)) {
				t.Error("somebody else is admitted")
			}
		})
	}
	if _, err := parseAccounts([]byte("u:" + long + "p")); err != errLongEntry {
		t.Errorf("an entry that is too long: %v", err)
	}
}

// FuzzPasswordFile: whatever stands in the file, whom it admits has a line in it.
func FuzzPasswordFile(f *testing.F) {
	f.Add([]byte("foo:bar\nbaaaz:quux\n"), "foo", "bar")
	f.Add([]byte("foo:a:b\r\n:\n\x00"), "foo", "a:b")
	f.Fuzz(func(t *testing.T, text []byte, user, password string) {
		accounts, err := parseAccounts(text)
		if (err == nil) != (len(accounts) > 0) || len(accounts) > accountsMax {
			t.Fatalf("%d accounts, %v", len(accounts), err)
		}
		p := passwords{}
		p.accounts.Store(&accounts)
		if !p.admits(newAccount([]byte(user), []byte(password))) {
			return
		}
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			line, _, _ = bytes.Cut(line, []byte("\r"))
			if string(line) == user+":"+password {
				return
			}
		}
		t.Errorf("%q admits %q with %q", text, user, password)
	})
}

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

func TestStartRefusesABadPasswordFile(t *testing.T) {
	for _, file := range []string{passwordFile(t, "nonsense"), "/nonexistent", t.TempDir()} {
		var bad *AuthFileError
		if _, err := Start(Options{Listen: []string{"127.0.0.1:0"}, AuthFile: file}); !errors.As(err, &bad) || bad.File != file {
			t.Errorf("%s: %v", file, err)
		}
	}
}
