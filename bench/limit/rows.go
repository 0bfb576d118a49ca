package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

const (
	limit = 64 // -m of all rows
	spare = 16 // MiB that may be resident beside it
)

var rows = []field.Row{
	{Name: "without eviction: larger and larger values", Args: "-m 64 -M", Does: grow},
	{Name: "without eviction: lists that grow", Args: "-m 64 -M", Does: lists},
	{Name: "without eviction: a deadline for each item", Args: "-m 64 -M", Does: touch},
	{Name: "the same with a memory file, and others grow", Args: "-m 64 -M", Does: kept,
		Before: file},
	{Name: "values of 1 MB, two thirds of the memory", Args: "-m 64", Does: fill(1_000_000, 42)},
	{Name: "values of 4 MB, two thirds of the memory", Args: "-m 64 -I 8m", Does: fill(4_000_000, 10)},
	{Name: "the limit up and down", Args: "-m 64", Does: upAndDown},
	{Name: "the limit up and down, with a memory file", Args: "-m 64", Does: upAndDown, Before: file},
}

// file lets gomemd keep its items in a file, and memcached, which then refuses to change its limit,
// not.
func file(r *field.Run, kind *pair.Kind) (more []string, undo func(), err error) {
	if !r.IsGomemd {
		return nil, func() {}, nil
	}
	dir, err := os.MkdirTemp("/dev/shm", "limit")
	if err != nil {
		return nil, func() {}, field.NotRun("no /dev/shm")
	}
	memoryFile = filepath.Join(dir, "items")
	return []string{"-e", memoryFile}, func() { _, memoryFile = os.RemoveAll(dir), "" }, nil
}

// memoryFile is that of the row that is played, if it has one.
var memoryFile string

// scale is n, or half of it.
func scale(r *field.Run, n int) int {
	if r.Quick {
		return n / 2
	}
	return n
}

// storer stores many values through one connection, a batch at a time.
type storer struct {
	r       *field.Run
	c       *field.Client
	refused int
}

// all sends command for each key from 0 to n, with a value of size bytes, and tells which were done.
func (s *storer) all(command, prefix string, n, size int) (done []bool) {
	done = make([]bool, n)
	value := strings.Repeat("v", size)
	batch := max(1, min(200, 200_000/(size+1)))
	for from := 0; from < n; from += batch {
		to := min(n, from+batch)
		var text strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&text, "%s %s%d 0 0 %d\r\n%s\r\n", command, prefix, i, size, value)
		}
		if err := s.c.Send("%s", text.String()); err != nil {
			s.r.Add(err)
			return done
		}
		for i := from; i < to; i++ {
			line, err := s.c.Line()
			switch {
			case err != nil:
				s.r.Add(err)
				return done
			case line == "STORED":
				done[i] = true
			case strings.HasPrefix(line, "SERVER_ERROR out of memory"), line == "NOT_STORED":
				s.refused++
			default:
				s.r.Add(field.Wrong(line))
			}
		}
	}
	return done
}

// with opens a connection, and looks at the memory when f is done.
func with(r *field.Run, f func(s *storer)) {
	r.With(field.Link{}, func(c *field.Client) {
		s := &storer{r: r, c: c}
		f(s)
		if s.refused > 0 {
			r.Note("%d refused for want of memory", s.refused)
		}
	})
	if use, err := r.Usage(); err == nil && use.Peak > (limit+spare)<<20 {
		r.Short = fmt.Sprintf("%d MiB resident", use.Peak>>20)
	}
}

func grow(r *field.Run) {
	with(r, func(s *storer) {
		n := scale(r, 100_000)
		s.all("set", "k", n, 100)
		for round := range 4 {
			s.all("set", "k", n, 3000*(round+1))
		}
	})
}

func lists(r *field.Run) {
	with(r, func(s *storer) {
		n := scale(r, 200_000)
		s.all("set", "k", n, 10)
		for range 6 {
			s.all("append", "k", n, 100)
		}
	})
}

// expect asks for items that are there, and counts those that are not.
func expect(s *storer, prefix string, there []bool) {
	var keys []int
	ask := func() {
		if len(keys) == 0 {
			return
		}
		text := "get"
		for _, i := range keys {
			text += " " + prefix + strconv.Itoa(i)
		}
		if err := s.c.Send("%s\r\n", text); err != nil {
			s.r.Add(err)
			return
		}
		found := 0
		for {
			line, err := s.c.Line()
			if err != nil {
				s.r.Add(err)
				return
			}
			if line == "END" {
				break
			}
			words := strings.Fields(line)
			if len(words) != 4 || words[0] != "VALUE" {
				s.r.Add(field.Wrong(line))
				return
			}
			size, _ := strconv.Atoi(words[3])
			if _, err := s.c.Skip(size + len("\r\n")); err != nil {
				s.r.Add(err)
				return
			}
			found++
		}
		for range found {
			s.r.Add(nil)
		}
		for range len(keys) - found {
			s.r.Add(field.Lost("an item that nobody has written to"))
		}
		keys = keys[:0]
	}
	for i, is := range there {
		if is {
			if keys = append(keys, i); len(keys) == 100 {
				ask()
			}
		}
	}
	ask()
}

func touch(r *field.Run) {
	with(r, func(s *storer) {
		there := s.all("set", "k", scale(r, 800_000), 100)
		for i := 0; i < len(there); i += 200 {
			to, text := min(len(there), i+200), ""
			for k := i; k < to; k++ {
				text += fmt.Sprintf("touch k%d 10000\r\n", k)
			}
			if s.c.Send("%s", text) != nil {
				break
			}
			for range to - i {
				if line, err := s.c.Line(); err != nil || line != "TOUCHED" && line != "NOT_FOUND" {
					r.Add(errors.Join(err, field.Wrong(line)))
					return
				}
			}
		}
		expect(s, "k", there)
	})
}

func kept(r *field.Run) {
	with(r, func(s *storer) {
		there := s.all("set", "keep", scale(r, 200_000), 100)
		s.all("set", "g", 60_000, 100)
		for _, size := range []int{300, 700, 1500, 3000} {
			s.all("set", "g", 60_000, size)
		}
		expect(s, "keep", there)
	})
}

// fill stores fewer values than fit: none may go.
func fill(size, n int) func(r *field.Run) {
	return func(r *field.Run) {
		with(r, func(s *storer) { expect(s, "k", s.all("set", "k", n, size)) })
	}
}

// upAndDown changes the limit again and again, while somebody stores and somebody polite asks.
func upAndDown(r *field.Run) {
	over := make(chan struct{})
	var others sync.WaitGroup
	var waits field.Waits
	others.Go(func() {
		r.With(field.Link{}, func(c *field.Client) {
			for {
				select {
				case <-over:
					return
				case <-time.After(500 * time.Microsecond):
				}
				start := time.Now()
				if err := c.Send("mn\r\n"); err != nil || c.Expect("MN") != nil {
					r.Add(errors.Join(err, field.Wrong("no MN")))
					return
				}
				waits.Add(time.Since(start))
			}
		})
	})
	most := int64(0)
	r.With(field.Link{}, func(c *field.Client) {
		s := &storer{r: r, c: c}
		for _, megabytes := range []int{256, limit, 512, limit / 2, limit} {
			line, err := r.Ask(fmt.Sprintf("cache_memlimit %d", megabytes))
			if err != nil || line != "OK" {
				r.Add(errors.Join(err, field.Wrong(line)))
				return
			}
			s.all("set", "k", scale(r, 300_000), 900)
			time.Sleep(time.Second)
			if stats, err := r.Stats(); err == nil {
				bytes, _ := strconv.ParseInt(stats["bytes"], 10, 64)
				if most = max(most, bytes*100/int64(megabytes<<20)); most > 100 && r.IsGomemd {
					r.Short = fmt.Sprintf("%d %% of %d MB in use", most, megabytes)
				}
			}
			if blocks := blocks(); blocks > int64(megabytes<<20)*17/16 {
				r.Short = fmt.Sprintf("the file has %d MiB of blocks at %d MB", blocks>>20, megabytes)
			}
		}
	})
	close(over)
	others.Wait()
	p999 := waits.At(0.999)
	r.Note("p99.9 %s", field.Short(p999))
	if p999 > 50*time.Millisecond && (r.Other == nil || p999 > 2*r.Other.P99) && r.IsGomemd {
		r.Short = "somebody polite waited"
	}
}

// blocks is how many bytes of blocks the memory file has.
func blocks() int64 {
	var stat syscall.Stat_t
	if memoryFile == "" || syscall.Stat(memoryFile, &stat) != nil {
		return 0
	}
	return stat.Blocks * 512
}
