package load

import (
	"bufio"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// shakeHands is the load of -mix handshake: each of -conns connects, shakes hands in full, asks for the version and closes,
// again and again, or together at -rate. Latency is from the connect, in an open loop from when it was due, to the answer:
// that there is one proves that the server has finished the handshake too. Goroutines do it, since crypto/tls waits
// inside of a handshake; what they cost is mostly the arithmetic of the handshake.
func shakeHands(s *Spec, to netip.AddrPort) (r Result, err error) {
	runtime.GOMAXPROCS(s.Threads)
	// A handshake leaves tens of kB behind, so the collector runs, but seldom.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var (
		base    = time.Now()
		from    = int64(s.Warmup)
		until   = from + int64(s.Seconds)
		all     sync.WaitGroup
		issued  atomic.Int64
		threads = make([]*thread, s.Conns)
		gap     = 0.0
	)
	if s.Rate > 0 {
		gap = 1e9 / s.Rate
	}
	most := int64(math.MaxInt64)
	if s.Ops > 0 {
		most = s.Ops
	}
	for i := range threads {
		t := &thread{base: base, from: from, until: until, hist: hdrhistogram.New(1, latest, 3), left: math.MaxInt64}
		threads[i] = t
		all.Go(func() {
			for {
				n := issued.Add(1) - 1
				start := t.now()
				if gap > 0 {
					start = int64(float64(n) * gap)
					time.Sleep(time.Duration(start - t.now()))
				}
				if n >= most || start >= until {
					return
				}
				if t.now() >= until+grace { // in an open loop: it was due, and never went out
					t.counts.Lost++
					continue
				}
				err := shakeOnce(to)
				now := t.now()
				if err != nil {
					t.complain(err.Error())
					if t.counts.Errors == complaintsMost {
						return
					}
					continue
				}
				booked := now // as thread.bookedAt has it
				if gap > 0 {
					booked = start
				}
				if booked >= from && booked < until {
					t.counts.Ops++
					t.last = now
					_ = t.hist.RecordValue(min(now-start, latest))
				}
			}
		})
	}
	time.Sleep(s.Warmup - time.Since(base))
	before, err := look(s.PID)
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(time.Duration(until) - time.Since(base)):
	}
	after, e := look(s.PID)
	<-over
	if err = errors.Join(err, e); err != nil {
		return r, err
	}
	if s.Ops > 0 {
		threads[0].left = 0 // sum looks here for whether they were counted
	}
	return sum(threads, before, after), nil
}

// complaintsMost is after how many a connection gives up: a server without TLS says no a hundred thousand times a second.
const complaintsMost = 100

func shakeOnce(to netip.AddrPort) error {
	d := net.Dialer{Timeout: time.Duration(patience)}
	if to.Addr().Is4() {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(firstSource+sources.Add(1)%manySources))}
	}
	raw, err := d.Dial("tcp", to.String())
	if err != nil {
		return err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(time.Duration(patience)))
	_ = raw.(*net.TCPConn).SetLinger(0) // RST, see dial
	c := tls.Client(raw, tlsConfig)
	if _, err := c.Write([]byte("version\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(c, 64).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "VERSION ") {
		return outOfStep([]byte(line))
	}
	return nil
}
