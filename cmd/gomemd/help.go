package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gomemd/gomemd/server"
)

// follows is the memcached whose behaviour this is.
const (
	follows     = "1.6.45"
	versionLine = "gomemd " + server.Version + " (memcached " + follows + ")"
)

const licensePage = versionLine + `

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.

It is built with gnet and Prometheus' client_golang (Apache License 2.0),
xxhash, automemlimit and bubbletea (MIT License), pflag, protobuf and
golang.org/x/sys (BSD 3-Clause License).
`

// introduction is the first line of -V and -h. Scripts look there for a version and test suites for what they are dealing with,
// so under memcached's name it is memcached's line, to the byte.
func introduction(name string) string {
	if filepath.Base(name) == "memcached" {
		return "memcached " + follows
	}
	return versionLine
}

// helpColumn is where the explanations begin, memcached's column.
const helpColumn = 26

// helpPage is made from the table. Test suites read it to learn what a server can do, by looking for the names of options;
// so an option that is refused is named only if looking for it leads nowhere.
func helpPage(program string) string {
	var b strings.Builder
	fmt.Fprintln(&b, introduction(program))
	for _, o := range options {
		if o.help == "" {
			continue
		}
		name := "-" + o.letter + ", --" + o.long
		switch {
		case o.letter == "" && o.arg == "":
			name = "    --" + o.long
		case o.letter == "":
			name = "    --" + o.long + "=<" + o.arg + ">"
		case o.long == o.letter:
			name = "-" + o.letter + " <" + o.arg + ">"
		case o.arg != "":
			name += "=<" + o.arg + ">"
		}
		margin := strings.Repeat(" ", helpColumn)
		if len(name) < helpColumn {
			name += margin[len(name):]
		} else {
			name += "\n" + margin
		}
		fmt.Fprintln(&b, name+strings.ReplaceAll(o.help, "\n", "\n"+margin))
	}
	if mayHaveSubcommands(program) {
		b.WriteString("\nAs the first word, in place of all options (each has its own --help):\n")
		for _, s := range subcommands {
			fmt.Fprintf(&b, "%-*s%s\n", helpColumn, s.name+" "+s.args, s.help)
		}
	}
	return b.String()
}
