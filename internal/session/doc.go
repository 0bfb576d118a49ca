// Package session is the conversation with a client, without its socket: bytes in, replies out. It
// knows the protocols and the store, and is where they meet.
//
//	env.go         Env         what all conversations of a server share, and what they ask of the server
//	worker.go      Worker      what the sessions of one event loop share
//	replies.go     Replies     what waits to be written
//	turn.go        turn        how much one client may have done before the others are served
//	session.go     Session     Feed: the states of a conversation
//	commands.go                what commands about items do, however they are asked for and answered
//	text.go, meta.go           the text protocol: input → requests → those → replies
//	binary.go, sasl.go         the binary protocol: input → packets → the same → replies
//	get.go, set.go             multigets, and values, that take several turns
//	long.go        longLine    a multiget whose line comes in pieces
//	handlers.go                which verb is served by what
//	admin.go, tuning.go        what operators ask for
//	dump.go        dump        lists of all items
//	survey.go      survey      what all items hold, by prefix
//	tally.go                   what is counted of requests: sizes, times to live, times taken
//	stats.go, watch.go, say.go what is told of the server
//	insight.go                 which requests are looked at, and what is told of that
//	auth.go        Passwords   who may come in
//	realtime.go, debugtime.go  the clock, and how it is moved in tests
//
// # How it is used
//
// Whoever has the sockets makes a Worker for each event loop, and Inits a Session for each
// connection. When input has come:
//
//	worker.Out.Reset()
//	n, verdict := session.Feed(input)
//	write worker.Out.Parts(); what is not written now is kept by the caller (Rest)
//	worker.EndEvent()
//
// The verdict says whether there is more to do. While replies wait to be written, the session is
// not fed.
//
// # Who holds which bytes
//
// The input is the caller's; what Feed has consumed is never needed again. Replies are the worker's
// until Reset. A session owns nothing between commands; in the middle of one it owns a copy of the
// beginning of a line or packet, of the keys still to be served, or of a small value. What an item's callback
// sees is the store's, until it returns.
//
// # Locks
//
// A worker and its sessions belong to one goroutine at a time. What an Env holds may be used by
// all.
package session
