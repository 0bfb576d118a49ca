package server

import (
	"errors"
	"strings"
	"testing"
)

// stuck is a log that takes nothing, until the test is over.
type stuck chan struct{}

func (s stuck) Write([]byte) (int, error) {
	<-s
	return 0, errors.New("too late")
}

// A log that takes nothing keeps neither clients nor the end of a server waiting, and what it
// misses is counted.
func TestLogThatTakesNothing(t *testing.T) {
	log := make(stuck)
	defer close(log)
	srv, err := Start(Options{Listen: []string{"127.0.0.1:0"}, Verbosity: 2, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, srv)
	const gets = 10_000
	line := "get " + strings.Repeat("k", 200) + "\r\n"
	for range gets / 100 {
		c.say(strings.Repeat(line, 100))
		c.hear(strings.Repeat("END\r\n", 100))
	}
	if c.stat("log_dropped"); srv.Stats().LogDropped == 0 {
		t.Error("no line is said to be dropped")
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
