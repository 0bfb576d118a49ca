package conn

import "golang.org/x/sys/unix"

// Socket buffers are the kernel's memory, and control groups of version 2 count them. Left alone
// they grow to some megabytes for each connection, in either direction, and paused input waits
// there. Where the whole process has a limit (Options.Sockets) they have a part of it:
//
//	always                       of what is to be sent no more than notSentMost waits in the kernel for the client's window
//	while all are beyond that    those with most are told to keep bufferSmall: they get slower, and nobody is closed
const (
	notSentMost = 128 << 10
	bufferSmall = 64 << 10 // the kernel takes twice that, for its own bookkeeping
)

// prepare sets the options of a socket that has been accepted.
func (cs *Conns) prepare(fd int) {
	if cs.opts.Sockets > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentMost) // a unix socket has none
	}
}

// boundBuffers looks how much the kernel holds. Bytes that wait take about half as much again, as
// packets.
func (cs *Conns) boundBuffers() {
	sum := int64(0)
	var bulky []*Conn
	for _, c := range cs.list() {
		if !c.bulky.Load() {
			continue
		}
		if n := c.untaken() + int64(c.unread()); n > 0 {
			sum += n + n/2
			bulky = append(bulky, c)
		} else if c.phase() == reading {
			c.bulky.Store(false)
		}
	}
	if sum <= cs.opts.Sockets {
		return
	}
	for _, c := range bulky {
		if !c.small && c.untaken()+int64(c.unread()) > 2*bufferSmall {
			c.small = true
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bufferSmall)
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferSmall)
		}
	}
}
