package pair

import (
	"flag"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCommandLinesNameNoPlaces(t *testing.T) {
	got := commandLine("compare", []string{"-memcached", "/somewhere/of/mine/memcached", "-gomemd=/tmp/x/gomemd", "-only", "a|b", "-with", "-size 100",
		"-peer", "new=/somewhere/of/mine/new -p {port} -e /somewhere/else", "-o", "kept.txt", "-memcached", ""})
	want := "go run ./bench/compare -memcached memcached -gomemd=gomemd -only 'a|b' -with '-size 100' -peer 'new=new -p {port} -e else' -o kept.txt -memcached ''"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestPeersAreStartedAsTheirCommandsSay(t *testing.T) {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	p := Flags(f)
	p.Peers(f)
	err := f.Parse([]string{"-peer", "new=/opt/new -o no_modern", "-peer", "x=x --on={port} {threads} {memory}m {tls} --crt {cert} --key {key}"})
	if err != nil || len(p.Kinds) != 4 {
		t.Fatal(p.Kinds, err)
	}
	plain := Setup{Memory: 64, Threads: 2, Conns: 10}
	secure := plain
	secure.TLS = &Identity{Cert: "c", Key: "k"}
	for _, c := range []struct {
		kind int
		with Setup
		want string
	}{
		{2, plain, "/opt/new -l 127.0.0.1 -p 9 -U 0 -o no_modern -m 64 -t 2 -c 10"},
		{2, secure, "/opt/new -l 127.0.0.1 -p 9 -U 0 -o no_modern -m 64 -t 2 -c 10 -Z -o ssl_chain_cert=c,ssl_key=k"},
		{3, plain, "x --on=9 2 64m"},
		{3, secure, "x --on=9 2 64m --crt c --key k"},
	} {
		got := strings.TrimSuffix(strings.Join(p.Kinds[c.kind].words(c.with, "9"), " "), " -u root")
		if got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
	for _, wrong := range []string{"new", "new=", "=x", "gomemd=x", "x=y"} {
		if err := f.Parse([]string{"-peer", wrong}); err == nil {
			t.Errorf("-peer %s passed", wrong)
		}
	}
}

func TestListsOfCPUs(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0-2,4": {0, 1, 2, 4}, "3,1": {3, 1}} {
		if got, err := parseCPUs(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", list, got, err)
		}
	}
	for _, wrong := range []string{"", "a", "1,", "2-1", "-1", "0-1024"} {
		if got, err := parseCPUs(wrong); err == nil {
			t.Errorf("%q is taken for %v", wrong, got)
		}
	}
}

func TestAChildStaysOnItsCPUs(t *testing.T) {
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(0, &ours); err != nil {
		t.Fatal(err)
	}
	last := -1
	for n := range 1024 {
		if ours.IsSet(n) {
			last = n
		}
	}
	child := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status")
	var said strings.Builder
	child.Stdout = &said
	if err := on([]int{last}, child.Start); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil || !slices.Equal(strings.Fields(said.String()), []string{"Cpus_allowed_list:", strconv.Itoa(last)}) {
		t.Errorf("on %d: %q, %v", last, said.String(), err)
	}
}

func TestTheRuntimesWordsOnCollections(t *testing.T) {
	gc, used := parseGC(`listening
gc 1 @0.004s 2%: 0.018+1.3+0.076 ms clock, 0.05+0.35/1.2/3.0+0.4 ms cpu, 4->5->1 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @9.1s 0%: 0.25+2+0.01 ms clock, 1+0/1/0+1 ms cpu, 4->5->1 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
`)
	if gc.Collections != 2 || gc.LongestStop != 250*time.Microsecond || used != 8*time.Millisecond {
		t.Error(gc, used)
	}
}
