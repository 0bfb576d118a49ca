package conversation

import (
	"bytes"
	"maps"
	"strings"
)

// rewrite hears a turn's answer out, whatever is written, and changes the file where that is a draft or says otherwise.
func (s *stage) rewrite(e *ear, t *turn) error {
	if len(t.answer.numbers) == 0 && t.others == nil {
		return nil // its answer is for later: nothing is written here that could be wrong
	}
	if err := s.bePatient(e); err != nil {
		return s.at(t.number, err)
	}
	for wait := s.enough(t); len(e.heard) < wait && e.more(); {
	}
	s.listen(e)
	heard, gone := e.heard, e.gone
	e.heard = nil
	s.forgetGone(t.client)

	if t.answer.draft != 0 {
		return s.fillIn(t, heard, gone)
	}
	a, known := s.expected(t)
	if !known || s.agrees(a, heard, gone) {
		return nil
	}
	s.note(t, heard, gone)
	return nil
}

// enough is how many bytes are waited for patiently before silence counts as the end: as many as are written.
func (s *stage) enough(t *turn) int {
	a, known := s.expected(t)
	if !known {
		return 0
	}
	sum := 0
	for _, l := range a.lines {
		sum += len(s.wanted(l))
	}
	return sum
}

// agrees compares an answer with what was heard, and remembers what its holes take.
func (s *stage) agrees(a *answer, heard []byte, gone bool) bool {
	before := maps.Clone(s.remembered)
	again := &ear{heard: heard, gone: true}
	for _, l := range a.lines {
		if s.hearLine(again, l) != nil {
			s.remembered = before
			return false
		}
	}
	return len(again.heard) == 0 && gone == (a.end == hangup)
}

// fillIn puts what was heard in the place of a draft. The lines before the ? stay as written, and must be right.
func (s *stage) fillIn(t *turn, heard []byte, gone bool) error {
	rest := &ear{heard: heard, gone: true}
	for _, l := range t.answer.lines {
		if err := s.hearLine(rest, l); err != nil {
			return s.at(l.number, err)
		}
	}
	var lines []string
	for _, text := range writeOut(rest.heard) {
		lines = append(lines, strings.TrimRight(t.client+"< "+text, " "))
	}
	switch {
	case gone:
		lines = append(lines, "(the server hangs up)")
	case len(lines) == 0 && len(t.answer.lines) == 0:
		lines = append(lines, "(silence)")
	}
	s.conv.source[t.answer.draft-1] = lines
	return nil
}

// note writes below a turn what this memcached answers otherwise.
func (s *stage) note(t *turn, heard []byte, gone bool) {
	if old := t.others[s.version]; old != nil {
		for _, number := range old.numbers {
			s.conv.source[number-1] = nil
		}
	}
	name := "(memcached " + s.version
	var lines []string
	for _, text := range writeOut(heard) {
		lines = append(lines, strings.TrimRight(name+": "+text, " ")+")")
	}
	switch {
	case gone:
		lines = append(lines, name+" hangs up)")
	case len(lines) == 0:
		lines = append(lines, name+" says nothing)")
	}
	s.conv.source[t.last-1] = append(s.conv.source[t.last-1], lines...)
}

// Text is the file, with what Rewrite has filled in.
func (c *Conversation) Text() []byte {
	var out bytes.Buffer
	for _, lines := range c.source {
		for _, line := range lines {
			out.WriteString(line + "\n")
		}
	}
	return out.Bytes()
}
