// Package asks asks a memcached-compatible server for its statistics, over the text protocol. It is
// for those who look at a server from outside, and believes nothing that it is told: replies are
// bounded in size and time, and what is to be printed goes through [Printable].
//
//	asks.go     Dial, Client.Stats   one connection: connect, encrypt, log in, ask
//	stats.go    Stats                what one question was answered
//	options.go  Options              the flags of commands that ask
package asks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// Limits of what is read for one question. memcached's longest replies are those of `stats items`
// and `stats slabs` with 63 classes, some 100 kB, and of `stats sizes`, where each size that occurs
// has a line.
const (
	linesMost = 100_000
	lineMost  = 4 << 10
)

// Where is a server, and how to reach it.
type Where struct {
	Addr     string        // host:port, [v6]:port, host, or the path of a unix socket
	TLS      *tls.Config   // nil: not encrypted
	User     string        // "": do not log in
	Password string        //
	Patience time.Duration // for each question, and for connecting
}

// DefaultPort is memcached's.
const DefaultPort = "11211"

// Network gives the words for net.Dial.
func (w *Where) Network() (network, addr string) {
	if strings.Contains(w.Addr, "/") {
		return "unix", w.Addr
	}
	if _, _, err := net.SplitHostPort(w.Addr); err != nil {
		return "tcp", net.JoinHostPort(strings.Trim(w.Addr, "[]"), DefaultPort)
	}
	return "tcp", w.Addr
}

// TLSConfig is how to believe a server: by who signed its certificate, as the PEM file ca says, or
// as the system does where it is "".
func TLSConfig(ca string) (*tls.Config, error) {
	if ca == "" {
		return &tls.Config{}, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in it", ca)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// Client is one connection. It is used by one goroutine; after an error it is of no more use.
type Client struct {
	conn     net.Conn
	in       *bufio.Reader
	patience time.Duration
}

// Dial connects and logs in.
func Dial(ctx context.Context, w Where) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	network, addr := w.Network()
	var conn net.Conn
	var err error
	if w.TLS != nil {
		config := w.TLS.Clone()
		if host, _, splitErr := net.SplitHostPort(addr); config.ServerName == "" && splitErr == nil {
			config.ServerName = host
		}
		conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, in: bufio.NewReaderSize(conn, lineMost), patience: w.Patience}
	if w.User != "" {
		if err := c.login(w.User, w.Password); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close hangs up.
func (c *Client) Close() { _ = c.conn.Close() }

// login is memcached's for the text protocol (-Y): a set, whose key does not matter.
func (c *Client) login(user, password string) error {
	token := user + " " + password
	if err := c.send(fmt.Sprintf("set auth 0 0 %d\r\n%s\r\n", len(token), token)); err != nil {
		return err
	}
	switch line, err := c.line(); {
	case err != nil:
		return err
	case string(line) != "STORED":
		return fmt.Errorf("it does not take the password: %s", Printable(string(line)))
	}
	return nil
}

// ErrRefused is in an error when the server answers, but not with statistics: it has none of that
// name, or does not tell them.
var ErrRefused = errors.New("refused")

// Stats asks `stats` with these words, of which there may be none. After ErrRefused the next
// question may be asked.
func (c *Client) Stats(words string) (Stats, error) {
	request := "stats\r\n"
	if words != "" {
		request = "stats " + words + "\r\n"
	}
	if err := c.send(request); err != nil {
		return nil, err
	}
	s := make(Stats)
	for range linesMost {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		name, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(name) {
		case "END", "RESET", "OK":
			return s, nil
		case "STAT":
			name, value, _ := bytes.Cut(rest, []byte(" "))
			s[string(name)] = string(value)
		case "ERROR", "CLIENT_ERROR", "SERVER_ERROR":
			return nil, fmt.Errorf("%w: %s", ErrRefused, Printable(string(line)))
		default:
			return nil, fmt.Errorf("that is no answer of memcached's: %s", Printable(string(line)))
		}
	}
	return nil, fmt.Errorf("more than %d lines to stats %s", linesMost, words)
}

func (c *Client) send(request string) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte(request))
	return err
}

// line is the next one without its end. It is good until the next call.
func (c *Client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("a line of more than %d bytes", lineMost)
	}
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it hung up when it was asked")
	}
	return bytes.TrimRight(line, "\r\n"), err
}
