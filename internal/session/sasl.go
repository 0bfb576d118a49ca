package session

import (
	"bytes"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// Authentication in packets (-S): SASL's mechanism PLAIN (RFC 4616), whose message is
//
//	[whom to act as] NUL user NUL password
//
// It comes with the auth packet, or with a step after one that was empty. Whoever has logged in may
// do so again; who fails then is out.

// mechanism is the only one.
const mechanism = "PLAIN"

// mechanismMax is the longest name of one. Source: memcached's MAX_SASL_MECH_LEN.
const mechanismMax = 32

// mechanisms lists them.
func (s *Session) mechanisms(p *packet) Verdict {
	if !s.w.env.Rules.SASL {
		s.sayNo(p, protocol.Unknown)
		return Idle
	}
	s.w.Out.buf = protocol.AppendStatusText(s.w.Out.buf, p.Tag, protocol.StatusOK, mechanism)
	return Idle
}

// auth has the message of an auth packet or a step read, unless it is refused.
func (s *Session) auth(p *packet) Verdict {
	switch {
	case !s.w.env.Rules.SASL:
		s.afterBlock(p.Value, func() { s.sayNo(p, protocol.Unknown) })
	case len(p.Key) > mechanismMax:
		s.afterBlock(p.Value, func() { s.sayNo(p, protocol.BadPacket) })
	case p.Value > tokenMax: // nobody's
		s.afterBlock(p.Value, func() { s.denied(p) })
	case p.Value == 0:
		s.message(p, nil)
	default:
		s.state, s.want, s.kept = StateToken, p.Value, bytes.Clone(p.head)
	}
	return Idle
}

// gatherMessage takes what has come of a message, and serves it when it is complete.
func (s *Session) gatherMessage(in []byte) (consumed int) {
	in = in[:min(len(in), s.want)]
	s.want -= len(in)
	s.line = append(s.line, in...)
	if s.want > 0 {
		return len(in)
	}
	p := &s.w.packets[0]
	_, p.err = protocol.ParsePacket(s.kept, &p.Packet) // it could be parsed before
	message := s.line
	s.state, s.line, s.kept = StateCommand, nil, nil
	s.message(p, message)
	return len(in)
}

// message serves a message that is complete: its client is in afterwards, or out.
//
//	         a message                    none
//	auth     of PLAIN: in, if it is so    of PLAIN: a step shall bring it
//	step     the same, after such an auth
func (s *Session) message(p *packet, message []byte) {
	expected := s.steps
	s.admitted, s.steps = false, false
	if p.Op == protocol.OpAuth {
		expected = bytes.EqualFold(p.Key, []byte(mechanism))
		if expected && len(message) == 0 {
			s.steps = true
			s.sayStatus(p, protocol.StatusAuthMore)
			return
		}
	}
	if !expected || !s.w.env.admitsPlain(message) {
		if _, rest, ok := bytes.Cut(message, []byte{0}); ok {
			user, _, _ := bytes.Cut(rest, []byte{0})
			s.w.env.sayDenied(user)
		}
		s.denied(p)
		return
	}
	s.w.Counters.Add(stats.AuthCmds, 1)
	s.admitted = true
	s.w.Out.buf = protocol.AppendStatusText(s.w.Out.buf, p.Tag, protocol.StatusOK, "Authenticated")
}

// denied answers who may not come in.
func (s *Session) denied(p *packet) {
	s.admitted, s.steps = false, false
	s.w.Counters.Add(stats.AuthCmds, 1)
	s.w.Counters.Add(stats.AuthErrors, 1)
	s.sayNo(p, protocol.AuthFailure)
}

// admitsPlain tells whether a message is that of somebody who may come in. Nobody may act as
// somebody else.
func (e *Env) admitsPlain(message []byte) bool {
	whom, rest, _ := bytes.Cut(message, []byte{0})
	user, password, ok := bytes.Cut(rest, []byte{0})
	return ok && bytes.IndexByte(password, 0) < 0 && (len(whom) == 0 || bytes.Equal(whom, user)) && e.admits(user, password)
}
