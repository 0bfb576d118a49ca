package session

import "github.com/gomemd/gomemd/storage"

const (
	// OutMax is how many bytes of replies may gather before they must be written: beyond it a
	// session stops, in the middle of a multiget if need be. One value more than this can be
	// waiting, no command's worth.
	OutMax = 64 << 10
	// outShort is the same while memory for replies that wait is short.
	outShort = 4 << 10
	// dumpSteps is how many steps of a walk a dump may make in its first turn.
	dumpSteps = 4
	// streamMax is how much of a large value is read before it is the other connections' turn.
	streamMax = 1 << 20
)

// Work is counted in nanoseconds, as many as it about takes: what a turn may do is then bounded in
// time, and a test that counts has the same result on every machine. Where the figures come from is
// in docs/decisions/0119.
const (
	// TurnWork is how much one client may have done before the others are served. What is begun
	// last is also brought to its end, if it cannot be stopped in the middle.
	TurnWork = 100_000

	commandWork = 400    // a command: its line is parsed, a key looked up and a reply made
	keyWork     = 80     // each key of a multiget
	quietWork   = 200    // a quiet retrieval in a packet
	wordWork    = 8      // a word of a long line that comes in pieces, and as much for each 8 bytes
	eventWork   = 1_000  // a command, or a key of a multiget, while somebody watches
	stepWork    = 10_000 // a step of a walk over all items
	shardsWork  = 20_000 // all shards are locked and looked at, one after the other
	systemWork  = 40_000 // the system and Go's runtime are asked for the memory of the process
	lineWork    = 200    // a line of statistics
	clientWork  = 1_000  // a client in the list of them
	flushWork   = 100_000
	limitWork   = 100_000
	certsWork   = 200_000 // three files are read, and a key is checked
	joinWork    = 500     // up to 16 KiB of the value that is there are copied

	bytesOfWork   = 4  // so many bytes of a value are stored in a nanosecond …
	bytesOfNumber = 32 // … and so many of a number are written over
)

// turn is what one client may have done before the other connections of its loop are served.
// Everything that can take long asks it whether to go on:
//
//	commands    Rules.ReqsPerEvent of them         then Feed says Yield; 1 of a datagram
//	work        TurnWork                           then Feed says Yield; multigets stop, and are resumed
//	replies     OutMax bytes, and one value more   then Feed says Full; multigets and dumps stop, and are resumed
//	a dump      dumpChunk bytes                    then Feed says Full; before the first, dumpSteps steps
//	an upload   streamMax bytes                    then Stream says Full
//
// Work is charged where it is done, each kind in one place:
//
//	a command              turn.serve
//	a quiet retrieval      Session.packets
//	a key of a multiget    Session.retrieve
//	bytes of values        Worker.put, Worker.add, Worker.count
//	a long line            Session.gather
//	statistics             Worker.spendLines
//	the others             the handler of the command
type turn struct {
	outMax   int
	commands int // that may still be served
	work     int // that may still be done
}

// begin begins the turn of a session that is fed.
func (t *turn) begin(commands int) { t.commands, t.work = commands, TurnWork }

// perEvent is how many commands may be served at once.
func (w *Worker) perEvent() int {
	if w.Datagrams {
		return 1
	}
	return w.env.Rules.ReqsPerEvent
}

// full tells whether the replies must be written.
func (t *turn) full(out *Replies) bool { return out.Pending() >= t.outMax }

// short tells whether memory for what waits is short.
func (t *turn) short() bool { return t.outMax == outShort }

// spent tells whether no more commands may be served.
func (t *turn) spent() bool { return t.commands <= 0 || t.tired() }

// tired tells whether what is under way should stop, if it can.
func (t *turn) tired() bool { return t.work <= 0 }

// batch is how many commands may be looked at together.
func (t *turn) batch() int { return min(t.commands, batchMax) }

// serve is called for each command that is served.
func (t *turn) serve() {
	t.commands--
	t.work -= commandWork
}

// spend is called for what else is done.
func (t *turn) spend(work int) { t.work -= work }

// reads tells whether an upload may go on that has read n bytes. It is a turn of its own, after
// Feed's.
func (t *turn) reads(n int) bool { return n < streamMax }

// joins tells whether a mode keeps the value that is there.
func joins(mode storage.Mode) bool {
	switch mode {
	case storage.Append, storage.Prepend, storage.AppendOrSet, storage.PrependOrSet:
		return true
	}
	return false
}

// Short has turns make as few replies at a time as possible, and values that have half come lie in the
// store, or not: memory for what waits is short.
func (w *Worker) Short(short bool) {
	w.turn.outMax = OutMax
	if short {
		w.turn.outMax = outShort
	}
}

// Full tells whether the replies that wait must be written before more are made.
func (w *Worker) Full() bool { return w.turn.full(&w.Out) }

// Worked is how much the last call of Feed has done, in the unit of TurnWork.
func (w *Worker) Worked() int { return TurnWork - w.turn.work }
