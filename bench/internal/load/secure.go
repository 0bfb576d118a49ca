package load

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tlsConfig is for full handshakes of one kind: no session is kept, so none is resumed. Nobody looks whose certificate it is:
// the server is a loopback one, and that it can sign with its key is checked all the same.
var tlsConfig = &tls.Config{
	MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}, InsecureSkipVerify: true,
	DynamicRecordSizingDisabled: true,
}

// recordMax is the most that a record holds.
const recordMax = 16 << 10

// A secure is what crypto/tls has in the place of a socket. While hands are shaken it waits for the socket; afterwards it
// never does: ciphertext is what the thread has read and puts into in, and what is to be sent gathers in wire.
type secure struct {
	conn   *tls.Conn
	fd     int
	in     []byte // valid during a Read of conn
	wire   []byte
	sent   int // of wire
	shaken bool
}

// dry says that all ciphertext is used up. crypto/tls goes on after an error that calls itself temporary, with what it had.
type dry struct{}

var errDry error = dry{}

func (dry) Error() string   { return "no more has come yet" }
func (dry) Timeout() bool   { return true }
func (dry) Temporary() bool { return true }

// newSecure shakes hands, before anybody measures.
func newSecure(fd int) (*secure, error) {
	s := &secure{fd: fd}
	s.conn = tls.Client(s, tlsConfig)
	err := s.conn.Handshake()
	s.shaken = true
	return s, err
}

// flush encrypts the requests of c once, and writes what the socket takes.
func (s *secure) flush(c *conn) (bool, error) {
	from := 0
	for _, cut := range c.cuts {
		for _, b := range [][]byte{c.out[from:cut.at], cut.bytes} {
			if _, err := s.conn.Write(b); err != nil {
				return false, err
			}
		}
		from = cut.at
	}
	if from < len(c.out) {
		if _, err := s.conn.Write(c.out[from:]); err != nil {
			return false, err
		}
	}
	c.out, c.cuts = c.out[:0], c.cuts[:0]
	for s.sent < len(s.wire) {
		n, e := rawWrite(s.fd, s.wire[s.sent:])
		switch e {
		case 0:
			s.sent += n
		case unix.EAGAIN:
			return false, nil
		case unix.EINTR:
		default:
			return false, sockErr("write", e)
		}
	}
	s.wire, s.sent = s.wire[:0], 0
	return true, nil
}

func (s *secure) Read(p []byte) (int, error) {
	if s.shaken {
		if len(s.in) == 0 {
			return 0, errDry
		}
		n := copy(p, s.in)
		s.in = s.in[n:]
		return n, nil
	}
	n, err := s.patiently(unix.POLLIN, func() (int, syscall.Errno) { return rawRead(s.fd, p) })
	if n == 0 && err == nil {
		err = errHangUp
	}
	return n, err
}

func (s *secure) Write(p []byte) (n int, err error) {
	if s.shaken {
		s.wire = append(s.wire, p...)
		return len(p), nil
	}
	for n < len(p) && err == nil {
		var m int
		m, err = s.patiently(unix.POLLOUT, func() (int, syscall.Errno) { return rawWrite(s.fd, p[n:]) })
		n += m
	}
	return n, err
}

// patiently waits until the socket is ready, and then reads or writes.
func (s *secure) patiently(events int16, do func() (int, syscall.Errno)) (int, error) {
	for {
		if err := awaitSocket(s.fd, events); err != nil {
			return 0, err
		}
		switch n, e := do(); e {
		case 0:
			return n, nil
		case unix.EAGAIN, unix.EINTR:
		default:
			return 0, sockErr("handshake", e)
		}
	}
}

// A net.Conn has these; crypto/tls is not asked for any of them.
func (s *secure) Close() error                     { return nil }
func (s *secure) LocalAddr() net.Addr              { return nil }
func (s *secure) RemoteAddr() net.Addr             { return nil }
func (s *secure) SetDeadline(time.Time) error      { return nil }
func (s *secure) SetReadDeadline(time.Time) error  { return nil }
func (s *secure) SetWriteDeadline(time.Time) error { return nil }
