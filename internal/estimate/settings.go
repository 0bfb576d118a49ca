package estimate

import (
	"slices"
	"strings"

	"github.com/gomemd/gomemd/internal/asks"
)

// Setting is one that is not memcached's default, and does not mean the same here.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Verdict string `json:"verdict"` // ignored, refused or different
	Why     string `json:"why"`
}

// The verdicts.
const (
	ignored   = "ignored"   // the option is accepted and changes nothing
	refused   = "refused"   // the server does not start with the option
	different = "different" // it is served, in another way
)

// ignoredSettings have no meaning here, where there are no slabs, LRU lists and hash table of
// memcached's. Defaults are of all versions, blanks between them.
var ignoredSettings = []struct{ name, defaults, why string }{
	{"growth_factor", "1.25", "-f: there are no slab classes"},
	{"chunk_size", "48", "-n: there are no slab chunks"},
	{"slab_reassign", "yes", "there are no slab pages to move"},
	{"slab_automove", "1", "there are no slab pages to move"},
	{"slab_automove_ratio", "0.80", "there are no slab pages to move"},
	{"slab_automove_window", "10 30", "there are no slab pages to move"},
	{"slab_automove_freeratio", "0.010 0.005 0.01", "there are no slab pages to move"},
	{"slab_chunk_max", "524288 16384", "there are no slab chunks"},
	{"hashpower_init", "0 16", "the index grows and shrinks by itself"},
	{"hash_algorithm", "murmur3 jenkins xxh3", "the hash has a secret of the process"},
	{"tail_repair_time", "0", "there is nothing to repair"},
	{"lru_crawler_sleep", "100", "expired items are found by their segments"},
	{"lru_crawler_tocrawl", "0", "expired items are found by their segments"},
	{"lru_maintainer_thread", "yes", "there are no LRU lists"},
	{"lru_segmented", "yes", "there are no LRU lists"},
	{"hot_lru_pct", "20 32", "there are no LRU lists"},
	{"warm_lru_pct", "40 32", "there are no LRU lists"},
	{"hot_max_factor", "0.20", "there are no LRU lists"},
	{"warm_max_factor", "2.00", "there are no LRU lists"},
	{"temp_lru", "no", "items that end soon are kept together always"},
	{"temporary_ttl", "61", "items that end soon are kept together always"},
	{"worker_logbuf_size", "65536", "watchers have one buffer each"},
	{"read_buf_mem_limit", "0", "what connections hold is bounded by itself"},
	{"inline_ascii_response", "no", "memcached ignores it too, since 1.5.15"},
	{"ssl_wbuf_size", "16384", "TLS records are made of the items where they lie"},
	{"ssl_kernel_tls", "no", "TLS is not the kernel's"},
	{"num_napi_ids", "0 (null)", "it changes nothing"},
}

// judge lists the settings that do not mean here what they mean there. Values are printable.
func judge(a *Answers) (list []Setting) {
	add := func(name, value, verdict, why string) {
		list = append(list, Setting{name, asks.Printable(value), verdict, why})
	}
	s := a.Settings
	for _, name := range []string{"extstore_limit_maxbytes", "extstore_io_queue"} {
		if a.General.Has(name) {
			add("ext_path", "in use", refused, "there is no external storage: what is on its disk is not counted here")
			break
		}
	}
	if s["proxy_enabled"] == "yes" {
		add("proxy_enabled", "yes", refused, "there is no proxy")
	}
	if v := s["client_flags_size"]; v != "" && v != "4" {
		add("client_flags_size", v, refused, "clients' flags have 4 bytes")
	}
	if s["auth_enabled_sasl"] == "yes" {
		add("auth_enabled_sasl", "yes", different, "passwords come from -Y, or the file that MEMCACHED_SASL_PWDB names; sasldb and saslauthd are not asked")
	}
	if v := s["memory_file"]; v != "" && v != "(null)" {
		add("memory_file", v, different, "the file is another: a memcached's is not read")
	}
	if s["drop_privileges"] == "yes" {
		add("drop_privileges", "yes", ignored, "there is no system call filter")
	}
	if s["lru_crawler"] == "no" {
		add("lru_crawler", "no", different, "expired items are reclaimed all the same")
	}
	for _, i := range ignoredSettings {
		if value, ok := s[i.name]; ok && !slices.Contains(strings.Fields(i.defaults), value) {
			add(i.name, value, ignored, i.why)
		}
	}
	return list
}
