// Package certstest makes certificates for tests.
package certstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Issued is a certificate with its key.
type Issued struct {
	*x509.Certificate
	key crypto.Signer
}

// Issue makes a certificate, signed by ca; by itself if that is nil, and then it is an authority.
func Issue(t testing.TB, name string, ca *Issued, change ...func(*x509.Certificate)) *Issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, name, key, ca, change...)
}

// IssueRSA does so with an RSA key.
func IssueRSA(t testing.TB, name string, ca *Issued) *Issued {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, name, key, ca)
}

func issueFor(t testing.TB, name string, key crypto.Signer, ca *Issued, change ...func(*x509.Certificate)) *Issued {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: ca == nil,
	}
	for _, f := range change {
		f(template)
	}
	signer := &Issued{template, key}
	if ca != nil {
		signer = ca
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Certificate, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Issued{cert, key}
}

// CertPEM is the certificate in PEM.
func (i *Issued) CertPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Raw}))
}

// KeyDER is the key in DER, as PKCS #8.
func (i *Issued) KeyDER(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// KeyPEM is the key in PEM.
func (i *Issued) KeyPEM(t testing.TB) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: i.KeyDER(t)}))
}

// ForClient is the certificate as a client shows it.
func (i *Issued) ForClient() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.Raw}, PrivateKey: i.key}
}

// Write writes the files of a server in a directory, "chain" and "key", and "ca" with who signs the
// certificates of its clients.
func Write(t testing.TB, dir string, server, ca *Issued) {
	t.Helper()
	for name, text := range map[string]string{"chain": server.CertPEM(), "key": server.KeyPEM(t), "ca": ca.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
