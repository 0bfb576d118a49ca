package compat_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/memcached_exporter/pkg/exporter"
)

// traffic makes most counters count.
const traffic = "set k 0 0 5\r\nvalue\r\nset n 0 100 1\r\n1\r\nincr n 1\r\ndecr n 1\r\nget k nobody\r\ngat 100 k\r\ntouch n 100\r\n" +
	"cas k 0 0 1 1\r\nx\r\ndelete nobody\r\nmn"

// families are what the exporter makes of a server, with their series, and whether it complains.
func families(t *testing.T, s *tcpServer) (names []string, complaints string) {
	t.Helper()
	answer, err := s.ask(traffic, "MN")
	if err != nil {
		t.Fatalf("%s: %q, %v", s.name, answer, err)
	}
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	registry.MustRegister(exporter.New(s.addr, 20*time.Second, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})), nil))
	gathered, err := registry.Gather()
	must(t, err)
	up := false
	for _, family := range gathered {
		name := family.GetName()
		for _, m := range family.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				if l.GetName() != "slab" && l.GetName() != "version" { // which differ
					labels += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
				}
			}
			names = append(names, fmt.Sprint(name, " ", family.GetType(), labels))
		}
		up = up || name == "memcached_up" && family.GetMetric()[0].GetGauge().GetValue() == 1
	}
	if !up {
		t.Fatalf("%s is not up, says the exporter:\n%s%s", s.name, strings.Join(names, "\n"), log.String())
	}
	slices.Sort(names)
	return slices.Compact(names), log.String()
}

// Prometheus' exporter makes the same of gomemd as of memcached.
func TestToolMemcachedExporter(t *testing.T) {
	got, complaints := families(t, startGomemd(t, nil))
	if complaints != "" {
		t.Error(complaints)
	}
	if len(got) < 80 {
		t.Errorf("%d series", len(got))
	}
	path := *oracle
	if path == "" {
		path = tool(t, "memcached", "memcached")
	}
	want, _ := families(t, startOracle(t, path, []string{"-o", "modern"}))
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

const memcachedTool = "/usr/share/memcached/scripts/memcached-tool"

func TestToolMemcachedTool(t *testing.T) {
	if _, err := os.Stat(memcachedTool); err != nil {
		leaveOut(t, memcachedTool+" is not installed (Debian package memcached; make deps)")
	}
	s := startGomemd(t, nil)
	for i := range 50 {
		_, err := s.ask(fmt.Sprintf("set key%d 0 0 100\r\n%0100d", i, i), "STORED")
		must(t, err)
	}
	for _, before := range []string{"", "stats reset"} { // what has been counted does not matter
		if before != "" {
			_, err := s.ask(before, "RESET")
			must(t, err)
		}
		for mode, says := range map[string]string{
			"display":  `(?m)^ +#.*Count.*\n +1 +\d+B +\d+s +1 +50 .* 0 +0$`,
			"stats":    `(?m)^ +curr_items +50$`,
			"settings": `(?m)^ +maxbytes +67108864$`,
			"sizes":    `(?m)^# +Size +Count\n *$|disabled`,
			"dump":     `(?m)^add key49 0 \d+ 100\n0+49$`,
		} {
			said, status := run(t, "perl", memcachedTool, s.addr, mode)
			said = strings.ReplaceAll(said, "\r\n", "\n")
			if status != 0 || !regexp.MustCompile(says).MatchString(said) {
				t.Errorf("%s %s: status %d, says %.2000s", before, mode, status, said)
			}
		}
	}
	if said, status := run(t, tool(t, "memcdump", toolsPackage), "--servers="+s.addr); status != 0 || strings.Count(said, "key") != 50 {
		t.Errorf("memcdump: status %d, says %s", status, said)
	}
}
