package events

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readLog checks that a log consists of the lines "line 0", "line 1 xx" … in their order, but for
// those that are missing where it says so, and gives the number of the line that is due next.
func readLog(t *testing.T, text string, next int) int {
	t.Helper()
	missing := regexp.MustCompile(`^warning: (\d+) lines of the log are missing here, they could not be written in time$`)
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Errorf("it ends with half a line: %q", text[max(0, len(text)-100):])
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := missing.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			next += n
			continue
		}
		if strings.TrimRight(line, " x") != fmt.Sprint("line ", next) {
			t.Fatalf("%q where line %d is due", line, next)
		}
		next++
	}
	return next
}

// written waits until all lines are.
func written(t *testing.T, log *Log) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); log.busy(); log.Flush(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the log is not written")
		}
	}
}

// Whoever writes to the log of a pipe that nobody reads goes on at once. When somebody reads, there
// are whole lines in their order, and where some are missing the log says how many. Nothing else
// needs to be logged for that.
func TestLogDoesNotWaitForItsReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	log := NewLog(w)
	const lines = 100_000 // more than pipe and buffers hold
	for i := range lines {
		fmt.Fprintf(log, "line %d %s\n", i, strings.Repeat("x", i%50)) // of what is left some have room, and some have not
	}
	if log.Dropped() == 0 {
		t.Error("nothing was dropped: this shows nothing")
	}
	log.Flush(10 * time.Millisecond) // in vain, and soon over
	if !log.busy() {
		t.Error("everything was written: this shows nothing")
	}

	var text strings.Builder
	next := 0
	for buf := make([]byte, 1<<16); next < lines; {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buf[:n])
		if s := text.String(); strings.HasSuffix(s, "\n") {
			next = readLog(t, s, 0)
		}
	}
	written(t, log)
	fmt.Fprintf(log, "line %d\n", lines)
	buf := make([]byte, 1<<10)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	readLog(t, string(buf[:n]), lines)
}

// fickle writes as many bytes as it has room for, and fails beyond.
type fickle struct {
	room int
	text strings.Builder
}

var errNoRoom = errors.New("no room")

func (f *fickle) Write(text []byte) (int, error) {
	n := min(len(text), f.room)
	f.room -= n
	f.text.Write(text[:n])
	if n < len(text) {
		return n, errNoRoom
	}
	return n, nil
}

// A disk that is full takes the beginning of a line, or nothing. When it has room again the log
// goes on with whole lines.
func TestLogOnADiskThatIsFull(t *testing.T) {
	for room := range 200 {
		out := &fickle{room: room}
		log := NewLog(out)
		for i := range 10 {
			fmt.Fprintf(log, "line %d\n", i)
			written(t, log)
		}
		before := out.text.String()
		out.room = 1 << 20
		fmt.Fprintf(log, "line %d\n", 10)
		written(t, log)
		after, _ := strings.CutPrefix(out.text.String(), before)
		if before != "" && !strings.HasSuffix(before, "\n") && after != "" && after[0] != '\n' {
			t.Fatalf("room for %d bytes: %q, and then %q", room, before, after)
		}
		if next := readLog(t, before[:strings.LastIndex(before, "\n")+1]+strings.TrimPrefix(after, "\n"), 0); next != 11 {
			t.Fatalf("room for %d bytes: %d lines are accounted for in %q", room, next, out.text.String())
		}
		if room < 70 && log.Dropped() == 0 {
			t.Fatalf("room for %d bytes, and nothing is dropped", room)
		}
	}
}

// Nothing is lost of a log whose reader is there, however fast the lines come, if they fit into the
// buffer.
func TestLogIsWrittenInOrder(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := NewLog(file)
	const lines = 30_000
	for i := range lines {
		fmt.Fprintf(log, "line %d\n", i)
	}
	written(t, log)
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if next := readLog(t, string(text), 0); next != lines || log.Dropped() != 0 {
		t.Errorf("%d lines of %d, %d dropped", next, lines, log.Dropped())
	}
}

// The descriptor of a log is left as it was, blocking or not: it may be another process's too.
func TestLogLeavesItsDescriptorAlone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	flags := func() (flags int) {
		if err := raw.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0) }); err != nil {
			t.Fatal(err)
		}
		return flags
	}
	before := flags()
	log := NewLog(w)
	for i := range 20_000 {
		fmt.Fprintf(log, "line %d\n", i)
	}
	log.Flush(10 * time.Millisecond)
	if after := flags(); after != before {
		t.Errorf("flags %#x were %#x", after, before)
	}
}
