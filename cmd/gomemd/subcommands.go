package main

import (
	"io"
	"path/filepath"
	"slices"

	"github.com/gomemd/gomemd/internal/estimate"
	"github.com/gomemd/gomemd/internal/top"
)

// A command is what gomemd is when its first word says so, in place of a server.
type command struct {
	name, args, help string
	run              func(args []string, stdout, stderr io.Writer) int
}

var subcommands = []command{
	{"top", "HOST:PORT …", "watch memcached servers of any kind in the terminal", top.Run},
	{"estimate", "HOST:PORT", "what a running memcached would need here; it is only read", estimate.Run},
}

// subcommand is the one that the command line names, or nil. Only the first word names one: behind
// options, words mean nothing to memcached, nor to us.
func subcommand(argv []string) *command {
	if len(argv) < 2 || !mayHaveSubcommands(argv[0]) {
		return nil
	}
	i := slices.IndexFunc(subcommands, func(c command) bool { return c.name == argv[1] })
	if i < 0 {
		return nil
	}
	return &subcommands[i]
}

// mayHaveSubcommands is false under memcached's name: there a word more is ignored.
func mayHaveSubcommands(program string) bool { return filepath.Base(program) != "memcached" }
