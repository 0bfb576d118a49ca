package admin

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// guard answers those whom we want to answer.
//
//	method            GET, HEAD              others: 405
//	Host              ours (below)           others: 403
//	Sec-Fetch-Site    none, same-origin      others: 403, but for following a link
//
// A web page may have a name of its own resolve to our address, and then its scripts may read what
// they get under that name (DNS rebinding). The name is in the Host header. Ours are:
//
//	an address        no other name leads to it, so that no page can have one of its own
//	localhost, and the name in Options.Addr
//	the machine's     unless we listen on loopback
//	Options.Hosts     for a service's name, or a name that the outside of a container has for it
//
// Browsers send Sec-Fetch-Site, and scripts cannot change it.
func (a *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD: nothing can be changed here")
		case !a.isOurs(r.Host):
			refuse(w, http.StatusForbidden, "%q is no name of this host: use its address, or tell the name with --admin-hosts", r.Host)
		case isForeign(r):
			refuse(w, http.StatusForbidden, "not for scripts of other sites")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// namesOf are the names of this host, without addresses.
func namesOf(host string, hosts []string, local bool) map[string]bool {
	names := map[string]bool{"localhost": true}
	if host != anyHost {
		names[canonical(host)] = true
	}
	for _, name := range hosts {
		names[canonical(name)] = true
	}
	if name, err := os.Hostname(); err == nil && !local {
		names[canonical(name)] = true
	}
	return names
}

// anyName among Options.Hosts turns the check off.
const anyName = "*"

func (a *Server) isOurs(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]") // no port
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	// Without any, it is HTTP 1.0, which no browser speaks.
	return host == "" || a.names[canonical(host)] || a.names[anyName]
}

// canonical is a name as it is compared.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isForeign tells of a request that another site's page makes in a browser. Following a link to us
// is not one: that page cannot read what comes.
func isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// forwarded are headers by which a proxy tells that it asks for somebody else.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// mayHaveKeys tells whether keys of items may be told to whoever asks, and why not. Keys often hold
// names of people, or are tokens.
//
//	Options.Keys   listener     asks from
//	yes                                        yes
//	no             loopback     loopback       yes
//	no             loopback     a proxy there  no (or HTTP 1.0)
//	no             elsewhere                   no
func (a *Server) mayHaveKeys(r *http.Request) (ok bool, why string) {
	switch {
	case a.opts.Keys:
		return true, ""
	case !a.local:
		return false, "keys are served on a loopback address only, unless --admin-keys is given"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false, "keys are served to this host only, unless --admin-keys is given"
	}
	proxied := !r.ProtoAtLeast(1, 1) // as nginx before 1.29.7 asks, unless told, without any of the headers
	for _, name := range forwarded {
		proxied = proxied || len(r.Header[name]) > 0 // the first may be empty, the client's, and the proxy's behind it
	}
	if proxied {
		return false, "keys are not served through a proxy, unless --admin-keys is given"
	}
	return true, ""
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
