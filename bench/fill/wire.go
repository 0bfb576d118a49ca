package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection to the server.
type conn struct {
	c net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func dial(a string) (*conn, error) {
	c, err := net.DialTimeout("tcp", a, 3*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 1<<18), bufio.NewWriterSize(c, 1<<18)}, nil
}

// child is the server that -cmd started.
var child *exec.Cmd

func fatal(a ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"fill:"}, a...)...)
	if child != nil {
		child.Process.Kill()
		child.Wait()
	}
	os.Exit(1)
}
func must(err error) {
	if err != nil {
		fatal(err)
	}
}
func (c *conn) line() string {
	s, err := c.r.ReadString('\n')
	must(err)
	return strings.TrimRight(s, "\r\n")
}

// stats asks for the server's statistics; none if it does not answer.
func stats(sub string) map[string]string {
	a := *stAddr
	if a == "" {
		a = *addr
	}
	m := map[string]string{}
	c, err := dial(a)
	if err != nil {
		return m
	}
	defer c.c.Close()
	c.c.SetDeadline(time.Now().Add(10 * time.Second))
	if sub != "" {
		sub = " " + sub
	}
	fmt.Fprintf(c.w, "stats%s\r\n", sub)
	c.w.Flush()
	for {
		s, err := c.r.ReadString('\n')
		if err != nil {
			return m
		}
		f := strings.Fields(s)
		if len(f) == 0 {
			continue
		}
		if f[0] == "END" || f[0] == "ERROR" {
			return m
		}
		if len(f) >= 3 && f[0] == "STAT" {
			m[f[1]] = f[2]
		}
	}
}

// num is the first of some statistics that is there, else -1.
func num(m map[string]string, ks ...string) int64 {
	for _, k := range ks {
		if v, ok := m[k]; ok {
			n, err := strconv.ParseInt(v, 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// rss is what a process has resident, now and at most, in KiB.
func rss(p int) (cur, hwm int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return -1, -1
	}
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Fields(l)
		if len(f) >= 2 && f[0] == "VmRSS:" {
			cur, _ = strconv.ParseInt(f[1], 10, 64)
		}
		if len(f) >= 2 && f[0] == "VmHWM:" {
			hwm, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return
}

// mix scrambles a number. Keys and values are pure functions of an item's number, so that a probe needs no memory.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

// gen says what the items of a workload look like.
type gen struct {
	prefix string
	klen   func(i int64) int
	vlen   func(i int64) int
	ttl    func(i int64) int
}

func (g *gen) key(dst []byte, i int64) []byte {
	// klen is always >= what prefix+index needs; the index comes first so that cutting never makes keys collide
	n := len(dst)
	kl := g.klen(i)
	dst = append(dst, g.prefix...)
	dst = strconv.AppendInt(dst, i, 36)
	dst = append(dst, '.')
	h := mix(uint64(i) + uint64(*seed)<<40)
	for len(dst)-n < kl {
		dst = append(dst, "0123456789abcdefghijklmnopqrstuv"[h&31])
		h = h>>5 | h<<59
	}
	return dst
}

func constI(n int) func(int64) int { return func(int64) int { return n } }

func normal(i int64) float64 {
	a := float64(mix(uint64(i)*2+1)>>11) / (1 << 53)
	b := float64(mix(uint64(i)*2+2)>>11) / (1 << 53)
	return math.Sqrt(-2*math.Log(a+1e-18)) * math.Cos(2*math.Pi*b)
}

// lognormal is a value length: median 300, sigma 1.3, 1 to 200000.
func lognormal(i int64) int {
	v := int(300 * math.Exp(1.3*normal(i)))
	return min(max(v, 1), 200000)
}

var payload = func() []byte {
	b := make([]byte, 1<<20)
	r := rand.New(rand.NewSource(7))
	for i := range b {
		b[i] = "0123456789abcdef"[r.Intn(16)]
	}
	return b
}()

// counts are the replies to sets.
type counts struct{ stored, notStored, errs int64 }

// setRange writes items idx(0..n-1) over *conns connections, pipelined, replies read and counted.
func setRange(g *gen, n int64, idx func(int64) int64, hook func(c *conn, k int64)) counts {
	var ct counts
	var wg sync.WaitGroup
	nc := int64(*conns)
	for w := int64(0); w < nc; w++ {
		wg.Add(1)
		go func(w int64) {
			defer wg.Done()
			c, err := dial(*addr)
			must(err)
			defer c.c.Close()
			var buf []byte
			pend, bytes := 0, 0
			flush := func() {
				must(c.w.Flush())
				for ; pend > 0; pend-- {
					switch s := c.line(); s {
					case "STORED":
						atomic.AddInt64(&ct.stored, 1)
					case "NOT_STORED":
						atomic.AddInt64(&ct.notStored, 1)
					default:
						if atomic.AddInt64(&ct.errs, 1) == 1 {
							fmt.Fprintln(os.Stderr, "fill: first error reply:", s)
						}
					}
				}
				bytes = 0
			}
			for k := w; k < n; k += nc {
				i := idx(k)
				vl := g.vlen(i)
				ttl := 0
				if g.ttl != nil {
					ttl = g.ttl(i)
				}
				buf = append(buf[:0], "set "...)
				buf = g.key(buf, i)
				buf = append(buf, " 0 "...)
				buf = strconv.AppendInt(buf, int64(ttl), 10)
				buf = append(buf, ' ')
				buf = strconv.AppendInt(buf, int64(vl), 10)
				buf = append(buf, "\r\n"...)
				off := int(mix(uint64(i)) & 0xffff)
				c.w.Write(buf)
				c.w.Write(payload[off : off+vl])
				c.w.WriteString("\r\n")
				pend++
				bytes += len(buf) + vl + 2
				if pend >= *batch || bytes > 200000 {
					flush()
				}
				if hook != nil {
					if pend > 0 && k%32 < nc {
						flush()
					}
					hook(c, k)
				}
			}
			flush()
		}(w)
	}
	wg.Wait()
	return ct
}

// getMany returns how many of the keys are there (values checked for length).
func (c *conn) getMany(g *gen, is []int64) int {
	if len(is) == 0 {
		return 0
	}
	b := []byte("get")
	for _, i := range is {
		b = append(b, ' ')
		b = g.key(b, i)
	}
	b = append(b, "\r\n"...)
	c.w.Write(b)
	must(c.w.Flush())
	hits := 0
	for {
		s := c.line()
		if s == "END" {
			return hits
		}
		f := strings.Fields(s)
		if len(f) < 4 || f[0] != "VALUE" {
			fatal("unexpected reply:", s)
		}
		n, _ := strconv.Atoi(f[3])
		_, err := c.r.Discard(n + 2)
		must(err)
		hits++
	}
}

// probe gets a random sample of keys. It does not trust the server's statistics.
func probe(g *gen, n int64, idx func(int64) int64, samples int) (hit, asked int) {
	if samples <= 0 || n <= 0 {
		return 0, 0
	}
	c, err := dial(*addr)
	must(err)
	defer c.c.Close()
	r := rand.New(rand.NewSource(99))
	if int64(samples) > n {
		samples = int(n)
	}
	var is []int64
	for asked < samples {
		is = append(is, idx(r.Int63n(n)))
		asked++
		if len(is) == 16 || asked == samples {
			hit += c.getMany(g, is)
			is = is[:0]
		}
	}
	return
}
