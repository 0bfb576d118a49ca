package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/bench/internal/field"
)

// politeArg makes this program the polite client: a process of its own, so that what the hogs cost
// is not its own.
const politeArg = "polite"

// gap is how long the polite client rests between an answer and the next question.
const gap = 500 * time.Microsecond

// seen is how long the polite client has waited for its answers, in microseconds.
type seen struct {
	P50, P99, Most float64
	Answers        int
	Error          string
}

// child does not return if this process is the polite client.
func child() {
	if len(os.Args) != 4 || os.Args[1] != politeArg {
		return
	}
	length, err := time.ParseDuration(os.Args[3])
	var s seen
	if err == nil {
		err = s.ask(os.Args[2], length)
	}
	if err != nil {
		s.Error = err.Error()
	}
	text, _ := json.Marshal(s)
	fmt.Println(string(text))
	os.Exit(0)
}

// ask gets a value again and again, for as long as that.
func (s *seen) ask(addr string, length time.Duration) error {
	c, err := field.Dial(addr, field.Link{Patience: time.Minute})
	if err != nil {
		return err
	}
	defer c.Close()
	v := field.Value{Key: "polite", Version: 1, Size: 100}
	if err := c.Set(v, 0); err != nil {
		return err
	}
	of := field.Exactly(v)
	of.Miss = true // who flushes takes it along
	var waits field.Waits
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(gap) {
		start := time.Now()
		if err = c.Get("get", of); err != nil {
			break
		}
		waits.Add(time.Since(start))
		s.Answers++
	}
	micros := func(share float64) float64 { return float64(waits.At(share).Nanoseconds()) / 1000 }
	s.P50, s.P99, s.Most = micros(.5), micros(.99), micros(1)
	return err
}

// polite starts the polite client, and waits for what it has seen.
func polite(addr string, length time.Duration) (s seen, err error) {
	path, err := os.Executable()
	if err != nil {
		return s, err
	}
	cmd := exec.Command(path, politeArg, addr, length.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, ended := cmd.Output()
	if err := json.Unmarshal(out, &s); err != nil {
		return s, errors.Join(ended, err)
	}
	return s, nil
}
