package proc

import (
	"os"
	"testing"
	"time"
)

func TestStatCountsFromTheLastBracket(t *testing.T) {
	for name, text := range map[string]string{
		"plain":    "4711 (gomemd) S 1 4711 4711 0 -1 4194560 900 0 12 0 257 1031 5 6 20 0 7 0 99 1 2 3\n",
		"brackets": "4711 (a) S 1) (b) R 1 4711 4711 0 -1 4194560 900 0 12 0 257 1031 5 6 20 0 7 0 99 1 2 3\n",
	} {
		user, sys, err := parseStat([]byte(text))
		if err != nil || user != 2570*time.Millisecond || sys != 10310*time.Millisecond {
			t.Errorf("%s: %v + %v, %v", name, user, sys, err)
		}
	}
	for _, text := range []string{"", "4711 (x) S 1 2", "4711 (x) S 1 4711 4711 0 -1 4194560 900 0 12 0 many 1 2"} {
		if _, _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}

func TestStatusIsInKilobytes(t *testing.T) {
	rss, peak, err := parseStatus([]byte("Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n"))
	if err != nil || rss != 1<<20 || peak != 2<<20 {
		t.Error(rss, peak, err)
	}
	if _, _, err := parseStatus([]byte("Name:\tx\nVmRSS:\t1 kB\n")); err == nil {
		t.Error("a status without VmHWM passed")
	}
}

func TestSwitchesAreOfBothKinds(t *testing.T) {
	n, err := parseSwitches([]byte("Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n"))
	if err != nil || n != 42 {
		t.Error(n, err)
	}
	if _, err := parseSwitches([]byte("Name:\tx\nvoluntary_ctxt_switches:\t40\n")); err == nil {
		t.Error("a status without nonvoluntary_ctxt_switches passed")
	}
}

func TestReadsItself(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for end := time.Now().Add(30 * time.Second); after.User+after.Sys < before.User+before.Sys+2*tick; { // busy until it shows
		if after, err = Read(os.Getpid()); err != nil || time.Now().After(end) {
			t.Fatalf("%v, then %v, %v", before, after, err)
		}
	}
	// The clock is at least as far as the ticks, which are rounded down.
	if after.CPU < after.User+after.Sys || after.CPU <= before.CPU {
		t.Errorf("the clock says %v, then %v; ticks %v, then %v", before.CPU, after.CPU, before.User+before.Sys, after.User+after.Sys)
	}
	if after.Switches == 0 {
		t.Error("never switched")
	}
	if after.RSS < 1<<20 || after.Peak < after.RSS {
		t.Errorf("memory: %+v", after)
	}
}
