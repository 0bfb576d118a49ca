package server

import (
	"io"
	"testing"
	"time"
)

// One command over TCP and back; the allocations are those of server and client together.
func BenchmarkOverTCP(b *testing.B) {
	for _, bb := range []struct{ name, said, heard string }{
		{"get hit", "get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n"},
		{"set of a known key", "set k 0 0 5\r\nhello\r\n", "STORED\r\n"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			srv := startServer(b, Options{Loops: 1})
			c := dial(b, srv)
			c.say("set k 0 0 5\r\nhello\r\n")
			c.hear("STORED\r\n")
			_ = c.SetDeadline(time.Time{})
			said, heard := []byte(bb.said), make([]byte, len(bb.heard))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(said); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c.r, heard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
