package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/gomemd/gomemd/expiry"
)

// layout is a limit and a largest item, and what follows from them.
type fileLayout struct {
	limit, itemMax, shards, segment int
}

func (l fileLayout) options(file string) Options {
	return Options{MemoryLimit: int64(l.limit), ItemMax: l.itemMax, Shards: l.shards, SegmentSize: l.segment, TrackSizes: true, File: file}
}

// kept is what a client knows of an item.
type keptItem struct {
	value              string
	flags              uint32
	deadline           expiry.Instant
	unique             uint64 // 0: nobody was told
	fetched, stale     bool
	binary, won, shown bool
}

func lookAt(st *Store, key string) (k keptItem, hit bool) {
	k0 := []byte(key)
	status := st.Edit(st.Hash(k0), k0, Visit{Unnoticed: true}, func(it *Item) {
		k = keptItem{value: string(it.AppendTo(nil)), flags: it.Flags, deadline: it.Deadline, fetched: it.Fetched, stale: it.Stale, binary: it.Binary, won: it.Won}
	})
	return k, status != NotFound
}

// A start with a limit or items that do not suit the file takes the items to another one, all of
// them if there is room.
func TestItemsMoveToAnotherLayout(t *testing.T) {
	small, large := fileLayout{1 << 20, 100_000, 1, 4096}, fileLayout{8 << 20, 100_000, 4, 16 << 10}
	for _, tt := range []struct {
		name     string
		from, to fileLayout
	}{
		{"a smaller limit", large, small},
		{"a limit that is out of reach", small, fileLayout{20 << 20, 100_000, 8, 16 << 10}},
		{"larger items", large, fileLayout{8 << 20, 1 << 20, 2, 16 << 10}},
		{"more than a segment of 4 MiB", large, fileLayout{40 << 20, 9 << 20, 1, 1 << 20}},
	} {
		t.Run(tt.name, func(t *testing.T) { moveItems(t, tt.from, tt.to) })
	}
}

func moveItems(t *testing.T, from, to fileLayout) {
	file := filepath.Join(memoryDir(t), "items")
	opts := from.options(file)
	opts.PackHex = true
	st, clock := openAt(t, opts, someDay)
	clock.Set(clock.Now() + 100)
	want := map[string]keptItem{}
	for i := range 2000 {
		key := fmt.Sprint("key", i)
		h := st.Hash([]byte(key))
		it := Item{Key: []byte(key), Value: []byte(fmt.Sprint("value of ", i)), Flags: uint32(i % 3 * 1000), Binary: i%11 == 0}
		switch {
		case i%100 == 0:
			it.Value = bytes.Repeat([]byte(key), 1000+i%2000)
		case i == 999:
			it.Value = bytes.Repeat([]byte("x"), 90_000)
		case i%10 == 1:
			it.Value = []byte(strings.Repeat("0123456789abcdef", 2+i%5))
		case i%10 == 2:
			it.Deadline = clock.Now() + expiry.Instant(1000+i)
		}
		k := keptItem{value: string(it.Value), flags: it.Flags, deadline: it.Deadline, binary: it.Binary}
		if len(it.Value) > 20_000 {
			in, _ := st.Receive(h, &it, len(it.Value), nil)
			_, _ = in.Write(it.Value)
			if got := in.Commit(Set); got != Stored {
				t.Fatal(got)
			}
		} else if got := st.Put(h, Set, &it); got != Stored {
			t.Fatal(got)
		}
		switch i % 7 {
		case 0:
			k.unique, k.fetched = unique(t, st, key), true
		case 1:
			if got := st.Remove(h, it.Key, Removal{Stale: true}); got != Stored {
				t.Fatal(got)
			}
			k.stale = true
		case 2:
			st.Edit(h, it.Key, Visit{}, func(it *Item) { it.Won = true })
			k.won, k.fetched = true, true
		}
		want[key] = k
		switch i % 50 {
		case 48:
			st.Delete(h, it.Key)
			delete(want, key)
		case 49:
			put(st, Set, key, "over by then", clock.Now()+5)
			delete(want, key)
		}
	}
	half, _ := st.Receive(st.Hash([]byte("half")), &Item{Key: []byte("half")}, 50_000, nil)
	_, _ = half.Write(make([]byte, 30_000))
	if s := st.Stats(); s.Evictions > 0 {
		t.Fatalf("%d evictions", s.Evictions)
	}
	st.FlushAll(clock.Now() + 500)
	last, was := st.incarnations.Load(), clock.Now()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	opts = to.options(file)
	for again := range 2 { // and the new file is one like any other
		st, clock = openAt(t, opts, someDay+110+int64(again))
		if got := clock.Now(); got != was+10+expiry.Instant(again) {
			t.Errorf("the clock stands at %d, it was %d", got, was)
		}
		if r := st.Restored(); r.Items != uint64(len(want)) || len(st.Warnings()) > 0 {
			t.Errorf("%+v, %q: there were %d", r, st.Warnings(), len(want))
		}
		if s := st.Stats(); s.CurrItems != uint64(len(want)) || s.Evictions != 0 || s.TotalItems != 0 {
			t.Errorf("%d items, %d evictions, %d stored", s.CurrItems, s.Evictions, s.TotalItems)
		}
		if len(st.shards) != to.shards || st.incarnations.Load() < last {
			t.Errorf("%d shards, %d incarnations instead of %d", len(st.shards), st.incarnations.Load(), last)
		}
		for key, k := range want {
			got, hit := lookAt(st, key)
			told := k.unique
			if k.unique = 0; !hit || got != k {
				t.Fatalf("%s: %v, %.200v; it was %.200v", key, hit, got, k)
			}
			if told != 0 {
				if u := unique(t, st, key); u != told {
					t.Fatalf("%s: unique %#x, %#x was told", key, u, told)
				}
			} else if again == 0 && len(key)%2 == 0 {
				if u := unique(t, st, key); u>>uniqueBits <= last {
					t.Fatalf("%s: unique %#x may have been somebody's", key, u)
				}
				k := want[key]
				k.unique, k.fetched = unique(t, st, key), true
				want[key] = k
			}
		}
		closeStore(t, st)
		if names := namesIn(t, file); names != "items" {
			t.Errorf("there are %s", names)
		}
	}
	st, clock = openAt(t, opts, someDay+620)
	defer closeStore(t, st)
	for key := range want {
		if _, hit := get(st, key); hit {
			t.Fatalf("%s has outlived a flush that was to come", key)
		}
	}
}

// namesIn are the names of all files beside one.
func namesIn(t *testing.T, file string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// With limits as people set them the layouts follow from the limits.
func TestAnotherLimitOutOfReach(t *testing.T) {
	opts := Options{File: filepath.Join(memoryDir(t), "items")}
	opts.MemoryLimit = 128 << 20
	st, _ := openAt(t, opts, someDay)
	for i := range 2000 {
		put(st, Set, fmt.Sprint("key", i), strings.Repeat("x", 100), 0)
	}
	closeStore(t, st)
	for _, next := range []struct{ limit, itemMax int }{{48, 1 << 20}, {16, 1 << 20}, {128, 8 << 20}, {64, 1 << 20}} {
		opts.MemoryLimit, opts.ItemMax = int64(next.limit)<<20, next.itemMax
		st, _ = openAt(t, opts, someDay)
		if n, w := st.Restored().Items, st.Warnings(); n != 2000 || len(w) > 0 {
			t.Errorf("-m %d: %d items, %q", next.limit, n, w)
		}
		closeStore(t, st)
	}
}

// What has no room or is too large is left behind, and said.
func TestWhatCannotBeMoved(t *testing.T) {
	for _, keepAll := range []bool{false, true} {
		opts := fileLayout{4 << 20, 200_000, 2, 16 << 10}.options(filepath.Join(memoryDir(t), "items"))
		st, _ := openAt(t, opts, someDay)
		for i := range 20_000 {
			put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
		}
		put(st, Set, "large", strings.Repeat("x", 150_000), 0)
		before := st.Stats().CurrItems
		closeStore(t, st)
		opts = fileLayout{400 << 10, 60_000, 1, 4096}.options(opts.File)
		opts.DisableEviction = keepAll
		st, _ = openAt(t, opts, someDay)
		n := st.Restored().Items
		says := strings.Join(st.Warnings(), "\n")
		want := fmt.Sprintf("%d of its items found no room in 409600 bytes, and 1 are larger than the 60000 bytes that one may have: %d are here", before-1-n, n)
		if !strings.Contains(says, want) {
			t.Errorf("says %q, not %q", says, want)
		}
		if s := st.Stats(); n < 3000 || s.CurrItems != n || s.Evictions != 0 {
			t.Errorf("%d items, %d restored, %d evictions", s.CurrItems, n, s.Evictions)
		}
		if _, hit := get(st, "key19999"); hit == keepAll {
			t.Errorf("without evictions %v: the item that was stored last is there: %v", keepAll, hit)
		}
		closeStore(t, st)
	}
}

// failing opens a store that cannot be opened, and wants the folder to be as it was.
func failing(t *testing.T, opts Options, says string) {
	t.Helper()
	was, names := fingerprint(t, opts.File), namesIn(t, opts.File)
	st, err := Open(opts, expiry.NewClock(someDay+200))
	if err == nil {
		_ = st.Close()
		t.Fatalf("it can be opened; %q", st.Warnings())
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("%v: says nothing of %q", err, says)
	}
	if now := fingerprint(t, opts.File); now != was || namesIn(t, opts.File) != names {
		t.Errorf("the file was %s, and is %s; there were %s, there are %s", was, now, names, namesIn(t, opts.File))
	}
}

// fingerprint tells a file from any other and from what it was before, but for the mark of a stop
// in order.
func fingerprint(t *testing.T, file string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(file, &stat); errors.Is(err, unix.ENOENT) {
		return "absent"
	} else if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) >= fileLines {
		clear(b[80:88])
	}
	return fmt.Sprintf("%d of mode %o with %d bytes %x", stat.Ino, stat.Mode, len(b), xxhash.Sum64(b))
}

// A start that fails leaves what it has found, whatever the failure and whatever it would have done
// with the file.
func TestAStartThatFailsChangesNothing(t *testing.T) {
	dir := smallDisk(t, 10<<20)
	from := fileLayout{4 << 20, 100_000, 2, 16 << 10}
	opts := from.options(filepath.Join(dir, "items"))
	opts.TrackSizes = false
	moved := fileLayout{8 << 20, 2 << 20, 1, 16 << 10}.options(opts.File)

	failing(t, fileLayout{40 << 20, 1 << 20, 1, 16 << 10}.options(opts.File), "no space left")
	if err := os.WriteFile(opts.File, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	failing(t, fileLayout{40 << 20, 1 << 20, 1, 16 << 10}.options(opts.File), "no space left")

	st, clock := openAt(t, opts, someDay)
	clock.Set(clock.Now() + 100) // further than a clock that was never resumed
	for i := range 1000 {
		put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
	}
	closeStore(t, st)

	rest := filepath.Join(dir, "somebody's")
	if err := os.WriteFile(rest, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	failing(t, moved, "there is no room for 8388608 bytes beside it; as it is, it can be used with limits of 393216 to 67108864 bytes and items of up to one part in 8")
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(beside(opts.File), []byte("somebody's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	moved.MemoryLimit = 2 << 20
	failing(t, moved, "there is a file of this name already")
	if err := os.Remove(beside(opts.File)); err != nil {
		t.Fatal(err)
	}
	// Used as it is, but there is nothing to grow into: its tables may have changed, its items have
	// not. And it is as good as before, even if the machine ends next.
	startAnew(t, opts.File)
	if _, err := Open(fileLayout{16 << 20, 100_000, 2, 16 << 10}.options(opts.File), expiry.NewClock(someDay+200)); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	startAnew(t, opts.File)
	st, _ = openAt(t, opts, someDay+300)
	closeStore(t, st)
	if n := st.Restored().Items; n != 1000 {
		t.Errorf("%d items, %q", n, st.Warnings())
	}
	if err := os.WriteFile(opts.File, []byte("Dear diary, …"), 0o600); err != nil {
		t.Fatal(err)
	}
	failing(t, fileLayout{40 << 20, 1 << 20, 1, 16 << 10}.options(opts.File), "no room for another one beside it")
}

const addressSpaceEnv = "GOMEMD_TEST_ADDRESS_SPACE" // bytes more than there are, and a file

// openWithin opens a store in a process that may have only so many bytes of address space more than
// it has.
func openWithin(more uint64, file string, layout fileLayout) {
	var limit unix.Rlimit
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		os.Exit(3)
	}
	var all uint64
	_, _ = fmt.Sscan(string(b), &all)
	limit.Cur, limit.Max = all*uint64(os.Getpagesize())+more, unix.RLIM_INFINITY
	if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
		os.Exit(3)
	}
	if _, err := Open(layout.options(file), expiry.NewClock(someDay+200)); err != nil {
		os.Exit(4)
	}
	os.Exit(5) // without Close: it is about what failed before
}

// The address space may end at any step of a start.
func TestAStartWithoutAddressSpace(t *testing.T) {
	from, to := fileLayout{4 << 20, 100_000, 2, 16 << 10}, fileLayout{4 << 20, 1 << 20, 1, 16 << 10}
	opts := from.options(filepath.Join(memoryDir(t), "items"))
	opts.TrackSizes = false
	st, clock := openAt(t, opts, someDay)
	clock.Set(clock.Now() + 100)
	for i := range 1000 {
		put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
	}
	closeStore(t, st)
	failed := 0
	for _, layout := range []fileLayout{from, to} {
		for more := uint64(2 << 20); more < 300<<20; more += more/2 + 1<<20 {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", addressSpaceEnv, more, layout.shards, opts.File))
			err := child.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() == 3 {
				t.Fatal(err)
			}
			if exit.ExitCode() == 5 {
				break
			}
			failed++
			st, _ := openAt(t, opts, someDay+300)
			if n := st.Restored().Items; n != 1000 {
				t.Fatalf("%d bytes more: %d items, %q", more, n, st.Warnings())
			}
			closeStore(t, st)
			if names := namesIn(t, opts.File); exit.ExitCode() == 4 && names != "items" {
				t.Errorf("there are %s", names)
			}
		}
	}
	if failed < 4 {
		t.Errorf("%d starts failed", failed)
	}
}

// A start that is killed while it moves the items leaves the old file or the new one, with all of
// them.
func TestAStartThatIsKilledWhileItMovesTheItems(t *testing.T) {
	from, to := fileLayout{4 << 20, 100_000, 2, 16 << 10}, fileLayout{4 << 20, 1 << 20, 1, 16 << 10}
	opts := from.options(filepath.Join(memoryDir(t), "items"))
	opts.TrackSizes = false
	st, _ := openAt(t, opts, someDay)
	for i := range 20_000 {
		put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
	}
	closeStore(t, st)
	was := fingerprint(t, opts.File)
	image, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for try := 0; try < 100 && killed < 5; try++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", addressSpaceEnv, uint64(1)<<40, to.shards, opts.File))
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		for underWay := true; underWay; {
			select {
			case <-ended:
				underWay = false
			case <-time.After(50 * time.Microsecond):
				if _, err := os.Stat(beside(opts.File)); err == nil {
					time.Sleep(time.Duration(try%10) * time.Millisecond)
					_ = child.Process.Kill()
					<-ended
					underWay = false
				}
			}
		}
		if fingerprint(t, opts.File) == was {
			killed++
			continue
		}
		st, _ := openAt(t, to.options(opts.File), someDay)
		if n := st.Restored().Items; n != 20_000 {
			t.Fatalf("%d items", n)
		}
		closeStore(t, st)
		if err := os.Remove(opts.File); err != nil {
			t.Fatal(err)
		}
		writeSparse(t, opts.File, image)
		was = fingerprint(t, opts.File)
	}
	st, _ = openAt(t, to.options(opts.File), someDay)
	defer closeStore(t, st)
	if n := st.Restored().Items; n != 20_000 || killed == 0 {
		t.Errorf("%d items; %d starts were killed before the end", n, killed)
	}
	if names := namesIn(t, opts.File); names != "items" {
		t.Errorf("there are %s", names)
	}
}

// The model's operations in a file: Check looks at every record's checksum.
func TestModelInAFile(t *testing.T) {
	file := filepath.Join(memoryDir(t), "items")
	rapid.Check(t, func(t *rapid.T) {
		_ = os.Remove(file)
		checkModel(t, Options{MemoryLimit: 4 << 20, ItemMax: 30_000, Shards: 2, SegmentSize: 4096, File: file}, 1)
		_ = os.Remove(file)
		checkModel(t, Options{MemoryLimit: 64 << 10, ItemMax: 20_000, Shards: 1, SegmentSize: 4096, File: file}, 300)
	})
}
