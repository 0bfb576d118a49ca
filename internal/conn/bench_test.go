package conn

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What it costs to leave a client's input in the kernel and to have it read again.
func BenchmarkPauseAndResume(b *testing.B) {
	h := start(b, options{loops: 1})
	c := dial(b, h)
	c.ping()
	s := c.served()
	s.onLoop(b, func() {
		for b.Loop() {
			s.pause()
			if !s.resume() {
				b.Error("not resumed")
			}
		}
	})
}

// What a turn of the line costs beside what is done in it.
func BenchmarkBell(b *testing.B) {
	h := start(b, options{loops: 1})
	c := dial(b, h)
	c.ping()
	s := c.served()
	s.onLoop(b, func() {
		l := s.loop
		one := make([]byte, 1)
		for b.Loop() {
			_, _ = transfer(unix.SYS_READ, l.bellFd, unsafe.Pointer(&one[0]), 1) // gnet does
			l.ring()
			l.turn()
		}
	})
}
