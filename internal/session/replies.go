package session

import "github.com/gomemd/gomemd/storage"

// Replies are what gathers while a session is fed. A large value is not copied there: it is pinned
// in the store, cuts says where in buf it belongs, and one writev sends it all from where it lies:
//
//	buf      VALUE a 0 9000\r\n │ \r\nVALUE b 0 7000\r\n │ \r\nEND\r\n
//	cuts                       18                       36
//	pinned                     [9000 bytes]              [7000 bytes]
//
// What the socket does not take at once stays where it is (Keep).
type Replies struct {
	// Pins has large values pinned. Whoever sets it must call Reset before the goroutine waits for
	// anything.
	Pins bool

	buf    []byte
	pinned storage.Pinned
	cuts   []int
	parts  [][]byte
}

// pinMin is the length from which a value is pinned: below, copying is cheaper than another lock
// and a longer writev (docs/decisions/0109).
const pinMin = 4 << 10

// pinMinScarce is the same while memory that may be pinned is scarce: a pin holds a whole segment.
const pinMinScarce = 64 << 10

// copies tells whether the value of an item is copied.
func (r *Replies) copies(it *storage.Item) bool {
	n := it.Len()
	return !r.Pins || n < pinMin || n < pinMinScarce && it.Scarce()
}

// appendValueOf appends the value of an item.
func (r *Replies) appendValueOf(it *storage.Item) {
	if r.copies(it) {
		r.buf = it.AppendTo(r.buf)
		return
	}
	it.Pin(&r.pinned)
	for len(r.cuts) < len(r.pinned.Pieces) {
		r.cuts = append(r.cuts, len(r.buf))
	}
}

// Pending is how many bytes there are.
func (r *Replies) Pending() int { return len(r.buf) + r.pinned.Bytes }

// Parts lays the replies out in the order in which they are to be sent. They are good until Reset;
// the caller may change the list, not the bytes.
func (r *Replies) Parts() [][]byte {
	r.parts = r.parts[:0]
	if len(r.cuts) == 0 && len(r.buf) > 0 { // nearly always
		r.parts = append(r.parts, r.buf)
		return r.parts
	}
	r.each(func(part []byte, _ bool) { r.parts = append(r.parts, part) })
	return r.parts
}

// each visits the parts in this order, and tells which are values in the store.
func (r *Replies) each(visit func(part []byte, stored bool)) {
	from := 0
	for i, cut := range r.cuts {
		if cut > from {
			visit(r.buf[from:cut], false)
		}
		visit(r.pinned.Pieces[i], true)
		from = cut
	}
	if from < len(r.buf) {
		visit(r.buf[from:], false)
	}
}

// outKeep is the largest buffer that is kept; a larger one served a rare large value.
const outKeep = 2 << 20

// Reset empties it, and lets go of what was pinned.
func (r *Replies) Reset() {
	if cap(r.buf) > outKeep {
		r.buf = nil
	}
	r.buf = r.buf[:0]
	clear(r.parts)
	r.parts = r.parts[:0]
	if len(r.cuts) > 0 {
		r.cuts = r.cuts[:0]
		r.pinned.Release()
	}
}
