package session

import (
	"bytes"
	"fmt"
	"testing"
)

// Feed costs what the server itself adds to the kernel's work: parse, serve, print. Ten thousand
// keys of 32 bytes, in pipelines of 16; ns/op is a command's.
func BenchmarkFeed(b *testing.B) {
	const keys, pipeline = 10_000, 16
	value := bytes.Repeat([]byte("v"), 32)
	for _, bb := range []struct {
		name string
		said func(key int) string
	}{
		{"get hit", func(key int) string { return fmt.Sprintf("get key:%010d\r\n", key) }},
		{"get miss", func(key int) string { return fmt.Sprintf("get key:%010d:\r\n", key) }},
		{"set overwrite", func(key int) string { return fmt.Sprintf("set key:%010d 0 0 32\r\n%s\r\n", key, value) }},
		{"mg v", func(key int) string { return fmt.Sprintf("mg key:%010d v\r\n", key) }},
		{"mg s t f c k O", func(key int) string { return fmt.Sprintf("mg key:%010d s t f c k O123 v\r\n", key) }},
		{"ms overwrite", func(key int) string { return fmt.Sprintf("ms key:%010d 32\r\n%s\r\n", key, value) }},
		{"ms q", func(key int) string { return fmt.Sprintf("ms key:%010d 32 q T100 F1\r\n%s\r\n", key, value) }},
		{"md miss", func(key int) string { return fmt.Sprintf("md key:%010d: q\r\n", key) }},
		{"incr miss", func(key int) string { return fmt.Sprintf("incr key:%010d: 1\r\n", key) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := newFixture(b, options{})
			v := p.client()
			var turns [][]byte
			for key := 0; key < keys; key += pipeline {
				var turn bytes.Buffer
				for i := range pipeline {
					_, _ = v.Write([]byte(fmt.Sprintf("set key:%010d 0 0 32\r\n%s\r\n", key+i, value)))
					turn.WriteString(bb.said(key + i))
				}
				turns = append(turns, turn.Bytes())
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += pipeline {
				turn := turns[i/pipeline*7919%len(turns)]
				if n, verdict := v.Feed(turn); n != len(turn) || verdict != Idle {
					b.Fatalf("feed consumed %d of %d, verdict %d", n, len(turn), verdict)
				}
				v.w.Out.Reset()
				v.w.Counters.Publish()
			}
		})
	}
}
