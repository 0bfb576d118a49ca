package sched

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheArrangementFollowsTheLoad(t *testing.T) {
	const loops = 4
	for _, tt := range []struct {
		name       string
		was        arrangement
		used       usage
		want       arrangement
		processors int
	}{
		{"a processor for each loop", arrangement{}, usage{cores: 3.9}, arrangement{}, 4},
		{"half a core is not quiet yet", arrangement{}, usage{cores: 0.5}, arrangement{}, 4},
		{"little to do", arrangement{}, usage{cores: 0.4}, arrangement{quiet: true}, 1},
		{"little to do, but many clients come", arrangement{}, usage{cores: 0.4, errands: 400}, arrangement{errands: true}, 5},
		{"little to do, and few come any more", arrangement{errands: true}, usage{cores: 0.4, errands: 100}, arrangement{quiet: true}, 1},
		{"many clients come", arrangement{}, usage{cores: 1, errands: 3000}, arrangement{errands: true}, 5},
		{"some still come", arrangement{errands: true}, usage{cores: 1, errands: 200}, arrangement{errands: true}, 5},
		{"some come", arrangement{}, usage{cores: 1, errands: 200}, arrangement{}, 4},
		{"few come any more", arrangement{errands: true}, usage{cores: 1, errands: 100}, arrangement{}, 4},
	} {
		got := tt.was.adjust(tt.used)
		if got != tt.want || got.processors(loops) != tt.processors {
			t.Errorf("%s: %+v, %d processors, want %+v, %d", tt.name, got, got.processors(loops), tt.want, tt.processors)
		}
	}
}

// It takes no longer than loops take to tell of their work until it is not quiet any more.
func TestLoopsEndTheQuiet(t *testing.T) {
	begin := time.Now()
	for _, tt := range []struct {
		name    string
		loops   int
		portion float64 // of the time that each works
		quiet   bool
	}{
		{"one loop, half busy", 1, 0.5, true},
		{"one loop, busy", 1, 0.9, false},
		{"four loops that are as busy together", 4, 0.9 / 4, false},
		{"four loops with little to do", 4, 0.1, true},
	} {
		l := New(nil)
		l.Quiet.Store(true)
		l.from.Store(begin.UnixNano())
		for at := time.Duration(0); at < 3*lookEvery; at += lookEvery / 4 {
			for range tt.loops {
				l.Worked(time.Duration(tt.portion*float64(lookEvery/4)), begin.Add(at+lookEvery/4))
			}
		}
		if l.Quiet.Load() != tt.quiet {
			t.Errorf("%s: quiet %v", tt.name, l.Quiet.Load())
		}
	}
}

// What loops do not tell of ends the quiet by the time that the process has used, or by the clients who
// have shaken hands.
func TestATickEndsTheQuiet(t *testing.T) {
	l := New(func() uint64 { return 1e6 })
	for _, tt := range []struct {
		ago           time.Duration
		used, errands float64
		quiet         bool
	}{
		{100 * time.Second, 0, 0, true},
		{time.Second, 9, 0, false},
		{100 * time.Second, 0, 1e6, false},
	} {
		now := l.sample()
		l.ticked = usage{at: now.at.Add(-tt.ago), cores: now.cores - tt.used, errands: now.errands - tt.errands}
		l.Quiet.Store(true)
		if l.Tick(); l.Quiet.Load() != tt.quiet {
			t.Errorf("%v s and %v errands within %v: quiet %v", tt.used, tt.errands, tt.ago, l.Quiet.Load())
		}
	}
}

// Follow takes effect at once, and when it ends the scheduler is what it was.
func TestTheSchedulerIsLeftAsItWasFound(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	t.Setenv("GOGC", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	l := New(func() uint64 { return 0 })
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { l.Follow(3, stop); close(done) }()
	await := func(procs int, quiet bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); runtime.GOMAXPROCS(0) != procs || l.Quiet.Load() != quiet; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d processors for 3 loops, quiet: %v; want %d, %v", runtime.GOMAXPROCS(0), l.Quiet.Load(), procs, quiet)
			}
		}
	}
	await(1, true)
	l.Beside(+1)
	await(2, true)
	l.Beside(-1)
	await(1, true)
	close(stop)
	<-done
	if n, percent := runtime.GOMAXPROCS(0), debug.SetGCPercent(77); n != 7 || percent != 77 || l.Quiet.Load() {
		t.Errorf("%d processors, GOGC %d, quiet: %v", n, percent, l.Quiet.Load())
	}
}

func TestTheEnvironmentHasTheLastWord(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	before := runtime.GOMAXPROCS(0)
	l := New(func() uint64 { return 0 })
	l.Follow(before+3, nil) // returns
	if n := runtime.GOMAXPROCS(0); n != before || l.Quiet.Load() {
		t.Errorf("%d processors, quiet: %v", n, l.Quiet.Load())
	}
}

// A ticker ticks, drops ticks that nobody takes, and ends.
func TestTicks(t *testing.T) {
	ticker := NewTicker(time.Millisecond)
	for range 3 {
		<-ticker.C
	}
	ticker.Stop()
	late := 0 // one may wait, and another be under way
	for end := time.After(100 * time.Millisecond); end != nil; {
		select {
		case <-ticker.C:
			late++
		case <-end:
			end = nil
		}
	}
	if late > 2 {
		t.Errorf("%d ticks of a ticker that was stopped", late)
	}
}
