// Package round has what the rounds in Go share.
package round

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
)

// Args are what the test tells: the server's address, how to speak, and more about that.
func Args() (host, port, way string, more []string) {
	return os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
}

// Must ends the round at an error.
func Must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// Want ends it when something else has come.
func Want(what string, got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		fail("%s: %.200v, want %.200v", what, got, wanted)
	}
}

// Refuses ends it when there is no error.
func Refuses(what string, err error) {
	if err == nil {
		fail("%s: no error", what)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

var stdin = bufio.NewReader(os.Stdin)

// Pass lets the test move the server's clock.
func Pass(seconds int) {
	fmt.Println("pass", seconds)
	_, _ = stdin.ReadString('\n')
}

// Raw has each byte there is.
var Raw = func() (raw []byte) {
	for i := range 256 {
		raw = append(raw, byte(i))
	}
	return raw
}()
