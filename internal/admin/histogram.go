package admin

import (
	"math"

	dto "github.com/prometheus/client_model/go"

	"github.com/gomemd/gomemd/internal/stats"
)

// Histograms are told in both of Prometheus' forms. The classes that are counted are those of native
// histograms, so nothing is estimated:
//
//	                   class 0             class i
//	stats.Histogram    0 and 1             2^(i-1) < n <= 2^i              schema 0, index i
//	stats.TimesTaken   at most 2^-20 s     2^((i-1)/4-20) < s <= 2^(i/4-20)  schema 2, index i-80
//	native             the zero bucket     a bucket, but for the last class, which has no upper bound
//
// Classic buckets cost a line each in every scrape, so they are for powers of two within the range
// that matters; what is below or above is in the first one, or in none but +Inf.

// powers is a histogram of whole numbers, with classic buckets from 2^from to 2^to.
func powers(h *stats.Histogram, from, to int) *dto.Histogram {
	out := native(h.Counts[:], 0, 0, float64(h.Sum))
	classic(out, h.Counts[:], from, to, 1, func(i int) float64 { return math.Ldexp(1, i) })
	return out
}

// times is a histogram of times, with classic buckets from 4 µs to 4 s.
func times(t *stats.TimesTaken) *dto.Histogram {
	const perOctave, first = 4, 20 // class 0 ends at 2^-20 s
	out := native(t.Counts[:], 2, perOctave*first, t.Sum.Seconds())
	classic(out, t.Counts[:], perOctave*(first-18), perOctave*(first+2), perOctave, func(i int) float64 { return stats.TimeBounds[i] })
	return out
}

// native is the native form.
func native(counts []uint64, schema, offset int32, sum float64) *dto.Histogram {
	var all uint64
	first, last := -1, -1 // classes with something in them, but for class 0
	for i, n := range counts {
		all += n
		if i > 0 && n > 0 {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	threshold := math.Exp2(float64(-offset) / math.Exp2(float64(schema)))
	out := &dto.Histogram{SampleCount: &all, SampleSum: &sum, Schema: &schema, ZeroThreshold: &threshold, ZeroCount: &counts[0]}
	if first < 0 {
		return out
	}
	start, length := int32(first)-offset, uint32(last-first+1)
	out.PositiveSpan = []*dto.BucketSpan{{Offset: &start, Length: &length}}
	before := uint64(0)
	for _, n := range counts[first : last+1] {
		out.PositiveDelta = append(out.PositiveDelta, int64(n-before))
		before = n
	}
	return out
}

// classic adds the classic form: a bucket for every step-th of the classes from..to.
func classic(out *dto.Histogram, counts []uint64, from, to, step int, bound func(class int) float64) {
	var below uint64
	for i, n := range counts[:to+1] {
		below += n
		if i < from || (i-from)%step != 0 {
			continue
		}
		upTo, count := bound(i), below
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &upTo, CumulativeCount: &count})
	}
}
