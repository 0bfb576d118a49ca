package session

const (
	// OutMax is how many bytes of replies may gather before they must be written: beyond it a
	// session stops, in the middle of a multiget if need be. One value more than this can be
	// waiting, no command's worth.
	OutMax = 64 << 10
	// dumpSteps is how many steps of a walk the other connections of the loop wait for, if not
	// OutMax ends it sooner: well below a millisecond.
	dumpSteps = 16
	// streamMax is how much of a large value is read before it is the other connections' turn.
	streamMax = 512 << 10
)

// turn is what one client may have done before the other connections of its loop are served.
// Everything that can take long asks it whether to go on:
//
//	commands    Rules.ReqsPerEvent of them         then Feed says Yield
//	replies     OutMax bytes, and one value more   then Feed says Full; multigets and dumps stop, and are resumed
//	a dump      dumpSteps steps of the walk        then Feed says Full
//	an upload   streamMax bytes                    then Stream returns
type turn struct {
	commands int // that may still be served
	steps    int // of a dump that may still be made
}

// begin begins the turn of a session that is fed.
func (t *turn) begin(commands int) { t.commands, t.steps = commands, dumpSteps }

// full tells whether the replies must be written.
func (t *turn) full(out *Replies) bool { return out.Pending() >= OutMax }

// spent tells whether no more commands may be served.
func (t *turn) spent() bool { return t.commands == 0 }

// batch is how many commands may be looked at together.
func (t *turn) batch() int { return min(t.commands, batchMax) }

// serve is called for each command that is served.
func (t *turn) serve() { t.commands-- }

// step tells whether a dump may make one more step, and counts it.
func (t *turn) step(out *Replies) bool {
	if t.steps == 0 || t.full(out) {
		return false
	}
	t.steps--
	return true
}

// reads tells whether an upload may go on that has read n bytes. It is a turn of its own, after
// Feed's.
func (t *turn) reads(n int) bool { return n < streamMax }
