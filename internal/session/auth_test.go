package session

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
			p.store(accounts)
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
	for _, text := range []string{"foo:", "a:b\nfoo:", "foo:\r"} { // memcached takes these
		if _, err := parseAccounts([]byte(text)); err != errNoPassword {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func (p *Passwords) admitsAll(who ...string) bool {
	for _, w := range who {
		user, password, _ := strings.Cut(w, ":")
		if !p.admits(newAccount([]byte(user), []byte(password))) {
			return false
		}
	}
	return true
}

// Whatever part of a new password file is there and stays, a reload takes the whole lines of it or
// leaves what was in force.
func TestHalfAPasswordFileIsRefused(t *testing.T) {
	const before, after = "alice:old\nbob:old\n", "alice:s3cret\nbob:pass:word\n"
	for cut := range len(after) + 1 {
		p := Passwords{}
		if err := p.take([]byte(before)); err != nil {
			t.Fatal(err)
		}
		err := p.take([]byte(after[:cut]))
		whole := cut > 0 && after[cut-1] == '\n'
		if (err == nil) != whole {
			t.Errorf("%q: %v", after[:cut], err)
		}
		if !whole && !p.admitsAll("alice:old", "bob:old") {
			t.Errorf("%q: the old accounts are gone", after[:cut])
		}
		for n := range len("s3cret") {
			if p.admitsAll("alice:" + "s3cret"[:n]) {
				t.Errorf("%q admits alice with %q", after[:cut], "s3cret"[:n])
			}
		}
	}
	// A file that never had a line end at its end has none in future either. A start knows nothing
	// of the past.
	p := Passwords{}
	for _, text := range []string{"foo:old", "foo:new", "foo:newer\n"} {
		if err := p.take([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A reload waits for who is writing the file, even if there are only whole lines at any time.
func TestReloadWaitsForTheWriter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	// A change is always recent, however long this takes: the file's time is in the future.
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil { // in place
			t.Fatal(err)
		}
		future := time.Now().Add(time.Hour)
		if err := os.Chtimes(file, future, future); err != nil {
			t.Fatal(err)
		}
	}
	looks := 0
	load := func() *Passwords {
		t.Helper()
		write("alice:old\nbob:old\n")
		looks = 0
		p := &Passwords{file: file, sleep: func(time.Duration) { looks++ }}
		if err := p.Reload(); err != nil || looks != fileStill {
			t.Fatalf("%v, after %d looks", err, looks)
		}
		return p
	}
	t.Run("until he has done", func(t *testing.T) {
		p := load()
		steps := []string{"", "alice:new\n", "alice:new\nbob", "alice:new\nbob:new\n"}
		write(steps[0])
		looks = 0
		p.sleep = func(time.Duration) {
			looks++
			if step := looks / (fileStill / 2); looks%(fileStill/2) == 0 && step < len(steps) {
				write(steps[step])
			}
			if !p.admitsAll("alice:old", "bob:old") {
				t.Fatal("half of the file is in force")
			}
		}
		if err := p.Reload(); err != nil || !p.admitsAll("alice:new", "bob:new") || p.admitsAll("alice:old") {
			t.Errorf("%v after %d looks: not the new accounts", err, looks)
		}
	})
	t.Run("but not for ever", func(t *testing.T) {
		p := load()
		looks = 0
		p.sleep = func(time.Duration) {
			looks++
			write(strings.Repeat("alice:new\n", 1+looks%2))
		}
		err := p.Reload()
		want := "Authfile [" + file + "] is being written at present; the old passwords stay in force"
		if err == nil || err.Error() != want || !p.admitsAll("alice:old", "bob:old") {
			t.Errorf("%v, after %d looks", err, looks)
		}
	})
	t.Run("and not when he has been gone for long", func(t *testing.T) {
		p := load()
		write("alice:new\n")
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(file, past, past); err != nil {
			t.Fatal(err)
		}
		p.sleep = func(time.Duration) { t.Error("it waits") }
		if err := p.Reload(); err != nil || !p.admitsAll("alice:new") {
			t.Error(err)
		}
	})
}

// A start has nothing to stay with: it takes what ends with a line end without a look more, and waits
// longer than a reload for a file that does not.
func TestAStartIsPatient(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(time.Hour) // recent, however long this takes
		if err := os.Chtimes(file, future, future); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name  string
		text  func(look int) string
		looks int // until it is done
		err   error
	}{
		{"a whole file", func(int) string { return "alice:s3cret\n" }, 0, nil},
		{"no last line end", func(int) string { return "alice:s3cret" }, fileStill, nil},
		{"a writer that takes his time", func(look int) string {
			if look <= 3*fileLooks {
				return "alice:s3cret"[:6+look%6]
			}
			return "alice:s3cret\n"
		}, 3*fileLooks + 1, nil},
		{"one that never ends", func(look int) string { return "alice:s3cret"[:6+look%6] }, startLooks, errBusy},
	} {
		t.Run(row.name, func(t *testing.T) {
			write(row.text(0))
			looks := 0
			p := &Passwords{file: file, sleep: func(time.Duration) { looks++; write(row.text(looks)) }}
			if row.name == "no last line end" {
				p.sleep = func(time.Duration) { looks++ }
			}
			if err := p.read(startLooks, true); !errors.Is(err, row.err) || looks != row.looks {
				t.Errorf("%v, after %d looks", err, looks)
			}
			if row.err == nil && (!p.admitsAll("alice:s3cret") || p.admitsAll("alice:")) {
				t.Error("these are not the accounts")
			}
		})
	}
}

// A pipe can be read once, and its end is the end.
func TestPasswordsFromAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("foo:bar"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p, err := LoadPasswords(fmt.Sprintf("/dev/fd/%d", r.Fd()), nil)
	if err != nil || !p.admitsAll("foo:bar") {
		t.Error(err)
	}
}

// FuzzPasswordFile: whatever stands in the file, whom it admits has a line in it; and so it is
// after a reload that finds any part of its beginning, if its last line ends.
func FuzzPasswordFile(f *testing.F) {
	f.Add([]byte("foo:bar\nbaaaz:quux\n"), "foo", "bar", uint(4))
	f.Add([]byte("foo:a:b\r\n:\n\x00"), "foo", "a:b", uint(6))
	f.Fuzz(func(t *testing.T, text []byte, user, password string, cut uint) {
		p := Passwords{}
		err := p.take(text)
		if accounts := p.accounts.Load(); (err == nil) != (accounts != nil) || err == nil && (len(*accounts) == 0 || len(*accounts) > accountsMax) {
			t.Fatalf("%v, %v", accounts, err)
		}
		if err != nil {
			return
		}
		who := newAccount([]byte(user), []byte(password))
		admitted := p.admits(who)
		if p.ends {
			_ = p.take(text[:cut%uint(len(text)+1)]) // refused or not
			admitted = admitted || p.admits(who)
		}
		if !admitted {
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
