// Command load puts a memcached-protocol server on this machine under load and prints how it did: a line of JSON to the
// standard output, a summary for eyes beside it. Package load says how it works and what it measures.
//
//	load -mix get:10,set:1 -size 32 -conns 50                     50 clients that wait for each reply
//	load -mix get -pipeline 20 -conns 20                          clients that send 20 requests at once
//	load -rate 20000 -time 10s                                    20,000 requests a second, whatever happens
//	load -mix aside -dist zipf:0.99 -keys 1000000 -populate 0     a cache in front of something slow
//	load -mix aside -trace keys.txt.gz -size trace                the same, as somebody recorded it
//	load -mix get -reconnect 1                                    a connection for each get
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/gomemd/gomemd/bench/internal/load"
)

func main() {
	err := load.Main("load", os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
