package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gomemd/gomemd/internal/certs/certstest"
	"github.com/gomemd/gomemd/server"
)

// withCertificates puts the files of -Z where the process begins, the key for its owner alone.
func withCertificates(t *testing.T) launchOption {
	t.Helper()
	ca := certstest.Issue(t, "ca", nil)
	return func(p *process) {
		certstest.Write(t, p.dir, certstest.Issue(t, "server", ca), ca)
		for _, name := range []string{"chain", "ca"} {
			if err := os.Chmod(p.path(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// plainBeside is a command line of TLS, with a listener to ask without it.
func plainBeside(more ...string) []string {
	return append(more, "-Z", "-o", "ssl_chain_cert=chain,ssl_key=key,ssl_ca_cert=ca", "-l", "notls:127.0.0.1", "-p", "-1")
}

var anyLine = regexp.MustCompile(`^(.*)\r\n`)

func TestTLSOptionsGoWhereTheyBelong(t *testing.T) {
	for args, want := range map[string]server.TLS{
		"":                        {},
		"-o ssl_ca_cert=ca":       {CAFile: "ca"},
		"-o ssl_verify_mode=0":    {},
		"-o ssl_verify_mode=1":    {ClientCert: server.CertRequested},
		"-o ssl_verify_mode=2":    {ClientCert: server.CertRequired},
		"-o ssl_verify_mode=3":    {ClientCert: server.CertOnce},
		"-o ssl_min_version=0":    {MinVersion: 0x303}, // with a warning
		"-o ssl_min_version=1":    {MinVersion: 0x303},
		"-o ssl_min_version=2":    {MinVersion: 0x303},
		"-o ssl_min_version=3":    {MinVersion: 0x304},
		"-o ssl_keyformat=1":      {KeyFormat: server.KeyPEM},
		"-o ssl_keyformat=2":      {KeyFormat: server.KeyDER},
		"-o ssl_keyformat=0":      {KeyFormat: 255},
		"-o ssl_keyformat=-1":     {KeyFormat: 255},
		"-o ssl_ciphers=A:B":      {Ciphers: "A:B"},
		"-o ssl_wbuf_size=64":     {WriteBuffer: 64 << 10},
		"-o ssl_session_cache":    {SessionCache: true},
		"-o ssl_kernel_tls":       {KernelTLS: true},
		"-o ssl_key=x,ssl_key=k2": {KeyFile: "k2"},
	} {
		want.ChainFile = "c"
		if want.KeyFile == "" {
			want.KeyFile = "k"
		}
		c, err := parse("gomemd", strings.Fields("-Z -o ssl_chain_cert=c,ssl_key=k "+args))
		if err != nil || c.opts.TLS == nil || *c.opts.TLS != want {
			t.Errorf("%s: %+v, %v; want %+v", args, c.opts.TLS, err, want)
		}
		needsCA := want.ClientCert != server.CertNone
		if warned := strings.Contains(strings.Join(c.warnings, ""), "ssl_ca_cert"); warned != needsCA {
			t.Errorf("%s: warned: %q", args, c.warnings)
		}
		c, err = parse("gomemd", strings.Fields("-o ssl_chain_cert=c,ssl_key=k "+args)) // without -Z
		if err != nil || c.opts.TLS != nil || !strings.HasPrefix(strings.Join(c.noops, " "), "-o ssl_") {
			t.Errorf("without -Z, %s: %+v, %v, accepted: %q", args, c.opts.TLS, err, c.noops)
		}
	}
}

// Files are read again on SIGHUP; what is wrong with them is said, and the server goes on.
func TestSIGHUPReadsCertificatesAgain(t *testing.T) {
	t.Parallel()
	p := launch(t, plainBeside(), withCertificates(t))
	if err := os.Remove(p.path("key")); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	want := "Error loading the key: " + p.path("key") + " : No such file or directory; the old certificates stay in force\n"
	p.waitFor(t, "message", func() bool { return p.said() == want })
	stat(t, "tcp", p.tcp(), "time_since_server_cert_refresh")
	p.endsOn(t, syscall.SIGTERM)
}

// A daemon finds files by names that begin where it was started, at its start and again later.
func TestADaemonFindsItsCertificates(t *testing.T) {
	t.Parallel()
	p := prepare(t, gomemd(t), plainBeside("-d", "-P", "{dir}/pid"), withCertificates(t))
	pid := p.staysInBackground(t)
	if cwd, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd"); cwd != "/" {
		t.Errorf("it works in %s", cwd)
	}
	if line := answer(t, "tcp", p.tcp(), "refresh_certs", anyLine); line != "OK" {
		t.Errorf("refresh_certs: %s", line)
	}
}

func TestADaemonSaysWhatIsWrongWithItsCertificates(t *testing.T) {
	t.Parallel()
	p := prepare(t, gomemd(t), plainBeside("-d"))
	err := p.Run()
	want := "Error loading the certificate chain: " + filepath.Join(p.dir, "chain") + " : No such file or directory\n"
	if p.ProcessState.ExitCode() != exUsage || p.said() != want {
		t.Errorf("%v: %s", err, p.said())
	}
}

// The key may be root's alone: it is read before -u, and after that not any more, which is no reason
// to end.
func TestTheKeyMayBeRootsAlone(t *testing.T) {
	needRoot(t)
	t.Parallel()
	p := launch(t, plainBeside("-u", "nobody"), withCertificates(t))
	want := "Error loading the key: " + p.path("key") + " : Permission denied; the old certificates stay in force"
	if line := answer(t, "tcp", p.tcp(), "refresh_certs", anyLine); line != want {
		t.Errorf("refresh_certs: %s", line)
	}
	p.endsOn(t, syscall.SIGTERM)
}
