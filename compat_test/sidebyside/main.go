// Sidebyside sends the same random commands, classic, meta and of administration, to two servers and tells where their replies differ.
//
//	go run ./compat_test/sidebyside -a "./gomemd -l 127.0.0.1 -p {port}" -b "memcached -l 127.0.0.1 -p {port}" -n 1000000
//
// A server is an address (host:port, or the path of a unix socket) or a command to start; {port} becomes a free port.
// A memcached needs -o no_lru_maintainer,no_lru_crawler (else its threads hold items at moments of their own, and an incr
// then does not write in place), and both servers enough -m that nothing is evicted; -m 16384 costs no more than is used.
//
// The commands are valid and invalid, cut anywhere, one at a time and in long pipelines, over several connections
// with keys of their own. The same seed and number of connections send the same commands.
//
// How one difference is kept from shifting everything after it: behind each command goes a marker, a set and a get
// whose reply holds a number. Whatever stands between two markers is one command's reply. After a difference
// the keys it touched are deleted on both sides; after a lost marker both connections are opened anew.
//
// With -protocol binary the commands are packets of the binary protocol instead, right ones and wrong ones; there a reply is
// known by its opaque, and behind each batch goes a noop in the place of markers. Neither server may have SASL.
//
// At the end of a run with the narrow grammar, where all replies must agree, what stats has counted must agree too. At the
// end of one with the full grammar both servers dump their items, and these must be the same.
//
// Uniques are not compared as numbers, which every server may choose for itself, but as names: where A repeats a
// unique of a key, so must B. A cas command carries to each server the unique that this server gave.
//
// Words: a side is one of the two servers, a reply is what it said to one command, a difference is known when
// known.go lists it with its reason.
//
// Exit status: 0 all replies agree or differ as known.go says, 1 something else differs, 2 the run could not be made.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var (
		opt  options
		a, b string
	)
	flag.StringVar(&a, "a", "", "server A: an address, or a command with {port}")
	flag.StringVar(&b, "b", "", "server B: likewise")
	flag.IntVar(&opt.commands, "n", 100_000, "how many commands")
	flag.Uint64Var(&opt.seed, "seed", 1, "what to begin the random numbers with")
	flag.IntVar(&opt.conns, "conns", 4, "connections to each server, 1 to 16")
	flag.StringVar(&opt.protocol, "protocol", "text", "text or binary")
	flag.StringVar(&opt.grammar, "grammar", "full", "full, or 1.6.18: without what memcached 1.6.18 answers unlike 1.6.45")
	flag.IntVar(&opt.itemMax, "item-max", 1<<20, "the servers' -I in bytes, for values about that size")
	flag.DurationVar(&opt.patience, "patience", 5*time.Second, "how long a server may be silent")
	flag.IntVar(&opt.show, "show", 3, "how many differences of a kind to print in full")
	flag.Parse()

	os.Exit(run(a, b, opt))
}

func run(a, b string, opt options) int {
	if err := opt.check(); err != nil {
		fmt.Fprintln(os.Stderr, "sidebyside:", err)
		return 2
	}
	var sides [2]*peer
	for i, spec := range []string{a, b} {
		s, err := open(spec)
		if err != nil {
			fmt.Fprintf(os.Stderr, "sidebyside: server %c: %v\n", 'A'+i, err)
			return 2
		}
		defer s.stop()
		sides[i] = s
	}
	fmt.Printf("A is %s\nB is %s\n", sides[0], sides[1])
	began := time.Now()
	rep, err := compare(sides, opt, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sidebyside:", err)
		return 2
	}
	fmt.Printf("%d commands in %.1f s, seed %d, protocol %s, grammar %s\n",
		rep.commands, time.Since(began).Seconds(), opt.seed, opt.protocol, opt.grammar)
	rep.summary(os.Stdout)
	if rep.unlisted() > 0 {
		return 1
	}
	return 0
}
