package compat_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/memcached_exporter/pkg/exporter"

	"github.com/gomemd/gomemd/internal/admin"
	"github.com/gomemd/gomemd/server"
)

// startAdmin starts a server with an admin listener.
func startAdmin(t *testing.T, opts server.Options) (s *tcpServer, srv *server.Server, a *admin.Server) {
	t.Helper()
	opts.Listen, opts.Log = []string{"127.0.0.1:0"}, io.Discard
	srv, err := server.Start(opts)
	must(t, err)
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	a, err = admin.Listen(admin.Options{Addr: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(a.Close)
	a.Serve(srv)
	return &tcpServer{addr: srv.Addrs()[0].String(), name: "gomemd"}, srv, a
}

// allKinds has most counters count, more and more evictions, and each client a number of its own.
func allKinds(t *testing.T, s *tcpServer, clients, rounds int) {
	t.Helper()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			var b strings.Builder
			for i := range rounds {
				fmt.Fprintf(&b, "set k%d.%d 0 %d %d noreply\r\n%0*d\r\n", c, i, i%3*100, 10+i%2000, 10+i%2000, i)
				fmt.Fprintf(&b, "get k%d.%d nobody\r\nset n 0 0 1\r\n1\r\nincr n 1\r\ndecr n 1\r\ngets n\r\ngat 100 n\r\ntouch n 0\r\n", c, i/2)
				fmt.Fprintf(&b, "cas n 0 0 1 1\r\n1\r\ncas nobody 0 0 1 1\r\n1\r\ndelete nobody\r\ntouch nobody 1\r\nincr nobody 1\r\ndecr nobody 1\r\n")
				fmt.Fprintf(&b, "set gone 0 -1 1\r\n1\r\nget gone\r\nset k 0 0 1\r\n1\r\ndelete k\r\n")
			}
			b.WriteString("set large 0 0 2000000 noreply\r\n" + strings.Repeat("x", 2_000_000) + "\r\nmn")
			if _, err := s.ask(b.String(), "MN"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// byTheExporter is what the exporter makes of a server, and of this process with --memcached.pid-file.
func byTheExporter(t *testing.T, s *tcpServer) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(exporter.New(s.addr, 20*time.Second, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{Namespace: "memcached"}))
	families, err := registry.Gather()
	must(t, err)
	return families
}

// adminPage asks the listener.
func adminPage(t *testing.T, a *admin.Server, path string) []byte {
	t.Helper()
	reply, err := http.Get("http://" + a.Addr().String() + path)
	must(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	must(t, err)
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, reply.Status, text)
	}
	return text
}

// byTheListener is what the admin listener tells, without our own metrics.
func byTheListener(t *testing.T, a *admin.Server) (families []*dto.MetricFamily) {
	t.Helper()
	decoder := expfmt.NewDecoder(bufio.NewReader(bytes.NewReader(adminPage(t, a, "/metrics"))), expfmt.NewFormat(expfmt.TypeTextPlain))
	for {
		var f dto.MetricFamily
		switch err := decoder.Decode(&f); err {
		case nil:
			if f.GetHelp() == "" {
				t.Errorf("%s has no help", f.GetName())
			}
			if strings.HasPrefix(f.GetName(), exporter.Namespace+"_") {
				families = append(families, &f)
			}
		case io.EOF:
			return families
		default:
			t.Fatal(err)
		}
	}
}

// changing are metrics whose values are different a moment later, or because the exporter is a client: all others stay the same
// while nobody asks anything else.
var changing = strings.Fields(`memcached_time_seconds memcached_uptime_seconds memcached_current_connections memcached_connections_total
	memcached_read_bytes_total memcached_written_bytes_total memcached_process_user_cpu_seconds_total memcached_process_system_cpu_seconds_total
	memcached_process_cpu_seconds_total memcached_process_open_fds memcached_process_resident_memory_bytes memcached_process_virtual_memory_bytes
	memcached_process_network_receive_bytes_total memcached_process_network_transmit_bytes_total memcached_slab_items_age_seconds`)

// seriesOf are the series with their types and, unless they change, values.
func seriesOf(families []*dto.MetricFamily) (all []string) {
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := make([]string, 0, 3)
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			value := ""
			if !slices.Contains(changing, f.GetName()) {
				value = strconv.FormatFloat(m.GetCounter().GetValue()+m.GetGauge().GetValue(), 'g', -1, 64)
			}
			all = append(all, fmt.Sprintf("%s %s{%s} %s", f.GetType(), f.GetName(), strings.Join(labels, ","), value))
		}
	}
	slices.Sort(all)
	return all
}

// sameSize checks what changes of the process: in the same unit, it is about as much a moment later.
func sameSize(t *testing.T, theirs, ours []*dto.MetricFamily) {
	t.Helper()
	values := func(families []*dto.MetricFamily) map[string]float64 {
		of := make(map[string]float64)
		for _, f := range families {
			if name, ok := strings.CutPrefix(f.GetName(), exporter.Namespace+"_process_"); ok {
				of[name] = f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return of
	}
	is := values(ours)
	for name, want := range values(theirs) {
		if strings.HasSuffix(name, "_cpu_seconds_total") && name != "cpu_seconds_total" {
			continue // may be 0 still
		}
		if got := is[name]; got < want/4 || got > want*4 {
			t.Errorf("%s: %v, the exporter has %v", name, got, want)
		}
	}
}

// The admin listener tells what the exporter would: the same metrics, types, labels and values, and no other.
func TestMetricsAreTheExporters(t *testing.T) {
	const tune = "lru_crawler sleep 7\r\nlru_crawler tocrawl 9\r\nlru tune 10 25 0.1 2.5\r\nflush_all\r\n"
	for name, tt := range map[string]struct {
		opts    server.Options
		clients int
		say     string
		series  int    // at least
		one     string // of them
	}{
		"under load": {server.Options{MemoryLimit: 3 << 20, ItemMax: 1 << 20}, 4, "", 100, `COUNTER memcached_item_too_large_total{} 4`},
		"empty":      {server.Options{}, 0, "", 55, `GAUGE memcached_current_items{} 0`},
		"few": {server.Options{MaxConnsWait: true, Settings: server.Settings{NoCrawler: true, NoMaintainer: true}}, 2, "", 80,
			`COUNTER memcached_commands_total{command="incr",status="miss"} 6000`},
		"no room": {server.Options{MemoryLimit: 3 << 20, ItemMax: 1 << 20, DisableEviction: true}, 4, "", 100, `COUNTER memcached_items_evicted_total{} 0`},
		"tuned":   {server.Options{}, 1, tune, 75, `GAUGE memcached_lru_crawler_sleep{} 7`},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv, a := startAdmin(t, tt.opts)
			allKinds(t, s, tt.clients, 3000)
			_, err := s.ask(tt.say+"mn", "MN")
			must(t, err)
			for deadline := time.Now().Add(20 * time.Second); srv.Stats().Conns.Current > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("clients are still there")
				}
			}
			srv.Sweep() // or the tick might, between the two
			var want, got []string
			for try := 0; try < 5; try++ { // expiry goes on
				theirs, ours := byTheExporter(t, s), byTheListener(t, a)
				sameSize(t, theirs, ours)
				if want, got = seriesOf(theirs), seriesOf(ours); slices.Equal(want, got) {
					break
				}
			}
			for _, series := range want {
				if !slices.Contains(got, series) {
					t.Errorf("the exporter has\t%s", series)
				}
			}
			for _, series := range got {
				if !slices.Contains(want, series) {
					t.Errorf("the listener has\t%s", series)
				}
			}
			if len(want) < tt.series || tt.clients > 2 && srv.Stats().Store.Evictions+srv.Stats().Served.StoreNoMemory == 0 {
				t.Errorf("%d series, %d evictions: this shows little", len(want), srv.Stats().Store.Evictions)
			}
			if !slices.Contains(want, tt.one) {
				t.Errorf("there is no %s in\n%s", tt.one, strings.Join(want, "\n"))
			}
		})
	}
}

// promtool is content with our metrics, and complains of memcached's about what it complains of the exporter's.
func TestToolPromtool(t *testing.T) {
	check := func(text []byte) (complaints []string) {
		cmd := exec.Command(tool(t, "promtool", "prometheus"), "check", "metrics")
		cmd.Stdin = bytes.NewReader(text)
		said, _ := cmd.CombinedOutput()
		return strings.Split(strings.TrimSpace(string(said)), "\n")
	}
	s, _, a := startAdmin(t, server.Options{MemoryLimit: 3 << 20, ItemMax: 1 << 20})
	allKinds(t, s, 1, 100)
	registry := prometheus.NewRegistry()
	registry.MustRegister(exporter.New(s.addr, 20*time.Second, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil))
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	known := check(page.Body.Bytes())
	if !slices.Contains(known, `memcached_uptime_seconds counter metrics should have "_total" suffix`) {
		t.Fatalf("promtool complains of the exporter: %q", known)
	}
	for _, complaint := range check(adminPage(t, a, "/metrics")) {
		if !slices.Contains(known, complaint) {
			t.Error(complaint)
		}
	}
}

// Prometheus scrapes the listener, and finds what alerts and dashboards ask for: as it is by default, when it asks for
// OpenMetrics, and with native histograms.
func TestToolPrometheus(t *testing.T) {
	program := tool(t, "prometheus", "prometheus")
	for name, tt := range map[string]struct {
		flags   []string
		scrapes float64
		ours    []string
	}{
		"by default": {nil, 20, []string{
			"histogram_quantile(0.5, sum by(le, command) (rate(gomemd_command_duration_seconds_bucket[1m])))",
			"histogram_quantile(0.9, rate(gomemd_item_size_bytes_bucket[1m]))",
		}},
		"native histograms": {[]string{"--enable-feature=native-histograms"}, 10, []string{
			"histogram_quantile(0.5, sum by(command) (rate(gomemd_command_duration_seconds[1m])))",
			"histogram_quantile(0.9, rate(gomemd_item_size_bytes[1m])) < 4096",
			"histogram_count(gomemd_item_size_bytes) > 100",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, a := startAdmin(t, server.Options{MemoryLimit: 3 << 20, ItemMax: 1 << 20})
			p := startPrometheus(t, program, a.Addr().String(), tt.flags)
			for scrapes, since := 0., time.Now(); scrapes < tt.scrapes; time.Sleep(300 * time.Millisecond) {
				allKinds(t, s, 1, 100)
				if found := p.query(t, "sum_over_time(memcached_up[10m])"); len(found) > 0 {
					scrapes = found[0]
				}
				if time.Since(since) > 2*time.Minute {
					t.Fatalf("%v scrapes", scrapes)
				}
			}
			for _, q := range append(p.dashboards(t), tt.ours...) {
				if len(p.query(t, q)) == 0 {
					t.Errorf("nothing found: %s", q)
				}
			}
			p.alertsAreWell(t)
		})
	}
}

// prom is a running Prometheus.
type prom struct{ url string }

// startPrometheus scrapes target every second.
func startPrometheus(t *testing.T, program, target string, flags []string) *prom {
	t.Helper()
	dir := t.TempDir()
	alerts, err := filepath.Abs("testdata/prometheus/alerts.yml")
	must(t, err)
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n"+
		"- {job_name: memcached, static_configs: [{targets: ['%s'], labels: {cluster: c, namespace: n}}]}\n", alerts, target)
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	for range 5 { // somebody may take the port before it does
		port, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addr := port.Addr().String()
		must(t, port.Close())
		cmd := exec.Command(program, append(flags, "--config.file="+filepath.Join(dir, "prometheus.yml"),
			"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=error")...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		must(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		stop := func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				_ = cmd.Process.Kill()
				<-ended
			}
		}
		for since := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			if reply, err := http.Get("http://" + addr + "/-/ready"); err == nil {
				_ = reply.Body.Close()
				if reply.StatusCode == http.StatusOK {
					t.Cleanup(stop)
					return &prom{"http://" + addr}
				}
			}
			select {
			case <-ended:
			default:
				if time.Since(since) < time.Minute {
					continue
				}
				stop()
			}
			break
		}
		t.Logf("prometheus does not start: %s", said.String())
	}
	t.Fatal("prometheus does not start")
	return nil
}

// api asks Prometheus.
func (p *prom) api(t *testing.T, path string, data any) {
	t.Helper()
	reply, err := http.Get(p.url + "/api/v1/" + path)
	must(t, err)
	defer reply.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	must(t, json.NewDecoder(reply.Body).Decode(&answer))
	if answer.Status != "success" {
		t.Fatalf("%s: %s", path, answer.Error)
	}
	must(t, json.Unmarshal(answer.Data, data))
}

// query evaluates an expression now. The order of what it gives is of no meaning.
func (p *prom) query(t *testing.T, q string) (values []float64) {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.api(t, "query?query="+url.QueryEscape(q), &data)
	for _, r := range data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		must(t, err)
		values = append(values, v)
	}
	return values
}

// dashboards are the queries of the dashboards.
func (*prom) dashboards(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/prometheus/dashboards.promql")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			line = strings.ReplaceAll(line, "$s", `cluster=~"c", namespace=~"n", job=~"memcached", instance=~".+"`)
			all = append(all, strings.ReplaceAll(strings.TrimSpace(line), "$i", "1m"))
		}
	}
	return all
}

// alertsAreWell wants all alerts evaluated without an error, and none to fire.
func (p *prom) alertsAreWell(t *testing.T) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, State, LastError string }
		}
	}
	for since := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		p.api(t, "rules", &data)
		evaluated := 0
		for _, r := range data.Groups[0].Rules {
			if r.Health != "unknown" {
				evaluated++
			}
			if r.Health == "err" || r.State == "firing" {
				t.Errorf("%s: %s, %s %s", r.Name, r.Health, r.State, r.LastError)
			}
			p.query(t, r.Query)
		}
		if evaluated == 4 || t.Failed() {
			return
		}
		if time.Since(since) > time.Minute {
			t.Fatalf("%d alerts have been evaluated", evaluated)
		}
	}
}
