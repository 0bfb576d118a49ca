package server

import (
	"fmt"
	"strings"

	"github.com/gomemd/gomemd/internal/conn"
	"github.com/gomemd/gomemd/internal/session"
)

// Protocol is which of memcached's two protocols clients may speak.
type Protocol uint8

// The protocols. Negotiated is either: the first byte that a client sends says which.
const (
	Negotiated = Protocol(session.Either)
	ASCII      = Protocol(session.Text)
	Binary     = Protocol(session.Binary)
)

// String is memcached's name for it in stats settings.
func (p Protocol) String() string {
	if int(p) >= len(protocolNames) {
		return "unknown"
	}
	return protocolNames[p]
}

var protocolNames = [...]string{Negotiated: "auto-negotiate", ASCII: "ascii", Binary: "binary"}

// protocol is what is spoken where an address says nothing else.
func (o *Options) protocol() Protocol {
	if o.AuthFile != "" && !o.SASL {
		return ASCII
	}
	return o.Protocol
}

// addresses takes Listen apart:
//
//	[notls:|btls:|mtls:] [proto[NAME]:] host:port
func (o *Options) addresses() (addrs []conn.Address, err error) {
	for _, spec := range o.Listen {
		a := conn.Address{Addr: spec, Wire: session.Wire(o.protocol())}
		if o.TLS != nil {
			a.TLS = conn.PerTLS
		}
		for word, mode := range map[string]conn.TLS{"notls:": conn.NoTLS, "btls:": conn.Basic, "mtls:": conn.Mutual} {
			rest, ok := strings.CutPrefix(a.Addr, word)
			switch {
			case !ok:
				continue
			case o.TLS == nil:
				return nil, fmt.Errorf("'%s' option is valid only when SSL is enabled", strings.TrimSuffix(word, ":"))
			}
			a.Addr, a.TLS = rest, mode
			break
		}
		if inside, ok := strings.CutPrefix(a.Addr, "proto["); ok {
			name, rest, _ := strings.Cut(inside, "]:")
			wire, known := map[string]session.Wire{"negotiating": session.Either, "ascii": session.Text, "binary": session.Binary}[name]
			if !known {
				return nil, fmt.Errorf("%s: there is no such protocol", spec)
			}
			if wire == session.Binary && o.AuthFile != "" && !o.SASL {
				return nil, fmt.Errorf("%s: the binary protocol has no login without SASL", spec)
			}
			a.Addr, a.Wire = rest, wire
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}
