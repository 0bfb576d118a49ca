package insight

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/stats"
)

var seed = maphash.MakeSeed()

func hashOf(key []byte) uint64 { return maphash.Bytes(seed, key) }

func unix(i expiry.Instant) int64 { return int64(i) }

func silent([]byte, float64) {}

// ask has a probe see a request.
func ask(p *Probe, key string, size int) {
	if p.Wants(hashOf([]byte(key))) {
		p.Saw(Request{Hash: hashOf([]byte(key)), Key: []byte(key), Size: size})
	}
}

func namesOf(keys []stats.HotKey) (names []string) {
	for _, k := range keys {
		names = append(names, string(k.Key))
	}
	return names
}

// ranks draws ranks by Zipf's law with exponent 1: below 1 a rank of n is n times as rare.
type ranks []float64

func newRanks(n int) ranks {
	sums, sum := make(ranks, n), 0.0
	for i := range sums {
		sum += 1 / float64(i+1)
		sums[i] = sum
	}
	return sums
}

func (r ranks) draw(dice *rand.Rand) int {
	i, _ := slices.BinarySearch(r, dice.Float64()*r[len(r)-1])
	return i
}

// Of 100,000 keys by Zipf's law the ten that are asked for most are found, in whatever order they
// come in the two windows, and what is said of them is about right.
func TestTheTrueTopIsFound(t *testing.T) {
	const requests, every = 1_000_000, 5
	s := New(Options{Every: every})
	var probes [2]Probe
	for i := range probes {
		probes[i].Init(s)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	law := newRanks(100_000)
	count := make([]int, len(law))
	now := expiry.Start
	for i := range requests {
		k := law.draw(dice)
		count[k]++
		p := &probes[dice.IntN(len(probes))]
		ask(p, fmt.Sprintf("key%d", k), 100)
		if i%1000 == 0 {
			p.Publish()
			s.Drain(now, Totals{}, silent)
		}
		if i == requests/2 {
			now += window
		}
	}
	for i := range probes {
		probes[i].Publish()
	}
	s.Drain(now, Totals{}, silent)
	hot := s.HotKeys(unix)
	// The first eight are further apart than a sample of 200,000 is wrong; ten needs the 30 million of bench/hot.
	got := namesOf(hot.ByRequests)
	for k := range 8 {
		if !slices.Contains(got[:10], fmt.Sprintf("key%d", k)) {
			t.Errorf("key%d is not among %v", k, got[:10])
		}
	}
	for _, k := range hot.ByRequests[:8] {
		var rank int
		_, _ = fmt.Sscanf(string(k.Key), "key%d", &rank)
		is := float64(count[rank])
		if off := math.Abs(float64(k.Requests) - is); off > 0.12*is || k.Bytes/100 != k.Requests || k.Error > k.Requests/10 {
			t.Errorf("%s: %d requests, %d bytes, error %d; it had %.0f", k.Key, k.Requests, k.Bytes, k.Error, is)
		}
	}
	if off := math.Abs(float64(hot.Requests) - requests); off > 2*2*every || hot.Sampled != every {
		t.Errorf("%d requests, one of %d", hot.Requests, hot.Sampled)
	}
}

// Large values are found though others are asked for more often; and keys of any bytes.
func TestHotByBytes(t *testing.T) {
	s := New(Options{Every: 1})
	var p Probe
	p.Init(s)
	large := "\x00\xff \r\n" + string(slices.Repeat([]byte("k"), KeyMax-5))
	for i := range 3000 {
		ask(&p, "often", 10)
		ask(&p, fmt.Sprintf("rare%d", i), 0)
		if i%30 == 0 {
			ask(&p, large, 1<<20)
		}
		p.Publish()
		s.Drain(expiry.Start, Totals{}, silent)
	}
	hot := s.HotKeys(unix)
	if hot.ByBytes[0].Bytes != 100<<20 || string(hot.ByBytes[0].Key) != large || string(hot.ByRequests[0].Key) != "often" {
		t.Errorf("%+v, %q", hot.ByBytes[0], hot.ByRequests[0].Key)
	}
	if len(hot.ByBytes) != 2 {
		t.Errorf("%d keys had bytes", len(hot.ByBytes))
	}
}

// A pipeline that asks for the same things in the same order has each of them looked at as often,
// however long it is.
func TestPatternsDoNotHide(t *testing.T) {
	for _, period := range []int{2, 10, 100, 200} {
		s := New(Options{Every: 100})
		var p Probe
		p.Init(s)
		for i := range 400_000 {
			key := "hot"
			if i%period > 0 {
				key = fmt.Sprint("other", i%period)
			}
			ask(&p, key, 1)
			if i%1000 == 0 {
				p.Publish()
				s.Drain(expiry.Start, Totals{}, silent)
			}
		}
		want, n := 4000/float64(period), 0.0
		if i, ok := s.hot.now.byRequests.at[hashOf([]byte("hot"))]; ok { // there are counters for all keys
			n = float64(s.hot.now.byRequests.counters[i].weight)
		}
		if math.Abs(n-want) > 6*math.Sqrt(want)+2 {
			t.Errorf("one of %d: looked at %.0f times, want about %.0f", period, n, want)
		}
		if all := float64(s.hot.now.samples); math.Abs(all-4000) > 6*math.Sqrt(4000) {
			t.Errorf("%.0f of 400,000 were looked at, want about one of a hundred", all)
		}
	}
}

// A window ends after a minute, and is forgotten after two.
func TestWindowsPass(t *testing.T) {
	s := New(Options{Every: 1})
	var p Probe
	p.Init(s)
	now := expiry.Start
	minute := func(key string) []string {
		ask(&p, key, 1)
		p.Publish()
		s.Drain(now, Totals{}, silent)
		now += window
		s.Drain(now, Totals{}, silent)
		hot := s.HotKeys(unix)
		if len(hot.ByRequests) > 0 && hot.Until.Sub(hot.Since).Seconds() > 120 {
			t.Errorf("from %v to %v", hot.Since, hot.Until)
		}
		return namesOf(hot.ByRequests)
	}
	for i := range 5 {
		if got, want := minute(fmt.Sprint("key", i)), fmt.Sprint("[key", i, "]"); fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	now += 2 * window
	s.Drain(now, Totals{}, silent)
	s.Drain(now+window, Totals{}, silent)
	if hot := s.HotKeys(unix); len(hot.ByRequests) > 0 || hot.Sampled != 1 {
		t.Errorf("%+v after hours of silence", hot)
	}
}

// A key that takes much of a loop is told of once in a window, and not where little is asked for.
func TestALoudKeyIsToldOfOnce(t *testing.T) {
	s := New(Options{Every: 1})
	var busy, idle Probe
	busy.Init(s)
	idle.Init(s)
	var told []string
	hear := func(key []byte, share float64) {
		told = append(told, fmt.Sprintf("%s %.0f %%", key, 100*share))
	}
	now := expiry.Start
	serve := func() {
		for i := range 100 * loudLeast {
			key := fmt.Sprint("key", i)
			switch i % 10 {
			case 0, 3, 6, 9:
				key = "loud"
			case 1, 4:
				key = "less"
			}
			ask(&busy, key, 1)
			if i%200 == 0 {
				ask(&idle, "alone", 1)
				idle.Publish()
			}
			if i%100 == 0 {
				busy.Publish()
				s.Drain(now, Totals{}, hear)
			}
		}
	}
	serve()
	now++
	serve()
	if want := "[loud 40 % alone 100 %]"; fmt.Sprint(told) != want {
		t.Errorf("%v, want %s", told, want)
	}
	told, now = nil, now+window
	serve()
	if want := "[loud 40 %]"; fmt.Sprint(told) != want {
		t.Errorf("in the next window %v, want %s", told, want)
	}
}

// What comes faster than it is read is lost, and bounded; all requests are counted nevertheless.
func TestWhatIsNotReadIsBounded(t *testing.T) {
	s := New(Options{Every: 1})
	var p Probe
	p.Init(s)
	for range 100_000 {
		ask(&p, "some key that is asked for", 1)
		p.Publish()
	}
	if n := cap(p.published) + cap(p.pending); n > 2*publishedMax {
		t.Errorf("%d bytes are held", n)
	}
	s.Drain(expiry.Start, Totals{}, silent)
	if hot := s.HotKeys(unix); hot.Requests != 100_000 || hot.ByRequests[0].Requests != 100_000 {
		t.Errorf("%d requests, %d of the key", hot.Requests, hot.ByRequests[0].Requests)
	}
}

// A loop does not wait for who reads: it keeps what it has looked at until the next time, and counts what
// it has no room for.
func TestALoopKeepsWhatItCannotPublish(t *testing.T) {
	s := New(Options{Every: 1})
	var p Probe
	p.Init(s)
	ask(&p, "a", 1)
	done := make(chan struct{})
	p.mu.Lock()
	go func() {
		defer close(done)
		p.Publish()
		for range 2 * pendingMax / recordHead {
			ask(&p, "a", 1)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it waits")
	}
	if len(p.published) > 0 || len(p.pending) == 0 || p.missed == 0 {
		t.Errorf("while somebody reads %d bytes are published, %d kept, %d records lost", len(p.published), len(p.pending), p.missed)
	}
	p.mu.TryLock() // where it is not held any more it was given back by somebody else
	p.mu.Unlock()
	<-done
	missed := p.missed
	p.Publish()
	if len(p.published) == 0 || len(p.pending) > 0 || p.lost != missed || p.missed != 0 {
		t.Errorf("then %d bytes are published, %d kept, %d records lost of %d", len(p.published), len(p.pending), p.lost, missed)
	}
}

// Without a Sampler, and when it is off, nothing is looked at.
func TestOffLooksAtNothing(t *testing.T) {
	for _, s := range []*Sampler{nil, New(Options{})} {
		var p Probe
		p.Init(s)
		for range 1000 {
			ask(&p, "key", 1)
		}
		p.gap = 1 // as after two billion
		ask(&p, "key", 1)
		p.Publish()
		if p.pending != nil || p.published != nil || p.gap < 1000 {
			t.Errorf("%d bytes, the next after %d", len(p.pending)+len(p.published), p.gap)
		}
		p.sampler.Drain(expiry.Start, Totals{}, silent)
		if hot := p.sampler.HotKeys(unix); hot.Sampled != 0 || hot.ByRequests != nil {
			t.Errorf("%+v", hot)
		}
	}
}

// Loops write while somebody reads and another asks.
func TestLoopsNeedNotWait(t *testing.T) {
	s := New(Options{Every: 2})
	var loops, others sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Drain(expiry.Start, Totals{}, silent)
					_ = s.HotKeys(unix)
				}
			}
		})
	}
	for loop := range 3 {
		p := new(Probe)
		p.Init(s)
		loops.Go(func() {
			for i := range 20_000 {
				ask(p, fmt.Sprint("key", loop, i%10), i)
				if i%7 == 0 {
					p.Publish()
				}
			}
		})
	}
	loops.Wait()
	close(stop)
	others.Wait()
	s.Drain(expiry.Start, Totals{}, silent)
	if hot := s.HotKeys(unix); len(hot.ByRequests) != hotTold {
		t.Errorf("%d keys", len(hot.ByRequests))
	}
}

// Looking allocates nothing, once there is something.
func TestLookingAllocatesNothing(t *testing.T) {
	s := New(Options{Every: 1})
	var p Probe
	p.Init(s)
	key := []byte("key")
	look := func() {
		if p.Wants(hashOf(key)) {
			p.Saw(Request{Hash: hashOf(key), Key: key, Size: 1})
		}
		p.Publish()
	}
	look()
	p.published = make([]byte, 0, publishedMax) // it has grown
	if n := testing.AllocsPerRun(1000, look); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Where records come faster than they are read, those that are read stand for the others.
func TestWhatIsLostCountsForTheKeysOfItsTime(t *testing.T) {
	const calm, storm = 1_000, 100_000
	s := New(Options{Every: 1})
	p := new(Probe)
	p.Init(s)
	for key, n := range map[string]int{"calm": calm, "storm": storm} {
		for range n {
			ask(p, key, 10)
			p.Publish()
		}
		s.Drain(1, Totals{}, silent)
	}
	for _, keys := range [][]stats.HotKey{s.HotKeys(unix).ByRequests, s.HotKeys(unix).ByBytes} {
		for _, k := range keys {
			want := map[string]uint64{"calm": calm, "storm": storm}[string(k.Key)]
			if k.Requests < want*98/100 || k.Requests > want*102/100 || k.Bytes != 10*k.Requests {
				t.Errorf("%s: %d requests of %d, %d bytes", k.Key, k.Requests, want, k.Bytes)
			}
		}
	}
}
