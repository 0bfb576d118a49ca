package compat_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// monit asks whether a memcached is well by a noop of the binary protocol, and closes the connection.
func TestClientMonit(t *testing.T) {
	t.Parallel()
	monit := tool(t, "monit", "monit")
	_, port, err := net.SplitHostPort(startServer(t, nil).addr)
	must(t, err)
	dir := t.TempDir()
	var conf strings.Builder
	fmt.Fprintln(&conf, "set daemon 1")
	for _, file := range []string{"log", "pid", "id", "state"} {
		fmt.Fprintf(&conf, "set %sfile %s\n", file, filepath.Join(dir, file))
	}
	fmt.Fprintf(&conf, "check host memcached with address 127.0.0.1\n  if failed port %s protocol memcache with timeout 30 seconds then alert\n", port)
	file := filepath.Join(dir, "monitrc")
	must(t, os.WriteFile(file, []byte(conf.String()), 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, monit, "-I", "-v", "-c", file) // it goes on until it is told to end
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout
	must(t, cmd.Start())
	var said []string
	well := 0
	for lines := bufio.NewScanner(stdout); well < 2 && lines.Scan(); {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "succeeded testing protocol [MEMCACHE]") {
			well++
		}
		if strings.Contains(lines.Text(), "failed protocol test") {
			break
		}
	}
	cancel()
	_ = cmd.Wait() // it was killed
	if well < 2 {
		t.Errorf("monit found it well %d times, want 2:\n%s", well, strings.Join(said, "\n"))
	}
}

// zabbix-agent2 asks for the statistics in the binary protocol.
func TestClientZabbixAgent(t *testing.T) {
	t.Parallel()
	agent := tool(t, "zabbix_agent2", "zabbix-agent2")
	conf := filepath.Join(t.TempDir(), "conf")
	must(t, os.WriteFile(conf, []byte("LogType=console\nServer=127.0.0.1\nHostname=test\nTimeout=20\n"), 0o600))
	plain, sasl := "tcp://"+startServer(t, nil).addr, "tcp://"+startServer(t, []string{"-S"}).addr
	for _, tc := range []struct{ key, says string }{
		{"memcached.ping[" + plain + "]", "[s|1]"},
		{"memcached.stats[" + plain + "]", `"curr_items":"0"`},
		{"memcached.stats[" + plain + ",,,settings]", `"maxconns":"1024"`},
		{"memcached.ping[" + sasl + ",alice,s3cret]", "[s|1]"},
		{"memcached.stats[" + sasl + ",alice,s3cret]", `"curr_items":"0"`},
		{"memcached.ping[" + sasl + ",alice,wrong]", "[s|0]"},
		{"memcached.ping[" + sasl + "]", "[s|0]"},
	} {
		if said, _ := run(t, agent, "-c", conf, "-t", tc.key); !strings.Contains(said, tc.says) {
			t.Errorf("%s says %.500q, want %q", tc.key, said, tc.says)
		}
	}
}
