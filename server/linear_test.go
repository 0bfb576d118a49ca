package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/linear"
)

// wireClient makes linear's calls over a connection, in the text protocol.
type wireClient struct {
	*client
	clock *expiry.Clock
}

var storageVerbs = map[linear.Verb]string{linear.Set: "set", linear.Add: "add", linear.Replace: "replace", linear.Append: "append",
	linear.Prepend: "prepend", linear.Cas: "cas"}

var lineOutcomes = map[string]linear.Outcome{
	"STORED": linear.Done, "DELETED": linear.Done, "TOUCHED": linear.Done, "OK": linear.Done,
	"NOT_STORED": linear.NotStored, "EXISTS": linear.Exists, "NOT_FOUND": linear.NotFound,
	"SERVER_ERROR out of memory storing object": linear.NoMemory,
}

func (c wireClient) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Error(err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c wireClient) Do(call linear.Call) (r linear.Reply) {
	exptime := int64(0)
	if call.Deadline != 0 {
		exptime = c.clock.Unix(expiry.Instant(call.Deadline)) // more than 30 days: a date
	}
	switch call.Verb {
	case linear.Flush:
		c.say("flush_all\r\n")
	case linear.Clear:
		c.say("flush_prefix " + call.Key + "\r\n")
	case linear.Get:
		return c.retrieve("get " + call.Key)
	case linear.Gets:
		return c.retrieve("gets " + call.Key)
	case linear.Gat:
		return c.retrieve(fmt.Sprintf("gat %d %s", exptime, call.Key))
	case linear.Touch:
		c.say(fmt.Sprintf("touch %s %d\r\n", call.Key, exptime))
	case linear.Delete:
		c.say("delete " + call.Key + "\r\n")
	case linear.Incr:
		c.say(fmt.Sprintf("incr %s %d\r\n", call.Key, call.Delta))
	case linear.Decr:
		c.say(fmt.Sprintf("decr %s %d\r\n", call.Key, call.Delta))
	default:
		unique := ""
		if call.Verb == linear.Cas {
			unique = fmt.Sprint(" ", call.Unique)
		}
		c.say(fmt.Sprintf("%s %s 0 %d %d%s\r\n%s\r\n", storageVerbs[call.Verb], call.Key, exptime, len(call.Value), unique, call.Value))
	}
	line := c.line()
	if n, err := strconv.ParseUint(line, 10, 64); err == nil {
		return linear.Reply{Number: n}
	}
	outcome, known := lineOutcomes[line]
	if !known {
		c.t.Errorf("%+v: %q", call, line)
	}
	return linear.Reply{Outcome: outcome}
}

func (c wireClient) retrieve(command string) (r linear.Reply) {
	c.say(command + "\r\n")
	line := c.line()
	if line == "END" {
		return linear.Reply{Outcome: linear.NotFound}
	}
	words := strings.Fields(line)
	n, _ := strconv.Atoi(words[3])
	value := make([]byte, n+len("\r\nEND\r\n"))
	for got := 0; got < len(value); {
		m, err := c.r.Read(value[got:])
		if got += m; err != nil {
			c.t.Error(err)
			break
		}
	}
	if len(words) == 5 {
		r.Unique, _ = strconv.ParseUint(words[4], 10, 64)
	}
	r.Value = string(value[:n])
	return r
}

// The same as storage's test of that name, over sockets.
func TestLinearizable(t *testing.T) {
	clock := expiry.NewClock(1_700_000_000)
	srv := startServer(t, Options{Clock: clock, MemoryLimit: 1 << 20, ItemMax: 64 << 10, Loops: 2})
	stop := make(chan struct{})
	var crowd sync.WaitGroup
	other := dial(t, srv)
	crowd.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			var said strings.Builder
			for i := range 50 {
				size := (n*i)%300 + 1
				fmt.Fprintf(&said, "set other%d 0 0 %d noreply\r\n%s\r\n", (n*50+i)%30_000, size, strings.Repeat("v", size))
			}
			said.WriteString("mn\r\n")
			other.say(said.String())
			other.hear("MN\r\n")
		}
	})
	defer crowd.Wait()
	defer close(stop)
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	var clients []linear.Client
	for range 5 {
		clients = append(clients, wireClient{dial(t, srv), clock})
	}
	for round := range rounds {
		run := linear.Run{Clients: clients, Calls: 50, Seed: uint64(time.Now().UnixNano()), Now: uint32(clock.Now()), LengthMax: 3000,
			Move: func(now uint32) { clock.Set(expiry.Instant(now)); srv.Sweep() }}
		for i := range 3 {
			run.Registers = append(run.Registers, fmt.Sprintf("register-%d-of-%d", i, round))
		}
		run.Counters = []string{fmt.Sprint("counter-of-", round)}
		if err := run.Check(); err != nil {
			t.Fatalf("round %d, seed %d: %v", round, run.Seed, err)
		}
	}
}
