// Fill writes workloads to a server that speaks memcached's protocol and tells what it keeps. Standard library only.
//
//	go run ./bench/fill -addr 127.0.0.1:21211 -m 64 k24v32
//	go run ./bench/fill -addr 127.0.0.1:21211 -m 64 -cmd "memcached -u root -l 127.0.0.1 -p 21211 -m 64 -t 2" all
//
// Every workload prints one JSON line. With -cmd a fresh server is started for every workload and ended after it; without
// it the workload runs against the server that listens on -addr. n is chosen so that -factor × -m MiB is written, counting
// key+value+24 bytes an item. The workloads are in workloads.go.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

var (
	addr    = flag.String("addr", "127.0.0.1:11211", "server")
	stAddr  = flag.String("stats", "", "address that answers 'stats' (default -addr)")
	memMB   = flag.Int("m", 64, "the server's memory limit in MiB (decides how much is written)")
	factor  = flag.Float64("factor", 3, "over-fill factor")
	pid     = flag.Int("pid", 0, "server pid for RSS (default: 'pid' of stats, or the child of -cmd)")
	cmdS    = flag.String("cmd", "", "start this server fresh for every workload (split at blanks)")
	conns   = flag.Int("c", 2, "connections")
	label   = flag.String("label", "", "copied into the JSON")
	probeN  = flag.Int("probe", 20000, "keys sampled by a probe (0: none)")
	pollS   = flag.Int("poll", 30, "seconds to poll in ttl workloads")
	slowS   = flag.Int("slow", 180, "seconds of the second phase of sizeshiftslow")
	batch   = flag.Int("batch", 64, "pipelined sets per round trip")
	seed    = flag.Int64("seed", 1, "seed")
	waitSet = flag.Duration("settle", 1500*time.Millisecond, "wait before stats are read (lazy stat threads)")
)

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(2)
	names := flag.Args()
	if len(names) == 1 && names[0] == "all" {
		names = strings.Fields(all)
	}
	for _, name := range names {
		p, stop := start()
		b, err := json.Marshal(measure(name, p))
		must(err)
		fmt.Println(string(b))
		stop()
	}
}

// start begins the server of -cmd, if there is one, and gives its pid.
func start() (pid int, stop func()) {
	if *cmdS == "" {
		return 0, func() {}
	}
	if c, err := dial(*addr); err == nil {
		c.c.Close()
		fatal("something already listens on", *addr)
	}
	f := strings.Fields(*cmdS)
	child = exec.Command(f[0], f[1:]...)
	must(child.Start())
	for i := 0; ; i++ {
		c, err := dial(*addr)
		if err == nil {
			c.c.Close()
			break
		}
		if i > 100 {
			must(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	return child.Process.Pid, func() {
		_ = child.Process.Kill()
		_ = child.Wait()
		time.Sleep(200 * time.Millisecond)
	}
}

func round(f float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(f*p) / p
}
