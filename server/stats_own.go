package server

// ours is `stats gomemd`: what memcached has no name for. It is not part of `stats`, whose names are memcached's and no others:
// its own test-suite counts them.
//
//	memory_…      where the process's memory is (memory.go)
//	items_…       where the part of it is that -m bounds
//	evicted_…     live items that were lost, by reason; their sum is evictions
//	conn_…        clients that were closed, by reason
//	restored_…    what the start found in the memory file
func (srv *Server) ours(r *report) {
	counted := srv.counters()
	stored := srv.store.Stats()
	srv.memory(r, stored.HeldBytes)

	r.number("items_segments", stored.SegmentBytes)
	r.number("items_dead", stored.DeadBytes) // of these
	r.number("items_free", stored.FreeBytes) // segments that could be taken at once, with pages or without
	r.number("items_index", stored.IndexBytes)
	r.number("items_table", stored.TableBytes)

	r.number("evicted_room", stored.Evictions-stored.EvictedIndex-stored.EvictedChange)
	r.number("evicted_index", stored.EvictedIndex)   // both places in the index were full
	r.number("evicted_change", stored.EvictedChange) // changed, and what it became had no room
	r.number("evicted_active", stored.EvictedActive) // of all these: used not long ago
	r.number("evicted_age", stored.EvictedAge)       // seconds: about how long an item that nobody reads stays
	r.number("evicted_again", stored.GhostHits)      // stored again soon after: a larger memory would have had them
	r.number("oldest_age", stored.OldestAge)
	r.number("expired", stored.Expired)

	r.number("conn_input_dropped", counted[inputDropped])
	r.number("conn_budget_dropped", counted[budgetDropped])
	r.number("conn_panics", counted[connPanics])

	found := srv.store.Restored()
	r.number("restored_items", found.Items)
	r.number("restored_bytes", found.Bytes)
	r.number("restored_ended", found.Ended)     // had expired, or been flushed
	r.number("restored_dropped", found.Dropped) // not restored: they were being written when the last server ended
	r.number("restored_us", uint64(found.Took.Microseconds()))
}
