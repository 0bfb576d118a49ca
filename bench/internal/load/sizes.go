package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// sizeMax bounds a value: -I may be raised to 1 GiB, but nobody measures that, and the random block is as long as the
// longest value.
const sizeMax = 64 << 20

// A sizer draws the length of a value.
//
//	32                      all of 32 bytes
//	100-1000                evenly between, both ends included
//	100:90,1000-5000:10     90 of 100 of 100 bytes, the others between 1000 and 5000
//	lognormal:200,1.2       median 200, sigma 1.2 of the logarithm, cut at 1,000,000; a third number cuts elsewhere
//	trace                   as the trace says
type sizer interface {
	size(dice *rand.PCG, key int64) int
	most() int
}

type evenly struct{ from, to int }

func (e evenly) size(dice *rand.PCG, _ int64) int {
	if e.from == e.to {
		return e.from
	}
	return e.from + int(below(dice, uint64(e.to-e.from+1)))
}
func (e evenly) most() int { return e.to }

type mixture struct {
	parts []evenly
	upTo  []uint64 // weights, added up
}

func (m *mixture) size(dice *rand.PCG, key int64) int {
	roll := below(dice, m.upTo[len(m.upTo)-1])
	for i, end := range m.upTo {
		if roll < end {
			return m.parts[i].size(dice, key)
		}
	}
	panic("a roll above all weights")
}

func (m *mixture) most() (most int) {
	for _, p := range m.parts {
		most = max(most, p.most())
	}
	return most
}

type lognormal struct {
	mu, sigma float64
	cut       int
}

// size turns two even numbers into a normal one (Box and Muller), and that into a length. At least 1: an empty value is a
// case of its own.
func (l lognormal) size(dice *rand.PCG, _ int64) int {
	z := math.Sqrt(-2*math.Log(1-unit(dice))) * math.Cos(2*math.Pi*unit(dice))
	return int(min(max(math.Exp(l.mu+l.sigma*z), 1), float64(l.cut)))
}
func (l lognormal) most() int { return l.cut }

// perKey has each key's size from its trace, and fallback where the trace has none.
type perKey struct {
	sizes    []int32
	fallback int
}

func (p perKey) size(_ *rand.PCG, key int64) int {
	if n := p.sizes[key]; n > 0 {
		return int(n)
	}
	return p.fallback
}

func (p perKey) most() int {
	most := int32(p.fallback)
	for _, n := range p.sizes {
		most = max(most, n)
	}
	return int(most)
}

func newSizer(text string, t *Trace) (sizer, error) {
	if text == "trace" {
		if t == nil {
			return nil, fmt.Errorf("-size trace: there is no -trace")
		}
		const usual = 200 // a trace without sizes; about what caches of small objects hold
		return perKey{t.sizeOf(), usual}, nil
	}
	if args, ok := strings.CutPrefix(text, "lognormal:"); ok {
		return newLognormal(args)
	}
	m := &mixture{}
	total := uint64(0)
	for part := range strings.SplitSeq(text, ",") {
		sizes, weight, weighted := strings.Cut(part, ":")
		e, err := newEvenly(sizes)
		if err != nil {
			return nil, fmt.Errorf("-size %q: %w", text, err)
		}
		w := uint64(1)
		if weighted {
			if w, err = strconv.ParseUint(weight, 10, 31); err != nil || w == 0 {
				return nil, fmt.Errorf("-size %q: %q is no weight", text, weight)
			}
		}
		total += w
		m.parts, m.upTo = append(m.parts, e), append(m.upTo, total)
	}
	if len(m.parts) == 1 {
		return m.parts[0], nil
	}
	return m, nil
}

func newEvenly(text string) (e evenly, err error) {
	from, to, ranged := strings.Cut(text, "-")
	if e.from, err = strconv.Atoi(from); err != nil {
		return e, err
	}
	if e.to = e.from; ranged {
		if e.to, err = strconv.Atoi(to); err != nil {
			return e, err
		}
	}
	if e.from < 0 || e.to < e.from || e.to > sizeMax {
		return e, fmt.Errorf("%s: want 0 to %d, the smaller first", text, sizeMax)
	}
	return e, nil
}

func newLognormal(args string) (sizer, error) {
	l := lognormal{cut: 1_000_000}
	words := strings.Split(args, ",")
	if len(words) != 2 && len(words) != 3 {
		return nil, fmt.Errorf("-size lognormal:%s: want lognormal:<median>,<sigma>[,<cut>]", args)
	}
	median, err := strconv.ParseFloat(words[0], 64)
	if err == nil {
		l.sigma, err = strconv.ParseFloat(words[1], 64)
	}
	if err == nil && len(words) == 3 {
		l.cut, err = strconv.Atoi(words[2])
	}
	if err != nil || median < 1 || l.sigma < 0 || l.cut < 1 || l.cut > sizeMax {
		return nil, fmt.Errorf("-size lognormal:%s: want a median from 1, a sigma from 0, a cut from 1 to %d", args, sizeMax)
	}
	l.mu = math.Log(median)
	return l, nil
}
