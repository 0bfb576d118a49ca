package load

import (
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const draws = 200_000

// near fails when a count is further from its mean than dice explain: six standard deviations, once in 500 million.
func near(t *testing.T, what string, got int, p float64) {
	t.Helper()
	mean, sd := draws*p, math.Sqrt(draws*p*(1-p))
	if math.Abs(float64(got)-mean) > 6*sd+1 {
		t.Errorf("%s: %d of %d, the formula says %.0f ± %.0f", what, got, draws, mean, sd)
	}
}

func TestZipfIsTheFormula(t *testing.T) {
	const n = 500
	for _, s := range []float64{0.5, 0.99, 1, 1.7} {
		dice := rand.NewPCG(1, 2)
		z := newZipf(s, n)
		seen := make([]int, n)
		for range draws {
			seen[z.next(dice)]++
		}
		total := 0.0
		for k := 1; k <= n; k++ {
			total += math.Pow(float64(k), -s)
		}
		for k := 1; k <= n; k++ {
			near(t, "zipf", seen[k-1], math.Pow(float64(k), -s)/total)
		}
	}
	one := newZipf(0.99, 1)
	if k := one.next(rand.NewPCG(1, 2)); k != 0 {
		t.Errorf("of one key, the %dth", k)
	}
}

func TestUniformReachesAllAlike(t *testing.T) {
	dice := rand.NewPCG(1, 2)
	seen := make([]int, 100)
	for range draws {
		seen[uniform{100}.next(dice)]++
	}
	for _, n := range seen {
		near(t, "uniform", n, 0.01)
	}
}

func TestSizesAreTheFormula(t *testing.T) {
	draw := func(text string) []int {
		z, err := newSizer(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		dice := rand.NewPCG(1, 2)
		sizes := make([]int, draws)
		for i := range sizes {
			if sizes[i] = z.size(dice, 0); sizes[i] > z.most() {
				t.Fatalf("%s: %d, above its own most", text, sizes[i])
			}
		}
		return sizes
	}
	share := func(sizes []int, from, to int) (n int) {
		for _, s := range sizes {
			if s >= from && s <= to {
				n++
			}
		}
		return n
	}
	near(t, "32", share(draw("32"), 32, 32), 1)
	even := draw("10-19")
	near(t, "the first of ten", share(even, 10, 10), 0.1)
	near(t, "the last of ten", share(even, 19, 19), 0.1)
	mix := draw("100:90,5000-5001:10")
	near(t, "90 in 100", share(mix, 100, 100), 0.9)
	near(t, "5 in 100", share(mix, 5001, 5001), 0.05)

	// A log-normal: half below the median, 68.27 % within one sigma, 15.87 % beyond it.
	const median, sigma = 2000, 0.8
	logn := draw("lognormal:2000,0.8")
	near(t, "below the median", share(logn, 0, median-1), 0.5)
	near(t, "above one sigma", share(logn, int(math.Ceil(median*math.Exp(sigma))), 1e6), 0.158655)
	near(t, "below one sigma", share(logn, 0, int(math.Ceil(median*math.Exp(-sigma)))-1), 0.158655)
	near(t, "what is cut comes as the cut", share(draw("lognormal:2000,0.8,2000"), 2000, 2000), 0.5)

	for _, bad := range []string{"", "x", "-1", "5-4", "1:0", "1:2:3", "lognormal:1", "lognormal:0,1", "trace", "999999999"} {
		if _, err := newSizer(bad, nil); err == nil {
			t.Errorf("-size %q passed", bad)
		}
	}
}

func TestKeysHaveOneLength(t *testing.T) {
	k := keyer{prefix: "key:", width: 5}
	for id, want := range map[int64]string{0: "key:00000", 42: "key:00042", 99999: "key:99999", 1234567: "key:1234567"} {
		if got := string(k.append(nil, id)); got != want {
			t.Errorf("%d: %s, want %s", id, got, want)
		}
	}
}

func TestATraceIsReplayedInOrder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace.gz")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(file)
	_, _ = z.Write([]byte("b 100\na\n\nb 200\nc 300\n"))
	_, _ = z.Close(), file.Close()
	tr, err := ReadTrace(name)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for range 6 {
		order = append(order, tr.Keys[tr.next(nil)])
	}
	if want := []string{"b", "a", "b", "c", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
	sizes, err := newSizer("trace", tr)
	if err != nil || sizes.size(nil, 0) != 100 || sizes.size(nil, 1) != 200 || sizes.most() != 300 {
		t.Error("b has 100 bytes, a what is usual, and none more than 300;", err)
	}
}

func TestATraceThatIsMadeIsTheSameEveryTime(t *testing.T) {
	const requests, once = 50_000, 0.2
	first, err := ReadTrace("zipf:0.9,1000,50000,0.2")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := ReadTrace("zipf:0.9,1000,50000,0.2")
	if !slices.Equal(first.Requests, again.Requests) {
		t.Error("two runs differ")
	}
	asked := make([]int, len(first.Keys))
	for _, k := range first.Requests {
		asked[k]++
	}
	single := 0
	for _, n := range asked {
		if n == 1 {
			single++
		}
	}
	if want := requests * once; math.Abs(float64(single)-want) > 0.03*want {
		t.Errorf("%d keys came once, want about %.0f", single, want)
	}
	for _, bad := range []string{"zipf:", "zipf:1,2", "zipf:0,10,10", "zipf:1,10,10,1", "zipf:1,x,10"} {
		if _, err := ReadTrace(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
