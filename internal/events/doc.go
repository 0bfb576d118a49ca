// Package events tells those who watch what happens in a server, a line each, and counts for stats
// detail what is done to keys by their prefixes.
//
//	loop ── Recorder: lines of one read event ──▶ Hub ── to whom they concern ──▶ Watcher's buffer
//	store ── the evicted ──▶ a short list ──┘                                        │ wake
//	                                                              connection ◀───────┘ Take
//
// Nobody waits for a watcher. It has a buffer of its own; when that is full, it misses lines, and
// is told how many before the next one. The package knows no sockets: whoever adds a watcher is
// woken when there are lines, takes them, and sends them.
//
//	hub.go         Hub, Watcher    who watches what, and what waits for them
//	recorder.go    Recorder        one loop's lines: what becomes of the commands it serves
//	prefixes.go    prefixes        the counts of stats detail
//	log.go         Log             the lines of -v, for a reader that may be slow
//
// A Recorder belongs to one loop. The hub has a lock, and the prefixes have one; both are taken
// only while somebody watches or counts. With nobody to tell, a loop knows so from one atomic
// number, which it looks at once a read event.
package events
