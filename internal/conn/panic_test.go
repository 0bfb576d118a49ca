package conn

import (
	"strings"
	"testing"
)

// A mistake in serving one client costs that client the connection.
func TestPanicCostsOneConnection(t *testing.T) {
	var log notes
	mistake := writerFunc(func(line []byte) (int, error) {
		if strings.HasSuffix(string(line), " mn\n") {
			panic("secret")
		}
		return log.Write(line)
	})
	h := start(t, options{loops: 1, verbosity: 2, log: mistake})
	other, c := dial(t, h), dial(t, h)
	other.fill("k", 10)
	c.say("set a 0 0 1\r\nx\r\n")
	c.hear("STORED\r\n")
	c.say("version\r\nmn\r\n") // what was answered before goes with it
	c.hearEnd()
	other.say("get a\r\n")
	other.hear("VALUE a 0 1\r\nx\r\nEND\r\n")
	if n := other.stat("conn_panics"); n != "1" {
		t.Errorf("conn_panics %s, want 1", n)
	}
	if text := log.String(); !strings.Contains(text, "TestPanicCostsOneConnection") || strings.Contains(text, "secret") {
		t.Errorf("logged: %s", text)
	}
}

// So does one in a turn of the line, where it is not gnet that has called for the connection.
func TestPanicInATurnOfTheLine(t *testing.T) {
	var log notes
	mistake := writerFunc(func(line []byte) (int, error) {
		if strings.HasSuffix(string(line), " mn\n") {
			panic("secret")
		}
		return log.Write(line)
	})
	h := start(t, options{loops: 1, verbosity: 2, log: mistake, reqs: 1})
	other := dial(t, h)
	other.fill("k", 10)
	for range 20 {
		c := dial(t, h)
		c.say("version\r\nversion\r\nmn\r\n")
		c.hear("VERSION a test\r\nVERSION a test\r\n")
		c.hearEnd()
	}
	if n := other.stat("conn_panics"); n != "20" {
		t.Errorf("conn_panics %s, want 20", n)
	}
	eventually(t, "they are gone", func() bool { return h.conns.Numbers().Current == 1 && h.holds() == 0 })
}

func TestPanicSite(t *testing.T) {
	site := func(f func()) (where string) {
		defer func() {
			_ = recover()
			where = panicSite()
		}()
		f()
		return
	}
	key := []byte("k")
	for name, f := range map[string]func(){
		"a panic":               func() { panic(1) },
		"an index out of range": func() { _ = key[len(key):][3] },
	} {
		if where := site(f); !strings.Contains(where, "TestPanicSite") {
			t.Errorf("%s: in %s", name, where)
		}
	}
}
