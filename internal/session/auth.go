package session

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// Authentication by password (-Y), memcached's way: the first thing a client says is a set whose
// value is "user password". Its key, flags and exptime do not matter. Until that has succeeded
// nothing else is understood.
//
//	> set auth 0 0 11
//	> alice s3cret
//	< STORED

// Limits of the password file and of the dialogue. Source: memcached's authfile.c and proto_text.c.
const (
	accountsMax    = 8        // accounts in a file; further lines do not count
	accountLineMax = 255      // bytes of a line
	loginLineMin   = 6        // bytes of a command line without its LF: no login is shorter
	tokenMax       = 16 << 10 // bytes of "user password"
)

// account is who may enter: a digest with a salt that the process draws at its start. Nobody else
// can make one, so the time that it takes to look for it tells nothing, not even a length.
type account [sha256.Size]byte

var salt = func() (s [32]byte) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}()

func newAccount(user, password []byte) (a account) {
	h := sha256.New()
	h.Write(salt[:])
	h.Write(user)
	h.Write([]byte{0}) // in neither of them
	h.Write(password)
	return account(h.Sum(a[:0]))
}

// Passwords are the accounts of a password file, as last read.
type Passwords struct {
	file     string
	realm    string // "@" and the host's name, if it is a file of a realm (realm.go)
	accounts atomic.Pointer[map[account]struct{}]

	reading sync.Mutex // one at a time reads the file
	ends    bool       // its last line ended, when it was good
	more    bool       // it has accounts that do not count
	sleep   func(time.Duration)
}

// LoadPasswords reads a password file: a line "user:password" each, of at most 255 bytes, 8 at
// most. It waits for somebody who is writing it, up to five seconds, or until cancel is closed.
func LoadPasswords(file string, cancel <-chan struct{}) (*Passwords, error) {
	return loadPasswords(file, "", cancel)
}

func loadPasswords(file, realm string, cancel <-chan struct{}) (*Passwords, error) {
	p := &Passwords{file: file, realm: realm, sleep: func(d time.Duration) {
		select {
		case <-cancel:
		case <-time.After(d):
		}
	}}
	err := p.read(startLooks, true)
	p.sleep = time.Sleep
	return p, err
}

// admits tells whether one of the accounts is this one.
func (p *Passwords) admits(who account) bool {
	_, ok := (*p.accounts.Load())[who]
	return ok
}

// admits tells whether somebody may come in. Without passwords nobody may.
func (e *Env) admits(user, password []byte) bool {
	return e.Passwords != nil && e.Passwords.admits(newAccount(user, password))
}

// Warning tells what somebody who wrote the file may not know; "" is nothing.
func (p *Passwords) Warning() string {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.more {
		return fmt.Sprintf("only the first %d users in %s count", accountsMax, p.file)
	}
	return ""
}

// sayDenied logs, at -v, that a login has failed.
func (e *Env) sayDenied(user []byte) {
	e.Say(Denied, "refused a login as %.64q: there is no such user, or another password\n", user)
}

// Reload reads the file again, whole or not at all: it waits for somebody who is writing it, up to
// a second. When that fails, or the file is no password file, the accounts stay as they were.
func (p *Passwords) Reload() error {
	if err := p.read(fileLooks, false); err != nil {
		return fmt.Errorf("%w; the old passwords stay in force", err)
	}
	return nil
}

func (p *Passwords) read(looks int, start bool) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	text, err := readWhole(p.file, p.sleep, looks, start)
	if err != nil {
		return &AuthFileError{p.file, err}
	}
	if err := p.take(text); err != nil {
		return &AuthFileError{p.file, err}
	}
	return nil
}

// take lets a file's text be in force, if it is that of a password file.
func (p *Passwords) take(text []byte) error {
	parse := parseAccounts
	if p.realm != "" {
		parse = p.parseRealm
	}
	accounts, err := parse(text)
	if err != nil {
		return err
	}
	ends := bytes.HasSuffix(text, []byte("\n"))
	if p.ends && !ends {
		return errCutOff
	}
	p.store(accounts)
	p.ends = ends
	p.more = p.realm == "" && len(bytes.Split(bytes.TrimSpace(text), []byte("\n"))) > accountsMax
	return nil
}

func (p *Passwords) store(accounts []account) {
	set := make(map[account]struct{}, len(accounts))
	for _, a := range accounts {
		set[a] = struct{}{}
	}
	p.accounts.Store(&set)
}

// AuthFileError is why a password file cannot be used. Its text is memcached's.
type AuthFileError struct {
	File string
	Err  error // of reading it, or what is wrong with it
}

func (e *AuthFileError) Error() string {
	switch e.Err {
	case errMalformed, errLongEntry, errNoPassword, errCutOff, errBusy:
		return fmt.Sprintf("Authfile [%s] %s", e.File, e.Err)
	}
	reason := e.Err
	var path *os.PathError
	if errors.As(reason, &path) {
		reason = path.Err // without the name of the file once more
	}
	return fmt.Sprintf("Could not open authfile [%s] for reading, error %s", e.File, reason)
}

func (e *AuthFileError) Unwrap() error { return e.Err }

var (
	errMalformed = errors.New("has a malformed entry. Should be 'user:password'")
	errLongEntry = errors.New("has an entry of more than " + strconv.Itoa(accountLineMax) + " bytes")

	// memcached takes these two:
	errNoPassword = errors.New("ends with an entry that has neither a password nor a line end")
	errCutOff     = errors.New("has a last line that does not end, as it did before: it is taken for half written")
)

// parseAccounts reads a password file, up to the limit of accounts. A line is user:password; the
// password may have colons and blanks and may be empty, so may the user, and a CR ends the line
// too. The last line need not end, unless its password is empty. A file without any account is a
// mistake.
func parseAccounts(text []byte) (accounts []account, err error) {
	for line := range bytes.Lines(text) {
		if len(accounts) == accountsMax {
			break
		}
		line, ends := bytes.CutSuffix(line, []byte("\n"))
		line, _, _ = bytes.Cut(line, []byte("\r"))
		user, password, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok || bytes.IndexByte(line, 0) >= 0:
			return nil, errMalformed
		case len(line) > accountLineMax:
			return nil, errLongEntry
		case len(password) == 0 && !ends:
			return nil, errNoPassword
		}
		accounts = append(accounts, newAccount(user, password))
	}
	if len(accounts) == 0 {
		return nil, errMalformed
	}
	return accounts, nil
}

// login takes the line of a set, or refuses. It consumes nothing past the line's end.
func (s *Session) login(in []byte) (consumed int, _ Verdict) {
	end := bytes.IndexByte(in, '\n')
	if end < 0 {
		s.line = append(s.line, in[:min(len(in), lineMax+1)]...)
		if len(s.line) > lineMax {
			s.breach = NoLogin
			return len(in), HangUp
		}
		return len(in), Idle
	}
	line := append(s.line, in[:end]...)
	s.line = nil
	if len(line) < loginLineMin {
		s.breach = NoLogin
		return end + 1, HangUp
	}
	n, ok := protocol.ParseLogin(line)
	switch {
	case !ok:
		s.refuse(false, protocol.Unauthenticated)
	case n > tokenMax:
		s.refuse(false, protocol.TokenTooLong)
	default:
		s.state, s.want = StateToken, n+len(lineEnd)
	}
	return end + 1, Idle
}

// token gathers "user password" and its line end, and lets the client in or not.
func (s *Session) token(in []byte) (consumed int) {
	if s.wire == Binary {
		return s.gatherMessage(in)
	}
	in = in[:min(len(in), s.want)]
	s.want -= len(in)
	if s.want > 0 {
		s.line = append(s.line, in...)
		return len(in)
	}
	text := append(s.line, in...)
	s.line = nil
	s.state = StateLogin
	if !endsLine(text) {
		s.refuse(false, protocol.BadTermination)
		return len(in)
	}
	user, password, ok := bytes.Cut(text[:len(text)-len(lineEnd)], []byte(" "))
	if !ok {
		s.refuse(false, protocol.BadTokenFormat)
		return len(in)
	}
	s.w.Counters.Add(stats.AuthCmds, 1)
	if !s.w.env.admits(user, password) {
		s.w.env.sayDenied(user)
		s.w.Counters.Add(stats.AuthErrors, 1)
		s.refuse(false, protocol.AuthFailure)
		return len(in)
	}
	s.state, s.admitted = StateCommand, true
	s.reply(false, protocol.Stored)
	return len(in)
}
