// Package pair is the two servers that are compared, gomemd and a memcached: which they are, how each is started afresh on a
// port of the kernel's choice and ended, and the heading that tells what made the numbers below it.
package pair

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gomemd/gomemd/bench/internal/proc"
)

// A Pair is what the command line named. Kinds[0] is gomemd.
type Pair struct {
	Kinds [2]Kind
	Out   io.Writer // the terminal, and the file of -o
	Temp  string    // a directory for what is in between
	keep  string
	file  *os.File
}

// results is where -o keeps its files, seen from the root of the repository.
const results = "bench/results"

// Flags adds -gomemd, -memcached, -env and -o to a command line.
func Flags(f *flag.FlagSet) *Pair {
	p := &Pair{Out: os.Stdout, Kinds: [2]Kind{{Name: "gomemd"}, {Name: "memcached"}}}
	f.StringVar(&p.Kinds[0].Path, "gomemd", "", "the program to measure (default: it is built from ./cmd/gomemd)")
	f.StringVar(&p.Kinds[1].Path, "memcached", "memcached", "the program to measure it against")
	f.Func("env", "NAME=value for gomemd's environment; may be repeated", func(v string) error {
		p.Kinds[0].Env = append(p.Kinds[0].Env, v)
		return nil
	})
	f.Func("options", "more options for gomemd, such as --pack-hex", func(v string) error {
		p.Kinds[0].options = strings.Fields(v)
		return nil
	})
	f.StringVar(&p.keep, "o", "", "keep the result in this file, under "+results+" if it is a bare name")
	return p
}

// Open builds gomemd if no program was named, and learns the versions. It belongs on the main goroutine, which then stays on
// its thread: children die with the thread that started them, so that who breaks off a run finds no servers left over.
func (p *Pair) Open() (err error) {
	runtime.LockOSThread()
	if p.Temp, err = os.MkdirTemp("", "gomemd-bench"); err != nil {
		return err
	}
	if err := p.Kinds[0].Build(p.Temp); err != nil {
		return err
	}
	for i := range p.Kinds {
		s, err := p.Kinds[i].Start()
		if err != nil {
			return err
		}
		p.Kinds[i].Version = s.version
		s.Stop()
	}
	if p.Kinds[0].Path == p.Kinds[1].Path {
		p.Kinds[0].Name, p.Kinds[1].Name = p.Kinds[1].Name, p.Kinds[1].Name+" again"
	}
	if p.keep == "" {
		return nil
	}
	if !strings.ContainsRune(p.keep, '/') {
		p.keep = filepath.Join(results, p.keep)
	}
	if p.file, err = os.Create(p.keep); err == nil {
		p.Out = io.MultiWriter(os.Stdout, p.file)
	}
	return err
}

// Close leaves nothing behind but the file of -o.
func (p *Pair) Close() {
	_ = os.RemoveAll(p.Temp)
	if p.file != nil {
		_ = p.file.Close()
	}
}

// Heading tells what made the numbers: the command, the versions, the machine and the day.
func (p *Pair) Heading(program string) {
	var uname unix.Utsname
	_ = unix.Uname(&uname)
	fmt.Fprintf(p.Out, "$ %s\n", commandLine(program, os.Args[1:]))
	fmt.Fprintf(p.Out, "%s; %s %s beside %s %s; %s\n", time.Now().Format(time.DateOnly), p.Kinds[0].Name, p.Kinds[0].Version,
		p.Kinds[1].Name, p.Kinds[1].Version, runtime.Version())
	fmt.Fprintf(p.Out, "%d × %s, Linux %s; load average before: %s\n", runtime.NumCPU(), proc.CPU(),
		unix.ByteSliceToString(uname.Release[:]), proc.LoadAverage())
}

// commandLine is what to type to make the numbers again. Of paths only the last part: where somebody keeps programs is not
// the reader's business.
func commandLine(program string, args []string) string {
	words := []string{"go run ./bench/" + program}
	for _, word := range args {
		name, value, isAssigned := strings.Cut(word, "=")
		switch {
		case isAssigned && strings.HasPrefix(name, "-") && filepath.IsAbs(value):
			word = name + "=" + filepath.Base(value)
		case filepath.IsAbs(word):
			word = filepath.Base(word)
		}
		if strings.ContainsAny(word, " |*$()") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
