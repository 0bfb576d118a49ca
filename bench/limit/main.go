// Command limit fills gomemd and memcached in turn beyond their limits, in ways that have once
// passed them, and looks at the memory, at what is lost and at who waits: a row for each way.
//
//	go run ./bench/limit
//	go run ./bench/limit -only 'without eviction' -memcached /path/to/memcached
//	go run ./bench/limit -quick                  half as much of everything
//
// The cells are those of bench/slow; a refusal for want of memory is counted in a remark and is no
// fault, and "lost" is an item that was stored, that nobody has written to since, and that is not
// there. It fails when gomemd is worse than memcached, when more than -m and 16 MiB of it is
// resident, and, in the rows with a memory file, when the file has more blocks than the limit and a
// sixteenth, or somebody polite has waited for more than 50 ms at the 99.9th percentile.
package main

import (
	"flag"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

func main() {
	load.Child()
	p := pair.Flags(flag.CommandLine)
	t := field.TableFlags(flag.CommandLine, 20*time.Second)
	flag.Parse()
	t.Main("limit", p, rows)
}
