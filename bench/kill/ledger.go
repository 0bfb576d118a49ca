package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	workers = 4
	batch   = 64
	mean    = 560
	askedBy = 100  // keys of a multiget
	groups  = 50   // of a worker's keys, each with a prefix of its own …
	clears  = 4000 // … which one command in so many flushes
)

// ledger is what has been sent and acknowledged, key by key. A key belongs to one worker.
type ledger struct {
	sum    *tally
	keys   []fact
	large  int    // of the first keys the values have hundreds of kilobytes
	source []byte // what values are cut from
	random *rand.Rand
	told   map[uint64]name // uniques
	round  int
	mu     sync.Mutex // guards sum.Wrong
}

type name struct {
	key     int
	version uint32
}

// fact is what is known of a key. Sets, deletes and touches have versions, counted together; a touch makes no value.
type fact struct {
	sent, acked uint32
	there       bool      // after acked
	over        time.Time // when it ends; zero: never
	unsure      bool      // of over: what changed it was under way at a kill
	underWay    []step    // sent and not acknowledged when the server was killed
}

type step struct {
	key     int
	version uint32
	verb    verb
	ttl     int
	cleared []step // of clear: a step for each key
}

type verb byte

const (
	set verb = iota
	remove
	touch
	clear
)

func newLedger(memory, large int, seed uint64, sum *tally) *ledger {
	l := &ledger{sum: sum, large: large, keys: make([]fact, memory*55/100/mean), source: make([]byte, 2<<20),
		random: rand.New(rand.NewPCG(seed, 0)), told: map[uint64]name{}}
	_, _ = rand.NewChaCha8([32]byte{2}).Read(l.source)
	return l
}

// value is what a version of a key looks like: key, version, a checksum over all the rest, and then bytes of the source. Every
// other version has the length of the one before, and may be written over it.
func (l *ledger) value(buf []byte, key int, version uint32) []byte {
	var id [12]byte
	binary.LittleEndian.PutUint64(id[:], uint64(key))
	binary.LittleEndian.PutUint32(id[8:], version)
	h := xxhash.Sum64(id[:])
	binary.LittleEndian.PutUint32(id[8:], version/2)
	size := 20 + int(xxhash.Sum64(id[:])%(2*mean-100))
	if key < l.large {
		size = 100_000 + int(h%200_000)
	}
	binary.LittleEndian.PutUint32(id[8:], version)
	buf = append(buf[:0], l.source[h%(1<<20):][:size]...)
	copy(buf, id[:])
	binary.LittleEndian.PutUint64(buf[12:], xxhash.Sum64(buf[20:])^h)
	return buf
}

// nameOf is what a key is called: first come its worker and its group.
func nameOf(key int) string {
	return fmt.Sprintf("%s%d", prefixOf(key%workers, key/workers%groups), key)
}

func prefixOf(worker, group int) string { return fmt.Sprintf("key%d.%d.", worker, group) }

// workAndKill writes at full speed until the server is killed.
func (l *ledger) workAndKill(server *pair.Server) error {
	l.round++
	full := make(chan error, workers)
	var all sync.WaitGroup
	flush := l.round%8 == 0
	if flush {
		if err := l.flush(server); err != nil {
			return err
		}
	}
	first := l.round == 1 || flush
	counts := make([]struct{ commands, underWay int }, workers)
	for w := range workers {
		c := client{l: l, me: w, draw: rand.New(rand.NewPCG(l.random.Uint64(), uint64(w)))}
		all.Go(func() { counts[w].commands, counts[w].underWay = c.work(server.Addr(), first, full) })
	}
	for range workers {
		if err := <-full; err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(100+l.random.IntN(700)) * time.Millisecond)
	stats, err := server.Stats()
	if err != nil {
		return err
	}
	if n, _ := strconv.Atoi(stats["evictions"]); n > 0 {
		own, _ := server.StatsOf("gomemd")
		fmt.Printf("round %d: evictions: %s for room, %s for the index\n", l.round, own["evicted_room"], own["evicted_index"])
		l.sum.Evicted += n // they will be missed, too
	}
	time.Sleep(time.Duration(l.random.IntN(30_000)) * time.Microsecond)
	server.Kill()
	all.Wait()
	for _, c := range counts {
		l.sum.Commands += c.commands
		l.sum.UnderWay += c.underWay
	}
	return nil
}

// flush is acknowledged before anything else happens.
func (l *ledger) flush(server *pair.Server) error {
	if line, err := server.Ask("flush_all"); line != "OK" {
		return fmt.Errorf("flush_all: %q, %v", line, err)
	}
	for i := range l.keys {
		l.keys[i].there = false
	}
	return nil
}

type client struct {
	l    *ledger
	me   int
	draw *rand.Rand
	out  []byte
	buf  []byte
}

// work writes all of its keys once if it is the first, says so, and goes on until the connection ends. It leaves what was
// under way in the facts.
func (c *client) work(addr string, first bool, full chan<- error) (commands, underWay int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		full <- err
		return 0, 0
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	next, steps := c.me, make([]step, 0, batch)
	if !first {
		full <- nil
		next = len(c.l.keys)
	}
	for {
		steps, c.out = steps[:0], c.out[:0]
		for len(steps) < batch && len(c.out) < 256<<10 {
			if next < len(c.l.keys) {
				steps = append(steps, c.step(next, 0))
				if next += workers; next >= len(c.l.keys) {
					full <- nil
				}
				continue
			}
			if c.draw.IntN(clears) == 0 {
				steps = append(steps, c.clear(c.draw.IntN(groups)))
			}
			steps = append(steps, c.step(c.draw.IntN(len(c.l.keys)/workers)*workers+c.me, c.draw.IntN(100)))
		}
		_, err := conn.Write(c.out)
		done := 0
		for ; err == nil && done < len(steps); done++ {
			var line string
			if line, err = in.ReadString('\n'); err != nil {
				break
			}
			c.acknowledge(&steps[done], line)
		}
		commands += done
		if done < len(steps) { // killed, or so we hope: verify will tell
			for _, st := range steps[done:] {
				all := []step{st}
				if st.verb == clear {
					all = st.cleared
				}
				for _, one := range all {
					f := &c.l.keys[one.key]
					f.underWay = append(f.underWay, one)
				}
			}
			return commands, len(steps) - done
		}
	}
}

// step draws what is done to a key, and writes the command.
func (c *client) step(key, dice int) step {
	f := &c.l.keys[key]
	f.sent++
	st := step{key: key, version: f.sent}
	switch {
	case dice < 83:
		if key >= c.l.large && c.draw.IntN(20) == 0 {
			st.ttl = 1 + c.draw.IntN(4)
		}
		c.buf = c.l.value(c.buf, key, st.version)
		c.out = fmt.Appendf(c.out, "set %s %d %d %d\r\n", nameOf(key), st.version, st.ttl, len(c.buf))
		c.out = append(append(c.out, c.buf...), "\r\n"...)
	case dice < 95:
		st.verb = remove
		c.out = fmt.Appendf(c.out, "delete %s\r\n", nameOf(key))
	default:
		st.verb = touch
		st.ttl = 2 + c.draw.IntN(100)
		c.out = fmt.Appendf(c.out, "touch %s %d\r\n", nameOf(key), st.ttl)
	}
	return st
}

// clear flushes the prefix of a group of its keys.
func (c *client) clear(group int) step {
	st := step{verb: clear}
	for key := group*workers + c.me; key < len(c.l.keys); key += groups * workers {
		f := &c.l.keys[key]
		f.sent++
		st.cleared = append(st.cleared, step{key: key, version: f.sent, verb: clear})
	}
	c.out = fmt.Appendf(c.out, "flush_prefix %s\r\n", prefixOf(c.me, group))
	return st
}

// slack is by how much a client's idea of a deadline and the server's may differ.
const slack = 1300 * time.Millisecond

func (c *client) acknowledge(st *step, line string) {
	f := &c.l.keys[st.key]
	switch strings.TrimSuffix(line, "\r\n") {
	case "OK":
		c.l.cleared(st.cleared)
	case "STORED":
		f.acked, f.there, f.over, f.unsure = st.version, true, st.over(), false
	case "DELETED", "NOT_FOUND":
		if st.verb == remove {
			f.acked, f.there = st.version, false
		}
	case "TOUCHED":
		f.over, f.unsure = st.over(), false
	default:
		c.l.wrong("%v: %q", *st, line)
	}
}

// cleared takes note that keys were flushed.
func (l *ledger) cleared(steps []step) {
	for _, st := range steps {
		f := &l.keys[st.key]
		f.acked, f.there = st.version, false
	}
}

func (st *step) over() time.Time {
	if st.ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(st.ttl) * time.Second)
}

func (l *ledger) wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sum.Wrong) < 20 {
		l.sum.Wrong = append(l.sum.Wrong, fmt.Sprintf("round %d: ", l.round)+fmt.Sprintf(format, args...))
	}
}

// verify asks for every key and judges; what is there is what the next round begins with.
func (l *ledger) verify(server *pair.Server) error {
	conn, err := net.Dial("tcp", server.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 256<<10)
	var want, got []byte
	for from := 0; from < len(l.keys); {
		// Of some keys the unique is asked for: not of all, for a value whose unique was shown is not overwritten in place.
		verb, n := "get", min(askedBy, len(l.keys)-from)
		if from%(32*askedBy) == 0 {
			verb = "gets"
		}
		line := []byte(verb)
		for i := range n {
			line = fmt.Appendf(line, " %s", nameOf(from+i))
		}
		if _, err := conn.Write(append(line, "\r\n"...)); err != nil {
			return err
		}
		asked := from
		for from += n; ; {
			head, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			words := strings.Fields(head)
			if len(words) == 1 && words[0] == "END" {
				break
			}
			if len(words) < 4 || !strings.HasPrefix(words[1], "key") {
				return fmt.Errorf("%s: %q", verb, head)
			}
			key, _ := strconv.Atoi(words[1][strings.LastIndexByte(words[1], '.')+1:])
			version, _ := strconv.ParseUint(words[2], 10, 32)
			size, _ := strconv.Atoi(words[3])
			got = append(got[:0], make([]byte, size+2)...)
			if _, err := io.ReadFull(in, got); err != nil {
				return err
			}
			for ; asked < key; asked++ {
				l.missed(asked)
			}
			asked = key + 1
			if want = l.value(want, key, uint32(version)); !bytes.Equal(got[:size], want) {
				l.wrong("key%d version %d: %d bytes that are not its own", key, version, size)
			}
			l.found(key, uint32(version))
			if len(words) == 5 {
				unique, _ := strconv.ParseUint(words[4], 10, 64)
				before, known := l.told[unique]
				if now := (name{key, uint32(version)}); known && before != now {
					l.wrong("unique %d of key%d version %d was told for key%d version %d", unique, key, version, before.key, before.version)
				} else {
					l.told[unique] = now
				}
			}
		}
		for ; asked < from; asked++ {
			l.missed(asked)
		}
	}
	own, err := server.StatsOf("gomemd")
	if err != nil {
		return err
	}
	number := func(name string) int { n, _ := strconv.Atoi(own[name]); return n }
	l.sum.Restored += number("restored_items")
	l.sum.Dropped += number("restored_dropped")
	l.sum.Ended += number("restored_ended")
	l.sum.Scans = append(l.sum.Scans, float64(number("restored_us"))/1000)
	return nil
}

// found judges a version that is there.
func (l *ledger) found(key int, version uint32) {
	f := &l.keys[key]
	mayLive := f.there && version == f.acked
	for _, st := range f.underWay {
		if st.verb == touch {
			f.unsure = true
		}
		if st.verb == set && st.version == version {
			mayLive, f.unsure = true, true
		}
	}
	switch {
	case version < f.acked:
		l.wrong("key%d: version %d is stale, %d was acknowledged", key, version, f.acked)
	case !mayLive:
		l.wrong("key%d: version %d is resurrected: %+v", key, version, *f)
	case !f.unsure && !f.over.IsZero() && time.Now().After(f.over.Add(slack)):
		l.wrong("key%d: version %d is resurrected %v after its deadline", key, version, time.Since(f.over))
	}
	if len(f.underWay) == 0 {
		l.sum.Acknowledged++
	}
	f.acked, f.there = version, true
	f.underWay = f.underWay[:0]
}

// missed judges that there is none.
func (l *ledger) missed(key int) {
	f := &l.keys[key]
	ended := f.unsure || !f.over.IsZero() && time.Now().After(f.over.Add(-slack))
	if f.there && !ended && len(f.underWay) == 0 {
		l.sum.Acknowledged++
		l.sum.Lost++
	}
	f.acked, f.there = f.sent, false
	f.underWay = f.underWay[:0]
}
