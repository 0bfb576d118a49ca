// Package protocol is memcached's text protocol, words in and words out: Parse cuts a command line into a Request, and
// reply.go and refusal.go have every line the server can say. It knows no socket, no store and no clock, and imports the
// standard library only.
//
// The grammar, on a dozen lines (SP is one or more blanks, never a tab; EOL is LF with an optional CR before it):
//
//	("get" | "gets") (SP key)+ EOL
//	("gat" | "gats") SP exptime (SP key)+ EOL
//	("set" | "add" | "replace" | "append" | "prepend") SP key SP flags SP exptime SP bytes [SP "noreply"] EOL block CRLF
//	"cas" SP key SP flags SP exptime SP bytes SP unique [SP "noreply"] EOL block CRLF
//	"delete" SP key [SP "0"] [SP "noreply"] EOL
//	("incr" | "decr") SP key SP delta [SP "noreply"] EOL
//	"touch" SP key SP exptime [SP "noreply"] EOL
//	"flush_all" [SP delay] [SP "noreply"] EOL
//	"verbosity" SP level [SP "noreply"] EOL
//	("mg" | "md" | "ma" | "me") SP key (SP flag)* EOL
//	"ms" SP key SP bytes (SP flag)* EOL block CRLF
//	("version" | "quit" | "mn" | "stats" [SP args]) EOL
//
// Where protocol.txt is silent, memcached's own behaviour is the rule, 1.6.45's where versions differ; the few answers
// that we give otherwise are in DIFFERENCES.md. What a newcomer would not guess:
//
//   - Words beyond a command's own are ignored, so noreply is what the last word says, whatever stands before it.
//   - noreply silences refusals too, but only those found after the line was cut into words.
//   - A storage line that is refused after its bytes could be read still owns the block that follows; Request.Block
//     says how much to read past. One whose bytes cannot be read owns nothing: its block is parsed as commands.
//   - A flag of the meta commands is a letter, for some letters with a token right behind it (meta.go).
//   - flags and exptime of the storage commands are read as C's strtoul and strtol read them, all other numbers strictly.
package protocol
