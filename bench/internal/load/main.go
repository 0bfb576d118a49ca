package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Main is the program. The line of JSON goes to out, the rest to the terminal.
func Main(name string, args []string, out io.Writer, terminal io.Writer) error {
	var s Spec
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(terminal)
	s.Flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: only options", f.Arg(0))
	}
	timed := false
	f.Visit(func(o *flag.Flag) { timed = timed || o.Name == "time" })
	if s.Ops > 0 && !timed {
		s.Seconds = 10 * time.Minute // a count needs a bound as well, but a wide one
	}
	r, err := Run(s)
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", text)
	r.summary(terminal)
	if r.Errors+r.Lost > 0 {
		return errors.New("there were errors")
	}
	return nil
}

// childArg makes a program that calls Child the load generator.
const childArg = "load"

// Child does not return if this process was started by Self. It is the first thing that main calls.
func Child() {
	if len(os.Args) < 2 || os.Args[1] != childArg {
		return
	}
	if err := Main(childArg, os.Args[2:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Self is this program once more, as the load generator, with the options in args, separated by blanks, and more: a process of
// its own, so that neither its processor time nor its garbage collector is the caller's. It ends with the thread that starts it.
func Self(addr, args string, more ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := append([]string{childArg, "-addr", addr}, strings.Fields(args)...)
	child := exec.Command(path, append(words, more...)...)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return child, nil
}

// RunSelf runs Self and reads its result. Replies that were errors are no error of its.
func RunSelf(addr, args string, more ...string) (r Result, err error) {
	child, err := Self(addr, args, more...)
	if err != nil {
		return r, err
	}
	var said bytes.Buffer
	child.Stderr = &said
	out, ended := child.Output()
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("load: %w; %s", errors.Join(ended, err), said.String())
	}
	return r, nil
}

// Beside runs Self until stop is called: a second load that is there to disturb.
func Beside(addr, args string, more ...string) (stop func(), err error) {
	child, err := Self(addr, args, more...)
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = child.Process.Kill(); _ = child.Wait() }, nil
}
