package server

import "testing"

func TestLimitGoesNoHigherThanItMay(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 64 << 20, MemoryLimitMax: 80 << 20})
	c := dial(t, srv)
	c.say("cache_memlimit 81\r\ncache_memlimit 80\r\n")
	c.hear("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\nOK\r\n")
}
