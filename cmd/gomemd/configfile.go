package main

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/google/shlex"
)

// read lets the options of a file take effect, in the place where --config stands. The file is Debian's memcached.conf:
//
//	# a comment
//	-m 64            an option, or several; words are split and quoted as by a shell
//	-d               left out, like -h: whoever starts us with this file watches over the process
//	logfile /x       left out, with a warning: the log is standard error
//
// or RHEL's /etc/sysconfig/memcached:
//
//	# a comment
//	PORT="11211"     -p; and so USER is -u, CACHESIZE -m, MAXCONN -c
//	OPTIONS="-M -l 127.0.0.1,::1"
//	CACHESIZE=       as if it were not there
//
// where a value without quotes is the rest of the line, as it is to systemd, up to a comment.
//
// Anything else is refused with its line: who says l 127.0.0.1 must not be served everywhere. A
// byte order mark and the line ends of other systems are no matter.
func (c *config) read(name, file string) error {
	if c.reading {
		return quit(exUsage, "--%s in such a file", configOption)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return quit(exFailure, "Could not read the options in %s: %s", file, reasonOf(err))
	}
	c.reading = true
	defer func() { c.reading = false }()
	n, err := c.understand(name, file, string(text))
	var e exit
	if errors.As(err, &e) {
		return quit(e.code, "%s:%d: %s", file, n, e.text)
	}
	return err
}

// fileLine is a line with words in it.
type fileLine struct {
	number int
	text   string // without blanks around it
	words  []string
}

// assignment is the beginning of a line of sysconfig's.
var assignment = regexp.MustCompile(`^([A-Za-z_]\w*)=[ \t]*`)

// comment is one at the end of a line.
var comment = regexp.MustCompile(`(^|[ \t]+)#.*`)

// understand lets a file's text take effect. With an error comes the line that it is about.
func (c *config) understand(name, file, text string) (number int, err error) {
	var lines []fileLine
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		words, err := shlex.Split(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return number, quit(exUsage, "%s", err)
		}
		if len(words) > 0 {
			lines = append(lines, fileLine{number, strings.TrimSpace(line), words})
		}
	}
	if len(lines) > 0 && assignment.MatchString(lines[0].text) {
		return c.sysconfig(name, lines)
	}
	logfiles := 0
	for _, line := range lines {
		switch first := line.words[0]; {
		case first == "logfile" && len(line.words) == 2:
			if logfiles++; logfiles == 1 {
				c.warn("warning: %s:%d: logfile is ignored, the log is standard error", file, line.number)
			}
			continue
		case assignment.MatchString(first):
			return line.number, quit(exUsage, "%q among lines of options", first)
		}
		if err := c.fileOptions(name, line.words); err != nil {
			return line.number, err
		}
	}
	return 0, nil
}

// sysconfigNames are what RHEL's unit makes of its file, in its order: what OPTIONS says comes
// last.
var sysconfigNames = []struct{ name, option string }{
	{"PORT", "-p"}, {"USER", "-u"}, {"CACHESIZE", "-m"}, {"MAXCONN", "-c"}, {"OPTIONS", ""},
}

// sysconfig takes lines of NAME="value". Of two with one name the later counts. An empty value is
// none.
func (c *config) sysconfig(name string, lines []fileLine) (number int, err error) {
	type setting struct {
		number int
		value  string
	}
	given := map[string]setting{}
	for _, line := range lines {
		m := assignment.FindStringSubmatch(line.text)
		switch {
		case m == nil:
			return line.number, quit(exUsage, "%q among lines of NAME=\"value\"", line.words[0])
		case !slices.ContainsFunc(sysconfigNames, func(n struct{ name, option string }) bool { return n.name == m[1] }):
			return line.number, quit(exUsage, "%s is none of PORT, USER, CACHESIZE, MAXCONN and OPTIONS", m[1])
		}
		value := line.text[len(m[0]):]
		if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
			words, err := shlex.Split(value)
			if err != nil {
				return line.number, quit(exUsage, "%s", err)
			}
			if len(words) > 1 {
				return line.number, quit(exUsage, "%q after the value of %s, which ends with its quotes", words[1], m[1])
			}
			value = words[0]
		} else {
			value = comment.ReplaceAllString(value, "")
		}
		given[m[1]] = setting{line.number, value}
	}
	for _, n := range sysconfigNames {
		s := given[n.name]
		if s.value == "" {
			continue
		}
		words := []string{n.option, s.value}
		if n.option == "" {
			if words, err = shlex.Split(s.value); err != nil {
				return s.number, quit(exUsage, "%s", err)
			}
		}
		if err := c.fileOptions(name, words); err != nil {
			return s.number, err
		}
	}
	return 0, nil
}

// fileOptions lets the words of a line take effect, all of which have to be options and their
// values.
func (c *config) fileOptions(name string, words []string) error {
	for len(words) > 0 && (words[0] == "-d" || words[0] == "-h") {
		words = words[1:]
	}
	daemon := c.daemon
	rest, err := c.parse(name, words)
	c.daemon = daemon
	if err == nil && len(rest) > 0 {
		return quit(exUsage, "%q is no option", rest[0])
	}
	return err
}
