package session

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
)

// Kind is of things that happen to clients, thousands of times a second if it must be, most of them
// by a setting.
type Kind uint8

// The kinds.
const (
	Crowded  Kind = iota // more clients than -c
	NoFiles              // a client could not be accepted
	TooLarge             // a value is larger than -I allows
	NoRoom               // a value has no room in -m
	Denied               // a login has failed
	Withheld             // the system gives less memory than -m
	HotKey               // one key takes much of a loop
	anything             // what Warn says
	NumKinds
)

// Say writes a line at -v, and of each kind no more than one a second: how often it was is in stats.
// What it says is among the snapshot's warnings, whatever -v says.
func (e *Env) Say(k Kind, format string, args ...any) {
	if e.first(k) {
		e.warn(true, k == HotKey, format, args)
	}
}

// Warn writes a line at -v. One a second is among the snapshot's warnings.
func (e *Env) Warn(format string, args ...any) {
	if keep := e.first(anything); keep || e.Verbosity.Load() > 0 {
		e.warn(keep, false, format, args)
	}
}

// first tells whether this is the first of its kind in this second.
func (e *Env) first(k Kind) bool {
	now := uint32(e.Clock.Now()) + 1
	return e.said[k].Swap(now) != now
}

func (e *Env) warn(keep, ofKey bool, format string, args []any) {
	line := fmt.Sprintf(format, args...)
	if e.Verbosity.Load() > 0 {
		_, _ = io.WriteString(e.Log, line)
	}
	if keep {
		e.warnings.note(strings.TrimSuffix(line, "\n"), ofKey)
	}
}

// WarnOfStart writes a line, whatever -v says, and has it among the snapshot's warnings.
func (e *Env) WarnOfStart(text string) {
	e.Logf("warning: %s\n", text)
	e.warnings.note(text, false)
}

// warningsMax is how many warnings are kept.
const warningsMax = 20

// warnings are the last ones.
type warnings struct {
	mu   sync.Mutex
	last []stats.Warning // the oldest first
}

func (ws *warnings) note(text string, ofKey bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(ws.last) == warningsMax {
		ws.last = slices.Delete(ws.last, 0, 1)
	}
	ws.last = append(ws.last, stats.Warning{Time: time.Now(), Text: text, Key: ofKey})
}

func (ws *warnings) all() []stats.Warning {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return slices.Clone(ws.last)
}
