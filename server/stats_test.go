package server

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allStats asks for statistics and gives their names, in order, and their values.
func (c *client) allStats(what string) (names []string, values map[string]string, size int) {
	c.t.Helper()
	c.say("stats" + what + "\r\n")
	values = map[string]string{}
	for {
		line := c.hearLine()
		size += len(line) + 2
		if line == "END" {
			return names, values, size
		}
		words := strings.Split(line, " ")
		if len(words) != 3 || words[0] != "STAT" || words[2] == "" {
			c.t.Fatalf("%q: collectors want STAT, a name and a value", line)
		}
		names = append(names, words[1])
		values[words[1]] = words[2]
	}
}

// The names and their order are memcached's: what 1.6.45 answers.
func TestStatsHasTheNamesOfMemcached(t *testing.T) {
	const all = `pid uptime time version libevent pointer_size rusage_user rusage_system max_connections curr_connections
		total_connections rejected_connections* connection_structures response_obj_oom response_obj_count response_obj_bytes
		read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta
		get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits
		cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors
		bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads conn_yields
		hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues
		slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem
		slab_reassign_last_busy_status slab_reassign_running slabs_moved lru_crawler_running* lru_crawler_starts*
		lru_maintainer_juggles* malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent
		log_watchers unexpected_napi_ids round_robin_fallback bytes curr_items total_items slab_global_page_pool
		expired_unfetched evicted_unfetched evicted_active* evictions reclaimed crawler_reclaimed crawler_items_checked
		lrutail_reflocked moves_to_cold* moves_to_warm* moves_within_lru* direct_reclaims* lru_bumps_dropped*`
	full := strings.Join(strings.Fields(strings.ReplaceAll(all, "*", "")), " ")
	few := strings.Join(strings.Fields(regexp.MustCompile(`\w+\*`).ReplaceAllString(all, "")), " ")
	for want, opts := range map[string]Options{
		full: {},
		few:  {MaxConnsWait: true, Settings: Settings{NoCrawler: true, NoMaintainer: true}},
	} {
		names, _, size := dial(t, startServer(t, opts)).allStats("")
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%d names:\n%s, want\n%s", len(names), got, want)
		}
		if size+len(names)*14 > 4096 { // should each number grow to 15 digits
			t.Errorf("%d bytes: collectd reads 4096", size)
		}
	}
}

// An operator finds each name of our own in docs/operating.md, in this order, and no other.
func TestOurOwnStatsAreExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| (?:bytes|items|seconds|clients|replies|lines|gets|1/10000|µs) \\|").FindAllSubmatch(text, -1) {
		explained = append(explained, string(row[1]))
	}
	names, _, _ := dial(t, startServer(t, Options{})).allStats(" gomemd")
	if !slices.Equal(names, explained) {
		t.Errorf("stats gomemd has\n%s\ndocs/operating.md\n%s", names, explained)
	}
}

// After reset the counters are 0 and what is held is still told.
func TestStatsReset(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 8 << 20, StatsDetail: true})
	watch(t, srv, "")
	c := dial(t, srv)
	for i := range 9000 {
		c.say(fmt.Sprintf("set k:%d 0 0 1000 noreply\r\n%01000d\r\nget k:%d\r\nget no%d\r\n", i, i, i, i))
		c.hear(fmt.Sprintf("VALUE k:%d 0 1000\r\n%01000d\r\nEND\r\nEND\r\n", i, i))
	}
	c.say("incr no 1\r\ndecr no 1\r\ntouch no 1\r\ndelete no\r\ncas no 0 0 1 1\r\nx\r\nme no\r\nset big 0 0 2000000 noreply\r\n" +
		strings.Repeat("x", 2_000_000) + "\r\nmn\r\n")
	c.hear("NOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nEN\r\nMN\r\n")
	counted := strings.Fields(`total_connections cmd_get cmd_set cmd_touch cmd_meta get_hits get_misses delete_misses incr_misses decr_misses
		cas_misses touch_misses store_too_large bytes_read bytes_written total_items evictions log_worker_written log_watcher_sent`)
	held := strings.Fields(`curr_connections bytes curr_items limit_maxbytes log_watchers hash_bytes`)
	_, before, _ := c.allStats("")
	_, ours, _ := c.allStats(" gomemd")
	if ours["evicted_room"] != before["evictions"] {
		t.Errorf("%s for room of %s evictions", ours["evicted_room"], before["evictions"])
	}
	c.say("stats reset\r\n")
	c.hear("RESET\r\n")
	_, after, _ := c.allStats("")
	for _, name := range counted {
		if small := len(after[name]) <= 2; before[name] == "0" || !small { // this conversation's bytes are counted again
			t.Errorf("%s: %s, after the reset %s", name, before[name], after[name])
		}
	}
	for _, name := range held {
		if before[name] != after[name] || after[name] == "0" {
			t.Errorf("%s: %s, after the reset %s", name, before[name], after[name])
		}
	}
	_, ours, _ = c.allStats(" gomemd")
	if ours["evicted_room"] != "0" || ours["items_segments"] == "0" {
		t.Errorf("%v", ours)
	}
}

// stats slabs and stats items tell what is there, whatever has been counted: pecl-memcache and
// memcached-tool find no item of a server whose class is not shown. As with memcached a class that
// has memory is shown when it is empty, and one that never had any is not.
func TestSlabsTellWhatIsThere(t *testing.T) {
	opts := Options{MemoryFile: filepath.Join(t.TempDir(), "items")}
	var c *client
	want := func(when, active, used, number string) {
		t.Helper()
		_, slabs, _ := c.allStats(" slabs")
		_, items, _ := c.allStats(" items")
		if slabs["active_slabs"] != active || slabs["1:used_chunks"] != used || items["items:1:number"] != number {
			t.Errorf("%s: active_slabs %q, used_chunks %q, number %q; want %q, %q, %q", when,
				slabs["active_slabs"], slabs["1:used_chunks"], items["items:1:number"], active, used, number)
		}
		if slabs["1:chunk_size"] == "0" || slabs["1:total_chunks"] == "0" {
			t.Errorf("%s: %v", when, slabs) // tools divide by them
		}
	}
	opts.Listen = []string{"127.0.0.1:0"}
	srv, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	c = dial(t, srv)
	do := func(say, hear string) { t.Helper(); c.say(say); c.hear(hear) }
	want("nothing", "0", "", "")
	do("stats reset\r\n", "RESET\r\n")
	want("nothing, reset", "0", "", "")
	do("set k 0 0 3\r\nabc\r\n", "STORED\r\n")
	want("an item", "1", "1", "1")
	do("stats reset\r\n", "RESET\r\n")
	want("an item, reset", "1", "1", "1")

	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv = startServer(t, opts)
	c = dial(t, srv)
	want("another start", "1", "1", "1")
	do("delete k\r\nstats reset\r\n", "DELETED\r\nRESET\r\n")
	want("deleted", "1", "0", "")
	do("set k 0 0 3\r\nabc\r\nflush_all\r\n", "STORED\r\nOK\r\n")
	eventually(t, "the item is swept", func() bool { return c.stat("curr_items") == "0" })
	do("stats reset\r\n", "RESET\r\n")
	want("flushed", "1", "0", "")
}

// The rows come by descriptor, which says nothing of who came first: a client gets one that is free
// just then.
func TestStatsConns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	srv := startServer(t, Options{UnixSocket: path})
	asks := dial(t, srv)
	dial(t, srv).say("set k 0 0 5\r\nab")
	watch(t, srv, "")
	want := regexp.MustCompile(`^addr unix:\S+ state conn_listening secs_since_last_cmd \d+ ` +
		`addr unix:@ listen_addr unix:\S+/socket state conn_nread secs_since_last_cmd \d+ ` +
		`addr unix:@ listen_addr unix:\S+/socket state conn_parse_cmd secs_since_last_cmd \d+ ` +
		`addr unix:@ listen_addr unix:\S+/socket state conn_watch secs_since_last_cmd \d+$`)
	eventually(t, "three clients in three states", func() bool {
		names, values, _ := asks.allStats(" conns")
		var fds []int
		var rows []string
		for _, name := range names {
			number, what, _ := strings.Cut(name, ":")
			if what == "addr" {
				fd, err := strconv.Atoi(number)
				if err != nil {
					t.Fatal(err)
				}
				fds, rows = append(fds, fd), append(rows, "")
			}
			rows[len(rows)-1] += " " + what + " " + values[name]
		}
		if !slices.IsSorted(fds[1:]) {
			t.Errorf("the clients are in the order %d", fds[1:])
		}
		slices.Sort(rows[1:]) // by state
		return want.MatchString(strings.Join(rows, "")[1:])
	})
}
