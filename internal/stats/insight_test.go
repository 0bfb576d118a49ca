package stats

import (
	"testing"
	"time"
)

// A bound belongs to the class below it, as in Prometheus.
func TestANumberIsInTheClassThatItsBoundEnds(t *testing.T) {
	for n, want := range map[uint64]int{
		0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 8: 3, 9: 4, 1 << 30: 30, 1<<30 + 1: 31, 1 << 31: 31, 1<<31 + 1: 32, 1 << 40: 32, 1<<64 - 1: 32,
	} {
		if got := Class(n); got != want {
			t.Errorf("Class(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestATallyIsSeenWhenItIsPublished(t *testing.T) {
	var tally Tally
	var before, after, reset Histogram
	for _, n := range []uint64{0, 1, 5, 7, 1 << 40} {
		tally.Add(n)
	}
	tally.AddTo(&before)
	tally.Publish()
	tally.Publish()
	tally.AddTo(&after)
	want := Histogram{Sum: 13 + 1<<40}
	want.Counts[0], want.Counts[3], want.Counts[32] = 2, 2, 1
	if before != (Histogram{}) || after != want {
		t.Errorf("%v before it is published, %v after, want %v", before, after, want)
	}
	tally.Reset()
	if tally.AddTo(&reset); reset != (Histogram{}) {
		t.Errorf("%v after the reset", reset)
	}
}

func TestATimeIsInTheClassThatItsBoundEnds(t *testing.T) {
	if first, last := TimeBounds[0], TimeBounds[len(TimeBounds)-1]; first != 1.0/(1<<20) || last != 16 {
		t.Errorf("the bounds go from %v to %v", first, last)
	}
	for i, bound := range timeBounds {
		for took, want := range map[time.Duration]int{bound: i, bound + 1: i + 1} {
			var times Times
			var sum TimesTaken
			times.Add(took)
			if times.AddTo(&sum); sum.Counts[want] != 1 || sum.Sum != took {
				t.Errorf("%v is not in class %d, but in %v", took, want, sum.Counts)
			}
		}
	}
	var times Times
	var sum TimesTaken
	times.Add(0)
	times.Add(-1) // no clock does that
	times.Add(time.Hour)
	if times.AddTo(&sum); sum.Counts[0] != 2 || sum.Counts[TimeClasses-1] != 1 {
		t.Errorf("the least and the most are in %v", sum.Counts)
	}
}
