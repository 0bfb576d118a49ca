package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// UDP. A request is one datagram, and a session that ends with it: what is not whole in the datagram
// is not done, and nothing of it is left. The reply to each command is a message of its own, of as
// many datagrams as it takes. A command without a reply has no datagram. Source: memcached's
// protocol.txt, and memcached.c for what that leaves open.
//
//	| request id 2 | sequence 2 | datagrams of the message 2 | 0 2 | payload |
//
// Each socket has a goroutine, which serves one datagram after the other, so all clients of a socket
// wait while a reply is sent, for sendWithin at most. Replies are copied, never pinned: the goroutine
// may have to wait while it sends them.

const (
	udpHeader  = 8
	udpPayload = 1392 // of a datagram that we send. Source: memcached's UDP_DATA_SIZE
	udpMost    = 1<<16 - 1
	// udpRead is more than any datagram has.
	udpRead = 64 << 10
	// sendWithin is how long the system may take for a reply. What is left of it then is dropped.
	sendWithin = time.Second
	// laterWithin is how long a datagram may wait for a list of items to be made.
	laterWithin = time.Second
)

// packets serves the datagrams of one socket. But for what is atomic it belongs to its goroutine.
type packets struct {
	conns  *Conns
	socket *net.UDPConn
	fd     int
	served atomic.Uint32 // when a request last came

	w     *session.Worker
	s     session.Session // of the datagram being served
	woken chan struct{}   // it may go on
	wake  func()          // says so

	in   []byte         // the datagram …
	oob  []byte         // … the address that it was sent to, on a socket that has several …
	from netip.AddrPort // … and who sent it
	out  [udpHeader + udpPayload]byte
	long []byte // the beginning of a reply that takes several turns
	held int    // bytes of it that the budget counts
}

func newPackets(cs *Conns, socket *net.UDPConn) *packets {
	p := &packets{
		conns: cs, socket: socket, fd: descriptorOf(socket), w: session.NewWorker(cs.env), woken: make(chan struct{}, 1),
		in: make([]byte, udpRead), oob: make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)),
	}
	p.w.Datagrams = true
	p.wake = func() {
		select {
		case p.woken <- struct{}{}:
		default: // it knows
		}
	}
	p.served.Store(uint32(cs.env.Clock.Now()))
	return p
}

// run serves datagrams until the socket is closed.
func (p *packets) run() {
	in, oob := p.in, p.oob
	for {
		n, noob, _, from, err := p.socket.ReadMsgUDPAddrPort(in, oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // the system has no memory, or news of an earlier reply
			time.Sleep(acceptPause)
			continue
		}
		p.in, p.oob, p.from = in[:n], sourceOnly(oob[:noob]), from
		if n <= udpHeader {
			continue
		}
		p.served.Store(uint32(p.conns.env.Clock.Now()))
		p.w.Counters.Add(stats.BytesRead, uint64(n))
		if p.asks() {
			p.serve()
		}
		p.w.EndEvent()
	}
}

// asks tells whether the datagram is a whole request. What begins with ERROR is a reply: two servers
// would have much to say to each other if somebody sent one a datagram in the name of the other. What
// else a server says, the other answers with ERROR.
func (p *packets) asks() bool {
	return binary.BigEndian.Uint16(p.in[4:]) == 1 && !bytes.HasPrefix(p.in[udpHeader:], []byte("ERROR"))
}

// serve serves the commands of the datagram, and sends the reply to each.
//
//	Feed says           and then
//	Later               it is fed again when it may go on; an upload that is not whole never may
//	something           while there is more to say to the command: that is gathered
//	something else      the reply is sent, and the next command served, if there is one
func (p *packets) serve() {
	defer p.recoverPanic()
	p.s = session.Session{}
	p.s.Init(p.w, p.fd, p.wake, session.Either)
	for in := p.in[udpHeader:]; ; {
		n, v := p.s.Feed(in)
		in = in[n:]
		ok := true
		switch {
		case v == session.Later:
			ok = !p.s.Uploads() && p.wait()
		case p.s.Owes():
			ok = p.gather()
		default:
			ok = p.reply() && v != session.HangUp && len(in) > 0
		}
		if !ok {
			p.end()
			return
		}
	}
}

// end leaves nothing of the datagram behind.
func (p *packets) end() {
	p.s.Close()
	p.w.Out.Reset()
	p.drop()
}

// wait waits until the session may go on. False: it has been too long.
func (p *packets) wait() bool {
	late := time.NewTimer(laterWithin)
	defer late.Stop()
	select {
	case <-p.woken:
		return true
	case <-late.C:
	case <-p.conns.stop:
	}
	p.w.Counters.Add(stats.UDPDropped, 1)
	return false
}

// gather keeps what there is of a reply, because there will be more. False: it has become too long,
// or memory is short.
func (p *packets) gather() bool {
	n := len(p.long) + p.w.Out.Pending()
	if n > udpMost*udpPayload || !p.conns.budget.lend(n-p.held) {
		p.tooLong()
		return false
	}
	p.held = n
	for _, part := range p.w.Out.Parts() {
		p.long = append(p.long, part...)
	}
	p.w.Out.Reset()
	return true
}

// drop lets go of what was gathered.
func (p *packets) drop() {
	if p.long != nil {
		p.conns.budget.lend(-p.held)
		p.long, p.held = nil, 0
	}
}

// reply sends the reply to a command. False: not all of it.
func (p *packets) reply() bool {
	if p.long != nil && !p.gather() {
		return false
	}
	text := p.long
	if text == nil && p.w.Out.Pending() > 0 {
		text = p.w.Out.Parts()[0] // nothing is pinned: there is one
	}
	if len(text) > udpMost*udpPayload {
		p.tooLong()
		return false
	}
	sent := p.send(text)
	p.drop()
	p.w.Out.Reset()
	return sent
}

// tooLong answers instead of a reply that cannot be sent. The binary protocol has no words for it.
func (p *packets) tooLong() {
	p.w.Counters.Add(stats.UDPDropped, 1)
	if p.in[udpHeader] != protocol.MagicRequest {
		p.send([]byte("SERVER_ERROR the reply is too long for UDP\r\n"))
	}
}

// send sends a message. False: not all of it.
func (p *packets) send(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	_ = p.socket.SetWriteDeadline(time.Now().Add(sendWithin)) // fails only when the socket is closed
	header := p.out[:udpHeader]
	copy(header, p.in[:2])
	total := (len(text) + udpPayload - 1) / udpPayload
	binary.BigEndian.PutUint16(header[4:], uint16(total))
	for i := range total {
		binary.BigEndian.PutUint16(header[2:], uint16(i))
		n := copy(p.out[udpHeader:], text[i*udpPayload:])
		written, _, err := p.socket.WriteMsgUDPAddrPort(p.out[:udpHeader+n], p.oob, p.from)
		if err != nil {
			p.w.Counters.Add(stats.UDPDropped, 1)
			return false
		}
		p.w.Counters.Add(stats.BytesWritten, uint64(written))
	}
	return true
}

// stat is the socket's row of stats conns.
func (p *packets) stat() stats.Conn {
	return stats.Conn{FD: p.fd, UDP: true, Addr: addressText(p.socket.LocalAddr()), State: session.StateCommand.String(),
		Quiet: uint64(p.conns.env.Clock.Now()) - uint64(p.served.Load())}
}

// listenUDP opens a socket for datagrams.
func listenUDP(addr string) (*net.UDPConn, error) {
	network := networkOf("udp", addr)
	local, err := net.ResolveUDPAddr(network, addr)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	if local := socket.LocalAddr().(*net.UDPAddr); !local.IP.IsUnspecified() {
		return socket, nil
	}
	// A reply has to come from the address that was asked. It is one of many: the system tells which.
	c, err := socket.SyscallConn()
	if err != nil {
		return socket, err
	}
	return socket, control(c, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) == nil { // of IPv4, too
			return nil
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	})
}

// sourceOnly makes of the address that a datagram was sent to the one that a reply comes from. The
// interface is left to the system.
func sourceOnly(oob []byte) []byte {
	if len(oob) < unix.CmsgLen(unix.SizeofInet4Pktinfo) {
		return nil
	}
	head, data := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(oob))), oob[unix.CmsgLen(0):]
	switch {
	case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO:
		(*unix.Inet4Pktinfo)(unsafe.Pointer(unsafe.SliceData(data))).Ifindex = 0
	case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		(*unix.Inet6Pktinfo)(unsafe.Pointer(unsafe.SliceData(data))).Ifindex = 0
	default:
		return nil
	}
	return oob
}

// descriptorOf is the number of a socket; 0 when it is closed.
func descriptorOf(socket syscall.Conn) (fd int) {
	if c, err := socket.SyscallConn(); err == nil {
		_ = control(c, func(n int) error { fd = n; return nil })
	}
	return fd
}
