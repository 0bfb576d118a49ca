package session

import (
	"bytes"
	"os"
)

// realmLineMax is how long a line of such a file may be. Source: memcached's sasl_defs.c,
// MAX_ENTRY_LEN.
const realmLineMax = 255

// LoadRealm reads a file as the one that MEMCACHED_SASL_PWDB names to memcached, and waits as
// [LoadPasswords] does: a line "user@realm:password" each. Unlike memcached it does not read the
// file for each login, but for [Passwords.Reload].
func LoadRealm(file string, cancel <-chan struct{}) (*Passwords, error) {
	host, _ := os.Hostname() // without a name there is no realm, as with memcached
	return loadPasswords(file, "@"+host, cancel)
}

// parseRealm reads such a file. What is no entry is passed over. There is no limit on how many there
// are, but one at least must be.
//
//	user            is in the host's realm, and may log in with the realm's name or without
//	                (memcached lets nobody in by a line without a realm)
//	user@host       the same
//	user@other      logs in with this name
//	password        ends with the line; what is before a colon in it is a password, too
func (p *Passwords) parseRealm(text []byte) (accounts []account, _ error) {
	at, long := []byte(p.realm), false
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		user, password, ok := bytes.Cut(line, []byte(":"))
		if len(line) > realmLineMax {
			long = true
			continue
		}
		if !ok || len(user) == 0 || len(password) == 0 || bytes.IndexByte(line, 0) >= 0 {
			continue
		}
		names := [][]byte{user}
		if short, here := bytes.CutSuffix(user, at); here && len(short) > 0 {
			names = append(names, short)
		} else if bytes.IndexByte(user, '@') < 0 {
			names = append(names, append(bytes.Clone(user), at...))
		}
		for end := 1; end <= len(password); end++ {
			if end < len(password) && password[end] != ':' {
				continue
			}
			for _, name := range names {
				accounts = append(accounts, newAccount(name, password[:end]))
			}
		}
	}
	switch {
	case len(accounts) > 0:
	case long:
		return nil, errLongEntry
	default:
		return nil, errMalformed
	}
	return accounts, nil
}
