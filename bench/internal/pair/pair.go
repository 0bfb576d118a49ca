// Package pair is the servers that are compared, gomemd and a memcached, and where a program asks for them further peers: which
// they are, how each is started afresh on a port of the kernel's choice and ended, with TLS if need be, and the heading that
// tells what made the numbers below it.
package pair

import (
	"errors"
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

// A Pair is what the command line named. Kinds[0] is gomemd, Kinds[1] memcached, and those of -peer follow.
type Pair struct {
	Kinds []Kind
	Out   io.Writer // the terminal, and the file of -o
	Temp  string    // a directory for what is in between
	keep  string
	file  *os.File

	serverCPUs, clientCPUs []int // none: all
}

// results is where -o keeps its files, seen from the root of the repository.
const results = "bench/results"

// Flags adds -gomemd, -memcached, -env and -o to a command line.
func Flags(f *flag.FlagSet) *Pair {
	p := &Pair{Out: os.Stdout, Kinds: []Kind{{Name: "gomemd"}, {Name: "memcached"}}}
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

// Peers adds -peer to a command line.
func (p *Pair) Peers(f *flag.FlagSet) {
	f.Func("peer", "name=command: a further server to measure gomemd against; may be repeated. A command without {port} takes\n"+
		"memcached's options. One with it is taken as it is, but for {port}, {threads}, {memory} (MiB) and {conns}; what\n"+
		"follows {tls} in it is for rows with TLS alone and has {cert} and {key}", func(v string) error {
		name, command, _ := strings.Cut(v, "=")
		k := Kind{Name: name}
		if strings.Contains(command, "{port}") {
			k.command = strings.Fields(command)
		} else if words := strings.Fields(command); len(words) > 0 {
			k.Path, k.options = words[0], words[1:]
		}
		if name == "" || command == "" {
			return errors.New("want name=command")
		}
		for i := range p.Kinds {
			if p.Kinds[i].Name == name {
				return fmt.Errorf("there are two servers called %s", name)
			}
		}
		p.Kinds = append(p.Kinds, k)
		return nil
	})
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
	// This thread starts the clients.
	if len(p.clientCPUs) > 0 {
		if err := stay(p.clientCPUs); err != nil {
			return err
		}
	}
	for i := range p.Kinds {
		p.Kinds[i].cpus = p.serverCPUs
		s, err := p.Kinds[i].StartAs(usual)
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
	var names []string
	for i := range p.Kinds {
		names = append(names, p.Kinds[i].Name+" "+p.Kinds[i].Version)
	}
	fmt.Fprintf(p.Out, "%s; %s beside %s; %s\n", time.Now().Format(time.DateOnly), names[0], strings.Join(names[1:], ", "), runtime.Version())
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
		case isAssigned && (strings.HasPrefix(name, "-") || filepath.IsAbs(strings.Fields(value + " .")[0])):
			var parts []string
			for part := range strings.FieldsSeq(value) {
				if filepath.IsAbs(part) {
					part = filepath.Base(part)
				}
				parts = append(parts, part)
			}
			word = name + "=" + strings.Join(parts, " ")
		case filepath.IsAbs(word):
			word = filepath.Base(word)
		}
		if word == "" || strings.ContainsAny(word, " |*$(){}") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
