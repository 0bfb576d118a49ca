package server

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

// stats serves the statistics. Names and order are memcached's: dashboards, exporters and its own test-suite read them.
// What has no meaning here is 0, or left out where memcached can leave it out too.
func (s *session) stats(req *request) verdict {
	args := req.Args()
	if len(args) == 0 {
		s.report(s.w.srv.general)
		return idle
	}
	switch string(args[0]) {
	case "reset":
		s.w.srv.resetStats()
		s.w.out = append(s.w.out, protocol.Reset...)
	case "settings":
		s.report(s.w.srv.settings)
	case "items":
		s.report(s.w.srv.items)
	case "slabs":
		s.report(s.w.srv.slabs)
	case "gomemd":
		s.report(s.w.srv.ours)
	case "conns":
		s.report(func(r *report) { s.w.srv.connections(r, s.fd) })
	case "sizes":
		s.report(s.w.srv.sizes)
	case "detail":
		s.detail(args[1:])
	case "cachedump":
		s.cachedump(args[1:])
	default:
		s.w.out = append(s.w.out, protocol.Unknown...)
	}
	return idle
}

// report gathers STAT lines.
type report struct{ out []byte }

func (s *session) report(fill func(*report)) {
	s.w.tally.publish() // the commands before this one on its own connection are counted in it
	r := report{s.w.out}
	fill(&r)
	s.w.out = append(r.out, protocol.End...)
}

func (r *report) text(name, value string) { r.out = protocol.AppendStat(r.out, name, value) }

func (r *report) number(name string, n uint64) { r.text(name, strconv.FormatUint(n, 10)) }

func (r *report) count(name string, n int) { r.text(name, strconv.Itoa(n)) }

// zeros are for names of parts of memcached that are not here: exporters want to see them.
func (r *report) zeros(names ...string) {
	for _, name := range names {
		r.text(name, "0")
	}
}

func (r *report) yesNo(name string, yes bool) {
	if yes {
		r.text(name, "yes")
	} else {
		r.text(name, "no")
	}
}

// cpuTime prints seconds and microseconds. Exporters read the part after the point as a number of microseconds, so it has
// six digits always.
func (r *report) cpuTime(name string, t syscall.Timeval) {
	r.text(name, fmt.Sprintf("%d.%06d", t.Sec, t.Usec))
}

// general is `stats`.
func (srv *Server) general(r *report) {
	counted := srv.counters()
	stored := srv.store.Stats()
	now := srv.clock.Now()
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails only for a bad argument

	r.count("pid", os.Getpid())
	r.number("uptime", uint64(max(now-srv.clock.Started(), 1))) // never 0: dashboards divide by it
	r.number("time", uint64(srv.clock.Unix(now)))
	r.text("version", versionText)
	r.text("libevent", "gnet-2.10.0") // the event loop's own name and version
	r.count("pointer_size", strconv.IntSize)
	r.cpuTime("rusage_user", usage.Utime)
	r.cpuTime("rusage_system", usage.Stime)
	r.count("max_connections", srv.opts.MaxConns)
	r.number("curr_connections", uint64(srv.conns.current.Load()))
	r.number("total_connections", srv.conns.total.Load())
	r.number("rejected_connections", srv.conns.rejected.Load())
	r.number("connection_structures", uint64(srv.conns.current.Load()))
	r.zeros("response_obj_oom", "response_obj_count", "response_obj_bytes",
		"read_buf_count", "read_buf_bytes", "read_buf_bytes_free", "read_buf_oom") // memcached's pools of network buffers
	r.count("reserved_fds", reservedFiles)
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"cmd_get", counted[cmdGet]},
		{"cmd_set", counted[cmdSet]},
		{"cmd_flush", counted[cmdFlush]},
		{"cmd_touch", counted[cmdTouch]},
		{"cmd_meta", counted[cmdMeta]},
		{"get_hits", counted[getHits]},
		{"get_misses", counted[getMisses]},
		{"get_expired", stored.GetExpired},
		{"get_flushed", stored.GetFlushed},
		{"delete_misses", counted[deleteMisses]},
		{"delete_hits", counted[deleteHits]},
		{"incr_misses", counted[incrMisses]},
		{"incr_hits", counted[incrHits]},
		{"decr_misses", counted[decrMisses]},
		{"decr_hits", counted[decrHits]},
		{"cas_misses", counted[casMisses]},
		{"cas_hits", counted[casHits]},
		{"cas_badval", counted[casBadval]},
		{"touch_hits", counted[touchHits]},
		{"touch_misses", counted[touchMisses]},
		{"store_too_large", counted[storeTooLarge]},
		{"store_no_memory", counted[storeNoMemory]},
		{"auth_cmds", counted[authCmds]},
		{"auth_errors", counted[authErrors]},
		{"idle_kicks", counted[idleKicks]},
		{"bytes_read", counted[bytesRead]},
		{"bytes_written", counted[bytesWritten]},
		{"limit_maxbytes", stored.LimitBytes},
		{"accepting_conns", srv.conns.accepting()},
		{"listen_disabled_num", srv.conns.pauses.Load()},
		{"time_in_listen_disabled_us", srv.conns.pausedMicros.Load()},
		{"threads", uint64(srv.opts.Settings.Threads)},
		{"conn_yields", counted[connYields]},
		{"hash_power_level", hashPower(stored.IndexBytes)},
		{"hash_bytes", stored.IndexBytes},
		{"hash_is_expanding", 0},
	} {
		if c.name == "idle_kicks" && srv.opts.IdleTimeout == 0 {
			continue // memcached does not show it either
		}
		r.number(c.name, c.n)
	}
	r.zeros("slab_reassign_rescues", "slab_reassign_chunk_rescues", "slab_reassign_inline_reclaim",
		"slab_reassign_busy_items", "slab_reassign_busy_deletes", "slab_reassign_busy_nomem") // there are no slabs
	r.text("slab_reassign_last_busy_status", "none")
	crawler, maintainer := !srv.crawlerOff.Load(), !srv.opts.Settings.NoMaintainer // their names come and go with them
	r.zeros("slab_reassign_running", "slabs_moved")
	if crawler {
		running := 0
		if srv.dumping.Load() {
			running = 1
		}
		r.count("lru_crawler_running", running)
		r.number("lru_crawler_starts", srv.dumps.Load())
	}
	if maintainer {
		r.zeros("lru_maintainer_juggles")
	}
	r.zeros("malloc_fails")
	watchers, sent, skipped := srv.lookout.watching()
	r.number("log_worker_dropped", srv.lookout.lost.Load())
	r.number("log_worker_written", srv.lookout.lines.Load())
	r.number("log_watcher_skipped", skipped)
	r.number("log_watcher_sent", sent)
	r.count("log_watchers", watchers)
	r.zeros("unexpected_napi_ids", "round_robin_fallback")
	r.number("bytes", stored.Bytes)
	r.number("curr_items", stored.CurrItems)
	r.number("total_items", stored.TotalItems)
	r.number("slab_global_page_pool", 0)
	r.number("expired_unfetched", stored.ExpiredUnfetched)
	r.number("evicted_unfetched", stored.EvictedUnfetched)
	if maintainer {
		r.number("evicted_active", stored.EvictedActive)
	}
	r.number("evictions", stored.Evictions)
	r.number("reclaimed", stored.Reclaimed)
	r.number("crawler_reclaimed", stored.Swept)
	r.zeros("crawler_items_checked", "lrutail_reflocked")
	if maintainer {
		r.zeros("moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims", "lru_bumps_dropped")
	}
}

// hashPower is the power of two whose table of memcached's 8-byte buckets has these many bytes; exporters show it.
func hashPower(indexBytes uint64) (power uint64) {
	for 8<<power < indexBytes {
		power++
	}
	return power
}

// settings is `stats settings`. The slab and LRU settings have no meaning here; their values are memcached's defaults, since
// exporters refuse an answer that lacks them.
func (srv *Server) settings(r *report) {
	o := &srv.opts
	r.number("maxbytes", srv.store.Stats().LimitBytes)
	r.count("maxconns", o.MaxConns)
	r.count("tcpport", o.Settings.Port)
	r.count("udpport", o.Settings.UDPPort)
	r.text("inter", orNULL(o.Settings.Inter))
	r.number("verbosity", uint64(srv.verbosity.Load()))
	r.number("oldest", 0)
	r.text("evictions", onOff(!o.DisableEviction))
	r.text("domain_socket", orNULL(o.UnixSocket))
	r.text("umask", strconv.FormatUint(uint64(o.UnixMask), 8))
	r.yesNo("shutdown_command", o.EnableShutdown)
	r.text("growth_factor", "1.25")
	r.text("chunk_size", "48")
	r.count("num_threads", o.Settings.Threads)
	r.count("num_threads_per_udp", o.Settings.Threads)
	r.text("stat_key_prefix", string(o.PrefixDelimiter))
	r.yesNo("detail_enabled", srv.watched()&countPrefix != 0)
	r.count("reqs_per_event", o.ReqsPerEvent)
	r.yesNo("cas_enabled", !o.DisableCAS)
	r.count("tcp_backlog", o.Backlog)
	r.text("binding_protocol", o.Settings.Protocol)
	r.yesNo("auth_enabled_sasl", false)
	r.text("auth_enabled_ascii", cmp.Or(o.AuthFile, "no"))
	r.count("item_size_max", o.ItemMax)
	r.yesNo("maxconns_fast", !o.MaxConnsWait)
	r.text("hashpower_init", "0")
	r.yesNo("slab_reassign", true)
	r.text("slab_automove", srv.tuning.get("slab_automove", "1"))
	r.text("slab_automove_ratio", srv.tuning.get("slab_automove_ratio", "0.80"))
	r.text("slab_automove_window", srv.tuning.get("slab_automove_window", "10"))
	r.text("slab_chunk_max", "524288")
	r.yesNo("lru_crawler", !srv.crawlerOff.Load())
	r.text("lru_crawler_sleep", srv.tuning.get("lru_crawler_sleep", "100"))
	r.text("lru_crawler_tocrawl", srv.tuning.get("lru_crawler_tocrawl", "0"))
	r.text("tail_repair_time", "0")
	r.yesNo("flush_enabled", !o.DisableFlush)
	r.yesNo("dump_enabled", !o.DisableDump)
	r.text("hash_algorithm", "xxhash")
	r.yesNo("lru_maintainer_thread", !o.Settings.NoMaintainer)
	r.text("lru_segmented", srv.tuning.get("lru_segmented", "yes"))
	r.text("hot_lru_pct", srv.tuning.get("hot_lru_pct", "20"))
	r.text("warm_lru_pct", srv.tuning.get("warm_lru_pct", "40"))
	r.text("hot_max_factor", srv.tuning.get("hot_max_factor", "0.20"))
	r.text("warm_max_factor", srv.tuning.get("warm_max_factor", "2.00"))
	r.text("temp_lru", srv.tuning.get("temp_lru", "no"))
	r.text("temporary_ttl", srv.tuning.get("temporary_ttl", "61"))
	r.count("idle_timeout", int(o.IdleTimeout/time.Second))
	r.count("watcher_logbuf_size", o.WatcherBuffer)
	r.count("worker_logbuf_size", linesMax)
	r.text("read_buf_mem_limit", "0")
	r.yesNo("track_sizes", o.TrackSizes)
	r.yesNo("inline_ascii_response", false)
	r.text("num_napi_ids", "0")
	r.text("memory_file", cmp.Or(srv.opts.MemoryFile, "(null)"))
	r.text("client_flags_size", "4")
}

func orNULL(s string) string {
	if s == "" {
		return "NULL"
	}
	return s
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// items is `stats items`: one class, numbered 1, that has everything. Slab classes do not exist here, and tools that draw
// them then show the whole.
func (srv *Server) items(r *report) {
	stored := srv.store.Stats()
	if stored.CurrItems == 0 {
		return // memcached leaves out empty classes
	}
	item := func(name string, n uint64) { r.number("items:1:"+name, n) }
	item("number", stored.CurrItems)
	item("number_hot", 0)
	item("number_warm", 0)
	item("number_cold", stored.CurrItems)
	item("age_hot", 0)
	item("age_warm", 0)
	item("age", stored.OldestAge)
	item("mem_requested", stored.Bytes)
	item("evicted", stored.Evictions)
	item("evicted_nonzero", stored.EvictedNonzero)
	item("evicted_time", stored.EvictedAge)
	item("outofmemory", srv.counters()[storeNoMemory])
	item("tailrepairs", 0)
	item("reclaimed", stored.Reclaimed)
	item("expired_unfetched", stored.ExpiredUnfetched)
	item("evicted_unfetched", stored.EvictedUnfetched)
	item("evicted_active", stored.EvictedActive)
	item("crawler_reclaimed", stored.Swept)
	for _, name := range []string{"crawler_items_checked", "lrutail_reflocked",
		"moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims", "hits_to_hot", "hits_to_warm"} {
		item(name, 0)
	}
	item("hits_to_cold", srv.counters()[getHits])
	item("hits_to_temp", 0)
}

// slabs is `stats slabs`, with the same single class. Its chunk size is the mean item, never 0, because tools divide by it.
func (srv *Server) slabs(r *report) {
	stored, counted := srv.store.Stats(), srv.counters()
	active := 0
	if stored.TotalItems > 0 { // a class that has been used stays
		active = 1
		class := func(name string, n uint64) { r.number("1:"+name, n) }
		chunks := max(stored.CurrItems*stored.LimitBytes/max(stored.Bytes, 1), stored.CurrItems, 1)
		class("chunk_size", max(stored.Bytes/max(stored.CurrItems, 1), 1))
		class("chunks_per_page", chunks)
		class("total_pages", 1)
		class("total_chunks", chunks)
		class("used_chunks", stored.CurrItems)
		class("free_chunks", chunks-stored.CurrItems)
		class("free_chunks_end", 0)
		class("get_hits", counted[getHits])
		class("cmd_set", counted[cmdSet])
		class("delete_hits", counted[deleteHits])
		class("incr_hits", counted[incrHits])
		class("decr_hits", counted[decrHits])
		class("cas_hits", counted[casHits])
		class("cas_badval", counted[casBadval])
		class("touch_hits", counted[touchHits])
	}
	r.count("active_slabs", active)
	r.number("total_malloced", malloced(stored))
}

// malloced is what the store holds of its limit.
func malloced(stored storage.Stats) uint64 {
	return stored.SegmentBytes + stored.IndexBytes + stored.TableBytes
}

// sizes is `stats sizes`.
func (srv *Server) sizes(r *report) {
	if !srv.opts.TrackSizes {
		r.text("sizes_status", "disabled")
	}
	srv.store.Sizes(func(size int, items uint64) { r.number(strconv.Itoa(size), items) })
}

// counters sums what the loops have counted.
func (srv *Server) counters() (sum [numCounters]uint64) {
	for _, w := range srv.allWorkers() {
		w.tally.addTo(&sum)
	}
	srv.late.addTo(&sum)
	return sum
}

// resetStats starts the counters over; what is a state rather than a count stays.
func (srv *Server) resetStats() {
	for _, w := range srv.allWorkers() {
		w.tally.reset()
	}
	srv.late.reset()
	srv.lookout.resetStats()
	srv.prefixes.clear()
	srv.conns.total.Store(0)
	srv.conns.rejected.Store(0)
	srv.store.ResetStats()
}
