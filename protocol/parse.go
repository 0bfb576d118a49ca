package protocol

import (
	"bytes"
	"errors"
	"math"
)

// ErrHangUp is returned for a line that no memcached client sends: a browser, or a request smuggled through one. The
// answer is to close the connection without a word.
var ErrHangUp = errors.New("not a memcached client")

// bytesMax is the largest value length a line may name: with its CRLF it still fits a C int, memcached's rule.
const bytesMax = math.MaxInt32 - len(crlf)

// shortestLine is what a line must have, its end included; only mn may do with a bare LF.
const shortestLine = len("mn\r\n")

// Parse cuts up one command line, without its LF; a CR before that is dropped here. The error is a Refusal, which
// NoReply silences like any other reply, or ErrHangUp. After a refusal too, Block bytes of input belong to the command
// and must be read past.
func Parse(line []byte, r *Request) error {
	r.NoReply, r.Block = false, 0
	length := len(line) + 1
	if length > 1 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	if length < shortestLine && string(line) != "mn" {
		r.Op = OpUnknown
		return BadFormat
	}
	word, rest := nextWord(line)
	if v := findVerb(word); v != nil {
		r.Op = v.op
		r.Keys = rest
		if v.shape == nil {
			return nil
		}
		return v.shape(r, line)
	}
	r.Op = OpUnknown
	return unknown(r, line)
}

func unknown(r *Request, line []byte) error {
	r.words.cut(line)
	r.NoReply = r.words.saysNoReply()
	if r.words.n > 1 && bytes.HasPrefix(r.words.last(), []byte("HTTP/")) {
		return ErrHangUp
	}
	return Unknown
}

// retrieval: get <key>+
//
// All keys are looked at before the first is served, so that a multiget with one bad key answers with the refusal alone.
func retrieval(r *Request, _ []byte) error {
	keys := r.Keys
	r.Key = keys.Next()
	if len(r.Key) == 0 {
		return BadFormat
	}
	n := 0
	for key := r.Key; len(key) > 0; key = keys.Next() {
		if len(key) > KeyMax {
			return BadFormat
		}
		n++
	}
	r.Lone = n == 1
	return nil
}

// retrievalAndTouch: gat <exptime> <key>+
func retrievalAndTouch(r *Request, line []byte) error {
	exptime := r.Keys.Next()
	if first, _ := nextWord(r.Keys); len(first) == 0 {
		return BadFormat
	}
	var ok bool
	if r.Exptime, ok = ParseInt32(exptime); !ok {
		return BadExptime
	}
	return retrieval(r, line)
}

// storage: set <key> <flags> <exptime> <bytes> [<unique>] [noreply]
func storage(r *Request, line []byte) error {
	w := &r.words
	w.cut(line)
	if w.n < 5 {
		return BadFormat
	}
	n, ok := ParseInt32(w.word[4])
	if !ok || n < 0 || int(n) > bytesMax {
		return BadFormat
	}
	// From here on the block is known, and a refusal takes it along.
	r.Bytes, r.Block = int(n), int(n)+len(crlf)
	r.NoReply = w.saysNoReply()
	r.Key, r.Unique = w.word[1], 0
	if len(r.Key) > KeyMax {
		return BadFormat
	}
	var flagsOK, exptimeOK bool
	r.Flags, flagsOK = parseFlags(w.word[2])
	r.Exptime, exptimeOK = parseExptime(w.word[3])
	if !flagsOK || !exptimeOK {
		return BadFormat
	}
	if r.Op == OpCas {
		if w.n < 6 {
			return BadFormat
		}
		if r.Unique, ok = parseUint64(w.word[5]); !ok {
			return BadFormat
		}
	}
	return nil
}

// deletion: delete <key> [0] [noreply]
//
// The 0 is what old PHP clients send for a delay that is long gone. Other words are refused, as memcached did until
// 1.6.40: libmemcached's own test of a server asks for it, and a delay that is ignored deletes too early.
func deletion(r *Request, line []byte) error {
	w := &r.words
	w.cut(line)
	if w.n < 2 {
		return BadFormat
	}
	r.Key = w.word[1]
	r.NoReply = w.n > 2 && w.saysNoReply()
	extra := w.n - 2
	if r.NoReply {
		extra--
	}
	if extra > 1 || extra == 1 && string(w.word[2]) != "0" {
		return DeleteUsage
	}
	return r.checkKey()
}

// arithmetic: incr <key> <delta> [noreply]
func arithmetic(r *Request, line []byte) error {
	if err := r.keyAndOne(line); err != nil {
		return err
	}
	var ok bool
	if r.Delta, ok = parseUint64(r.words.word[2]); !ok {
		return BadDelta
	}
	return nil
}

// touch: touch <key> <exptime> [noreply]
func touch(r *Request, line []byte) error {
	if err := r.keyAndOne(line); err != nil {
		return err
	}
	var ok bool
	if r.Exptime, ok = ParseInt32(r.words.word[2]); !ok {
		return BadExptime
	}
	return nil
}

// keyAndOne cuts a line that must have a key and one word after it.
func (r *Request) keyAndOne(line []byte) error {
	r.words.cut(line)
	if r.words.n < 3 {
		return BadFormat
	}
	r.NoReply = r.words.saysNoReply()
	r.Key = r.words.word[1]
	return r.checkKey()
}

func (r *Request) checkKey() error {
	if len(r.Key) > KeyMax {
		return BadFormat
	}
	return nil
}

// flushAll: flush_all [delay] [noreply]
//
// A delay that is no number is not refused here: where flush_all is not allowed at all, that is the answer.
func flushAll(r *Request, line []byte) error {
	w := &r.words
	w.cut(line)
	r.NoReply = w.saysNoReply()
	r.Exptime, r.ExptimeOK = 0, true
	if w.n > 2 || w.n == 2 && !r.NoReply {
		r.Exptime, r.ExptimeOK = ParseInt32(w.word[1])
	}
	return nil
}

// flushPrefix: flush_prefix <prefix> [noreply]
//
// The command is ours. Other words are refused, for who writes them means something else, and what
// is flushed is gone.
func flushPrefix(r *Request, line []byte) error {
	w := &r.words
	w.cut(line)
	r.NoReply = w.n > 2 && w.saysNoReply()
	if w.n < 2 || w.n > 3 || w.n == 3 && !r.NoReply {
		return BadFormat
	}
	r.Key = w.word[1]
	return r.checkKey()
}

// verbosity: verbosity <level> [noreply]
func verbosity(r *Request, line []byte) error {
	w := &r.words
	w.cut(line)
	r.NoReply = w.saysNoReply()
	if w.n < 2 {
		return BadFormat
	}
	var ok bool
	if r.Level, ok = ParseUint32(w.word[1]); !ok {
		return BadFormat
	}
	return nil
}

// arguments: stats [word]*, watch [word]*
func arguments(r *Request, line []byte) error {
	r.words.cut(line)
	return nil
}

// administration: slabs [word]* [noreply]
func administration(r *Request, line []byte) error {
	r.words.cut(line)
	r.NoReply = r.words.saysNoReply()
	return nil
}

// ParseLogin reads the line that begins a login, without its LF, and tells how long the value after it is. It is a set; but for
// the length its arguments do not matter, and the reply always comes.
func ParseLogin(line []byte) (valueLen int, ok bool) {
	var w words
	w.cut(bytes.TrimSuffix(line, []byte("\r")))
	if w.n < 5 || string(w.word[0]) != "set" {
		return 0, false
	}
	n, ok := ParseUint32(w.word[4])
	return int(n), ok
}
