package certs

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// CipherError is why a cipher list cannot be used. Its text begins with memcached's.
type CipherError struct {
	List string // as given
	Why  string // names the word
}

// Error is memcached's sentence, and the reason.
func (e *CipherError) Error() string {
	return fmt.Sprintf("Error setting the provided cipher(s): %s: %s", e.List, e.Why)
}

// suite is a cipher suite of TLS 1.2 under OpenSSL's name, and the words that mean it among others.
type suite struct {
	name  string
	id    uint16
	words []string
	weak  bool // no forward secrecy, or CBC in a way that crypto/tls does not protect from timing
}

var (
	all       = []string{"ALL", "DEFAULT", "HIGH"}
	kxECDHE   = slices.Concat(all, []string{"ECDHE", "EECDH", "kECDHE", "kEECDH"})
	withECDSA = slices.Concat(kxECDHE, []string{"ECDSA", "aECDSA"})
	withRSA   = slices.Concat(kxECDHE, []string{"aRSA"})
	kxRSA     = slices.Concat(all, []string{"kRSA", "RSA", "aRSA"})

	gcm128    = []string{"AES", "AES128", "AESGCM", "TLSv1.2"}
	gcm256    = []string{"AES", "AES256", "AESGCM", "TLSv1.2"}
	chacha    = []string{"CHACHA20", "TLSv1.2"}
	cbc128    = []string{"AES", "AES128", "SHA", "SHA1"}
	cbc256    = []string{"AES", "AES256", "SHA", "SHA1"}
	cbcSHA256 = []string{"AES", "AES128", "SHA256", "TLSv1.2"}
	tls10     = []string{"TLSv1", "TLSv1.0"}
	ssl3      = []string{"SSLv3"}
)

// suites are those that crypto/tls speaks. The weak ones are spoken only with who names them.
// Source of the words: openssl-ciphers(1).
var suites = []suite{
	{"ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, slices.Concat(withECDSA, gcm128), false},
	{"ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, slices.Concat(withRSA, gcm128), false},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, slices.Concat(withECDSA, gcm256), false},
	{"ECDHE-RSA-AES256-GCM-SHA384", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, slices.Concat(withRSA, gcm256), false},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, slices.Concat(withECDSA, chacha), false},
	{"ECDHE-RSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, slices.Concat(withRSA, chacha), false},
	{"ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, slices.Concat(withECDSA, cbc128, tls10), false},
	{"ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, slices.Concat(withRSA, cbc128, tls10), false},
	{"ECDHE-ECDSA-AES256-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, slices.Concat(withECDSA, cbc256, tls10), false},
	{"ECDHE-RSA-AES256-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, slices.Concat(withRSA, cbc256, tls10), false},

	{"ECDHE-ECDSA-AES128-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, slices.Concat(withECDSA, cbcSHA256), true},
	{"ECDHE-RSA-AES128-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, slices.Concat(withRSA, cbcSHA256), true},
	{"AES128-GCM-SHA256", tls.TLS_RSA_WITH_AES_128_GCM_SHA256, slices.Concat(kxRSA, gcm128), true},
	{"AES256-GCM-SHA384", tls.TLS_RSA_WITH_AES_256_GCM_SHA384, slices.Concat(kxRSA, gcm256), true},
	{"AES128-SHA256", tls.TLS_RSA_WITH_AES_128_CBC_SHA256, slices.Concat(kxRSA, cbcSHA256), true},
	{"AES128-SHA", tls.TLS_RSA_WITH_AES_128_CBC_SHA, slices.Concat(kxRSA, cbc128, ssl3), true},
	{"AES256-SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA, slices.Concat(kxRSA, cbc256, ssl3), true},
}

// nobody has the words and names of OpenSSL that mean none of the suites above. To exclude them is to ask for
// what is so anyway. Those of TLS 1.3 are always spoken.
var nobody = strings.Fields(`
	COMPLEMENTOFDEFAULT COMPLEMENTOFALL MEDIUM LOW EXP EXPORT EXPORT40 EXPORT56 eNULL NULL aNULL
	kDHE kEDH DHE EDH ADH AECDH DH kDHr kDHd kDH ECDH kECDH kECDHr kECDHe aECDH aDH aDSS DSS
	SSLv2 AESCCM AESCCM8 CAMELLIA CAMELLIA128 CAMELLIA256 ARIA ARIA128 ARIA256 ARIAGCM
	3DES DES RC4 RC2 IDEA SEED MD5 SHA384 GOST GOST89 GOST94 aGOST aGOST01 kGOST
	PSK kPSK kECDHEPSK kDHEPSK kRSAPSK aPSK SRP kSRP aSRP KRB5 kKRB5 aKRB5
	ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384 AES256-SHA256
	TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256`)

// unspoken tells OpenSSL's other suites by their names. A list that allows one of them as well is
// good without it.
func unspoken(name string) bool {
	begins := func(part string) bool { return strings.HasPrefix(name, part) }
	contains := func(part string) bool { return strings.Contains(name, part) }
	return slices.ContainsFunc([]string{"DHE-", "EDH-", "DH-", "ADH-", "AECDH-", "ECDH-", "PSK-", "RSA-PSK-", "SRP-", "EXP-"}, begins) ||
		slices.ContainsFunc([]string{"-PSK-", "CAMELLIA", "ARIA", "-CCM", "DES-", "RC4-", "RC2-", "SEED-", "IDEA-", "NULL-", "GOST"}, contains)
}

// set is some of the suites, a bit each.
type set uint32

// Ciphers are the suites of TLS 1.2 that a list of OpenSSL's allows. crypto/tls has an order of
// preference of its own, and always speaks all suites of TLS 1.3. A word that is unknown is an
// error, unlike in OpenSSL, and so is a list that allows nothing.
//
//	NAME                     adds the suite
//	WORD WORD+WORD           adds what is called so, but for weak suites; both words, where there are two
//	!WORD                    removes it for good
//	-WORD                    removes it, and it may be added again
//	+WORD @STRENGTH          changes the order, and so nothing
//	@SECLEVEL=0 @SECLEVEL=1  allows keys that are short, and so nothing
func Ciphers(list string) ([]uint16, error) {
	var on, banned set
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(":,; ", r) }) {
		switch item {
		case "@STRENGTH", "@SECLEVEL=0", "@SECLEVEL=1":
			continue
		}
		word := strings.TrimLeft(item, "!-+")
		named, called, known := meant(word)
		switch operator := item[:len(item)-len(word)]; {
		case !known:
			return nil, &CipherError{list, item + " is not supported"}
		case operator == "":
			on |= named
		case operator == "!":
			banned |= called
		case operator == "-":
			on &^= called
		case operator != "+":
			return nil, &CipherError{list, item + " is not supported"}
		}
	}
	var ids []uint16
	for i, s := range suites {
		if on&^banned&(1<<i) != 0 {
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return nil, &CipherError{list, "no cipher suite of TLS 1.2 is left"}
	}
	return ids, nil
}

// meant is what a name, a word, or words joined by + mean: for who wants it, and for who does not.
func meant(word string) (wanted, unwanted set, known bool) {
	unwanted = 1<<len(suites) - 1
	exact := set(0)
	for part := range strings.SplitSeq(word, "+") {
		var called set
		for i, s := range suites {
			if s.name == part {
				exact |= 1 << i
			}
			if s.name == part || slices.Contains(s.words, part) {
				called |= 1 << i
			}
		}
		if called == 0 && !slices.Contains(nobody, part) && !unspoken(part) {
			return 0, 0, false
		}
		unwanted &= called
	}
	for i, s := range suites {
		if one := set(1) << i; unwanted&one != 0 && (!s.weak || exact&one != 0) {
			wanted |= one
		}
	}
	return wanted, unwanted, true
}
