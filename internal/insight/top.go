package insight

// top finds the heaviest of many keys with few counters: Space-Saving (Metwally, Agrawal and El Abbadi,
// "Efficient computation of frequent and top-k elements in data streams", ICDT 2005). A key without a
// counter takes over the lightest one and counts on from there, so a counter may say too much, by what it
// said when it was taken over, and never too little; and with n counters, whoever weighs more than
// an n-th of all has one.
type top struct {
	counters []counter         // all have been used
	most     int               // there may be so many
	at       map[uint64]uint16 // hash → counter
	heap     []light           // the lightest first
	place    []uint16          // of each counter in heap
}

// light is a counter in the heap.
type light struct {
	weight uint64 // the counter's
	of     uint16
}

type counter struct {
	hash   uint64
	weight uint64
	excess uint64 // weight may be too much by this
	other  uint64 // what came along with it: bytes with requests, requests with bytes
	told   bool
	klen   uint8
	key    [KeyMax]byte
}

func (c *counter) name() []byte { return c.key[:c.klen] }

func (t *top) init(most int) { *t = top{most: most} }

// clear forgets all keys.
func (t *top) clear() {
	clear(t.at)
	t.counters, t.heap, t.place = t.counters[:0], t.heap[:0], t.place[:0]
}

// add adds to the weight of a key, which is copied if it has no counter yet. Its hash stands for it:
// two keys of one hash of 64 bits are taken for one.
func (t *top) add(hash uint64, key []byte, weight, other uint64) {
	if i, ok := t.at[hash]; ok {
		c := &t.counters[i]
		c.weight += weight
		c.other += other
		t.grow(int(t.place[i]), c.weight)
		return
	}
	if t.at == nil {
		t.at = make(map[uint64]uint16, t.most)
		t.counters = make([]counter, 0, t.most)
		t.heap, t.place = make([]light, 0, t.most), make([]uint16, 0, t.most)
	}
	n := len(t.counters)
	if n < t.most {
		t.counters = t.counters[:n+1]
		t.heap, t.place = append(t.heap, light{weight, uint16(n)}), append(t.place, uint16(n))
		t.counters[n].take(hash, key, weight, 0, other)
		t.at[hash] = uint16(n)
		t.up(n)
		return
	}
	i := t.heap[0].of
	c := &t.counters[i]
	delete(t.at, c.hash)
	t.at[hash] = i
	c.take(hash, key, c.weight+weight, c.weight, other)
	t.grow(0, c.weight)
}

func (c *counter) take(hash uint64, key []byte, weight, excess, other uint64) {
	c.hash, c.weight, c.excess, c.other, c.told = hash, weight, excess, other, false
	c.klen = uint8(copy(c.key[:], key))
}

// has tells whether a key has a counter.
func (t *top) has(hash uint64) bool { _, ok := t.at[hash]; return ok }

// least is what a key without a counter may weigh.
func (t *top) least() uint64 {
	if len(t.counters) < t.most {
		return 0
	}
	return t.heap[0].weight
}

// up brings a counter to its place in the heap that has come as the last.
func (t *top) up(at int) {
	for at > 0 {
		above := (at - 1) / 2
		if t.heap[above].weight <= t.heap[at].weight {
			return
		}
		t.swap(at, above)
		at = above
	}
}

// grow brings a counter to its place that has become heavier.
func (t *top) grow(at int, weight uint64) {
	t.heap[at].weight = weight
	for {
		least := at
		for below := 2*at + 1; below <= 2*at+2 && below < len(t.heap); below++ {
			if t.heap[below].weight < t.heap[least].weight {
				least = below
			}
		}
		if least == at {
			return
		}
		t.swap(at, least)
		at = least
	}
}

func (t *top) swap(a, b int) {
	t.heap[a], t.heap[b] = t.heap[b], t.heap[a]
	t.place[t.heap[a].of], t.place[t.heap[b].of] = uint16(a), uint16(b)
}
