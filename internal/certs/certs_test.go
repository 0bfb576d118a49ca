package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/certs/certstest"
)

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// Which clients are let in, by what a listener asks and what the options say.
func TestClientCertificatesByMode(t *testing.T) {
	ca, stranger := certstest.Issue(t, "ca", nil), certstest.Issue(t, "stranger", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	clients := map[string][]tls.Certificate{
		"none":       nil,
		"good":       {certstest.Issue(t, "client", ca).ForClient()},
		"stranger's": {certstest.Issue(t, "client", stranger).ForClient()},
		"expired":    {certstest.Issue(t, "client", ca, expired).ForClient()},
		"server's":   {certstest.Issue(t, "client", ca, forServers).ForClient()},
	}
	const all = "none good stranger's expired server's"
	for _, row := range []struct {
		verify Verify
		mode   Mode
		letIn  string
	}{
		{VerifyNone, ByOptions, all},
		{VerifyRequest, ByOptions, "none good"},
		{VerifyRequire, ByOptions, "good"},
		{VerifyOnce, ByOptions, "good"},
		{VerifyNone, Mutual, "good"},
		{VerifyRequest, Mutual, "good"},
		{VerifyRequire, Mutual, "good"},
		{VerifyNone, Basic, all},
		{VerifyRequest, Basic, all},
		{VerifyRequire, Basic, all},
	} {
		opts := f.options()
		opts.Verify = row.verify
		s := load(t, opts)
		for name, shown := range clients {
			for version, number := range versions {
				client := &tls.Config{MinVersion: number, MaxVersion: number}
				if len(shown) > 0 { // whatever the server says it accepts
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown[0], nil }
				}
				want := false
				for _, in := range strings.Fields(row.letIn) {
					want = want || in == name
				}
				if got := meet(t, s.Config(row.mode), client); (got.err == nil) != want {
					t.Errorf("verify %d, mode %d, TLS %s: with %s certificate: %v", row.verify, row.mode, version, name, got.err)
				}
			}
		}
	}
}

// Without a CA nobody's certificate is good, not even one that the system would trust.
func TestWithoutCANoClientCertificateIsGood(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	t.Setenv("SSL_CERT_FILE", f.path("ca")) // of the system, to crypto/x509
	opts := f.options()
	opts.CAFile, opts.Verify = "", VerifyRequire
	s := load(t, opts)
	if s.Config(Mutual).ClientCAs == nil {
		t.Error("the system's roots are asked")
	}
	client := &tls.Config{Certificates: []tls.Certificate{certstest.Issue(t, "client", ca).ForClient()}}
	if meet(t, s.Config(ByOptions), client).err == nil {
		t.Error("it was let in")
	}
}

func TestReloadReplacesWhatIsServed(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "first", ca), ca)
	s := load(t, f.options())
	before := s.Refreshed()
	if got := meet(t, s.Config(Basic), nil); got.server != "first" {
		t.Errorf("%q is served: %v", got.server, got.err)
	}
	f.serve(certstest.IssueRSA(t, "second", ca), ca)
	if got := meet(t, s.Config(Basic), nil); got.server != "first" {
		t.Errorf("before a reload %q is served: %v", got.server, got.err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := meet(t, s.Config(Basic), nil); got.server != "second" {
		t.Errorf("after a reload %q is served: %v", got.server, got.err)
	}
	if !s.Refreshed().After(before) {
		t.Error("nothing tells that there was a reload")
	}
}

// A reload that fails names the file, and changes nothing: not even by what could be read.
func TestAReloadThatFailsChangesNothing(t *testing.T) {
	ca, newCA := certstest.Issue(t, "ca", nil), certstest.Issue(t, "new CA", nil)
	first, second := certstest.Issue(t, "first", ca), certstest.Issue(t, "second", ca)
	junk := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for name, row := range map[string]struct {
		spoil func(t *testing.T, f *files)
		file  string // named in the error
	}{
		"no chain":             {func(t *testing.T, f *files) { f.remove("chain") }, "chain"},
		"no key":               {func(t *testing.T, f *files) { f.remove("key") }, "key"},
		"no CA":                {func(t *testing.T, f *files) { f.remove("ca") }, "ca"},
		"a key that is closed": {func(t *testing.T, f *files) { f.remove("key"); f.directory("key") }, "key"},
		"a CA that is closed":  {func(t *testing.T, f *files) { f.remove("ca"); f.directory("ca") }, "ca"},
		"another's key":        {func(t *testing.T, f *files) { f.write("key", first.KeyPEM(t)) }, "key"},
		"a key as chain":       {func(t *testing.T, f *files) { f.write("chain", second.KeyPEM(t)) }, "chain"},
		"a chain as key":       {func(t *testing.T, f *files) { f.write("key", second.CertPEM()) }, "key"},
		"an empty chain":       {func(t *testing.T, f *files) { f.write("chain", "") }, "chain"},
		"an empty CA":          {func(t *testing.T, f *files) { f.write("ca", "") }, "ca"},
		"junk as chain":        {func(t *testing.T, f *files) { f.write("chain", junk) }, "chain"},
		"junk in the chain":    {func(t *testing.T, f *files) { f.write("chain", second.CertPEM()+junk) }, "chain"},
		"junk in the CA":       {func(t *testing.T, f *files) { f.write("ca", newCA.CertPEM()+junk) }, "ca"},
		"half a chain":         {func(t *testing.T, f *files) { f.write("chain", second.CertPEM()+ca.CertPEM()[:200]) }, "chain"},
		"half a key":           {func(t *testing.T, f *files) { f.write("key", second.KeyPEM(t)[:60]) }, "key"},
		"half a CA":            {func(t *testing.T, f *files) { f.write("ca", newCA.CertPEM()+ca.CertPEM()[:200]) }, "ca"},
		"an encrypted key": {func(t *testing.T, f *files) {
			f.write("key", strings.ReplaceAll(second.KeyPEM(t), "PRIVATE", "ENCRYPTED PRIVATE"))
		}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			f.serve(first, ca)
			opts := f.options()
			opts.Verify = VerifyRequire
			s := load(t, opts)
			was := s.Config(ByOptions)
			f.serve(second, newCA)
			row.spoil(t, f)
			err := s.Reload()
			if err == nil || !strings.Contains(err.Error(), f.path(row.file)) || !strings.HasPrefix(err.Error(), "Error ") {
				t.Errorf("said %v; %s is to blame", err, row.file)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("more than a line: %q", err)
			}
			if s.Config(ByOptions) != was {
				t.Error("something has changed")
			}
			client := &tls.Config{Certificates: []tls.Certificate{certstest.Issue(t, "client", ca).ForClient()}}
			if got := meet(t, s.Config(ByOptions), client); got.server != "first" || got.err != nil {
				t.Errorf("%q is served: %v", got.server, got.err)
			}
			if s, err := Load(opts); err == nil {
				t.Errorf("a start takes it: %v", s)
			}
		})
	}
}

func (f *files) remove(name string) {
	f.t.Helper()
	if err := os.Remove(f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) directory(name string) {
	f.t.Helper()
	if err := os.Mkdir(f.path(name), 0o700); err != nil {
		f.t.Fatal(err)
	}
}

func TestAMissingFileIsSaidInMemcachedsWords(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	for name, what := range map[string]string{"chain": "certificate chain", "key": "key", "ca": "CA certificate"} {
		opts := f.options()
		gone := f.path("gone")
		*map[string]*string{"chain": &opts.ChainFile, "key": &opts.KeyFile, "ca": &opts.CAFile}[name] = gone
		_, err := Load(opts)
		if want := "Error loading the " + what + ": " + gone + " : No such file or directory"; err == nil || err.Error() != want {
			t.Errorf("%v; want %s", err, want)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v hides its reason", err)
		}
	}
}

// Relative names mean the directory of the start, wherever the process goes later.
func TestFilesAreFoundAgainAfterAChangeOfDirectory(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	t.Chdir(f.dir)
	s := load(t, Options{ChainFile: "chain", KeyFile: "key", CAFile: "ca"})
	t.Chdir("/")
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
}

func TestKeysOfEveryKindAreTaken(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	for name, server := range map[string]*certstest.Issued{"ECDSA": certstest.Issue(t, "server", ca), "RSA": certstest.IssueRSA(t, "server", ca)} {
		f := newFiles(t)
		f.serve(server, ca)
		f.write("key.der", string(server.KeyDER(t)))
		f.write("both", server.KeyPEM(t)+server.CertPEM())
		pem := f.options()
		der, both := pem, pem
		der.KeyFile, der.KeyFormat = f.path("key.der"), DER
		both.ChainFile, both.KeyFile, both.KeyFormat = f.path("both"), f.path("both"), PEM
		for _, opts := range []Options{pem, der, both} {
			if got := meet(t, load(t, opts).Config(Basic), nil); got.err != nil {
				t.Errorf("%s, %v: %v", name, opts, got.err)
			}
		}
		wrong := pem
		wrong.KeyFormat = DER
		if _, err := Load(wrong); err == nil {
			t.Errorf("%s: PEM is taken for DER", name)
		}
		wrong.KeyFormat = 3
		if _, err := Load(wrong); err == nil {
			t.Errorf("%s: there is no format 3", name)
		}
	}
}

func TestTheChainIsSentWhole(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	between := certstest.Issue(t, "between", ca, func(c *x509.Certificate) { c.IsCA = true })
	server := certstest.Issue(t, "server", between)
	f := newFiles(t)
	f.serve(server, ca)
	f.write("chain", server.CertPEM()+between.CertPEM())
	got := meet(t, load(t, f.options()).Config(Basic), nil)
	if got.err != nil || len(got.PeerCertificates) != 2 {
		t.Errorf("%d certificates came: %v", len(got.PeerCertificates), got.err)
	}
}

func TestTheLeastVersionIsKept(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	for _, row := range []struct {
		least uint16
		most  uint16 // of the client
		in    bool
	}{
		{0, tls.VersionTLS11, false},
		{0, tls.VersionTLS12, true},
		{0, tls.VersionTLS13, true},
		{tls.VersionTLS10, tls.VersionTLS11, false},
		{tls.VersionTLS13, tls.VersionTLS12, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		opts := f.options()
		opts.MinVersion = row.least
		client := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: row.most}
		if got := meet(t, load(t, opts).Config(Basic), client); (got.err == nil) != row.in {
			t.Errorf("at least %x, client %x: %v", row.least, row.most, got.err)
		}
	}
}

// While all files are written anew in place, one after the other and in pieces, what is served is
// always one of the pairs whole, and it answers.
func TestReloadsWhileFilesAreWritten(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	pairs := []*certstest.Issued{certstest.Issue(t, "one", ca), certstest.Issue(t, "two", ca)}
	f := newFiles(t)
	f.serve(pairs[0], ca)
	f.write("chain", pairs[0].CertPEM()+ca.CertPEM())
	s := load(t, f.options())
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	t.Cleanup(func() { stop(); <-stopped })
	go func() {
		defer close(stopped)
		for i := 0; ctx.Err() == nil; i++ {
			pair := pairs[i%2]
			for name, text := range map[string]string{"chain": pair.CertPEM() + ca.CertPEM(), "key": pair.KeyPEM(t)} {
				w, err := os.Create(f.path(name))
				if err != nil {
					t.Error(err)
					return
				}
				for _, piece := range []string{text[:len(text)*3/4], text[len(text)*3/4:]} { // the first has a certificate
					_, _ = w.WriteString(piece)
					runtime.Gosched()
				}
				_ = w.Close()
			}
		}
	}()
	took := 0
	for range 300 {
		if s.Reload() == nil {
			took++
		}
		if n := len(s.Config(Basic).Certificates[0].Certificate); n != 2 {
			t.Fatalf("a chain of %d certificates", n)
		}
	}
	if got := meet(t, s.Config(Basic), nil); got.err != nil {
		t.Errorf("after %d reloads: %v", took, got.err)
	}
	stop()
	<-stopped
	f.serve(pairs[1], ca)
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
}

// A chain that changes after it was read, while the key is, is left for the next reload.
func TestAFileThatChangesMeanwhileIsNotTaken(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	server := certstest.Issue(t, "server", ca)
	f := newFiles(t)
	f.serve(server, ca)
	s := load(t, f.options())
	was := s.Config(Basic)
	f.remove("key")
	if err := syscall.Mkfifo(f.path("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		key, err := os.OpenFile(f.path("key"), os.O_WRONLY, 0) // waits for the reader, who has read the chain by then
		if err != nil {
			t.Error(err)
			return
		}
		f.write("chain", server.CertPEM()+ca.CertPEM())
		_, _ = key.WriteString(server.KeyPEM(t))
		_ = key.Close()
	}()
	err := s.Reload()
	<-written
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), f.path("chain")) {
		t.Errorf("%v", err)
	}
	if s.Config(Basic) != was {
		t.Error("it was taken")
	}
}

// lastSession remembers one session, whatever server it is for.
type lastSession struct {
	session atomic.Pointer[tls.ClientSessionState]
}

func (l *lastSession) Get(string) (*tls.ClientSessionState, bool) {
	s := l.session.Load()
	return s, s != nil
}

func (l *lastSession) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		l.session.Store(s)
	}
}

// When a session may be resumed, and when there has to be a whole handshake.
func TestResumption(t *testing.T) {
	ca, newCA := certstest.Issue(t, "ca", nil), certstest.Issue(t, "new CA", nil)
	server, client := certstest.Issue(t, "server", ca), certstest.Issue(t, "client", ca)
	const resumed, whole, refused = "resumed", "whole", "refused"
	for _, row := range []struct {
		name     string
		first    Mode
		withCert bool
		between  func(f *files, s *Source)
		second   Mode
		want     string
	}{
		{"without certificates", Basic, false, nil, Basic, resumed},
		{"with a certificate", Mutual, true, nil, Mutual, resumed},
		{"as the options say", ByOptions, true, nil, ByOptions, resumed},
		{"no certificate, then one is needed", Basic, false, nil, Mutual, refused},
		{"no certificate was asked for, then one is needed", Basic, true, nil, Mutual, whole},
		{"a certificate, then none is asked for", Mutual, true, nil, Basic, whole},
		{"by options, then one is needed", ByOptions, true, nil, Mutual, whole},
		{"after a reload", Basic, false, func(_ *files, s *Source) { _ = s.Reload() }, Basic, whole},
		{"after another CA", Mutual, true, func(f *files, s *Source) { f.write("ca", newCA.CertPEM()); _ = s.Reload() }, Mutual, refused},
		{"after another CA that failed", Mutual, true, func(f *files, s *Source) { f.write("ca", ""); _ = s.Reload() }, Mutual, resumed},
	} {
		for version, number := range versions {
			t.Run(row.name+"/TLS "+version, func(t *testing.T) {
				f := newFiles(t)
				f.serve(server, ca)
				opts := f.options()
				opts.Verify = VerifyRequest
				s := load(t, opts)
				config := &tls.Config{ClientSessionCache: &lastSession{}, MinVersion: number, MaxVersion: number}
				if row.withCert {
					cert := client.ForClient()
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
				}
				if got := meet(t, s.Config(row.first), config); got.err != nil || got.DidResume {
					t.Fatalf("resumed: %v, %v", got.DidResume, got.err)
				}
				if row.between != nil {
					row.between(f, s)
				}
				got := meet(t, s.Config(row.second), config)
				is := whole
				switch {
				case got.err != nil:
					is = refused
				case got.DidResume:
					is = resumed
				}
				if is != row.want {
					t.Errorf("it is %s, not %s: %v", is, row.want, got.err)
				}
			})
		}
	}
}

// The rules of crypto/tls hold where ticket keys do not help: one configuration, whose tickets are
// good, does not resume a session whose client certificate has ended or leads to another CA.
func TestTicketKeysAreNotTheOnlyRule(t *testing.T) {
	ca, newCA := certstest.Issue(t, "ca", nil), certstest.Issue(t, "new CA", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	s := load(t, f.options())
	for version, number := range versions {
		for name, change := range map[string]func(c *tls.Config){
			"later":      func(c *tls.Config) { c.Time = func() time.Time { return time.Now().Add(61 * time.Minute) } },
			"another CA": func(c *tls.Config) { c.ClientCAs = x509.NewCertPool(); c.ClientCAs.AddCert(newCA.Certificate) },
		} {
			var key [32]byte
			first, second := s.Config(Mutual).Clone(), s.Config(Mutual).Clone()
			for _, c := range []*tls.Config{first, second} {
				c.WrapSession = nil
				c.SetSessionTicketKeys([][32]byte{key})
			}
			cert := certstest.Issue(t, "client", ca).ForClient()
			config := &tls.Config{ClientSessionCache: &lastSession{}, MinVersion: number, MaxVersion: number}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			meet(t, first, config)
			if got := meet(t, second, config); got.err != nil || !got.DidResume {
				t.Fatalf("TLS %s: the tickets are no good, this tests nothing: %v", version, got.err)
			}
			change(second)
			if got := meet(t, second, config); got.err == nil {
				t.Errorf("TLS %s: %s: let in, resumed: %v", version, name, got.DidResume)
			}
		}
	}
}

// Sessions are counted as OpenSSL's callback counts them, but for TLS 1.2 with tickets.
func TestNewSessionsAreCounted(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.Issue(t, "server", ca), ca)
	for version, perResumed := range map[string]int64{"1.2": 0, "1.3": 1} {
		s := load(t, f.options())
		var sessions atomic.Int64
		s.NewSession = func() { sessions.Add(1) }
		config := &tls.Config{ClientSessionCache: &lastSession{}, MinVersion: versions[version], MaxVersion: versions[version]}
		for i := range int64(3) {
			got := meet(t, s.Config(Basic), config)
			if got.err != nil || got.DidResume != (i > 0) {
				t.Fatalf("TLS %s: resumed %v, %v", version, got.DidResume, got.err)
			}
			if n := sessions.Load(); n != 1+i*perResumed {
				t.Errorf("TLS %s: %d new sessions after %d handshakes", version, n, i+1)
			}
		}
		meet(t, s.Config(Basic), &tls.Config{SessionTicketsDisabled: true, MaxVersion: versions[version]})
	}
}
