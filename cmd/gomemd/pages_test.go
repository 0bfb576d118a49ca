package main

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"
)

// What the libraries of the admin listener and the subcommands have read of the program's file at the
// start is not resident any more once the server serves.
func TestLittleOfTheProgramIsResident(t *testing.T) {
	p := launch(t, nil)
	const most = 9 << 10 // KiB: 10 to 13 without, 4 to 7 with
	var kib int
	for within := time.Now().Add(30 * time.Second); time.Now().Before(within); time.Sleep(10 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(status, []byte("RssFile:"))
		if _, err := fmt.Sscan(string(rest), &kib); err != nil {
			t.Fatal(err)
		}
		if kib < most {
			return
		}
	}
	t.Errorf("%d KiB of files are resident", kib)
}
