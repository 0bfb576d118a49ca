package events

import (
	"net"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// RecorderBuffer is how many bytes of lines a loop gathers before it hands them on. Source:
// memcached's worker_logbuf_size.
const RecorderBuffer = 64 << 10

// Recorder gathers the lines that one loop has to tell. A read event begins with Look and ends,
// when it has found that somebody watches, with Flush. The calls between are made only when they
// are wanted:
//
//	if r.Watched != 0 { r.Command(…) }
type Recorder struct {
	Watched Kinds // what somebody wants to be told, as Look has found it

	hub   *Hub
	store *storage.Store
	clock *expiry.Clock
	fd    int             // of the connection being served
	seen  storage.Glimpse // what the command being served finds
	text  []byte          // lines that wait to be handed on …
	ends  []lineEnd       // … and where each of them ends
}

// lineEnd is where a line ends, and what it is about.
type lineEnd struct {
	kind Kinds
	end  int
}

// NewRecorder makes the recorder of a loop.
func (h *Hub) NewRecorder(clock *expiry.Clock) Recorder {
	return Recorder{hub: h, store: h.store, clock: clock}
}

// Look finds out what is wanted, and says which connection is served from now on.
func (r *Recorder) Look(fd int) { r.fd, r.Watched = fd, r.hub.Wanted() }

// AboutKeys tells whether somebody wants to hear of what is done to keys.
func (r *Recorder) AboutKeys() bool { return r.Watched&aboutKeys != 0 }

// begin begins a line.
func (r *Recorder) begin(kind string) []byte {
	now := time.Now()
	return protocol.AppendEventHead(r.text, now.Unix(), now.Nanosecond()/1000, r.hub.gid.Add(1), kind)
}

// end ends it.
func (r *Recorder) end(kind Kinds, text []byte) {
	r.text = protocol.AppendEventEnd(text)
	r.ends = append(r.ends, lineEnd{kind, len(r.text)})
	if len(r.text) > RecorderBuffer {
		r.handOn()
	}
}

// handOn gives what was gathered to the watchers.
func (r *Recorder) handOn() {
	r.hub.tell(r)
	r.text, r.ends = r.text[:0], r.ends[:0]
}

// Flush hands on what the read event has to tell, and the evictions that the store has to tell.
func (r *Recorder) Flush() {
	if r.Watched&Evictions != 0 {
		r.hub.lost.Add(r.store.TakeEvictions(r.evicted))
	}
	if len(r.ends) > 0 {
		r.handOn()
	}
	if cap(r.text) > RecorderBuffer && r.Watched == 0 {
		r.text, r.ends = nil, nil
	}
}

// Command is called before a command is served. It tells, or counts by prefix, what is the same for
// all commands with a key. Retrievals tell of each key (Fetched), and values when they are
// complete.
func (r *Recorder) Command(op protocol.Op, hash uint64, key []byte) {
	switch {
	case op.Retrieves():
		return
	case op.Stores():
		if r.Watched&Prefixes != 0 && op != protocol.OpMetaSet {
			r.hub.prefixes.count(key, func(p *prefix) { p.sets++ })
		}
		return
	case op == protocol.OpDelete && r.Watched&Prefixes != 0:
		r.hub.prefixes.count(key, func(p *prefix) { p.deletes++ })
	}
	r.LookUp(hash, key)
}

// Fetched tells of one key of a retrieval, before it is looked up.
func (r *Recorder) Fetched(hash uint64, key []byte) {
	r.LookUp(hash, key)
	if r.Watched&Prefixes != 0 {
		hit := r.seen.State == storage.Present
		r.hub.prefixes.count(key, func(p *prefix) {
			p.gets++
			if hit {
				p.hits++
			}
		})
	}
}

// LookUp tells what a command is going to find. It is also what Deleted wants to know.
func (r *Recorder) LookUp(hash uint64, key []byte) {
	r.seen = r.store.Peek(hash, key)
	if r.Watched&Fetchers == 0 {
		return
	}
	out := protocol.AppendEventKey(r.begin("item_get"), key)
	out = protocol.AppendEventWord(out, "status", lookupTexts[r.seen.State])
	class := int64(0)
	if r.seen.State == storage.Present {
		class = 1
	}
	out = protocol.AppendEventNumber(out, "clsid", class)
	out = protocol.AppendEventNumber(out, "cfd", int64(r.fd))
	r.end(Fetchers, protocol.AppendEventNumber(out, "size", int64(r.seen.Len)))
}

var lookupTexts = [...]string{storage.Absent: "not_found", storage.Present: "found", storage.Flushed: "flushed", storage.Expired: "expired"}

// Stored tells what became of a storage command.
func (r *Recorder) Stored(hash uint64, mode storage.Mode, item *storage.Item, status storage.Status) {
	n, deadline := item.Len(), item.Deadline
	if status == storage.Stored && (mode >= storage.AppendOrSet || mode == storage.Append || mode == storage.Prepend) {
		after := r.store.Peek(hash, item.Key)
		n, deadline = after.Len, after.Deadline
	}
	out := protocol.AppendEventKey(r.begin("item_store"), item.Key)
	out = protocol.AppendEventWord(out, "status", storeTexts[status])
	out = protocol.AppendEventWord(out, "cmd", modeTexts[mode])
	out = protocol.AppendEventNumber(out, "ttl", r.ttl(deadline, 0))
	out = protocol.AppendEventNumber(out, "clsid", 1)
	out = protocol.AppendEventNumber(out, "cfd", int64(r.fd))
	r.end(Mutations, protocol.AppendEventNumber(out, "size", int64(n)))
}

var storeTexts = [...]string{
	storage.Stored: "stored", storage.NotStored: "not_stored", storage.Exists: "exists", storage.NotFound: "not_found",
	storage.TooLarge: "too_large", storage.OutOfMemory: "no_memory",
}

var modeTexts = [...]string{
	storage.Set: "set", storage.Add: "add", storage.Replace: "replace", storage.CompareAndSwap: "cas", storage.CompareAndSwapStale: "cas",
	storage.Append: "append", storage.AppendOrSet: "append", storage.Prepend: "prepend", storage.PrependOrSet: "prepend",
}

// Deleted tells that a key is gone that was there when last looked up; empty, that its value had
// been taken away by the same command.
func (r *Recorder) Deleted(command string, key []byte, empty bool) {
	n := r.seen.Len
	if empty {
		n = 0
	}
	out := protocol.AppendEventKey(r.begin("deleted"), key)
	out = protocol.AppendEventWord(out, "cmd", command)
	out = protocol.AppendEventNumber(out, "clsid", 1)
	r.end(Deletions, protocol.AppendEventNumber(out, "size", int64(n)))
}

func (r *Recorder) evicted(e *storage.Evicted) {
	out := protocol.AppendEventKey(r.begin("eviction"), e.Key)
	fetched := "no"
	if e.Fetched {
		fetched = "yes"
	}
	out = protocol.AppendEventWord(out, "fetch", fetched)
	out = protocol.AppendEventNumber(out, "ttl", r.ttl(e.Deadline, -1))
	out = protocol.AppendEventNumber(out, "la", int64(e.Idle))
	out = protocol.AppendEventNumber(out, "clsid", 1)
	r.end(Evictions, protocol.AppendEventNumber(out, "size", int64(e.Len)))
}

// ttl is how many seconds are left, or never. What is over already has a large number, as in
// memcached: less than none, in 32 bits.
func (r *Recorder) ttl(deadline expiry.Instant, never int64) int64 {
	if deadline == expiry.Never {
		return never
	}
	return int64(deadline - r.clock.Now())
}

// ConnNew tells of a client that comes.
func (r *Recorder) ConnNew(fd int, remote net.Addr) { r.connection("conn_new", fd, remote, "") }

// ConnClose tells of a client that goes, and why.
func (r *Recorder) ConnClose(fd int, remote net.Addr, reason string) {
	r.connection("conn_close", fd, remote, reason)
}

// connection is a read event of its own.
func (r *Recorder) connection(kind string, fd int, remote net.Addr, reason string) {
	if r.Look(fd); r.Watched&Connections == 0 {
		return
	}
	ip, port, transport := "unix", 0, "local"
	if a, ok := remote.(*net.TCPAddr); ok {
		ip, port, transport = a.IP.String(), a.Port, "tcp"
	}
	out := protocol.AppendEventWord(r.begin(kind), "rip", ip)
	out = protocol.AppendEventNumber(out, "rport", int64(port))
	out = protocol.AppendEventWord(out, "transport", transport)
	if reason != "" {
		out = protocol.AppendEventWord(out, "reason", reason)
	}
	r.end(Connections, protocol.AppendEventNumber(out, "cfd", int64(fd)))
	r.Flush()
}
