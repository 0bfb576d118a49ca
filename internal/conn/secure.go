package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// secure is the TLS of a connection: crypto/tls, fed from memory on the connection's loop. Reading
// stops, when there is no more to decrypt, with an error that says that it is temporary; crypto/tls
// keeps what has come, and goes on with the next call. (Its handshake does not, which is one reason
// why that runs in a goroutine: handshake.go.)
//
//	kernel ─▶ gnet's buffer ─▶ crypto/tls ─▶ loop.plain ─▶ session
//	kernel ──────────────────▶ crypto/tls ─▶ store                  large values
//	kernel ◀─ loop.sealed ◀─── crypto/tls ◀─ replies, and values where they lie in the store
//
// The buffers are the loop's. A connection keeps for itself what is not used up in its turn, and a
// buffer for records while a part of one has come.
type secure struct {
	tls  *tls.Conn
	wire transport

	plain []byte // decrypted, and not consumed …
	ours  bool   // … and copied: else it is in the loop's buffer, until consume
	dry   bool   // there is no more of it until more comes
	over  error  // there never will be: io.EOF after the client's closing alert, or what is wrong

	sealed []byte // encrypted, and not taken by the socket

	record *bytes.Buffer // crypto/tls's own, for what it has not decrypted; nil: it cannot be reached
	lent   []byte        // the loop's buffer that record has; nil: a small one, or none
}

const (
	// plainMax is how much is decrypted before it is served, about as much as gnet reads at once, and
	// sealMax how much is encrypted before it is sent.
	plainMax = 64 << 10
	sealMax  = 128 << 10
	// sealMost is how much is encrypted in one turn, about as long as writing writeMost takes.
	sealMost = 512 << 10
	// recordMax is the most bytes of data in a record. Source: RFC 8446, 5.1.
	recordMax = 16 << 10
	// recordTight is how much is encrypted at once for who takes nothing, while memory is short.
	recordTight = 4 << 10
	// recordBuffer is what crypto/tls needs for a record of any length that is allowed, and
	// recordsKept is how many buffers that nobody uses a loop keeps.
	recordBuffer = 20 << 10
	recordsKept  = 8
)

// rawInput is where crypto/tls has its buffer for records in a Conn. It grows with the largest
// record and stays so: 22 KB for each connection that has once sent one of 16 KB. So we lend it one.
// Where a version of Go has no such field, connections take that much more memory, and nothing else
// changes.
var rawInput = func() (offset uintptr) {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName("rawInput")
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}()

// newSecure is a connection that is about to shake hands.
func newSecure(h *handshake, config *tls.Config) *secure {
	x := &secure{wire: transport{shakes: h, fd: -1}}
	x.tls = tls.Server(&x.wire, config)
	if rawInput != 0 {
		x.record = (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(x.tls), rawInput))
	}
	return x
}

// open goes on with it on a loop, when hands have been shaken.
func (x *secure) open(l *loop) {
	x.wire.sink = &l.sealed
	if l.plain == nil {
		l.plain, l.gathered = make([]byte, plainMax), make([]byte, 0, recordMax)
	}
}

// left is how much has come that is not consumed, but for what gnet has of it.
func (x *secure) left() int {
	if x == nil {
		return 0
	}
	n := len(x.plain)
	if x.record != nil {
		n += x.record.Len()
	}
	return n
}

// kept is how many bytes it keeps in buffers, but for what is decrypted.
func (x *secure) kept() int {
	n := cap(x.sealed) + cap(x.lent)
	if x.lent == nil && x.record != nil {
		n += x.record.Cap()
	}
	return n
}

// more tells whether there may be more to decrypt of what has come.
func (x *secure) more() bool { return x != nil && !x.dry && x.over == nil }

// ended tells whether no more will come.
func (x *secure) ended() bool { return x != nil && x.over != nil && len(x.plain) == 0 }

// endedWell tells whether the client has said so, as it should.
func (x *secure) endedWell() bool { return x != nil && errors.Is(x.over, io.EOF) }

// waits tells whether something is encrypted that the socket has not taken.
func (x *secure) waits() bool { return x != nil && len(x.sealed) > 0 }

// decrypt fills the room with what has come; fd is where to read more, or -1.
func (s *socket) decrypt(room []byte, fd int) (n int) {
	x := s.secure
	if x.over != nil {
		return 0
	}
	raw, _ := s.gc.Peek(-1) // everything there is: cannot fail
	x.wire.in, x.wire.fd = raw, fd
	x.lend(s.loop)
	x.dry = false
	for n < len(room) && !x.dry {
		got, err := x.tls.Read(room[n:])
		drained := got < len(room)-n // nothing of the last record is left in crypto/tls
		n += got
		if err != nil {
			x.dry = true
			if temporary, ok := errors.AsType[net.Error](err); !ok || !temporary.Temporary() {
				x.over = err
			}
		}
		if drained && x.record != nil {
			x.dry = x.dry || fd < 0 && x.record.Len() == 0 && len(x.wire.in) == 0 // no need to ask
			x.compact()
		}
	}
	if used := len(raw) - len(x.wire.in); used > 0 {
		_, _ = s.gc.Discard(used)
	}
	x.wire.in, x.wire.fd = nil, -1
	if x.dry {
		x.giveBack(s.loop)
	}
	return n
}

// lend gives crypto/tls a buffer for records, unless it has one.
func (x *secure) lend(l *loop) {
	if x.record == nil || x.lent != nil {
		return
	}
	if last := len(l.records) - 1; last >= 0 {
		x.lent, l.records = l.records[last], l.records[:last]
	} else {
		x.lent = make([]byte, 0, recordBuffer)
	}
	x.compact()
}

// compact moves what is to be decrypted to the beginning of the buffer: it grows if there is no room
// for the rest behind it. Nothing that was decrypted may lie in it any more.
func (x *secure) compact() {
	if x.record.Len() <= cap(x.lent) {
		*x.record = *bytes.NewBuffer(append(x.lent[:0], x.record.Bytes()...))
	}
}

// giveBack takes the buffer back. What has come of a record is kept in one of just that length.
func (x *secure) giveBack(l *loop) {
	if x.lent == nil {
		return
	}
	*x.record = *bytes.NewBuffer(bytes.Clone(x.record.Bytes()))
	if len(l.records) < recordsKept {
		l.records = append(l.records, x.lent)
	}
	x.lent = nil
}

// decrypted is what has come and nobody has consumed.
func (s *socket) decrypted() []byte {
	x := s.secure
	if len(x.plain) == 0 {
		x.plain, x.ours = s.loop.plain[:s.decrypt(s.loop.plain, -1)], false
	}
	return x.plain
}

// consume drops the first n bytes of what is decrypted. The rest is kept until the next turn: the
// loop's buffer is for others then.
func (x *secure) consume(n int) {
	x.plain = x.plain[n:]
	switch {
	case len(x.plain) == 0:
		x.plain = nil
	case !x.ours:
		x.plain, x.ours = bytes.Clone(x.plain), true
	}
}

// seal sends what the socket takes now of the parts, up to most bytes. full: it takes no more. What is
// encrypted counts as sent; what the socket does not take of that waits (secure.waits).
func (s *socket) seal(parts [][]byte, most int) (sent int, full bool, err error) {
	skip := 0 // bytes of the first part that are sent
	most = min(most, sealMost)
	for {
		if full, err = s.flush(); full || err != nil {
			return sent, full, err
		}
		if len(parts) == 0 || sent == most {
			return sent, false, nil
		}
		want := min(most-sent, recordMax)
		if want == recordMax {
			want = min(most-sent, s.takes())
		}
		n := s.encrypt(parts, skip, want)
		if n < 0 {
			_, _ = s.flush() // an alert, maybe
			return sent, false, errSealed
		}
		sent += n
		for skip += n; len(parts) > 0 && skip >= len(parts[0]); parts = parts[1:] {
			skip -= len(parts[0])
		}
	}
}

// takes is how much to encrypt before it is sent: what the socket will take, about, so that little
// has to be kept. The system counts more for a packet than its bytes, and where its buffers are
// bounded it takes notSentMost for the client's window, and no more.
func (s *socket) takes() int {
	least := recordMax
	if s.loop.conns.budget.tight.Load() {
		least = recordTight
	}
	room, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return least
	}
	room = min(room/2-int(s.untaken()), sealMax)
	if s.loop.conns.opts.Sockets > 0 {
		notSent, _ := unix.IoctlGetInt(s.fd, unix.SIOCOUTQNSD)
		room = min(room, notSentMost-notSent)
	}
	return max(least, room)
}

// errSealed says that crypto/tls sends no more: what the client has sent broke the rules.
var errSealed = errors.New("the client broke the rules of TLS")

// encrypt makes records of the parts but for the first bytes, up to most of them, and tells of how
// many; -1 if that cannot be done. Where a part is long they are made of it as it lies there; what is
// short is gathered first.
func (s *socket) encrypt(parts [][]byte, skip, most int) (n int) {
	l, out := s.loop, s.secure.tls
	gathered := l.gathered[:0]
	var err error
	for _, part := range parts {
		part, skip = part[skip:], 0
		part = part[:min(len(part), most-n)]
		n += len(part)
		for len(part) > 0 && err == nil {
			took := len(part)
			if len(gathered) == 0 && took >= recordMax {
				took -= took % recordMax
				_, err = out.Write(part[:took])
			} else {
				took = min(took, recordMax-len(gathered))
				gathered = append(gathered, part[:took]...)
				if len(gathered) == recordMax {
					_, err = out.Write(gathered)
					gathered = gathered[:0]
				}
			}
			part = part[took:]
		}
		if n == most {
			break
		}
	}
	if len(gathered) > 0 && err == nil {
		_, err = out.Write(gathered)
	}
	if err != nil {
		return -1
	}
	return n
}

// flush sends what is encrypted.
func (s *socket) flush() (full bool, err error) {
	l, x := s.loop, s.secure
	out := l.sealed
	if len(x.sealed) > 0 {
		x.sealed = append(x.sealed, l.sealed...)
		out = x.sealed
	}
	l.sealed = l.sealed[:0]
	if len(out) == 0 {
		return false, nil
	}
	n, err := transfer(unix.SYS_WRITE, s.fd, unsafe.Pointer(unsafe.SliceData(out)), len(out))
	if x.sealed = nil; n < len(out) {
		x.sealed = bytes.Clone(out[n:]) // as long as it has to be
	}
	return n < len(out), err
}

// farewell tells the client that no more will come, if its socket takes that.
func (s *socket) farewell() {
	if x := s.secure; x != nil {
		_ = x.tls.CloseWrite()
		_, _ = s.flush()
	}
}

// transport is the connection beneath crypto/tls: a socket while it shakes hands, and then memory.
type transport struct {
	shakes *handshake // while it does

	in   []byte  // what has come, and crypto/tls has not read
	fd   int     // where more may be read; -1: nowhere
	sink *[]byte // for what crypto/tls writes
}

// noMore is the error that says that there may be more later.
type noMore struct{}

func (noMore) Error() string   { return "there is no more at present" }
func (noMore) Timeout() bool   { return false }
func (noMore) Temporary() bool { return true }

func (t *transport) Read(p []byte) (n int, err error) {
	switch {
	case t.shakes != nil:
		return t.shakes.read(p)
	case len(t.in) > 0:
		n = copy(p, t.in)
		t.in = t.in[n:]
	case t.fd >= 0:
		n, _ = transfer(unix.SYS_READ, t.fd, unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
	if n == 0 {
		return 0, noMore{} // also at the end of the stream, which is for gnet to find
	}
	return n, nil
}

func (t *transport) Write(p []byte) (int, error) {
	if t.shakes != nil {
		return t.shakes.write(p)
	}
	*t.sink = append(*t.sink, p...)
	return len(p), nil
}

func (*transport) Close() error                     { return nil } // nobody calls it: run closes the socket
func (*transport) LocalAddr() net.Addr              { return nil }
func (*transport) RemoteAddr() net.Addr             { return nil }
func (*transport) SetDeadline(time.Time) error      { return nil }
func (*transport) SetReadDeadline(time.Time) error  { return nil }
func (*transport) SetWriteDeadline(time.Time) error { return nil }
