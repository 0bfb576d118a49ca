package admin

import (
	"strconv"

	"github.com/gomemd/gomemd/internal/stats"
)

// ownFamilies are what memcached has no name for.
var ownFamilies = describe([]family{
	{"gomemd_memory_bytes", gauge, "Memory of the process by what it is for; their sum is about what the system counts.",
		func(s *stats.Snapshot, tell teller) {
			for _, m := range []struct {
				area string
				n    uint64
			}{
				{"items", s.Memory.Items},
				{"connections", s.Memory.Connections},
				{"runtime", s.Memory.Runtime},
				{"program", s.Memory.Program},
			} {
				tell(float64(m.n), "area", m.area)
			}
		}},
	{"gomemd_items_memory_bytes", gauge, "What the memory for items is used for; free is what can be taken at once.",
		func(s *stats.Snapshot, tell teller) {
			for _, m := range []struct {
				part string
				n    uint64
			}{
				{"segments", s.Store.SegmentBytes},
				{"free", s.Store.FreeBytes},
				{"index", s.Store.IndexBytes},
				{"table", s.Store.TableBytes},
			} {
				tell(float64(m.n), "part", m.part)
			}
		}},
	{"gomemd_items_dead_bytes", gauge, "Bytes in segments whose item was deleted, replaced or moved away.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.DeadBytes })},
	{"gomemd_items_ended_bytes", gauge, "About how many bytes belong to items that have expired or been flushed, and are not taken back yet.",
		number(func(s *stats.Snapshot) uint64 { return s.Insight.Ended })},
	{"gomemd_items_oldest_age_seconds", gauge, "How long the oldest segment of items has been in use.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.OldestAge })},
	{"gomemd_items_expired_total", counter, "Items whose deadline had passed when their room was taken back.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.Expired })},
	{"gomemd_items_evicted_total", counter, "Live items that were dropped: for room in memory, or in the index.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Store.Evictions-s.Store.EvictedIndex), "reason", "room")
			tell(float64(s.Store.EvictedIndex), "reason", "index")
		}},
	{"gomemd_items_evicted_active_total", counter, "Of all items evicted, those used not long ago: nothing less used could go.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.EvictedActive })},
	{"gomemd_items_evicted_again_total", counter, "Items stored again soon after their eviction: a larger memory would have had them.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.GhostHits })},
	{"gomemd_items_evicted_idle_seconds", histogram, "How long items had not been used when they were evicted.",
		func(s *stats.Snapshot, tell teller) {
			tell(powers(&stats.Histogram{Counts: s.Store.EvictedIdle.Counts, Sum: s.Store.EvictedIdle.Sum}, 0, 24))
		}},
	{"gomemd_items_stored_forever_total", counter, "Items without a deadline that were stored: they are not in gomemd_item_ttl_seconds.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.StoredForever })},
	{"gomemd_get_misses_ended_total", counter, "Misses that found an item which had expired or been flushed.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Store.GetExpired), "reason", "expired")
			tell(float64(s.Store.GetFlushed), "reason", "flushed")
		}},
	{"gomemd_item_size_bytes", histogram, "Key and value of each item that was stored.",
		func(s *stats.Snapshot, tell teller) { tell(powers(&s.Insight.Stored, 4, 30)) }},
	{"gomemd_item_ttl_seconds", histogram, "For how long items were stored, those with a deadline.",
		func(s *stats.Snapshot, tell teller) { tell(powers(&s.Insight.TTL, 0, 26)) }},
	{"gomemd_ttl_gets_total", counter, "Gets of a sample of keys that have been stored, by the most seconds that the key was last stored for; none: it had no deadline. Misses of keys that never were, or were evicted long ago, are not in it.",
		func(s *stats.Snapshot, tell teller) {
			for _, h := range s.Insight.TTLHits {
				upto := "none"
				if h.Upto > 0 {
					upto = strconv.FormatUint(h.Upto, 10)
				}
				tell(float64(h.Hits), "status", "hit", "upto", upto)
				tell(float64(h.Misses), "status", "miss", "upto", upto)
			}
		}},
	{"gomemd_hit_ratio_at", gauge, "What the hit ratio would be with so many times the memory limit in force, by simulation of a sample of keys.",
		func(s *stats.Snapshot, tell teller) {
			for _, p := range s.Insight.Curve.Points {
				tell(p.HitRatio, "limit_factor", strconv.FormatFloat(p.Factor, 'g', -1, 64))
			}
		}},
	{"gomemd_hit_ratio_sample_gets", gauge, "Gets that gomemd_hit_ratio_at is made of.",
		number(func(s *stats.Snapshot) uint64 { return s.Insight.Curve.Gets })},
	{"gomemd_hit_ratio_sample_ratio", gauge, "The hit ratio that these gets had in the server itself.",
		func(s *stats.Snapshot, tell teller) {
			if len(s.Insight.Curve.Points) > 0 {
				tell(s.Insight.Curve.Ratio)
			}
		}},
	{"gomemd_prefix_flushes_running", gauge, "flush_prefix whose memory is still being taken back.",
		number(func(s *stats.Snapshot) int { return s.Insight.Prefixing })},
	{"gomemd_command_duration_seconds", histogram, "How long requests took, of a sample: from when they were read until their reply was given to the socket.",
		func(s *stats.Snapshot, tell teller) {
			for k := range stats.NumKinds {
				tell(times(&s.Insight.Latency[k]), "command", k.String())
			}
		}},
	{"gomemd_slow_readers", gauge, "Clients with replies that wait until they read.",
		number(func(s *stats.Snapshot) uint64 { return s.Conns.Behind })},
	{"gomemd_slow_reads_total", counter, "Replies that a client's socket did not take at once.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.SlowReaders })},
	{"gomemd_uploads_refused_total", counter, "Values that were not stored because they are too large, or because there was no memory for them.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Served.StoreTooLarge), "reason", "too_large")
			tell(float64(s.Served.StoreNoMemory), "reason", "no_memory")
		}},
	{"gomemd_connections_closed_total", counter, "Clients that the server has closed, by why: quiet for too long, memory for connections was short, " +
		"stood still and held memory that others needed, a mistake of the server, TLS.",
		func(s *stats.Snapshot, tell teller) {
			for _, c := range []struct {
				reason string
				n      uint64
			}{
				{"idle", s.Served.IdleKicks},
				{"memory", s.Served.BudgetDropped},
				{"held_items", s.Served.PinsDropped},
				{"mistake", s.Served.ConnPanics},
				{"tls_handshake", s.Served.SSLHandshakeErrors},
				{"tls", s.Served.SSLProtoErrors},
			} {
				tell(float64(c.n), "reason", c.reason)
			}
		}},
	{"gomemd_logins_total", counter, "Attempts to log in.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Served.AuthCmds-min(s.Served.AuthErrors, s.Served.AuthCmds)), "status", "ok")
			tell(float64(s.Served.AuthErrors), "status", "failed")
		}},
	{"gomemd_certificate_age_seconds", gauge, "How long ago the certificates in force were read.",
		func(s *stats.Snapshot, tell teller) {
			if s.Settings.TLS.Enabled {
				tell(float64(s.CertAge))
			}
		}},
	{"gomemd_udp_replies_dropped_total", counter, "Replies over UDP that were not sent whole.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.UDPDropped })},
	{"gomemd_watchers", gauge, "Clients that watch the server.",
		number(func(s *stats.Snapshot) int { return s.Watch.Watchers })},
	{"gomemd_watch_lines_total", counter, "Lines for clients that watch: sent to them, or skipped because they read too slowly.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Watch.Sent), "status", "sent")
			tell(float64(s.Watch.Skipped), "status", "skipped")
		}},
	{"gomemd_log_lines_dropped_total", counter, "Lines of the log that nobody read in time.",
		number(func(s *stats.Snapshot) uint64 { return s.LogDropped })},
	{"gomemd_restored_items", gauge, "Items that the start found in the memory file: taken over, already ended, or torn.",
		func(s *stats.Snapshot, tell teller) {
			tell(float64(s.Restored.Items), "status", "ok")
			tell(float64(s.Restored.Ended), "status", "ended")
			tell(float64(s.Restored.Dropped), "status", "dropped")
		}},
	{"gomemd_restored_bytes", gauge, "What the items that the start took over from the memory file occupy.",
		number(func(s *stats.Snapshot) uint64 { return s.Restored.Bytes })},
	{"gomemd_restore_duration_seconds", gauge, "How long the start took to read the memory file; 0 without one.",
		number(func(s *stats.Snapshot) float64 { return s.Restored.Took.Seconds() })},
})
