package main

import "strings"

// adminLines are the commands of administration that change nothing, or nothing that shows: what they answer is the same
// always. The dumps are looked at otherwise: their lines stand in no order.
var adminLines = strings.Split(strings.TrimSpace(`
cache_memlimit
cache_memlimit 16384
cache_memlimit 16384 noreply
cache_memlimit 16384 x
cache_memlimit 7
cache_memlimit 0
cache_memlimit -1
cache_memlimit x
cache_memlimit 64m
cache_memlimit 1000000001
cache_memlimit 4294967295
cache_memlimit 4294967296
cache_memlimit 000000000008
shutdown
shutdown graceful
shutdown now
shutdown noreply
lru
lru x
lru mode
lru mode x
lru mode x noreply
lru tune
lru tune 10 20 0.1 2
lru tune 10 20 0.1 2 noreply
lru tune 60 20 1e0 1
lru tune 60 21 1 1
lru tune 4294967295 81 1 1
lru tune 10 20 0 2
lru tune 10 20 1 -1
lru tune 10 20 0.1
lru tune a 20 1 1
lru tune 10 -20 1 1
lru tune 10 20 b 1
lru tune 10 20 1 1x
lru tune 10 20 1 1 1
lru temp_ttl
lru temp_ttl x
lru temp_ttl 99999999999
slabs
slabs x
slabs reassign
slabs reassign 1
slabs reassign 7 7
slabs reassign 99 99
slabs reassign 1 40
slabs reassign -2 1
slabs reassign 1 -1
slabs reassign x 1
slabs reassign 1 x
slabs reassign 1 2 3
slabs reassign 1 2 noreply
slabs automove
slabs automove 0
slabs automove 0 noreply
slabs automove 3
slabs automove -1
slabs automove x
slabs automove 0 x
slabs automove ratio
slabs automove ratio 0.5
slabs automove ratio -1
slabs automove ratio x
slabs automove ratio 0.8 x
slabs automove freeratio
slabs automove freeratio .01
slabs automove freeratio x
slabs automove window
slabs automove window 2
slabs automove window 3
slabs automove window 1801
slabs automove window x
slabs automove window 10 noreply
lru_crawler
lru_crawler foo
lru_crawler foo bar
lru_crawler enable x
lru_crawler enable noreply
lru_crawler crawl
lru_crawler crawl all all
lru_crawler metadump
lru_crawler metadump all all
lru_crawler metadump all noreply
lru_crawler mgdump
lru_crawler tocrawl
lru_crawler tocrawl 5
lru_crawler tocrawl x
lru_crawler tocrawl 4294967296
lru_crawler sleep
lru_crawler sleep 5
lru_crawler sleep 1000000
lru_crawler sleep 1000001
lru_crawler sleep -1
lru_crawler sleep 100 us
stats cachedump
stats cachedump 1
stats cachedump x 1
stats cachedump 1 x
stats cachedump 1 -1
stats cachedump 64 1
stats cachedump 0 0
stats cachedump 0 1
debugtime 1
debugitem ref k
misbehave
`), "\n")

func (g *grammar) admin() command {
	line := pick(g, adminLines)
	return command{name: line, text: g.line(strings.Fields(line)...)}
}
