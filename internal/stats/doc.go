// Package stats has the numbers that a server keeps of itself: how they are counted, what they are
// at one moment, and how they are printed.
//
//	counters.go    Counters     what one event loop counts while it serves
//	snapshot.go    Snapshot     everything that can be told, at one moment: plain values
//	insight.go     Insight      what is found out by looking at some of what is served
//	prefixes.go    Prefix       what is held, by prefix
//	memory.go      Memory       where the memory of the process is
//	text.go        Append…      the STAT lines of `stats` and its kin, made of a Snapshot alone
//
// It knows neither connections nor sessions: who has numbers fills a Snapshot in, and whoever wants
// to print them in another form needs nothing but the Snapshot.
//
// There are no locks: a loop adds to its own Counters and publishes them with atomic operations,
// and anybody may sum up what has been published.
package stats
