package conversation

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Conversation is a file that has been read.
type Conversation struct {
	File    string
	Options []string // what (options: …) asks of the server, cut at blanks

	steps  []step
	source [][]string // the file: for each line what Text puts there, which Rewrite changes
}

// A step is a *turn or a *direction.
type step interface{}

// A turn is what one client says, and the answer.
type turn struct {
	number   int // of its first line in the file
	last     int // of its last
	client   string
	said     []line
	inPieces bool // may be cut
	answer   answer

	// What other servers answer, by version of memcached; "" is every version.
	others  map[string]*answer
	differs map[string]string // and why, where a reason is given
}

// An answer is all that a client hears after a turn.
type answer struct {
	numbers []int // of its lines and directions in the file
	lines   []line
	draft   int // the number of the line that is <?>, or 0
	end     end
}

// end is what follows an answer's lines.
type end int

const (
	unsaid  end = iota // the conversation goes on
	silence            // nothing follows, for as long as the player listens
	hangup             // the connection ends
)

// A direction is a step that is not a turn. Exactly one of its fields below the client is set.
type direction struct {
	number  int
	client  string
	pass    time.Duration
	close   bool
	half    bool
	compare *comparison
}

type comparison struct{ left, word, right string }

// Read reads a file.
func Read(path string) (*Conversation, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, string(text))
}

// Parse reads a conversation from text; file is its name in messages.
func Parse(file, text string) (*Conversation, error) {
	p := parser{conv: &Conversation{File: file}, heardHoles: map[string]bool{}}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, text := range lines {
		p.number = i + 1
		p.conv.source = append(p.conv.source, []string{text})
		if err := p.line(text); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.number, err)
		}
	}
	return p.conv, nil
}

// Passes is how much time goes by in the conversation, which a server without a clock to move has to sleep.
func (c *Conversation) Passes() time.Duration {
	var sum time.Duration
	for _, s := range c.steps {
		if d, ok := s.(*direction); ok {
			sum += d.pass
		}
	}
	return sum
}

type parser struct {
	conv       *Conversation
	number     int
	turn       *turn  // the one that is being read; nil after something that ends turns
	client     string // who spoke or heard last
	onePiece   bool   // (in one piece) has been read, and waits for its turn
	heardHoles map[string]bool
}

// speech cuts a line into who, what kind and text. The text begins after one blank; an empty one needs none.
var speech = regexp.MustCompile(`^([a-z][a-z0-9]*)?([<>(])(.*)$`)

func (p *parser) line(text string) error {
	if text == "" {
		p.turn = nil
		return nil
	}
	if text[0] == '#' {
		return nil
	}
	m := speech.FindStringSubmatch(text)
	if m == nil {
		return errors.New("neither said (>), heard (<), a direction in parentheses nor a comment (#)")
	}
	who, kind, rest := m[1], m[2], m[3]
	if kind == "(" {
		if who == "" {
			who = p.client
		}
		return p.direction(who, rest)
	}
	if rest != "" && rest[0] != ' ' {
		return fmt.Errorf("a blank belongs after %s", kind)
	}
	p.client = who
	rest = strings.TrimPrefix(rest, " ")
	if kind == ">" {
		return p.said(who, rest)
	}
	return p.heard(who, rest)
}

func (p *parser) said(who, text string) error {
	l, err := parseLine(p.number, text)
	if err != nil {
		return err
	}
	for _, piece := range l.pieces {
		if piece.hole != "" && !p.heardHoles[piece.hole] {
			return fmt.Errorf("{%s} has not been heard yet", piece.hole)
		}
	}
	if p.turn == nil || p.turn.client != who || p.turn.answered() || p.onePiece {
		p.begin(who)
	}
	p.turn.said = append(p.turn.said, l)
	p.turn.last = p.number
	return nil
}

func (p *parser) heard(who, text string) error {
	if p.turn == nil || p.turn.client != who || p.turn.complete() {
		p.begin(who)
	}
	if p.turn.answer.draft != 0 {
		return errors.New("nothing can follow < ?")
	}
	l, err := parseLine(p.number, text)
	if err != nil {
		return err
	}
	p.turn.last = p.number
	p.turn.answer.numbers = append(p.turn.answer.numbers, p.number)
	if text == "?" {
		p.turn.answer.draft = p.number
		return nil
	}
	p.noteHoles(l)
	p.turn.answer.lines = append(p.turn.answer.lines, l)
	return nil
}

func (p *parser) noteHoles(l line) {
	for _, piece := range l.pieces {
		if piece.hole != "" {
			p.heardHoles[piece.hole] = true
		}
	}
}

func (p *parser) begin(who string) {
	p.turn = &turn{number: p.number, last: p.number, client: who, inPieces: !p.onePiece}
	p.onePiece = false
	p.conv.steps = append(p.conv.steps, p.turn)
}

// answered tells whether what is said now begins another turn.
func (t *turn) answered() bool { return len(t.answer.numbers) > 0 || t.complete() }

// complete tells whether what is heard now belongs to another turn.
func (t *turn) complete() bool {
	return t.answer.end != unsaid || t.others != nil || t.differs != nil
}

var (
	passes    = regexp.MustCompile(`^([0-9]+)s pass(?:es)?$`)
	compares  = regexp.MustCompile(`^([a-z][a-z0-9]*) (is not|is more than) ([a-z][a-z0-9]*)$`)
	memcached = regexp.MustCompile(`^memcached ?([0-9][^ :]*)?( differs:|:| hangs up| says nothing)(?: (.*))?$`)
)

func (p *parser) direction(who, text string) error {
	text, closed := strings.CutSuffix(text, ")")
	if !closed {
		return errors.New("a direction ends with ) at the end of its line")
	}
	if m := memcached.FindStringSubmatch(text); m != nil {
		return p.other(m[1], m[2], m[3])
	}
	if options, ok := strings.CutPrefix(text, "options: "); ok {
		return p.options(options)
	}
	switch text {
	case "silence":
		return p.end(who, silence)
	case "the server hangs up":
		return p.end(who, hangup)
	case "in one piece":
		p.turn, p.onePiece = nil, true
		return nil
	}
	d, err := p.parseDirection(text)
	if err != nil {
		return err
	}
	d.number, d.client = p.number, who
	p.conv.steps = append(p.conv.steps, d)
	p.client, p.turn = who, nil
	return nil
}

func (p *parser) parseDirection(text string) (*direction, error) {
	if text == "the client hangs up" {
		return &direction{close: true}, nil
	}
	if text == "half-close" {
		return &direction{half: true}, nil
	}
	if m := passes.FindStringSubmatch(text); m != nil {
		return p.pass(m[1])
	}
	if m := compares.FindStringSubmatch(text); m != nil {
		return p.compare(comparison{m[1], m[2], m[3]})
	}
	return nil, fmt.Errorf("(%s) is no direction this player knows", text)
}

func (p *parser) pass(seconds string) (*direction, error) {
	if n := len(p.conv.steps); n > 0 {
		if t, ok := p.conv.steps[n-1].(*turn); ok && len(t.answer.numbers) == 0 {
			return nil, errors.New("time passes only after an answer")
		}
	}
	n, err := strconv.Atoi(seconds)
	return &direction{pass: time.Duration(n) * time.Second}, err
}

func (p *parser) compare(c comparison) (*direction, error) {
	for _, name := range []string{c.left, c.right} {
		if !p.heardHoles[name] {
			return nil, fmt.Errorf("{%s} has not been heard yet", name)
		}
	}
	return &direction{compare: &c}, nil
}

func (p *parser) options(text string) error {
	if len(p.conv.steps) > 0 {
		return errors.New("options come before the first turn")
	}
	p.conv.Options = append(p.conv.Options, strings.Fields(text)...)
	return nil
}

// end reads (silence) and (the server hangs up).
func (p *parser) end(who string, e end) error {
	if p.turn == nil || p.turn.client != who || p.turn.complete() {
		p.begin(who)
	}
	p.client = who
	p.turn.last = p.number
	p.turn.answer.numbers = append(p.turn.answer.numbers, p.number)
	p.turn.answer.end = e
	return nil
}

// other reads the directions about a memcached.
func (p *parser) other(version, verb, text string) error {
	if p.turn == nil {
		return errors.New("there is no turn here that a memcached could answer otherwise")
	}
	p.turn.last = p.number
	if verb == " differs:" {
		if text == "" {
			return errors.New("why does memcached differ?")
		}
		if p.turn.differs == nil {
			p.turn.differs = map[string]string{}
		}
		p.turn.differs[version] = text
		return nil
	}
	if version == "" {
		return errors.New("which version of memcached?")
	}
	return p.otherAnswer(version, verb, text)
}

func (p *parser) otherAnswer(version, verb, text string) error {
	if p.turn.others == nil {
		p.turn.others = map[string]*answer{}
	}
	a := p.turn.others[version]
	if a == nil {
		a = &answer{}
		p.turn.others[version] = a
	}
	a.numbers = append(a.numbers, p.number)
	switch verb {
	case " hangs up":
		a.end = hangup
		return nil
	case " says nothing":
		a.end = silence
		return nil
	}
	l, err := parseLine(p.number, text)
	if err != nil {
		return err
	}
	p.noteHoles(l)
	a.lines = append(a.lines, l)
	return nil
}
