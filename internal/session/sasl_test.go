package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
	"github.com/gomemd/gomemd/storage"
)

func accounts(t *testing.T, text string) (file string) {
	file = filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func bAuth(opcode byte, message string) string { return ask(opcode, "", "PLAIN", message, 0) }

// What memcached 1.6.45 answers, which lists CRAM-MD5 too and takes what its library takes. With a
// star: it says Out of memory to a message that long, and takes a NUL in the name of a mechanism.
func TestSASL(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const in, out = "21 Authenticated", "21 status 20 Auth failure."
	for _, row := range []struct{ name, said, heard string }{
		{"list", ask(0x20, "", "", "", 0), "20 PLAIN"},
		{"version", ask(0x0b, "", "", "", 0), "0b 1.6.45-gomemd0.0.0"},
		{"nothing else", bNoop + bNoop, "0a status 20 Auth failure.; closed"},
		{"nor what is unknown", ask(0x50, "", "", "", 0), "50 status 20 Auth failure.; closed"},
		{"nor quit", ask(0x07, "", "", "", 0), "07 status 20 Auth failure.; closed"},
		{"nor a key too long", bGet(0x00, strings.Repeat("k", 251)), "00 status 20 Auth failure.; closed"},
		{"but lengths that cannot be", ask(0x00, "", "abc", "", 0)[:8] + u32(2) + bNoop[12:] + "abc", "00 status 81 Unknown command; closed"},
		{"right", bAuth(0x21, "\x00alice\x00s3cret") + bNoop + ask(0x20, "", "", "", 0), in + "; 0a; 20 PLAIN"},
		{"wrong, and again", bAuth(0x21, "\x00alice\x00x") + bAuth(0x21, "\x00alice\x00s3cret") + bNoop, out + "; " + in + "; 0a"},
		{"right, and again", bAuth(0x21, "\x00alice\x00s3cret") + bAuth(0x21, "\x00bob\x00a:b") + bNoop, in + "; " + in + "; 0a"},
		{"right, then wrong", bAuth(0x21, "\x00alice\x00s3cret") + bAuth(0x21, "\x00alice\x00x") + bNoop, in + "; " + out + "; 0a status 20 Auth failure.; closed"},
		{"no password", bAuth(0x21, "\x00alice\x00"), out},
		{"a part of it", bAuth(0x21, "\x00alice\x00s3cre"), out},
		{"more than it", bAuth(0x21, "\x00alice\x00s3crett"), out},
		{"another's", bAuth(0x21, "\x00alice\x00a:b"), out},
		{"an empty one that is so", bAuth(0x21, "\x00empty\x00"), in},
		{"to act as oneself", bAuth(0x21, "alice\x00alice\x00s3cret"), in},
		{"to act as another", bAuth(0x21, "bob\x00alice\x00s3cret"), out},
		{"no NUL", bAuth(0x21, "alice"), out},
		{"one NUL", bAuth(0x21, "\x00alice"), out},
		{"three NULs", bAuth(0x21, "\x00alice\x00s3cret\x00"), out},
		{"an entry with the host", bAuth(0x21, "\x00carol\x00x") + bAuth(0x21, "\x00carol@"+host+"\x00x"), out + "; " + in},
		{"an entry with another host", bAuth(0x21, "\x00dave\x00x") + bAuth(0x21, "\x00dave@elsewhere.example\x00x"), out + "; " + in},
		{"a host has no other", bAuth(0x21, "\x00erin@x\x00x"), out},
		{"a host that is not in the entry", bAuth(0x21, "\x00alice@"+host+"\x00s3cret"), out},
		{"a step", bAuth(0x21, "") + bAuth(0x22, "\x00alice\x00s3cret") + bNoop, "21 status 21; 22 Authenticated; 0a"},
		{"right, then what asks for a step", bAuth(0x21, "\x00alice\x00s3cret") + bAuth(0x21, "") + bNoop,
			in + "; 21 status 21; 0a status 20 Auth failure.; closed"},
		{"a wrong step", bAuth(0x21, "") + bAuth(0x22, "\x00alice\x00x") + bAuth(0x22, "\x00alice\x00s3cret"),
			"21 status 21; 22 status 20 Auth failure.; 22 status 20 Auth failure."},
		{"a step before auth", bAuth(0x22, "\x00alice\x00s3cret"), "22 status 20 Auth failure."},
		{"a step after it", bAuth(0x21, "\x00alice\x00s3cret") + bAuth(0x22, "\x00alice\x00s3cret") + bNoop,
			in + "; 22 status 20 Auth failure.; 0a status 20 Auth failure.; closed"},
		{"PLAIN in small", ask(0x21, "", "plain", "\x00alice\x00s3cret", 0), in},
		{"a NUL behind PLAIN *", ask(0x21, "", "PLAIN\x00x", "\x00alice\x00s3cret", 0), out},
		{"another mechanism", ask(0x21, "", "SCRAM-SHA-256", "n,,", 0), out},
		{"a long name", ask(0x21, "", strings.Repeat("P", 32), "x", 0) + ask(0x21, "", strings.Repeat("P", 33), "x", 0), out + "; 21 status 04 Invalid arguments"},
		{"no name", ask(0x21, "", "", "x", 0), "21 status 04 Invalid arguments; closed"},
		{"extras", ask(0x21, u32(0), "PLAIN", "x", 0), "21 status 04 Invalid arguments; closed"},
		{"a long message *", bAuth(0x21, "\x00alice\x00"+strings.Repeat("x", 1<<20)) + ask(0x20, "", "", "", 0), out + "; 20 PLAIN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := accounts(t, "alice:s3cret\nbob:a:b\nempty:\ncarol@"+host+":x\ndave@elsewhere.example:x\nerin@x@"+host+":x\n")
			for _, cut := range []int{1 << 30, 7} {
				v := newFixture(t, options{MemoryLimit: 1 << 20, AuthFile: file, Rules: Rules{SASL: true}}).client()
				heard := ""
				for rest := row.said; len(rest) > 0 && !v.gone; {
					n := min(cut, len(rest))
					heard += v.say(rest[:n])
					rest = rest[n:]
				}
				got := bRead(t, heard)
				if v.gone {
					got += "; closed"
				}
				if got != row.heard {
					t.Errorf("heard %q\ninstead %q", got, row.heard)
				}
			}
		})
	}
}

// Attempts count, but not what asks for a step or is refused for its form.
func TestSASLIsCounted(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 1 << 20, AuthFile: accounts(t, "a:b\n"), Rules: Rules{SASL: true}}).client()
	v.say(bAuth(0x21, "") + bAuth(0x22, "\x00a\x00b") + bAuth(0x21, "\x00a\x00c") + bAuth(0x21, strings.Repeat("x", tokenMax+1)) +
		ask(0x21, "", strings.Repeat("P", 33), "x", 0))
	sums := v.p.env.Sums()
	if n, bad := sums[stats.AuthCmds], sums[stats.AuthErrors]; n != 3 || bad != 2 {
		t.Errorf("%d attempts, %d failed", n, bad)
	}
}

// A message takes no more memory than what comes of it, up to its limit.
func TestAMessageOfSASLIsBounded(t *testing.T) {
	v := newFixture(t, options{MemoryLimit: 1 << 20, AuthFile: accounts(t, "a:b\n"), Rules: Rules{SASL: true}}).client()
	for _, n := range []uint32{tokenMax, 1<<30 - 5} {
		v.say("\x80\x21\x00\x05\x00\x00\x00\x00" + u32(5+n) + bNoop[12:] + "PLAIN")
		if n := v.Gathered(); n > 256 {
			t.Errorf("%d bytes of nothing", n)
		}
		for range 100 {
			v.say(strings.Repeat("x", min(1000, v.want)))
		}
		if n := v.Gathered(); n > 2*tokenMax {
			t.Errorf("%d bytes", n)
		}
	}
	v.Session.Close()
}

// Whichever protocol a client may speak and does speak, and however the server is kept: without a
// login nothing is served that has to do with items.
//
//	            open     passwords   SASL       SASL, and nobody has an account
//	Either      both     text, login each login each login
//	Text        text     text, login text, login
//	Binary      packets  text, login packets, login
func TestNothingIsServedWithoutALogin(t *testing.T) {
	file := accounts(t, "alice:s3cret\n")
	type server struct {
		name string
		opts options
	}
	for _, kept := range []server{
		{"open", options{MemoryLimit: 1 << 20}},
		{"passwords", options{MemoryLimit: 1 << 20, AuthFile: file}},
		{"SASL", options{MemoryLimit: 1 << 20, AuthFile: file, Rules: Rules{SASL: true}}},
		{"SASL without accounts", options{MemoryLimit: 1 << 20, Rules: Rules{SASL: true}}},
	} {
		for wire, wireName := range []string{"either", "text", "binary"} {
			t.Run(kept.name+"/"+wireName, func(t *testing.T) {
				p := newFixture(t, kept.opts)
				open, wire := kept.name == "open", Wire(wire)
				hash := p.env.Store.Hash([]byte("k"))
				p.env.Store.Put(hash, storage.Set, &storage.Item{Key: []byte("k"), Value: []byte("12345")})
				packets := wire != Text && kept.name != "passwords"
				text := wire != Binary || kept.name == "passwords"

				before := p.env.Store.Stats().TotalItems
				for opcode := range 256 {
					for _, extras := range []string{"", u32(0), u32(0, 0), u32(0, 1, 0, 1, 0)} {
						for _, key := range []string{"", "k", "PLAIN"} {
							for _, value := range []string{"", "v"} {
								if opcode == 0x04 || opcode == 0x14 || opcode == 0x08 || opcode == 0x18 {
									if open {
										continue // they would take the item away
									}
								}
								v := p.clientOn(wire)
								replies := bRead(t, v.say(ask(byte(opcode), extras, key, value, 0)))
								anybody := opcode == 0x0b || opcode >= 0x20 && opcode <= 0x22
								switch {
								case !packets:
									if replies != "" || !v.gone {
										t.Fatalf("opcode %02x: %q where no packets may be", opcode, replies)
									}
								case open, anybody:
								case replies != fmt.Sprintf("%02x status 20 Auth failure.", opcode) || !v.gone:
									t.Fatalf("opcode %02x: %q", opcode, replies)
								}
								if !open && (strings.Contains(replies, "12345") || strings.Contains(replies, "Authenticated")) {
									t.Fatalf("opcode %02x: %q", opcode, replies)
								}
								v.Session.Close()
							}
						}
					}
				}
				served := packets && open
				if got := bRead(t, p.clientOn(wire).say(bGet(0x00, "k"))); served != strings.Contains(got, " c ") {
					t.Errorf("a packet: %q", got)
				}
				for op := protocol.OpUnknown + 1; op < protocol.OpMechanisms; op++ {
					if op == protocol.OpShutdown || op == protocol.OpFlushAll || op == protocol.OpFlushPrefix || op == protocol.OpDelete || op == protocol.OpMetaDelete {
						if open {
							continue
						}
					}
					for _, args := range []string{"", " k", " k 0 0 1", " k 1", " 0 k", " all"} {
						v := p.clientOn(wire)
						said := v.say(op.String() + args + "\r\n")
						switch {
						case !text:
							if said != "" || !v.gone {
								t.Fatalf("%s: %q where no text may be", op, said)
							}
						case open:
						case said != "" && said != "CLIENT_ERROR unauthenticated\r\n":
							t.Fatalf("%s%s: %q", op, args, said)
						}
						v.Session.Close()
					}
				}
				if !open && p.env.Store.Stats().TotalItems != before {
					t.Error("something was stored")
				}
				if got := p.clientOn(wire).say("get k\r\n"); (text && open) != strings.HasPrefix(got, "VALUE") {
					t.Errorf("text: %q", got)
				}

				// Who logs in is served.
				v := p.clientOn(wire)
				got := v.say("set x 0 0 12\r\nalice s3cret\r\nget k\r\n")
				if mayLogIn := text && kept.opts.AuthFile != ""; mayLogIn != strings.Contains(got, "12345") && !open {
					t.Errorf("a login in text: %q", got)
				}
				got = bRead(t, p.clientOn(wire).say(bAuth(0x21, "\x00alice\x00s3cret")+bGet(0x00, "k")))
				if mayLogIn := packets && kept.name == "SASL"; mayLogIn != strings.Contains(got, "Authenticated") {
					t.Errorf("a login in packets: %q", got)
				}
			})
		}
	}
}
