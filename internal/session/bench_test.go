package session

import (
	"bytes"
	"fmt"
	"strings"
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
		{"packet get hit", func(key int) string { return bGet(0x00, fmt.Sprintf("key:%010d", key)) }},
		{"packet getkq hit", func(key int) string { return bGet(0x0d, fmt.Sprintf("key:%010d", key)) }},
		{"packet getkq miss", func(key int) string { return bGet(0x0d, fmt.Sprintf("key:%010d:", key)) }},
		{"packet set overwrite", func(key int) string { return bSet(0x01, fmt.Sprintf("key:%010d", key), string(value)) }},
		{"packet setq overwrite", func(key int) string { return bSet(0x11, fmt.Sprintf("key:%010d", key), string(value)) }},
		{"incr miss", func(key int) string { return fmt.Sprintf("incr key:%010d: 1\r\n", key) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := newFixture(b, options{})
			v, filler := p.client(), p.client()
			var turns [][]byte
			for key := 0; key < keys; key += pipeline {
				var turn bytes.Buffer
				for i := range pipeline {
					_, _ = filler.Write([]byte(fmt.Sprintf("set key:%010d 0 0 32\r\n%s\r\n", key+i, value)))
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

// Dear commands cost about what they are charged: ns/work is to be near 1. A pipeline of each is
// served in turns; ns/op is a turn's.
func BenchmarkDear(b *testing.B) {
	fill := func(v *client) {
		for i := range 50_000 {
			v.say(fmt.Sprintf("set key%d 0 0 100 noreply\r\n%0100d\r\n", i, i))
		}
	}
	missing := "get"
	hits := "get"
	for i := range 8_000 {
		missing += fmt.Sprintf(" key%d", 100_000+i)
		hits += fmt.Sprintf(" key%d", i*5)
	}
	for _, d := range append(dears(),
		dear{name: "get", line: "get key1\r\n"},
		dear{name: "set noreply", line: "set key1 0 0 1 noreply\r\nx\r\n"},
		dear{name: "mg that misses", line: "mg missing q\r\n"},
		dear{name: "what is no command", line: "nonsense\r\n"},
		dear{name: "multiget of a missing letter", line: "get" + strings.Repeat(" a", 30_000) + "\r\n"},
		dear{name: "multiget of missing keys", line: missing + "\r\n"},
		dear{name: "multiget of keys", line: hits + "\r\n"},
		dear{name: "multiget in pieces, a letter", line: "get" + strings.Repeat(" a", 1_000_000) + "\r\n"},
		dear{name: "multiget in pieces, long keys", line: "get" + strings.Repeat(" "+strings.Repeat("q", 240), 30_000) + "\r\n"},
	) {
		b.Run(d.name, func(b *testing.B) {
			v := newFixture(b, options{Rules: Rules{ReqsPerEvent: 1_000}}).client()
			fill(v)
			v.say(d.before)
			pipeline := []byte(strings.Repeat(d.line, 1+(64<<10)/len(d.line)))
			var rest []byte
			worked := 0
			b.ResetTimer()
			for range b.N {
				if len(rest) == 0 {
					rest = pipeline
				}
				n, _ := v.Feed(rest[:min(len(rest), 64<<10)])
				worked += v.w.Worked()
				rest = rest[n:]
				v.w.Out.Reset()
				v.w.EndEvent()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(worked), "ns/work")
		})
	}
}
