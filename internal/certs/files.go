package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// FileError is why a file cannot be used. Its text begins with memcached's, and names the file.
type FileError struct {
	What string // "certificate chain", "key" or "CA certificate"
	File string
	Err  error
}

// Error is memcached's sentence, with the system's reason in place of OpenSSL's.
func (e *FileError) Error() string {
	return fmt.Sprintf("Error loading the %s: %s : %s", e.What, e.File, reason(e.Err))
}

// Unwrap is the reason.
func (e *FileError) Unwrap() error { return e.Err }

// MatchError is why a chain and a key that can be read cannot be used together.
type MatchError struct {
	ChainFile, KeyFile string
	Err                error
}

// Error is memcached's sentence, and names both files.
func (e *MatchError) Error() string {
	return fmt.Sprintf("Error validating the certificate: %s and %s : %s", e.ChainFile, e.KeyFile, e.Err)
}

// Unwrap is the reason.
func (e *MatchError) Unwrap() error { return e.Err }

var (
	errBusy = errors.New("it is being written at present")
	errCut  = errors.New("its last block has no end")
	errNone = errors.New("there is no certificate in it")
)

// reason is the system's word for an error as perror has it, without the path.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		s := errno.Error()
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return err.Error()
}

// file is one that has been read.
type file struct {
	name  string
	text  []byte
	state fs.FileInfo
}

// read reads all files and checks that they belong together. None may change while the others are
// read: who writes certificates anew in place may be half done, and half a chain can look like a
// whole one.
func (o *Options) read() (cert tls.Certificate, pool *x509.CertPool, err error) {
	chain, err := readFile(o.ChainFile)
	if err == nil {
		err = checkCertificates(chain.text)
	}
	if err != nil {
		return cert, nil, &FileError{"certificate chain", o.ChainFile, err}
	}
	key, err := readFile(o.KeyFile)
	if err == nil {
		err = o.checkKey(&key)
	}
	if err != nil {
		return cert, nil, &FileError{"key", o.KeyFile, err}
	}
	if cert, err = tls.X509KeyPair(chain.text, key.text); err != nil {
		return cert, nil, &MatchError{o.ChainFile, o.KeyFile, plain(err)}
	}
	read := []file{chain, key}
	pool = x509.NewCertPool() // not nil, which would be the system's roots: anybody can have a certificate of theirs
	if o.CAFile != "" {
		ca, err := readFile(o.CAFile)
		if err == nil {
			err = checkCertificates(ca.text)
		}
		if err == nil && !pool.AppendCertsFromPEM(ca.text) {
			err = errNone
		}
		if err != nil {
			return cert, nil, &FileError{"CA certificate", o.CAFile, err}
		}
		read = append(read, ca)
	}
	for _, f := range read {
		if now, err := os.Stat(f.name); err != nil || !sameState(f.state, now) {
			return cert, nil, &FileError{"certificates", f.name, errBusy}
		}
	}
	return cert, pool, nil
}

// readFile reads a file and remembers its state from before.
func readFile(name string) (f file, err error) {
	open, err := os.Open(name)
	if err != nil {
		return f, err
	}
	defer open.Close()
	f.name = name
	if f.state, err = open.Stat(); err != nil {
		return f, err
	}
	f.text, err = io.ReadAll(open)
	return f, err
}

// sameState tells whether two looks have seen one file, and no change of it. What is no file, a pipe
// say, has no state.
func sameState(a, b fs.FileInfo) bool {
	return !a.Mode().IsRegular() || os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// checkCertificates wants at least one certificate, and every one of them whole and of a kind that
// is understood.
func checkCertificates(text []byte) error {
	found := false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return plain(err)
		}
		found = true
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return errCut
	case !found:
		return errNone
	}
	return nil
}

// checkKey turns a key into PEM if it is not, and looks whether there is one.
func (o *Options) checkKey(f *file) error {
	switch o.KeyFormat {
	case 0, PEM:
	default:
		return errors.New("there is no such format of keys")
	case DER:
		f.text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: f.text})
		return nil // X509KeyPair tries all kinds of it
	}
	for text := f.text; ; {
		block, rest := pem.Decode(text)
		switch {
		case block == nil && bytes.Contains(text, []byte("-----BEGIN ")):
			return errCut
		case block == nil:
			return errors.New("there is no key in it")
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return errors.New("it is encrypted")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
		text = rest
	}
}

// plain is an error of the standard library's without the package that it begins with.
func plain(err error) error {
	text := err.Error()
	for _, prefix := range []string{"tls: ", "x509: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return errors.New(text)
}
