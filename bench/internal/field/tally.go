package field

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// What can be the matter with an answer. Any other error is a connection that was cut.
type (
	Refused string // an ERROR line of the server's
	Wrong   string // a byte, a key, a version or an order that it must not be
	Lost    string // a miss, where the key had to be there
	Late    string // right, but after its time
)

func (e Refused) Error() string { return string(e) }
func (e Wrong) Error() string   { return string(e) }
func (e Lost) Error() string    { return "a miss: " + string(e) }
func (e Late) Error() string    { return string(e) }

// Counts are of requests.
type Counts struct{ Served, Cut, Refused, Wrong, Lost, Late, Stuck int }

// A Tally adds up what came of requests.
type Tally struct {
	Counts

	mu   sync.Mutex
	said map[string]*complaint
}

// Add counts one request, and says whether its client can go on.
func (t *Tally) Add(err error) (goesOn bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.Served++
		return true
	}
	var refused Refused
	var bad Wrong
	var lost Lost
	var late Late
	switch {
	case errors.As(err, &refused):
		t.Refused++
		goesOn = true
	case errors.As(err, &bad):
		t.Wrong++
	case errors.As(err, &lost):
		t.Lost++
		goesOn = true
	case errors.As(err, &late):
		t.Late++
		goesOn = true
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.Stuck++
	default:
		t.Cut++
	}
	t.say(err)
	return goesOn
}

type complaint struct {
	n     int
	first string
}

// say keeps how often a complaint was made, and the first of its kind: what differs only in numbers
// is of one kind.
func (t *Tally) say(err error) {
	if t.said == nil {
		t.said = map[string]*complaint{}
	}
	first := strings.ReplaceAll(err.Error(), "\n", "; ")
	kind := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, first)
	for strings.Contains(kind, "##") {
		kind = strings.ReplaceAll(kind, "##", "#")
	}
	if t.said[kind] == nil {
		t.said[kind] = &complaint{first: first}
	}
	t.said[kind].n++
}

// Bad is how many were not served as they should have been.
func (c Counts) Bad() int { return c.Cut + c.Refused + c.Wrong + c.Lost + c.Late + c.Stuck }

// String tells what is not 0.
func (c Counts) String() string {
	text := fmt.Sprintf("%d served", c.Served)
	for _, c := range c.counts() {
		if c.n > 0 {
			text += fmt.Sprintf(", %d %s", c.n, c.name)
		}
	}
	return text
}

const wrong = "**wrong**"

type count struct {
	name string
	n    int
}

func (c Counts) counts() []count {
	return []count{{"cut", c.Cut}, {"refused", c.Refused}, {wrong, c.Wrong}, {"lost", c.Lost},
		{"late", c.Late}, {"stuck", c.Stuck}}
}

// WorseThan names that of which there is more here than there; what is wrong is worse in any case.
func (c Counts) WorseThan(other Counts) (what []string) {
	theirs := other.counts()
	for i, k := range c.counts() {
		if k.n > theirs[i].n || k.n > 0 && k.name == wrong {
			what = append(what, k.name)
		}
	}
	return what
}

// Complaints are the most frequent ones.
func (t *Tally) Complaints(most int) (texts []string) {
	for _, c := range t.said {
		texts = append(texts, fmt.Sprintf("%5d × %s", c.n, c.first))
	}
	slices.Sort(texts)
	slices.Reverse(texts)
	return texts[:min(most, len(texts))]
}

// Waits are how long answers took.
type Waits struct {
	mu  sync.Mutex
	all []time.Duration
}

// Add is for everybody.
func (w *Waits) Add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
}

// At is the time within which this share of them came; 0 if there are none.
func (w *Waits) At(share float64) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return 0
	}
	slices.Sort(w.all)
	return w.all[min(int(share*float64(len(w.all))), len(w.all)-1)]
}
