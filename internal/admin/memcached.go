package admin

import (
	"strconv"
	"syscall"

	"github.com/gomemd/gomemd/internal/stats"
)

// memcachedFamilies are what Prometheus' exporter makes of `stats`, `stats items`, `stats slabs` and
// `stats settings`: the same names, types, labels, values, and the same series left out. Dashboards
// and alerts are written for these. memcached_process_… are those of its --memcached.pid-file.
// What memcached has no item class for is in class 1, as in `stats items`.
var memcachedFamilies = describe([]family{
	{"memcached_version", gauge, "Always 1; the label is the version as clients are told it.", func(s *stats.Snapshot, tell teller) {
		tell(1., "version", s.Process.Version)
	}},
	{"memcached_uptime_seconds", counter, "How long the server has been running.",
		number(func(s *stats.Snapshot) uint64 { return s.Process.Uptime })},
	{"memcached_time_seconds", gauge, "The server's clock, in seconds since 1970.",
		number(func(s *stats.Snapshot) int64 { return s.Process.Time })},
	{"memcached_process_user_cpu_seconds_total", counter, "CPU time of the process outside the kernel.",
		number(func(s *stats.Snapshot) float64 { return seconds(s.Process.UserTime) })},
	{"memcached_process_system_cpu_seconds_total", counter, "CPU time of the process in the kernel.",
		number(func(s *stats.Snapshot) float64 { return seconds(s.Process.SysTime) })},

	{"memcached_read_bytes_total", counter, "Bytes read from clients.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.BytesRead })},
	{"memcached_written_bytes_total", counter, "Bytes written to clients.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.BytesWritten })},
	{"memcached_current_connections", gauge, "Clients that are connected.",
		number(func(s *stats.Snapshot) uint64 { return s.Conns.Current })},
	{"memcached_max_connections", gauge, "How many clients may be connected at a time (-c).",
		number(func(s *stats.Snapshot) int { return s.Settings.MaxConns })},
	{"memcached_connections_total", counter, "Clients that have been let in.",
		number(func(s *stats.Snapshot) uint64 { return s.Conns.Total })},
	{"memcached_connections_rejected_total", counter, "Clients that were turned away because -c others were connected.",
		func(s *stats.Snapshot, tell teller) {
			if !s.Settings.MaxConnsWait {
				tell(float64(s.Conns.Rejected))
			}
		}},
	{"memcached_connections_yielded_total", counter, "Times that a client had to let others go first after a turn (-R).",
		number(func(s *stats.Snapshot) uint64 { return s.Served.ConnYields })},
	{"memcached_connections_listener_disabled_total", counter, "Times that accepting clients has rested because of too many.",
		number(func(s *stats.Snapshot) uint64 { return s.Conns.Pauses })},
	{"memcached_accepting_connections", gauge, "Whether clients are accepted at present.",
		number(func(s *stats.Snapshot) float64 { return oneIf(!s.Conns.Paused) })},

	{"memcached_current_bytes", gauge, "What the items occupy, in bytes.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.Bytes })},
	{"memcached_limit_bytes", gauge, "The most that items may occupy (-m), in bytes.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.LimitBytes })},
	{"memcached_malloced_bytes", gauge, "Memory that is held for items, in bytes.",
		number(func(s *stats.Snapshot) uint64 { return s.Malloced() })},
	{"memcached_current_items", gauge, "Items in the cache, with those that have expired unnoticed.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.CurrItems })},
	{"memcached_items_total", counter, "Times that an item was stored.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.TotalItems })},
	{"memcached_items_evicted_total", counter, "Live items that were dropped to make room.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.Evictions })},
	{"memcached_items_reclaimed_total", counter, "Expired or flushed items whose room was taken back.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.Reclaimed })},
	{"memcached_item_too_large_total", counter, "Values refused because they are larger than -I allows.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.StoreTooLarge })},
	{"memcached_item_no_memory_total", counter, "Values refused because there was no memory for them.",
		number(func(s *stats.Snapshot) uint64 { return s.Served.StoreNoMemory })},

	{"memcached_commands_total", counter, "Requests by command and outcome; of get, keys.", func(s *stats.Snapshot, tell teller) {
		n := &s.Served
		for _, c := range []struct {
			command      string
			hits, misses uint64
		}{
			{"get", n.GetHits, n.GetMisses},
			{"delete", n.DeleteHits, n.DeleteMisses},
			{"incr", n.IncrHits, n.IncrMisses},
			{"decr", n.DecrHits, n.DecrMisses},
			{"cas", n.CasHits, n.CasMisses},
			{"touch", n.TouchHits, n.TouchMisses},
		} {
			tell(float64(c.hits), "command", c.command, "status", "hit")
			tell(float64(c.misses), "command", c.command, "status", "miss")
		}
		tell(float64(n.CasBadval), "command", "cas", "status", "badval")
		tell(float64(n.CmdFlush), "command", "flush", "status", "hit")
		// memcached counts cas under cmd_set, too.
		tell(float64(n.CmdSet)-float64(n.CasHits+n.CasMisses+n.CasBadval), "command", "set", "status", "hit")
	}},

	// There is neither an LRU crawler nor a maintainer: what these would have done is 0, but for what
	// Sweep does.
	{"memcached_lru_crawler_enabled", gauge, "Whether dumps of all items are allowed.", ifCrawler(func(*stats.Settings) float64 { return 1 })},
	{"memcached_lru_crawler_sleep", gauge, "A setting that has no effect.", ifCrawler(tuned("lru_crawler_sleep"))},
	{"memcached_lru_crawler_to_crawl", gauge, "A setting that has no effect.", ifCrawler(tuned("lru_crawler_tocrawl"))},
	{"memcached_lru_crawler_maintainer_thread", gauge, "A setting that has no effect.",
		ifCrawler(func(o *stats.Settings) float64 { return oneIf(!o.NoMaintainer) })},
	{"memcached_lru_crawler_hot_percent", gauge, "A setting that has no effect.", ifCrawler(tuned("hot_lru_pct"))},
	{"memcached_lru_crawler_warm_percent", gauge, "A setting that has no effect.", ifCrawler(tuned("warm_lru_pct"))},
	{"memcached_lru_crawler_hot_max_factor", gauge, "A setting that has no effect.", ifCrawler(tuned("hot_max_factor"))},
	{"memcached_lru_crawler_warm_max_factor", gauge, "A setting that has no effect.", ifCrawler(tuned("warm_max_factor"))},
	{"memcached_lru_crawler_starts_total", counter, "Dumps of all items that were begun.", func(s *stats.Snapshot, tell teller) {
		if s.Crawler.On {
			tell(float64(s.Crawler.Starts))
		}
	}},
	{"memcached_lru_crawler_reclaimed_total", counter, "Expired or flushed items that were found without being asked for.",
		number(func(s *stats.Snapshot) uint64 { return s.Store.Swept })},
	{"memcached_lru_crawler_items_checked_total", counter, "Always 0.", number(func(*stats.Snapshot) float64 { return 0 })},
	{"memcached_lru_crawler_moves_to_cold_total", counter, "Always 0.", ifMaintainer},
	{"memcached_lru_crawler_moves_to_warm_total", counter, "Always 0.", ifMaintainer},
	{"memcached_lru_crawler_moves_within_lru_total", counter, "Always 0.", ifMaintainer},
	{"memcached_direct_reclaims_total", counter, "Always 0.", ifMaintainer},

	{"memcached_slab_current_items", gauge, "As memcached_current_items.", ofItems(func(s *stats.Snapshot) uint64 { return s.Store.CurrItems })},
	{"memcached_slab_items_age_seconds", gauge, "How long the oldest segment of items has been in use.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.OldestAge })},
	{"memcached_slab_items_crawler_reclaimed_total", counter, "As memcached_lru_crawler_reclaimed_total.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.Swept })},
	{"memcached_slab_items_evicted_total", counter, "As memcached_items_evicted_total.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.Evictions })},
	{"memcached_slab_items_evicted_nonzero_total", counter, "Of the items evicted, those with a deadline.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.EvictedNonzero })},
	{"memcached_slab_items_evicted_time_seconds", counter, "About how long an item stays that nobody reads.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.EvictedAge })},
	{"memcached_slab_items_evicted_unfetched_total", counter, "Of the items evicted, those never read.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.EvictedUnfetched })},
	{"memcached_slab_items_expired_unfetched_total", counter, "Items that expired and had never been read.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.ExpiredUnfetched })},
	{"memcached_slab_items_outofmemory_total", counter, "As memcached_item_no_memory_total.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Served.StoreNoMemory })},
	{"memcached_slab_items_reclaimed_total", counter, "As memcached_items_reclaimed_total.",
		ofItems(func(s *stats.Snapshot) uint64 { return s.Store.Reclaimed })},
	{"memcached_slab_items_tailrepairs_total", counter, "Always 0.", ofItems(zero)},
	{"memcached_slab_items_moves_to_cold", counter, "Always 0.", ofItems(zero)},
	{"memcached_slab_items_moves_to_warm", counter, "Always 0.", ofItems(zero)},
	{"memcached_slab_items_moves_within_lru", counter, "Always 0.", ofItems(zero)},
	{"memcached_slab_hot_items", gauge, "Always 0.", ofItems(zero)},
	{"memcached_slab_warm_items", gauge, "Always 0.", ofItems(zero)},
	{"memcached_slab_cold_items", gauge, "As memcached_current_items.", ofItems(func(s *stats.Snapshot) uint64 { return s.Store.CurrItems })},
	{"memcached_slab_hot_age_seconds", gauge, "Always 0.", ofItems(zero)},
	{"memcached_slab_warm_age_seconds", gauge, "Always 0.", ofItems(zero)},
	{"memcached_slab_lru_hits_total", counter, "Keys asked for and found; all count as cold.", func(s *stats.Snapshot, tell teller) {
		if s.Store.CurrItems > 0 {
			tell(float64(s.Served.GetHits), "lru", "cold", "slab", theClass)
			for _, lru := range []string{"hot", "temporary", "warm"} {
				tell(0., "lru", lru, "slab", theClass)
			}
		}
	}},
	{"memcached_slab_mem_requested_bytes", counter, "As memcached_current_bytes.", ofItems(func(s *stats.Snapshot) uint64 { return s.Store.Bytes })},

	{"memcached_slab_chunk_size_bytes", gauge, "What the mean item occupies.", ofChunks(func(c stats.Chunks) uint64 { return c.Size })},
	{"memcached_slab_chunks_per_page", gauge, "How many mean items there is room for.", ofChunks(func(c stats.Chunks) uint64 { return c.Total })},
	{"memcached_slab_current_pages", gauge, "Always 1.", ofChunks(func(stats.Chunks) uint64 { return 1 })},
	{"memcached_slab_current_chunks", gauge, "How many mean items there is room for.", ofChunks(func(c stats.Chunks) uint64 { return c.Total })},
	{"memcached_slab_chunks_used", gauge, "As memcached_current_items.", ofChunks(func(c stats.Chunks) uint64 { return c.Used })},
	{"memcached_slab_chunks_free", gauge, "How many more mean items there is room for.",
		ofChunks(func(c stats.Chunks) uint64 { return c.Total - c.Used })},
	{"memcached_slab_chunks_free_end", gauge, "Always 0.", ofChunks(func(stats.Chunks) uint64 { return 0 })},
	{"memcached_slab_commands_total", counter, "As memcached_commands_total, without misses.", func(s *stats.Snapshot, tell teller) {
		if _, ok := s.Chunks(); !ok {
			return
		}
		n := &s.Served
		for _, c := range []struct {
			command, status string
			n               float64
		}{
			{"get", "hit", float64(n.GetHits)},
			{"delete", "hit", float64(n.DeleteHits)},
			{"incr", "hit", float64(n.IncrHits)},
			{"decr", "hit", float64(n.DecrHits)},
			{"cas", "hit", float64(n.CasHits)},
			{"cas", "badval", float64(n.CasBadval)},
			{"touch", "hit", float64(n.TouchHits)},
			{"set", "hit", float64(n.CmdSet) - float64(n.CasHits+n.CasBadval)},
		} {
			tell(c.n, "command", c.command, "slab", theClass, "status", c.status)
		}
	}},
})

// theClass has all items.
const theClass = "1"

func zero(*stats.Snapshot) uint64 { return 0 }

// ofItems is told of the class if it has items, as memcached leaves out empty ones.
func ofItems(of func(*stats.Snapshot) uint64) func(*stats.Snapshot, teller) {
	return func(s *stats.Snapshot, tell teller) {
		if s.Store.CurrItems > 0 {
			tell(float64(of(s)), "slab", theClass)
		}
	}
}

// ofChunks is told of the class if it has memory.
func ofChunks(of func(stats.Chunks) uint64) func(*stats.Snapshot, teller) {
	return func(s *stats.Snapshot, tell teller) {
		if c, ok := s.Chunks(); ok {
			tell(float64(of(c)), "slab", theClass)
		}
	}
}

func ifMaintainer(s *stats.Snapshot, tell teller) {
	if !s.Settings.NoMaintainer {
		tell(0.)
	}
}

func ifCrawler(of func(*stats.Settings) float64) func(*stats.Snapshot, teller) {
	return func(s *stats.Snapshot, tell teller) {
		if s.Crawler.On {
			tell(of(&s.Settings))
		}
	}
}

// tuned is a setting that may have been changed by a command, which takes numbers only.
func tuned(name string) func(*stats.Settings) float64 {
	return func(o *stats.Settings) float64 {
		n, _ := strconv.ParseFloat(o.Tuning(name), 64)
		return n
	}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
