package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/invariants"
)

// arriveWhole stores a value as a large one comes: piece by piece.
func arriveWhole(t *testing.T, st *Store, key string, value []byte) Status {
	t.Helper()
	in, status := st.Receive(st.Hash([]byte(key)), &Item{Key: []byte(key)}, len(value), nil)
	for taken := 0; status == Stored && taken < len(value); {
		n := 0
		n, status = in.Write(value[taken:min(len(value), taken+64<<10)])
		taken += n
	}
	if status == Stored {
		status = in.Commit(Set)
	}
	return status
}

// inUse is what counts towards the limit.
func inUse(st *Store) int64 {
	s := st.Stats()
	return int64(s.SegmentBytes + s.IndexBytes + s.TableBytes)
}

// Keys are spread over the shards by chance, and large values are few: nothing goes while there is room in any shard.
func TestLargeValuesFillTheMemory(t *testing.T) {
	for _, tt := range []struct{ limit, itemMax, size int }{
		{64 << 20, 1 << 20, 100_000},
		{64 << 20, 1 << 20, 1_000_000},
		{64 << 20, 8 << 20, 4 << 20},
	} {
		for _, file := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d of %d, file %v", tt.size, tt.limit, file), func(t *testing.T) {
				opts := Options{MemoryLimit: int64(tt.limit), ItemMax: tt.itemMax}
				if file {
					opts.File = filepath.Join(t.TempDir(), "items")
				}
				st, _ := newStore(t, opts)
				value := make([]byte, tt.size-100)
				n := 0
				for st.Stats().Evictions == 0 {
					n++
					if status := arriveWhole(t, st, fmt.Sprint("key", n), value); status != Stored {
						t.Fatalf("value %d: %d", n, status)
					}
					if used := inUse(st); used > int64(tt.limit) {
						t.Fatalf("%d bytes in use", used)
					}
				}
				// The last value is there, and the one that went for it is not.
				if got := float64(n-1) * float64(tt.size) / float64(tt.limit); got < 0.95-float64(tt.size)/float64(tt.limit) {
					t.Errorf("%.3f of the memory is full before something goes", got)
				}
			})
		}
	}
}

// A store that is full keeps so much of large values at every moment: one that comes does not cost many.
func TestAFullStoreOfLargeValuesStaysFull(t *testing.T) {
	const limit = 64 << 20
	for _, size := range []int{66_000, 132_000, 200_000, 1_000_000} {
		st, _ := openStore(t, Options{MemoryLimit: limit, ItemMax: 2 << 20})
		value, least, full := pattern(size, 1), 1.0, false
		for i := range 3 * limit / size {
			if got := arriveWhole(t, st, fmt.Sprint("key", i), value); got != Stored {
				t.Fatal(got)
			}
			stats := st.Stats()
			if full = full || stats.Evictions > 0; full {
				least = min(least, float64(stats.CurrItems)*float64(size)/limit)
			}
		}
		if least < 0.90 {
			t.Errorf("%d bytes: %.3f of the limit", size, least)
		}
	}
}

// A shard that gets more than its share takes what others do not need, and gives it back when they do.
func TestShardsLendEachOther(t *testing.T) {
	st, clock := openStore(t, Options{MemoryLimit: 16 << 20, Shards: 4, SegmentSize: 16 << 10})
	key := func(shard, i int) string { // a key of that shard
		for n := 0; ; n++ {
			k := fmt.Sprintf("%d-%d-%d", shard, i, n)
			if st.shard(st.Hash([]byte(k))) == &st.shards[shard] {
				return k
			}
		}
	}
	value := strings.Repeat("v", 1000)
	n := 0
	for ; st.Stats().Evictions == 0; n++ {
		put(st, Set, key(0, n), value, 0)
	}
	if n*1000 < 12<<20 {
		t.Errorf("%d items of 1000 bytes in one shard, and something goes", n)
	}
	before := st.Stats().Evictions
	kept := 0
	for i := range 2 * n { // now all get as much: each has its share in the end
		put(st, Set, key(i%4, n+i), value, 0)
		if used := inUse(st); used > 16<<20 {
			t.Fatalf("%d bytes in use", used)
		}
		if i%100 == 0 {
			st.Sweep()
		}
	}
	for i := range st.shards {
		s := &st.shards[i]
		kept += s.items
		if s.limit < st.share.Load()*9/10 || s.limit > st.share.Load()*11/10 {
			t.Errorf("shard %d has %d, its share is %d", i, s.limit, st.share.Load())
		}
	}
	if kept < n*19/20 || st.Stats().Evictions == before {
		t.Errorf("%d items, %d in one shard alone", kept, n)
	}
	// What is not needed any more is anybody's, after a while: it may be needed again at once.
	st.FlushAll(expiry.Never)
	for range 3 {
		for st.Sweep() {
		}
		clock.Set(clock.Now() + surplusAfter)
	}
	if pool := st.pool.Load(); pool < 12<<20 {
		t.Errorf("%d bytes in the pool of an empty store", pool)
	}
	if err := st.Check(); err != nil {
		t.Error(err)
	}
}

// Without eviction nothing that was stored goes but by its own key, and the limit is the limit: a store that is full of anything
// refuses, and keeps what it has.
func TestWithoutEvictionNothingIsLost(t *testing.T) {
	ops := 60_000
	if invariants.Enabled {
		ops = 15_000
	}
	for _, file := range []bool{false, true} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint("file ", file, ", seed ", seed), func(t *testing.T) {
				const limit = 2 << 20
				opts := Options{MemoryLimit: limit, Shards: 2, SegmentSize: 8 << 10, ItemMax: 200_000, DisableEviction: true}
				if file {
					opts.File = filepath.Join(t.TempDir(), "items")
				}
				st, clock := newStore(t, opts)
				draw := rand.New(rand.NewPCG(seed, 1))
				want := map[string][]byte{}
				refused := 0
				for i := range ops {
					k := fmt.Sprint("key", draw.IntN(2000))
					h := st.Hash([]byte(k))
					value := bytes.Repeat([]byte{byte('a' + draw.IntN(26))}, draw.IntN(40+i/20))
					status := Stored
					switch draw.IntN(12) {
					case 0, 1, 2, 3:
						if status = put(st, Set, k, string(value), 0); status == Stored {
							want[k] = value
						}
					case 4, 5:
						if len(want[k])+len(value) > 100_000 {
							break
						}
						status = put(st, AppendOrSet, k, string(value), 0)
						if status == Stored {
							want[k] = append(bytes.Clone(want[k]), value...)
						}
					case 6: // a deadline that nobody lives to see
						status = st.TouchView(h, []byte(k), clock.Now()+1_000_000, false, nil)
					case 7:
						st.Edit(h, []byte(k), Visit{}, func(it *Item) { it.Deadline = clock.Now() + 100_000 })
					case 8:
						st.ViewUnique(h, []byte(k), func(Item) {})
						if st.Remove(h, []byte(k), Removal{Stale: true}) == OutOfMemory {
							refused++
						}
					case 9:
						if value := bytes.Repeat([]byte("L"), 70_000+draw.IntN(50_000)); draw.IntN(20) == 0 {
							if status = arriveWhole(t, st, k, value); status == Stored {
								want[k] = value
							}
						}
					case 10:
						if draw.IntN(3) == 0 && st.Delete(h, []byte(k)) {
							delete(want, k)
						}
					default:
						st.Sweep()
					}
					if status == OutOfMemory {
						refused++
					}
					if used := inUse(st); used > limit {
						t.Fatalf("%d bytes in use after %d operations", used, i)
					}
				}
				for k, v := range want {
					if got, ok := get(st, k); !ok || got != string(v) {
						t.Fatalf("%s: %d bytes, %v, want %d", k, len(got), ok, len(v))
					}
				}
				s := st.Stats()
				if s.Evictions != 0 || refused == 0 {
					t.Errorf("%d evictions, %d refusals", s.Evictions, refused)
				}
				if err := st.Check(); err != nil {
					t.Error(err)
				}
				t.Logf("%d items, %d refusals, %d bytes in use", s.CurrItems, refused, inUse(st))
			})
		}
	}
}

// The number of mappings does not depend on what comes and goes.
func TestAMemoryFileIsFewMappings(t *testing.T) {
	opts := Options{MemoryLimit: 4 << 20, Shards: 2, SegmentSize: 4 << 10, File: filepath.Join(t.TempDir(), "items")}
	st, _ := newStore(t, opts)
	mappings := func() int {
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), opts.File)
	}
	draw := rand.New(rand.NewPCG(1, 2))
	value := strings.Repeat("v", 900)
	for _, limit := range []int64{4 << 20, 8 << 20, 2 << 20, 8 << 20, 1 << 20} {
		if err := st.SetLimit(limit); err != nil {
			t.Fatal(err)
		}
		for range 3 * int(limit) / 1000 {
			put(st, Set, fmt.Sprint("key", draw.IntN(2*int(limit)/1000)), value[:draw.IntN(900)], 0)
		}
		for st.Sweep() {
		}
		if n := mappings(); n > 2+2*len(st.shards) {
			t.Errorf("%d mappings at a limit of %d", n, limit)
		}
		blocks := int64(0)
		if info, err := os.Stat(opts.File); err == nil {
			blocks = info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		if most := limit + limit/8 + 1<<20; blocks > most {
			t.Errorf("the file has %d bytes of blocks at a limit of %d", blocks, limit)
		}
		if err := st.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is reserved is nobody's memory: it does not count as data, and where address space is limited, less is reserved.
func TestMemoryIsOpenedAsItIsUsed(t *testing.T) {
	if as := os.Getenv("GOMEMD_TEST_ADDRESS_SPACE"); as != "" {
		openInSpace(t, as)
		return
	}
	before := vmKB(t, "VmData")
	st, _ := openStore(t, Options{MemoryLimit: 1 << 30})
	if grown := vmKB(t, "VmData") - before; grown > 128<<10 {
		t.Errorf("an empty store of 1 GiB takes %d KiB of data", grown)
	}
	for i := range 100_000 {
		put(st, Set, fmt.Sprint("key", i), strings.Repeat("v", 500), 0)
	}
	if grown := vmKB(t, "VmData") - before; grown < 50<<10 || grown > 256<<10 {
		t.Errorf("a store with 50 MB of items takes %d KiB of data", grown)
	}
	// What Go has reserved itself differs; there is room for the limit and half of it in any case.
	for _, room := range []int{2 << 30, 3 << 29} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestMemoryIsOpenedAsItIsUsed$")
		cmd.Env = append(os.Environ(), "GOMEMD_TEST_ADDRESS_SPACE="+strconv.Itoa(room))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with address space for %d bytes more: %v\n%s", room, err, out)
		}
	}
}

// openInSpace uses a store of 512 MiB in a process with address space for so many bytes more than it has.
func openInSpace(t *testing.T, space string) {
	n, err := strconv.Atoi(space)
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(vmKB(t, "VmSize")<<10 + n)
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		t.Skip(err)
	}
	st, _ := openStore(t, Options{MemoryLimit: 512 << 20})
	for i := range 1000 {
		if got := put(st, Set, fmt.Sprint("key", i), "value", 0); got != Stored {
			t.Fatal(got)
		}
	}
	if err := st.SetLimit(st.Reach() + 1<<20); err == nil {
		t.Error("a limit beyond what is reserved")
	}
}

// vmKB is a number of /proc/self/status.
func vmKB(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	t.Skip("no " + name)
	return 0
}

// A shard below its share that finds the pool empty and is asked for nothing more keeps back what it would draw next, and no more:
// the others neither evict for it nor leave the pool unused.
func TestAnIdleShardKeepsNothingBack(t *testing.T) {
	for _, noEviction := range []bool{false, true} {
		st, _ := openStore(t, Options{MemoryLimit: 16 << 20, Shards: 4, SegmentSize: 16 << 10, DisableEviction: noEviction})
		key := func(shard, i int) string { // a key of that shard
			for n := 0; ; n++ {
				k := fmt.Sprintf("%d-%d-%d", shard, i, n)
				if st.shard(st.Hash([]byte(k))) == &st.shards[shard] {
					return k
				}
			}
		}
		value := strings.Repeat("v", 1000)
		fill := func() (n int) {
			evictions := st.Stats().Evictions
			for put(st, Set, key(0, n), value, 0) == Stored && st.Stats().Evictions == evictions {
				n++
			}
			return n
		}
		n := fill()
		for i := 0; !st.shards[1].short; i++ {
			put(st, Set, key(1, i), value, 0)
		}
		for range 4 {
			for st.Sweep() {
			}
		}
		if got := st.shards[0].items; got < n*9/10 {
			t.Errorf("%d of %d items are left, with %d bytes in the pool", got, n, st.pool.Load())
		}
		for i := range n {
			k := key(0, i)
			st.Delete(st.Hash([]byte(k)), []byte(k))
		}
		for st.Sweep() {
		}
		if again := fill(); again < n*9/10 {
			t.Errorf("%d items find room where %d did before, with %d bytes in the pool", again, n, st.pool.Load())
		}
	}
}

// Every limit that SetLimit takes is one that the store comes down to, and works with: it keeps what is stored then.
func TestTheLowestLimitHolds(t *testing.T) {
	for _, size := range []int{3, 100, 1000} {
		st, _ := openStore(t, Options{MemoryLimit: 64 << 20})
		value := strings.Repeat("v", size)
		for i := range 300_000 {
			put(st, Set, fmt.Sprint("key", i), value, 0)
		}
		limit := int64(0)
		for n := int64(32); n >= 1; n-- {
			if st.SetLimit(n<<18) == nil {
				limit = n << 18
			}
			for st.Sweep() {
			}
		}
		for i := range 30_000 {
			put(st, Set, fmt.Sprint("key", i), value, 0)
		}
		for st.Sweep() {
		}
		if _, hit := get(st, "key29999"); !hit {
			t.Errorf("of %d bytes: the last item is gone at a limit of %d, %d are there", size, limit, st.Stats().CurrItems)
		}
		sum := st.pool.Load()
		for i := range st.shards {
			sum += st.shards[i].limit
		}
		if used := inUse(st); used > limit || sum != limit || st.pool.Load() < 0 {
			t.Errorf("of %d bytes: %d are in use at a limit of %d, the pool has %d", size, used, limit, st.pool.Load())
		}
	}
}

// A large value that is written over takes its segments from what the one before has left, however
// often Sweep comes by meanwhile. Who has stopped doing so gives them back.
func TestWhatAValueLeavesIsKeptForTheNext(t *testing.T) {
	st, clock := openStore(t, Options{MemoryLimit: 64 << 20, SegmentSize: 16 << 10})
	value := pattern(1<<20-300, 1)
	sweep := func() {
		for st.Sweep() {
		}
	}
	var used int
	for i := range 40 {
		if got := receive(t, st, "k", value, Set); got != Stored {
			t.Fatal(got)
		}
		sweep()
		clock.Set(clock.Now() + 1)
		s := st.shard(st.Hash([]byte("k")))
		if used = s.inUse + s.free.n; i > 0 && s.gone.n > 0 {
			t.Fatalf("after %d values %d segments have been given back", i+1, s.gone.n)
		}
	}
	for range 3 {
		clock.Set(clock.Now() + surplusAfter)
		sweep()
	}
	if s := st.shard(st.Hash([]byte("k"))); s.inUse+s.free.n > used-len(value)>>s.segShift/2 {
		t.Errorf("nobody stores anything, and %d of %d segments are kept", s.inUse+s.free.n, used)
	}
}
