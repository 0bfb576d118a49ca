// Package invariants switches on assertions that are too dear for production. `if invariants.Enabled { … }` vanishes
// from a plain build, since Enabled is a constant; build with -tags invariants, or -race, to have them.
package invariants
