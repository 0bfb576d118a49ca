package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// What is pinned stays as it is, whatever becomes of the item and its segment: it is overwritten by
// values of its own length and of others, deleted, flushed, evicted, moved by cleaning, and the
// limit falls. When the pins have gone, their room is used again.
func TestPinnedValuesStayAsTheyAre(t *testing.T) {
	st, _ := newStore(t, Options{MemoryLimit: 2 << 20, Shards: 2, SegmentSize: 16 << 10})
	draw := rand.New(rand.NewPCG(1, 2))
	type reader struct {
		Pinned
		want []byte
	}
	var readers []*reader
	lengths := []int{10, 5_000, 5_001, 20_000, 100_000}
	pinned := 0
	for i := range 30_000 {
		key := fmt.Append(nil, "key", draw.IntN(100))
		h := st.Hash(key)
		switch n := draw.IntN(100); {
		case n < 50:
			value := bytes.Repeat([]byte{byte(i)}, lengths[draw.IntN(len(lengths))])
			st.Put(h, Set, &Item{Key: key, Value: value})
		case n < 70:
			r := new(reader)
			if st.View(h, key, func(it Item) {
				r.want = it.AppendTo(nil)
				it.Pin(&r.Pinned)
			}) {
				readers = append(readers, r)
				pinned++
			}
		case n < 80:
			st.Delete(h, key)
		case n < 98:
			st.Sweep()
		case i%5 == 0:
			st.FlushAll(0)
		default:
			if err := st.SetLimit(int64(1+draw.IntN(2)) << 20); err != nil {
				t.Fatal(err)
			}
		}
		for len(readers) > draw.IntN(8) {
			r := readers[0]
			readers = readers[1:]
			if got := bytes.Join(r.Pieces, nil); !bytes.Equal(got, r.want) || r.Bytes != len(got) {
				t.Fatalf("%d: a pinned value of %d bytes changed", i, len(r.want))
			}
			r.Release()
		}
		if i%1000 == 0 {
			if err := st.Check(); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	for _, r := range readers {
		r.Release()
	}
	if pinned < 1000 {
		t.Errorf("only %d values pinned", pinned)
	}
	for i := range st.shards {
		for g := range st.shards[i].segments[:st.shards[i].fresh] {
			if sg := &st.shards[i].segments[g]; sg.pins != 0 || sg.state == statePinned {
				t.Errorf("shard %d, segment %d: %d pins, state %d", i, g, sg.pins, sg.state)
			}
		}
	}
}
