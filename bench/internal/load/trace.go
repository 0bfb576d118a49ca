package load

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// A Trace is what a cache was asked for, in that order. A key is its place in Keys.
type Trace struct {
	Keys     []string
	Requests []int32
	sizes    []int32 // of the values, request by request; 0 where none is told
	at       atomic.Int64
}

func (t *Trace) next(*rand.PCG) int64 {
	return int64(t.Requests[(t.at.Add(1)-1)%int64(len(t.Requests))])
}

// sizeOf gives each key the size of its first request.
func (t *Trace) sizeOf() []int32 {
	sizes := make([]int32, len(t.Keys))
	for i := len(t.Requests) - 1; i >= 0; i-- {
		sizes[t.Requests[i]] = t.sizes[i]
	}
	return sizes
}

// TracesNamed are those of a command line, or the usual one.
func TracesNamed(args []string) []string {
	if len(args) == 0 {
		return []string{"zipf:0.8,50000,500000,0.1"}
	}
	return args
}

// ReadTrace reads a file, or makes a trace:
//
//	keys.txt.gz                        one "key" or "key size" a line; may be gzipped
//	zipf:0.9,100000,1000000            of 100,000 keys a million requests, key k with a probability like k^-0.9
//	zipf:0.9,100000,1000000,0.1        the same, with a tenth of the requests for keys that never come again
//
// A trace that is made is the same every time.
func ReadTrace(name string) (t *Trace, err error) {
	if args, ok := strings.CutPrefix(name, "zipf:"); ok {
		t, err = zipfTrace(args)
	} else {
		t, err = readFile(name)
	}
	if err == nil && len(t.Requests) == 0 {
		err = fmt.Errorf("%s: no keys", name)
	}
	return t, err
}

func readFile(name string) (*Trace, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, err
		}
	}
	t := &Trace{}
	known := map[string]int32{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		key, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if key == "" {
			continue
		}
		id, ok := known[key]
		if !ok {
			id = int32(len(t.Keys))
			known[key] = id
			t.Keys = append(t.Keys, key)
		}
		size, _ := strconv.Atoi(strings.TrimSpace(rest))
		t.Requests = append(t.Requests, id)
		t.sizes = append(t.sizes, int32(min(max(size, 0), sizeMax)))
	}
	return t, lines.Err()
}

func zipfTrace(args string) (*Trace, error) {
	bad := fmt.Errorf("zipf:%s: want zipf:<s>,<keys>,<requests>[,<share of keys used once>]", args)
	var n [4]float64
	words := strings.Split(args, ",")
	if len(words) < 3 || len(words) > len(n) {
		return nil, bad
	}
	for i, word := range words {
		var err error
		if n[i], err = strconv.ParseFloat(word, 64); err != nil {
			return nil, bad
		}
	}
	s, keys, requests, once := n[0], int64(n[1]), int(n[2]), n[3]
	const most = 100_000_000
	if s <= 0 || s > 10 || keys < 1 || requests < 1 || keys > most || requests > most || once < 0 || once >= 1 {
		return nil, bad
	}
	dice, z := rand.NewPCG(1, 0x21bf), newZipf(s, keys)
	t := &Trace{Requests: make([]int32, requests), sizes: make([]int32, requests)}
	known := make([]int32, keys) // the key's number, from 1
	fresh := func() int32 {
		t.Keys = append(t.Keys, strconv.Itoa(len(t.Keys)))
		return int32(len(t.Keys))
	}
	for i := range t.Requests {
		if once > 0 && unit(dice) < once {
			t.Requests[i] = fresh() - 1
			continue
		}
		k := &known[z.next(dice)]
		if *k == 0 {
			*k = fresh()
		}
		t.Requests[i] = *k - 1
	}
	return t, nil
}
