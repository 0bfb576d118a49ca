package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whom memcached 1.6.45 lets in on a host that is called h, and bob, whom it does not.
func TestRealmFiles(t *testing.T) {
	text := "bob:secret\nann@h:pw\r\nnocolon\n\n:nobody\nempty@h:\nx@h:a:b:c\nann@h:second\nr@other:pw\n@h:pw\nnul@h:a\x00b\n" +
		"long@h:" + strings.Repeat("p", realmLineMax) + "\n" + strings.Repeat("many@h:pw\n", 20) + "last@h:pw"
	p := Passwords{realm: "@h"}
	accounts, err := p.parseRealm([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p.store(accounts)
	for who, want := range map[string]bool{
		"bob secret": true, "bob@h secret": true, "bob@other secret": false,
		"ann pw": true, "ann@h pw": true, "ann second": true, "ann pw\r": false, "ann@other pw": false,
		"x a": true, "x a:b": true, "x a:b:c": true, "x a:": false, "x b": false,
		"r@other pw": true, "r pw": false, "r@h pw": false,
		"last pw": true, "many pw": true,
		" pw": false, " nobody": false, "empty ": false, "nocolon ": false, " ": false, "nul a": false,
		"long " + strings.Repeat("p", realmLineMax): false,
	} {
		user, password, _ := strings.Cut(who, " ")
		if got := p.admits(newAccount([]byte(user), []byte(password))); got != want {
			t.Errorf("%.30q: admitted %v", who, got)
		}
	}
	if _, err := p.parseRealm([]byte("nobody\n")); err != errMalformed {
		t.Errorf("no account: %v", err)
	}
}

// Such a file is read again like the other one.
func TestARealmIsReloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pwdb")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bob:old\n")
	p, err := LoadRealm(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	write("bob:new\n")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if p.admits(newAccount([]byte("bob"), []byte("old"))) || !p.admits(newAccount([]byte("bob"), []byte("new"))) {
		t.Error("the old password is in force")
	}
	if _, err := LoadRealm(file+".not", nil); err == nil || !strings.HasPrefix(err.Error(), "Could not open authfile [") {
		t.Errorf("a file that is not there: %v", err)
	}
}
