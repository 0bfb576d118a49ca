// Package protocol is memcached's two protocols, bytes in and bytes out: Parse cuts a line of text into a Request and
// ParsePacket the head of a packet into a Packet; reply.go, binary.go and refusal.go have everything the server can say. It
// knows no socket, no store and no clock, and imports the standard library only.
//
// # Text
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
//	"flush_prefix" SP prefix [SP "noreply"] EOL
//	"verbosity" SP level [SP "noreply"] EOL
//	("mg" | "md" | "ma" | "me") SP key (SP flag)* EOL
//	"ms" SP key SP bytes (SP flag)* EOL block CRLF
//	("version" | "quit" | "mn" | "stats" [SP args]) EOL
//
// Where protocol.txt is silent, memcached's own behaviour is the rule, 1.6.45's where versions differ; the few answers
// that we give otherwise are in DIFFERENCES.md, as is flush_prefix, which memcached does not know. What a newcomer would not guess:
//
//   - Words beyond a command's own are ignored, so noreply is what the last word says, whatever stands before it.
//   - noreply silences refusals too, but only those found after the line was cut into words.
//   - A storage line that is refused after its bytes could be read still owns the block that follows; Request.Block
//     says how much to read past. One whose bytes cannot be read owns nothing: its block is parsed as commands.
//   - A flag of the meta commands is a letter, for some letters with a token right behind it (meta.go).
//   - flags and exptime of the storage commands are read as C's strtoul and strtol read them, all other numbers strictly.
//
// # Packets
//
// binary.go has their picture. What stands between a packet's first 24 bytes and its end, by opcode (q: of its quiet form):
//
//	get 00 q09, getk 0c q0d                            key
//	touch 1c, gat 1d q1e, gatk 23 q24                  exptime 4           key
//	set 01 q11, add 02 q12, replace 03 q13             flags 4, exptime 4  key  value
//	append 0e q19, prepend 0f q1a                                          key  value
//	delete 04 q14                                                          key
//	increment 05 q15, decrement 06 q16                 delta 8, initial 8, exptime 4  key
//	flush 08 q18                                       [delay 4]
//	stat 10                                            [key]
//	noop 0a, version 0b, quit 07 q17, mechanisms 20    nothing
//	auth 21, step 22                                   key: the mechanism  value: its message
//
// What a newcomer would not guess:
//
//   - Quiet commands say nothing of success, and quiet retrievals nothing of a miss. All else they tell.
//   - A unique in a set, an add or a replace makes a cas of it.
//   - Exptimes are unsigned here: none is negative, and so over already. Only that of increment and decrement has a value
//     of its own, 0xffffffff: nothing comes to be.
//   - A packet whose lengths are not those of its opcode is answered, and then the connection ends. One whose opcode is
//     unknown is read past.
package protocol
