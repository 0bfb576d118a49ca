package session

import "github.com/gomemd/gomemd/protocol"

// Breach is what a client has done whose connection is closed for it: why Feed says HangUp, unless
// the client wants that.
type Breach uint8

// The breaches.
const (
	NoCommand Breach = iota
	NoLogin
	TextNotSpoken
	PacketsNotSpoken
	BadPacket
)

// String is for the log, and names the setting.
func (b Breach) String() string { return breachTexts[b] }

var breachTexts = [...]string{
	NoCommand:        "it sent a line of more than 2048 bytes, or another protocol's",
	NoLogin:          "it has to log in first (-S, -Y)",
	TextNotSpoken:    "it spoke text, which is not spoken there (-B binary, proto[binary], or -S without -Y)",
	PacketsNotSpoken: "it spoke the binary protocol, which is not spoken there (-B ascii, proto[ascii], or -Y without -S)",
	BadPacket:        "it sent a packet whose lengths cannot be, or something else where a packet should be",
}

// Breach tells which.
func (s *Session) Breach() Breach { return s.breach }

// breachOf is that of a packet that is not served.
func breachOf(why protocol.Refusal) Breach {
	if why == protocol.Unauthenticated {
		return NoLogin
	}
	return BadPacket
}
