package load

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
)

// A key is a number until it is written: its text is made from the number, or looked up in the trace it came from.

// keyer writes keys: prefix and number, zeros between them up to the wanted length, so that all keys are of one length.
type keyer struct {
	prefix string
	width  int      // of the number
	words  []string // a trace's keys, by number; nil when keys are made
}

func (k *keyer) append(dst []byte, id int64) []byte {
	dst = append(dst, k.prefix...)
	if k.words != nil {
		return append(dst, k.words[id]...)
	}
	var digits [20]byte
	i := len(digits)
	for n := uint64(id); n > 0 || i == len(digits); n /= 10 {
		i--
		digits[i] = byte('0' + n%10)
	}
	for n := len(digits) - i; n < k.width; n++ {
		dst = append(dst, '0')
	}
	return append(dst, digits[i:]...)
}

// A chooser says which key is next. The sequences (seq, trace) are shared by all threads; the dice are the thread's own.
type chooser interface {
	next(dice *rand.PCG) int64
}

// below gives a number under n without a division. The bias is n/2^64.
func below(dice *rand.PCG, n uint64) uint64 {
	hi, _ := bits.Mul64(dice.Uint64(), n)
	return hi
}

// unit gives a number in [0, 1).
func unit(dice *rand.PCG) float64 { return float64(dice.Uint64()>>11) / (1 << 53) }

type uniform struct{ n uint64 }

func (u uniform) next(dice *rand.PCG) int64 { return int64(below(dice, u.n)) }

// seq goes through the keys in order, again and again.
type seq struct {
	n  int64
	at *atomic.Int64
}

func (s seq) next(*rand.PCG) int64 { return (s.at.Add(1) - 1) % s.n }

// zipf draws k of 1..n with probability proportional to k^-s, exactly, for any s > 0 and without tables (W. Hörmann and
// G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996).
//
//	h(x) = x^-s lies below 1/k^s right of k and above it left of k; H is its integral. Draw u evenly from the area under h
//	between 1/2 and n+1/2, take x = H⁻¹(u), round it to k. The strip of width 1 around k has more area than h(k), since h
//	is convex: accept only the part of area h(k) at its right end. For k = 1 the strip is cut to size beforehand.
type zipf struct {
	s, n        float64
	first, last float64 // H at both ends
}

func newZipf(s float64, n int64) *zipf {
	z := &zipf{s: s, n: float64(n)}
	z.first = z.integral(1.5) - 1
	z.last = z.integral(z.n + 0.5)
	return z
}

func (z *zipf) integral(x float64) float64 {
	if z.s == 1 {
		return math.Log(x)
	}
	return math.Expm1((1-z.s)*math.Log(x)) / (1 - z.s)
}

func (z *zipf) inverse(y float64) float64 {
	if z.s == 1 {
		return math.Exp(y)
	}
	return math.Exp(math.Log1p(y*(1-z.s)) / (1 - z.s))
}

func (z *zipf) next(dice *rand.PCG) int64 {
	for {
		u := z.last + unit(dice)*(z.first-z.last)
		k := min(max(math.Floor(z.inverse(u)+0.5), 1), z.n)
		if u >= z.integral(k+0.5)-math.Pow(k, -z.s) {
			return int64(k) - 1
		}
	}
}

// newChooser reads -dist: uniform, seq, zipf:<s>.
func newChooser(dist string, n int64) (chooser, error) {
	name, arg, _ := strings.Cut(dist, ":")
	switch {
	case n < 1:
		return nil, fmt.Errorf("-keys %d: no keys to choose from", n)
	case name == "uniform":
		return uniform{uint64(n)}, nil
	case name == "seq":
		return seq{n, new(atomic.Int64)}, nil
	case name == "zipf":
		s, err := strconv.ParseFloat(arg, 64)
		if err != nil || s <= 0 || s > 10 {
			return nil, fmt.Errorf("-dist %q: want zipf:<s> with s above 0, for example zipf:0.99", dist)
		}
		return newZipf(s, n), nil
	}
	return nil, fmt.Errorf("-dist %q: want uniform, seq or zipf:<s>", dist)
}
