package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// Many goroutines on few keys and few shards, for the race detector and for Check. Each value says what it is, so that
// a reader can tell a torn or misplaced one.
func TestManyAtOnce(t *testing.T) {
	st, clock := newStore(t, Options{MemoryLimit: 1 << 20, Shards: 2, SegmentSize: 4096})
	rounds := 4000
	if testing.Short() {
		rounds = 500
	}
	var all sync.WaitGroup
	for worker := range 6 {
		all.Add(1)
		go func() {
			defer all.Done()
			draw := rand.New(rand.NewPCG(uint64(worker), 1))
			value := make([]byte, 20_000)
			for range rounds {
				n := draw.IntN(2000)
				key := fmt.Appendf(nil, "key%d", n)
				h := st.Hash(key)
				check := func(it Item) {
					v := it.AppendTo(nil)
					if string(it.Key) != string(key) || len(v) > 8 && binary.LittleEndian.Uint64(v) != uint64(n) {
						t.Errorf("%s: a value of %d bytes that is not its own", key, len(v))
					}
				}
				switch draw.IntN(12) {
				case 0, 1, 2:
					size := 9 + draw.IntN(300)
					if draw.IntN(50) == 0 {
						size = 9 + draw.IntN(len(value)-9)
					}
					v := value[:size]
					binary.LittleEndian.PutUint64(v, uint64(n))
					st.Put(h, Set, &Item{Key: key, Value: v, Deadline: clock.Now() + expiryInstant(draw.IntN(5))})
				case 3:
					if in, status := st.Receive(h, &Item{Key: key}, 9000, nil); status == Stored {
						v := value[:4500]
						binary.LittleEndian.PutUint64(v, uint64(n))
						in.Write(v)
						in.Write(v)
						in.Commit(Set)
					}
				case 4:
					st.Delete(h, key)
				case 5:
					st.TouchView(h, key, clock.Now()+3, true, check)
				case 6:
					st.ViewUnique(h, key, check)
				case 7:
					switch draw.IntN(20) {
					case 0:
						st.FlushAll(clock.Now() + expiryInstant(draw.IntN(3)))
					case 1:
						if err := st.SetLimit(int64(256+draw.IntN(700)) << 10); err != nil {
							t.Error(err)
						}
					case 2:
						st.Stats()
					default:
						st.Sweep()
					}
				case 8:
					st.Warm([]uint64{h, h + 1<<40, h + 1<<50})
				default:
					st.View(h, key, check)
				}
			}
		}()
	}
	for range 20 {
		clock.Set(clock.Now() + 1)
		st.Sweep()
	}
	all.Wait()
}
