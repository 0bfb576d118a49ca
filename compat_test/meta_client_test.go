package compat_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	meta "github.com/QuangTung97/go-memcache/memcache"
)

// TestClientMeta walks with a client that speaks the meta commands alone, and all it can in one pipeline. What it is made
// for are leases: of many clients that miss the same key, one is told to bring the value, and the others to wait for it.
// With -oracle it does so with memcached.
func TestClientMeta(t *testing.T) {
	server := startServer(t, nil)
	c, err := meta.New(server.addr, 2)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	p := c.Pipeline()
	defer p.Finish()

	get := func(key string, opts meta.MGetOptions) meta.MGetResponse {
		t.Helper()
		got, err := p.MGet(key, opts)()
		must(t, err)
		return got
	}
	set := func(key, value string, opts meta.MSetOptions, want meta.MSetResponseType) {
		t.Helper()
		if got, err := p.MSet(key, []byte(value), opts)(); err != nil || got.Type != want {
			t.Fatalf("ms %.20s %+v: %+v, %v, want %d", key, opts, got, err, want)
		}
	}
	remove := func(key string, opts meta.MDelOptions, want meta.MDelResponseType) {
		t.Helper()
		if got, err := p.MDel(key, opts)(); err != nil || got.Type != want {
			t.Fatalf("md %s %+v: %+v, %v, want %d", key, opts, got, err, want)
		}
	}
	wantValue := func(key, want string) meta.MGetResponse {
		t.Helper()
		got := get(key, meta.MGetOptions{CAS: true})
		if got.Type != meta.MGetResponseTypeVA || string(got.Data) != want {
			t.Fatalf("mg %.20s: %+.200v, want %.200q", key, got, want)
		}
		return got
	}
	wantMiss := func(key string) {
		t.Helper()
		if got := get(key, meta.MGetOptions{}); got.Type != meta.MGetResponseTypeEN {
			t.Fatalf("mg %s: %+.200v, want nothing", key, got)
		}
	}

	wantMiss("nobody")
	for _, value := range []string{"", "x", "\x00\r\nEN\r\nVA 1\r\n\xff", strings.Repeat("0123456789abcdef", 64_000)} {
		set("k", value, meta.MSetOptions{}, meta.MSetResponseTypeHD)
		wantValue("k", value)
	}
	long := strings.Repeat("k", 250)
	set(long, "v", meta.MSetOptions{}, meta.MSetResponseTypeHD)
	wantValue(long, "v")
	if _, err := p.MSet("k", bytes.Repeat([]byte("x"), 1<<20), meta.MSetOptions{})(); !strings.Contains(fmt.Sprint(err), "object too large for cache") {
		t.Errorf("ms of a megabyte: %v", err)
	}
	wantMiss("k")

	// the second who has the same unique comes too late
	set("motto", "carpe diem!", meta.MSetOptions{}, meta.MSetResponseTypeHD)
	unique := wantValue("motto", "carpe diem!").CAS
	set("motto", "ave", meta.MSetOptions{CAS: unique}, meta.MSetResponseTypeHD)
	set("motto", "vale", meta.MSetOptions{CAS: unique}, meta.MSetResponseTypeEX)
	remove("motto", meta.MDelOptions{CAS: unique}, meta.MDelResponseTypeEX)
	set("nobody", "x", meta.MSetOptions{CAS: unique}, meta.MSetResponseTypeNF)
	remove("motto", meta.MDelOptions{CAS: wantValue("motto", "ave").CAS}, meta.MDelResponseTypeHD)
	remove("motto", meta.MDelOptions{}, meta.MDelResponseTypeNF)

	// a lease
	lease := meta.MGetOptions{N: 10, CAS: true}
	won := get("page", lease)
	if won.Flags != meta.MGetFlagW || won.CAS == 0 {
		t.Fatalf("the first to miss: %+v", won)
	}
	if got := get("page", lease); got.Flags != meta.MGetFlagZ {
		t.Fatalf("the second to miss: %+v", got)
	}
	set("page", "fresh", meta.MSetOptions{CAS: won.CAS, TTL: 100}, meta.MSetResponseTypeHD)
	if got := get("page", lease); string(got.Data) != "fresh" || got.Flags != 0 {
		t.Fatalf("when it is there: %+v", got)
	}
	// made stale, it is served until somebody has brought a new one
	remove("page", meta.MDelOptions{I: true, TTL: 50}, meta.MDelResponseTypeHD)
	won = get("page", lease)
	if string(won.Data) != "fresh" || won.Flags != meta.MGetFlagW|meta.MGetFlagX {
		t.Fatalf("the first to see it stale: %+v", won)
	}
	if got := get("page", lease); string(got.Data) != "fresh" || got.Flags != meta.MGetFlagZ|meta.MGetFlagX {
		t.Fatalf("the second to see it stale: %+v", got)
	}
	set("page", "fresher", meta.MSetOptions{CAS: won.CAS}, meta.MSetResponseTypeHD)
	wantValue("page", "fresher")

	// many at once
	var replies []func() (meta.MGetResponse, error)
	for i := range 1000 {
		key := fmt.Sprintf("key%d", i)
		p.MSet(key, []byte(key), meta.MSetOptions{TTL: uint32(2 + i%2*1000)})
		replies = append(replies, p.MGet(key, meta.MGetOptions{}))
	}
	for i, reply := range replies {
		if got, err := reply(); err != nil || string(got.Data) != fmt.Sprintf("key%d", i) {
			t.Fatalf("key%d: %+v, %v", i, got, err)
		}
	}
	server.Pass(3 * time.Second)
	wantMiss("key0")
	wantValue("key1", "key1")

	if version, err := p.Version()(); err != nil || !strings.HasPrefix(version.Version, "1.6.") {
		t.Errorf("version %+v, %v", version, err)
	}
	must(t, p.FlushAll()())
	wantMiss("key1")
}
