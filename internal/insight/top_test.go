package insight

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Whatever comes in whatever order: a counter never says too little, nor too much by more than it
// owns up to; and who weighs more than his share of the counters has one.
func TestCountersKeepTheirPromise(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var c top
		c.init(16)
		zipf := rand.NewZipf(dice, 1.01+dice.Float64(), 1, 500)
		true, all := map[uint64]uint64{}, uint64(0)
		for range 5000 {
			k, weight := zipf.Uint64(), 1+dice.Uint64N(9)
			true[k] += weight
			all += weight
			c.add(k, fmt.Append(nil, k), weight, 1)
		}
		sum := uint64(0)
		for i := range c.counters {
			n := &c.counters[i]
			sum += n.weight
			if is := true[n.hash]; n.weight < is || n.weight-n.excess > is {
				t.Fatalf("seed %d, key %d: %d, too much by %d at most; it is %d", seed, n.hash, n.weight, n.excess, is)
			}
			if string(n.name()) != fmt.Sprint(n.hash) {
				t.Fatalf("seed %d: key %d is called %q", seed, n.hash, n.name())
			}
			if n.weight < c.least() {
				t.Fatalf("seed %d: a counter of %d, the least is %d", seed, n.weight, c.least())
			}
		}
		if sum != all {
			t.Fatalf("seed %d: the counters sum up to %d of %d", seed, sum, all)
		}
		for k, is := range true {
			if _, ok := c.at[k]; !ok && is > all/16 {
				t.Fatalf("seed %d: key %d has %d of %d, and no counter", seed, k, is, all)
			}
		}
	}
}
