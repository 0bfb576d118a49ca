package main

import (
	"strings"
	"time"

	"github.com/gomemd/gomemd/bench/internal/pair"
)

// A workload is one row: what to send, and what the server needs for it.
type workload struct {
	name   string
	args   string        // of load, see its -h
	driver driver        // nil: load
	memory int           // -m
	tls    string        // the server's kind of key, if it is to serve TLS; the client then does too
	beside string        // a second load at the same time, which is there to disturb and is not measured
	quick  bool          // belongs to -quick
	least  time.Duration // of a measurement: there is little to count in one; servers then have time to settle before it
	bar    bar
	peers  map[string]bar // to those of -peer with these names
}

// A bar is what gomemd wants to reach, as ratios to one of the others. Zero is no bar.
type bar struct {
	rate, cpu, busy, p50, p99, p999 float64
	perConn                         float64 // bytes, not a ratio
}

// p999Most is the bar of every row that has a p99.9, to the first of the others.
const p999Most = 1.1

// barTo is the row's bar to the i-th server.
func (w *workload) barTo(i int, name string) bar {
	if i > 1 {
		return w.peers[name]
	}
	b := w.bar
	b.p999 = p999Most
	return b
}

// The rows. Keys are 16 bytes and 10,000 of them unless something else is said: what the store does with memory that is not in
// the processor's cache is the store's own benchmark; here the whole path is measured.
//
// Bars are in force where the client leaves the server room, so the pipelined rows have few connections and large batches.
var workloads = []workload{
	// A request, a reply, a request: mostly the kernel's work.
	{name: "get10-set1-32", args: "-mix get:10,set:1 -size 32", quick: true, bar: bar{rate: 1, cpu: 0.85}, peers: unpipelined},
	{name: "get10-set1-1k", args: "-mix get:10,set:1 -size 1000"},
	{name: "get1-set1-32", args: "-mix get:1,set:1 -size 32"},
	{name: "get1-set1-1k", args: "-mix get:1,set:1 -size 1000"},
	{name: "zipf-mixed", args: "-mix get:10,set:1 -dist zipf:0.99 -keys 100000 -size lognormal:200,1.2,8000"},
	{name: "incr", args: "-mix incr", quick: true},
	{name: "cas", args: "-mix cas"},

	// Quiet hours: a silent connection, and requests that come whether or not the last one is answered.
	{name: "idle", driver: idleTime, least: 5 * time.Second, quick: true, bar: bar{busy: 1.1}},
	{name: "open-10", args: "-mix get:10,set:1 -size 32 -rate 10 -conns 1", least: 12 * time.Second, bar: quiet},
	{name: "open-50", args: "-mix get:10,set:1 -size 32 -rate 50 -conns 1", least: 6 * time.Second, quick: true, bar: quiet},
	{name: "open-100", args: "-mix get:10,set:1 -size 32 -rate 100 -conns 1", least: 5 * time.Second, bar: quiet},
	{name: "open-1k", args: "-mix get:10,set:1 -size 32 -rate 1000", least: 2 * time.Second, quick: true, bar: steady},
	{name: "open-10k", args: "-mix get:10,set:1 -size 32 -rate 10000", least: 2 * time.Second, quick: true, bar: steady},

	// Many at once: mostly ours.
	{name: "pipe20-get", args: "-mix get -pipeline 20 -conns 20", quick: true, bar: bar{rate: 1.3, cpu: 0.7}},
	{name: "pipe20-set", args: "-mix set -pipeline 20 -conns 20", quick: true, bar: bar{rate: 1.1, cpu: 0.9}},
	{name: "mget10", args: "-mix mget -multi 10 -conns 20"},
	{name: "mget50", args: "-mix mget -multi 50 -conns 20", quick: true, bar: bar{rate: 1.3, cpu: 0.7}},
	{name: "pipe20-mg", args: "-mix mg -pipeline 20 -conns 20", quick: true},
	{name: "pipe20-ms", args: "-mix ms -pipeline 20 -conns 20", quick: true},
	{name: "mget100", args: "-mix mget -multi 100 -conns 20"},

	// The binary protocol, one at a time and many at once.
	{name: "bin-get-1", args: "-binary -mix get -size 32"},
	{name: "bin-get", args: "-binary -mix get -pipeline 20 -conns 20", quick: true},
	{name: "bin-set", args: "-binary -mix set -pipeline 20 -conns 20"},

	// TLS: records one at a time, many requests in one, many records for one value; handshakes in full, by both kinds of key;
	// and a polite client alone and beside somebody who shakes hands 500 times a second.
	{name: "tls-get", tls: pair.ECDSA, args: "-mix get -size 32", quick: true},
	{name: "tls-pipe", tls: pair.ECDSA, args: "-mix get -size 32 -pipeline 20 -conns 20", quick: true},
	{name: "tls-get-100k", tls: pair.ECDSA, args: "-mix get -size 100000 -keys 200 -conns 10"},
	{name: "tls-handshake", tls: pair.ECDSA, args: "-mix handshake -conns 8", quick: true},
	{name: "tls-handshake-rsa", tls: pair.RSA, args: "-mix handshake -conns 8"},
	{name: "tls-hands-alone", tls: pair.ECDSA, args: polite},
	{name: "tls-hands-beside", tls: pair.ECDSA, args: polite, beside: "-tls -mix handshake -conns 16 -rate 500"},

	// Large values: mostly copying.
	{name: "get-10k", args: "-mix get -size 10000 -keys 1000 -conns 20", quick: true, bar: bar{rate: 1, cpu: 1}},
	{name: "set-10k", args: "-mix set -size 10000 -keys 1000 -conns 20", quick: true, bar: largeSets},
	{name: "get-100k", args: "-mix get -size 100000 -keys 200 -conns 10", quick: true, bar: bar{rate: 1, cpu: 1}},
	{name: "set-100k", args: "-mix set -size 100000 -keys 200 -conns 10", quick: true, bar: largeSets},
	{name: "get-1m", args: "-mix get -size 1000000 -keys 50 -conns 5", quick: true, bar: bar{rate: 1, cpu: 1}},
	{name: "set-1m", args: "-mix set -size 1000000 -keys 50 -conns 5", quick: true, bar: largeSets},
	{name: "mixed-500k", args: "-mix get:1,set:1 -size 500000 -keys 100 -pipeline 10 -conns 4", quick: true, bar: bar{rate: 1, cpu: 1.05}},

	// Connections: OpenSIPS' password cache (each worker has its connection and waits for its reply; a user who is
	// not cached is fetched from the database and kept for 20 minutes), clients that come and go, clients that only stay.
	{name: "opensips", args: "-mix aside -fresh 0.05 -exptime 1200 -conns 300 -active 8 -prefix passwd_sip: -keylen 36 -keys 50000",
		quick: true, bar: bar{rate: 1, cpu: 1}},
	{name: "connect-get-quit", args: "-mix get -reconnect 1 -conns 16", quick: true},
	{name: "beside-10k-idle", args: "-mix get:10,set:1 -size 32 -idle 10000", memory: 1024, bar: bar{cpu: 1.1}},
	{name: "idle-10k", driver: idleTime, args: "-idle 10000", memory: 1024, least: 5 * time.Second, bar: bar{busy: 1.1}},
	{name: "beside-a-hog", args: "-mix get:10,set:1 -size 32 -rate 2000", beside: "-mix get -pipeline 2000 -conns 1"},
	{name: "beside-metadump", args: "-mix get:10,set:1 -size 32 -keys 500000", beside: "-mix metadump -conns 1 -populate 0",
		bar: bar{p99: 1.1}},
	{name: "beside-stats", args: "-mix get:10,set:1 -size 32", beside: polls + " -populate 0", bar: bar{p99: 1.1}},

	// What looking costs: five kinds of stats, 10 Hz each, and dumps of 100,000 keys, one after the other.
	{name: "stats-10hz", args: polls, least: 5 * time.Second, bar: bar{cpu: 1.1}},
	{name: "metadump", args: "-mix metadump -conns 1 -keys 100000", bar: bar{cpu: 1.1}},

	// Memory: every set evicts (64 MiB hold fewer than are set beforehand), and items end all the time.
	{name: "evicting-set", args: "-mix set -pipeline 20 -conns 20 -size 100 -dist seq -keys 1000000000 -populate 700000", memory: 64,
		quick: true, bar: bar{rate: 1.1, cpu: 0.9}},
	{name: "expiring", args: "-mix get:1,set:1 -pipeline 20 -conns 20 -size 100 -keys 500000 -exptime 1-4", quick: true},

	{name: "idle-memory", driver: idleMemory, quick: true, bar: bar{perConn: 1.25 * 1024}},

	// Other people's clients, where they are installed.
	{name: "memtier-get10-set1-32", driver: memtier, args: "--ratio 1:10 -d 32 -c 50 -t 1", bar: bar{cpu: 0.85}, peers: unpipelined},
	{name: "memtier-pipe20-get", driver: memtier, args: "--ratio 0:1 -d 32 -c 20 -t 1 --pipeline 20"},
	{name: "memtier-mixed-500k", driver: memtier, args: "--ratio 1:1 -d 500000 -c 4 -t 1 --pipeline 10 --key-maximum 100",
		bar: bar{rate: 1, cpu: 1.05}},
	{name: "mc-crusher-get", driver: crusher, args: "send=ascii_get,recv=blind_read,conns=50,key_prefix=key:,key_prealloc=0,key_count=10000,pipelines=8"},
	{name: "mc-crusher-mget50", driver: crusher,
		args: "send=ascii_mget,recv=blind_read,conns=20,mget_count=50,key_prefix=key:,key_prealloc=0,key_count=10000"},
	{name: "memcaslap", driver: slap, args: "-T 1 -c 48 -w 1k -X 32"},
}

// polls are what a collector asks for.
const polls = "-mix stats -rate 50 -conns 1"

// Bars that several rows share.
var (
	quiet       = bar{cpu: 1.1, p50: 1.1, p99: 1.1}
	steady      = bar{cpu: 1, p50: 1.1, p99: 1.1}
	largeSets   = bar{rate: 0.95, cpu: 1.05}
	unpipelined = map[string]bar{"pogocache": {cpu: 1}}
)

// polite asks as often as users do, whatever others do meanwhile.
const polite = "-mix get:10,set:1 -size 32 -rate 2000"

// memoryUsual is -m of rows that are not about memory: nothing is evicted.
const memoryUsual = 1024

// option finds the value of an option in a row's args.
func (w *workload) option(name string) string {
	words := strings.Fields(w.args)
	for i, word := range words[:max(len(words)-1, 0)] {
		if word == "-"+name {
			return words[i+1]
		}
	}
	return ""
}
