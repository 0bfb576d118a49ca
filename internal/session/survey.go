package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// What stats prefixes tells: what the store holds, by the prefixes of the keys. It takes a walk over
// all items, which a goroutine makes, one at a time for all who ask; a session waits for its end
// without holding its loop up, and hands on what came of it.

const (
	// surveyFresh is how long a survey is answered again instead of walking once more.
	surveyFresh = 5 * time.Second
	// prefixesListed is how many prefixes are listed, those that hold most bytes; prefixesKept how
	// many are told apart meanwhile: the items of those that are met later are summed up.
	prefixesListed = 1000
	prefixesKept   = 1 << 14
	// surveySteps is after how many steps of the walk, of some 10 µs, it rests (dumpRest).
	surveySteps = 50
)

// surveys are those of a server.
type surveys struct {
	mu     sync.Mutex
	last   *survey // under way, or the last one that came to its end; nil: none has
	closed bool    // there will be no more
}

// survey is one walk.
type survey struct {
	done   chan struct{} // closed at its end, from when on there are:
	found  []stats.Prefix
	text   []byte // the same, as stats prefixes tells it
	ended  time.Time
	broken bool // nobody waited for it any more

	// Guarded by surveys.mu, while it is under way:
	over    bool
	waiting int
	wakes   []func()
	stop    chan struct{}
}

// join gives the survey under way, or one that is fresh, or begins one. wake, if there is one, is
// called at its end. Who joins leaves. There is none when the server has ended.
func (e *Env) join(wake func()) *survey {
	ss := &e.surveys
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return nil
	}
	v := ss.last
	if v == nil || v.over && (v.broken || time.Since(v.ended) > surveyFresh) || !v.over && v.waiting == 0 {
		v = &survey{done: make(chan struct{}), stop: make(chan struct{})}
		ss.last = v
		e.dumpers.Add(1)
		go e.survey(v)
	}
	v.waiting++
	if wake != nil && !v.over {
		v.wakes = append(v.wakes, wake)
	}
	return v
}

// leave ends the waiting for a survey. Nobody walks for nobody.
func (ss *surveys) leave(v *survey) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if v.waiting--; v.waiting == 0 && !v.over && !ss.closed {
		close(v.stop)
	}
}

// survey walks.
func (e *Env) survey(v *survey) {
	defer e.dumpers.Done()
	if e.Beside != nil {
		e.Beside(+1)
		defer e.Beside(-1)
	}
	c := census{delimiter: e.Settings.PrefixDelimiter, named: map[string]*stats.Prefix{}}
	w := e.Store.Walk()
	defer w.Close()
	broken := false
	for n, more := 1, true; more && !broken; n++ {
		more = w.Next(c.meet)
		runtime.Gosched() // as dump.make does
		if n%surveySteps == 0 {
			_ = syscall.Nanosleep(&syscall.Timespec{Nsec: dumpRest.Nanoseconds()}, nil)
			select {
			case <-v.stop:
				broken = true
			default:
			}
		}
	}
	found := c.list()
	text := append(stats.AppendPrefixes(nil, found, c.delimiter), protocol.End...)
	ss := &e.surveys
	ss.mu.Lock()
	v.found, v.text, v.ended, v.broken, v.over = found, text, time.Now(), broken, true
	wakes := v.wakes
	v.wakes = nil
	ss.mu.Unlock()
	close(v.done)
	for _, wake := range wakes {
		wake()
	}
}

// census counts items by prefix.
type census struct {
	delimiter   byte
	named       map[string]*stats.Prefix
	undelimited stats.Prefix
	others      stats.Prefix
}

func (c *census) meet(it *storage.Item) {
	p := &c.undelimited
	if i := bytes.IndexByte(it.Key, c.delimiter); i >= 0 {
		name := it.Key[:i+1]
		if p = c.named[string(name)]; p == nil {
			if p = &c.others; len(c.named) < prefixesKept {
				p = &stats.Prefix{Name: bytes.Clone(name)}
				c.named[string(name)] = p
			}
		}
	}
	p.Items++
	p.Bytes += uint64(len(it.Key) + it.Len())
	if it.Fetched {
		p.Fetched++
	}
}

// list gives the prefixes that hold most, and sums up the rest.
func (c *census) list() (all []stats.Prefix) {
	for _, p := range c.named {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b stats.Prefix) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), bytes.Compare(a.Name, b.Name))
	})
	if len(all) > prefixesListed {
		for _, p := range all[prefixesListed:] {
			c.others.Items += p.Items
			c.others.Bytes += p.Bytes
			c.others.Fetched += p.Fetched
		}
		all = slices.Clone(all[:prefixesListed])
	}
	c.undelimited.Kind, c.others.Kind = stats.Undelimited, stats.OtherNames
	for _, p := range []stats.Prefix{c.undelimited, c.others} {
		if p.Items > 0 {
			all = append(all, p)
		}
	}
	return all
}

// ErrEnded says that there is no store any more.
var ErrEnded = errors.New("the server has ended")

// close ends what is under way, and has no more begin.
func (ss *surveys) close() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.closed = true
	if v := ss.last; v != nil && !v.over && v.waiting > 0 {
		v.waiting = 0
		close(v.stop)
	}
}

// Prefixes tells what the store holds by the prefixes of keys: the thousand that hold most, then
// what has none, and the rest. It walks over all items, or has done so less than five seconds ago. The
// list is shared, and not to be changed.
func (e *Env) Prefixes(ctx context.Context) ([]stats.Prefix, error) {
	v := e.join(nil)
	if v == nil {
		return nil, ErrEnded
	}
	defer e.surveys.leave(v)
	select {
	case <-v.done:
		if v.broken {
			return nil, ErrEnded
		}
		return v.found, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prefixes serves stats prefixes.
func (s *Session) prefixes() Verdict {
	if s.w.env.Rules.DisableDump || s.w.Datagrams {
		s.refuse(false, protocol.PrefixesNotAllowed)
		return Idle
	}
	if s.survey = s.w.env.join(s.wake); s.survey == nil {
		s.quits = true
		return HangUp
	}
	s.state = StateSurvey
	return Idle
}

// resumeSurvey hands on what there is.
func (s *Session) resumeSurvey() Verdict {
	w := s.w
	if s.survey != nil {
		select {
		case <-s.survey.done:
		default:
			return Later
		}
		s.surveyed = s.survey.text
		w.env.surveys.leave(s.survey)
		s.survey = nil
	}
	n := min(len(s.surveyed), dumpChunk)
	w.Out.buf = append(w.Out.buf, s.surveyed[:n]...)
	if s.surveyed = s.surveyed[n:]; len(s.surveyed) > 0 {
		return Full // or not, but it is the others' turn
	}
	s.surveyed, s.state = nil, StateCommand
	return Idle
}
