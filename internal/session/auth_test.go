package session

import (
	"bytes"
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
			p := Passwords{}
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
		p := Passwords{}
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
