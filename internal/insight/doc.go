// Package insight finds out, by looking at some of what is served, what the counters of everything
// cannot tell: which keys are asked for most, what more memory would do, and how hits depend on the time
// that items are stored for.
//
//	sampler.go     Sampler, Probe   what is looked at: records that loops write, and one goroutine reads
//	hot.go         hot              windows of time, and the keys that were asked for most in them
//	top.go         top              Space-Saving: the heaviest of many, in bounded memory
//	curve.go       Curve            a sample of the keys, and the hit ratio that other limits would have
//	simulation.go  simulation       the store's policy in one of these limits
//
// Two samples: one request of a hundred, whatever its key, for hot keys; and all requests for those keys
// whose hashes are low, for the rest.
//
// # The way of a record
//
//	loop: a request has been served ─▶ Probe.Wants? ── no, nearly always: two comparisons
//	         │ yes
//	         ▼
//	      Probe.Saw: a record of it, with a copy of the key
//	         │ at the end of the read event
//	         ▼
//	      Probe.Publish: a copy under a lock, which is tried and not waited for
//	         ▼
//	tick: Sampler.Drain ─▶ hot, Curve
//
// So a request that is not looked at costs next to nothing, one that is costs its loop two copies of its
// key, and all that is computed is computed elsewhere. Where records come faster than they are read,
// some are lost and counted: the less is known, and the loops are no slower.
//
// # Memory
//
// It is outside of the store and does not depend on what is stored: for each loop at most 68 KiB of
// records, which are there once something has been looked at, and 64 KiB for who reads them; for hot
// keys some 400 KiB; for the curve 1 MiB, once its sample is full.
//
// # Locks
//
// A Probe belongs to its loop, but for what it has published. A Sampler may be asked by any goroutine:
// who asks waits for the reading of a few records at most.
package insight
