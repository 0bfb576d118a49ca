// Package pieces is the frame of a program that looks for long, in as many pieces as one likes: what each has seen is added to
// a tally, and the tally is kept in a file between them.
//
//	-state, read ──▶ enough? ──▶ gomemd, built ──▶ the piece ──▶ -state, written ──▶ report
//
// A piece that fails, other than by finding something wrong, leaves the file as it was.
package pieces

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A Tally adds up what the pieces have seen: a pointer, whose exported fields are what is kept.
type Tally interface {
	Enough() bool  // nothing is left to run
	Report() error // an error if what was seen must not be
}

// Main adds -gomemd, -state and -seed to the program's own flags, and runs one piece. It belongs on the main goroutine.
func Main(name string, sum Tally, piece func(gomemd pair.Kind, seed uint64) error) {
	gomemd := pair.Kind{Name: "gomemd"}
	flag.StringVar(&gomemd.Path, "gomemd", "", "the program (default: built from ./cmd/gomemd)")
	state := flag.String("state", "", "file that adds up the pieces")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of everything that is drawn")
	flag.Parse()
	err := run(*state, sum, func() error {
		runtime.LockOSThread() // the server dies with the thread that started it
		temp, err := os.MkdirTemp("", name)
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := gomemd.Build(temp); err != nil {
			return err
		}
		fmt.Printf("seed %d\n", *seed)
		return piece(gomemd, *seed)
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func run(state string, sum Tally, piece func() error) error {
	if state != "" {
		text, err := os.ReadFile(state)
		if err == nil {
			err = json.Unmarshal(text, sum)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if sum.Enough() {
		fmt.Println("nothing left to run")
		return sum.Report()
	}
	if err := piece(); err != nil {
		return err
	}
	if state != "" {
		text, _ := json.MarshalIndent(sum, "", "\t")
		if err := os.WriteFile(state, text, 0o644); err != nil {
			return err
		}
	}
	return sum.Report()
}
