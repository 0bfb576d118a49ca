// mc is the Go client of MemCachier, which zabbix-agent2 has, too. It speaks the binary protocol.
package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/memcachier/mc/v3"

	. "clients/round"
)

func connect(addr, user, password string) *mc.Client {
	config := mc.DefaultConfig()
	config.ConnectionTimeout = 20 * time.Second
	return mc.NewMCwithConfig(addr, user, password, config)
}

func main() {
	host, port, way, _ := Args()
	addr := host + ":" + port
	user, password := "", ""
	if way == "sasl" {
		user, password = "alice", "s3cret"
	}
	c := connect(addr, user, password)
	get := func(key string) string {
		value, _, _, err := c.Get(key)
		if errors.Is(err, mc.ErrNotFound) {
			return "nothing"
		}
		Must("get "+key, err)
		return value
	}
	wantError := func(what string, err, wanted error) {
		Want(what, fmt.Sprint(err), wanted.Error())
	}

	for _, value := range []string{"", "x", string(Raw), "a\r\nEND\r\nVALUE x 0 1\r\n"} {
		_, err := c.Set("k", value, math.MaxUint32, 0, 0)
		Must("set", err)
		got, flags, _, err := c.Get("k")
		Must("get", err)
		Want("get", got, value)
		Want("flags", flags, uint32(math.MaxUint32))
	}
	Want("get of nothing", get("nobody"), "nothing")
	for _, key := range []string{strings.Repeat("k", 250), "a b\r\n\x00\xff"} {
		_, err := c.Set(key, "v", 0, 0, 0)
		Must("set", err)
		Want("get", get(key), "v")
	}

	_, err := c.Add("k", "x", 0, 0)
	wantError("add to something", err, mc.ErrKeyExists)
	_, err = c.Add("n1", "x", 0, 0)
	Must("add", err)
	_, err = c.Replace("n2", "x", 0, 0, 0)
	wantError("replace nothing", err, mc.ErrNotFound)
	_, err = c.Replace("n1", "b", 0, 0, 0)
	Must("replace", err)
	_, err = c.Append("n1", "c\x00", 0)
	Must("append", err)
	unique, err := c.Prepend("n1", "a", 0)
	Must("prepend", err)
	Want("all of it", get("n1"), "abc\x00")
	_, err = c.Append("n2", "x", 0)
	wantError("append to nothing", err, mc.ErrValueNotStored)

	mine, err := c.Set("n1", "mine", 0, 0, unique)
	Must("cas", err)
	_, err = c.Set("n1", "theirs", 0, 0, unique)
	wantError("cas again", err, mc.ErrKeyExists)
	_, err = c.Append("n1", "theirs", unique)
	wantError("append to another version", err, mc.ErrKeyExists)
	Want("who won", get("n1"), "mine")
	_, err = c.Set("n2", "x", 0, 0, unique)
	wantError("cas of nothing", err, mc.ErrNotFound)
	wantError("delete of another version", c.DelCAS("n1", unique), mc.ErrKeyExists)
	Must("delete of this version", c.DelCAS("n1", mine))

	const never = math.MaxUint32 // as an expiry: make no count
	_, _, err = c.Incr("n", 7, 35, never, 0)
	wantError("incr of nothing", err, mc.ErrNotFound)
	for _, step := range []struct {
		say         func(key string, delta, initial uint64, expiry uint32, cas uint64) (uint64, uint64, error)
		delta, want uint64
	}{
		{c.Incr, 7, 35}, // it begins
		{c.Incr, 7, 42},
		{c.Decr, 3, 39},
		{c.Decr, 100, 0},
		{c.Incr, math.MaxUint64, math.MaxUint64},
		{c.Incr, 9, 8},
	} {
		n, _, err := step.say("n", step.delta, 35, 0, 0)
		Must("a count", err)
		Want("a count", n, step.want)
	}
	Want("get it", strings.TrimRight(get("n"), " "), "8")
	_, err = c.Set("word", "x", 0, 0, 0)
	Must("set", err)
	_, _, err = c.Incr("word", 1, 0, 0, 0)
	wantError("incr of a word", err, mc.ErrNonNumeric)

	large := strings.Repeat(string(Raw), 2000)
	_, err = c.Set("large", large, 0, 0, 0)
	Must("set large", err)
	Want("get large", get("large") == large, true)
	_, err = c.Set("large", large+large+large, 0, 0, 0)
	wantError("too large", err, mc.ErrValueTooLarge)
	Want("what was there before", get("large"), "nothing")

	for _, key := range []string{"short", "longer", "longest"} {
		_, err = c.Set(key, "v", 7, 2, 0)
		Must("set", err)
	}
	_, err = c.Touch("longer", 100)
	Must("touch", err)
	_, err = c.Touch("nobody", 100)
	wantError("touch nothing", err, mc.ErrNotFound)
	value, flags, _, err := c.GAT("longest", 100)
	Must("gat", err)
	Want("gat", value, "v")
	Want("its flags", flags, uint32(7))
	_, _, _, err = c.GAT("nobody", 100)
	wantError("gat of nothing", err, mc.ErrNotFound)
	Want("not over", get("short"), "v")
	Pass(3)
	Want("over", []string{get("short"), get("longer"), get("longest")}, []string{"nothing", "v", "v"})
	Must("delete", c.Del("longer"))
	wantError("delete again", c.Del("longer"), mc.ErrNotFound)

	Must("noop", c.NoOp())
	versions, err := c.Version()
	Must("version", err)
	Want("version", versions[addr][:4], "1.6.")
	stats, err := c.Stats()
	Must("stats", err)
	Want("stats", stats[addr]["curr_items"] != "0", true)
	settings, err := c.StatsWithKey("settings")
	Must("stats settings", err)
	Want("stats settings", settings[addr]["maxconns"], "1024")
	Must("stats reset", c.StatsReset())
	Must("flush_all", c.Flush(0))
	Want("get after it", get("n"), "nothing")
	c.Quit()

	if way == "sasl" {
		for _, who := range [][2]string{{"alice", "wrong"}, {"nobody", "s3cret"}, {}} {
			_, _, _, err := connect(addr, who[0], who[1]).Get("k")
			wantError("a wrong password, or none", err, mc.ErrAuthRequired)
		}
	}
}
