package main

import (
	"crypto/tls"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomemd/gomemd/server"
)

// encryption is what -Z and the -o suboptions ssl_… say. Without -Z the others change nothing.
type encryption struct {
	on      bool
	tls     server.TLS
	options []string // those given
}

// checkTLS applies the rules of -Z, and lets it take effect.
func (c *config) checkTLS() error {
	e := &c.encryption
	switch {
	case !e.on:
		c.noops = append(c.noops, e.options...)
		if e.tls.ChainFile != "" || e.tls.KeyFile != "" {
			c.warn("warning: -o ssl_… without -Z: nothing is encrypted")
		}
		return nil
	case c.opts.Settings.Port == 0:
		return quit(exUsage, "ERROR: You cannot enable SSL without a TCP port.")
	case e.tls.ChainFile == "": // the words are memcached's, of its printf for no string
		return quit(exUsage, "Error loading the certificate chain: (null) : there is no -o ssl_chain_cert")
	case e.tls.KeyFile == "":
		return quit(exUsage, "Error loading the key: (null) : there is no -o ssl_key")
	case e.tls.CAFile == "" && slices.Contains(e.options, "-o ssl_ca_cert="):
		return quit(exUsage, "Error loading the CA certificate:  : No such file or directory")
	case e.tls.Ciphers == "" && slices.Contains(e.options, "-o ssl_ciphers="):
		return quit(exUsage, "Error setting the provided cipher(s): ")
	}
	if e.tls.ClientCert != server.CertNone && e.tls.CAFile == "" {
		c.warn("warning: without -o ssl_ca_cert there are no good client certificates")
	}
	if v := e.tls.MinVersion; v != 0 && v < tls.VersionTLS12 {
		c.warn("warning: -o ssl_min_version=%d: TLS 1.2 is the oldest version that is spoken", v-tls.VersionTLS10)
		e.tls.MinVersion = tls.VersionTLS12
	}
	c.opts.TLS = &e.tls
	return nil
}

// loadTLS reads certificates and key, as root if that is who we are, in the directory that we were started in.
func (c *config) loadTLS() error {
	if c.opts.TLS == nil {
		return nil
	}
	if err := c.opts.TLS.Load(); err != nil {
		return quit(exUsage, "%s", err)
	}
	return nil
}

// tlsNumber is a number for -Z. Anything else gets memcached's text.
func tlsNumber(name string, set func(t *server.TLS, n int64) bool) func(*config, string) error {
	return func(c *config, v string) error {
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
		switch {
		case err != nil:
			return quit(exFailure, "could not parse argument to %s", name)
		case !set(&c.encryption.tls, n):
			return quit(exFailure, "Invalid %s. Use help to see valid options.", name)
		}
		return nil
	}
}

func setVerifyMode(t *server.TLS, n int64) bool {
	t.ClientCert = server.ClientCert(n)
	return n >= 0 && n <= int64(server.CertOnce)
}

func setMinVersion(t *server.TLS, n int64) bool {
	t.MinVersion = tls.VersionTLS10 + uint16(n)
	return n >= 0 && n <= 3
}

// setKeyFormat takes any number: a format that there is not is complained of when the key is loaded, as by memcached.
func setKeyFormat(t *server.TLS, n int64) bool {
	t.KeyFormat = math.MaxUint8
	if n == int64(server.KeyPEM) || n == int64(server.KeyDER) {
		t.KeyFormat = server.KeyFormat(n)
	}
	return true
}

// setWriteBuffer takes kilobytes, for stats settings.
func setWriteBuffer(c *config, v string) error {
	kilobytes, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return quit(exFailure, "could not parse argument to ssl_wbuf_size")
	}
	c.encryption.tls.WriteBuffer = int(kilobytes) << 10
	return nil
}
