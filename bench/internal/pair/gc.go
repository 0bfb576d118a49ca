package pair

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// GCTrace in a Kind's environment makes the Go runtime tell of its collections: a line each, which costs nothing beside them.
const GCTrace = "GODEBUG=gctrace=1"

// A GC is what the collections of a server cost that is stopped and whose Kind has GCTrace.
type GC struct {
	Collections int
	Share       float64       // of the CPU time that the server used
	LongestStop time.Duration // of the world
}

// GC reads what the runtime said.
func (s *Server) GC() (gc GC) {
	gc, used := parseGC(s.said.String())
	if total := s.spent.User + s.spent.Sys; total > 0 {
		gc.Share = float64(used) / float64(total)
	}
	return gc
}

// Milliseconds of the world stopped, marking and stopped again; and of CPU time, where marking is assist/background/idle.
//
//	gc 4 @0.5s 1%: 0.018+1.3+0.076 ms clock, 0.054+0.35/1.2/3.0+0.23 ms cpu, 4->5->1 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 2 P
var gcLine = regexp.MustCompile(`^gc \d+ @\S+ \d+%: ([\d.]+)\+[\d.]+\+([\d.]+) ms clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu`)

// parseGC counts idle marking as well: the time is the machine's, whoever would not have needed it.
func parseGC(said string) (gc GC, used time.Duration) {
	for line := range strings.Lines(said) {
		m := gcLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		gc.Collections++
		for i, text := range m[1:] {
			ms, _ := strconv.ParseFloat(text, 64) // the expression lets only numbers through
			d := time.Duration(ms * float64(time.Millisecond))
			if i < 2 {
				gc.LongestStop = max(gc.LongestStop, d)
			} else {
				used += d
			}
		}
	}
	return gc, used
}
