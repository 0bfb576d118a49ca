package main

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// encrypted is a command line of -Z, without the addresses.
const encrypted = "-Z -o ssl_chain_cert=f,ssl_key=f "

func TestAddresses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                 ":11211",
		"-p 1":                             ":1",
		"-p -1":                            ":0",
		"-p 0":                             "",
		"-p 0 -l 127.0.0.1":                "",
		"-s f":                             "",
		"-s f -U 5":                        "",
		"-s f -p 11211":                    ":11211",
		"-s f -l ::1":                      "[::1]:11211",
		"-s f -p 0":                        "",
		"-l *":                             ":11211",
		"-l *:5":                           ":5",
		"-l 127.0.0.1,::1":                 "127.0.0.1:11211 [::1]:11211",
		"-l 127.0.0.1;[::1]":               "127.0.0.1:11211 [::1]:11211",
		"-l 127.0.0.1:5,[::]:6":            "127.0.0.1:5 [::]:6",
		"-l 0.0.0.0,::":                    "0.0.0.0:11211 [::]:11211",
		"-p 7 -l ,127.0.0.1:0,,127.0.0.2,": "127.0.0.1:0 127.0.0.2:7",
		"-l 127.0.0.1 -l 127.0.0.1:11211":  "127.0.0.1:11211",
		"-l fe80::1%lo":                    "[fe80::1%lo]:11211",
		"-l proto[ascii]:127.0.0.1:5":      "proto[ascii]:127.0.0.1:5",
		"-l proto[negotiating]:tag[abc]:*": "proto[negotiating]::11211",
		"-l proto[binary]:[::1]":           "proto[binary]:[::1]:11211",
		"-l tag_abc_:[::1]:5":              "[::1]:5",
		encrypted + "-l notls:127.0.0.1:5": "notls:127.0.0.1:5",
		encrypted + "-l btls:*":            "btls::11211",
		encrypted + "-l mtls:proto[ascii]:tag[abc]:[::1]:5,127.0.0.1": "mtls:proto[ascii]:[::1]:5 127.0.0.1:11211",
	} {
		c, err := parse("gomemd", strings.Fields(args))
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		addrs, err := addresses(t.Context(), c, "TCP")
		var got []string
		for _, a := range addrs {
			got = append(got, a.words+a.addr)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %q", args, got, err, want)
		}
	}
}

// UDP is where TCP is.
func TestUDPAddresses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                     "",
		"-p 5":                                 "",
		"-l 127.0.0.1:5":                       "",
		"-U 5":                                 ":5",
		"-U 5 -p 6":                            ":5",
		"-U 5 -p 0":                            ":5",
		"-U -1":                                ":0",
		"-U 0":                                 "",
		"-U 5 -l 127.0.0.1,[::1]:6":            "127.0.0.1:5 [::1]:6",
		"-U 5 -l proto[binary]:tag_a_:0.0.0.0": "0.0.0.0:5",
		"-s f -U 5":                            "",
		"-s f -U 5 -p 6":                       ":5",
		"-s f -U 5 -l 127.0.0.1":               "127.0.0.1:5",
	} {
		c, err := parse("gomemd", strings.Fields(args))
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		addrs, err := addresses(t.Context(), c, "UDP")
		var got []string
		for _, a := range addrs {
			got = append(got, a.addr)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %q", args, got, err, want)
		}
	}
}

func TestAddressesRefused(t *testing.T) {
	for spec, reason := range map[string]string{
		"proto[ascii:127.0.0.1":       `Invalid protocol spec: "[ascii:127.0.0.1"`,
		"proto[proxy]:127.0.0.1":      `Server not built with proxy: "proto[proxy]:127.0.0.1"`,
		"proto[http]:127.0.0.1":       `Invalid protocol spec: "http"`,
		"tag_abc:127.0.0.1":           `Invalid tag in socket config: "_abc:127.0.0.1"`,
		"tag_abcdefghi_:127.0.0.1":    `Listener tags must be between 1 and 8 characters: "abcdefghi"`,
		"tag[]:127.0.0.1":             `Listener tags must be between 1 and 8 characters: ""`,
		"notls:127.0.0.1":             `'notls' option is valid only when SSL is enabled`,
		"btls:127.0.0.1":              `'btls' option is valid only when SSL is enabled`,
		"mtls:127.0.0.1":              `'mtls' option is valid only when SSL is enabled`,
		"[::1]5":                      `Invalid IPV6 address: "[::1]5"`,
		"[::1]:":                      `Invalid port number: ""`,
		"127.0.0.1:":                  `Invalid port number: ""`,
		"127.0.0.1:-1":                `Invalid port number: "-1"`,
		"127.0.0.1,127.0.0.1:1000000": `Invalid port number: "1000000"`,
	} {
		c, err := parse("gomemd", []string{"-l", spec})
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		_, err = addresses(t.Context(), c, "TCP")
		if want := "failed to listen on one of interface(s) " + spec + ": " + reason; err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", spec, err, want)
		}
	}
}

// TestNamesHaveAddresses: a name is listened on at all its addresses that this machine has.
func TestNamesHaveAddresses(t *testing.T) {
	hosts, err := resolve(t.Context(), "localhost")
	if err != nil {
		t.Skip("this machine does not know localhost:", err)
	}
	for _, h := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(h, "0"))
		if err != nil {
			t.Errorf("%s: %v", h, err)
			continue
		}
		_ = l.Close()
	}
	if !slices.Contains(hosts, "127.0.0.1") && !slices.Contains(hosts, "::1") {
		t.Errorf("localhost is %q", hosts)
	}
}

func TestPortLines(t *testing.T) {
	v4 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	v6 := &net.TCPAddr{IP: net.IPv6loopback, Port: 2}
	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: 3}
	only4 := &net.TCPAddr{IP: net.IPv4zero, Port: 4} // a kernel without IPv6
	socket := &net.UnixAddr{Name: "f", Net: "unix"}
	udp := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5}
	udpEverywhere := &net.UDPAddr{IP: net.IPv6unspecified, Port: 6}
	for _, row := range []struct {
		asked  string
		opened []net.Addr
		want   string
	}{
		{"127.0.0.1:0", []net.Addr{v4}, "TCP INET: 1\n"},
		{"[::1]:2 127.0.0.1:1", []net.Addr{v6, v4, socket}, "TCP INET6: 2\nTCP INET: 1\n"},
		{":3", []net.Addr{everywhere}, "TCP INET: 3\nTCP INET6: 3\n"},
		{"[::]:3", []net.Addr{everywhere}, "TCP INET6: 3\n"},
		{":4", []net.Addr{only4}, "TCP INET: 4\n"},
		{"127.0.0.1:0 127.0.0.1:0", []net.Addr{v4, socket, udp}, "TCP INET: 1\nUDP INET: 5\n"},
		{":3 :0", []net.Addr{everywhere, udpEverywhere}, "TCP INET: 3\nTCP INET6: 3\nUDP INET: 6\nUDP INET6: 6\n"},
		{"", []net.Addr{socket}, ""},
		{"", nil, ""},
	} {
		var asked []address
		for _, a := range strings.Fields(row.asked) {
			asked = append(asked, address{"", a})
		}
		if got := portLines(asked, row.opened); got != row.want {
			t.Errorf("%s: %q, want %q", row.asked, got, row.want)
		}
	}
}
