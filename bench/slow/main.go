// Command slow tries gomemd and memcached in turn with clients whose links are slow, whose values
// are large, and who stop, stand still or leave in the middle of them: a row for each scenario.
//
//	go run ./bench/slow
//	go run ./bench/slow -only 'half-close|trickle' -memcached /path/to/memcached
//	go run ./bench/slow -quick                  less of what takes long
//	go run ./bench/slow -large                  with a value of 1 GiB: 5 GB of memory are wanted
//
// A slow link is a small receive buffer and a client that reads and writes at a pace. Every byte
// that is read is compared with what was stored; the cells tell what was
//
//	served      as it should be
//	cut         the connection ended before the answer did
//	refused     answered with an ERROR
//	wrong       another byte, key, version or order
//	lost        a miss, where there was room and nobody took the value away
//	late        right, but after the time that the row allows
//	stuck       20 seconds without a byte, unless the row says otherwise
//
// and the most memory that was resident. It fails when gomemd is worse than memcached: more of any
// of these, anything wrong, an end of its own, or what the row itself asks for. Where both leave
// something to be wished the verdict is "as memcached".
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
	large := flag.Bool("large", false, "with the row that needs 5 GB of memory")
	flag.Parse()
	if *large {
		rows = append(rows, largeRow)
	}
	t.Main("slow", p, rows)
}
