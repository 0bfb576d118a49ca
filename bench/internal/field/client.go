package field

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Link is what a client has between itself and the server.
type Link struct {
	Down, Up int           // bytes a second; 0: as fast as it goes
	Buffer   int           // SO_RCVBUF, set before it connects; 0: the system's
	Segment  int           // most bytes of a TCP segment; 0: the interface's
	Patience time.Duration // for a byte to come or to go; 0: patience

	// Dial connects in some other way than from this machine's own addresses; nil: from these.
	Dial func(d *net.Dialer, addr string) (net.Conn, error)
}

// Slow is a link at which little is under way. The segments are an Ethernet's: on loopback they are
// of 64 KiB, and in proportion to them the system takes a whole 4 MB of replies off a server's
// hands before it says that the link is slow. Outside it does not.
func Slow(down int) Link { return Link{Down: down, Buffer: narrow, Segment: ethernet} }

const (
	narrow   = 64 << 10
	ethernet = 1460
)

const patience = 20 * time.Second

// A Client is one connection.
type Client struct {
	*paced
	Hits int // values that were compared

	r          *bufio.Reader
	have, want []byte
}

// Dial connects by a link.
func Dial(addr string, l Link) (*Client, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	d.Control = func(_, _ string, raw syscall.RawConn) error {
		var buffer, segment error
		failed := raw.Control(func(fd uintptr) {
			if l.Buffer > 0 {
				buffer = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, l.Buffer)
			}
			if l.Segment > 0 {
				segment = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, l.Segment)
			}
		})
		return errors.Join(failed, buffer, segment)
	}
	dial := l.Dial
	if dial == nil {
		dial = func(d *net.Dialer, addr string) (net.Conn, error) { return d.Dial("tcp", addr) }
	}
	conn, err := dial(d, addr)
	if err != nil {
		return nil, err
	}
	if l.Patience == 0 {
		l.Patience = patience
	}
	p := &paced{Conn: conn, patience: l.Patience, down: pace{rate: l.Down}, up: pace{rate: l.Up}}
	size := 64 << 10
	if l.Down > 0 {
		size = min(size, p.down.piece()) // or it would take a second's worth at once
	}
	return &Client{
		paced: p, r: bufio.NewReaderSize(p, size),
		have: make([]byte, 64<<10), want: make([]byte, 64<<10),
	}, nil
}

// Send writes a command, or several.
func (c *Client) Send(format string, args ...any) error {
	_, err := fmt.Fprintf(c, format, args...)
	return err
}

// SendSet writes a set, and does not wait for its answer.
func (c *Client) SendSet(v Value, exptime int) error {
	if err := c.Announce(v, exptime); err != nil {
		return err
	}
	if err := c.SendPart(v, 0, v.Size); err != nil {
		return err
	}
	return c.Send("\r\n")
}

// Announce writes the line of a set.
func (c *Client) Announce(v Value, exptime int) error {
	return c.Send("set %s %d %d %d\r\n", v.Key, v.Version, exptime, v.Size)
}

// SendPart writes bytes of a value.
func (c *Client) SendPart(v Value, from, to int) error {
	piece := make([]byte, 64<<10)
	for from < to {
		piece = piece[:min(cap(piece), to-from)]
		v.Put(piece, from)
		if _, err := c.Write(piece); err != nil {
			return err
		}
		from += len(piece)
	}
	return nil
}

// Set stores a value.
func (c *Client) Set(v Value, exptime int) error {
	if err := c.SendSet(v, exptime); err != nil {
		return errors.Join(err, c.lastWords())
	}
	return c.Expect("STORED")
}

// lastWords is what the server said before it closed.
func (c *Client) lastWords() error {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil // it said nothing: that is told already
	}
	return fmt.Errorf("it said %q", line)
}

// Line reads one without its end.
func (c *Client) Line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(line, []byte("\r\n"))), nil
}

// Expect reads a line that must be this one.
func (c *Client) Expect(want string) error {
	line, err := c.Line()
	switch {
	case err != nil:
		return err
	case line == want:
		return nil
	}
	return notA(want, line)
}

// notA tells a refusal from nonsense.
func notA(want, line string) error {
	if strings.Contains(line, "ERROR") {
		return Refused(line)
	}
	return Wrong(fmt.Sprintf("%.60q in the place of %q", line, want))
}

// Of is what one key may have: which versions, and whether a miss is right as well.
type Of struct {
	Key  string
	Size int
	May  func(version uint32) bool // nil: any
	Miss bool
	Gone func() bool // asked when there is a miss; nil: Miss tells
}

func (o Of) missed() error {
	if o.Miss || o.Gone != nil && o.Gone() {
		return nil
	}
	return Lost(o.Key)
}

// Exactly wants a value and no other.
func Exactly(v Value) Of {
	return Of{Key: v.Key, Size: v.Size, May: func(got uint32) bool { return got == v.Version }}
}

// Get asks by a command such as "gets" or "gat 100" for keys, and compares what comes.
func (c *Client) Get(command string, of ...Of) error {
	if err := c.Ask(command, of...); err != nil {
		return err
	}
	return c.Values(of...)
}

// Ask writes the line of a get and waits for nothing.
func (c *Client) Ask(command string, of ...Of) error {
	line := []byte(command)
	for _, o := range of {
		line = append(append(line, ' '), o.Key...)
	}
	_, err := c.Write(append(line, "\r\n"...))
	return err
}

// Values reads the reply to a get. memcached answers keys in the order in which they were asked.
func (c *Client) Values(of ...Of) error {
	var lost error
	for {
		line, err := c.Line()
		if err != nil {
			return err
		}
		if line == "END" {
			break
		}
		words := strings.Split(line, " ")
		if len(words) < 4 || words[0] != "VALUE" {
			return notA("VALUE", line)
		}
		for len(of) > 0 && of[0].Key != words[1] {
			lost = errors.Join(lost, of[0].missed())
			of = of[1:]
		}
		if len(of) == 0 {
			return Wrong(fmt.Sprintf("%.60q was not asked for", line))
		}
		if err := c.value(of[0], words[3], words[2]); err != nil {
			return err
		}
		of = of[1:]
	}
	for _, o := range of {
		lost = errors.Join(lost, o.missed())
	}
	return lost
}

// MetaGet asks by mg, for the key and the flags as well.
func (c *Client) MetaGet(o Of) error {
	if err := c.Send("mg %s k f v\r\n", o.Key); err != nil {
		return err
	}
	line, err := c.Line()
	if err != nil {
		return err
	}
	words := strings.Split(line, " ")
	switch {
	case line == "EN":
		return o.missed()
	case len(words) != 4 || words[0] != "VA" || words[2] != "k"+o.Key || words[3][:1] != "f":
		return notA("VA", line)
	}
	return c.value(o, words[1], words[3][1:])
}

// value reads and compares a block, whose line gave its size and flags.
func (c *Client) value(o Of, size, flags string) error {
	if size != strconv.Itoa(o.Size) {
		return Wrong(fmt.Sprintf("%s: %s bytes of %d", o.Key, size, o.Size))
	}
	first, err := c.r.Peek(stamp)
	if err != nil {
		return err
	}
	version := versionOf(first)
	v := Value{Key: o.Key, Version: version, Size: o.Size}
	switch {
	case o.May != nil && !o.May(version):
		return Wrong(fmt.Sprintf("%s: version %d", o.Key, version))
	case flags != strconv.FormatUint(uint64(version), 10):
		return Wrong(fmt.Sprintf("%s: flags %s at version %d", o.Key, flags, version))
	}
	for at := 0; at < v.Size; {
		have := c.have[:min(len(c.have), v.Size-at)]
		want := c.want[:len(have)]
		n, err := c.r.Read(have)
		if err != nil {
			return fmt.Errorf("after %d of %d: %w", at, v.Size, err)
		}
		v.Put(want[:n], at)
		if !bytes.Equal(have[:n], want[:n]) {
			return Wrong(v.differs(have[:n], want[:n], at))
		}
		at += n
	}
	var end [2]byte
	if _, err := io.ReadFull(c.r, end[:]); err != nil {
		return err
	}
	if string(end[:]) != "\r\n" {
		return Wrong(fmt.Sprintf("%s: %q behind it", v.Key, end))
	}
	c.Hits++
	return nil
}

// End reads the end of what the server sends, and says whether it was the end.
func (c *Client) End() error {
	text, err := c.r.ReadByte()
	if err == nil {
		return Wrong(fmt.Sprintf("%q where nothing was to come", text))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Skip reads so many bytes and compares nothing.
func (c *Client) Skip(n int) (skipped int, err error) { return c.r.Discard(n) }

// CloseWrite says that no more will be sent.
func (c *Client) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("no half to close")
	}
	return half.CloseWrite()
}

// Established tells whether the server still has its end, without reading.
func (c *Client) Established() (open bool) {
	half, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := half.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		open = err == nil && info.State == unix.BPF_TCP_ESTABLISHED
	})
	return open && err == nil
}
