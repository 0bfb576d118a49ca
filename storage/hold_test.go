package storage

import (
	"bytes"
	"fmt"
	"testing"
)

// upload is a client who sends a value bit by bit.
type upload struct {
	*Incoming
	value  []byte
	called bool // since it was told Later
	later  bool
}

func newUpload(t *testing.T, st *Store, key string, n int) *upload {
	t.Helper()
	u := &upload{value: pattern(n, len(key))}
	in, status := st.Receive(st.Hash([]byte(key)), &Item{Key: []byte(key)}, n, func() { u.called = true })
	if status != Stored {
		t.Fatalf("%s: %d", key, status)
	}
	u.Incoming = in
	return u
}

// send sends up to n bytes more, and stores the value when it is complete.
func (u *upload) send(n int) (done bool, status Status) {
	n, status = u.Write(u.value[:min(n, len(u.value))])
	u.value = u.value[n:]
	if status == Stored && len(u.value) == 0 {
		return true, u.Commit(Set)
	}
	return status != Stored && status != Later, status
}

// Who only says that a value will come takes no room from anybody.
func TestAnAnnouncedValueTakesNothing(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20})
	before := st.Stats()
	for i := range 50 {
		u := newUpload(t, st, fmt.Sprint("announced", i), 2_000_000)
		defer u.Abort()
	}
	if now := st.Stats(); now.Bytes != before.Bytes || now.SegmentBytes != before.SegmentBytes {
		t.Errorf("%d bytes taken", now.Bytes-before.Bytes)
	}
	if got := receive(t, st, "k", pattern(1_900_000, 1), Set); got != Stored {
		t.Errorf("another value: %d", got)
	}
}

// Three times as much as the store holds is on its way at once: all of it is stored, the last with
// waiting, and nothing is refused though small values come all the time.
func TestUploadsWaitForOneAnother(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 20 << 20, Shards: 1, SegmentSize: 64 << 10, ItemMax: 5 << 20})
	var uploads []*upload
	for i := range 15 {
		uploads = append(uploads, newUpload(t, st, fmt.Sprint("upload", i), 4<<20))
	}
	stored, waited := 0, 0
	for round := 0; len(uploads) > 0; round++ {
		moved := false
		rest := uploads[:0]
		for _, u := range uploads {
			if u.later && !u.called {
				rest = append(rest, u)
				continue
			}
			u.later, u.called, moved = false, false, true
			done, status := u.send(100_000)
			switch {
			case done && status == Stored:
				stored++
				continue
			case done:
				t.Fatalf("round %d: %d", round, status)
			case status == Later:
				u.later = true
				waited++
			}
			rest = append(rest, u)
		}
		uploads = rest
		if !moved {
			t.Fatalf("round %d: %d wait, and nobody is called", round, len(uploads))
		}
		if got := put(st, Set, fmt.Sprint("small", round), "a value", 0); got != Stored {
			t.Fatalf("round %d: a small value: %d", round, got)
		}
	}
	if stored != 15 || waited == 0 {
		t.Errorf("%d stored, %d waits", stored, waited)
	}
	if s := &st.shards[0]; s.arriving != 0 || s.waiting != nil || len(s.arrivals) != 0 {
		t.Errorf("left: %d bytes, %d who wait, %d on their way", s.arriving, len(s.waiting), len(s.arrivals))
	}
}

// Who stands still in the middle of a value keeps his place while nobody needs it, and then loses
// it.
func TestWhoStandsStillLosesHisPlace(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20})
	var still []*upload
	for i := 0; ; i++ {
		u := newUpload(t, st, fmt.Sprint("still", i), 1_900_000)
		if _, status := u.send(1_800_000); status == Later {
			u.Abort()
			break
		}
		still = append(still, u)
	}
	clock.Set(clock.Now() + stillAfter)
	if _, status := still[len(still)-1].send(stillLeast); status != Stored {
		t.Fatalf("nobody needed its room, and it is gone: %d", status)
	}
	u := newUpload(t, st, "another", 1_900_000)
	if done, status := u.send(1_900_000); !done || status != Stored {
		t.Fatalf("another value: %v, %d", done, status)
	}
	gone := 0
	for _, u := range still {
		if _, status := u.send(1); status == OutOfMemory {
			gone++
		}
		u.Abort()
	}
	if gone == 0 || gone == len(still) {
		t.Errorf("%d of %d lost their places", gone, len(still))
	}
}

// Segments that somebody reads from are not emptied: what they hold stays, and there is always
// other room for what comes.
func TestPinnedSegmentsAreNotEmptied(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10})
	var pinned Pinned
	var keys []string
	for i := 0; ; i++ {
		key := fmt.Sprint("read", i)
		if put(st, Set, key, string(pattern(100_000, i)), 0) != Stored {
			t.Fatal("no room for", key)
		}
		may := false
		if !st.View(st.Hash([]byte(key)), []byte(key), func(it Item) {
			if may = it.MayPin(nil); may {
				it.Pin(&pinned)
			}
		}) {
			t.Fatal("lost", key)
		}
		if !may {
			break
		}
		keys = append(keys, key)
	}
	s := &st.shards[0]
	if part := float64(s.pinned) * float64(s.segSize) / float64(s.usable()); part < 0.7 || part > 0.76 || !st.PinsCrowd() {
		t.Fatalf("%.2f of the shard can be pinned", part)
	}
	for i := range 100_000 {
		if got := put(st, Set, fmt.Sprint("flood", i), "a value that takes some room", 0); got != Stored {
			t.Fatalf("flood %d: %d", i, got)
		}
	}
	if got := receive(t, st, "large", pattern(1_000_000, 1), Set); got != Stored {
		t.Fatalf("a large value: %d", got)
	}
	for i, key := range keys {
		if got, ok := get(st, key); !ok || got != string(pattern(100_000, i)) {
			t.Fatalf("%s: %v", key, ok)
		}
	}
	pinned.Release()
	if s.pinned != 0 || st.PinsCrowd() {
		t.Errorf("%d segments are pinned still", s.pinned)
	}
}

// One reply is always allowed, and so is one more of what is pinned already. The next one waits
// until something is let go.
func TestTheFirstReplyMayBeAsLargeAsItLikes(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20})
	for i := range 2 {
		if got := receive(t, st, fmt.Sprint("large", i), pattern(3_900_000-i*1_000_000, i), Set); got != Stored {
			t.Fatal(got)
		}
	}
	called := 0
	mayPin := func(i int, p *Pinned) (may bool) {
		key := fmt.Append(nil, "large", i)
		if !st.View(st.Hash(key), key, func(it Item) {
			if may = it.MayPin(func() { called++ }); may {
				it.Pin(p)
			}
		}) {
			t.Fatalf("%s is gone", key)
		}
		return may
	}
	var first, again, second Pinned
	if !mayPin(0, &first) || !mayPin(0, &again) {
		t.Fatal("the first has to wait")
	}
	if mayPin(1, &second) {
		t.Fatal("the second has not")
	}
	again.Release()
	if called != 0 {
		t.Fatal("called before there was room")
	}
	want := bytes.Join(first.Pieces, nil)
	first.ReleaseFirst(len(first.Pieces) / 2)
	if called != 1 {
		t.Fatalf("called %d times", called)
	}
	if got := bytes.Join(first.Pieces, nil); !bytes.HasSuffix(want, got) || len(got) != first.Bytes || len(got) == len(want) {
		t.Fatalf("%d bytes of %d are left, it says %d", len(got), len(want), first.Bytes)
	}
	if !mayPin(1, &second) {
		t.Fatal("there is room, and it has to wait")
	}
	first.Release()
	second.Release()
	if s := &st.shards[0]; s.pinned != 0 {
		t.Errorf("%d segments are pinned still", s.pinned)
	}
}

// Without eviction a full store refuses a large value at once, be there who reads from it or not:
// that will win nothing.
func TestAFullStoreWithoutEvictionDoesNotWaitForReaders(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, DisableEviction: true})
	n := 0
	for put(st, Set, fmt.Sprint("live", n), string(pattern(10_000, n)), 0) == Stored {
		n++
	}
	var pinned, dead Pinned
	pin := func(key string, p *Pinned) {
		if !st.View(st.Hash([]byte(key)), []byte(key), func(it Item) { it.Pin(p) }) {
			t.Fatal("lost", key)
		}
	}
	pin("live0", &pinned)
	u := newUpload(t, st, "upload", 100_000)
	if done, status := u.send(100_000); !done || status != OutOfMemory {
		t.Errorf("a large value: %v, %d", done, status)
	}
	// What was read and then deleted is another matter.
	for i := range 20 {
		pin(fmt.Sprint("live", i), &dead)
		st.Delete(st.Hash(fmt.Append(nil, "live", i)), fmt.Append(nil, "live", i))
	}
	u = newUpload(t, st, "another", 100_000)
	if done, status := u.send(100_000); done || status != Later {
		t.Fatalf("with room to come: %v, %d", done, status)
	}
	dead.Release()
	pinned.Release()
	if !u.called {
		t.Error("nobody is called")
	}
	if done, status := u.send(100_000); !done || status != Stored {
		t.Errorf("with room: %v, %d", done, status)
	}
}

// Who stands still with more than a quarter of the memory loses his place before anybody's items
// are evicted.
func TestItemsDoNotGoForWhoStandsStill(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20})
	for i := range 8 {
		u := newUpload(t, st, fmt.Sprint("still", i), 1_000_000)
		if _, status := u.send(600_000); status != Stored {
			t.Fatal(status)
		}
		defer u.Abort()
	}
	n := 0
	for ; st.Stats().Evictions == 0; n++ {
		put(st, Set, fmt.Sprint("live", n), "a value that takes some room", 0)
	}
	s := &st.shards[0]
	if s.arriving < s.usable()/2 {
		t.Fatalf("%d bytes are on their way", s.arriving)
	}
	before := st.Stats().Evictions
	clock.Set(clock.Now() + stillAfter)
	for i := range n / 2 {
		put(st, Set, fmt.Sprint("more", i), "a value that takes some room", 0)
	}
	if s.arriving > s.usable()/4 {
		t.Errorf("%d bytes are on their way still", s.arriving)
	}
	if lost := st.Stats().Evictions - before; lost > uint64(n/20) {
		t.Errorf("%d of %d items have gone", lost, n)
	}
}

// Many more uploads than there is room for send half and stand still. Who comes after them is stored
// as soon as the first of them have stood still for long enough, and so is who has waited the longest.
func TestTheLastNeedNotWaitForAllBefore(t *testing.T) {
	const crowd, n = 100, 1_900_000
	st, clock := newStore(t, Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20})
	var called []*upload
	begin := func(key string, n int) *upload {
		u := &upload{value: pattern(n, len(key))}
		in, status := st.Receive(st.Hash([]byte(key)), &Item{Key: []byte(key)}, n, func() { called = append(called, u) })
		if status != Stored {
			t.Fatalf("%s: %d", key, status)
		}
		u.Incoming = in
		return u
	}
	var first *upload // that has to wait
	for i := range crowd {
		u := begin(fmt.Sprint("half", i), n)
		defer u.Abort()
		if _, status := u.send(n / 2); status == Later && first == nil {
			first = u
		}
	}
	last := begin("last", n/2)
	if _, status := last.send(n / 2); status != Later {
		t.Fatalf("there was room: %d", status)
	}
	began := first.came
	clock.Set(clock.Now() + stillAfter)
	for st.Sweep() {
	}
	stored := false
	for tries := 0; len(called) > 0 && tries < 10*crowd; tries++ { // each in turn; who has sent half stands still
		u := called[0]
		called = called[1:]
		if u.over {
			continue
		}
		more := max(0, len(u.value)-(n-n/2))
		if u == last {
			more = len(u.value)
		}
		done, status := u.send(more)
		stored = stored || done && status == Stored
	}
	if !stored {
		t.Error("the last still waits")
	}
	if first.came == began {
		t.Error("the first still waits")
	}
}
