package conn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/internal/session"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/storage"
)

// A client asks for more than the socket takes, says that it will ask no more, and only then reads.
func TestHalfCloseWithOutputWaiting(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	reply := c.fill("k", 500_000)
	c.say(strings.Repeat("get k\r\n", manyReplies))
	c.halfClose()
	c.waits(blocked)
	for range manyReplies {
		c.hear(reply)
	}
	c.hearEnd()
	eventually(t, "the connection is counted out", func() bool { return h.conns.Numbers().Current == 0 })
	if n := h.counted(stats.CmdGet); n != manyReplies {
		t.Errorf("counted %d gets, want %d", n, manyReplies)
	}
}

func TestQuitWithOutputWaiting(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	reply := c.fill("k", 500_000)
	c.say(strings.Repeat("get k\r\n", manyReplies) + "quit\r\nget k\r\n")
	c.waits(blocked)
	for range manyReplies {
		c.hear(reply)
	}
	c.hearEnd()
	if n := h.counted(stats.CmdGet); n != manyReplies {
		t.Errorf("counted %d gets, want %d", n, manyReplies)
	}
}

// quit as the last of what fits one turn: its reply waits, and the connection is over when that is
// sent, and not before.
func TestQuitBehindOneLargeReply(t *testing.T) {
	h := start(t, options{})
	c := slow(t, h)
	reply := c.fill("k", 40_000)
	c.say("get k\r\nquit\r\n")
	s := c.waits(blocked)
	if !s.over.Load() {
		t.Error("it is not known to be over")
	}
	c.hear(reply)
	c.hearEnd()
}

// The end of what a client sends comes behind a pipeline: all of that is answered, then the
// connection ends.
func TestTheEndBehindAPipeline(t *testing.T) {
	for _, unix := range []bool{false, true} {
		t.Run(fmt.Sprint("unix ", unix), func(t *testing.T) {
			h := start(t, options{loops: 1, unix: unix})
			for range 10 {
				c := dial(t, h)
				reply := c.fill("k", 9_000)
				const n = 2_000
				c.say(strings.Repeat("get k\r\nmn\r\n", n))
				c.halfClose()
				for range n {
					c.hear(reply + "MN\r\n")
				}
				c.hearEnd()
			}
			eventually(t, "they are counted out", func() bool { return h.conns.Numbers().Current == 0 })
		})
	}
}

// A slow reader holds up nobody else, and gets everything in the end.
func TestSlowReaderIsServedInItsTime(t *testing.T) {
	h := start(t, options{loops: 1})
	slow, quick := dial(t, h), dial(t, h)
	reply := slow.fill("k", 500_000)
	slow.say(strings.Repeat("get k\r\n", manyReplies))
	slow.waits(blocked)
	for range 100 {
		quick.ping()
	}
	for range manyReplies {
		slow.hear(reply)
	}
	slow.ping()
}

// Whoever sends on and on without reading has to wait, at last in the middle of what it sends, and
// takes no memory of ours meanwhile. When it reads, everything is there.
func TestWhoSendsWithoutReadingWaits(t *testing.T) {
	const size, lines = 64 << 20, 1000
	h := start(t, options{})
	c := dial(t, h)
	var ask, replies strings.Builder
	for i := range lines {
		key := fmt.Sprintf("%s%03d", strings.Repeat("k", 220), i%7)
		if i < 7 {
			c.fill(key, 10*i)
		}
		ask.WriteString("get " + key + "\r\n")
	}
	asks := ask.String()
	c.say(asks)
	answers := ""
	for i := range lines {
		key := fmt.Sprintf("%s%03d", strings.Repeat("k", 220), i%7)
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "VALUE "+key+" ") {
			t.Fatalf("%q, %v", line, err)
		}
		value := make([]byte, 10*(i%7)+len("\r\nEND\r\n"))
		if _, err := io.ReadFull(c.r, value); err != nil {
			t.Fatal(err)
		}
		replies.WriteString(line + string(value))
	}
	answers = replies.String()

	const times = size/(lines*230) + 1
	var sent atomic.Int64
	all := make(chan error, 1)
	go func() {
		for range times {
			n, err := c.Write([]byte(asks))
			if sent.Add(int64(n)); err != nil {
				all <- err
				return
			}
		}
		all <- nil
	}()
	s := c.served()
	steady, before := 0, [3]int64{}
	eventually(t, "its own sending waits", func() bool {
		now := [3]int64{int64(h.counted(stats.BytesRead)), s.written(), int64(s.unread())}
		if now != before || now[2] == 0 || s.phase() != blocked {
			steady, before = 0, now
		}
		steady++
		return steady > 100
	})
	select {
	case err := <-all:
		t.Fatalf("%d bytes were taken from a client that reads nothing (%v)", sent.Load(), err)
	default:
	}
	if now, peak := h.conns.Memory(); peak > 512<<10 {
		t.Errorf("%d bytes are held for it, %d at most", now, peak)
	}
	dial(t, h).ping()
	for range times {
		c.hear(answers)
	}
	if err := <-all; err != nil {
		t.Error(err)
	}
	c.ping()
	if _, peak := h.conns.Memory(); peak > 512<<10 {
		t.Errorf("%d bytes were held for it", peak)
	}
}

// A client that pipelines faster than its turns come does not fill our memory with requests.
func TestPipelineIsServedAsItComes(t *testing.T) {
	h := start(t, options{loops: 1})
	c := dial(t, h)
	const n, times = 50_000, 12
	go func() {
		said := []byte(strings.Repeat("mn\r\n", n))
		for range times {
			if _, err := c.Write(said); err != nil {
				return
			}
		}
	}()
	heard := strings.Repeat("MN\r\n", n)
	for range times {
		c.hear(heard)
	}
	if _, peak := h.conns.Memory(); peak > 512<<10 {
		t.Errorf("%d bytes were held at a time for a client that sent 2.4 MB and read on", peak)
	}
}

// Two hundred who do not read cost two hundred descriptors, and not one goroutine.
func TestSlowReadersCostNeitherDescriptorsNorGoroutines(t *testing.T) {
	const crowd = 200
	h := start(t, options{loops: 2})
	good := dial(t, h)
	good.fill("k", 30_000)
	var readers []*client
	for range crowd {
		readers = append(readers, slow(t, h))
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for _, c := range readers {
		c.say(strings.Repeat("get k\r\n", 20))
	}
	eventually(t, "all of them wait", func() bool { return h.in(blocked) == crowd })
	if n := runtime.NumGoroutine(); n > goroutines+10 {
		t.Errorf("%d goroutines, %d before they stopped reading", n, goroutines)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d descriptors, %d before they stopped reading", n, files)
	}
	for _, c := range readers[:10] {
		eventually(t, "there is one descriptor of it", func() bool { return descriptorsOf(t, c.served().fd) == 1 })
	}
	watcher := dial(t, h)
	watcher.say("watch\r\n")
	watcher.hear("OK\r\n")
	eventually(t, "there is one descriptor of a watcher", func() bool { return descriptorsOf(t, watcher.served().fd) == 1 })
	good.ping()
}

// A watcher who does not read waits like anybody else: lines are dropped, and when it reads it
// hears what is new.
func TestAWatcherWhoDoesNotRead(t *testing.T) {
	h := start(t, options{loops: 1})
	w, c := slow(t, h), dial(t, h)
	w.say("watch\r\n")
	w.hear("OK\r\n")
	eventually(t, "lines wait, and some are missed", func() bool {
		c.say(strings.Repeat("get "+strings.Repeat("k", 200)+"\r\n", 50))
		c.hear(strings.Repeat("END\r\n", 50))
		return w.served().phase() == blocked && h.env.Hub.Stats().Skipped > 0
	})
	for missed := false; !missed; {
		line, err := w.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		missed = strings.HasPrefix(line, "skipped=")
		if !missed && !strings.HasPrefix(line, "ts=") {
			t.Fatalf("%q", line)
		}
		c.say("get more\r\n") // the news of what was missed comes before a line
		c.hear("END\r\n")
	}
	c.ping()
}

// A refusal of a command with a block is said when the block has been read.
func TestRefusalsComeBehindTheBlock(t *testing.T) {
	h := start(t, options{store: storage.Options{MemoryLimit: 64 << 20, ItemMax: 1 << 20}})
	for _, tt := range []struct {
		line, refusal string
		bytes         int
	}{
		{"set k 0 0 2000000\r\n", "SERVER_ERROR object too large for cache\r\n", 2_000_000},
		{"ms k 2000000\r\n", "SERVER_ERROR object too large for cache\r\n", 2_000_000},
		{"set " + strings.Repeat("k", 251) + " 0 0 10\r\n", "CLIENT_ERROR bad command line format\r\n", 10},
	} {
		c := dial(t, h)
		c.say(tt.line)
		c.amid(session.StateSwallow)
		block := strings.Repeat("v", tt.bytes) + "\r\n"
		half := len(block) / 2
		c.say(block[:half])
		eventually(t, "half of it is read", func() bool { return c.served().unread() == 0 && c.served().untaken() == 0 })
		c.served().onLoop(t, func() {})
		raw, _ := socketOf(c.Conn).SyscallConn()
		if err := control(raw, func(fd int) error {
			n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
			if n > 0 {
				t.Errorf("%.20q: %d bytes are said before the block is there", tt.line, n)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		c.say(block[half:] + "mn\r\n")
		c.hear(tt.refusal + "MN\r\n")
	}
}

func TestReqsPerEventYieldsReally(t *testing.T) {
	h := start(t, options{reqs: 1})
	c := dial(t, h)
	c.say(strings.Repeat("set k 0 0 1\r\nx\r\n", 6))
	c.hear(strings.Repeat("STORED\r\n", 6))
	if got := c.stat("conn_yields"); got != "5" {
		t.Errorf("conn_yields %s, want 5", got)
	}
}

// Eight clients ask for large values and read slowly, all of them at the same time, where the store
// can have not even all of these pinned: all of them get every byte, some after a while.
func TestLargeRepliesWaitForOneAnother(t *testing.T) {
	const crowd, size = 8, 880_000
	// The clock stands: nobody can be said to stand still.
	h := start(t, options{clock: aClock(), store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20}})
	var readers []*client
	var replies []string
	for i := range crowd {
		c := slow(t, h)
		readers, replies = append(readers, c), append(replies, c.fill(fmt.Sprint("key", i), size))
	}
	if n := h.store.Stats().CurrItems; n != crowd {
		t.Fatalf("the store holds %d items", n)
	}
	for i, c := range readers {
		verb := []string{"get key%d\r\n", "gets key%d\r\n", "mg key%d v\r\n"}[i%3]
		c.say(fmt.Sprintf(verb, i))
	}
	eventually(t, "each is sent or waits for room", func() bool { return h.in(blocked)+h.in(held) == crowd })
	if h.in(held) == 0 {
		t.Error("all of them are sent at once")
	}
	quick := dial(t, h)
	quick.fill("other", 100)
	quick.ping()
	var all sync.WaitGroup
	for i, c := range readers {
		all.Go(func() {
			value := strings.SplitN(replies[i], "\r\n", 2)[1]
			if i%3 == 2 {
				value = strings.TrimSuffix(value, "END\r\n")
			}
			if _, err := c.r.ReadString('\n'); err != nil {
				t.Error(err)
				return
			}
			got := make([]byte, len(value))
			for n := 0; n < len(got); {
				m, err := c.r.Read(got[n:min(len(got), n+20_000)])
				if n += m; err != nil {
					t.Errorf("client %d heard %d of %d bytes, then %v", i, n, len(got), err)
					return
				}
				runtime.Gosched()
			}
			if string(got) != value {
				t.Errorf("client %d heard something else", i)
			}
			if err := ask(c, "mn\r\n", "MN\r\n"); err != nil {
				t.Error(i, err)
			}
		})
	}
	all.Wait()
	if n := h.counted(stats.PinsDropped) + h.counted(stats.BudgetDropped); n > 0 || h.conns.Numbers().Current != crowd+1 {
		t.Errorf("%d are closed", n)
	}
	if h.store.PinsCrowd() {
		t.Error("something stays pinned")
	}
}

// ask is say and hear for goroutines.
func ask(c *client, said, want string) error {
	if _, err := io.WriteString(c.Conn, said); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); string(got) != want {
		return fmt.Errorf("heard %.100q, %v; want %.100q", got[:n], err, want)
	}
	return nil
}

// Three times as much as the store holds is sent to it at once: all of it is stored, the last with
// waiting.
func TestUploadsWaitForOneAnother(t *testing.T) {
	const crowd, size = 15, 4 << 20
	h := start(t, options{plain: true, clock: aClock(), store: storage.Options{MemoryLimit: 20 << 20, Shards: 1, SegmentSize: 64 << 10, ItemMax: 5 << 20}})
	value := text(1, size)
	var senders []*client
	for i := range crowd {
		c := dial(t, h)
		c.say(fmt.Sprintf("set key%d 0 0 %d\r\n", i, size))
		senders = append(senders, c)
	}
	// All of them send nearly all they have, and stop.
	rest := make([]string, crowd)
	for i, c := range senders {
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := io.WriteString(c.Conn, value[:size-100])
		_ = c.SetWriteDeadline(time.Now().Add(4 * patience))
		rest[i] = value[n:] + "\r\n"
	}
	eventually(t, "some wait for room", func() bool { return h.in(held) > 0 })
	var all sync.WaitGroup
	for i, c := range senders {
		all.Go(func() {
			if err := ask(c, rest[i], "STORED\r\n"); err != nil {
				t.Error(i, err)
				return
			}
			if err := ask(c, "mn\r\n", "MN\r\n"); err != nil {
				t.Error(i, err)
			}
		})
	}
	all.Wait()
	c := dial(t, h)
	kept := 0
	for i := range crowd {
		c.say(fmt.Sprintf("get key%d\r\n", i))
		line, err := c.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "END\r\n" {
			continue
		}
		kept++
		c.hear(value + "\r\nEND\r\n")
	}
	if kept == 0 {
		t.Error("nothing is there")
	}
	if n := c.stat("store_no_memory"); n != "0" {
		t.Errorf("%s are refused", n)
	}
}

// What is under way when a client goes is given back: pins, values on their way in, what is held
// for it, its place among those who wait.
func TestTheGoneLeaveNothing(t *testing.T) {
	h := start(t, options{loops: 2, clock: aClock(), store: storage.Options{MemoryLimit: 8 << 20, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20}})
	c := dial(t, h)
	c.fill("large", 2_000_000)
	c.fill("larger", 3_900_000)
	for round := range 30 {
		var crowd []*client
		for _, says := range []string{
			"get large\r\n", "get larger\r\n", "get larger larger large\r\nget k\r\n", "mg larger v\r\n", "set k 0 0 3000000\r\n" + text(round, 2_000_000),
			"set k 0 0 3000\r\nhalf", "get half", "get larger large\r\nget large\r\n",
		} {
			r := slow(t, h)
			go func() { _, _ = io.WriteString(r.Conn, says) }() // it may not be taken
			crowd = append(crowd, r)
		}
		if round%3 > 0 {
			eventually(t, "some wait", func() bool { return h.in(blocked) > 1 })
		}
		for i, r := range crowd {
			if (round+i)%2 == 0 {
				r.reset()
			}
			_ = r.Close()
		}
		// Two who half-sent a value may have shut down in good order: that is seen as well.
		eventually(t, "they are gone", func() bool { return h.conns.Numbers().Current == 1 })
		if n := h.holds(); n != 0 || h.conns.sending.Load() != 0 || h.store.PinsCrowd() {
			t.Fatalf("round %d: %d bytes are held, replies of %d, crowded: %v", round, n, h.conns.sending.Load(), h.store.PinsCrowd())
		}
	}
	c.ping()
}

// Large values are read from the socket to where they will lie, and come back from there. See also
// stream_test.go.
func TestEveryLengthComesBack(t *testing.T) {
	h := start(t, options{store: storage.Options{MemoryLimit: 32 << 20, ItemMax: 2 << 20}})
	c := slow(t, h)
	for _, n := range []int{0, 1, 4<<10 - 1, 4 << 10, 64<<10 - 30, 64 << 10, 1<<16 + 1, writeMost - 20, writeMost, 1_500_000} {
		reply := c.fill(fmt.Sprint("k", n), n)
		value := bytes.TrimSuffix([]byte(reply), []byte("END\r\n"))
		c.say(fmt.Sprintf("get k%d none k%d\r\nget k%d\r\nmn\r\n", n, n, n))
		c.hear(string(value) + string(value) + "END\r\n" + reply + "MN\r\n")
	}
}

// Whoever says on a unix socket what wants no answer, and leaves, has said it: all of it is done.
// (Over TCP it is.)
func TestWhatWasSaidBeforeLeavingIsDone(t *testing.T) {
	for _, unix := range []bool{false, true} {
		t.Run(fmt.Sprint("unix ", unix), func(t *testing.T) {
			h := start(t, options{loops: 1, unix: unix})
			const clients, sets = 20, 4_000
			for range clients {
				c := dial(t, h)
				c.say(strings.Repeat("set k 0 0 1 noreply\r\nx\r\n", sets))
				_ = c.Close()
			}
			eventually(t, "they are gone", func() bool { return h.conns.Numbers().Total == clients && h.conns.Numbers().Current == 0 })
			if n := h.counted(stats.CmdSet); n != clients*sets {
				t.Errorf("%d of %d sets are done", n, clients*sets)
			}
		})
	}
}

// A dump that is longer than its first turn comes to its end, every time.
func TestEveryDumpEnds(t *testing.T) {
	h := start(t, options{loops: 1})
	c := dial(t, h)
	for i := range 200 {
		c.say(fmt.Sprintf("set key%d 0 0 1 noreply\r\nx\r\n", i))
	}
	c.ping()
	_ = c.SetDeadline(time.Now().Add(patience)) // for all of them: it is a second's work
	c.r = bufio.NewReader(c.Conn)
	for i := range 1000 {
		c.say("lru_crawler metadump all\r\n")
		for line := ""; line != "END\r\n"; {
			var err error
			if line, err = c.r.ReadString('\n'); err != nil {
				n := 0
				if s := c.there(); s != nil {
					n = int(s.phase())
				}
				t.Fatalf("dump %d: %q, %v; the connection is in phase %d (held is %d)", i, strings.TrimSpace(line), err, n, held)
			}
		}
	}
}

// Nor does one outlast its client.
func TestADumpEndsWithItsClient(t *testing.T) {
	h := start(t, options{loops: 1})
	good := dial(t, h)
	for i := range 200 {
		good.say(fmt.Sprintf("set key%d 0 0 1 noreply\r\nx\r\n", i))
	}
	good.ping()
	for range 200 {
		c := dial(t, h)
		c.say("lru_crawler metadump all\r\n")
		c.reset()
	}
	eventually(t, "they are gone", func() bool { return h.conns.Numbers().Current == 1 })
	good.ping()
}

// However many loops look at the same time whether a large value may be pinned, no more than three
// quarters of a shard are.
func TestNoMoreIsPinnedThanMayBe(t *testing.T) {
	const crowd, size, limit = 8, 880_000, 8 << 20
	h := start(t, options{clock: aClock(), store: storage.Options{MemoryLimit: limit, Shards: 1, SegmentSize: 32 << 10, ItemMax: 4 << 20}})
	first := dial(t, h)
	for i := range crowd {
		first.fill(fmt.Sprint("key", i), size)
	}
	for round := range 40 {
		var readers []*client
		var loops []func()
		for range crowd {
			readers = append(readers, slow(t, h))
		}
		seen := map[*loop]bool{}
		for _, r := range readers {
			if s := r.served(); !seen[s.loop] {
				seen[s.loop] = true
				stands, goOn := s.stand(t)
				<-stands
				loops = append(loops, goOn)
			}
		}
		for i, r := range readers {
			r.say(fmt.Sprintf("get key%d\r\n", i))
		}
		for _, goOn := range loops {
			goOn()
		}
		eventually(t, "each is sent or waits for room", func() bool { return h.in(blocked)+h.in(held) == crowd })
		sum := 0
		for _, r := range readers {
			s := r.served()
			s.onLoop(t, func() {
				if s.unsent() != nil {
					sum += s.unsent().Pinned()
				}
			})
		}
		if sum > limit/4*3 {
			t.Errorf("round %d: %d bytes are pinned of %d, %d wait for room", round, sum, limit, h.in(held))
		}
		for _, r := range readers {
			r.reset()
		}
		eventually(t, "they are gone", func() bool { return h.conns.Numbers().Current == 1 })
	}
}
