package field

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A shelf is a key that one client writes and all read.
type shelf struct {
	key          string
	size         int
	begun, acked atomic.Uint32 // versions
	unsure       atomic.Bool   // a set was cut or refused: it may be late, and the old one gone
}

// of is what a get that is sent now may see: nothing older than what was acknowledged before. While
// a set is under way there may be a miss: it may have been refused, and its client not know yet.
func (s *shelf) of() Of {
	oldest := s.acked.Load()
	return Of{
		Key: s.key, Size: s.size, Miss: oldest == 0 || s.unsure.Load(),
		May: func(got uint32) bool {
			return got <= s.begun.Load() && (got >= oldest || s.unsure.Load())
		},
		Gone: func() bool { return s.begun.Load() > oldest },
	}
}

// told is what came of a set. Only its owner calls it.
func (s *shelf) told(version uint32, err error) {
	if err != nil {
		s.unsure.Store(true)
		return
	}
	s.acked.Store(version)
}

// Shelves are what a crowd shares.
type Shelves struct {
	all     []*shelf
	clients int
}

// NewShelves stores the first versions of n keys. The values are of least to most bytes, as many
// between 10 and 100 kB as between 1 and 10 MB.
func NewShelves(r *Run, clients, n, least, most int) *Shelves {
	all := make([]*shelf, n)
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range all {
		size := float64(least) * math.Pow(float64(most)/float64(least), dice.Float64())
		all[i] = &shelf{key: fmt.Sprint("shelf", i), size: int(size)}
	}
	r.With(Link{}, func(c *Client) {
		for _, s := range all {
			v := Value{Key: s.key, Version: s.begun.Add(1), Size: s.size}
			err := c.Set(v, 0)
			s.told(v.Version, err)
			if !r.Add(err) {
				return
			}
		}
	})
	return &Shelves{all: all, clients: clients}
}

// Pipelines lets the clients loose, each by its own way to the server. What any of them reads is
// not older than what its owner knew to be stored when it was asked for.
func (s *Shelves) Pipelines(r *Run, way func(i int) (addr string, l Link)) {
	var all sync.WaitGroup
	var asked, hits, wanted, sent atomic.Int64
	end := time.Now().Add(r.Length)
	for i := range s.clients {
		all.Go(func() {
			w := &walker{r: r, shelves: s, me: i, dice: rand.New(rand.NewPCG(7, uint64(i)))}
			for time.Now().Before(end) && !r.Ended() {
				c, err := Dial(way(i))
				if err != nil {
					r.Add(err)
					time.Sleep(100 * time.Millisecond)
					continue
				}
				for w.pipeline(c) && time.Now().Before(end) {
				}
				hits.Add(int64(c.Hits))
				_ = c.Close()
			}
			asked.Add(w.asked)
			wanted.Add(w.wanted)
			sent.Add(w.sent)
		})
	}
	all.Wait()
	r.Note("%d of %d gets hit, %.1f GB asked for, %.1f GB sent",
		hits.Load(), asked.Load(), float64(wanted.Load())/1e9, float64(sent.Load())/1e9)
}

// A walker is one of the crowd.
type walker struct {
	r       *Run
	shelves *Shelves
	me      int
	dice    *rand.Rand

	asked, wanted, sent int64 // gets; bytes of them, if all hit; bytes of sets
}

// A task is one of a pipeline.
type task struct {
	s     *shelf
	isSet bool
	v     Value
	of    Of
}

// pipeline sends one to five commands without waiting, and reads the replies meanwhile.
func (w *walker) pipeline(c *Client) bool {
	tasks := make(chan task, 5)
	var sending sync.WaitGroup
	n := 1 + w.dice.IntN(5)
	kinds := make([]task, n)
	for i := range kinds {
		kinds[i].isSet = w.dice.IntN(4) == 0
		k, clients := w.dice.IntN(len(w.shelves.all)), w.shelves.clients
		if kinds[i].isSet {
			k = k/clients*clients + w.me // its own
		}
		kinds[i].s = w.shelves.all[k]
	}
	sending.Go(func() {
		defer close(tasks)
		for _, t := range kinds {
			var err error
			if t.isSet {
				t.v = Value{Key: t.s.key, Version: t.s.begun.Add(1), Size: t.s.size}
				tasks <- t
				err = c.SendSet(t.v, 0)
				w.sent += int64(t.s.size)
			} else {
				t.of = t.s.of()
				tasks <- t
				err = c.Ask("get", t.of)
				w.asked++
				w.wanted += int64(t.s.size)
			}
			if err != nil {
				return // the reader sees why
			}
		}
	})
	goesOn := true
	for t := range tasks {
		switch {
		case !goesOn:
		case t.isSet:
			err := c.Expect("STORED")
			t.s.told(t.v.Version, err)
			goesOn = w.r.Add(err)
		default:
			goesOn = w.r.Add(c.Values(t.of))
		}
		if !goesOn {
			_ = c.Close()
			if t.isSet {
				t.s.unsure.Store(true)
			}
		}
	}
	sending.Wait()
	return goesOn
}
