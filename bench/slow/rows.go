package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
)

const (
	kB = 1000
	mB = 1000 * kB
)

var rows = []field.Row{
	{Name: "40 MB read at 40 MB/s", Args: "-m 256 -I 100m", Does: oneLarge},
	{Name: "40 MB read at 40 MB/s, of 1 GiB", Args: "-m 1024 -I 100m", Does: oneLarge},
	{Name: "20 readers of 4.5 MB at 20 MB/s", Args: "-m 1024 -I 5m",
		Does: steady(20, 4500*kB, 20*mB)},
	{Name: "20 readers of 4.5 MB at 10 MB/s", Args: "-m 1024 -I 5m",
		Does: steady(20, 4500*kB, 10*mB)},
	{Name: "40 readers of 1 MB at 5 MB/s", Args: "-m 64", Does: steady(40, mB, 5*mB)},
	{Name: "25 multigets of 10 × 1 MB at 5 MB/s", Args: "-m 256", Does: multigets},
	{Name: "a pipeline of 20 gets and 5 sets of 500 kB at 30 MB/s", Args: "-m 64", Does: pipeline},
	{Name: "32 clients with mixed pipelines of 10 kB to 7 MB at 8 MB/s", Args: "-m 1024 -I 8m",
		Does: pipelines},
	{Name: "12 readers of 7 MB at 60 MB/s who ask on meanwhile", Args: "-m 256 -I 8m",
		Does: askingOn},
	{Name: "8 announce 1 MB and send nothing", Args: "-m 64", Does: announcers},
	{Name: "30 writers of 1 MB at 2 MB/s", Args: "-m 64", Does: writers},
	{Name: "15 writers of 4 MB at once", Args: "-m 20 -I 5m", Does: crowded(0, 8)},
	{Name: "15 writers of 4 MB at once, at 4 MB/s", Args: "-m 20 -I 5m", Does: crowded(4*mB, 4)},
	{Name: "50 trickle 1 MB at 1 KiB/s, polite ones beside", Args: "-m 64",
		Does: trickle(1), Judge: field.PoliteWaits},
	{Name: "50 trickle 8 × 1 MB at 1 KiB/s, polite ones beside", Args: "-m 64",
		Does: trickle(8), Judge: field.PoliteWaits},
	{Name: "overwritten while it is read", Args: "-m 64 -I 8m", Does: changed(overwritten)},
	{Name: "deleted while it is read", Args: "-m 64 -I 8m", Does: changed(deleted)},
	{Name: "flushed while it is read", Args: "-m 64 -I 8m", Does: changed(flushed)},
	{Name: "ends while it is read", Args: "-m 64 -I 8m", Does: changed(expires)},
	{Name: "evicted while it is read", Args: "-m 64 -I 8m", Does: changed(evicted)},
	{Name: "half-close behind a pipeline of 20 MB", Args: "-m 64 -I 16m", Does: halfClose(5 * mB)},
	{Name: "half-close, and 45 s to read it", Args: "-m 64 -I 16m", Does: halfClose(450 * kB)},
	{Name: "SIGTERM while 7 MB are read", Args: "-m 64 -I 8m", Does: signalled(syscall.SIGTERM)},
	{Name: "SIGUSR1 while 7 MB are read", Args: "-m 64 -I 8m", Does: signalled(syscall.SIGUSR1)},
	{Name: "gets beside metadumps", Args: "-m 1024", Does: dumps, Judge: quickBesideDumps},
	{Name: "40 stop in the middle of 1 MB, others set", Args: "-m 64", Does: stopped},
	{Name: "idle_timeout in the middle of a value", Args: "-m 64 -I 8m -o idle_timeout=2",
		Does: idle},
}

// largeRow wants more memory than everybody has to spare.
var largeRow = field.Row{
	Name: "1 GB set at full speed, read at 200 MB/s", Args: "-m 2500 -I 1024m", Does: gigabyte,
}

func value(key string, size int) field.Value {
	return field.Value{Key: key, Version: 1, Size: size}
}

// oneLarge reads two large values by every command that gives one.
func oneLarge(r *field.Run) {
	a, b := value("a", 40*mB), value("b", 40*mB)
	r.With(field.Link{}, func(c *field.Client) {
		_ = r.Add(c.Set(a, 0)) && r.Add(c.Set(b, 0))
	})
	l := field.Slow(40 * mB)
	for _, command := range []string{"get", "gets", "gat 1000", "gats 1000"} {
		r.With(l, func(c *field.Client) { r.Add(c.Get(command, field.Exactly(a))) })
	}
	r.With(l, func(c *field.Client) { r.Add(c.MetaGet(field.Exactly(a))) })
	r.With(l, func(c *field.Client) { r.Add(c.Get("get", field.Exactly(a), field.Exactly(b))) })
}

// steady lets n clients read values one after the other, each at its pace.
func steady(n, size, rate int) func(r *field.Run) {
	return func(r *field.Run) {
		values := r.Fill("v", 16, size)
		r.Crowd(n, field.Slow(rate), r.Length, func(c *field.Client, i int) bool {
			return r.Add(c.Get("get", field.Exactly(values[rand.IntN(len(values))])))
		})
	}
}

func multigets(r *field.Run) {
	var of []field.Of
	for _, v := range r.Fill("v", 10, mB) {
		of = append(of, field.Exactly(v))
	}
	r.Crowd(25, field.Slow(5*mB), r.Length/4, func(c *field.Client, i int) bool {
		return r.Add(c.Get("get", of...))
	})
}

// pipeline writes everything at once and reads behind it. A get sees the set before it, so an order
// that is not kept shows.
func pipeline(r *field.Run) {
	const size = 500 * kB
	values := r.Fill("v", 4, size)
	if len(values) < 4 {
		return
	}
	r.With(field.Slow(30*mB), func(c *field.Client) {
		var sent sync.WaitGroup
		sent.Go(func() {
			at := [4]uint32{1, 1, 1, 1}
			for n := range 5 {
				for _, v := range values {
					_ = c.Ask("get", field.Of{Key: v.Key}) // what became of it the reader sees
				}
				at[n%4]++
				_ = c.SendSet(field.Value{Key: values[n%4].Key, Version: at[n%4], Size: size}, 0)
			}
		})
		now := append([]field.Value(nil), values...)
		for n, goesOn := 0, true; n < 5 && goesOn; n++ {
			for i := 0; i < len(now) && goesOn; i++ {
				goesOn = r.Add(c.Values(field.Exactly(now[i])))
			}
			goesOn = goesOn && r.Add(c.Expect("STORED"))
			now[n%4].Version++
		}
		_ = c.Close()
		sent.Wait()
	})
}

// pipelines has everything at once, and all are slow in both directions.
func pipelines(r *field.Run) {
	const crowd = 32
	l := field.Slow(8 * mB)
	l.Up = 8 * mB
	field.NewShelves(r, crowd, 5*crowd, 10*kB, 7*mB).Pipelines(r, func(int) (string, field.Link) {
		return r.Addr(), l
	})
}

// askingOn has readers who are in the middle of a large value and go on asking for small ones. Who
// is given up may see an end, but never another reply in the place of the value's rest.
func askingOn(r *field.Run) {
	const crowd = 12
	big, small := r.Fill("big", crowd, 7*mB), r.Fill("small", crowd, 200)
	if len(big) < crowd || len(small) < crowd {
		return
	}
	r.Crowd(crowd, field.Slow(60*mB), r.Length/4, func(c *field.Client, i int) bool {
		if err := c.Ask("get", field.Exactly(big[i])); err != nil {
			return r.Add(err)
		}
		whole := make(chan struct{})
		asked := make(chan int)
		go func() {
			n := 0
			for c.Ask("get", field.Exactly(small[i])) == nil {
				n++
				select {
				case <-whole:
					asked <- n
					return
				case <-time.After(200 * time.Microsecond):
				}
			}
			<-whole
			asked <- n
		}()
		goesOn := r.Add(c.Values(field.Exactly(big[i])))
		close(whole)
		for n := <-asked; n > 0 && goesOn; n-- {
			goesOn = r.Add(c.Values(field.Exactly(small[i])))
		}
		return goesOn
	})
}

// announcers holds nobody to what they announced, and yet it must not keep others out.
func announcers(r *field.Run) {
	for i := range 8 {
		c := r.Dial(field.Link{})
		if c == nil {
			return
		}
		defer c.Close()
		_ = c.Announce(value(fmt.Sprint("junk", i), mB), 0)
	}
	time.Sleep(300 * time.Millisecond)
	r.With(field.Link{Patience: 5 * time.Second}, func(c *field.Client) {
		for _, v := range []field.Value{value("page", 100*kB), value("picture", mB)} {
			start := time.Now()
			goesOn := r.Add(field.Within(time.Second, start, c.Set(v, 0)))
			if !goesOn || !r.Add(c.Get("get", field.Exactly(v))) {
				return
			}
		}
	})
}

// writers send over slow links, and find what they stored, unless it was evicted.
func writers(r *field.Run) {
	const keys = 3
	l := field.Link{Up: 2 * mB}
	r.Crowd(30, l, 0, func(c *field.Client, i int) bool {
		var last [keys]uint32
		key := func(k int) string { return fmt.Sprintf("w%d-%d", i, k) }
		for n := range 10 {
			v := field.Value{Key: key(n % keys), Version: uint32(n + 1), Size: mB}
			err := c.Set(v, 0)
			if !r.Add(err) {
				return false
			}
			if err == nil {
				last[n%keys] = v.Version
			}
		}
		for k, version := range last {
			of := field.Exactly(field.Value{Key: key(k), Version: version, Size: mB})
			// After a set that was refused the old version is gone.
			of.Miss = true
			if !r.Add(c.Get("get", of)) {
				return false
			}
		}
		return false
	})
}

// crowded writes three times what there is room for, all at the same moment, round after round.
func crowded(rate int, rounds uint32) func(r *field.Run) {
	return func(r *field.Run) {
		const bound = 60 * time.Second
		start := time.Now()
		clients := make([]*field.Client, 15)
		defer func() {
			for _, c := range clients {
				if c != nil {
					_ = c.Close()
				}
			}
		}()
		for round := uint32(1); round <= rounds; round++ {
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					if clients[i] == nil {
						clients[i] = r.Dial(field.Link{Up: rate})
					}
					if c := clients[i]; c != nil {
						v := field.Value{Key: fmt.Sprint("c", i), Version: round, Size: 4 * mB}
						if !r.Add(c.Set(v, 0)) {
							_ = c.Close()
							clients[i] = nil
						}
					}
				})
			}
			all.Wait()
			if err := field.Within(bound, start, nil); err != nil {
				r.Add(err)
				return
			}
		}
	}
}

// trickle has readers who take 1 KiB a second. Whether they are cut is told and not counted: memory
// may be short for them. The polite ones beside them are what counts.
func trickle(each int) func(r *field.Run) {
	return func(r *field.Run) {
		var large []field.Of
		for _, v := range r.Fill("v", 20, mB) {
			large = append(large, field.Exactly(v))
		}
		small := r.Fill("s", 100, 100)
		stop := make(chan struct{})
		var slow sync.WaitGroup
		var cut atomic.Int64
		for i := range 50 {
			slow.Go(func() {
				c, err := field.Dial(r.Addr(), field.Slow(1<<10))
				if err != nil {
					cut.Add(1)
					return
				}
				defer c.Close()
				for k := range each {
					_ = c.Ask("get", large[(i*each+k)%len(large)])
				}
				for {
					if _, err := c.Skip(1 << 10); err != nil {
						cut.Add(1)
						return
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		var polite sync.WaitGroup
		var waits field.Waits
		polite.Go(func() {
			r.Crowd(4, field.Link{}, r.Length, func(c *field.Client, i int) bool {
				v := field.Value{Key: fmt.Sprint("p", i), Version: rand.Uint32(), Size: mB}
				goesOn := r.Add(c.Set(v, 0))
				time.Sleep(20 * time.Millisecond)
				return goesOn
			})
		})
		polite.Go(func() {
			r.Crowd(4, field.Link{}, r.Length, func(c *field.Client, i int) bool {
				of := field.Exactly(small[rand.IntN(len(small))])
				of.Miss = true
				start := time.Now()
				goesOn := r.Add(c.Get("get", of))
				waits.Add(time.Since(start))
				time.Sleep(2 * time.Millisecond)
				return goesOn
			})
		})
		polite.Wait()
		close(stop)
		slow.Wait()
		r.Note("trickling ones cut: %d of 50", cut.Load())
		r.Polite(waits.At(.5), waits.At(.99))
	}
}

// A change is what happens to a value while somebody reads it, and what the next get may see.
type change struct {
	exptime int
	does    func(r *field.Run, c *field.Client, v field.Value) error
	after   func(v field.Value) field.Of
}

func gone(v field.Value) field.Of {
	return field.Of{Key: v.Key, Size: v.Size, Miss: true, May: func(uint32) bool { return false }}
}

func next(v field.Value) field.Value { v.Version++; return v }

var (
	overwritten = change{
		does: func(_ *field.Run, c *field.Client, v field.Value) error {
			return c.Set(next(v), 0)
		},
		after: func(v field.Value) field.Of { return field.Exactly(next(v)) },
	}
	deleted = change{
		does: func(_ *field.Run, c *field.Client, v field.Value) error {
			_ = c.Send("delete %s\r\n", v.Key)
			return c.Expect("DELETED")
		},
		after: gone,
	}
	flushed = change{
		does: func(_ *field.Run, c *field.Client, v field.Value) error {
			_ = c.Send("flush_all\r\n")
			return c.Expect("OK")
		},
		after: gone,
	}
	expires = change{
		exptime: 2,
		does: func(*field.Run, *field.Client, field.Value) error {
			time.Sleep(3 * time.Second)
			return nil
		},
		after: gone,
	}
	evicted = change{
		does: func(r *field.Run, c *field.Client, _ field.Value) error {
			for i := range 100 { // more than there is room for
				if err := c.Set(value(fmt.Sprint("e", i), mB), 0); err != nil {
					return err
				}
			}
			return nil
		},
		after: func(v field.Value) field.Of { of := field.Exactly(v); of.Miss = true; return of },
	}
)

// changed begins to read slowly, changes the value, and reads on: to the end it is the old one. The
// change is in the middle: neither has the server sent all, nor has the client read it.
func changed(what change) func(r *field.Run) {
	return func(r *field.Run) {
		v := value("v", 7*mB)
		r.With(field.Link{}, func(other *field.Client) {
			if !r.Add(other.Set(v, what.exptime)) {
				return
			}
			r.With(field.Slow(mB), func(reader *field.Client) {
				var reading sync.WaitGroup
				reading.Go(func() { r.Add(reader.Get("get", field.Exactly(v))) })
				time.Sleep(500 * time.Millisecond)
				if r.Add(what.does(r, other, v)) {
					r.Add(other.Get("get", what.after(v)))
				}
				reading.Wait()
			})
		})
	}
}

// halfClose asks for much, says that nothing more will come, and reads slowly.
func halfClose(rate int) func(r *field.Run) {
	return func(r *field.Run) {
		if r.Quick && rate < mB {
			r.Note("left out")
			return
		}
		big := value("big", 10*mB)
		small := r.Fill("s", 20, 500)
		r.With(field.Link{}, func(c *field.Client) { r.Add(c.Set(big, 0)) })
		r.With(field.Slow(rate), func(c *field.Client) {
			_ = c.Ask("get", field.Exactly(big))
			for _, v := range small {
				_ = c.Ask("get", field.Exactly(v))
			}
			_ = c.Ask("get", field.Exactly(big))
			_ = c.Send("mn\r\n")
			if err := c.CloseWrite(); err != nil {
				r.Add(err)
				return
			}
			goesOn := r.Add(c.Values(field.Exactly(big)))
			for _, v := range small {
				goesOn = goesOn && r.Add(c.Values(field.Exactly(v)))
			}
			goesOn = goesOn && r.Add(c.Values(field.Exactly(big))) && r.Add(c.Expect("MN"))
			_ = goesOn && r.Add(c.End())
		})
	}
}

// signalled sends the server a signal in the middle of a value, and tells how much still comes.
// A drain is for getting all of it; SIGTERM promises nothing.
func signalled(sig os.Signal) func(r *field.Run) {
	return func(r *field.Run) {
		const size = 7 * mB // the system takes 4 off the server's hands
		v := value("v", size)
		r.With(field.Link{}, func(c *field.Client) { r.Add(c.Set(v, 0)) })
		idle := r.Dial(field.Link{})
		if idle == nil {
			return
		}
		defer idle.Close()
		r.EndAsked = true
		r.With(field.Slow(2*mB), func(c *field.Client) {
			_ = c.Ask("get", field.Exactly(v))
			first, err := c.Skip(mB)
			if err != nil {
				r.Add(err)
				return
			}
			start := time.Now()
			_ = r.Signal(sig)
			code := make(chan int)
			var after time.Duration
			go func() {
				n := r.Wait(30 * time.Second)
				after = time.Since(start)
				code <- n
			}()
			head := fmt.Sprintf("VALUE v 1 %d\r\n", size)
			rest := len(head) + size + len("\r\nEND\r\n") - first
			more, err := c.Skip(rest)
			end := "all"
			if err != nil {
				end = fmt.Sprintf("%.1f of %.1f MB behind it", float64(more)/mB, float64(rest)/mB)
			}
			n := <-code
			r.Note("the reader got %s; exit code %d after %.2f s", end, n, after.Seconds())
			if err != nil && sig == syscall.SIGUSR1 {
				r.Short = "cut in a drain"
			}
		})
	}
}

func gigabyte(r *field.Run) {
	v := value("g", 1000*mB)
	r.With(field.Link{}, func(c *field.Client) {
		start := time.Now()
		if r.Add(c.Set(v, 0)) {
			r.Note("set in %.1f s", time.Since(start).Seconds())
		}
	})
	r.With(field.Link{Down: 200 * mB}, func(c *field.Client) {
		r.Add(c.Get("get", field.Exactly(v)))
	})
}

// dumps reads one dump after the other beside a client that gets one item at a time.
func dumps(r *field.Run) {
	items := 1_500_000
	if r.Quick {
		items = 300_000
	}
	text := strings.Repeat("x", 100)
	r.With(field.Link{Patience: time.Minute}, func(c *field.Client) {
		for from := 0; from < items; from += 500 {
			var batch strings.Builder
			for i := from; i < from+500; i++ {
				fmt.Fprintf(&batch, "set d%d 0 3600 %d noreply\r\n%s\r\n", i, len(text), text)
			}
			_ = c.Send("%s", batch.String())
		}
		_ = c.Send("mn\r\n")
		r.Add(c.Expect("MN"))
	})
	stop := make(chan struct{})
	var dumping sync.WaitGroup
	dumping.Go(func() {
		lines, whole := 0, 0
		for {
			r.With(field.Link{}, func(c *field.Client) {
				_ = c.Send("lru_crawler metadump all\r\n")
				for {
					line, err := c.Line()
					switch {
					case err != nil:
						r.Add(err)
						return
					case line == "END":
						whole++
						return
					case strings.HasPrefix(line, "BUSY"): // with the last one still
						time.Sleep(time.Millisecond)
						return
					case strings.HasPrefix(line, "key="):
						lines++
					case line != "OK":
						r.Add(field.Refused(line))
						return
					}
				}
			})
			select {
			case <-stop:
				r.Note("%d dumps of %d lines", whole, lines/max(whole, 1))
				return
			default:
			}
		}
	})
	time.Sleep(100 * time.Millisecond)
	const single = "-mix get -conns 1 -keys 1000 -size 100 -prefix good: -verify 1"
	got, err := load.RunSelf(r.Addr(), single, "-warmup", "500ms", "-time", (r.Length / 4).String())
	close(stop)
	dumping.Wait()
	if err != nil {
		r.Add(err)
		return
	}
	r.Served += int(got.Ops)
	r.Wrong += int(got.Errors)
	r.Cut += int(got.Lost)
	r.Polite(time.Duration(got.P50*1000), time.Duration(got.P99*1000))
}

// quickBesideDumps allows one and a half times memcached's p99, or a millisecond.
func quickBesideDumps(us, them *field.Run) string {
	bound := max(them.P99*3/2, time.Millisecond)
	if us.P99 > bound {
		return fmt.Sprintf("p99 %s, more than %s", field.Short(us.P99), field.Short(bound))
	}
	return ""
}

// stopped sends nine tenths of a value and stands still, 40 times; others want the room. Then it
// goes on: whatever the answer is, there is one, and the connection can be used.
func stopped(r *field.Run) {
	const size, sent = mB, 900 * kB
	clients := make([]*field.Client, 40)
	var announcing sync.WaitGroup
	for i := range clients {
		announcing.Go(func() {
			if clients[i] = r.Dial(field.Link{}); clients[i] != nil {
				v := value(fmt.Sprint("h", i), size)
				if err := clients[i].Announce(v, 0); err == nil {
					_ = clients[i].SendPart(v, 0, sent) // if it was cut, the end will tell
				}
			}
		})
	}
	announcing.Wait()
	time.Sleep(300 * time.Millisecond)
	r.Crowd(4, field.Link{}, r.Length/4, func(c *field.Client, i int) bool {
		v := field.Value{Key: fmt.Sprint("o", i), Version: rand.Uint32(), Size: size}
		return r.Add(c.Set(v, 0))
	})
	stored, refused := 0, 0
	for i, c := range clients {
		if c == nil {
			continue
		}
		defer c.Close()
		v := value(fmt.Sprint("h", i), size)
		_ = c.SendPart(v, sent, size)
		_ = c.Send("\r\nmn\r\n")
		line, err := c.Line()
		switch {
		case err == nil && line == "STORED":
			stored++
		case err == nil && strings.HasPrefix(line, "SERVER_ERROR "):
			refused++
		case err == nil:
			err = field.Wrong(fmt.Sprintf("%.60q after the block", line))
		}
		if err == nil {
			err = c.Expect("MN")
		}
		if err == nil {
			of := field.Exactly(v)
			of.Miss = true
			err = c.Get("get", of)
		}
		r.Add(err)
	}
	r.Note("who had stopped went on: %d stored, %d refused", stored, refused)
}

// idle has clients who stand still in the middle of what they send and of what they read, and
// others who are slow but move: these are not idle.
func idle(r *field.Run) {
	v := value("v", 5*mB)
	r.With(field.Link{}, func(c *field.Client) { r.Add(c.Set(v, 0)) })
	const each = 5
	var all sync.WaitGroup
	var ended [2]atomic.Int64
	for i := range each {
		for kind := range ended {
			all.Go(func() {
				c := r.Dial(field.Slow(mB))
				if c == nil {
					return
				}
				defer c.Close()
				if kind == 0 {
					w := value(fmt.Sprint("half", i), mB)
					_ = c.Announce(w, 0)
					_ = c.SendPart(w, 0, w.Size/2)
				} else {
					_ = c.Ask("get", field.Exactly(v))
				}
				// It reads nothing: whether the connection is there, the system knows.
				for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); {
					if !c.Established() {
						ended[kind].Add(1)
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		all.Go(func() {
			l := field.Slow(mB)
			l.Up = 150 * kB
			r.With(l, func(c *field.Client) {
				w := value(fmt.Sprint("slow", i), mB) // seven seconds
				_ = r.Add(c.Set(w, 0)) && r.Add(c.Get("get", field.Exactly(v)))
			})
		})
	}
	all.Wait()
	r.Note("ended while they sent %d of %d, while they read %d of %d",
		ended[0].Load(), each, ended[1].Load(), each)
	if ended[0].Load()+ended[1].Load() < 2*each {
		r.Short = "idle ones are left" // memcached leaves them, too: it is gomemd that promises
	}
}
