package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// same says whether two replies to one command mean the same.
func (t *talker) same(c *command, a, b []byte) bool {
	if c.meta {
		return t.sameMeta(c, a, b)
	}
	if bytes.Equal(a, b) && !bytes.Contains(a, []byte("VALUE ")) {
		return true
	}
	if c.shape != nil {
		return c.shape(a) && c.shape(b)
	}
	return t.sameValues(a, b)
}

// sameValues compares replies of values, in which uniques may be different numbers for the same thing.
func (t *talker) sameValues(a, b []byte) bool {
	for {
		va, resta, oka := cutValue(a)
		vb, restb, okb := cutValue(b)
		if !oka || !okb {
			return bytes.Equal(a, b)
		}
		if va.key != vb.key || va.flags != vb.flags || va.hasUnique != vb.hasUnique || !bytes.Equal(va.data, vb.data) {
			return false
		}
		if p := (pair{va.unique, vb.unique}); va.hasUnique && !t.learn(va.key, p) {
			t.misnamed = fmt.Sprintf("uniques of %q, A's and B's: %d after %d", va.key, p, t.uniques[va.key])
			return false
		}
		a, b = resta, restb
	}
}

type value struct {
	key, flags string
	unique     uint64
	hasUnique  bool
	data       []byte
}

// cutValue takes one VALUE line and its block off a reply.
func cutValue(reply []byte) (v value, rest []byte, ok bool) {
	line, rest, found := bytes.Cut(reply, []byte("\n")) // a key may hold a CR
	if !found || !bytes.HasPrefix(line, []byte("VALUE ")) || !bytes.HasSuffix(line, []byte("\r")) {
		return v, reply, false
	}
	words := bytes.Split(line[:len(line)-1], []byte(" "))
	if len(words) != 4 && len(words) != 5 {
		return v, reply, false
	}
	n, err := strconv.Atoi(string(words[3]))
	if err != nil || n < 0 || n+2 > len(rest) || string(rest[n:n+2]) != "\r\n" {
		return v, reply, false
	}
	v.key, v.flags, v.data = string(words[1]), string(words[2]), rest[:n]
	if len(words) == 5 {
		v.hasUnique = true
		if v.unique, err = strconv.ParseUint(string(words[4]), 10, 64); err != nil {
			return v, reply, false
		}
	}
	return v, rest[n+2:], true
}

// uniquesKept bounds what is remembered of a key: a unique is compared with those that a cas may still bring.
const uniquesKept = 8

// learn says whether p can be the names of one version: the same as ever, or new on both sides. Which of two is larger is
// not looked at: gomemd promises it only as long as the key is not deleted in between, and here nobody knows.
func (t *talker) learn(key string, p pair) bool {
	seen := t.uniques[key]
	for i := len(seen) - 1; i >= 0; i-- {
		if seen[i] == p {
			return true
		}
		if seen[i][0] == p[0] || seen[i][1] == p[1] {
			return false
		}
	}
	if len(seen) == uniquesKept {
		seen = append(seen[:0], seen[1:]...)
	}
	t.uniques[key] = append(seen, p)
	return true
}
