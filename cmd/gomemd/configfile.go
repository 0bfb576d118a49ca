package main

import (
	"os"
	"strings"

	"github.com/google/shlex"
)

// read lets the options of a file take effect, in the place where --config stands. The file is Debian's memcached.conf:
//
//	# a comment
//	-m 64            an option, or several; words are split and quoted as by a shell
//	-d               left out, like -h: whoever starts us with this file watches over the process
//	logfile /x       left out, like all that is no option
func (c *config) read(name, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return quit(exFailure, "Could not read the options in %s: %s", file, reasonOf(err))
	}
	args, err := fileOptions(string(text))
	if err != nil {
		return quit(exFailure, "Could not understand the options in %s: %s", file, err)
	}
	for _, a := range args {
		if strings.HasPrefix(a, "--"+configOption) {
			return quit(exFailure, "Could not understand the options in %s: --%s in such a file", file, configOption)
		}
	}
	return c.parse(name, args)
}

// fileOptions are the words of a file that are options and their values.
func fileOptions(text string) (args []string, err error) {
	for line := range strings.Lines(text) {
		words, err := shlex.Split(line)
		if err != nil {
			return nil, err
		}
		if len(words) == 0 || !strings.HasPrefix(words[0], "-") || words[0] == "-d" || words[0] == "-h" {
			continue
		}
		args = append(args, words...)
	}
	return args, nil
}
