package conversation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Conn is one client's connection: a socket, or a session without one.
//
// A session without a socket is fed by Write, which takes all bytes, however many replies are waiting, and never
// blocks. Read returns what has gathered; os.ErrDeadlineExceeded at once when there is nothing, since nothing will come
// unless something is said; io.EOF when there is nothing and the server has hung up. After CloseWrite the session is
// told that its input has ended. SetReadDeadline may do nothing. After the server has hung up, Write may return any
// error; the player learns what there is to learn by reading.
type Conn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	CloseWrite() error
}

// A Server is someone to talk to.
type Server interface {
	Dial() (Conn, error)
	Pass(d time.Duration) // returns when d has gone by for the server: it slept, or moved the server's clock
	Name() string         // "memcached <version>" for a memcached; any other for a server that speaks as gomemd does
}

// A Player plays conversations.
type Player struct {
	Server   Server
	Cut      Cut           // how the said is cut; nil is Whole
	Patience time.Duration // how long an answer may take; 0 is 20 s
	Silence  time.Duration // how long to listen until it is silent; 0 is 50 ms
	Rewrite  bool          // fill in drafts, note what this memcached answers otherwise
}

// A Cut cuts what is said in one go into the pieces that arrive one by one. The pieces alias said.
type Cut func(said []byte) [][]byte

// Whole does not cut.
func Whole(said []byte) [][]byte { return [][]byte{said} }

// ByteByByte cuts after every byte. In the middle of a very long text, where one byte is like the other and each costs
// a write, it takes a thousand at a time.
func ByteByByte(said []byte) [][]byte {
	const (
		single = 4096 // bytes at either end; above the 2048 at which memcached gives up on a line
		bite   = 997  // a prime, so that no power of two is met every time
	)
	var pieces [][]byte
	for i := 0; len(said) > 0; i++ {
		n := 1
		if i >= single && len(said) > single+bite {
			n = bite
		}
		pieces, said = append(pieces, said[:n]), said[n:]
	}
	return pieces
}

// AtRandom cuts in other places each time, but with equal seeds in equal ones.
func AtRandom(seed uint64) Cut {
	random := rand.New(rand.NewPCG(seed, 0))
	return func(said []byte) [][]byte {
		var pieces [][]byte
		for len(said) > 0 {
			// Sizes of every order of magnitude, so that lines, buffers and large values are all met.
			n := min(1+random.IntN(1<<(1+random.IntN(18))), len(said))
			pieces, said = append(pieces, said[:n]), said[n:]
		}
		return pieces
	}
}

// Play plays a conversation, and returns what went otherwise than written first; what follows would be out of step.
func (p *Player) Play(c *Conversation) (err error) {
	s := &stage{
		player:     p,
		conv:       c,
		ears:       map[string]*ear{},
		remembered: map[string]string{},
	}
	s.version, s.oracle = strings.CutPrefix(p.Server.Name(), "memcached ")
	if p.Rewrite && !s.oracle {
		return errors.New("only a memcached may say what is to be heard")
	}
	defer func() {
		for _, e := range s.ears {
			err = errors.Join(err, ignoreGone(e.conn.Close()))
		}
	}()
	for _, step := range c.steps {
		if err := s.step(step); err != nil {
			return err
		}
	}
	return s.curtain()
}

// A stage is a conversation while it is played.
type stage struct {
	player     *Player
	conv       *Conversation
	oracle     bool
	version    string // of the memcached played against
	ears       map[string]*ear
	remembered map[string]string
}

func (s *stage) step(step step) error {
	switch step := step.(type) {
	case *turn:
		return s.turn(step)
	case *direction:
		if err := s.direction(step); err != nil {
			return s.at(step.number, err)
		}
	}
	return nil
}

func (s *stage) at(number int, err error) error {
	return fmt.Errorf("%s:%d: %w", s.conv.File, number, err)
}

func (s *stage) turn(t *turn) error {
	e, err := s.ear(t.client)
	if err != nil {
		return s.at(t.number, err)
	}
	if err := s.say(e, t); err != nil {
		return s.at(t.number, err)
	}
	if s.player.Rewrite {
		return s.rewrite(e, t)
	}
	a, known := s.expected(t)
	if !known {
		s.listen(e)
		e.heard = nil
		s.forgetGone(t.client)
		return nil
	}
	if a.draft != 0 {
		return s.at(a.draft, errors.New("a draft has no answer yet: play it against a memcached with Rewrite"))
	}
	if number, err := s.hear(e, a); err != nil {
		if number == 0 {
			number = t.number
		}
		return s.at(number, fmt.Errorf("%w%s", err, s.context(t)))
	}
	s.forgetGone(t.client)
	return nil
}

// expected is the answer this server gives to a turn; known is false when it may be any.
func (s *stage) expected(t *turn) (a *answer, known bool) {
	if !s.oracle {
		return &t.answer, true
	}
	if a := t.others[s.version]; a != nil {
		return a, true
	}
	if t.differs[s.version] != "" || t.differs[""] != "" && !t.names(s.version) {
		return nil, false
	}
	return &t.answer, true
}

// names tells whether a turn says something about a version of its own.
func (t *turn) names(version string) bool {
	return t.others[version] != nil || t.differs[version] != ""
}

// context shows what was said, shortened, below an error.
func (s *stage) context(t *turn) string {
	var out strings.Builder
	for _, l := range t.said {
		fmt.Fprintf(&out, "\n\tafter line %d: %s", l.number, shorten(s.conv.line(l.number)))
	}
	return out.String()
}

func (c *Conversation) line(number int) string { return strings.Join(c.source[number-1], "\n") }

// ear finds or opens a client's connection.
func (s *stage) ear(client string) (*ear, error) {
	if e := s.ears[client]; e != nil {
		return e, nil
	}
	conn, err := s.player.Server.Dial()
	if err != nil {
		return nil, err
	}
	s.ears[client] = &ear{conn: conn}
	return s.ears[client], nil
}

// forgetGone lets the client open a new connection when he speaks again.
func (s *stage) forgetGone(client string) {
	if e := s.ears[client]; e != nil && e.gone {
		_ = e.conn.Close() // it has gone already
		delete(s.ears, client)
	}
}

// say sends a turn's lines, in one write unless one of them goes on.
func (s *stage) say(e *ear, t *turn) error {
	var said []byte
	for _, l := range t.said {
		for _, piece := range l.pieces {
			said = append(said, s.fill(piece)...)
		}
		if l.goesOn {
			s.send(e, said, t.inPieces)
			said = nil
		}
	}
	if len(t.said) > 0 && len(e.heard) > 0 {
		return fmt.Errorf("heard %s before this was said", quote(e.heard))
	}
	s.send(e, said, t.inPieces)
	return nil
}

func (s *stage) fill(p piece) []byte {
	if p.hole == "" {
		return p.text
	}
	return []byte(s.remembered[p.hole])
}

// send writes, and leaves errors to whoever listens: a server may hang up in the middle of a text that it will not have,
// and what it said before is still to be heard.
func (s *stage) send(e *ear, said []byte, inPieces bool) {
	cut := s.player.Cut
	if cut == nil || !inPieces {
		cut = Whole
	}
	if len(said) == 0 {
		return
	}
	for _, piece := range cut(said) {
		if _, err := e.conn.Write(piece); err != nil {
			return
		}
	}
}

// hear compares what is heard with an answer. The number is the line of the file that went wrong, 0 for none of them.
func (s *stage) hear(e *ear, a *answer) (number int, err error) {
	if err := s.bePatient(e); err != nil {
		return 0, err
	}
	for _, l := range a.lines {
		if err := s.hearLine(e, l); err != nil {
			return l.number, err
		}
	}
	switch a.end {
	case silence:
		return 0, s.hearSilence(e)
	case hangup:
		return 0, s.hearHangup(e)
	}
	return 0, nil
}

func (s *stage) hearLine(e *ear, l line) error {
	e.past = e.past[:0]
	for _, p := range l.pieces {
		text, known := s.remembered[p.hole]
		if p.hole == "" {
			text, known = string(p.text), true
		}
		if known {
			if !e.hear([]byte(text)) {
				s.listen(e) // for the rest of the line, to show it
				return fmt.Errorf("heard %s, not %s", quote(e.line()), quote(s.wanted(l)))
			}
			continue
		}
		word := e.word()
		if word == "" {
			s.listen(e)
			return fmt.Errorf("heard %s, with nothing for {%s}", quote(e.line()), p.hole)
		}
		s.remembered[p.hole] = word
	}
	return nil
}

// wanted is the line as it should be heard; a hole that is still open shows as its name.
func (s *stage) wanted(l line) []byte {
	var out []byte
	for _, p := range l.pieces {
		switch text, known := s.remembered[p.hole]; {
		case p.hole == "":
			out = append(out, p.text...)
		case known:
			out = append(out, text...)
		default:
			out = append(out, "{"+p.hole+"}"...)
		}
	}
	return out
}

func (s *stage) hearSilence(e *ear) error {
	s.listen(e)
	switch {
	case len(e.heard) > 0:
		return fmt.Errorf("heard %s, not silence", quote(e.heard))
	case e.gone:
		return errors.New("the server hung up, instead of being silent")
	}
	return nil
}

func (s *stage) hearHangup(e *ear) error {
	for e.more() {
	}
	switch {
	case len(e.heard) > 0:
		return fmt.Errorf("heard %s before the server hung up", quote(e.heard))
	case !e.gone:
		return errors.New("the server did not hang up")
	}
	return nil
}

// listen hears all there is until it is silent or over.
func (s *stage) listen(e *ear) {
	pause := orElse(s.player.Silence, 50*time.Millisecond)
	for !e.gone && e.conn.SetReadDeadline(time.Now().Add(pause)) == nil && e.more() {
	}
}

// bePatient gives what is to be heard the time that a slow machine may take.
func (s *stage) bePatient(e *ear) error {
	return e.conn.SetReadDeadline(time.Now().Add(orElse(s.player.Patience, 20*time.Second)))
}

func (s *stage) direction(d *direction) error {
	switch {
	case d.pass > 0:
		s.player.Server.Pass(d.pass)
		return nil
	case d.compare != nil:
		return s.compare(*d.compare)
	}
	e := s.ears[d.client]
	if e == nil {
		return errors.New("this client has no connection")
	}
	if d.half {
		return e.conn.CloseWrite()
	}
	delete(s.ears, d.client)
	return ignoreGone(e.conn.Close())
}

func (s *stage) compare(c comparison) error {
	left, right := s.remembered[c.left], s.remembered[c.right]
	if c.word == "is not" {
		if left == right {
			return fmt.Errorf("both are %s", left)
		}
		return nil
	}
	l, err := strconv.ParseUint(left, 10, 64)
	if err != nil {
		return err
	}
	r, err := strconv.ParseUint(right, 10, 64)
	if err != nil {
		return err
	}
	if l <= r {
		return fmt.Errorf("%d is not more than %d", l, r)
	}
	return nil
}

// curtain ends the conversation: everyone stops talking, and hears no more than the server hanging up.
func (s *stage) curtain() error {
	for _, e := range s.ears {
		if err := e.conn.CloseWrite(); ignoreGone(err) != nil {
			return err
		}
		if err := s.bePatient(e); err != nil {
			return err
		}
		if err := s.hearHangup(e); err != nil {
			return fmt.Errorf("%s: at the end: %w", s.conv.File, err)
		}
	}
	return nil
}

// An ear hears what comes over a connection.
type ear struct {
	conn  Conn
	heard []byte // and not yet compared
	past  []byte // the beginning of the line, which has been compared
	gone  bool   // the server has hung up
	buf   []byte // for reading
}

// more waits for more to be heard. It returns false at the deadline, or when the server has hung up.
func (e *ear) more() bool {
	if e.gone {
		return false
	}
	if e.buf == nil {
		e.buf = make([]byte, 64<<10)
	}
	n, err := e.conn.Read(e.buf)
	e.heard = append(e.heard, e.buf[:n]...)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		e.gone = true // EOF, or a reset: a server that closes with something unread resets the connection
	}
	return n > 0
}

// hear takes a text off what is heard, or returns false. As long as it fits it waits for the rest.
func (e *ear) hear(text []byte) bool {
	for len(e.heard) < len(text) && bytes.HasPrefix(text, e.heard) && e.more() {
	}
	if !bytes.HasPrefix(e.heard, text) {
		return false
	}
	e.take(len(text))
	return true
}

// word takes all up to a blank or the end of the line, which must have been heard too.
func (e *ear) word() string {
	for {
		if end := bytes.IndexAny(e.heard, " \r\n"); end >= 0 {
			word := string(e.heard[:end])
			e.take(end)
			return word
		}
		if !e.more() {
			return ""
		}
	}
}

func (e *ear) take(n int) {
	e.past = append(e.past, e.heard[:n]...)
	e.heard = e.heard[n:]
}

// line is the line being heard, as far as it has come.
func (e *ear) line() []byte {
	rest := e.heard
	if end := bytes.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end+1]
	}
	return append(bytes.Clone(e.past), rest...)
}

func quote(text []byte) string {
	if len(text) == 0 {
		return "nothing"
	}
	return `"` + shorten(escape(text)) + `"`
}

// shorten keeps messages readable; runs have been folded already, so that what is cut is rarely missed.
func shorten(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return text[:most/2] + " ... " + text[len(text)-most/2:]
}

// ignoreGone drops the errors of a connection that the server has closed: that was heard, or will be, by reading.
func ignoreGone(err error) error {
	for _, gone := range []error{net.ErrClosed, io.ErrClosedPipe, syscall.EPIPE, syscall.ECONNRESET, syscall.ENOTCONN} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
