package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// What goes wrong on the wire ends the program: the servers end with it, and half a table helps nobody.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

// conn is a connection to the server.
type conn struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func (f *filler) dial() *conn {
	c, err := net.Dial("tcp", f.server.Addr())
	must(err)
	return &conn{c, bufio.NewReaderSize(c, 1<<18), bufio.NewWriterSize(c, 1<<18)}
}

func (c *conn) line() string {
	s, err := c.r.ReadString('\n')
	must(err)
	return strings.TrimSuffix(s, "\r\n")
}

func (f *filler) stat(name string) float64 {
	stats, err := f.server.Stats()
	must(err)
	v, err := strconv.ParseFloat(stats[name], 64)
	must(err)
	return v
}

// mix scrambles a number.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// A maker says what items look like: pure functions of an item's number, so that nothing need be remembered to ask for them.
type maker struct {
	prefix     string
	klen, vlen func(i int64) int
	ttl        func(i int64) int // nil: none
}

// key is prefix, number and as many digits as are wanted; the number comes first, so that no two are alike.
func (m *maker) key(dst []byte, i int64) []byte {
	end := len(dst) + m.klen(i)
	dst = strconv.AppendInt(append(dst, m.prefix...), i, 36)
	dst = append(dst, '.')
	for h := mix(uint64(i)); len(dst) < end; h = h>>5 | h<<59 {
		dst = append(dst, "0123456789abcdefghijklmnopqrstuv"[h&31])
	}
	return dst
}

func always(n int) func(int64) int { return func(int64) int { return n } }

const longest = 200_000 // bytes of a value

// lognormal is a value's length: median 300, sigma 1.3. Two even numbers make a normal one (Box and Muller).
func lognormal(i int64) int {
	a := float64(mix(uint64(i)*2+1)>>11) / (1 << 53)
	b := float64(mix(uint64(i)*2+2)>>11) / (1 << 53)
	normal := math.Sqrt(-2*math.Log(a+1e-18)) * math.Cos(2*math.Pi*b)
	return min(max(int(300*math.Exp(1.3*normal)), 1), longest)
}

// payload is what values are cut from.
var payload = func() []byte {
	b := make([]byte, 1<<20)
	r := rand.New(rand.NewSource(7))
	for i := range b {
		b[i] = "0123456789abcdef"[r.Intn(16)]
	}
	return b
}()

const (
	writers    = 2       // connections
	batch      = 64      // sets sent together, at most
	batchBytes = 200_000 // and their bytes, so that the sockets' buffers hold them
)

// set writes the items which(0) … which(n-1). Now and then, between two batches, it calls beside, if there is one.
func (f *filler) set(m *maker, n int64, which func(int64) int64, beside func(c *conn, k int64)) {
	var all sync.WaitGroup
	for w := range int64(writers) {
		all.Go(func() {
			c := f.dial()
			defer c.Close()
			var text []byte
			waiting, bytes := 0, 0
			for k := w; k < n; k += writers {
				text = c.set(text[:0], m, which(k))
				waiting++
				bytes += len(text)
				if waiting == batch || bytes > batchBytes || k+writers >= n {
					f.stored(c, waiting)
					waiting, bytes = 0, 0
				}
				if beside != nil && k%32 == w {
					f.stored(c, waiting)
					waiting, bytes = 0, 0
					beside(c, k)
				}
			}
		})
	}
	all.Wait()
}

func (c *conn) set(text []byte, m *maker, i int64) []byte {
	ttl, size := 0, m.vlen(i)
	if m.ttl != nil {
		ttl = m.ttl(i)
	}
	text = append(m.key(append(text, "set "...), i), " 0 "...)
	text = append(strconv.AppendInt(text, int64(ttl), 10), ' ')
	text = append(strconv.AppendInt(text, int64(size), 10), "\r\n"...)
	from := int(mix(uint64(i)) & 0xffff)
	text = append(append(text, payload[from:from+size]...), "\r\n"...)
	_, err := c.w.Write(text)
	must(err)
	return text
}

// stored reads the replies to so many sets.
func (f *filler) stored(c *conn, waiting int) {
	must(c.w.Flush())
	for ; waiting > 0; waiting-- {
		if s := c.line(); s != "STORED" {
			if atomic.AddInt64(&f.errors, 1) == 1 {
				fmt.Fprintln(os.Stderr, "fill: the first refusal:", s)
			}
		}
	}
}

func (f *filler) delete(m *maker, n int64, which func(int64) int64) {
	c := f.dial()
	defer c.Close()
	waiting := 0
	for i := range n {
		_, err := c.w.Write(append(m.key([]byte("delete "), which(i)), "\r\n"...))
		must(err)
		if waiting++; waiting == batch || i == n-1 {
			must(c.w.Flush())
			for ; waiting > 0; waiting-- {
				c.line()
			}
		}
	}
}

// getMany returns how many of the items are there.
func (c *conn) getMany(m *maker, is []int64) (found int) {
	text := []byte("get")
	for _, i := range is {
		text = m.key(append(text, ' '), i)
	}
	_, err := c.w.Write(append(text, "\r\n"...))
	must(err)
	must(c.w.Flush())
	for {
		s := c.line()
		if s == "END" {
			return found
		}
		var key string
		var flags, size int
		if _, err := fmt.Sscanf(s, "VALUE %s %d %d", &key, &flags, &size); err != nil {
			must(fmt.Errorf("unexpected reply %q", s))
		}
		_, err := c.r.Discard(size + len("\r\n"))
		must(err)
		found++
	}
}

const (
	sample   = 20_000 // items that are asked for
	together = 16
)

// kept is the part of the items which(0) … which(n-1) that is there, by a sample; of fewer than a sample, all are asked for.
func (f *filler) kept(m *maker, n int64, which func(int64) int64) float64 {
	c := f.dial()
	defer c.Close()
	dice := rand.New(rand.NewSource(99))
	asked, found := min(sample, n), 0
	var is []int64
	for k := range asked {
		i := k
		if asked < n {
			i = dice.Int63n(n)
		}
		if is = append(is, which(i)); len(is) == together || k == asked-1 {
			found += c.getMany(m, is)
			is = is[:0]
		}
	}
	return float64(found) / float64(max(asked, 1))
}
