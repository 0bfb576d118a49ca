package pair

import (
	"testing"
	"time"
)

func TestCommandLinesNameNoPlaces(t *testing.T) {
	got := commandLine("compare", []string{"-memcached", "/somewhere/of/mine/memcached", "-gomemd=/tmp/x/gomemd", "-only", "a|b", "-with", "-size 100"})
	want := "go run ./bench/compare -memcached memcached -gomemd=gomemd -only 'a|b' -with '-size 100'"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
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
