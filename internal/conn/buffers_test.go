package conn

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the sockets have a bound, those who let much wait in the kernel get small buffers, and all
// that they asked for; the others' buffers stay as they are.
func TestSocketBuffersAreBounded(t *testing.T) {
	h := start(t, options{clock: aClock(), sockets: 200 << 10})
	quick := dial(t, h)
	reply := quick.fill("k", 900_000)
	var crowd []*client
	for range 4 {
		c := dial(t, h) // its own buffer takes most of it
		c.say("get k\r\nget k\r\nget k\r\nget k\r\nget k\r\nget k\r\n")
		crowd = append(crowd, c)
	}
	for _, c := range crowd {
		c.waits(blocked)
	}
	h.tick()
	buffer := func(c *client, option int) int {
		n, err := unix.GetsockoptInt(c.served().fd, unix.SOL_SOCKET, option)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range crowd {
		if n := buffer(c, unix.SO_SNDBUF); n != 2*bufferSmall {
			t.Errorf("%d bytes may wait to be sent", n)
		}
		if n := buffer(c, unix.SO_RCVBUF); n != 2*bufferSmall {
			t.Errorf("%d bytes may wait to be read", n)
		}
	}
	if quick.served().small {
		t.Error("one who has nothing waiting has small buffers")
	}
	if lowat, err := unix.GetsockoptInt(crowd[0].served().fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); err != nil || lowat != notSentMost {
		t.Errorf("%d bytes may wait for the window, %v", lowat, err)
	}
	for _, c := range crowd {
		c.hear(strings.Repeat(reply, 6))
	}
}

// Without a bound the system has its way.
func TestSocketBuffersAreLeftAlone(t *testing.T) {
	h := start(t, options{clock: aClock()})
	c := dial(t, h)
	reply := c.fill("k", 900_000)
	c.say(strings.Repeat("get k\r\n", 10))
	c.waits(blocked)
	h.tick()
	if n, _ := unix.GetsockoptInt(c.served().fd, unix.SOL_SOCKET, unix.SO_SNDBUF); n == 2*bufferSmall {
		t.Errorf("%d bytes may wait to be sent", n)
	}
	c.hear(strings.Repeat(reply, 10))
}
