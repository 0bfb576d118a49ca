package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/certs/certstest"
	"github.com/gomemd/gomemd/internal/conn"
)

// certificates writes the files of a server into a directory, and gives the options that name them.
func certificates(t *testing.T, dir string) TLS {
	t.Helper()
	ca := certstest.Issue(t, "ca", nil)
	certstest.Write(t, dir, certstest.Issue(t, "server", ca), ca)
	return TLS{ChainFile: filepath.Join(dir, "chain"), KeyFile: filepath.Join(dir, "key"), CAFile: filepath.Join(dir, "ca")}
}

func TestTLSOptionsThatAreRefused(t *testing.T) {
	for want, options := range map[string]TLS{
		"TLS needs a file with a certificate and one with its key": {},
		"TLS needs a file with a certificate":                      {ChainFile: "f"},
		"TLS 1.2 and 1.3 are spoken, and no other version":         {ChainFile: "f", KeyFile: "f", MinVersion: tls.VersionTLS11},
		"4 is not a way to ask for client certificates":            {ChainFile: "f", KeyFile: "f", ClientCert: 4},
		"3 is not a format of keys":                                {ChainFile: "f", KeyFile: "f", KeyFormat: 3},
		"FOO is not supported":                                     {ChainFile: "f", KeyFile: "f", Ciphers: "HIGH:FOO"},
	} {
		err := Options{Listen: []string{":0"}, TLS: &options}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	for _, listener := range []string{"notls::0", "btls::0", "mtls::0"} {
		if err := (Options{Listen: []string{listener}}).Validate(); err == nil || !strings.Contains(err.Error(), "only when SSL is enabled") {
			t.Errorf("%s: %v", listener, err)
		}
	}
}

func TestAStartWithoutItsCertificatesListensNowhere(t *testing.T) {
	options := certificates(t, t.TempDir())
	options.KeyFile += ".gone"
	socket := filepath.Join(t.TempDir(), "socket")
	srv, err := Start(Options{UnixSocket: socket, TLS: &options})
	if err == nil {
		_ = srv.Shutdown(t.Context())
	}
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), options.KeyFile) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("it has listened")
	}
}

// What Load has read is for one start, which needs the files no more; the next one reads them again.
func TestCertificatesAreLoadedBeforehand(t *testing.T) {
	options := certificates(t, t.TempDir())
	if err := options.Load(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(options.KeyFile); err != nil {
		t.Fatal(err)
	}
	startServer(t, Options{TLS: &options})
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, TLS: &options})
	if err == nil {
		_ = srv.Shutdown(t.Context())
		t.Error("a second start has a key, too")
	}
}

func TestListenersAskForCertificatesAsTheySay(t *testing.T) {
	options := certificates(t, t.TempDir())
	options.ClientCert = CertRequested
	own := startServer(t, Options{TLS: &options}).opts.TLS
	for how, want := range map[conn.TLS]tls.ClientAuthType{
		conn.PerTLS: tls.VerifyClientCertIfGiven, conn.Basic: tls.NoClientCert, conn.Mutual: tls.RequireAndVerifyClientCert,
	} {
		if got := own.config(how).ClientAuth; got != want {
			t.Errorf("%d: %v, want %v", how, got, want)
		}
	}
}

func TestRefreshCertsSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	options := certificates(t, dir)
	srv := startServer(t, Options{Listen: []string{"notls:127.0.0.1:0"}, TLS: &options})
	c := dial(t, srv)
	was := srv.opts.TLS.config(conn.Basic)
	certificates(t, dir)
	c.say("refresh_certs\r\n")
	c.hear("OK\r\n")
	now := srv.opts.TLS.config(conn.Basic)
	if bytes.Equal(was.Certificates[0].Certificate[0], now.Certificates[0].Certificate[0]) {
		t.Error("the old certificate is served")
	}
	if err := os.Remove(options.KeyFile); err != nil {
		t.Fatal(err)
	}
	c.say("refresh_certs noreply\r\nmn\r\n")
	c.hear("Error loading the key: " + options.KeyFile + " : No such file or directory; the old certificates stay in force\r\nMN\r\n")
	if srv.opts.TLS.config(conn.Basic) != now {
		t.Error("the certificates have changed")
	}
}

func TestRefreshCertsWithoutTLS(t *testing.T) {
	c := dial(t, startServer(t, Options{}))
	c.say("refresh_certs\r\nmn\r\n")
	c.hear("Error TLS not enabled\r\nMN\r\n")
}

// Reload reads passwords and certificates, each whatever becomes of the other.
func TestReloadOfPasswordsAndCertificates(t *testing.T) {
	dir := t.TempDir()
	options := certificates(t, dir)
	passwords := filepath.Join(dir, "passwords")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(passwords, "alice:first\n")
	srv := startServer(t, Options{Listen: []string{"notls:127.0.0.1:0"}, TLS: &options, AuthFile: passwords})
	for _, step := range []struct {
		name             string
		passwords, chain bool // are good
	}{
		{"both are good", true, true}, {"certificates are not", true, false}, {"passwords are not", false, true}, {"neither is", false, false},
	} {
		certificates(t, dir)
		write(passwords, "bob:"+step.name+"\n")
		if !step.passwords {
			write(passwords, "nonsense\n")
		}
		if !step.chain {
			write(options.ChainFile, "nonsense\n")
		}
		was := srv.opts.TLS.config(conn.Basic)
		err := srv.Reload()
		var bad *AuthFileError
		if errors.As(err, &bad) == step.passwords {
			t.Errorf("%s: %v", step.name, err)
		}
		saysChain := err != nil && strings.Contains(err.Error(), options.ChainFile) && strings.HasSuffix(err.Error(), "the old certificates stay in force")
		if saysChain == step.chain {
			t.Errorf("%s: %v", step.name, err)
		}
		if (srv.opts.TLS.config(conn.Basic) != was) != step.chain {
			t.Errorf("%s: the certificates are not as they should be", step.name)
		}
		c := dial(t, srv)
		token := "bob " + step.name
		c.say("set auth 0 0 " + strconv.Itoa(len(token)) + "\r\n" + token + "\r\n")
		if line, _ := c.r.ReadString('\n'); (line == "STORED\r\n") != step.passwords {
			t.Errorf("%s: logging in: %q", step.name, line)
		}
	}
}

func TestStatsOfTLS(t *testing.T) {
	options := certificates(t, t.TempDir())
	names := func(srv *Server, args string) (lines []string) {
		c := dial(t, srv)
		c.say("stats" + args + "\r\n")
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "END\r\n" {
				return lines
			}
			if strings.Contains(line, "ssl_") || strings.Contains(line, "cert") {
				lines = append(lines, strings.TrimSuffix(line, "\r\n"))
			}
		}
	}
	listen := []string{"notls:127.0.0.1:0"}
	plain, encrypted := startServer(t, Options{}), startServer(t, Options{Listen: listen, TLS: &options})
	all := options
	all.ClientCert, all.MinVersion, all.Ciphers, all.KeyFormat = CertOnce, tls.VersionTLS13, "HIGH:AESGCM", KeyPEM
	all.SessionCache, all.KernelTLS, all.WriteBuffer = true, true, 64<<10
	more := startServer(t, Options{Listen: listen, TLS: &all})
	chain, key, ca := options.ChainFile, options.KeyFile, options.CAFile
	for _, row := range []struct {
		srv  *Server
		args string
		want []string
	}{
		{plain, "", nil},
		{plain, " settings", []string{
			"STAT ssl_enabled no", "STAT ssl_chain_cert (null)", "STAT ssl_key (null)", "STAT ssl_verify_mode 0", "STAT ssl_keyformat 1",
			"STAT ssl_ciphers NULL", "STAT ssl_ca_cert NULL", "STAT ssl_wbuf_size 16384", "STAT ssl_session_cache no",
			"STAT ssl_kernel_tls no", "STAT ssl_min_version tlsv1.2",
		}},
		{encrypted, " settings", []string{
			"STAT ssl_enabled yes", "STAT ssl_chain_cert " + chain, "STAT ssl_key " + key, "STAT ssl_verify_mode 0", "STAT ssl_keyformat 1",
			"STAT ssl_ciphers NULL", "STAT ssl_ca_cert " + ca, "STAT ssl_wbuf_size 16384", "STAT ssl_session_cache no",
			"STAT ssl_kernel_tls no", "STAT ssl_min_version tlsv1.2",
		}},
		{more, " settings", []string{
			"STAT ssl_enabled yes", "STAT ssl_chain_cert " + chain, "STAT ssl_key " + key, "STAT ssl_verify_mode 7", "STAT ssl_keyformat 1",
			"STAT ssl_ciphers HIGH:AESGCM", "STAT ssl_ca_cert " + ca, "STAT ssl_wbuf_size 65536", "STAT ssl_session_cache yes",
			"STAT ssl_kernel_tls yes", "STAT ssl_min_version tlsv1.3",
		}},
	} {
		if got := names(row.srv, row.args); strings.Join(got, "\n") != strings.Join(row.want, "\n") {
			t.Errorf("stats%s:\n%s\nwant\n%s", row.args, strings.Join(got, "\n"), strings.Join(row.want, "\n"))
		}
	}
	for srv, want := range map[*Server]string{
		encrypted: "ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh",
		more:      "ssl_new_sessions ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh",
	} {
		var got []string
		for _, line := range names(srv, "") {
			got = append(got, strings.Fields(line)[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("stats: %q, want %q", got, want)
		}
	}
}

func TestTheAgeOfCertificatesBeginsWithEachRefresh(t *testing.T) {
	options := certificates(t, t.TempDir())
	srv := startServer(t, Options{Listen: []string{"notls:127.0.0.1:0"}, TLS: &options})
	eventually(t, "they are a second old", func() bool { return srv.Stats().CertAge >= 1 })
	before := srv.env.CertsRead()
	if err := srv.Reload(); err != nil {
		t.Fatal(err)
	}
	if !srv.env.CertsRead().After(before) {
		t.Error("a refresh is not seen")
	}
	if err := os.Remove(options.ChainFile); err != nil {
		t.Fatal(err)
	}
	before = srv.env.CertsRead()
	if srv.Reload() == nil || !srv.env.CertsRead().Equal(before) {
		t.Error("a refresh that failed counts")
	}
}

// Certificates that no client can take for good are told of, at the start and when they are read.
func TestCertificatesOutOfTheirTime(t *testing.T) {
	for want, change := range map[string]func(*x509.Certificate){
		"warning: the certificate in %s has expired":      func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) },
		"warning: the certificate in %s is not valid yet": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) },
		"the certificate in %s is in force":               func(*x509.Certificate) {},
	} {
		dir := t.TempDir()
		options := certificates(t, dir)
		ca := certstest.Issue(t, "ca", nil)
		certstest.Write(t, dir, certstest.Issue(t, "server", ca, change), ca)
		var log syncBuffer
		srv := startServer(t, Options{TLS: &options, Log: &log, Verbosity: 1})
		if err := srv.Reload(); err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprintf(want, options.ChainFile)
		eventually(t, "it is logged twice", func() bool { return strings.Count(log.String(), want) == 2 })
	}
}

func TestMoreUsersThanCount(t *testing.T) {
	var log syncBuffer
	startServer(t, Options{AuthFile: passwordFile(t, strings.Repeat("a:b\n", 9)), Log: &log})
	eventually(t, "it is said", func() bool { return strings.Contains(log.String(), "only the first 8 users in ") })
	startServer(t, Options{AuthFile: passwordFile(t, strings.Repeat("a:b\n", 8)), Log: &log})
	if n := strings.Count(log.String(), "only the first"); n != 1 {
		t.Errorf("said %d times", n)
	}
}
