package server

import (
	"errors"
	"testing"
)

func TestLimitGoesNoHigherThanItMay(t *testing.T) {
	srv := startServer(t, Options{MemoryLimit: 64 << 20, MemoryLimitMax: 80 << 20})
	c := dial(t, srv)
	c.say("cache_memlimit 81\r\ncache_memlimit 80\r\n")
	c.hear("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\nOK\r\n")
}

func TestShutdownIsForTheOwnerToCarryOut(t *testing.T) {
	for command, why := range map[string]error{"shutdown": ErrShutdown, "shutdown graceful": ErrShutdownGraceful} {
		srv := startServer(t, Options{EnableShutdown: true})
		c := dial(t, srv)
		c.say(command + "\r\n")
		c.hearEnd()
		select {
		case <-srv.Done():
		default:
			t.Errorf("%s: not done", command)
		}
		if !errors.Is(srv.Err(), why) {
			t.Errorf("%s: the server wants to end: %v", command, srv.Err())
		}
	}
}
