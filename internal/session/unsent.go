package session

import "github.com/gomemd/gomemd/storage"

// Unsent is replies that their socket does not take at present. Text is a copy; values lie where
// they are in the store, pinned, and are released as they are sent. It ends with Release.
type Unsent struct {
	parts  [][]byte
	stored []bool // which of parts are pinned
	pinned storage.Pinned
	sent   int // pieces of pinned that are sent
	bytes  int
	copied int // bytes of copies
}

// Keep takes what waits to be sent, from some byte on, out of the replies, which are then as after
// Reset.
func (r *Replies) Keep(from int) *Unsent {
	u := &Unsent{bytes: r.Pending() - from}
	text := make([]byte, 0, min(len(r.buf), u.bytes))
	next := 0 // piece of pinned
	r.each(func(part []byte, stored bool) {
		skip := min(from, len(part))
		from -= skip
		part = part[skip:]
		switch {
		case stored && len(part) == 0:
			u.sent = next + 1
		case stored:
			u.parts, u.stored = append(u.parts, part), append(u.stored, true)
		case len(part) > 0:
			begin := len(text)
			text = append(text, part...)
			u.parts, u.stored = append(u.parts, text[begin:len(text):len(text)]), append(u.stored, false)
		}
		if stored {
			next++
		}
	})
	u.copied = cap(text)
	u.pinned, r.pinned = r.pinned, storage.Pinned{}
	u.pinned.ReleaseFirst(u.sent)
	r.Reset()
	return u
}

// Bytes is how many there are, Copied how many of our own memory they take, and Pinned how many lie
// in the store.
func (u *Unsent) Bytes() int  { return u.bytes }
func (u *Unsent) Copied() int { return u.copied }
func (u *Unsent) Pinned() int { return u.pinned.Bytes }

// Parts are what is to be sent, in this order. They are good until Sent.
func (u *Unsent) Parts() [][]byte { return u.parts }

// Sent says that the first n bytes are.
func (u *Unsent) Sent(n int) {
	u.bytes -= n
	done := 0
	for ; done < len(u.parts) && n >= len(u.parts[done]); done++ {
		n -= len(u.parts[done])
		if u.stored[done] {
			u.sent++
		}
	}
	u.parts, u.stored = u.parts[done:], u.stored[done:]
	if n > 0 {
		u.parts[0] = u.parts[0][n:]
	}
	u.pinned.ReleaseFirst(u.sent)
}

// Copy takes what is pinned out of the store.
func (u *Unsent) Copy() {
	for i, part := range u.parts {
		if u.stored[i] {
			u.parts[i], u.stored[i] = append([]byte(nil), part...), false
			u.copied += len(part)
		}
	}
	u.pinned.Release()
	u.sent = 0
}

// Release lets go of all of it.
func (u *Unsent) Release() {
	u.pinned.Release()
	*u = Unsent{}
}
