// Command link puts a real link between clients and server: a network namespace of its own, whose
// pair of interfaces has an Ethernet's MTU and a rate limit; and it puts the server into control
// groups that kill whoever takes too much memory. gomemd and memcached take their turns.
//
//	go run ./bench/link                         as root
//	go run ./bench/link -only group -time 20s
//
// 50 clients at the far end of the link send mixed pipelines of gets and sets, of 10 kB to 20 MB,
// for as long as -time says; half of them come by a relay that makes the way 20 ms longer, in each
// direction. A polite client on loopback is watched beside them. Cells and verdicts are those of
// bench/slow, and gomemd must never have more resident than -m and 48 MiB.
//
// Namespace, interfaces and groups have our pid in their names and are removed at the end, also
// when it is broken off; what one that was killed has left, the next removes. No other interface is
// touched. Where something is not permitted the row is listed as not run, with the reason; without
// root none is run, and that is no failure.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
	"github.com/gomemd/gomemd/bench/internal/load"
	"github.com/gomemd/gomemd/bench/internal/pair"
)

func main() {
	load.Child()
	p := pair.Flags(flag.CommandLine)
	t := field.TableFlags(flag.CommandLine, time.Minute)
	flag.Parse()
	if os.Getuid() != 0 {
		fmt.Println("link: not run: only root may make network namespaces and control groups")
		return
	}
	sweepNetworks()
	sweepGroups()
	undo.add(p.Close)
	undo.onSignals()
	t.Main("link", p, rows)
}

// undo is what there is to be taken away.
var undo undoing

// undoing is in the order in which things were made. Each is undone once, by whoever comes first:
// the row that has ended, or a signal.
type undoing struct {
	mu    sync.Mutex
	steps []*step
}

type step struct {
	once sync.Once
	does func()
}

// add gives the function that undoes.
func (u *undoing) add(does func()) func() {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &step{does: does}
	u.steps = append(u.steps, s)
	return func() { s.once.Do(s.does) }
}

func (u *undoing) all() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := len(u.steps) - 1; i >= 0; i-- {
		u.steps[i].once.Do(u.steps[i].does)
	}
}

// onSignals is for being broken off.
func (u *undoing) onSignals() {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-broken
		u.all()
		os.Exit(130)
	}()
}
