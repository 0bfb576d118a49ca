package session

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// optionsOf maps the options in a conversation's head, which are memcached's, to ours.
func optionsOf(args []string) (opts options, err error) {
	for i := 0; i < len(args) && err == nil; i++ {
		value := func() (n int) {
			if i++; i == len(args) {
				err = fmt.Errorf("%s lacks its value", args[i-1])
				return 0
			}
			n, err = size(args[i])
			return n
		}
		switch args[i] {
		case "-Y":
			i++
			opts.AuthFile = filepath.Join("../../compat_test", args[i])
		case "-C":
			opts.DisableCAS = true
		case "-A":
			opts.EnableShutdown = true
		case "-X":
			opts.DisableDump = true
		case "-F":
			opts.DisableFlush = true
		case "-M":
			opts.DisableEviction = true
		case "-I":
			opts.ItemMax = value()
		case "-m":
			opts.MemoryLimit = int64(value()) << 20
		case "-R":
			opts.ReqsPerEvent = value()
		case "-t":
			opts.Loops = value()
		default:
			err = fmt.Errorf("no option %s here", args[i])
		}
	}
	return opts, err
}

// size reads a number with k or m after it.
func size(text string) (int, error) {
	digits := strings.TrimRight(text, "km")
	n, err := strconv.Atoi(digits)
	switch text[len(digits):] {
	case "k":
		n <<= 10
	case "m":
		n <<= 20
	}
	return n, err
}
