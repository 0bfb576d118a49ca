package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lru is what the -o suboptions about memcached's LRU say. There is no such LRU here; it is kept because some of its
// numbers exclude each other, and a command line that memcached refuses should not pass here by silence.
type lru struct {
	hotPct, warmPct  int
	maintainer, temp bool
}

var defaultLRU = lru{hotPct: 20, warmPct: 40, maintainer: true}

func (l lru) check() error {
	if l.hotPct+l.warmPct > 80 {
		return quit(exUsage, "hot_lru_pct + warm_lru_pct cannot be more than 80%% combined")
	}
	if l.temp && !l.maintainer {
		return quit(exUsage, "temporary_ttl requires lru_maintainer to be enabled")
	}
	return nil
}

// suboption is one row of the -o table.
type suboption struct {
	name    string
	missing string // what to say when its value is missing; "" when it needs none
	set     func(c *config, value string) error
}

// suboptions are those of memcached 1.6.45 that do something here.
var suboptions = []suboption{
	{"maxconns_fast", "", func(c *config, _ string) error { c.opts.MaxConnsWait = false; return nil }},
	{"no_maxconns_fast", "", func(c *config, _ string) error { c.opts.MaxConnsWait = true; return nil }},
	{"idle_timeout", "Missing numeric argument for idle_timeout", setIdleTimeout},
	{"track_sizes", "", func(c *config, _ string) error { c.opts.TrackSizes = true; return nil }},
	{"watcher_logbuf_size", "Missing watcher_logbuf_size argument", setWatcherBuffer},
	{"ssl_chain_cert", "Missing ssl_chain_cert argument", text(func(c *config) *string { return &c.encryption.tls.ChainFile })},
	{"ssl_key", "Missing ssl_key argument", text(func(c *config) *string { return &c.encryption.tls.KeyFile })},
	{"ssl_keyformat", "Missing ssl_keyformat argument", tlsNumber("ssl_keyformat", setKeyFormat)},
	{"ssl_ca_cert", "Missing ssl_ca_cert argument", text(func(c *config) *string { return &c.encryption.tls.CAFile })},
	{"ssl_verify_mode", "Missing ssl_verify_mode argument", tlsNumber("ssl_verify_mode", setVerifyMode)},
	{"ssl_min_version", "Missing ssl_min_version argument", tlsNumber("ssl_min_version", setMinVersion)},
	{"ssl_ciphers", "Missing ssl_ciphers argument", text(func(c *config) *string { return &c.encryption.tls.Ciphers })},
	{"ssl_session_cache", "", func(c *config, _ string) error { c.encryption.tls.SessionCache = true; return nil }},
	{"no_modern", "", func(c *config, v string) error {
		c.opts.MaxConnsWait, c.opts.Settings.NoCrawler = true, true
		return maintainer(false)(c, v)
	}},
}

// tuning is the rest of them. Nearly all tune slabs, LRU lists and a hash table that are not here: their values are checked
// as memcached checks them, and then they are named once at -v.
var tuning = []suboption{
	{"hashpower", "Missing numeric argument for hashpower", setHashpower},
	{"no_hashexpand", "", nil},
	{"slab_reassign", "", nil},
	{"no_slab_reassign", "", nil},
	{"slab_automove", "", setAutomove},
	{"no_slab_automove", "", nil},
	{"slab_automove_ratio", "Missing slab_automove_ratio argument",
		between(1e-9, 1, "slab_automove_ratio must be > 0 and < 1")},
	{"slab_automove_window", "Missing slab_automove_window argument",
		between(3, 1800, "slab_automove_window must be > 2 and < 1800")},
	{"slab_automove_freeratio", "Missing slab_automove_freeratio argument", setFreeRatio},
	{"tail_repair_time", "Missing numeric argument for tail_repair_time",
		between(10, maxValue, "Cannot set tail_repair_time to less than 10 seconds")},
	{"hash_algorithm", "Missing hash_algorithm argument", setHashAlgorithm},
	{"lru_crawler", "", func(c *config, _ string) error { c.opts.Settings.NoCrawler = false; return nil }},
	{"no_lru_crawler", "", func(c *config, _ string) error { c.opts.Settings.NoCrawler = true; return nil }},
	{"lru_crawler_sleep", "Missing lru_crawler_sleep value",
		between(0, 1e6, "LRU crawler sleep must be between 0 and 1 second")},
	{"lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value",
		unsigned("lru_crawler_tocrawl takes a numeric 32bit value")},
	{"lru_maintainer", "", maintainer(true)},
	{"no_lru_maintainer", "", maintainer(false)},
	{"hot_lru_pct", "Missing hot_lru_pct argument",
		percent("hot_lru_pct must be > 1 and < 80", func(c *config) *int { return &c.lru.hotPct })},
	{"warm_lru_pct", "Missing warm_lru_pct argument",
		percent("warm_lru_pct must be > 1 and < 80", func(c *config) *int { return &c.lru.warmPct })},
	{"hot_max_factor", "Missing hot_max_factor argument", between(1e-9, maxValue, "hot_max_factor must be > 0")},
	{"warm_max_factor", "Missing warm_max_factor argument", between(1e-9, maxValue, "warm_max_factor must be > 0")},
	{"temporary_ttl", "Missing temporary_ttl argument", func(c *config, _ string) error { c.lru.temp = true; return nil }},
	{"worker_logbuf_size", "Missing worker_logbuf_size argument", unsigned("could not parse argument to worker_logbuf_size")},
	{"slab_sizes", "Missing slab_sizes argument", nil},
	{"slab_chunk_max", "Missing slab_chunk_max argument", setChunkMax},
	{"no_chunked_items", "", nil},
	{"inline_ascii_resp", "", nil},
	{"no_inline_ascii_resp", "", nil},
	{"modern", "", nil},
	{"drop_privileges", "", warned("warning: -o drop_privileges: there is no system call filter in this server")},
	{"no_drop_privileges", "", nil},
	{"resp_obj_mem_limit", "", warned("DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit,")},
	{"read_buf_mem_limit", "Missing read_buf_mem_limit argument", unsigned("could not parse argument to read_buf_mem_limit")},
	{"sock_cookie_id", "Missing sock_cookie_id argument", nil},
	{"relaxed_privileges", "", nil}, // of memcached's debug build; its test suite passes it to every server
	{"ssl_wbuf_size", "Missing ssl_wbuf_size argument", setWriteBuffer},
	{"ssl_kernel_tls", "", func(c *config, _ string) error { c.encryption.tls.KernelTLS = true; return nil }},
}

// setExtended takes a list as getsubopt does: name or name=value, between commas; a comma at the end is forgiven.
func setExtended(c *config, list string) error {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ",")
		if err := setSuboption(c, one); err != nil {
			return err
		}
	}
	return nil
}

func setSuboption(c *config, one string) error {
	name, v, valued := strings.Cut(one, "=")
	switch {
	case strings.HasPrefix(name, "ext_"):
		return quit(exFailure, "-o %s: this server has no external storage; all items are kept in memory", name)
	case strings.HasPrefix(name, "proxy_"):
		return quit(exFailure, "-o %s: this server has no proxy", name)
	}
	called := func(s suboption) bool { return s.name == name }
	table, i := suboptions, slices.IndexFunc(suboptions, called)
	if i < 0 {
		if table, i = tuning, slices.IndexFunc(tuning, called); i < 0 {
			return quit(exFailure, "Illegal suboption \"%s\"", one)
		}
		c.noops = append(c.noops, "-o "+one)
	} else if strings.HasPrefix(name, "ssl_") {
		c.encryption.options = append(c.encryption.options, "-o "+one)
	}
	switch s := table[i]; {
	case s.missing != "" && !valued:
		return quit(exFailure, "%s", s.missing)
	case s.set == nil:
		return nil
	default:
		return s.set(c, v)
	}
}

// maxValue stands for no upper bound.
const maxValue = 1e18

// leading reads the number that a value begins with, as memcached's atoi and atof do; nothing is 0. What these values
// tune is not here, so there is no point in being stricter with them.
func leading(v string) float64 {
	v = strings.TrimLeft(v, blanks)
	for end := len(v); end > 0; end-- {
		if f, err := strconv.ParseFloat(v[:end], 64); err == nil {
			return f
		}
	}
	return 0
}

func between(least, most float64, complaint string) func(*config, string) error {
	return func(_ *config, v string) error {
		if f := leading(v); !(f >= least && f <= most) { // not f < least: NaN is refused too
			return quit(exFailure, "%s", complaint)
		}
		return nil
	}
}

func percent(complaint string, field func(*config) *int) func(*config, string) error {
	return func(c *config, v string) error {
		*field(c) = int(leading(v))
		return between(1, 79, complaint)(c, v)
	}
}

func unsigned(complaint string) func(*config, string) error {
	return func(_ *config, v string) error {
		if _, err := strconv.ParseUint(v, 10, 64); err != nil {
			return quit(exFailure, "%s", complaint)
		}
		return nil
	}
}

func warned(warning string) func(*config, string) error {
	return func(c *config, _ string) error {
		c.warn("%s", warning)
		return nil
	}
}

func setHashpower(_ *config, v string) error {
	switch n := int(leading(v)); {
	case n < 12:
		return quit(exFailure, "Initial hashtable multiplier of %d is too low", n)
	case n > 32:
		return quit(exFailure, "Initial hashtable multiplier of %d is too high\n"+
			"Choose a value based on \"STAT hash_power_level\" from a running instance", n)
	}
	return nil
}

func setAutomove(c *config, v string) error {
	return between(0, 2, "slab_automove must be between 0 and 2")(c, v) // without a value it is 1; "" reads as 0
}

func setFreeRatio(_ *config, v string) error {
	if _, err := strconv.ParseFloat(v, 64); err != nil {
		return quit(exFailure, "could not parse argument to slab_automove_freeratio")
	}
	return nil
}

func setHashAlgorithm(_ *config, v string) error {
	switch v {
	case "jenkins", "murmur3", "xxh3":
		return nil
	}
	return quit(exFailure, "Unknown hash_algorithm option (jenkins, murmur3, xxh3)")
}

// setIdleTimeout takes what is no number for 0, as memcached does: no timeout. A negative number, at which memcached closes
// every connection at once, is none either.
func setIdleTimeout(c *config, v string) error {
	c.opts.IdleTimeout = time.Duration(max(0, min(leading(v), math.MaxInt32))) * time.Second
	return nil
}

// maintainer is kept because temporary_ttl wants it, and because stats leaves out its names without it.
func maintainer(on bool) func(*config, string) error {
	return func(c *config, _ string) error {
		c.lru.maintainer, c.opts.Settings.NoMaintainer = on, !on
		return nil
	}
}

func setWatcherBuffer(c *config, v string) error {
	kilobytes, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return quit(exFailure, "could not parse argument to watcher_logbuf_size")
	}
	c.opts.WatcherBuffer = int(kilobytes) << 10
	return nil
}

func setChunkMax(_ *config, v string) error {
	kilobytes, err := number(v)
	switch {
	case err != nil:
		return quit(exFailure, "could not parse argument to slab_chunk_max")
	case kilobytes <= 0:
		return quit(exFailure, "slab_chunk_max must be >= 0")
	case kilobytes > 1<<10:
		return quit(exFailure, "slab_chunk_max must be specified in kilobytes.")
	}
	return nil
}
