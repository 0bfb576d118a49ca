package storage

import (
	"testing"

	"pgregory.net/rapid"
)

// FuzzOperations searches the model test's lists of operations by coverage: go test -fuzz Operations ./storage
func FuzzOperations(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		checkModel(t, Options{MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096}, 500)
	}))
}
