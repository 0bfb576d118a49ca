// Package conversation reads and plays conversation files: telnet sessions written down, to be held again with any
// server that speaks memcached's protocol. It knows lines and who says them. It knows no command, and it judges
// nothing but whether what is heard is what was written.
//
// # A file
//
//	# cas stores only if nobody has stored since the gets that gave the unique.
//
//	> set motto 5 0 11
//	> carpe diem!
//	< STORED
//	> gets motto
//	< VALUE motto 5 11 {u1}
//	< carpe diem!
//	< END
//
//	bob> cas motto 5 0 4 {u1}
//	bob> vale
//	bob< STORED
//
//	> gets motto
//	< VALUE motto 5 4 {u2}
//	< vale
//	< END
//	(u2 is not u1)
//
// Every line is one of these:
//
//	> text             said: the client sends text and CRLF
//	< text             heard: the server sends text and CRLF, and nothing before it
//	bob> text          said by a second client, with a connection of his own
//	bob< text          heard by him
//	(the server …)     a stage direction, see below
//	# text             a comment; so is an empty line
//
// A connection opens when its client first speaks, and again when he speaks after it has closed. What the last line
// leaves open is closed at the end by the client, who then must hear nothing more and see the server hang up too.
//
// # Turns
//
// A turn is what one client says in lines that follow each other, and the answer: all he hears before somebody speaks
// again. The lines of a turn go out in one write. An empty line, another client or a direction ends a turn. One
// command a turn is best, since a wrong answer then shows the command it belongs to.
//
// # Text
//
//	\r \n \t \\ \{ \}  the usual escapes
//	\x00               any byte
//	{u1}               a hole. Heard for the first time it takes whatever stands there (one byte or more, up to a
//	                   blank or the end of the line) and remembers it; said, or heard again, it is what was remembered
//	{x*1048577}        a run: x, 1048577 times. # within a run is the number of the repetition, from 1:
//	                   {k# *3} is "k1 k2 k3 "
//
// CRLF is added to the text, also when it ends in \r\n already: a value may do that. A single backslash at the end says
// that nothing is to be added. What has been said so far is then sent at once, and what follows goes out in a write of its own:
//
//	> get k\n\         a line that ends in LF alone
//	> set k 0 0 3\r\    a line in two parts, cut within its CRLF
//	> \nabc
//
// Blanks at the end of a line cannot be seen, so they are refused: write \x20.
//
// # Stage directions
//
// They are about the client who spoke or heard last, unless a name stands before them: bob(silence).
//
//	(silence)                  nothing more is heard
//	(the server hangs up)      the connection ends, and nothing is heard before
//	(the client hangs up)      the client closes the connection
//	(half-close)               the client will say no more, and listens on
//	(4s pass)                  time goes by, whole seconds. Only after an answer: a command that is still on its way
//	                           would come before or after the jump as it likes
//	(u2 is not u1)             two remembered texts differ
//	(u2 is more than u1)       two remembered numbers are in this order
//	(in one piece)             what is said next is never cut (see Cut): its answer depends on how it arrives
//	(options: -I 2m -C)        before the first turn: the server has been started with these options
//
// # Where memcached answers otherwise
//
// The lines heard are what gomemd says. Where a memcached says something else, the turn ends with directions that name
// its version; when the server played against is that memcached, they take the place of the whole answer:
//
//	> get
//	< CLIENT_ERROR bad command line format
//	(memcached 1.6.18: ERROR)             its answer, exactly; repeated for an answer of several lines
//	(memcached 1.6.18 says nothing)       or its silence
//	(memcached 1.6.18 hangs up)           or its end, perhaps after lines
//	(memcached 1.6.45 differs: why)       the reason. Without the exact answer beside it, whatever it says is accepted
//	(memcached differs: why)              the same for every version that is not named
//
// # Drafts
//
// Nobody has to guess what memcached says. A draft writes
//
//	> touch k
//	< ?
//
// and a [Player] with Rewrite set, playing against a memcached, puts its answer there. The ? stands for all that
// follows: lines before it are compared as usual, which is the way to keep a hole. Rewriting also adds a direction
// (memcached <version>: …) to every turn that this memcached answers otherwise than written. [Conversation.Text] is
// the file with all that filled in; the diff is there to be read before it is believed.
//
// # Locks
//
// None: a Conversation is read-only while it is played without Rewrite, and a Player plays one at a time.
package conversation
