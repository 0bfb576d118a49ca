// Hitratio replays traces on a store in this process, look aside: a get, and after a miss a set. It compares with what
// memcached was measured to reach on the same traces (bench/replay, one JSON line a run):
//
//	go run ./bench/hitratio -traces DIR -baseline memcached.jsonl        # values and -m as in the baseline
//	go run ./bench/hitratio -traces DIR -baseline memcached.jsonl -v 32  # the bytes memcached's items took, values of 32
//
// With -v the store gets as many bytes as memcached's slab chunks need for the number of items that it held, and pays
// for segments, index and table from them. A trace is text, gzipped: a key a line, perhaps with more after a blank.
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/storage"
)

var (
	traces   = flag.String("traces", ".", "directory of NAME.txt.gz")
	baseline = flag.String("baseline", "", "memcached's results, a JSON object a line")
	size     = flag.Int("v", 0, "value bytes, at equal memory (0: value and -m of the baseline)")
	least    = flag.Int("least", 600, "with -v, skip runs in which memcached held fewer items: they measure the segments' ends")
)

// run is a line of the baseline.
type run struct {
	Trace string  `json:"trace"`
	Items int     `json:"curr_items"`
	Ratio float64 `json:"hit_ratio"`
	Value int     `json:"v"`
	Limit string  `json:"m_mb"`
}

func main() {
	flag.Parse()
	f, err := os.Open(*baseline)
	if err != nil {
		log.Fatal(err)
	}
	var sum, worst float64
	runs := 0
	fmt.Printf("%-14s %8s %10s %10s %8s %8s\n", "trace", "items", "memcached", "gomemd", "gain", "items")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r run
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatal(err)
		}
		keys := read(filepath.Join(*traces, r.Trace+".txt.gz"))
		if keys == nil || *size != 0 && r.Items < *least {
			continue
		}
		ratio, items := replay(r, keys)
		gain := 100 * (ratio - r.Ratio)
		fmt.Printf("%-14s %8d %10.2f %10.2f %+8.2f %8d\n", r.Trace, r.Items, 100*r.Ratio, 100*ratio, gain, items)
		sum += gain
		worst = min(worst, gain)
		runs++
	}
	fmt.Printf("mean %+.2f points over %d runs, worst %+.2f\n", sum/float64(runs), runs, worst)
}

// read gives the keys of a trace, or nil if there is no such file.
func read(path string) [][]byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		log.Fatal(err)
	}
	var keys [][]byte
	for lines := bufio.NewScanner(z); lines.Scan(); {
		key, _, _ := strings.Cut(lines.Text(), " ")
		keys = append(keys, []byte("trace:"+key))
	}
	return keys
}

// chunk is memcached's slab chunk for an item: classes a quarter apart, from 96 bytes.
func chunk(n int) int {
	c := 96
	for c < n {
		c = (c*5/4 + 7) &^ 7
	}
	return c
}

func replay(r run, keys [][]byte) (ratio float64, items uint64) {
	opts := storage.Options{}
	value := make([]byte, r.Value)
	if *size == 0 {
		mb, err := strconv.Atoi(r.Limit)
		if err != nil {
			log.Fatal(err)
		}
		opts.MemoryLimit = int64(mb) << 20
	} else {
		value = value[:0]
		value = append(value, make([]byte, *size)...)
		opts.MemoryLimit = int64(r.Items * chunk(storage.Charge(len("trace:")+8, 0, *size, true)))
		opts.Shards = 1
		opts.SegmentSize = 1 << (bits.Len64(uint64(max(opts.MemoryLimit/160, int64(4*(*size+30))))) - 1)
		opts.ItemMax = 64 << 10
	}
	st, err := storage.Open(opts, expiry.NewClock(1_700_000_000))
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	hits := 0
	for _, key := range keys {
		h := storage.Hash(key)
		if st.View(h, key, func(*storage.Item) {}) {
			hits++
		} else if st.Put(h, storage.Set, &storage.Item{Key: key, Value: value}) != storage.Stored {
			log.Fatalf("%s: not stored", key)
		}
	}
	return float64(hits) / float64(len(keys)), st.Stats().CurrItems
}
