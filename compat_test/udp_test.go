package compat_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUDP says the same datagrams to gomemd and, with -oracle, to memcached. What memcached does not survive is not asked here:
// an upload that is not whole has it take later datagrams for the rest.
func TestUDP(t *testing.T) {
	s := startServer(t, []string{"-U", "-1"})
	c, err := net.Dial("udp", s.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, row := range []struct {
		head, request string
		replies       []string // the text of each, however many datagrams it takes
	}{
		{"\x00\x00\x00\x01\x00\x00", "get none\r\n", []string{"END\r\n"}},
		{"\x00\x05\x00\x01\x00\x00", "get none\r\n", []string{"END\r\n"}},
		{"\x00\x00\x00\x01\xff\xff", "get none\r\n", []string{"END\r\n"}},
		{"\x00\x00\x00\x02\x00\x00", "get none\r\n", nil},
		{"\x00\x00\x00\x00\x00\x00", "get none\r\n", nil},
		{"\x00\x00\x00\x01\x00\x00", "", nil},
		{"\x00\x00\x00\x01", "", nil},
		{"\x00\x00\x00\x01\x00\x00", "set a 7 0 1\r\nA\r\nget a\r\n", []string{"STORED\r\n", "VALUE a 7 1\r\nA\r\nEND\r\n"}},
		{"\x00\x00\x00\x01\x00\x00", "set a 0 0 1 noreply\r\nB\r\nget a\r\nmn\r\nbogus\r\n",
			[]string{"VALUE a 0 1\r\nB\r\nEND\r\n", "MN\r\n", "ERROR\r\n"}},
		{"\x00\x00\x00\x01\x00\x00", "set a 0 0 1 noreply\r\nB\r\n", nil},
		{"\x00\x00\x00\x01\x00\x00", "mg zz v\r\nmg a v q\r\nmg zz v q\r\nmn\r\n", []string{"EN\r\n", "VA 1\r\nB\r\n", "MN\r\n"}},
		{"\x00\x00\x00\x01\x00\x00", "set a 0 0 1\r\nxyzbogus\r\nget b\r\n",
			[]string{"CLIENT_ERROR bad data chunk\r\n", "ERROR\r\n", "END\r\n"}},
		{"\x00\x00\x00\x01\x00\x00", "set v 0 0 5000\r\n" + strings.Repeat("v", 5000) + "\r\nget v\r\n",
			[]string{"STORED\r\n", "VALUE v 0 5000\r\n" + strings.Repeat("v", 5000) + "\r\nEND\r\n"}},
		{"\x00\x00\x00\x01\x00\x00", "get a", nil},
	} {
		var got []string
		for range 10 { // of what may be asked for again, datagrams may be lost
			if got = converse(t, c, row.head, row.request); slices.Equal(got, row.replies) {
				break
			}
		}
		if !slices.Equal(got, row.replies) {
			t.Errorf("%s, %q %.60q: %.200q, want %.200q", s.name, row.head, row.request, got, row.replies)
		}
	}
}

var lastID uint16

// converse says a datagram, and puts together what is heard within half a second, or until the replies are there.
func converse(t *testing.T, c net.Conn, head, request string) (replies []string) {
	t.Helper()
	lastID++
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, lastID), head+request...)); err != nil {
		t.Fatal(err)
	}
	in := make([]byte, 2000)
	for more := 0; ; {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Read(in)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return replies
		case err != nil:
			t.Fatal(err)
		case n < 8 || binary.BigEndian.Uint16(in) != lastID:
			continue
		}
		if more == 0 {
			replies, more = append(replies, ""), int(binary.BigEndian.Uint16(in[4:]))
		}
		replies[len(replies)-1] += string(in[8:n])
		more--
	}
}
