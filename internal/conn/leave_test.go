package conn

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/session"
)

// draining starts Drain, and gives what waits for its end.
func draining(t *testing.T, h *fixture, within time.Duration) (wait func() time.Duration) {
	done, began := make(chan time.Duration, 1), time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	go func() {
		h.conns.Drain(ctx)
		done <- time.Since(began)
	}()
	return func() time.Duration { return <-done }
}

// Who watches, and so asks for nothing, does not keep a server from its end.
func TestDrainDoesNotWaitForWhoWatches(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	c.say("watch evictions\r\n")
	c.hear("OK\r\n")
	h.conns.Drain(t.Context())
	c.hearEnd()
}

// Clients who ask on and on, one request at a time, get an answer to each of them, and the end
// between two.
func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	h := start(t, options{loops: 2})
	const crowd = 20
	var all sync.WaitGroup
	started := make(chan bool, crowd)
	for i := range crowd {
		c := dial(t, h)
		all.Go(func() {
			value := strings.Repeat("v", 1000*i)
			said := fmt.Sprintf("set k%d 0 0 %d\r\n%s\r\nget k%d\r\n", i, len(value), value, i)
			want := fmt.Sprintf("STORED\r\nVALUE k%d 0 %d\r\n%s\r\nEND\r\n", i, len(value), value)
			for n := 0; ; n++ {
				if n == 3 {
					started <- true
				}
				_, err := c.Write([]byte(said))
				got := make([]byte, len(want))
				read := 0
				for err == nil && read < len(got) {
					var m int
					m, err = c.r.Read(got[read:])
					read += m
				}
				switch {
				case err != nil && read == 0: // the end came before the server had seen anything of this
					return
				case err != nil:
					t.Errorf("%d of %d bytes of an answer, then %v", read, len(want), err)
					return
				case string(got) != want:
					t.Errorf("%.100q, want %.100q", got, want)
					return
				}
			}
		})
	}
	for range crowd {
		<-started
	}
	draining(t, h, 4*patience)()
	all.Wait()
	if n := h.conns.Numbers().Current; n != 0 {
		t.Errorf("%d are left", n)
	}
}

// A value that is half sent, and replies that are half read, are waited for.
func TestDrainWaitsForWhatIsHalfDone(t *testing.T) {
	h := start(t, options{})
	idle, sender, reader := dial(t, h), dial(t, h), dial(t, h)
	reply := reader.fill("k", 500_000)
	reader.say(strings.Repeat("get k\r\n", manyReplies))
	sender.say("set s 0 0 10\r\nhalf ")
	sender.amid(session.StateValue)
	idle.ping()
	reader.waits(blocked)

	wait := draining(t, h, 4*patience)
	idle.hearEnd()
	eventually(t, "the others are asked to go, and stay", func() bool {
		list := h.conns.list()
		return len(list) == 2 && list[0].leave.Load() && list[1].leave.Load()
	})
	for range 3 {
		sender.served().onLoop(t, func() {})
		reader.served().onLoop(t, func() {})
	}
	if _, err := net.Dial("tcp", h.addr().String()); err == nil {
		t.Error("it still accepts")
	}
	sender.say("done!\r\n")
	sender.hear("STORED\r\n")
	sender.hearEnd()
	for range manyReplies {
		reader.hear(reply)
	}
	reader.hearEnd()
	wait()
}

// They go one after the other, over half of the time.
func TestDrainIsGradual(t *testing.T) {
	h := start(t, options{})
	const crowd = 40
	var ends sync.WaitGroup
	var mu sync.Mutex
	var when []time.Time
	for range crowd {
		c := dial(t, h)
		c.ping()
		ends.Go(func() {
			c.hearEnd()
			mu.Lock()
			defer mu.Unlock()
			when = append(when, time.Now())
		})
	}
	if took := draining(t, h, 4*patience)(); took < (crowd-1)*leavePace {
		t.Errorf("%d were closed within %v", crowd, took)
	}
	ends.Wait()
}

// Those go first that have been quiet the longest.
func TestTheQuietLeaveFirst(t *testing.T) {
	h := start(t, options{clock: aClock()})
	var all []*client
	for i := range 6 {
		all = append(all, dial(t, h))
		all[i].served()
	}
	for _, i := range []int{3, 1, 5, 0, 4, 2} {
		h.step(1)
		all[i].ping()
		eventually(t, "that is noted", func() bool { return all[i].served().served.Load() == uint32(h.clock.Now()) })
	}
	for _, i := range []int{3, 1, 5, 0, 4, 2} {
		if n := h.conns.leaving(1); n != 1 {
			t.Fatalf("%d are asked to go", n)
		}
		all[i].hearEnd()
	}
	eventually(t, "all are gone", func() bool { return h.conns.Numbers().Current == 0 })
}

// Who never finishes what he began is left to Stop.
func TestDrainEnds(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	c.say("set s 0 0 10\r\nhalf ")
	c.amid(session.StateValue)
	if took := draining(t, h, 300*time.Millisecond)(); took < 300*time.Millisecond || h.conns.Numbers().Current != 1 {
		t.Errorf("took %v, %d are left", took, h.conns.Numbers().Current)
	}
}

// A turn that comes before its time, as one did on a busy machine, asks nobody.
func TestATurnBeforeItsTimeAsksNobody(t *testing.T) {
	h := start(t, options{})
	c := dial(t, h)
	c.ping()
	if n := h.conns.leaving(-1); n != 0 || c.served().leave.Load() {
		t.Errorf("%d are asked to go", n)
	}
	if n := h.conns.leaving(1); n != 1 {
		t.Errorf("%d are asked to go, want 1", n)
	}
	c.hearEnd()
}

// What has come and is not read yet is answered before the connection goes.
func TestWhatHasComeIsAnsweredBeforeLeaving(t *testing.T) {
	h := start(t, options{loops: 1})
	for range 100 {
		c := dial(t, h)
		s := c.served()
		s.standing(t, func() {
			s.leave.Store(true)
			s.wake()
			c.say("mn\r\nmn\r\n")
			eventually(t, "it has come", func() bool { return s.unread() > 0 })
		})
		c.hear("MN\r\nMN\r\n")
		c.hearEnd()
	}
}
