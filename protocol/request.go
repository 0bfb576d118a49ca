package protocol

import "bytes"

// KeyMax is the longest key in bytes. Source: protocol.txt, "Keys".
const KeyMax = 250

// wordsMax is how many words of a line count; memcached's tokenizer keeps 23 too. The keys of a multiget are walked on
// the line itself and have no limit.
const wordsMax = 23

// Request is one command line, cut up. Its slices point into the line and die with it. One Request serves any number
// of lines: Parse sets every field a verb reads.
type Request struct {
	Op      Op
	NoReply bool

	Key  []byte // of every verb that has one; of the retrievals the first; of flush_prefix what keys begin with
	Keys Keys   // of the retrievals: all of them
	Lone bool   // of the retrievals: there is no other key than Key

	Flags     uint32
	Exptime   int32  // as sent; flush_all's delay
	ExptimeOK bool   // of flush_all: the delay is a number
	Bytes     int    // length of the value to store
	Block     int    // bytes that follow the line: Bytes and the CRLF after them; 0 when none do
	Unique    uint64 // of the storage commands; 0 but for cas
	Delta     uint64 // incr, decr
	Level     uint32 // verbosity
	Meta      Meta   // of the meta commands

	words words
}

// words are the blank-separated words of a line, the first wordsMax of them.
type words struct {
	word [wordsMax][]byte
	n    int
}

// Keys are the keys of a retrieval that are still to come, as they stand on the line. There is no limit to them but the
// line's.
type Keys []byte

// Next cuts off the first key; it is empty when none is left.
func (k *Keys) Next() (key []byte) {
	key, *k = nextWord(*k)
	return key
}

// After is what is left when n more keys have been served.
func (k Keys) After(n int) Keys {
	for range n {
		k.Next()
	}
	return k
}

// Args are the words after the verb, of the verbs whose arguments are words: stats, watch and
// administration. ParseUint32 and ParseInt32 read those that are numbers.
func (r *Request) Args() [][]byte { return r.words.word[1:r.words.n] }

// nextWord cuts the first word off the line. The word is empty when none is left.
func nextWord(line []byte) (word, rest []byte) {
	i := 0
	for i < len(line) && line[i] == ' ' {
		i++
	}
	line = line[i:]
	if end := bytes.IndexByte(line, ' '); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
}

func (w *words) cut(line []byte) {
	w.n = 0
	for w.n < wordsMax {
		word, rest := nextWord(line)
		if len(word) == 0 {
			return
		}
		w.word[w.n] = word
		w.n++
		line = rest
	}
}

func (w *words) last() []byte { return w.word[w.n-1] }

func (w *words) saysNoReply() bool { return w.n > 0 && string(w.last()) == "noreply" }
