package conn

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pairOfSockets are two ends, the first of which is ours.
func pairOfSockets(t *testing.T) (ours *socket, other *os.File) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		t.Fatal(err)
	}
	other = os.NewFile(uintptr(ends[1]), "other end")
	t.Cleanup(func() { _, _ = unix.Close(ends[0]), other.Close() })
	return &socket{fd: ends[0], loop: &loop{}}, other
}

// Whatever the parts, what writev says it has sent is what comes out at the other end, and it stops
// where it should.
func TestWritevSendsWhatItSays(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		s, other := pairOfSockets(t)
		size := []int{3, 60, 20_000}[draw.IntN(3)]
		var parts [][]byte
		for range 1 + draw.IntN([]int{3, 40, 3 * vectorsMax}[draw.IntN(3)]) {
			parts = append(parts, []byte(text(draw.IntN(1000), draw.IntN(size))))
		}
		all := bytes.Join(parts, nil)
		most := []int{1, draw.IntN(len(all) + 2), len(all), len(all) + 1, writeMost}[draw.IntN(5)]
		list := append([][]byte(nil), parts...)
		sent, full, err := s.writev(list, most)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(most, len(all)); sent > want || !full && sent != want || full && sent == want && sent > 0 {
			t.Fatalf("%d of %d bytes, at most %d: sent %d, full %v", len(all), len(all), most, sent, full)
		}
		for i := range parts {
			if !bytes.Equal(list[i], parts[i]) {
				t.Fatal("the list is changed")
			}
		}
		if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(other)
		if err != nil || !bytes.Equal(got, all[:sent]) {
			t.Fatalf("%d bytes came, %d were sent, %v", len(got), sent, err)
		}
		_ = other.Close()
		_, _, err = s.writev([][]byte{all, all}, 1<<20)
		if len(all) > 0 && err != unix.EPIPE {
			t.Fatalf("to nobody: %v", err)
		}
	}
}

// A socket that takes nothing is full, and that is no error; nor is nothing to read, or the end.
func TestTransferDoesNotWait(t *testing.T) {
	s, other := pairOfSockets(t)
	block := make([]byte, 100_000)
	for full := false; !full; {
		var err error
		if _, full, err = s.writev([][]byte{block, block}, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if n, full, err := s.writev([][]byte{block}, 1<<20); n != 0 || !full || err != nil {
		t.Errorf("%d, %v, %v", n, full, err)
	}
	if n, more := s.read([][]byte{block}); n != 0 || more {
		t.Errorf("read %d, more %v", n, more)
	}
	if _, err := other.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	if n, more := s.read([][]byte{block[:2]}); n != 2 || !more || string(block[:2]) != "ab" {
		t.Errorf("read %d, more %v", n, more)
	}
	if s.unread() != 1 {
		t.Errorf("%d unread", s.unread())
	}
	if n, more := s.read([][]byte{block}); n != 1 || more || block[0] != 'c' {
		t.Errorf("read %d, more %v", n, more)
	}
	_ = other.Close()
	if n, more := s.read([][]byte{block}); n != 0 || more {
		t.Errorf("read %d at the end, more %v", n, more)
	}
	if n, err := transfer(unix.SYS_WRITE, -1, unsafe.Pointer(&block[0]), 1); n != 0 || err != unix.EBADF {
		t.Errorf("%d, %v", n, err)
	}
}

// untaken is what the client, or its system, has not taken, and unread what we have not.
func TestUntakenAndUnread(t *testing.T) {
	h := start(t, options{plain: true})
	c := slow(t, h)
	reply := c.fill("k", 300_000)
	c.say("get k\r\n")
	s := c.waits(blocked)
	if s.untaken() == 0 {
		t.Error("a blocked socket has all taken")
	}
	c.say("mn\r\n")
	eventually(t, "what is sent to who is blocked stays in the kernel", func() bool { return s.unread() == len("mn\r\n") })
	c.hear(reply + "MN\r\n")
	eventually(t, "all is taken and read", func() bool { return s.untaken() == 0 && s.unread() == 0 })
}
