// gomemcached is Couchbase's Go client for the binary protocol.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"strings"

	"github.com/couchbase/gomemcached"
	memcached "github.com/couchbase/gomemcached/client"
	"github.com/couchbase/goutils/logging"

	. "clients/round"
)

func connect(addr, way string, more []string) *memcached.Client {
	if way != "tls" {
		c, err := memcached.Connect("tcp", addr)
		Must("connect", err)
		return c
	}
	pem, err := os.ReadFile(more[0])
	Must("the authority", err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c, err := memcached.ConnectTLS("tcp", addr, &tls.Config{RootCAs: pool})
	Must("connect", err)
	return c
}

func main() {
	logging.SetLogger(nil)
	host, port, way, more := Args()
	addr := net.JoinHostPort(host, port)
	c := connect(addr, way, more)
	if way == "sasl" {
		_, err := c.Auth("alice", "s3cret")
		Must("auth", err)
	}
	wantStatus := func(what string, err error, wanted gomemcached.Status) {
		res, _ := err.(*gomemcached.MCResponse)
		if res == nil {
			Want(what, fmt.Sprint(err), wanted)
		}
		Want(what, res.Status, wanted)
	}
	get := func(key string) string {
		res, err := c.Get(0, key)
		if res != nil && res.Status == gomemcached.KEY_ENOENT {
			return "nothing"
		}
		Must("get "+key, err)
		return string(res.Body)
	}

	for _, value := range []string{"", "x", string(Raw), "a\r\nEND\r\nVALUE x 0 1\r\n"} {
		_, err := c.Set(0, "k", math.MaxUint32, 0, []byte(value))
		Must("set", err)
		res, err := c.Get(0, "k")
		Must("get", err)
		Want("get", string(res.Body), value)
		Want("flags", binary.BigEndian.Uint32(res.Extras), uint32(math.MaxUint32))
	}
	Want("get of nothing", get("nobody"), "nothing")
	for _, key := range []string{strings.Repeat("k", 250), "a b\r\n\x00\xff"} {
		_, err := c.Set(0, key, 0, 0, []byte("v"))
		Must("set", err)
		Want("get", get(key), "v")
	}

	_, err := c.Add(0, "k", 0, 0, []byte("x"))
	wantStatus("add to something", err, gomemcached.KEY_EEXISTS)
	_, err = c.Add(0, "n1", 0, 0, []byte("ab"))
	Must("add", err)
	res, err := c.Append(0, "n1", []byte("c\x00"))
	Must("append", err)
	Want("all of it", get("n1"), "abc\x00")
	_, err = c.Append(0, "n2", []byte("x"))
	wantStatus("append to nothing", err, gomemcached.NOT_STORED)

	unique := res.Cas
	_, err = c.SetCas(0, "n1", 0, 0, unique, []byte("mine"))
	Must("cas", err)
	_, err = c.SetCas(0, "n1", 0, 0, unique, []byte("theirs"))
	wantStatus("cas again", err, gomemcached.KEY_EEXISTS)
	Want("who won", get("n1"), "mine")
	_, err = c.SetCas(0, "n2", 0, 0, unique, []byte("x"))
	wantStatus("cas of nothing", err, gomemcached.KEY_ENOENT)
	_, err = c.CAS(0, "n1", func(old []byte) ([]byte, memcached.CasOp) {
		return append(old, '!'), memcached.CASStore
	}, 0)
	Must("cas by a function", err)
	Want("what it made", get("n1"), "mine!")

	for _, step := range []struct {
		say         func(vb uint16, key string, delta, initial uint64, expiry int, _ ...*memcached.ClientContext) (uint64, error)
		delta, want uint64
	}{
		{c.Incr, 7, 35}, // it begins
		{c.Incr, 7, 42},
		{c.Decr, 3, 39},
		{c.Decr, 100, 0},
		{c.Incr, math.MaxUint64, math.MaxUint64},
		{c.Incr, 9, 8},
	} {
		n, err := step.say(0, "n", step.delta, 35, 0)
		Must("a count", err)
		Want("a count", n, step.want)
	}
	_, err = c.Incr(0, "n1", 1, 0, 0)
	wantStatus("incr of a word", err, gomemcached.DELTA_BADVAL)

	var keys []string
	for i := range 1000 {
		key := fmt.Sprint("many", i)
		keys = append(keys, key)
		if i%2 == 0 {
			_, err := c.Set(0, key, i, 0, []byte(key))
			Must("set many", err)
		}
	}
	many := map[string]*gomemcached.MCResponse{}
	Must("get many", c.GetBulk(0, keys, many, nil))
	Want("get many", len(many), 500)
	for key, res := range many {
		Want("one of many", string(res.Body), key)
	}
	_, err = c.Del(0, "many0")
	Must("delete", err)
	_, err = c.Del(0, "many0")
	wantStatus("delete again", err, gomemcached.KEY_ENOENT)

	large := strings.Repeat(string(Raw), 2000)
	_, err = c.Set(0, "large", 0, 0, []byte(large))
	Must("set large", err)
	Want("get large", get("large") == large, true)
	_, err = c.Set(0, "large", 0, 0, []byte(large+large+large))
	wantStatus("too large", err, gomemcached.E2BIG)
	Want("what was there before", get("large"), "nothing")

	for _, key := range []string{"short", "longer"} {
		_, err = c.Set(0, key, 7, 2, []byte("v"))
		Must("set", err)
	}
	res, err = c.GetAndTouch(0, "longer", 100)
	Must("gat", err)
	Want("gat", string(res.Body), "v")
	_, err = c.GetAndTouch(0, "nobody", 100)
	wantStatus("gat of nothing", err, gomemcached.KEY_ENOENT)
	Want("not over", get("short"), "v")
	Pass(3)
	Want("over", []string{get("short"), get("longer")}, []string{"nothing", "v"})

	stats, err := c.StatsMap("")
	Must("stats", err)
	Want("version", stats["version"][:4], "1.6.")
	settings, err := c.StatsMap("settings")
	Must("stats settings", err)
	Want("stats settings", settings["maxconns"], "1024")
	_, err = c.GetCollectionsManifest() // of Couchbase alone
	wantStatus("an unknown command", err, gomemcached.UNKNOWN_COMMAND)
	Want("and on it goes", get("longer"), "v")

	if way == "sasl" {
		for _, who := range [][2]string{{"alice", "wrong"}, {"nobody", "s3cret"}} {
			stranger := connect(addr, way, more)
			_, err := stranger.Auth(who[0], who[1])
			wantStatus("a wrong password", err, gomemcached.AUTH_ERROR)
			_, err = stranger.Get(0, "k")
			wantStatus("and then", err, gomemcached.AUTH_ERROR)
		}
	}
}
