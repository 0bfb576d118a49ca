package main

import (
	"context"
	"flag"
	"net"
	"os"
	"os/signal"

	"github.com/gomemd/gomemd/server"
)

// serveEnv in the environment makes this program a server.
const serveEnv = "GOMEMD_BENCH_CORES_SERVES"

// serve is a server with as many event loops as -t says, until it is interrupted. It understands
// what package pair says to servers.
func serve(args []string) error {
	f := flag.NewFlagSet("loops", flag.ContinueOnError)
	host, port := f.String("l", "127.0.0.1", ""), f.String("p", "11211", "")
	memory := f.Int64("m", 64, "MiB")
	o := server.Options{OwnProcess: true}
	f.IntVar(&o.Loops, "t", 4, "")
	f.IntVar(&o.MaxConns, "c", 1024, "")
	f.Int("U", 0, "not understood") // there are no datagrams
	f.String("u", "", "not understood")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.Listen, o.MemoryLimit = []string{net.JoinHostPort(*host, *port)}, *memory<<20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return server.Run(ctx, o)
}
