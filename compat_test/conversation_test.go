// Package compat_test holds gomemd against the world it has to fit into: memcached itself, and the clients that people
// use. All of it talks over the loopback only.
package compat_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/internal/conversation"
)

var (
	oracle = flag.String("oracle", "",
		"`path` of a memcached (or of a gomemd) to start and to hold the conversations with, instead of gomemd in this process")
	rewrite = flag.Bool("rewrite", false,
		"let the oracle fill in the drafts of conversations, and note where it answers otherwise than written")
)

const (
	conversations = "testdata/conversations"
	passwords     = "testdata/passwords"
)

// TestConversations plays every file twice: as said, and cut at random, as a network might deliver it.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(conversations, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations in %s (%v)", conversations, err)
	}
	shared := startServer(t, nil)
	t.Logf("playing with %s", shared.Name())
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			c, err := conversation.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				rewriteConversation(t, c, shared)
				return
			}
			if ownServer(c) {
				t.Parallel() // sleeping side by side takes less long
			}
			playTwice(t, c, shared)
		})
	}
}

// ownServer tells whether a conversation cannot share one: it asks for options, or moves the clock.
func ownServer(c *conversation.Conversation) bool { return len(c.Options) > 0 || c.Passes() > 0 }

func playTwice(t *testing.T, c *conversation.Conversation, shared *tcpServer) {
	for _, cut := range []conversation.Cut{conversation.Whole, conversation.AtRandom(1)} {
		player := conversation.Player{Server: serverFor(t, c, shared), Cut: cut}
		if err := player.Play(c); err != nil {
			t.Fatal(err)
		}
		if shared.sleeps && c.Passes() > 0 {
			return // once is enough where time has to be slept
		}
	}
}

// serverFor is an empty server with the options that a conversation asks for.
func serverFor(t *testing.T, c *conversation.Conversation, shared *tcpServer) *tcpServer {
	if ownServer(c) {
		return startServer(t, c.Options)
	}
	shared.flush(t)
	return shared
}

func rewriteConversation(t *testing.T, c *conversation.Conversation, shared *tcpServer) {
	player := conversation.Player{Server: serverFor(t, c, shared), Patience: time.Second, Silence: 60 * time.Millisecond, Rewrite: true}
	if err := player.Play(c); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, c.Text()) {
		return
	}
	if err := os.WriteFile(c.File, c.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has been rewritten", c.File)
}

// Every verb has a conversation of its name, where its plain use and its errors can be looked up.
func TestEveryVerbHasAConversation(t *testing.T) {
	for _, verb := range strings.Fields(`get gets gat gats set add replace append prepend cas delete incr decr touch
		flush_all version verbosity quit stats watch mn mg ms md ma me
		cache_memlimit shutdown lru_crawler lru slabs refresh_certs debugtime`) {
		if _, err := os.Stat(filepath.Join(conversations, verb+".txt")); err != nil {
			t.Error(err)
		}
	}
}

// tcpServer is a server that conversations are held with, by TCP.
type tcpServer struct {
	addr   string
	udp    string // with the option -U -1
	name   string
	sleeps bool   // time has to go by for real
	login  string // to be said first by who asks, if the server wants a password
	sasl   bool   // it wants one of testdata/passwords in the binary protocol
	tls    bool
	pass   func(time.Duration)
}

func (s *tcpServer) Name() string         { return s.name }
func (s *tcpServer) Pass(d time.Duration) { s.pass(d) }

func (s *tcpServer) Dial() (conversation.Conn, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// dial connects for half a minute, in TLS where that is spoken; whose certificate it is does not matter here.
func (s *tcpServer) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	if s.tls {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	return conn, conn.SetDeadline(time.Now().Add(30 * time.Second))
}

// flush empties the server for the next conversation.
func (s *tcpServer) flush(t *testing.T) {
	t.Helper()
	answer, err := s.ask("flush_all", "OK")
	if err != nil || answer[0] != "OK" {
		t.Fatalf("flush_all: %q, %v", answer, err)
	}
}

// ask says one line and returns the lines heard, up to the one that begins with last.
func (s *tcpServer) ask(line, last string) ([]string, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(s.login + line + "\r\n")); err != nil {
		return nil, err
	}
	var heard []string
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		heard = append(heard, lines.Text())
		if strings.HasPrefix(lines.Text(), last) {
			return heard, nil
		}
	}
	return heard, cmp.Or(lines.Err(), io.ErrUnexpectedEOF)
}
