//go:build invariants || race

package invariants

import "runtime"

// Enabled is true in builds with -tags invariants or -race.
const Enabled = true

// Yield gives way to other goroutines, so that a schedule which needs bad luck needs less of it.
func Yield() { runtime.Gosched() }
