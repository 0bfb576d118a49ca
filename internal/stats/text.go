package stats

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gomemd/gomemd/protocol"
)

// The renderers of STAT lines. Names and order are memcached's: dashboards, exporters and its own
// test-suite read them. What has no meaning here is 0, or left out where memcached can leave it out
// too. Each appends to out; END is the caller's.

// lines gathers STAT lines.
type lines struct{ out []byte }

func (r *lines) text(name, value string) { r.out = protocol.AppendStat(r.out, name, value) }

func (r *lines) number(name string, n uint64) { r.text(name, strconv.FormatUint(n, 10)) }

func (r *lines) count(name string, n int) { r.text(name, strconv.Itoa(n)) }

// zeros are for names of parts of memcached that are not here: exporters want to see them.
func (r *lines) zeros(names ...string) {
	for _, name := range names {
		r.text(name, "0")
	}
}

func (r *lines) yesNo(name string, yes bool) {
	if yes {
		r.text(name, "yes")
	} else {
		r.text(name, "no")
	}
}

// cpuTime prints seconds and microseconds. Exporters read the part after the point as a number of
// microseconds, so it has six digits always.
func (r *lines) cpuTime(name string, t syscall.Timeval) {
	r.text(name, fmt.Sprintf("%d.%06d", t.Sec, t.Usec))
}

// AppendGeneral is `stats`.
func AppendGeneral(out []byte, s *Snapshot) []byte {
	r, process, conns, served, stored := &lines{out}, &s.Process, &s.Conns, &s.Served, &s.Store
	r.count("pid", process.PID)
	r.number("uptime", process.Uptime)
	r.number("time", uint64(process.Time))
	r.text("version", process.Version)
	r.text("libevent", process.EventLoop)
	r.count("pointer_size", strconv.IntSize)
	r.cpuTime("rusage_user", process.UserTime)
	r.cpuTime("rusage_system", process.SysTime)
	r.count("max_connections", s.Settings.MaxConns)
	r.number("curr_connections", conns.Current)
	r.number("total_connections", conns.Total)
	if !s.Settings.MaxConnsWait { // memcached shows it to those whose clients may be rejected
		r.number("rejected_connections", conns.Rejected)
	}
	r.number("connection_structures", conns.Current)
	r.zeros("response_obj_oom", "response_obj_count", "response_obj_bytes",
		"read_buf_count", "read_buf_bytes", "read_buf_bytes_free", "read_buf_oom") // memcached's pools of network buffers
	r.count("reserved_fds", conns.ReservedFDs)
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"cmd_get", served.CmdGet},
		{"cmd_set", served.CmdSet},
		{"cmd_flush", served.CmdFlush},
		{"cmd_touch", served.CmdTouch},
		{"cmd_meta", served.CmdMeta},
		{"get_hits", served.GetHits},
		{"get_misses", served.GetMisses},
		{"get_expired", stored.GetExpired},
		{"get_flushed", stored.GetFlushed},
		{"delete_misses", served.DeleteMisses},
		{"delete_hits", served.DeleteHits},
		{"incr_misses", served.IncrMisses},
		{"incr_hits", served.IncrHits},
		{"decr_misses", served.DecrMisses},
		{"decr_hits", served.DecrHits},
		{"cas_misses", served.CasMisses},
		{"cas_hits", served.CasHits},
		{"cas_badval", served.CasBadval},
		{"touch_hits", served.TouchHits},
		{"touch_misses", served.TouchMisses},
		{"store_too_large", served.StoreTooLarge},
		{"store_no_memory", served.StoreNoMemory},
		{"auth_cmds", served.AuthCmds},
		{"auth_errors", served.AuthErrors},
		{"idle_kicks", served.IdleKicks},
		{"bytes_read", served.BytesRead},
		{"bytes_written", served.BytesWritten},
		{"limit_maxbytes", stored.LimitBytes},
		{"accepting_conns", oneIf(!conns.Paused)},
		{"listen_disabled_num", conns.Pauses},
		{"time_in_listen_disabled_us", conns.PausedMicros},
		{"threads", uint64(s.Settings.Threads)},
		{"conn_yields", served.ConnYields},
		{"hash_power_level", hashPower(stored.IndexBytes)},
		{"hash_bytes", stored.IndexBytes},
		{"hash_is_expanding", 0},
	} {
		if c.name == "idle_kicks" && s.Settings.IdleTimeout == 0 {
			continue // memcached does not show it either
		}
		r.number(c.name, c.n)
	}
	r.zeros("slab_reassign_rescues", "slab_reassign_chunk_rescues", "slab_reassign_inline_reclaim",
		"slab_reassign_busy_items", "slab_reassign_busy_deletes", "slab_reassign_busy_nomem") // there are no slabs
	r.text("slab_reassign_last_busy_status", "none")
	crawler, maintainer := s.Crawler.On, !s.Settings.NoMaintainer // their names come and go with them
	r.zeros("slab_reassign_running", "slabs_moved")
	if crawler {
		r.number("lru_crawler_running", oneIf(s.Crawler.Running))
		r.number("lru_crawler_starts", s.Crawler.Starts)
	}
	if maintainer {
		r.zeros("lru_maintainer_juggles")
	}
	r.zeros("malloc_fails")
	r.number("log_worker_dropped", s.Watch.Dropped)
	r.number("log_worker_written", s.Watch.Written)
	r.number("log_watcher_skipped", s.Watch.Skipped)
	r.number("log_watcher_sent", s.Watch.Sent)
	r.count("log_watchers", s.Watch.Watchers)
	if s.Settings.TLS.Enabled {
		if s.Settings.TLS.SessionCache {
			r.number("ssl_new_sessions", served.SSLNewSessions)
		}
		r.number("ssl_handshake_errors", served.SSLHandshakeErrors)
		r.number("ssl_proto_errors", served.SSLProtoErrors)
		r.number("time_since_server_cert_refresh", s.CertAge)
	}
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
	return r.out
}

func oneIf(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

// hashPower is the power of two whose table of memcached's 8-byte buckets has these many bytes;
// exporters show it.
func hashPower(indexBytes uint64) (power uint64) {
	for 8<<power < indexBytes {
		power++
	}
	return power
}

// threadsPerUDP is what memcached has for each UDP socket.
func threadsPerUDP(o *Settings) int {
	if strings.Contains(o.Inter, ",") {
		return 1
	}
	return o.Threads
}

// AppendSettings is `stats settings`. The slab and LRU settings have no meaning here; their values
// are memcached's defaults, since exporters refuse an answer that lacks them.
func AppendSettings(out []byte, s *Snapshot) []byte {
	r, o := &lines{out}, &s.Settings
	r.number("maxbytes", s.Store.LimitBytes)
	r.count("maxconns", o.MaxConns)
	r.count("tcpport", o.Port)
	r.count("udpport", o.UDPPort)
	r.text("inter", orNULL(o.Inter))
	r.number("verbosity", uint64(o.Verbosity))
	r.number("oldest", 0)
	r.text("evictions", onOff(!o.DisableEviction))
	r.text("domain_socket", orNULL(o.UnixSocket))
	r.text("umask", strconv.FormatUint(uint64(o.UnixMask), 8))
	r.yesNo("shutdown_command", o.EnableShutdown)
	r.text("growth_factor", "1.25")
	r.text("chunk_size", "48")
	r.count("num_threads", o.Threads)
	r.count("num_threads_per_udp", threadsPerUDP(o))
	r.text("stat_key_prefix", string(o.PrefixDelimiter))
	r.yesNo("detail_enabled", o.StatsDetail)
	r.count("reqs_per_event", o.ReqsPerEvent)
	r.yesNo("cas_enabled", !o.DisableCAS)
	r.count("tcp_backlog", o.Backlog)
	r.text("binding_protocol", o.Protocol)
	r.yesNo("auth_enabled_sasl", o.SASL)
	r.text("auth_enabled_ascii", cmp.Or(o.AuthFile, "no"))
	r.count("item_size_max", o.ItemMax)
	r.yesNo("maxconns_fast", !o.MaxConnsWait)
	r.text("hashpower_init", "0")
	r.yesNo("slab_reassign", true)
	r.text("slab_automove", o.Tuning("slab_automove"))
	r.text("slab_automove_ratio", o.Tuning("slab_automove_ratio"))
	r.text("slab_automove_window", o.Tuning("slab_automove_window"))
	r.text("slab_chunk_max", "524288")
	r.yesNo("lru_crawler", s.Crawler.On)
	r.text("lru_crawler_sleep", o.Tuning("lru_crawler_sleep"))
	r.text("lru_crawler_tocrawl", o.Tuning("lru_crawler_tocrawl"))
	r.text("tail_repair_time", "0")
	r.yesNo("flush_enabled", !o.DisableFlush)
	r.yesNo("dump_enabled", !o.DisableDump)
	r.text("hash_algorithm", "maphash")
	r.yesNo("lru_maintainer_thread", !o.NoMaintainer)
	r.text("lru_segmented", o.Tuning("lru_segmented"))
	r.text("hot_lru_pct", o.Tuning("hot_lru_pct"))
	r.text("warm_lru_pct", o.Tuning("warm_lru_pct"))
	r.text("hot_max_factor", o.Tuning("hot_max_factor"))
	r.text("warm_max_factor", o.Tuning("warm_max_factor"))
	r.text("temp_lru", o.Tuning("temp_lru"))
	r.text("temporary_ttl", o.Tuning("temporary_ttl"))
	r.count("idle_timeout", int(o.IdleTimeout/time.Second))
	r.count("watcher_logbuf_size", o.WatcherBuffer)
	r.count("worker_logbuf_size", o.RecorderBuffer)
	r.text("read_buf_mem_limit", "0")
	r.yesNo("track_sizes", o.TrackSizes)
	r.yesNo("inline_ascii_response", false)
	r.tls(&o.TLS)
	r.text("num_napi_ids", "0")
	r.text("memory_file", cmp.Or(o.MemoryFile, "(null)"))
	r.text("client_flags_size", "4")
	return r.out
}

// tls is the part of the settings about TLS. Values are those that memcached keeps: OpenSSL's flags
// for what is asked of clients, and how printf writes no string.
func (r *lines) tls(o *TLS) {
	r.yesNo("ssl_enabled", o.Enabled)
	r.text("ssl_chain_cert", cmp.Or(o.ChainFile, "(null)"))
	r.text("ssl_key", cmp.Or(o.KeyFile, "(null)"))
	r.count("ssl_verify_mode", [...]int{0, 1, 1 | 2, 1 | 2 | 4}[o.Verify])
	r.count("ssl_keyformat", cmp.Or(o.KeyFormat, 1))
	r.text("ssl_ciphers", orNULL(o.Ciphers))
	r.text("ssl_ca_cert", orNULL(o.CAFile))
	r.count("ssl_wbuf_size", o.WriteBuffer)
	r.yesNo("ssl_session_cache", o.SessionCache)
	r.yesNo("ssl_kernel_tls", o.KernelTLS)
	version := "tlsv1.2"
	if o.MinVersion > tls.VersionTLS12 {
		version = "tlsv1.3"
	}
	r.text("ssl_min_version", version)
}

// tuning are memcached's settings of slabs and LRU, with what they are there unless told.
var tuning = map[string]string{
	"slab_automove":        "1",
	"slab_automove_ratio":  "0.80",
	"slab_automove_window": "10",
	"lru_crawler_sleep":    "100",
	"lru_crawler_tocrawl":  "0",
	"lru_segmented":        "yes",
	"hot_lru_pct":          "20",
	"warm_lru_pct":         "40",
	"hot_max_factor":       "0.20",
	"warm_max_factor":      "2.00",
	"temp_lru":             "no",
	"temporary_ttl":        "61",
}

// Tuning is what one of memcached's settings of slabs and LRU was set to; it has no effect.
func (o *Settings) Tuning(name string) string { return cmp.Or(o.Tuned[name], tuning[name]) }

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

// AppendItems is `stats items`: one class, numbered 1, that has everything. Slab classes do not
// exist here, and tools that draw them then show the whole.
func AppendItems(out []byte, s *Snapshot) []byte {
	r, stored := &lines{out}, &s.Store
	if stored.CurrItems == 0 {
		return out // memcached leaves out empty classes
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
	item("outofmemory", s.Served.StoreNoMemory)
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
	item("hits_to_cold", s.Served.GetHits)
	item("hits_to_temp", 0)
	return r.out
}

// AppendSlabs is `stats slabs`, with the same single class.
func AppendSlabs(out []byte, s *Snapshot) []byte {
	r, served := &lines{out}, &s.Served
	active := 0
	if chunk, ok := s.Chunks(); ok {
		active = 1
		class := func(name string, n uint64) { r.number("1:"+name, n) }
		class("chunk_size", chunk.Size)
		class("chunks_per_page", chunk.Total)
		class("total_pages", 1)
		class("total_chunks", chunk.Total)
		class("used_chunks", chunk.Used)
		class("free_chunks", chunk.Total-chunk.Used)
		class("free_chunks_end", 0)
		class("get_hits", served.GetHits)
		class("cmd_set", served.CmdSet)
		class("delete_hits", served.DeleteHits)
		class("incr_hits", served.IncrHits)
		class("decr_hits", served.DecrHits)
		class("cas_hits", served.CasHits)
		class("cas_badval", served.CasBadval)
		class("touch_hits", served.TouchHits)
	}
	r.count("active_slabs", active)
	r.number("total_malloced", s.Malloced())
	return r.out
}

// Chunks are items as memcached's slab class would have them, whose chunks are as large as the mean item.
type Chunks struct {
	Size        uint64 // bytes, never 0: tools divide by it
	Total, Used uint64
}

// Chunks are those of the single class. It is not there until it has memory, and then it stays, as one
// that has pages does there, be it empty. That is looked up, not counted: counts start over with
// stats reset and with a restart, while the items stay.
func (s *Snapshot) Chunks() (c Chunks, ok bool) {
	st := &s.Store
	if st.HeldBytes <= st.IndexBytes {
		return Chunks{}, false
	}
	return Chunks{
		Size:  max(st.Bytes/max(st.CurrItems, 1), 1),
		Total: max(st.CurrItems*st.LimitBytes/max(st.Bytes, 1), st.CurrItems, 1),
		Used:  st.CurrItems,
	}, true
}

// Malloced is what is held of the limit, in bytes.
func (s *Snapshot) Malloced() uint64 {
	return s.Store.SegmentBytes + s.Store.IndexBytes + s.Store.TableBytes
}

// AppendOwn is `stats gomemd`: what memcached has no name for. It is not part of `stats`, whose
// names are memcached's and no others: its own test-suite counts them.
//
//	memory_…      where the process's memory is (memory.go)
//	items_…       where the part of it is that -m bounds
//	evicted_…     live items that were lost, by reason; their sum is evictions
//	flush_…       flush_prefix
//	conn_…        clients that are or were slow, and that were closed, by reason
//	udp_…         replies over UDP
//	log_…         the log
//	curve_…       what other values of -m would do (Curve)
//	restored_…    what the start found in the memory file
func AppendOwn(out []byte, s *Snapshot) []byte {
	r, stored, served, found := &lines{out}, &s.Store, &s.Served, &s.Restored
	r.number("memory_items", s.Memory.Items)
	r.number("memory_connections", s.Memory.Connections)
	r.number("memory_runtime", s.Memory.Runtime)
	r.number("memory_program", s.Memory.Program)
	r.number("memory_sum", s.Memory.Sum())
	r.number("memory_resident", s.Memory.Resident)

	r.number("items_segments", stored.SegmentBytes)
	r.number("items_dead", stored.DeadBytes) // of these
	r.number("items_free", stored.FreeBytes) // segments that could be taken at once, with pages or without
	r.number("items_index", stored.IndexBytes)
	r.number("items_table", stored.TableBytes)

	r.number("evicted_room", stored.Evictions-stored.EvictedIndex)
	r.number("evicted_index", stored.EvictedIndex)   // both places in the index were full
	r.number("evicted_active", stored.EvictedActive) // of all these: used not long ago
	r.number("evicted_age", stored.EvictedAge)       // seconds: about how long an item that nobody reads stays
	r.number("evicted_again", stored.GhostHits)      // stored again soon after: a larger memory would have had them
	r.number("oldest_age", stored.OldestAge)
	r.number("expired", stored.Expired)

	r.number("flush_prefixes", served.FlushPrefixes)                  // flush_prefix that was obeyed …
	r.number("flush_prefixes_under_way", uint64(s.Insight.Prefixing)) // … and whose memory is still being taken back

	r.number("conn_behind", s.Conns.Behind)
	r.number("conn_slow", served.SlowReaders)
	r.number("conn_budget_dropped", served.BudgetDropped)
	r.number("conn_pins_dropped", served.PinsDropped)
	r.number("conn_panics", served.ConnPanics)
	r.number("udp_dropped", served.UDPDropped)

	r.number("log_dropped", s.LogDropped) // lines that nobody read in time

	curve := &s.Insight.Curve
	r.number("curve_keys", curve.Keys)
	r.number("curve_gets", curve.Gets)
	r.number("curve_own", tenThousandths(curve.Ratio))
	for _, percent := range [...]int{50, 75, 100, 150, 200, 400} {
		ratio := 0.0 // while too little is known
		for _, p := range curve.Points {
			if int(100*p.Factor) == percent {
				ratio = p.HitRatio
			}
		}
		r.number("curve_"+strconv.Itoa(percent), tenThousandths(ratio))
	}

	r.number("restored_items", found.Items)
	r.number("restored_bytes", found.Bytes)
	r.number("restored_ended", found.Ended)     // had expired, or been flushed
	r.number("restored_dropped", found.Dropped) // not restored: they were being written when the last server ended
	r.number("restored_us", uint64(found.Took.Microseconds()))
	return r.out
}

func tenThousandths(ratio float64) uint64 { return uint64(math.Round(10_000 * ratio)) }

// AppendHotKeys is `stats hotkeys`: the keys that are asked for most, and those whose values take most
// of what is read and written, the first of each first. It is in one word for each key, and the key
// in it is encoded as metadump's.
func AppendHotKeys(out []byte, hot *HotKeys) []byte {
	r := &lines{out}
	r.number("sampled", hot.Sampled)
	if len(hot.ByRequests) == 0 {
		return r.out
	}
	r.number("seconds", uint64(hot.Until.Sub(hot.Since)/time.Second))
	r.number("requests", hot.Requests)
	r.number("bytes", hot.Bytes)
	list := func(name string, keys []HotKey, all uint64, of func(*HotKey) uint64) {
		for i := range keys {
			k := &keys[i]
			share := 100 * float64(of(k)) / float64(max(all, 1))
			r.text(name+":"+strconv.Itoa(i+1), fmt.Sprintf("key=%s,requests=%d,bytes=%d,share=%.2f,error=%d",
				protocol.AppendURI(nil, k.Key), k.Requests, k.Bytes, share, k.Error))
		}
	}
	list("by_requests", hot.ByRequests, hot.Requests, func(k *HotKey) uint64 { return k.Requests })
	list("by_bytes", hot.ByBytes, hot.Bytes, func(k *HotKey) uint64 { return k.Bytes })
	return r.out
}

// AppendConn is one of `stats conns`. asks is the descriptor of who wants to know.
func AppendConn(out []byte, c *Conn, asks int) []byte {
	r := &lines{out}
	fd, state := strconv.Itoa(c.FD), c.State
	if c.FD == asks {
		state = "conn_parse_cmd"
	}
	if c.UDP {
		r.text(fd+":UDP", "UDP")
	}
	r.text(fd+":addr", c.Addr)
	if c.Listen != "" {
		r.text(fd+":listen_addr", c.Listen)
	}
	r.text(fd+":state", state)
	r.number(fd+":secs_since_last_cmd", c.Quiet)
	return r.out
}

// AppendSizes is `stats sizes`. each visits the sizes of items, and how many there are.
func AppendSizes(out []byte, tracked bool, each func(visit func(size int, items uint64))) []byte {
	r := &lines{out}
	if !tracked {
		r.text("sizes_status", "disabled")
	}
	each(func(size int, items uint64) { r.number(strconv.Itoa(size), items) })
	return r.out
}
