package storage

// Incoming is a large value on its way in. It is used by one goroutine and ends with Commit or Abort.
type Incoming struct {
	st   *Store
	hash uint64
	item Item
	n    int
}

// Receive begins a value of n bytes that will arrive in parts. The item's Value is ignored; its key is copied.
func (st *Store) Receive(hash uint64, it *Item, n int) (*Incoming, Status) {
	if Charge(len(it.Key), it.Flags, n, !st.opts.DisableCAS) > st.opts.ItemMax {
		return nil, TooLarge
	}
	in := &Incoming{st: st, hash: hash, item: *it, n: n}
	in.item.Key = append([]byte(nil), it.Key...)
	in.item.Value = make([]byte, 0, n)
	return in, Stored
}

// Write takes the next part. More than was announced is TooLarge.
func (in *Incoming) Write(p []byte) Status {
	if len(in.item.Value)+len(p) > in.n {
		return TooLarge
	}
	in.item.Value = append(in.item.Value, p...)
	return Stored
}

// Commit stores the value, which is complete.
func (in *Incoming) Commit(mode Mode) Status { return in.st.Put(in.hash, mode, &in.item) }

// Abort gives the room back.
func (in *Incoming) Abort() { in.item.Value = nil }
