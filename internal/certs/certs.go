// Package certs reads certificates and keys, and makes of them the TLS configurations that
// connections are served with. It reads them again when it is asked to. It knows no socket and does
// no handshake.
//
//	certs.go      Options, Source: what is in force, and how it is replaced
//	files.go      reading the files
//	ciphers.go    OpenSSL's cipher lists
//
// # Resumption
//
// Clients may resume their sessions by tickets, of TLS 1.2 and 1.3; package crypto/tls keeps no
// sessions, so who sends a session ID without a ticket has a full handshake. Each configuration has
// ticket keys of its own, which crypto/tls makes and rotates daily. So a ticket is good only for
// the listeners of the mode that it was given out for, and only until the next Reload. Beside that
// crypto/tls (checkForResumption) resumes no session without a client certificate where one is
// required, and none whose certificate has expired or does not lead to the current CA.
//
// # Locks
//
// Everything may be called from any goroutine. Config takes no lock; Reload takes a mutex while it
// reads files.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Verify is what is asked of clients, by memcached's numbers (-o ssl_verify_mode).
type Verify uint8

const (
	VerifyNone    Verify = iota // nothing
	VerifyRequest               // a certificate, which may be missing; one that is sent has to be good
	VerifyRequire               // a good certificate
	VerifyOnce                  // the same: TLS servers ask again only in a renegotiation, and there is none
)

// Format is how a key file is written, by OpenSSL's numbers (-o ssl_keyformat).
type Format uint8

const (
	PEM Format = 1
	DER Format = 2
)

// Options say which files to read, and what is spoken.
type Options struct {
	ChainFile string // PEM: the server's certificate, then those between it and its root
	KeyFile   string // the key to the first of them
	KeyFormat Format // 0: PEM
	CAFile    string // PEM: who signs the certificates of clients; "": nobody, so no certificate is good

	Verify     Verify
	MinVersion uint16 // tls.VersionTLS12 or tls.VersionTLS13; 0: tls.VersionTLS12
	Ciphers    string // of TLS 1.2, as OpenSSL writes lists; "": those that crypto/tls prefers
}

// Mode is what a listener asks of its clients.
type Mode uint8

const (
	ByOptions Mode = iota // as Options.Verify says
	Basic                 // no certificate
	Mutual                // a good certificate
	modes
)

// Source has the certificates in force.
type Source struct {
	opts   Options
	suites []uint16 // of Options.Ciphers; nil: crypto/tls chooses

	// NewSession, unless it is nil, is called for each session that a client may resume later. It is
	// set before the first handshake. Handshakes call it from their goroutines.
	NewSession func()

	reading sync.Mutex // held by who replaces what is in force
	current atomic.Pointer[certificates]
}

// certificates are what has been read together.
type certificates struct {
	configs [modes]*tls.Config
	read    time.Time
}

// Load reads the files. An error is a *CipherError, or names the file that is to blame, in the words
// of memcached.
func Load(opts Options) (*Source, error) {
	for _, name := range []*string{&opts.ChainFile, &opts.KeyFile, &opts.CAFile} {
		if abs, err := filepath.Abs(*name); err == nil && *name != "" {
			*name = abs // Reload finds it in another working directory too
		}
	}
	s := &Source{opts: opts}
	var err error
	if opts.Ciphers != "" {
		if s.suites, err = Ciphers(opts.Ciphers); err != nil {
			return nil, err
		}
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again. It replaces all that they say or nothing: after an error what was
// read before stays in force. Handshakes that have begun go on with what they began with. Sessions
// from before can not be resumed. It takes one attempt and does not wait for anybody who writes.
func (s *Source) Reload() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	cert, pool, err := s.opts.read()
	if err != nil {
		return err
	}
	next := &certificates{read: time.Now()}
	for mode := range modes {
		next.configs[mode] = s.config(cert, pool, s.opts.clientAuth(mode))
	}
	s.current.Store(next)
	return nil
}

// Config is what a handshake that begins now is to be made with. It costs nothing. It is shared:
// change nothing in it, and make no clone, which would have other ticket keys.
func (s *Source) Config(mode Mode) *tls.Config { return s.current.Load().configs[mode] }

// Refreshed is when the certificates in force were read.
func (s *Source) Refreshed() time.Time { return s.current.Load().read }

// Leaf is the server's own certificate in force.
func (s *Source) Leaf() *x509.Certificate { return s.Config(ByOptions).Certificates[0].Leaf }

// clientAuth is what a mode asks of clients, in Go's terms.
func (o *Options) clientAuth(mode Mode) tls.ClientAuthType {
	switch {
	case mode == Mutual, mode == ByOptions && o.Verify >= VerifyRequire:
		return tls.RequireAndVerifyClientCert
	case mode == ByOptions && o.Verify == VerifyRequest:
		return tls.VerifyClientCertIfGiven
	}
	return tls.NoClientCert
}

// config makes a configuration.
//
// CurvePreferences are crypto/tls's: with clients that offer X25519MLKEM768 it is used, which keeps
// what is recorded today from the quantum computers of later. A handshake then takes 0.45 ms of
// processor time instead of 0.32 ms with a key on P-256, and 1.6 ms instead of 1.5 ms with one of RSA
// of 2048 bits (both with crypto/tls of Go 1.26 on the machine of bench/results). Clients that mind
// do not offer it.
func (s *Source) config(cert tls.Certificate, pool *x509.CertPool, auth tls.ClientAuthType) *tls.Config {
	config := &tls.Config{
		Certificates:                []tls.Certificate{cert},
		ClientAuth:                  auth,
		ClientCAs:                   pool,
		MinVersion:                  max(s.opts.MinVersion, tls.VersionTLS12),
		CipherSuites:                s.suites,
		DynamicRecordSizingDisabled: true, // full records from the start: replies are whole before they are sent
	}
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		// A session of TLS 1.2 that is resumed gets a new ticket, but is the same session. In TLS 1.3
		// each ticket is a new one. Source: OpenSSL's callback for new sessions.
		if s.NewSession != nil && !(state.DidResume && state.Version == tls.VersionTLS12) {
			s.NewSession()
		}
		return config.EncryptTicket(state, session)
	}
	return config
}
