package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// A known difference is a kind of command that two generations of server answer differently, with the reason.
// DIFFERENCES.md tells those of gomemd at length. The keys of such a command are in doubt on one of the sides even if
// the replies agree, as they do under noreply.
type known struct {
	reason       string
	newer, older []generation        // of the two servers
	name         *regexp.Regexp      // of the command
	says         func(c string) bool // the command itself; nil: anything
	replies      [2]string           // how the newer and the older server begin; "" is any reply
}

// A generation is what the servers of one behaviour have in common, oldest first.
type generation uint8

const (
	unheardOf generation = iota
	memcached1618
	memcached1645
	gomemd
)

func generationOf(version string) generation {
	switch {
	case strings.Contains(version, "gomemd"):
		return gomemd
	case version == "1.6.18":
		return memcached1618
	case version == "1.6.45":
		return memcached1645
	}
	return unheardOf
}

var (
	justGomemd = []generation{gomemd}
	just1645   = []generation{memcached1645}
	just1618   = []generation{memcached1618}
	since1645  = []generation{gomemd, memcached1645}

	allMemcached = []generation{memcached1645, memcached1618}
)

const (
	badLine = "CLIENT_ERROR bad command line format\r\n"
	usage   = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
)

// knownDifferences: first the accidents of 1.6.45 that gomemd does not copy, then what changed since 1.6.18.
var knownDifferences = []known{
	{
		reason: "1.6.45 refuses leading blanks, older ones and gomemd take them (DIFFERENCES.md: leading blanks)",
		newer:  justGomemd, older: just1645, name: match(`^leading blanks`), replies: [2]string{"", "ERROR\r\n"},
	}, {
		reason: "1.6.45 says an empty line after the refusal of a key in a multiget (DIFFERENCES.md: stray line)",
		newer:  justGomemd, older: just1645, name: match(`^(gets?|gats?): key too long(, half-closed)?$`), replies: [2]string{badLine, badLine + "\r\n"},
	}, {
		reason: "1.6.45 takes the key noreply, last in a refused multiget, for the word (DIFFERENCES.md: stray line)",
		newer:  justGomemd, older: just1645, name: match(`^gets?: key too long noreply(, half-closed)?$`), replies: [2]string{badLine, "\r\n"},
	}, {
		reason: "1.6.45 says an empty line after the refusal of a key in a multiget (DIFFERENCES.md: stray line)",
		newer:  justGomemd, older: just1645, name: match(`^gets?: key too long noreply(, half-closed)?$`), replies: [2]string{badLine, badLine + "\r\n"},
	}, {
		reason: "1.6.45 takes any beginning of a word for the word: stats r resets (DIFFERENCES.md: stats prefixes)",
		newer:  justGomemd, older: just1645, name: match(`^stats r(es?e?)?$`), replies: [2]string{"ERROR\r\n", "RESET\r\n"},
	}, {
		reason: "1.6.45 deletes the key noreply in silence, gomemd says so (DIFFERENCES.md: delete noreply)",
		newer:  justGomemd, older: just1645, name: match(`^delete: noreply alone`), replies: [2]string{"NOT_FOUND\r\n", ""},
	}, {
		reason: "1.6.45 refuses mn before a bare LF (DIFFERENCES.md: mn and a bare LF)",
		newer:  justGomemd, older: just1645, name: match(`^mn and a bare LF`), replies: [2]string{"MN\r\n", badLine},
	}, {
		reason: "1.6.45 deletes whatever follows the key, gomemd refuses as libmemcached's checks demand (DIFFERENCES.md: delete with junk)",
		newer:  justGomemd, older: just1645, name: match(`^delete: junks?$`), replies: [2]string{usage, ""},
	}, {
		reason: "1.6.45 deletes whatever follows the key, gomemd refuses as libmemcached's checks demand (DIFFERENCES.md: delete with junk)",
		newer:  justGomemd, older: just1645, name: match(`^delete: junks? noreply$`), replies: [2]string{"", ""},
	}, {
		reason: "memcached takes nothing beyond 512 kB for a number (DIFFERENCES.md: large numbers)",
		newer:  justGomemd, older: []generation{memcached1645, memcached1618}, name: match(`^incr: any size`), replies: [2]string{"", "CLIENT_ERROR cannot increment"},
	}, {
		reason: "memcached forgets that a key came in base64 where an item comes to be by mg, md, ma or append (DIFFERENCES.md: mg with b and k)",
		newer:  justGomemd, older: just1645, name: match(`^m[gsad]: base64 and k|^me: base64`),
	}, {
		reason: "memcached does what flags before a long opaque ask for, and ma counts, before it refuses (DIFFERENCES.md: an opaque that is too long)",
		newer:  justGomemd, older: just1645, name: match(`^m[gsda].*: opaque too long`),
	}, {
		reason: "1.6.45 gives T and E of a number that gets longer to the item that is given up (DIFFERENCES.md: ma with T or E)",
		newer:  justGomemd, older: just1645, name: match(`^ma.*: T or E`),
	}, {
		reason: "1.6.18 ends a line at a NUL",
		newer:  since1645, older: just1618, says: func(c string) bool { return strings.Contains(lineOf(c), "\x00") },
	}, {
		reason: "1.6.18 says ERROR where words are missing, since 1.6.40 it is a CLIENT_ERROR",
		newer:  since1645, older: just1618, name: match(`: (too few words|no key|nothing|no unique)|^verbosity ( noreply)?$`),
	}, {
		reason: "1.6.18 reads the value of a refused storage command as commands, since 1.6.40 it is swallowed",
		newer:  since1645, older: just1618, name: match(`^(set|add|replace|append|prepend|cas)(: .*)? ?(bad flags|bad exptime|bad unique|key too long|set)|^long line: set`),
	}, {
		reason: "1.6.18 refuses storage commands of more than 8 words, and others of more than they need",
		newer:  since1645, older: just1618, name: match(`too many words|^verbosity 0 0 0|^flush_all x y z|^delete: junks`),
	}, {
		reason: "1.6.18 refuses a second word that nobody needs",
		newer:  since1645, older: just1618, name: match(`^(incr|decr|touch|cas)`), says: func(c string) bool { return len(strings.Fields(lineOf(c))) > 4 },
	}, {
		reason: "1.6.18 reads numbers as strtol does: blanks, signs, any number of digits, and cut to 32 bits",
		newer:  since1645, older: just1618, name: match(`bad length|bad delta|^touch|^gats?|^flush_all [-+0-9x.]|^verbosity [-+0-9x]`),
	}, {
		reason: "1.6.18 refuses exptimes beyond 64 bits and then does not swallow the value",
		newer:  since1645, older: just1618, name: match(`^(set|add|replace|append|prepend|cas)`), says: func(c string) bool { return hugeExptime.MatchString(lineOf(c)) },
	}, {
		reason: "1.6.18 answers unknown words even before noreply",
		newer:  since1645, older: just1618, name: match(`unknown word noreply`),
	}, {
		reason: "1.6.18 says ERROR to lines of less than two letters, since 1.6.40 it is a CLIENT_ERROR",
		newer:  since1645, older: just1618, name: match(`^short line|^mn and a bare LF|^blanks|bad data chunk`),
	}, {
		reason: "1.6.45 refuses leading blanks, older ones take them",
		newer:  just1645, older: just1618, name: match(`^leading blanks`),
	}, {
		reason: "1.6.18 refuses delete with anything but 0 and noreply, 1.6.45 takes it",
		newer:  just1645, older: just1618, name: match(`^delete: (junk|noreply alone)`),
	}, {
		reason: "1.6.45 takes any beginning of a word for the word: stats r resets",
		newer:  just1645, older: just1618, name: match(`^stats r(es?e?)?$`),
	}, {
		reason: "1.6.45 says an empty line after the refusal of a key in a multiget",
		newer:  just1645, older: just1618, name: match(`key too long`),
	}, {
		reason: "1.6.18 hangs up on HTTP/ even as the only word",
		newer:  since1645, older: just1618, name: match(`^almost HTTP`),
	}, {
		reason: "1.6.18 keeps noreply of a refused storage command, since 1.6.40 what does not parse is answered",
		newer:  since1645, older: just1618, name: match(`: .* noreply$`),
	}, {
		reason: "1.6.18 says of numbers of 2^63 and more that they are none if there is a minus sign in the memory behind",
		newer:  since1645, older: just1618, name: match(`^(incr|decr)`),
	},
}

// knownPacketDifferences are those of the binary protocol. There a reply begins with its status.
var knownPacketDifferences = []known{
	{
		reason: "memcached takes key and extras of an unknown packet off twice, loses count and hangs up, gomemd answers and goes on",
		newer:  justGomemd, older: allMemcached, name: match(`^unknown: key`), replies: [2]string{"unknown: opcode", ""},
	}, {
		reason: "memcached takes the value behind a touch or a gat for the next packet, gomemd refuses it as it does that of a get",
		newer:  justGomemd, older: allMemcached, name: match(`^(touch|gatk?q?): (value|body that does not come)$`),
		replies: [2]string{"invalid: ", ""},
	}, {
		reason: "memcached resets the connection at a key that is longer than its buffer, gomemd answers first",
		newer:  justGomemd, older: allMemcached, name: match(`: key too long for a buffer$`), replies: [2]string{"invalid: ", ""},
	}, {
		reason: "1.6.18 waits for bodies that nobody takes",
		newer:  since1645, older: just1618, name: match(`: body above all bounds$`), replies: [2]string{"invalid: ", ""},
	}, {
		reason: "1.6.18 says of numbers of 2^63 and more that they are none if there is a minus sign in the memory behind",
		newer:  since1645, older: just1618, name: match(`^(incr|decr)q?( cas)?$`), replies: [2]string{"", "no number: "},
	},
}

var hugeExptime = regexp.MustCompile(`^ *[a-z]+ +[^ ]+ +[^ ]+ +-?[0-9]{19}`)

func match(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// lineOf is the command without its value.
func lineOf(c string) string {
	line, _, _ := strings.Cut(c, "\n")
	return strings.TrimSuffix(line, "\r")
}

// between says whether the entry is about these two servers, and which of them is the newer.
func (k *known) between(servers [2]*peer) (newer int, ok bool) {
	a, b := generationOf(servers[0].version), generationOf(servers[1].version)
	if a < b {
		a, b, newer = b, a, 1
	}
	return newer, slices.Contains(k.newer, a) && slices.Contains(k.older, b)
}

// about says whether the entry is about this command.
func (k *known) about(c *command) bool {
	return (k.name == nil || k.name.MatchString(c.name)) && (k.says == nil || k.says(string(c.text)))
}

// explains says whether the replies are those that the entry expects.
func (k *known) explains(newer, older []byte) bool {
	return begins(newer, k.replies[0]) && begins(older, k.replies[1])
}

func begins(reply []byte, with string) bool {
	reply = bytes.TrimSuffix(reply, []byte("<closed>")) // of a half-closed connection
	if with == "\r\n" || with == badLine {
		return string(reply) == with
	}
	return strings.HasPrefix(string(reply), with)
}
