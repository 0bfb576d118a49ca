package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// sayMuch has a server at -vv log 20,000 lines, many more than pipe and buffers hold, and answer as
// many sets.
func sayMuch(t *testing.T, c *talk) {
	t.Helper()
	const sets = 20_000
	wrote := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(c, 1<<16)
		for i := range sets {
			fmt.Fprintf(out, "set key-%05d-%s 0 0 1\r\nx\r\n", i, strings.Repeat("k", 200))
		}
		wrote <- out.Flush()
	}()
	for range sets {
		if line, err := c.r.ReadString('\n'); line != "STORED\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

// logIsAPipe has a server log to a pipe, whose other end is given.
func logIsAPipe(t *testing.T) (*os.File, launchOption) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	t.Cleanup(func() { _ = w.Close() })
	return r, func(p *process) { p.Stderr = w }
}

// However little the log takes, clients are served and signals are heard.
func TestLogHoldsNobodyUp(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T) launchOption{
		"nobody reads it": func(t *testing.T) launchOption { _, o := logIsAPipe(t); return o },
		"its reader is gone": func(t *testing.T) launchOption {
			r, o := logIsAPipe(t)
			_ = r.Close()
			return o
		},
		"the disk is full": func(*testing.T) launchOption { return after("exec 2>/dev/full") },
		"it is closed":     func(*testing.T) launchOption { return after("exec 2>&-") },
	} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1} {
			t.Run(fmt.Sprint(name, ", ", sig), func(t *testing.T) {
				t.Parallel()
				p := launch(t, with("-vv"), prepare(t))
				c := p.talk(t)
				sayMuch(t, c)
				c.ask("mn\r\n", "MN\r\n")
				p.endsOn(t, sig)
			})
		}
	}
}

// When somebody reads after all, he finds whole lines in their order, and how many are missing
// where they are; so much is told by the statistics, too.
func TestLogSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r, pipe := logIsAPipe(t)
	p := launch(t, with("-vv"), pipe)
	_ = p.Stderr.(*os.File).Close() // ours: the server has its own
	c := p.talk(t)
	sayMuch(t, c)
	dropped, err := strconv.Atoi(answer(t, "tcp", p.tcp(), "stats gomemd", regexp.MustCompile(`STAT log_dropped (\d+)\r\n`)))
	if err != nil || dropped == 0 {
		t.Errorf("%d lines are said to be dropped (%v)", dropped, err)
	}

	var mu sync.Mutex
	var read strings.Builder
	said := func() string {
		mu.Lock()
		defer mu.Unlock()
		return read.String()
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		for buf := make([]byte, 1<<16); ; {
			n, err := r.Read(buf)
			mu.Lock()
			read.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	p.waitFor(t, "the log to say what is missing", func() bool { return strings.Contains(said(), "are missing here, ") })
	c.ask("set after 0 0 1\r\nx\r\n", "STORED\r\n")
	p.endsOn(t, syscall.SIGTERM)
	<-end

	set := regexp.MustCompile(`^<\d+ set key-(\d+)-k{200} 0 0 1\n$`)
	missing := regexp.MustCompile(`^warning: (\d+) lines of the log are missing here, they could not be written in time\n$`)
	next, misses, rest := 0, 0, ""
	for line := range strings.Lines(said()) {
		if m := set.FindStringSubmatch(line); m != nil {
			if n, _ := strconv.Atoi(m[1]); n != next {
				t.Fatalf("key %d where %d is due", n, next)
			}
			next++
		} else if m := missing.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			next += n
			misses += n
		} else {
			rest += line
		}
	}
	// What asked for the statistics, and the shutting down of its connection, may be among what is
	// missing.
	if misses < dropped || next < 20_000 {
		t.Errorf("%d lines are missing, %d were dropped; %d are accounted for", misses, dropped, next)
	}
	if !regexp.MustCompile(`<\d+ set after 0 0 1\nExiting normally\n$`).MatchString(rest) {
		t.Errorf("and it ends with %q", rest[max(0, len(rest)-500):])
	}
}

// What is wrong with a start is said before it ends, even into a pipe.
func TestStartErrorIsWritten(t *testing.T) {
	t.Parallel()
	r, pipe := logIsAPipe(t)
	p := prepare(t, gomemd(t), with("-m", "abc"), pipe)
	_ = p.Run()
	_ = p.Stderr.(*os.File).Close()
	text, err := io.ReadAll(r)
	if code := p.ProcessState.ExitCode(); code != exUsage || !strings.HasPrefix(string(text), "ERROR: Invalid memory limit abc") {
		t.Errorf("exit %d, %q, %v", code, text, err)
	}
}
