package server

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// draining starts Drain, and gives what waits for its end.
func draining(t *testing.T, srv *Server, within time.Duration) (wait func() time.Duration) {
	done, start := make(chan time.Duration), time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	go func() {
		srv.Drain(ctx)
		done <- time.Since(start)
	}()
	return func() time.Duration { return <-done }
}

// Clients who ask on and on, one request at a time, get an answer to each of them, and the end between two.
func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	srv := startServer(t, Options{Loops: 2})
	const crowd = 20
	var all sync.WaitGroup
	started := make(chan bool, crowd)
	for i := range crowd {
		c := dial(t, srv)
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
	if took := draining(t, srv, 10*time.Second)(); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	all.Wait()
}

// A value that is half sent, and replies that are half read, are waited for.
func TestDrainWaitsForWhatIsHalfDone(t *testing.T) {
	srv := startServer(t, Options{})
	idle, sender, reader := dial(t, srv), dial(t, srv), dial(t, srv)
	reply := reader.fill("k", 500_000)
	reader.say(strings.Repeat("get k\r\n", manyReplies))
	sender.say("set s 0 0 10\r\nhalf ")
	idle.say("mn\r\n")
	idle.hear("MN\r\n")
	eventually(t, "output waits", func() bool { return len(srv.conns.drains(false)) == 1 })

	wait := draining(t, srv, 20*time.Second)
	idle.hearEnd()
	eventually(t, "the others are asked to go, and stay", func() bool {
		list := srv.conns.list()
		return len(list) == 2 && list[0].leave.Load() && list[1].leave.Load()
	})
	time.Sleep(20 * time.Millisecond)
	if _, err := net.Dial("tcp", srv.Addrs()[0].String()); err == nil {
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

// They go one after the other, the longest quiet first, over half of the time.
func TestDrainIsGradual(t *testing.T) {
	srv := startServer(t, Options{})
	const crowd = 40
	var ends sync.WaitGroup
	var mu sync.Mutex
	var when []time.Time
	for range crowd {
		c := dial(t, srv)
		c.say("mn\r\n")
		c.hear("MN\r\n")
		ends.Go(func() {
			c.hearEnd()
			mu.Lock()
			defer mu.Unlock()
			when = append(when, time.Now())
		})
	}
	draining(t, srv, time.Minute)()
	ends.Wait()
	if span := when[crowd-1].Sub(when[0]); span < 200*time.Millisecond {
		t.Errorf("%d were closed within %v", crowd, span)
	}
}

// Who never finishes what he began is left to Shutdown.
func TestDrainEnds(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	c.say("set s 0 0 10\r\nhalf ")
	eventually(t, "it has come", func() bool { return srv.conns.current.Load() == 1 })
	if took := draining(t, srv, 300*time.Millisecond)(); took < 300*time.Millisecond || took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// A turn that comes before its time, as one did on a busy machine, asks nobody.
func TestATurnBeforeItsTimeAsksNobody(t *testing.T) {
	srv := startServer(t, Options{})
	c := dial(t, srv)
	c.say("mn\r\n")
	c.hear("MN\r\n")
	if n := srv.conns.leaving(-1); n != 0 || srv.conns.list()[0].leave.Load() {
		t.Errorf("%d are asked to go", n)
	}
	if n := srv.conns.leaving(1); n != 1 {
		t.Errorf("%d are asked to go, want 1", n)
	}
	c.hearEnd()
}
