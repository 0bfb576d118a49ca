package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/gomemd/gomemd/internal/certs"
	"github.com/gomemd/gomemd/internal/conn"
	"github.com/gomemd/gomemd/internal/stats"
)

// writeBuffer is memcached's ssl_wbuf_size.
const writeBuffer = 16 << 10

// TLS says how connections are encrypted: with TLS 1.2 or 1.3, those of TCP listeners that do not
// say notls:. The zero value of a field is memcached's default. Files are PEM, and are read
// again by [Server.Reload] and by a client's refresh_certs.
type TLS struct {
	ChainFile string    // -o ssl_chain_cert: the certificate, then those between it and its root
	KeyFile   string    // -o ssl_key: the key to it, not encrypted
	KeyFormat KeyFormat // -o ssl_keyformat

	// CAFile, -o ssl_ca_cert, has who signs the certificates of clients. "": nobody does, and where
	// clients need one they are all refused; the system's roots are not asked, with whom anybody can
	// get a certificate.
	CAFile     string
	ClientCert ClientCert // -o ssl_verify_mode: what is asked of clients, where a listener does not say mtls: or btls:

	MinVersion uint16 // -o ssl_min_version: tls.VersionTLS12 or tls.VersionTLS13; tls.VersionTLS12
	Ciphers    string // -o ssl_ciphers: the suites of TLS 1.2, as OpenSSL lists them; "": crypto/tls's

	// SessionCache, -o ssl_session_cache, has stats count sessions. Clients can resume theirs, by
	// tickets, with and without it.
	SessionCache bool

	WriteBuffer int  // -o ssl_wbuf_size, bytes: only told by stats settings; 16 KiB
	KernelTLS   bool // -o ssl_kernel_tls: likewise

	source *certs.Source // what Load has read
}

// ClientCert is whether clients need certificates.
type ClientCert = certs.Verify

// What may be asked of clients. CertRequired and CertOnce are the same.
const (
	CertNone      = certs.VerifyNone    // nothing
	CertRequested = certs.VerifyRequest // it may be missing; one that is sent has to be good
	CertRequired  = certs.VerifyRequire // a good one
	CertOnce      = certs.VerifyOnce
)

// KeyFormat is how a key is written.
type KeyFormat = certs.Format

// The formats of a key. 0 is KeyPEM.
const (
	KeyPEM = certs.PEM
	KeyDER = certs.DER
)

// Load reads the files now rather than when a server starts: for who may read the key now, and not
// any more by then. The next server that is started with t uses what was read.
func (t *TLS) Load() (err error) {
	t.source, err = certs.Load(certs.Options{
		ChainFile: t.ChainFile, KeyFile: t.KeyFile, KeyFormat: t.KeyFormat, CAFile: t.CAFile,
		Verify: t.ClientCert, MinVersion: t.MinVersion, Ciphers: t.Ciphers,
	})
	return err
}

// take is t for one server: a copy that has read its files.
func (t *TLS) take() (*TLS, error) {
	own := *t
	if own.source == nil {
		return &own, own.Load()
	}
	t.source = nil
	return &own, nil
}

// complaints are what is wrong with the fields. The files are for Load to judge.
func (t *TLS) complaints() error {
	var all []error
	if t.ChainFile == "" || t.KeyFile == "" {
		all = append(all, errors.New("TLS needs a file with a certificate and one with its key"))
	}
	if t.ClientCert > CertOnce {
		all = append(all, fmt.Errorf("%d is not a way to ask for client certificates", t.ClientCert))
	}
	if t.KeyFormat > KeyDER {
		all = append(all, fmt.Errorf("%d is not a format of keys", t.KeyFormat))
	}
	if t.MinVersion != 0 && t.MinVersion != tls.VersionTLS12 && t.MinVersion != tls.VersionTLS13 {
		all = append(all, errors.New("TLS 1.2 and 1.3 are spoken, and no other version"))
	}
	if t.Ciphers != "" {
		if _, err := certs.Ciphers(t.Ciphers); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// config is the configuration in force for a listener.
func (t *TLS) config(how conn.TLS) *tls.Config {
	switch how {
	case conn.Basic:
		return t.source.Config(certs.Basic)
	case conn.Mutual:
		return t.source.Config(certs.Mutual)
	default:
		return t.source.Config(certs.ByOptions)
	}
}

// reload reads the files again.
func (t *TLS) reload() error {
	if err := t.source.Reload(); err != nil {
		return fmt.Errorf("%w; the old certificates stay in force", err)
	}
	return nil
}

// say logs, at -v, which certificate is in force, and always if nobody can take it for good.
func (t *TLS) say(log func(string, ...any), verbose bool, now time.Time) {
	switch leaf := t.source.Leaf(); {
	case now.After(leaf.NotAfter):
		log("warning: the certificate in %s has expired: %v\n", t.ChainFile, leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		log("warning: the certificate in %s is not valid yet: %v\n", t.ChainFile, leaf.NotBefore)
	case verbose:
		log("the certificate in %s is in force, valid until %v\n", t.ChainFile, leaf.NotAfter)
	}
}

// settings is what stats tells of it.
func (t *TLS) settings() stats.TLS {
	if t == nil {
		return stats.TLS{WriteBuffer: writeBuffer}
	}
	return stats.TLS{
		Enabled: true, ChainFile: t.ChainFile, KeyFile: t.KeyFile, CAFile: t.CAFile, Ciphers: t.Ciphers,
		Verify: int(t.ClientCert), KeyFormat: int(max(t.KeyFormat, KeyPEM)), MinVersion: max(t.MinVersion, tls.VersionTLS12),
		WriteBuffer: cmp.Or(t.WriteBuffer, writeBuffer), SessionCache: t.SessionCache, KernelTLS: t.KernelTLS,
	}
}
