package expiry

import "testing"

// A server that started at 1,700,000,000 and has been up for 100 seconds.
func clockAt100() *Clock {
	c := NewClock(1_700_000_000)
	c.Set(Start + 100)
	return c
}

func TestDeadline(t *testing.T) {
	const now = Start + 100
	for _, tt := range []struct {
		name    string
		exptime int32
		want    Instant
	}{
		{"zero is never", 0, Never},
		{"one second", 1, now + 1},
		{"thirty days count from now", RelativeMax, now + RelativeMax},
		{"a second more is a date, in 1970", RelativeMax + 1, Past},
		{"negative is over", -1, Past},
		{"the smallest number is over", -1 << 31, Past},
		{"a date an hour ahead", 1_700_000_100 + 3600, now + 3600},
		{"a date since the start has an instant of its own", 1_700_000_050, Start + 50},
		{"the second the server started", 1_700_000_000, Start},
		{"a date before the start", 1_699_999_997, Past},
		{"the last date of 32 bits", 1<<31 - 1, Start + (1<<31 - 1 - 1_700_000_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := clockAt100().Deadline(tt.exptime); got != tt.want {
				t.Errorf("Deadline(%d) = %d, want %d", tt.exptime, got, tt.want)
			}
		})
	}
}

func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		deadline, now Instant
		want          bool
	}{
		{Never, 1 << 31, false},
		{Past, Start, true},
		{101, 100, false},
		{100, 100, true}, // the second of the deadline is over
		{99, 100, true},
	} {
		if got := tt.deadline.Passed(tt.now); got != tt.want {
			t.Errorf("Instant(%d).Passed(%d) = %v, want %v", tt.deadline, tt.now, got, tt.want)
		}
	}
}

func TestUnixTimeOfAnInstant(t *testing.T) {
	c := clockAt100()
	if got := c.Unix(c.Now()); got != 1_700_000_100 {
		t.Errorf("Unix(now) = %d, want 1700000100", got)
	}
	if got := c.Unix(c.Deadline(1_800_000_000)); got != 1_800_000_000 {
		t.Errorf("a date comes back as %d, want 1800000000", got)
	}
}
