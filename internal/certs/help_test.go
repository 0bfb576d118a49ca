package certs

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomemd/gomemd/internal/certs/certstest"
)

// files are those of a server, in a directory of their own.
type files struct {
	t   *testing.T
	dir string
}

func newFiles(t *testing.T) *files {
	t.Helper()
	return &files{t, t.TempDir()}
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

func (f *files) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// serve writes the files of a server's certificate, and who signs the clients'.
func (f *files) serve(server, ca *certstest.Issued) {
	f.t.Helper()
	certstest.Write(f.t, f.dir, server, ca)
}

func (f *files) options() Options {
	return Options{ChainFile: f.path("chain"), KeyFile: f.path("key"), CAFile: f.path("ca")}
}

func load(t *testing.T, opts Options) *Source {
	t.Helper()
	s, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// met is what a client has seen of a handshake.
type met struct {
	tls.ConnectionState
	server string // the name in the server's certificate
	err    error  // nil: both sides are content, and a byte has come and gone
}

// meet has a client and a server make a handshake over a real connection, and exchange a byte: with
// TLS 1.3 a client learns only then that it was refused.
func meet(t *testing.T, server, client *tls.Config) (seen met) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		secure := tls.Server(c, server)
		var one [1]byte
		if _, err := io.ReadFull(secure, one[:]); err == nil {
			_, _ = secure.Write(one[:])
			_ = secure.CloseWrite()
			_, _ = io.Copy(io.Discard, secure)
		}
	}()
	defer func() { <-served }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if client == nil {
		client = &tls.Config{}
	}
	client.InsecureSkipVerify, client.ServerName = true, "server"
	secure := tls.Client(c, client)
	if seen.err = secure.Handshake(); seen.err == nil {
		_, seen.err = secure.Write([]byte("x"))
	}
	if seen.err == nil {
		_, seen.err = io.ReadFull(secure, make([]byte, 1))
	}
	if seen.ConnectionState = secure.ConnectionState(); len(seen.PeerCertificates) > 0 {
		seen.server = seen.PeerCertificates[0].Subject.CommonName
	}
	return seen
}
