package pair

import "testing"

func TestCommandLinesNameNoPlaces(t *testing.T) {
	got := commandLine("compare", []string{"-memcached", "/somewhere/of/mine/memcached", "-gomemd=/tmp/x/gomemd", "-only", "a|b", "-with", "-size 100"})
	want := "go run ./bench/compare -memcached memcached -gomemd=gomemd -only 'a|b' -with '-size 100'"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
