// Package field is clients as they are outside of laboratories: behind links that are slow, in the
// middle of large values, and exact about what they are given. Every byte that is read is compared.
// It is for judging a server, not for measuring its speed: bench/internal/load does that.
//
//	Value ── sent in pieces ──▶ Client ── Link: paced, a small window ──▶ server
//	Value ◀── compared ──────── Client ◀────────────────────────────────
//	                              │ an error that says what kind of trouble it was
//	                              ▼
//	                            Tally: served, cut, refused, wrong, lost, stuck
//
// A Client belongs to one goroutine; of a pipeline, one may write while another reads. A Tally is
// for all.
package field
