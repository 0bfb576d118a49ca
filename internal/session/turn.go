package session

const (
	// OutMax is how many bytes of replies may gather before they must be written: beyond it a
	// session stops, in the middle of a multiget if need be. One value more than this can be
	// waiting, no command's worth.
	OutMax = 64 << 10
	// outShort is the same while memory for replies that wait is short.
	outShort = 4 << 10
	// dumpSteps is how many steps of a walk, of some 10 µs each, a dump may make in its first turn.
	dumpSteps = 4
	// streamMax is how much of a large value is read before it is the other connections' turn.
	streamMax = 1 << 20
)

// turn is what one client may have done before the other connections of its loop are served.
// Everything that can take long asks it whether to go on:
//
//	commands    Rules.ReqsPerEvent of them         then Feed says Yield
//	replies     OutMax bytes, and one value more   then Feed says Full; multigets and dumps stop, and are resumed
//	a dump      dumpChunk bytes                    then Feed says Full; before the first, dumpSteps steps
//	an upload   streamMax bytes                    then Stream says Full
type turn struct {
	outMax   int
	commands int // that may still be served
}

// begin begins the turn of a session that is fed.
func (t *turn) begin(commands int) { t.commands = commands }

// full tells whether the replies must be written.
func (t *turn) full(out *Replies) bool { return out.Pending() >= t.outMax }

// short tells whether memory for what waits is short.
func (t *turn) short() bool { return t.outMax == outShort }

// spent tells whether no more commands may be served.
func (t *turn) spent() bool { return t.commands == 0 }

// batch is how many commands may be looked at together.
func (t *turn) batch() int { return min(t.commands, batchMax) }

// serve is called for each command that is served.
func (t *turn) serve() { t.commands-- }

// reads tells whether an upload may go on that has read n bytes. It is a turn of its own, after
// Feed's.
func (t *turn) reads(n int) bool { return n < streamMax }

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
