package compat_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/server"
)

// startGomemd starts a server in this process, with memcached's options. Its clock stands still until a conversation
// lets time pass.
func startGomemd(t *testing.T, options []string) *tcpServer {
	t.Helper()
	opts, err := gomemdOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	clock := expiry.NewClock(time.Now().Unix())
	opts.Listen = []string{"127.0.0.1:0"}
	opts.Clock = clock
	opts.Log = io.Discard // conversations turn verbosity up, too
	srv, err := server.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	pass := func(d time.Duration) {
		clock.Set(clock.Now() + expiry.Instant(d/time.Second))
		srv.Sweep()
	}
	addrs := srv.Addrs()
	return &tcpServer{addr: addrs[0].String(), udp: addrs[len(addrs)-1].String(), name: "gomemd", pass: pass}
}

// gomemdOptions reads those of memcached's options that conversations ask for.
func gomemdOptions(args []string) (opts server.Options, err error) {
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-C":
			opts.DisableCAS = true
			continue
		case "-A":
			opts.EnableShutdown = true
			continue
		case "-X":
			opts.DisableDump = true
			continue
		case "-F":
			opts.DisableFlush = true
			continue
		case "-M":
			opts.DisableEviction = true
			continue
		case "-S":
			opts.SASL, opts.AuthFile = true, passwords
			continue
		case "-Z":
			opts.TLS = cmp.Or(opts.TLS, new(server.TLS))
			continue
		}
		if i++; i == len(args) {
			return opts, fmt.Errorf("%s lacks its value, or is not known here", args[i-1])
		}
		switch args[i-1] {
		case "-Y":
			opts.AuthFile = args[i]
			continue
		case "-U":
			opts.UDP = []string{net.JoinHostPort("127.0.0.1", strings.Replace(args[i], "-1", "0", 1))} // -1: any
			continue
		case "-o":
			if opts.TLS == nil {
				return opts, errors.New("-o is known after -Z alone")
			}
			for option := range strings.SplitSeq(args[i], ",") {
				name, value, _ := strings.Cut(option, "=")
				switch name {
				case "ssl_chain_cert":
					opts.TLS.ChainFile = value
				case "ssl_key":
					opts.TLS.KeyFile = value
				default:
					return opts, fmt.Errorf("-o %s is not known here", name)
				}
			}
			continue
		}
		n, err := size(args[i])
		if err != nil {
			return opts, err
		}
		switch args[i-1] {
		case "-I":
			opts.ItemMax = n
		case "-m":
			opts.MemoryLimit = int64(n) << 20
		case "-R":
			opts.ReqsPerEvent = n
		case "-t":
			opts.Loops = n
		default:
			return opts, fmt.Errorf("%s is not known here", args[i-1])
		}
	}
	return opts, nil
}

// size reads a number that may end in k or m.
func size(text string) (int, error) {
	digits := strings.TrimRight(text, "km")
	n, err := strconv.Atoi(digits)
	switch text[len(digits):] {
	case "k":
		n <<= 10
	case "m":
		n <<= 20
	}
	return n, err
}
