package storage

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
)

// BenchmarkRestart tells how long a start takes to read a file: go test -run - -bench Restart -benchtime 3x ./storage
func BenchmarkRestart(b *testing.B) {
	for _, tt := range []struct {
		name    string
		limit   int64
		n, size int
	}{
		{"1GiB-of-1kB", 1200 << 20, 1 << 20, 1000},
		{"10M-of-20-8", 512 << 20, 10_000_000, 8},
	} {
		b.Run(tt.name, func(b *testing.B) {
			opts := Options{MemoryLimit: tt.limit, File: filepath.Join(memoryDir(b), "items")}
			st, err := Open(opts, expiry.NewClock(someDay))
			if err != nil {
				b.Fatal(err)
			}
			value := string(make([]byte, tt.size))
			for i := range tt.n {
				put(st, Set, fmt.Sprintf("key%017d", i), value, 0)
			}
			items := st.Stats().CurrItems
			for b.Loop() {
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
				if st, err = Open(opts, expiry.NewClock(someDay)); err != nil {
					b.Fatal(err)
				}
				if r := st.Restored(); r.Items != items {
					b.Fatal(r, items)
				}
				b.ReportMetric(float64(st.Restored().Took)/float64(time.Millisecond), "scan-ms")
			}
			b.ReportMetric(float64(items), "items")
			if err := st.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
