package conn

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

func TestIdleClientsAreClosed(t *testing.T) {
	h := start(t, options{idle: 5 * time.Second, clock: aClock()})
	idle, busy, sending, large := dial(t, h), dial(t, h), dial(t, h), dial(t, h)
	sending.say("set k 0 0 5\r\nab")
	large.say("set l 0 0 900000\r\nab")
	sending.amid(session.StateValue)
	large.amid(session.StateValue)
	idle.served()
	h.step(4)
	busy.ping()
	eventually(t, "that is noted", func() bool { return busy.served().served.Load() == uint32(h.clock.Now()) })
	h.step(3)
	h.tick() // they may be there still, but are counted once
	for _, c := range []*client{idle, sending, large} {
		c.hearGone()
	}
	if kicks := busy.stat("idle_kicks"); kicks != "3" {
		t.Errorf("%s kicks", kicks)
	}
	busy.ping()
	sending = dial(t, h)
	sending.say("get k l\r\n")
	sending.hear("END\r\n")
}

// Not who listens, on a watch, nor who takes some of what waits for it, however little. Who takes
// nothing is.
func TestWhoIsIdleThoughSomethingWaits(t *testing.T) {
	h := start(t, options{plain: true, idle: 5 * time.Second, clock: aClock()})
	watcher, reader, nobody := dial(t, h), slow(t, h), slow(t, h)
	watcher.say("watch deletions\r\n")
	watcher.hear("OK\r\n")
	watcher.amid(session.StateWatch)
	reply := reader.fill("k", 500_000)
	for _, c := range []*client{reader, nobody} {
		c.say("get k\r\n")
		c.waits(blocked)
	}
	s := reader.served()
	eventually(t, "their systems have taken what they take", func() bool {
		h.tick()
		before := [2]int64{s.written() - s.untaken(), nobody.served().written()}
		time.Sleep(20 * time.Millisecond)
		return before == [2]int64{s.written() - s.untaken(), nobody.served().written()}
	})
	h.tick()
	heard := 0
	for range 4 {
		before := s.written() - s.untaken()
		heard += 7_000
		reader.hear(reply[heard-7_000 : heard])
		eventually(t, "it is known to be taken", func() bool { return s.written()-s.untaken() > before })
		h.step(3)
	}
	nobody.hearGone()
	reader.hear(reply[heard:])
	reader.ping()
	eventually(t, "one is gone", func() bool { return h.conns.Numbers().Current == 2 })
	if n := h.counted(stats.IdleKicks); n != 1 {
		t.Errorf("%d kicks", n)
	}
}

// idle_timeout is for TCP.
func TestNobodyIsIdleOnAUnixSocket(t *testing.T) {
	h := start(t, options{idle: 5 * time.Second, clock: aClock(), unix: true})
	c := dial(t, h)
	c.ping()
	h.step(100)
	h.step(100)
	c.ping()
	if n := h.counted(stats.IdleKicks); n != 0 {
		t.Errorf("%d kicks", n)
	}
}

// crowded is a fixture with one shard of 8 MB, and clients who have asked for a large value each
// and read nothing.
func crowded(t *testing.T, o options, clients int) (h *fixture, crowd []*client, replies []string) {
	t.Helper()
	o.clock, o.store = aClock(), storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10}
	h = start(t, o)
	for i := range clients {
		c := slow(t, h)
		crowd, replies = append(crowd, c), append(replies, c.fill("key"+strconv.Itoa(i), 900_000))
		c.say(fmt.Sprintf("get key%d\r\n", i))
		c.waits(blocked)
	}
	return h, crowd, replies
}

// Who stands still keeps what it has pinned while pins take less than a quarter, or while it has
// not stood still for long.
func TestPinsAreKeptWhileTheyDoNotCrowd(t *testing.T) {
	h, crowd, _ := crowded(t, options{}, 2)
	if h.store.PinsCrowd() {
		t.Fatal("two of 900,000 bytes crowd 8 MB")
	}
	for range 5 {
		h.step(10)
	}
	more := slow(t, h)
	reply := more.fill("more", 900_000)
	more.say("get more\r\n")
	more.waits(blocked)
	if !h.store.PinsCrowd() {
		t.Fatal("three do not")
	}
	pinned := func(c *client) (n int) {
		s := c.served()
		s.onLoop(t, func() { n = s.unsent().Pinned() })
		return n
	}
	if pinned(crowd[0]) == 0 || pinned(crowd[1]) == 0 || h.holds() > withRecords(1000, 3) {
		t.Errorf("%d bytes are copied", h.holds())
	}
	h.tick() // one of those who stand still, or both; not the other
	eventually(t, "they do not crowd", func() bool { h.tick(); return !h.store.PinsCrowd() })
	if pinned(more) == 0 {
		t.Error("who has just come lost its pins")
	}
	more.hear(reply)
}

// Who moves keeps its pins though they crowd: nobody is asked to let go who has not stood still.
func TestPinsOfWhoMovesAreKept(t *testing.T) {
	h, crowd, replies := crowded(t, options{}, 5)
	h.step(int(stillAfter) - 1)
	for range 10 {
		h.tick()
		for _, c := range crowd {
			c.served().onLoop(t, func() {})
		}
	}
	if n := h.holds(); n > withRecords(1000, len(crowd)) || !h.store.PinsCrowd() {
		t.Errorf("%d bytes are copied, pins crowd: %v", n, h.store.PinsCrowd())
	}
	for i, c := range crowd {
		c.hear(replies[i])
	}
}

// When there is no room for copies, they are closed, as few as it takes. It is counted, and told at
// -v, with the setting's name.
func TestPinsOfWhoStandsStillAreDropped(t *testing.T) {
	var log notes
	h, crowd, replies := crowded(t, options{memory: 100 << 10, verbosity: 1, log: &log}, 5)
	h.step(int(stillAfter))
	eventually(t, "pins do not crowd any more", func() bool { h.tick(); return !h.store.PinsCrowd() })
	eventually(t, "some are closed", func() bool { return h.conns.Numbers().Current < 5 })
	gone := h.counted(stats.PinsDropped)
	if gone == 0 || gone > 4 {
		t.Errorf("%d of 5 are closed", gone)
	}
	if n := strings.Count(log.String(), "memory (-m)"); n != int(gone) {
		t.Errorf("%d are closed, logged: %s", gone, log.String())
	}
	asks := dial(t, h)
	if got := asks.stat("conn_pins_dropped"); got != fmt.Sprint(gone) {
		t.Errorf("conn_pins_dropped %s, want %d", got, gone)
	}
	served := 0
	for i, c := range crowd {
		if c.there() != nil {
			c.hear(replies[i])
			served++
			continue
		}
		c.hearGone()
	}
	if served+int(gone) != 5 {
		t.Errorf("%d are served, %d closed", served, gone)
	}
}

// A reader that takes bytes steadily, though slowly, is not closed and gets every byte, while pins
// crowd, there is no room for copies, and everybody who stands still goes.
func TestWhoTakesBytesSteadilyStays(t *testing.T) {
	h, crowd, replies := crowded(t, options{memory: 100 << 10}, 6)
	steady, reply := crowd[0], replies[0] // who came first: if anybody is thought to stand still, it is this one
	s := steady.served()
	heard := make([]byte, len(reply))
	n := 0
	for n < len(reply) {
		m, err := io.ReadFull(steady.r, heard[n:min(len(reply), n+2*stillLeast)])
		if n += m; err != nil {
			t.Fatalf("%d of %d bytes, then %v", n, len(reply), err)
		}
		if s.phase() == blocked || s.phase() == inLine {
			eventually(t, "it is known to be taken", func() bool {
				return s.written()-s.untaken() >= s.taken()+stillLeast || s.phase() == reading
			})
		}
		h.step(2)
		if n < len(reply)/2 { // others come, and ask for much
			c := slow(t, h)
			c.say("get key5\r\n")
		}
	}
	if string(heard) != reply {
		t.Error("it has heard something else")
	}
	steady.ping()
	if h.counted(stats.PinsDropped) < 3 {
		t.Errorf("%d of those who stand still are closed", h.counted(stats.PinsDropped))
	}
}

// Who has said quit and does not take its last replies is not kept for ever.
func TestQuitEnds(t *testing.T) {
	var log notes
	h := start(t, options{plain: true, clock: aClock(), verbosity: 1, log: &log})
	c, other := slow(t, h), slow(t, h)
	c.fill("k", 40_000)
	c.sayAtOnce("get k\r\nquit\r\n")
	other.say("get k\r\nget k\r\n")
	c.waits(blocked)
	other.waits(blocked)
	h.step(int(endAfter) - 1)
	h.tick()
	other.served().onLoop(t, func() {})
	if n := h.conns.Numbers().Current; n != 2 {
		t.Fatalf("%d are there", n)
	}
	h.step(1)
	c.hearGone()
	eventually(t, "only the other is left", func() bool { return h.conns.Numbers().Current == 1 })
	if text := log.String(); strings.Count(text, "closed") != 1 || !strings.Contains(text, "said quit") {
		t.Errorf("logged: %s", text)
	}
	if other.there() == nil {
		t.Error("the wrong one is closed")
	}
}

// Replies wait for what an upload holds, and an upload that stands still gives up its place to what
// others ask.
func TestAnUploadThatStandsStill(t *testing.T) {
	h := start(t, options{clock: aClock(), store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 2 << 20}})
	var uploads []*client
	for i := range 6 {
		c := dial(t, h)
		c.say(fmt.Sprintf("set upload%d 0 0 1900000\r\n%s", i, text(i, 1_000_000)))
		uploads = append(uploads, c)
	}
	eventually(t, "one waits for room, or all is read", func() bool {
		for _, c := range uploads {
			if s := c.served(); s.phase() != held && s.unread() > 0 {
				return false
			}
		}
		return true
	})
	h.step(int(stillAfter) + 1)
	last := dial(t, h)
	last.fill("last", 1_900_000)
	if n := h.counted(stats.StoreNoMemory); n > 6 {
		t.Errorf("%d", n)
	}
	last.ping()
}

// When pins take more than a quarter, those who stand still lose them: what waits for them is
// copied.
func TestPinsOfWhoStandsStillAreCopied(t *testing.T) {
	h, crowd, replies := crowded(t, options{}, 5)
	h.step(int(stillAfter) - 1)
	if h.holds() > withRecords(1000, 5) {
		t.Fatal("copied before its time")
	}
	h.step(1)
	for range 20 {
		h.tick()
		for _, c := range crowd {
			c.served().onLoop(t, func() {})
		}
	}
	if h.store.PinsCrowd() {
		t.Error("pins crowd, though nobody has moved and there is room for copies of all")
	}
	if n := h.counted(stats.PinsDropped) + h.counted(stats.BudgetDropped); n > 0 {
		t.Errorf("%d are closed", n)
	}
	for i, c := range crowd {
		c.hear(replies[i])
		c.ping()
	}
	eventually(t, "nothing is held", func() bool { return h.holds() == 0 })
}

// The clock may be set back: nobody stands still for that.
func TestNobodyStandsStillWhenTheClockIsSetBack(t *testing.T) {
	h, crowd, replies := crowded(t, options{memory: 100 << 10, idle: 5 * time.Second}, 4)
	h.step(-1000)
	h.tick()
	if n := h.conns.Numbers().Current; n != 4 {
		t.Errorf("%d are left", n)
	}
	for i, c := range crowd {
		c.hear(replies[i])
	}
}

// Who has been asked to let go of pins, and had none by then, is not made to later, when it has not
// stood still.
func TestLettingGoIsForNow(t *testing.T) {
	h := start(t, options{memory: 100 << 10})
	c := slow(t, h)
	s := c.served()
	reply := c.fill("k", 500_000)
	s.letGo.Store(true) // Tick found it standing still …
	s.wake()            // … but when the loop looks it has taken everything
	s.onLoop(t, func() {})
	c.say("get k\r\n")
	c.waits(blocked)
	s.wake() // for any other reason
	s.onLoop(t, func() {})
	c.hear(reply)
}

// Who waits for us does not stand still, however long that takes.
func TestWhoWaitsForUsDoesNotStandStill(t *testing.T) {
	h := start(t, options{clock: aClock(), memory: 64 << 10,
		store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20}})
	var readers []*client
	var replies []string
	for i := range 8 {
		c := slow(t, h)
		readers, replies = append(readers, c), append(replies, c.fill(fmt.Sprint("key", i), 880_000))
	}
	for i, c := range readers {
		c.say(fmt.Sprintf("get key%d\r\n", i))
	}
	eventually(t, "some wait for room", func() bool { return h.in(blocked)+h.in(held) == 8 && h.in(held) > 0 })
	for _, c := range readers {
		if s := c.served(); s.phase() == held {
			h.clock.Set(h.clock.Now() + 100)
			if n := s.still(h.clock.Now()); n != 0 {
				t.Errorf("it has stood still for %d seconds", n)
			}
		}
	}
	for i, c := range readers {
		c.hear(replies[i])
	}
}

// Who waits for room and is no more gives its place back at once, and not only when there is room.
func TestTheDeadDoNotWait(t *testing.T) {
	h := start(t, options{clock: aClock(),
		store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20}})
	var readers []*client
	for i := range 8 {
		c := slow(t, h)
		readers = append(readers, c)
		c.fill(fmt.Sprint("key", i), 880_000)
	}
	for i, c := range readers {
		c.say(fmt.Sprintf("get key%d\r\n", i))
	}
	eventually(t, "some wait for room", func() bool { return h.in(blocked)+h.in(held) == 8 && h.in(held) > 0 })
	waiting := h.in(held)
	for _, c := range readers {
		if c.served().phase() == held {
			c.reset()
		}
	}
	eventually(t, "they are gone", func() bool { return int(h.conns.Numbers().Current) == 8-waiting })
}
