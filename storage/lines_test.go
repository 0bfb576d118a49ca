package storage

import (
	"testing"
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// Cores that serve different shards, or the same store, do not take each other's cache lines away
// but for what they mean to share.
func TestWhatOneCoreWritesIsNotOnTheLinesOfWhatOthersRead(t *testing.T) {
	var s shard
	if n := unsafe.Sizeof(s); n%pairOfLines != 0 {
		t.Errorf("a shard has %d bytes, %d more than pairs of cache lines", n, n%pairOfLines)
	}
	if end := unsafe.Offsetof(s.index) + unsafe.Offsetof(s.index.max); end > 3*64 {
		t.Errorf("what a lookup reads of a shard ends at byte %d, beyond three cache lines", end)
	}
	var st Store
	for name, end := range map[string]uintptr{
		"shards":          unsafe.Offsetof(st.shards) + unsafe.Sizeof(st.shards),
		"clock":           unsafe.Offsetof(st.clock) + unsafe.Sizeof(st.clock),
		"lasting":         unsafe.Offsetof(st.lasting) + unsafe.Sizeof(st.lasting),
		"incarnations":    unsafe.Offsetof(st.incarnations) + unsafe.Sizeof(st.incarnations),
		"evicted.watched": unsafe.Offsetof(st.evicted) + unsafe.Offsetof(st.evicted.mu),
	} {
		if end+pairOfLines > unsafe.Offsetof(st.counted) {
			t.Errorf("Store.%s, which requests read, ends at %d, less than two cache lines before what is written, at %d", name, end, unsafe.Offsetof(st.counted))
		}
	}
	if n := unsafe.Sizeof(expiry.Clock{}); n%pairOfLines != 0 {
		t.Errorf("a clock has %d bytes: Go puts something else on its cache lines", n)
	}
	for _, shards := range []int{1, 2, 4, 8, 16, 64, 256} {
		st, _ := openStore(t, Options{MemoryLimit: int64(shards) << 20, Shards: shards})
		if at := uintptr(unsafe.Pointer(&st.shards[0])); at%pairOfLines != 0 {
			t.Errorf("the first of %d shards does not begin with a pair of cache lines, but %d bytes later", shards, at%pairOfLines)
		}
	}
}
