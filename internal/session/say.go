package session

// Kind is of things that a setting does to clients, thousands of times a second if it must.
type Kind uint8

// The kinds.
const (
	Crowded  Kind = iota // more clients than -c
	NoFiles              // a client could not be accepted
	TooLarge             // a value is larger than -I allows
	NoRoom               // a value has no room in -m
	Denied               // a login has failed
	Withheld             // the system gives less memory than -m
	NumKinds
)

// Say writes a line at -v, and of each kind no more than one a second: how often it was is in stats.
func (e *Env) Say(k Kind, format string, args ...any) {
	if e.Verbosity.Load() == 0 {
		return
	}
	if now := uint32(e.Clock.Now()) + 1; e.said[k].Swap(now) != now {
		e.Logf(format, args...)
	}
}
