package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// resolveWithin bounds how long the names in -l may take to be looked up.
const resolveWithin = 10 * time.Second

// address is where to listen.
type address struct {
	words string // that package server wants before it; of no meaning for UDP
	addr  string // "host:port" or ":port"
}

// addresses are the TCP addresses to listen on, or those of UDP, network being "TCP" or "UDP".
//
//	-s    -p or -l    TCP
//	no    no          port 11211, everywhere
//	no    yes         as they say
//	yes   no          none: a unix socket alone means no network
//	yes   yes         as they say, beside the socket
//
// And -p 0 turns TCP off whatever else is said. UDP is where TCP is, at the port of -U, or at -l's where one is given, and -U 0
// turns it off. An address that is mentioned twice is listened on once.
func addresses(ctx context.Context, c *config, network string) (addrs []address, err error) {
	port := c.opts.Settings.Port
	if network == "UDP" {
		port = c.opts.Settings.UDPPort
	}
	if port == 0 || c.opts.UnixSocket != "" && !c.portGiven && len(c.inter) == 0 {
		return nil, nil
	}
	if port < -1 {
		return nil, listenError(c, network, "there is no such port")
	}
	if len(c.inter) == 0 {
		return []address{{"", joinHostPort("", port)}}, nil
	}
	known := map[string]bool{}
	for _, list := range c.inter {
		for _, spec := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ';' }) {
			words, host, port, err := splitListener(c, strings.TrimSpace(spec), port)
			if err != nil {
				return nil, listenError(c, network, err.Error())
			}
			hosts, err := resolve(ctx, host)
			if err != nil {
				return nil, listenError(c, network, err.Error())
			}
			for _, host := range hosts {
				if a := joinHostPort(host, port); !known[a] {
					known[a] = true
					addrs = append(addrs, address{words, a})
				}
			}
		}
	}
	return addrs, nil
}

// joinHostPort writes an address for package server. -1, memcached's "any free port", is the kernel's 0.
func joinHostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(max(port, 0)))
}

// splitListener takes one listener of -l apart:
//
//	[notls:|btls:|mtls:] [proto[NAME]:] [tag[NAME]:|tag_NAME_:] host | host:port | v6 | [v6] | [v6]:port | * | *:port
//
// The tag is for memcached's proxy and means nothing here. The words before it are for package server.
func splitListener(c *config, spec string, port int) (words, host string, _ int, _ error) {
	for _, word := range []string{"notls", "btls", "mtls"} {
		if rest, ok := strings.CutPrefix(spec, word+":"); ok {
			if c.opts.TLS == nil {
				return "", "", 0, complaint("'%s' option is valid only when SSL is enabled", word)
			}
			words, spec = word+":", rest
			break
		}
	}
	if inside, ok := strings.CutPrefix(spec, "proto["); ok {
		name, rest, ok := strings.Cut(inside, "]:")
		switch {
		case !ok:
			return "", "", 0, complaint("Invalid protocol spec: \"[%s\"", inside)
		case name == "proxy":
			return "", "", 0, complaint("Server not built with proxy: \"%s\"", spec)
		case name != "ascii" && name != "binary" && name != "negotiating":
			return "", "", 0, complaint("Invalid protocol spec: \"%s\"", name)
		case name == "binary" && c.opts.AuthFile != "" && !c.opts.SASL:
			return "", "", 0, complaint("Cannot use binary protocol when ascii authentication enabled")
		case name == "negotiating" && c.opts.AuthFile != "" && !c.opts.SASL:
			warn("WARNING: negotiating ports are ascii only when ascii authentication enabled")
			name = "ascii"
		}
		words, spec = words+"proto["+name+"]:", rest
	}
	for prefix, end := range map[string]string{"tag[": "]:", "tag_": "_:"} {
		inside, ok := strings.CutPrefix(spec, prefix)
		if !ok {
			continue
		}
		name, rest, ok := strings.Cut(inside, end)
		if !ok {
			return "", "", 0, complaint("Invalid tag in socket config: \"%s\"", spec[len("tag"):])
		}
		if len(name) < 1 || len(name) > 8 {
			return "", "", 0, complaint("Listener tags must be between 1 and 8 characters: \"%s\"", name)
		}
		spec = rest
	}

	portText, ported := "", false
	host = spec
	if inside, ok := strings.CutPrefix(spec, "["); ok {
		rest := ""
		if host, rest, ok = strings.Cut(inside, "]"); !ok {
			return "", "", 0, complaint("Invalid IPV6 address: \"%s\"", spec)
		}
		if portText, ported = strings.CutPrefix(rest, ":"); !ported && rest != "" {
			return "", "", 0, complaint("Invalid IPV6 address: \"%s\"", spec)
		}
	} else if strings.Count(spec, ":") == 1 { // more of them are an IPv6 address without brackets
		host, portText, ported = strings.Cut(spec, ":")
	}
	if ported {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return "", "", 0, complaint("Invalid port number: \"%s\"", portText)
		}
		port = int(n)
	}
	if host == "*" {
		host = ""
	}
	return words, host, port, nil
}

// complaint is what is wrong with an address, in memcached's words; listenError completes the sentence.
func complaint(format string, args ...any) error { return quit(exOSErr, format, args...) }

// resolve turns a host into the addresses it has, all of which are listened on, as memcached does. "" is everywhere.
func resolve(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return []string{host}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) {
			err = errors.New(dns.Err) // the sentence names the host already, and whom we asked is nobody's business
		}
		return nil, complaint("getaddrinfo(): %s", err)
	}
	var hosts []string
	for _, ip := range found {
		if ip = ip.Unmap(); ip.Is4() || hasAddress(ip) {
			hosts = append(hosts, ip.String())
		}
	}
	if len(hosts) == 0 { // let listening say what is wrong with it
		hosts = append(hosts, found[0].String())
	}
	return hosts, nil
}

// hasAddress tells whether this machine has an IPv6 address. In a container without IPv6 the hosts file still says that
// localhost is ::1 too, and -l localhost should serve what there is.
func hasAddress(ip netip.Addr) bool {
	l, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	if err != nil {
		return !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT)
	}
	_ = l.Close()
	return true
}

// writePortFile tells, in the file that MEMCACHED_PORT_FILENAME names, which ports were opened: test suites ask for any
// free port with -p -1. The file appears complete, by renaming. That it cannot be written is no reason not to serve.
func writePortFile(asked []address, opened []net.Addr) {
	name := os.Getenv("MEMCACHED_PORT_FILENAME")
	if name == "" {
		return
	}
	temp := name + ".lck"
	if err := os.WriteFile(temp, []byte(portLines(asked, opened)), 0o666); err != nil {
		warn("Failed to open \"%s\": %s", temp, reasonOf(err))
		return
	}
	if err := os.Rename(temp, name); err != nil {
		warn("Failed to rename \"%s\": %s", temp, reasonOf(err))
	}
}

// portLines has memcached's line for every family that an address is open to. A host of "" is open to both, through one socket.
// A unix socket among those that are opened was not asked for as an address.
func portLines(asked []address, opened []net.Addr) string {
	var b strings.Builder
	for _, o := range opened {
		if o.Network() == "unix" {
			continue
		}
		local := netip.MustParseAddrPort(o.String())
		network, v6 := strings.ToUpper(o.Network()), local.Addr().Is6()
		if !v6 || strings.HasPrefix(asked[0].addr, ":") {
			fmt.Fprintf(&b, "%s INET: %d\n", network, local.Port())
		}
		if v6 {
			fmt.Fprintf(&b, "%s INET6: %d\n", network, local.Port())
		}
		asked = asked[1:]
	}
	return b.String()
}
