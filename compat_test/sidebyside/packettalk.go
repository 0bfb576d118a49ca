package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A packetTalker is a talker of the binary protocol. A reply belongs to a command by its opaque, and behind each batch goes a
// noop whose reply says that all the others are there: so there are no markers, and quiet commands stand together.
type packetTalker struct {
	*talker
	packets *packetGrammar
	last    uint32 // opaque
}

func (t *packetTalker) talk(commands int) error {
	if err := t.connect(); err != nil {
		return err
	}
	defer t.disconnect()
	for t.said < commands {
		batch := t.nextBatch(commands - t.said)
		lock, unlock := t.everybody.RLock, t.everybody.RUnlock
		if batch[0].exclusive {
			lock, unlock = t.everybody.Lock, t.everybody.Unlock
		}
		lock()
		err := t.play(batch)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// connect begins each connection with a noop: what comes first decides which protocol is spoken on it.
func (t *packetTalker) connect() error {
	if err := t.talker.connect(); err != nil {
		return err
	}
	return t.both(nil)
}

// nextBatch is what goes out before anything is waited for, see talker.nextBatch. What hangs up is now and then not the last: then
// nothing behind it may be carried out. What leaves is alone: memcached may hang up before it has said all that it had to say.
func (t *packetTalker) nextBatch(most int) []command {
	size := 1
	switch n := t.cuts.IntN(10); {
	case n >= 7:
		size = 11 + t.cuts.IntN(40)
	case n >= 3:
		size = 2 + t.cuts.IntN(9)
	}
	size = min(size, most)
	var (
		batch []command
		over  bool
		read  = make(map[string]bool)
	)
	for len(batch) < size {
		c := t.nextPacket()
		if len(batch) > 0 && (c.exclusive || c.fresh || c.leaves != stays || c.writes && read[c.keys[0]]) {
			t.held = &c
			break
		}
		batch = append(batch, c)
		if c.exclusive || c.leaves != stays || over && t.cuts.IntN(2) == 0 {
			break
		}
		over = over || c.hangsUp
		if c.hangsUp && t.cuts.IntN(2) == 0 {
			break
		}
		if c.reads {
			read[c.keys[0]] = true
		}
	}
	return batch
}

func (t *packetTalker) nextPacket() command {
	if c := t.held; c != nil {
		t.held = nil
		return *c
	}
	return t.packets.next()
}

// play says a batch to both servers, hears them, and compares.
func (t *packetTalker) play(batch []command) error {
	last := batch[len(batch)-1]
	last.whole = last.hangsUp // or a piece comes too late to be read
	first := t.last + 1
	t.last += uint32(len(batch)) + 1
	var writers sync.WaitGroup
	for i := range t.sides {
		s := &t.sides[i]
		t.write(i, batch, first)
		pieces := t.cut(s.text, last)
		writers.Go(func() { s.say(pieces, last.leaves) })
	}
	for i := range t.sides {
		t.sides[i].hearPackets(t.last, t.opt.patience)
	}
	for i, c := range batch {
		t.past[(t.said+i)%len(t.past)] = c
	}
	v := t.judge(batch, first)
	v.shifted = v.shifted || t.sides[0].end != complete
	t.said += len(batch)
	t.rep.count(len(batch))
	if v.shifted {
		t.disconnect() // a writer may still wait for a server that reads no more
	}
	writers.Wait()
	return t.recover(v)
}

// write puts the batch as this side shall hear it, and the noop, into side.text.
func (t *packetTalker) write(i int, batch []command, opaque uint32) {
	s := &t.sides[i]
	s.text = s.text[:0]
	put := func(text []byte) []byte {
		start := len(s.text)
		s.text = append(s.text, text...)
		if head := s.text[start:]; len(head) >= packetHead && head[0] == asks {
			binary.BigEndian.PutUint32(head[atOpaque:], opaque)
		}
		opaque++
		return s.text[start:]
	}
	for _, c := range batch {
		text := put(c.text)
		if c.uniqueAt > 0 {
			unique := t.uniqueOf(c, i)
			if unique == 0 {
				unique = 1<<63 + 7 // nobody's, but 0 would be none
			}
			binary.BigEndian.PutUint64(text[c.uniqueAt:], unique)
		}
	}
	if len(batch) == 0 || stayed(batch[len(batch)-1]) {
		put(request(opNoop, nil, "", nil))
	}
}

// stayed tells whether something may follow a command.
func stayed(c command) bool { return c.leaves == stays && !c.hangsUp }

// hearPackets reads until the noop is answered or the server closes.
func (s *side) hearPackets(last uint32, patience time.Duration) {
	s.heard = s.heard[:0]
	_ = s.conn.SetReadDeadline(time.Now().Add(patience))
	at := 0
	for {
		for {
			p, rest, ok := cutPacket(s.heard[at:])
			if !ok {
				break
			}
			at = len(s.heard) - len(rest)
			if p.opcode() == opNoop && p.opaque() == last {
				s.end = complete
				return
			}
		}
		s.heard = slices.Grow(s.heard, 16<<10)
		n, err := s.conn.Read(s.heard[len(s.heard):cap(s.heard)])
		s.heard = s.heard[:len(s.heard)+n]
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.end = silent
			return
		default:
			s.end = closed
			return
		}
	}
}

// judge compares reply by reply. What follows from a difference is not counted as another.
func (t *packetTalker) judge(batch []command, first uint32) (v verdict) {
	var replies [2][][]packet
	var rests [2][]byte
	var orders [2][]uint32
	for i := range t.sides {
		replies[i] = make([][]packet, len(batch))
		rests[i], orders[i] = sort(t.sides[i].heard, replies[i], first)
	}
	a, b := &t.sides[0], &t.sides[1]
	// A server that closes with something unread resets the connection, and what it said last may get lost.
	loose := slices.ContainsFunc(batch[:len(batch)-1], func(c command) bool { return c.hangsUp })
	for i := range batch {
		c := &batch[i]
		t.misnamed = ""
		if t.samePackets(c, replies[0][i], replies[1][i]) {
			continue
		}
		if loose && (len(replies[0][i]) == 0 && a.end == closed || len(replies[1][i]) == 0 && b.end == closed) {
			continue
		}
		if !v.doubts(c) {
			t.differ(batch, i, show(replies[0][i], a.end, rests[0]), show(replies[1][i], b.end, rests[1]))
		}
		v.taint(c)
	}
	if len(v.tainted) == 0 && (a.end != b.end || !loose && (string(rests[0]) != string(rests[1]) || !slices.Equal(orders[0], orders[1]))) {
		// All that was answered was answered alike. What ended the conversation for one of them is the last command that might.
		i := len(batch) - 1
		for k := range batch {
			if batch[k].hangsUp {
				i = k
				break
			}
		}
		t.differ(batch, i, show(replies[0][i], a.end, rests[0]), show(replies[1][i], b.end, rests[1]))
		v.shifted = true
	}
	if a.end != b.end || v.shifted {
		for i := range batch {
			v.taint(&batch[i])
		}
	}
	return v
}

// differ tells of a difference, and with what else the command went out.
func (t *packetTalker) differ(batch []command, i int, ra, rb []byte) {
	var names []string
	for k := range batch {
		names = append(names, batch[k].name)
	}
	if len(names) > 1 {
		t.misnamed = strings.TrimPrefix(t.misnamed+"; ", "; ") + fmt.Sprintf("%d of the batch %s", i+1, strings.Join(names, ", "))
	}
	t.talker.differ(i, &batch[i], ra, rb)
}

// sort gives each command its packets. The rest is what nobody asked for, or what is no packet.
func sort(heard []byte, replies [][]packet, first uint32) (rest []byte, order []uint32) {
	for {
		p, after, ok := cutPacket(heard)
		if !ok {
			return append(rest, heard...), order
		}
		heard = after
		if len(order) == 0 || order[len(order)-1] != p.opaque() { // the statistics are as many as they are
			order = append(order, p.opaque())
		}
		switch n := p.opaque() - first; {
		case n < uint32(len(replies)):
			replies[n] = append(replies[n], p)
		case n > uint32(len(replies)) || p.opcode() != opNoop || p.status() != 0 || len(p) > packetHead:
			rest = append(rest, p...) // no noop of ours
		}
	}
}

// show is a reply for people, and how the conversation ended, if it did.
func show(reply []packet, end ending, rest []byte) []byte {
	var text []byte
	for i, p := range reply {
		if i > 0 {
			text = append(text, "\n"...)
		}
		text = append(text, p.String()...)
	}
	if len(rest) > 0 {
		text = fmt.Appendf(text, " and %s", quote(rest, 80))
	}
	if end != complete {
		text = fmt.Appendf(text, "<%s>", end)
	}
	return text
}

// recover brings both servers back to the same state.
func (t *packetTalker) recover(v verdict) error {
	if v.shifted {
		if err := t.connect(); err != nil {
			return err
		}
	}
	if len(v.tainted) == 0 {
		return nil
	}
	slices.Sort(v.tainted)
	var deletes []command
	for _, key := range slices.Compact(v.tainted) {
		delete(t.uniques, key)
		if len(key) > 0 && len(key) <= 250 {
			deletes = append(deletes, command{text: request(opDeleteQ, nil, key, nil)})
		}
	}
	return t.both(deletes)
}

// both says what cannot differ.
func (t *packetTalker) both(batch []command) error {
	first := t.last + 1
	t.last += uint32(len(batch)) + 1
	for i := range t.sides {
		s := &t.sides[i]
		t.write(i, batch, first)
		go s.say([][]byte{s.text}, stays)
		if s.hearPackets(t.last, t.opt.patience); s.end != complete {
			return fmt.Errorf("connection %d: server %c is %s where only deletes and a noop were said: %q", t.conn, 'A'+i, s.end, tail(s.heard))
		}
	}
	return nil
}
