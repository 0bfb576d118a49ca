package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/expiry"
)

// fileOptions are those of a small store in a file of its own.
func fileOptions(t testing.TB) Options {
	return Options{MemoryLimit: 4 << 20, ItemMax: 100_000, Shards: 2, SegmentSize: 16 << 10, TrackSizes: true, File: filepath.Join(t.TempDir(), "items")}
}

// openAt opens a store in a file, the wall clock being at unix.
func openAt(t testing.TB, opts Options, unix int64) (*Store, *expiry.Clock) {
	t.Helper()
	clock := expiry.NewClock(unix)
	st, err := Open(opts, clock)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Check(); err != nil {
		t.Fatalf("Check after Open: %v", err)
	}
	return st, clock
}

func closeStore(t testing.TB, st *Store) {
	t.Helper()
	if err := errors.Join(st.Check(), st.Close()); err != nil {
		t.Fatal(err)
	}
}

const someDay = 1_700_000_000

func TestARestartKeepsTheItems(t *testing.T) {
	opts := fileOptions(t)
	st, clock := openAt(t, opts, someDay)
	clock.Set(clock.Now() + 100)
	for i := range 10_000 {
		put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
	}
	large := strings.Repeat("0123456789", 9_000)
	put(st, Set, "large", large, 0)
	put(st, Set, "mortal", "until 60 s from now", clock.Now()+60)
	put(st, Set, "dying", "", clock.Now()+5)
	for i := 0; i < 10_000; i += 10 {
		st.Delete(st.Hash([]byte(fmt.Sprint("key", i))), []byte(fmt.Sprint("key", i)))
		put(st, Set, fmt.Sprint("key", i+1), "a new and longer value", 0)
		put(st, Set, fmt.Sprint("key", i+2), fmt.Sprint("VALUE of ", i+2), 0) // in place
	}
	was := clock.Now()
	closeStore(t, st)

	st, clock = openAt(t, opts, someDay+100+10)
	defer closeStore(t, st)
	if clock.Now() != was+10 || clock.Unix(clock.Now()) != someDay+110 {
		t.Errorf("the clock stands at %d, %d; it was %d, ten seconds ago", clock.Now(), clock.Unix(clock.Now()), was)
	}
	if got := st.Restored().Items; got != 9_002 {
		t.Errorf("%d items restored; warnings %q", got, st.Warnings())
	}
	for i := range 10_000 {
		want, there := fmt.Sprint("value of ", i), i%10 != 0
		switch i % 10 {
		case 1:
			want = "a new and longer value"
		case 2:
			want = fmt.Sprint("VALUE of ", i)
		}
		if got, ok := get(st, fmt.Sprint("key", i)); ok != there || ok && got != want {
			t.Fatalf("key%d: %q, %v", i, got, ok)
		}
	}
	if got, ok := get(st, "large"); !ok || got != large {
		t.Errorf("large: %v, %d bytes", ok, len(got))
	}
	if _, ok := get(st, "dying"); ok {
		t.Error("an item outlived its deadline while the store was closed")
	}
	if _, ok := get(st, "mortal"); !ok {
		t.Error("an item went before its deadline")
	}
	clock.Set(clock.Now() + 50)
	if _, ok := get(st, "mortal"); ok {
		t.Error("an item outlived its deadline after a restart")
	}
	for i := range 50_000 { // the store works on, in the same room
		if got := put(st, Set, fmt.Sprint("new", i), fmt.Sprint("value of ", i), 0); got != Stored {
			t.Fatal(got)
		}
	}
}

func TestFlushedStaysFlushed(t *testing.T) {
	opts := fileOptions(t)
	st, clock := openAt(t, opts, someDay)
	put(st, Set, "before", "", 0)
	st.FlushAll(0)
	put(st, Set, "after", "", 0)
	st.FlushAll(clock.Now() + 100)
	closeStore(t, st)
	st, clock = openAt(t, opts, someDay+50)
	if _, ok := get(st, "before"); ok {
		t.Error("what was flushed is there again")
	}
	if _, ok := get(st, "after"); !ok {
		t.Error("what was stored after the flush is gone")
	}
	closeStore(t, st)
	st, clock = openAt(t, opts, someDay+100)
	defer closeStore(t, st)
	if _, ok := get(st, "after"); ok {
		t.Error("a flush that was to come while the store was closed did not", clock.Now())
	}
}

func TestTheClockNeverGoesBack(t *testing.T) {
	opts := fileOptions(t)
	st, clock := openAt(t, opts, someDay)
	clock.Set(clock.Now() + 5000)
	st.Sweep()
	put(st, Set, "mortal", "", clock.Now()+10)
	was := clock.Now()
	closeStore(t, st)
	st, clock = openAt(t, opts, someDay+5000-3600) // the wall clock was set back by an hour
	defer closeStore(t, st)
	if clock.Now() != was {
		t.Errorf("the clock went from %d to %d", was, clock.Now())
	}
	if got := clock.Unix(clock.Deadline(someDay + 5000)); got != someDay+5000 {
		t.Errorf("dates are off by %d", got-(someDay+5000))
	}
	clock.Set(was + 10)
	if _, ok := get(st, "mortal"); ok {
		t.Error("an item outlived its deadline")
	}
}

func TestAnotherLimit(t *testing.T) {
	opts := fileOptions(t)
	st, _ := openAt(t, opts, someDay)
	for i := range 20_000 {
		put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0)
	}
	before := st.Stats().CurrItems
	closeStore(t, st)
	for _, limit := range []int64{8 << 20, 1 << 20, 40 << 20, 3 << 20} {
		opts.MemoryLimit = limit
		st, _ = openAt(t, opts, someDay)
		restored := st.Restored().Items
		for st.Sweep() {
		}
		s := st.Stats()
		t.Logf("-m %d: %d of %d restored, %d stay, %q", limit, restored, before, s.CurrItems, st.Warnings())
		if s.SegmentBytes+s.IndexBytes+s.TableBytes > uint64(limit) {
			t.Errorf("%d: more than the limit: %+v", limit, s)
		}
		if s.CurrItems < min(restored, uint64(limit)/80) {
			t.Errorf("%d: %d items", limit, s.CurrItems)
		}
		before = s.CurrItems
		closeStore(t, st)
	}
}

// The file has the number of shards that it was made with, whatever another limit would make of it: each item is
// found, changed and deleted where it is.
func TestAnotherLimitFindsEachItem(t *testing.T) {
	opts := Options{MemoryLimit: 64 << 20, File: fileOptions(t).File}
	st, _ := openAt(t, opts, someDay)
	name := func(i int) string { return fmt.Sprint("key", i) }
	want := map[string]string{}
	for i := range 400 {
		want[name(i)] = fmt.Sprint("value of ", i)
		put(st, Set, name(i), want[name(i)], 0)
	}
	closeStore(t, st)
	for n, limit := range []int64{32 << 20, 64 << 20, 17 << 20, 128 << 20, 64 << 20} {
		opts.MemoryLimit = limit
		st, _ = openAt(t, opts, someDay)
		for i := range 400 {
			if got, ok := get(st, name(i)); got != want[name(i)] || ok != (want[name(i)] != "") {
				t.Fatalf("-m %d: %s is %q, %v", limit, name(i), got, ok)
			}
		}
		key := []byte(name(2 * n))
		if !st.Delete(st.Hash(key), key) {
			t.Errorf("-m %d: %s cannot be deleted", limit, key)
		}
		want[name(2*n)], want[name(2*n+1)] = "", fmt.Sprint("another at ", limit)
		put(st, Set, name(2*n+1), want[name(2*n+1)], 0)
		closeStore(t, st)
	}
}

func TestRefusedFiles(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		spoil      func(path string) error
	}{
		{"format", "its format 5.", func(p string) error { return patch(p, 8, formatPrefixes+1) }},
		{"checksum", "damaged", func(p string) error { return patch(p, 24, 3) }},
		{"truncated", "bytes instead of", func(p string) error { return os.Truncate(p, 1<<20) }},
		{"stranger", "no memory file of gomemd", func(p string) error { return os.WriteFile(p, []byte("Dear diary, …"), 0o600) }},
		{"short", "no memory file of gomemd", func(p string) error { return os.Truncate(p, 20) }},
		{"empty", "", func(p string) error { return os.Truncate(p, 0) }},
		{"absent", "", os.Remove},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := fileOptions(t)
			st, _ := openAt(t, opts, someDay)
			put(st, Set, "key", "value", 0)
			closeStore(t, st)
			if err := tt.spoil(opts.File); err != nil {
				t.Fatal(err)
			}
			st, _ = openAt(t, opts, someDay)
			defer closeStore(t, st)
			if says := strings.Join(st.Warnings(), "\n"); !strings.Contains(says, tt.says) || (says == "") != (tt.says == "") {
				t.Errorf("says %q", says)
			}
			if n := st.Stats().CurrItems; n != 0 {
				t.Errorf("%d items", n)
			}
			if got := put(st, Set, "key", "value", 0); got != Stored {
				t.Error(got)
			}
		})
	}
}

// startAnew makes a file what it would be had the machine been started anew since.
func startAnew(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := new(fileHead)
	if _, err := f.ReadAt(head.bytes(), 0); err != nil {
		t.Fatal(err)
	}
	head.shape.boot[3] ^= 1
	head.checksum = head.shape.sum()
	if _, err := f.WriteAt(head.bytes(), 0); err != nil {
		t.Fatal(err)
	}
}

// What the kernel has not written yet is lost when the machine ends, and in no order. So a file
// outlives the machine only if it was closed before, for then all of it was written.
func TestAMachineThatWasStartedAnew(t *testing.T) {
	opts := fileOptions(t)
	st, _ := openAt(t, opts, someDay)
	put(st, Set, "key", "value", 0)
	closeStore(t, st)
	for range 2 {
		startAnew(t, opts.File)
		st, _ = openAt(t, opts, someDay)
		if got, hit := get(st, "key"); !hit || got != "value" || len(st.Warnings()) > 0 {
			t.Fatalf("after a stop in order: %q, %v, %q", got, hit, st.Warnings())
		}
		if st.file.head.stopped.Load() != 0 || st.file.head.shape.boot != bootID() {
			t.Error("it is still said to be good, though it is in use")
		}
		closeStore(t, st)
	}

	// In use, and as it was after a kill.
	st, _ = openAt(t, opts, someDay)
	running := opts
	running.File = filepath.Join(t.TempDir(), "items")
	if err := copySparse(running.File, opts.File); err != nil {
		t.Fatal(err)
	}
	closeStore(t, st)
	killed, _ := openAt(t, running, someDay)
	if _, hit := get(killed, "key"); !hit {
		t.Error("an item was lost in a kill")
	}
	if err := copySparse(opts.File, running.File); err != nil {
		t.Fatal(err)
	}
	closeStore(t, killed)
	startAnew(t, opts.File)
	st, _ = openAt(t, opts, someDay)
	defer closeStore(t, st)
	if says := strings.Join(st.Warnings(), "\n"); !strings.Contains(says, "started anew") || st.Stats().CurrItems != 0 {
		t.Errorf("says %q, %d items", says, st.Stats().CurrItems)
	}
	if names := namesIn(t, opts.File); names != "items" {
		t.Errorf("what is torn was kept: %s", names)
	}
}

// What is at Options.File and is not a good memory file of ours is never lost, and never believed.
func TestForeignFiles(t *testing.T) {
	opts := fileOptions(t)
	start := func(says string) {
		t.Helper()
		st, _ := openAt(t, opts, someDay)
		if got := strings.Join(st.Warnings(), "\n"); !strings.Contains(got, says) || (got == "") != (says == "") {
			t.Errorf("says %q, not %q", got, says)
		}
		if n := st.Stats().CurrItems; n != 0 {
			t.Errorf("%d items", n)
		}
		put(st, Set, "key", "value", 0)
		closeStore(t, st)
		if info, err := os.Stat(opts.File); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	write := func(name string, content []byte, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(name)
		if err := os.WriteFile(name, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	is := func(n int, content []byte) {
		t.Helper()
		if got, err := os.ReadFile(fmt.Sprintf("%s.kept-%d", opts.File, n)); err != nil || string(got) != string(content) {
			t.Errorf("kept-%d has %d bytes, %v", n, len(got), err)
		}
	}
	zeros, diary := make([]byte, 5000), []byte("Dear diary, …")
	write(opts.File+".kept-2", []byte("older"), 0o644)
	write(opts.File, zeros, 0o644)
	start("it is no memory file of gomemd, and is " + opts.File + ".kept-1 now: starting with a clean cache")
	write(opts.File, diary, 0o640)
	start(opts.File + ".kept-3 now")
	is(1, zeros)
	is(2, []byte("older"))
	is(3, diary)

	// Who may write to a file may have put anything there, or do so later.
	write(opts.File, nil, 0o666)
	was := fingerprint(t, opts.File)
	start("")
	if now := fingerprint(t, opts.File); now[:strings.Index(now, " of")] == was[:strings.Index(was, " of")] {
		t.Error("a file is used that others may have open")
	}
	good, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	write(opts.File, good, 0o660)
	start("others than its owner may write to it, its mode is 0660, and is " + opts.File + ".kept-4 now")
	is(4, good)

	// What a start leaves that is killed while it makes the file.
	write(opts.File, good[:len(new(fileHead).bytes())], 0o600)
	start("")
	write(opts.File, nil, 0o600)
	start("")
	write(beside(opts.File), good[:500], 0o600)
	write(opts.File, diary, 0o600)
	start(".kept-5 now")
	for _, tt := range []struct {
		content []byte
		stays   bool
	}{{good[:500], false}, {nil, false}, {diary, true}} {
		write(beside(opts.File), tt.content, 0o600)
		st, _ := openAt(t, opts, someDay)
		closeStore(t, st)
		if _, err := os.Stat(beside(opts.File)); (err == nil) != tt.stays {
			t.Errorf("what is beside it, %d bytes, is there: %v", len(tt.content), err == nil)
		}
	}

	target := filepath.Join(t.TempDir(), "target")
	write(target, nil, 0o600)
	if err := errors.Join(os.Remove(opts.File), os.Symlink(target, opts.File)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(opts, expiry.NewClock(someDay)); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Error(err)
	}
	if info, err := os.Stat(target); err != nil || info.Size() != 0 {
		t.Error(info, err)
	}
	write(opts.File, nil, 0o600)
	if os.Chown(opts.File, 54321, -1) == nil {
		failing(t, opts, "it belongs to another user, of number 54321")
	}
}

// No kill leaves a chain whose pieces do not make up its value: each is linked by one store. What else spoils a file may.
func TestAChainThatDoesNotAddUp(t *testing.T) {
	opts := fileOptions(t)
	st, _ := openAt(t, opts, someDay)
	key := []byte("large")
	for _, name := range []string{"large", "another"} {
		put(st, Set, name, strings.Repeat("0123456789", 9_000), 0)
	}
	s := st.shard(st.Hash(key))
	var f found
	if !s.find(st.Hash(key), key, &f) || !f.split() {
		t.Fatal("it is in one piece")
	}
	*(*uint32)(unsafe.Add(f.p, f.offMore()))++ // its length
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st, _ = openAt(t, opts, someDay)
	defer closeStore(t, st)
	if got, ok := get(st, "large"); ok {
		t.Errorf("there are %d bytes of it", len(got))
	}
	if got, _ := get(st, "another"); len(got) != 90_000 {
		t.Errorf("another has %d bytes", len(got))
	}
	if r := st.Restored(); r.Items != 1 || r.Dropped != 1 {
		t.Errorf("%+v", r)
	}
}

func TestTwoStoresInOneFile(t *testing.T) {
	opts := fileOptions(t)
	st, _ := openAt(t, opts, someDay)
	defer closeStore(t, st)
	if second, err := Open(opts, expiry.NewClock(someDay)); !errors.Is(err, ErrFileInUse) {
		t.Fatal(second, err)
	}
}

func TestADeviceIsNoMemoryFile(t *testing.T) {
	opts := fileOptions(t)
	if err := os.Symlink("/dev/full", opts.File); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(opts, expiry.NewClock(someDay)); err == nil {
		t.Error("a device is opened as a file")
	}
}

// smallDisk is a folder with so many bytes of room.
func smallDisk(t *testing.T, size int) string {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Skipf("cannot mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk is an error where memory is asked for, and never a signal where it is written to.
func TestAFullDisk(t *testing.T) {
	opts := fileOptions(t)
	opts.File = filepath.Join(smallDisk(t, 8<<20), "items")
	opts.MemoryLimit = 16 << 20
	if _, err := Open(opts, expiry.NewClock(someDay)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("at the start: %v", err)
	}
	opts.MemoryLimit = 4 << 20
	st, _ := openAt(t, opts, someDay)
	defer func() { closeStore(t, st) }()
	fill := func() {
		for i := range 100_000 {
			if got := put(st, Set, fmt.Sprint("key", i), fmt.Sprint("value of ", i), 0); got != Stored {
				t.Fatal(got)
			}
		}
	}
	fill()
	before := st.Stats()
	if err := st.SetLimit(16 << 20); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("at growth: %v", err)
	}
	fill()
	if s := st.Stats(); s.LimitBytes != before.LimitBytes || s.CurrItems < before.CurrItems*9/10 {
		t.Errorf("%d items in %d bytes, there were %d in %d", s.CurrItems, s.LimitBytes, before.CurrItems, before.LimitBytes)
	}

	// Somebody else takes the room that a lower limit has given back.
	if err := st.SetLimit(1 << 20); err != nil {
		t.Fatal(err)
	}
	for st.Sweep() {
	}
	other := filepath.Join(filepath.Dir(opts.File), "other")
	if err := os.WriteFile(other, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := st.SetLimit(4 << 20); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("when others have the room: %v", err)
	}
	fill()
	if err := st.Check(); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if full, err := Open(opts, expiry.NewClock(someDay)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a start on a full disk: %v, %v", full, err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if st, _ = openAt(t, opts, someDay); st.Restored().Items < 10_000 {
		t.Errorf("%d items restored after the disk was full; %q", st.Restored().Items, st.Warnings())
	}
	fill()
}

// patch changes one byte of a file.
func patch(path string, at int64, b byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, at)
	return errors.Join(err, f.Close())
}
