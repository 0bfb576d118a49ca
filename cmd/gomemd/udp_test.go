package main

import (
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// udp is the first address for datagrams of a process that listens on 127.0.0.1.
func (p *process) udp(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.path("ports"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^UDP INET: (\d+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no UDP port: %s", text)
	}
	return "127.0.0.1:" + string(found[1])
}

// answersUDP asks until there is an answer, for datagrams may be lost.
func answersUDP(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := make([]byte, 2000)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, err := c.Write([]byte("\x00\x07\x00\x00\x00\x01\x00\x00mn\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(in); err == nil {
			if got := string(in[:n]); got != "\x00\x07\x00\x00\x00\x01\x00\x00MN\r\n" {
				t.Errorf("heard %q", got)
			}
			return
		}
	}
	t.Errorf("%s does not answer", addr)
}

func TestUDPIsServed(t *testing.T) {
	for args, lines := range map[string]string{
		"-l 127.0.0.1 -U -1":                      "TCP INET: # UDP INET: #", // and TCP with it
		"-l 127.0.0.1 -p 0 -U -1":                 "UDP INET: #",
		"-p -1 -U -1 -l 127.0.0.1:0":              "TCP INET: # UDP INET: #",
		"-l 127.0.0.1,127.0.0.2 -p -1 -U -1":      "TCP INET: # TCP INET: # UDP INET: # UDP INET: #",
		"-s {dir}/socket -p 0 -U -1 -l 127.0.0.1": "UDP INET: #",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := launch(t, strings.Fields(args))
			answersUDP(t, p.udp(t))
			text, _ := os.ReadFile(p.path("ports"))
			if got := strings.Join(strings.Fields(regexp.MustCompile(`\d+\n`).ReplaceAllString(string(text), "#\n")), " "); got != lines {
				t.Errorf("port file %q, want %q", got, lines)
			}
			p.endsOn(t, syscall.SIGTERM)
		})
	}
}

// Debian's file and RHEL's may turn it on.
func TestUDPByAConfigFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"-d\n-m 64\n-p -1 # any\n-U -1\n-l 127.0.0.1\n", "PORT=\"-1\"\nOPTIONS=\"-l 127.0.0.1 -U -1\"\n"} {
		p := launch(t, []string{"--config", configFile(t, text)})
		answersUDP(t, p.udp(t))
		answer(t, "tcp", p.tcp(), "stats settings", regexp.MustCompile(`(STAT udpport -1)\r`))
	}
}

// A port that somebody else has is said, and the process ends.
func TestAUDPPortThatIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.LocalAddr().String())
	for args, want := range map[string]string{
		"-p 0 -l 127.0.0.1 -U " + port: "failed to listen on one of interface(s) 127.0.0.1: Address already in use\n",
		"-p 0 -U " + port:              "failed to listen on UDP port " + port + ": Address already in use\n",
	} {
		code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), asUser(strings.Fields(args))...)
		if code != exOSErr || stderr != want {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
}

// -S takes its passwords from the file that memcached's builds with a password file of their own take
// them from.
func TestSASLPasswordsFromTheEnvironment(t *testing.T) {
	file := configFile(t, "alice@example.org:s3cret\n")
	t.Setenv("MEMCACHED_SASL_PWDB", file)
	p := launch(t, with("-S"))
	if p.said() != "" {
		t.Errorf("said %q", p.said())
	}
	p.endsOn(t, syscall.SIGTERM)
	t.Setenv("MEMCACHED_SASL_PWDB", file+".not")
	code, _, stderr := tryFor(t, 20*time.Second, gomemd(t), asUser(with("-S"))...)
	if code != exFailure || !strings.HasPrefix(stderr, "Could not open authfile ["+file+".not] for reading") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
