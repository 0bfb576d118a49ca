package sched

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestProcessorsFollowTheLoad(t *testing.T) {
	for _, tt := range []struct {
		name        string
		procs, most int
		ours, idle  float64
		want        int
	}{
		{"nothing to do", 1, 4, 0, 8, 1},
		{"half busy", 1, 4, 0.5, 7, 1},
		{"busy, and a core is idle", 1, 4, 0.95, 7, 2},
		{"busy, but the machine is full: another would only fight for a core", 1, 4, 0.95, 0.1, 1},
		{"busy, and all that may be", 4, 4, 3.9, 4, 4},
		{"two are enough for this", 2, 4, 1.2, 6, 2},
		{"one would do", 2, 4, 0.5, 7, 1},
		{"one too many of four", 4, 4, 1.7, 6, 3},
		{"two share a machine that is full", 2, 4, 1.2, 0.02, 1},
		{"two are busy on a machine that is full", 2, 4, 1.9, 0.02, 2},
		{"never none", 1, 4, 0, 0, 1},
	} {
		a := arrangement{procs: tt.procs}
		if got := a.adjust(tt.most, usage{ours: tt.ours, idle: tt.idle}).procs; got != tt.want {
			t.Errorf("%s: %d processors, want %d", tt.name, got, tt.want)
		}
	}
}

func TestLoopsDwellWhileThereIsLittleToDo(t *testing.T) {
	a := arrangement{procs: 1, dwell: true}
	for i, tt := range []struct {
		ours float64
		want bool
	}{
		{0, true}, {0.5, true}, {0.7, false}, {0.5, false}, {0.4, true}, {3, false},
	} {
		if a = a.adjust(1, usage{ours: tt.ours, idle: 1}); a.dwell != tt.want {
			t.Errorf("%d: %v at %v cores", i, a.dwell, tt.ours)
		}
	}
}

func TestErrandsHaveAProcessorWhileThereAreMany(t *testing.T) {
	a := arrangement{procs: 1}
	for i, tt := range []struct {
		errands float64
		want    bool
	}{
		{0, false}, {300, false}, {30_000, true}, {300, true}, {100, false},
	} {
		if a = a.adjust(1, usage{ours: 1, errands: tt.errands}); a.errands != tt.want {
			t.Errorf("%d: %v at %v errands a second", i, a.errands, tt.errands)
		}
	}
}

func TestIdleTimeIsRead(t *testing.T) {
	if idleTime() <= 0 {
		t.Error("no idle time in /proc/stat")
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
	for end := time.Now().Add(20 * time.Second); runtime.GOMAXPROCS(0) != 4 || !l.Dwell.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d processors for 3 loops, dwelling: %v", runtime.GOMAXPROCS(0), l.Dwell.Load())
		}
	}
	close(stop)
	<-done
	if n, percent := runtime.GOMAXPROCS(0), debug.SetGCPercent(77); n != 7 || percent != 77 || l.Dwell.Load() {
		t.Errorf("%d processors, GOGC %d, dwelling: %v", n, percent, l.Dwell.Load())
	}
}

func TestTheEnvironmentHasTheLastWord(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	before := runtime.GOMAXPROCS(0)
	l := New(func() uint64 { return 0 })
	l.Follow(before+3, nil) // returns
	if n := runtime.GOMAXPROCS(0); n != before || l.Dwell.Load() {
		t.Errorf("%d processors, dwelling: %v", n, l.Dwell.Load())
	}
}
