//go:build !invariants && !race

package invariants

// Enabled is true in builds with -tags invariants or -race.
const Enabled = false

// Yield does nothing in a plain build.
func Yield() {}
