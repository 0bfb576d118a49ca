package certs

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/certs/certstest"
)

func TestCipherListsOfOpenSSL(t *testing.T) {
	const (
		gcm    = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384"
		chacha = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305"
		cbc    = "ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA"
		all    = gcm + " " + chacha + " " + cbc
	)
	for list, want := range map[string]string{ // what openssl ciphers -s says, without the weak suites
		"ALL":     all,
		"DEFAULT": all,
		"HIGH:!aNULL:!MD5:!RC4:!3DES:!eNULL:@STRENGTH": all,
		"ALL:!EXPORT:!LOW:@SECLEVEL=1":                 all,
		"HIGH,!SHA;!CHACHA20 !DSS":                     gcm,
		"AESGCM":                                       gcm,
		"TLSv1.2":                                      gcm + " " + chacha,
		"TLSv1":                                        cbc,
		"CHACHA20":                                     chacha,
		"SHA1":                                         cbc,
		"ECDHE+AESGCM:ECDHE+CHACHA20":                  gcm + " " + chacha,
		"EECDH+AESGCM:EDH+AESGCM:AES256+EECDH":         gcm + " ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA",
		"ECDSA+AES128":                                 "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA",
		"aRSA+AESGCM:!AES256":                          "ECDHE-RSA-AES128-GCM-SHA256",
		"ALL:-ECDHE:CHACHA20":                          chacha,
		"ALL:!CHACHA20:CHACHA20:!SHA":                  gcm,
		"+AES:AESGCM:+AES256":                          gcm,

		"ECDHE-RSA-AES128-GCM-SHA256":                                   "ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES256-SHA:!ECDHE-RSA-NULL-SHA": "ECDHE-RSA-AES256-SHA",
		"AES128-SHA": "AES128-SHA", // weak, and named
		"AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256": "ECDHE-RSA-AES128-SHA256 AES256-GCM-SHA384",
		"AES128-SHA256:AES128-SHA:!SHA256":          "AES128-SHA",
		"AES128-SHA:AESGCM:!kRSA":                   gcm,
		"AES128-SHA:AES256-SHA:!AES256":             "AES128-SHA",

		// names that a list may have beside others
		"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-SHA384:CHACHA20": chacha,
		"TLS_AES_128_GCM_SHA256:CHACHA20": chacha,
	} {
		ids, err := Ciphers(list)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		var got []string
		for _, s := range suites {
			if slices.Contains(ids, s.id) {
				got = append(got, s.name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\n is %s,\nnot %s", list, strings.Join(got, " "), want)
		}
	}
}

func TestCipherListsThatAreRefusedNameTheWord(t *testing.T) {
	for list, why := range map[string]string{
		"":                         "no cipher suite of TLS 1.2 is left",
		":":                        "no cipher suite of TLS 1.2 is left",
		"ALL:!ALL":                 "no cipher suite of TLS 1.2 is left",
		"DHE-RSA-AES128-SHA":       "no cipher suite of TLS 1.2 is left",
		"TLS_AES_128_GCM_SHA256":   "no cipher suite of TLS 1.2 is left",
		"kRSA":                     "no cipher suite of TLS 1.2 is left",
		"HIGHT":                    "HIGHT is not supported",
		"high":                     "high is not supported",
		"ALL:!aNUL":                "!aNUL is not supported",
		"ALL:AES+NOPE":             "AES+NOPE is not supported",
		"ALL:@SECLEVEL=2":          "@SECLEVEL=2 is not supported",
		"ALL:@WEAKNESS":            "@WEAKNESS is not supported",
		"ALL:!":                    "! is not supported",
		"ALL:!!MD5":                "!!MD5 is not supported",
		"SUITEB128":                "SUITEB128 is not supported",
		"ECDHE-RSA-AES512-GCM-SHA": "ECDHE-RSA-AES512-GCM-SHA is not supported",
	} {
		ids, err := Ciphers(list)
		if want := "Error setting the provided cipher(s): " + list + ": " + why; err == nil || err.Error() != want {
			t.Errorf("%v, %v; want %s", ids, err, want)
		}
	}
}

// The table has every suite of TLS 1.2 that crypto/tls speaks, but for RC4 and 3DES, and calls those
// weak that crypto/tls does.
func TestTheTableIsThatOfCryptoTLS(t *testing.T) {
	weak := map[uint16]bool{}
	for _, s := range suites {
		weak[s.id] = s.weak
	}
	if len(weak) != len(suites) {
		t.Error("a suite is there twice")
	}
	look := func(all []*tls.CipherSuite, insecure bool) {
		for _, s := range all {
			if strings.Contains(s.Name, "RC4") || strings.Contains(s.Name, "3DES") || !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			if is, ok := weak[s.ID]; !ok || is != insecure {
				t.Errorf("%s: there: %v, weak: %v", s.Name, ok, is)
			}
			delete(weak, s.ID)
		}
	}
	look(tls.CipherSuites(), false)
	look(tls.InsecureCipherSuites(), true)
	if len(weak) > 0 {
		t.Errorf("unknown to crypto/tls: %v", weak)
	}
}

// What is not on the list is not spoken, and the list says nothing about TLS 1.3.
func TestOnlyListedCiphersAreSpoken(t *testing.T) {
	ca := certstest.Issue(t, "ca", nil)
	f := newFiles(t)
	f.serve(certstest.IssueRSA(t, "server", ca), ca)
	opts := f.options()
	opts.Ciphers = "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA"
	config := load(t, opts).Config(Basic)
	for id, in := range map[uint16]bool{
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: true,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA:          true,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: false,
		tls.TLS_RSA_WITH_AES_256_CBC_SHA:          false,
	} {
		got := meet(t, config, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}})
		if (got.err == nil) != in {
			t.Errorf("%s: %v", tls.CipherSuiteName(id), got.err)
		}
	}
	if got := meet(t, config, &tls.Config{MinVersion: tls.VersionTLS13}); got.err != nil {
		t.Error(got.err)
	}
	opts.Ciphers = "FOO"
	if _, err := Load(opts); err == nil {
		t.Error("a list of nothing is taken")
	}
}
