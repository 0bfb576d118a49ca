package protocol

import "testing"

// What it costs to understand a line, by kind.
func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct{ name, line string }{
		{"get", "get key:000000000042\r"},
		{"get of ten", "get key:0 key:1 key:2 key:3 key:4 key:5 key:6 key:7 key:8 key:9\r"},
		{"set", "set key:000000000042 0 1200 32\r"},
		{"incr", "incr key:000000000042 1\r"},
		{"mg", "mg key:000000000042 v t f\r"},
		{"ms", "ms key:000000000042 32 T1200 F1\r"},
		{"refused", "set key:000000000042 0 1200\r"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			line := []byte(bb.line)
			var req Request
			b.ReportAllocs()
			for b.Loop() {
				err := Parse(line, &req)
				if _, refused := err.(Refusal); err != nil && !refused {
					b.Fatal(err)
				}
			}
		})
	}
}
