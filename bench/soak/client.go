package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

// documented are the errors that a busy server may answer. The value that was sent is not stored then, and after a set the old
// one is gone.
var documented = []string{
	"SERVER_ERROR out of memory storing object",
	"SERVER_ERROR out of memory in incr",
}

// late is how long after its deadline a value may be seen: the server's clock is set four times a second.
const late = time.Second

// client is one connection of one worker.
type client struct {
	net.Conn
	r    *bufio.Reader
	w    *world
	t    *tally
	draw *rand.Rand
	me   int
	buf  []byte
	want []byte
}

func (w *world) work(addr string, me int, seed uint64, stop chan struct{}) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		w.wrong("cannot connect: %v", err)
		return
	}
	defer conn.Close()
	c := &client{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: w, t: newTally(), draw: rand.New(rand.NewPCG(seed, uint64(me))), me: me}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sum.add(c.t)
	}()
	numbers := map[int]*uint64{}
	texts := map[int][]byte{}
	for w.sound() {
		select {
		case <-stop:
			return
		default:
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		var err error
		switch n := c.draw.IntN(100); {
		case n < 45:
			err = c.read("get", 1)
		case n < 55:
			err = c.readMeta()
		case n < 63:
			err = c.read("gets", 2+c.draw.IntN(9))
		case n < 67:
			err = c.touch()
		case n < 85:
			err = c.store()
		case n < 89:
			err = c.delete()
		case n < 94:
			err = c.count(numbers)
		default:
			err = c.join(texts)
		}
		if err != nil {
			w.wrong("worker %d: %v", me, err)
		}
	}
}

// mine draws one of the keys that this worker writes.
func (c *client) mine(n int) int { return c.draw.IntN(n/workers)*workers + c.me }

func (c *client) line() (string, error) {
	line, err := c.r.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

// tell sends a command and reads one line.
func (c *client) tell(name string, block []byte, format string, args ...any) (string, error) {
	c.t.Commands[name]++
	c.buf = fmt.Appendf(c.buf[:0], format, args...)
	c.buf = append(c.buf, "\r\n"...)
	if block != nil {
		c.buf = append(append(c.buf, block...), "\r\n"...)
	}
	if _, err := c.Write(c.buf); err != nil {
		return "", err
	}
	line, err := c.line()
	if slices.Contains(documented, line) {
		c.t.Errors[line]++
	}
	return line, err
}

// store writes the next version of a blob.
func (c *client) store() error {
	key := c.mine(blobs)
	f := &c.w.keys[key]
	ttl := 1 + c.draw.IntN(60)
	verb := []string{"set", "set", "set", "set", "add", "replace", "cas"}[c.draw.IntN(7)]
	unique := ""
	if verb == "cas" {
		var err error
		if unique, err = c.unique(key); err != nil || unique == "" {
			return err
		}
	}
	version := f.write(time.Now().Add(time.Duration(ttl)*time.Second), false)
	value := c.w.value(c.want, key, version)
	c.want = value
	line, err := c.tell(verb, value, "%s blob%d %d %d %d%s", verb, key, version, ttl, len(value), unique)
	switch {
	case err != nil:
		return err
	case line == "STORED":
		// The deadline counts from when the server had it, at the latest now.
		f.mu.Lock()
		f.fates[version%8].over = time.Now().Add(time.Duration(ttl) * time.Second)
		f.mu.Unlock()
		f.acked.Store(version)
	case line == "NOT_STORED" && (verb == "add" || verb == "replace"):
	case line == "NOT_FOUND" && verb == "cas":
	case slices.Contains(documented, line):
		if verb == "set" {
			f.acked.Store(version)
		}
	default:
		return fmt.Errorf("%s blob%d: %q", verb, key, line)
	}
	return nil
}

// unique asks for the one of a key, " " before it; "" if there is none.
func (c *client) unique(key int) (string, error) {
	line, err := c.tell("gets", nil, "gets blob%d", key)
	if err != nil || line == "END" {
		return "", err
	}
	words := strings.Fields(line)
	if len(words) != 5 {
		return "", fmt.Errorf("gets: %q", line)
	}
	n, _ := strconv.Atoi(words[3])
	if _, err := c.r.Discard(n + len("\r\nEND\r\n")); err != nil {
		return "", err
	}
	return " " + words[4], nil
}

func (c *client) delete() error {
	key := c.mine(blobs)
	f := &c.w.keys[key]
	version := f.write(time.Time{}, true)
	line, err := c.tell("delete", nil, "delete blob%d", key)
	if err == nil && line != "DELETED" && line != "NOT_FOUND" {
		err = fmt.Errorf("delete: %q", line)
	}
	f.acked.Store(version)
	return err
}

// touch gives a blob of ours a new deadline.
func (c *client) touch() error {
	key := c.mine(blobs)
	f := &c.w.keys[key]
	ttl := 1 + c.draw.IntN(60)
	// Until it is known when the server had it, no deadline is known.
	v := f.sent.Load()
	f.mu.Lock()
	was := f.fates[v%8].over
	for i := range f.fates {
		f.fates[i].over = time.Time{}
	}
	f.mu.Unlock()
	line, err := c.tell("touch", nil, "touch blob%d %d", key, ttl)
	switch {
	case err != nil:
		return err
	case line == "TOUCHED" && f.acked.Load() == v:
		was = time.Now().Add(time.Duration(ttl) * time.Second)
	case line == "TOUCHED":
		was = time.Time{}
	case line != "NOT_FOUND":
		return fmt.Errorf("touch: %q", line)
	}
	f.mu.Lock()
	f.fates[v%8].over = was
	f.mu.Unlock()
	return nil
}

// read asks for some blobs, anybody's, and judges what comes.
func (c *client) read(verb string, n int) error {
	keys := make([]int, n)
	floors := map[int]uint32{}
	text := verb
	for i := range keys {
		keys[i] = c.draw.IntN(blobs)
		floors[keys[i]] = c.w.keys[keys[i]].floor()
		text += " blob" + strconv.Itoa(keys[i])
	}
	sent := time.Now()
	c.t.Commands[verb]++
	if _, err := c.Write([]byte(text + "\r\n")); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if line == "END" {
			break
		}
		words := strings.Fields(line)
		if len(words) < 4 || words[0] != "VALUE" || !strings.HasPrefix(words[1], "blob") {
			return fmt.Errorf("%s: %q", verb, line)
		}
		key, _ := strconv.Atoi(words[1][len("blob"):])
		version, _ := strconv.ParseUint(words[2], 10, 32)
		size, _ := strconv.Atoi(words[3])
		if cap(c.buf) < size+2 {
			c.buf = make([]byte, 0, size+2)
		}
		got := c.buf[:size+2]
		if _, err := io.ReadFull(c.r, got); err != nil {
			return err
		}
		floor, asked := floors[key]
		if !asked {
			return fmt.Errorf("blob%d came and was not asked for", key)
		}
		if err := c.judge(key, uint32(version), floor, sent, got[:size]); err != nil {
			return err
		}
		c.t.Hits++
		n--
	}
	c.t.Misses += n
	return nil
}

// readMeta is read for one key, by mg.
func (c *client) readMeta() error {
	key := c.draw.IntN(blobs)
	floor, sent := c.w.keys[key].floor(), time.Now()
	line, err := c.tell("mg", nil, "mg blob%d f v", key)
	switch {
	case err != nil:
		return err
	case line == "EN":
		c.t.Misses++
		return nil
	}
	var size int
	var version uint32
	if n, err := fmt.Sscanf(line, "VA %d f%d", &size, &version); n != 2 {
		return fmt.Errorf("mg: %q: %w", line, err)
	}
	got := make([]byte, size+2)
	if _, err := io.ReadFull(c.r, got); err != nil {
		return err
	}
	c.t.Hits++
	return c.judge(key, version, floor, sent, got[:size])
}

func (c *client) judge(key int, version, floor uint32, sent time.Time, got []byte) error {
	f := &c.w.keys[key]
	if ceiling := f.sent.Load(); version < floor || version > ceiling {
		return fmt.Errorf("blob%d: version %d, and %d was acknowledged before; %d is the last", key, version, floor, ceiling)
	}
	c.want = c.w.value(c.want, key, version)
	if !bytes.Equal(got, c.want) {
		return fmt.Errorf("blob%d version %d: %d bytes that are not its own (%d)", key, version, len(got), len(c.want))
	}
	ft := f.fateOf(version)
	switch {
	case ft == nil:
	case ft.gone:
		return fmt.Errorf("blob%d version %d: that was a delete", key, version)
	case !ft.over.IsZero() && sent.After(ft.over.Add(late)):
		return fmt.Errorf("blob%d version %d: served %v after its deadline", key, version, sent.Sub(ft.over))
	}
	return nil
}

// count adds to a number, or begins it anew.
func (c *client) count(numbers map[int]*uint64) error {
	key := c.mine(counters)
	n := numbers[key]
	if n == nil {
		n = new(uint64)
		numbers[key] = n
	}
	delta := uint64(c.draw.IntN(1000))
	verb := "incr"
	if c.draw.IntN(3) == 0 {
		verb = "decr"
	}
	line, err := c.tell(verb, nil, "%s n%d %d", verb, key, delta)
	if err != nil {
		return err
	}
	switch {
	case line == "NOT_FOUND":
		*n = delta
		line, err = c.tell("add", []byte(strconv.FormatUint(delta, 10)), "add n%d 0 %d %d", key, 1+c.draw.IntN(60), len(strconv.FormatUint(delta, 10)))
		if err == nil && line != "STORED" && !slices.Contains(documented, line) {
			err = fmt.Errorf("add n%d: %q", key, line)
		}
		return err
	case slices.Contains(documented, line):
		return nil
	case verb == "incr":
		*n += delta
	default:
		*n -= min(*n, delta)
	}
	if line != strconv.FormatUint(*n, 10) {
		return fmt.Errorf("%s n%d by %d: %q, want %d", verb, key, delta, line, *n)
	}
	return nil
}

// join lets a text grow at both ends, or begins it anew, and then reads it.
func (c *client) join(texts map[int][]byte) error {
	key := c.mine(logs)
	more := fmt.Appendf(nil, "<%d>", c.draw.Uint32())
	verb := []string{"append", "prepend"}[c.draw.IntN(2)]
	was := texts[key]
	if len(was) > 20_000 {
		verb = "set"
	}
	line, err := c.tell(verb, more, "%s log%d 0 0 %d", verb, key, len(more))
	if err == nil && line == "NOT_STORED" && verb != "set" {
		verb = "add"
		line, err = c.tell(verb, more, "add log%d 0 %d %d", key, 1+c.draw.IntN(60), len(more))
	}
	switch {
	case err != nil:
		return err
	case slices.Contains(documented, line):
		if verb == "set" {
			delete(texts, key)
		}
		return nil
	case line != "STORED":
		return fmt.Errorf("%s log%d: %q", verb, key, line)
	case verb == "append":
		was = append(was, more...)
	case verb == "prepend":
		was = append(more, was...)
	default:
		was = more
	}
	texts[key] = was
	line, err = c.tell("get", nil, "get log%d", key)
	if err != nil || line == "END" {
		return err
	}
	if want := fmt.Sprintf("VALUE log%d 0 %d", key, len(was)); line != want {
		return fmt.Errorf("%q, want %q", line, want)
	}
	got := make([]byte, len(was)+len("\r\nEND\r\n"))
	if _, err := io.ReadFull(c.r, got); err != nil {
		return err
	}
	if string(got) != string(was)+"\r\nEND\r\n" {
		return fmt.Errorf("log%d: %.100q, want %.100q", key, got, was)
	}
	return nil
}

// nowAndThen does what is no worker's business.
func (w *world) nowAndThen(every time.Duration, stop chan struct{}, do func()) {
	for w.sound() {
		select {
		case <-stop:
			return
		case <-time.After(every):
			do()
		}
	}
}

// flush ends everything.
func (w *world) flush(srv *pair.Server) {
	before := make([]uint32, blobs)
	for i := range before {
		before[i] = w.keys[i].acked.Load()
	}
	if line, err := srv.Ask("flush_all"); line != "OK" {
		w.wrong("flush_all: %q, %v", line, err)
		return
	}
	for i := range before {
		w.keys[i].flushed.Store(before[i])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum.Flushes++
}

// dump asks for a metadump.
func (w *world) dump(addr string) {
	n, err := dumpOnce(addr)
	if err != nil {
		w.wrong("metadump: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum.Dumped += n
}

func dumpOnce(addr string) (n int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "lru_crawler metadump all\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); n++ {
		switch line := lines.Text(); {
		case line == "END":
			return n, nil
		case line == "OK" && n == 0:
		case !strings.HasPrefix(line, "key=blob") && !strings.HasPrefix(line, "key=n") && !strings.HasPrefix(line, "key=log"):
			return n, fmt.Errorf("%q", line)
		}
	}
	return n, fmt.Errorf("no END after %d lines", n)
}

// resize changes the memory limit; false when the server cannot.
func (w *world) resize(srv *pair.Server, mb int) bool {
	line, err := srv.Ask(fmt.Sprintf("cache_memlimit %d", mb))
	switch line {
	case "OK":
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sum.Resizes++
		return true
	case "ERROR":
		return false
	}
	w.wrong("cache_memlimit: %q, %v", line, err)
	return false
}
