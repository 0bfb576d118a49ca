package admin

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gomemd/gomemd/internal/stats"
)

// What clients say that they accept: Prometheus 2.42 without and with native histograms, and curl.
const (
	acceptOpenMetrics = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," +
		"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	acceptProtobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;" +
		"version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	acceptAny = "*/*"
)

// scrape reads the metrics by name.
func scrape(t *testing.T, a *Server, accept string) (families map[string]*dto.MetricFamily, kind, text string) {
	t.Helper()
	status, header, body := get(t, a, "/metrics", func(r *http.Request) { r.Header.Set("Accept", accept) })
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	kind, _, _ = strings.Cut(header.Get("Content-Type"), ";")
	if kind == "application/openmetrics-text" {
		return nil, kind, body
	}
	families = map[string]*dto.MetricFamily{}
	decoder := expfmt.NewDecoder(bufio.NewReader(strings.NewReader(body)), expfmt.ResponseFormat(header))
	for {
		var f dto.MetricFamily
		switch err := decoder.Decode(&f); err {
		case nil:
			families[f.GetName()] = &f
		case io.EOF:
			return families, kind, body
		default:
			t.Fatal(err)
		}
	}
}

func TestMetricsTellTheState(t *testing.T) {
	a := listen(t, Options{Version: "1.2.3"})
	want := func(when string, up, ready float64, all bool) {
		t.Helper()
		families, _, _ := scrape(t, a, acceptAny)
		value := func(name string) float64 { return families[name].GetMetric()[0].GetGauge().GetValue() }
		if value("memcached_up") != up || value("gomemd_ready") != ready || (families["memcached_current_items"] != nil) != all {
			t.Errorf("%s: up %v, ready %v, %d families", when, value("memcached_up"), value("gomemd_ready"), len(families))
		}
		build := families["gomemd_build_info"].GetMetric()[0]
		if l := build.GetLabel()[1]; l.GetName() != "version" || l.GetValue() != "1.2.3" {
			t.Errorf("%s: %v", when, build)
		}
	}
	want("starting", 0, 0, false)
	a.Serve(still{})
	want("serving", 1, 1, true)
	a.Drain()
	want("draining", 1, 0, true)
}

// What is asked for is given. The names of memcached's metrics are the same in all formats, also of
// those counters that do not end in _total.
func TestFormatsAreNegotiated(t *testing.T) {
	a := listen(t, Options{})
	a.Serve(still{brief: stats.Snapshot{Process: stats.Process{Uptime: 77}}})
	families, kind, text := scrape(t, a, acceptAny)
	if kind != "text/plain" || families["memcached_uptime_seconds"].GetType() != dto.MetricType_COUNTER {
		t.Errorf("%s: %v", kind, families["memcached_uptime_seconds"])
	}
	if _, ok := families["gomemd_item_size_bytes"]; !ok || !strings.Contains(text, `gomemd_item_size_bytes_bucket{le="1024"} 0`) {
		t.Error("no classic buckets")
	}
	_, kind, text = scrape(t, a, acceptOpenMetrics)
	if kind != "application/openmetrics-text" || !strings.HasSuffix(text, "# EOF\n") ||
		!strings.Contains(text, "\nmemcached_uptime_seconds 77.0\n") || !strings.Contains(text, "\nmemcached_items_total 0.0\n") {
		t.Errorf("%s:\n%s", kind, text)
	}
	families, kind, _ = scrape(t, a, acceptProtobuf)
	if kind != "application/vnd.google.protobuf" || families["memcached_uptime_seconds"].GetMetric()[0].GetCounter().GetValue() != 77 {
		t.Errorf("%s: %v", kind, families["memcached_uptime_seconds"])
	}
}

// bucket is part of a native histogram: it is of what is more than one bound and at most the other.
type bucket struct {
	above, upTo float64
	n           uint64
}

// buckets are those with something in them.
func buckets(h *dto.Histogram) (all []bucket) {
	if n := h.GetZeroCount(); n > 0 {
		all = append(all, bucket{0, h.GetZeroThreshold(), n})
	}
	base := math.Exp2(math.Exp2(-float64(h.GetSchema())))
	index, n := int32(0), int64(0)
	deltas := h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			n += deltas[0]
			deltas = deltas[1:]
			if n > 0 {
				all = append(all, bucket{math.Pow(base, float64(index-1)), math.Pow(base, float64(index)), uint64(n)})
			}
			index++
		}
	}
	return all
}

// Each number that is counted is found in the bucket of either form that its size belongs to.
func TestHistogramsHaveWhatWasCounted(t *testing.T) {
	var s stats.Snapshot
	sizes := []uint64{0, 1, 2, 3, 4, 5, 1023, 1024, 1025, 1 << 20}
	for _, n := range sizes {
		s.Insight.Stored.Counts[stats.Class(n)]++
		s.Insight.Stored.Sum += n
	}
	times := []time.Duration{1, 900, 1200, 40 * time.Microsecond, 41 * time.Microsecond, 3 * time.Millisecond, 8 * time.Second}
	var counted stats.Times
	for _, d := range times {
		counted.Add(d)
	}
	counted.AddTo(&s.Insight.Latency[stats.KindSet])
	a := listen(t, Options{})
	a.Serve(still{brief: s})
	families, _, _ := scrape(t, a, acceptProtobuf)

	check := func(name string, m *dto.Metric, values []float64) {
		t.Helper()
		h := m.GetHistogram()
		if h.GetSampleCount() != uint64(len(values)) {
			t.Errorf("%s: %d values, want %d", name, h.GetSampleCount(), len(values))
		}
		const rounding = 1e-9
		total := uint64(0)
		for _, b := range buckets(h) {
			n := uint64(0)
			for _, v := range values {
				if v > b.above*(1+rounding) && v <= b.upTo*(1+rounding) || v == 0 && b.above == 0 {
					n++
				}
			}
			if n != b.n {
				t.Errorf("%s: %d in (%v, %v], want %d", name, b.n, b.above, b.upTo, n)
			}
			total += b.n
		}
		if total != uint64(len(values)) {
			t.Errorf("%s: %d in all native buckets", name, total)
		}
		if len(h.GetBucket()) < 20 {
			t.Errorf("%s: %d classic buckets", name, len(h.GetBucket()))
		}
		for _, b := range h.GetBucket() {
			n := uint64(0)
			for _, v := range values {
				if v <= b.GetUpperBound() {
					n++
				}
			}
			if n != b.GetCumulativeCount() {
				t.Errorf("%s: %d up to %v, want %d", name, b.GetCumulativeCount(), b.GetUpperBound(), n)
			}
		}
	}
	var values []float64
	for _, n := range sizes {
		values = append(values, float64(n))
	}
	check("sizes", families["gomemd_item_size_bytes"].GetMetric()[0], values)
	if sum := families["gomemd_item_size_bytes"].GetMetric()[0].GetHistogram().GetSampleSum(); sum != 15+3*1024+1<<20 {
		t.Errorf("the sum of sizes is %v", sum)
	}
	values = nil
	for _, d := range times {
		values = append(values, d.Seconds())
	}
	for _, m := range families["gomemd_command_duration_seconds"].GetMetric() {
		if m.GetLabel()[0].GetValue() == "set" {
			check("times", m, values)
		} else {
			check("other times", m, nil)
		}
	}
}

// Help and names are for people: each metric has a sentence, of our own too.
func TestEveryMetricIsExplained(t *testing.T) {
	for _, list := range [][]described{memcachedFamilies, ownFamilies} {
		for _, f := range list {
			if !strings.HasSuffix(f.help, ".") || !model.LegacyValidation.IsValidMetricName(f.name) {
				t.Errorf("%s: %s", f.name, f.help)
			}
		}
	}
}

// An operator finds each metric of our own in docs/inside.md, and no other.
func TestOurOwnMetricsAreInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/inside.md")
	if err != nil {
		t.Fatal(err)
	}
	inDocs, ours := map[string]bool{}, map[string]bool{"gomemd_build_info": true, "gomemd_ready": true}
	for _, row := range regexp.MustCompile(`(?m)^\| .gomemd_.*`).FindAllString(string(text), -1) {
		for _, name := range regexp.MustCompile("`(gomemd_[a-z_]+)`").FindAllStringSubmatch(row, -1) {
			inDocs[name[1]] = true
		}
	}
	for _, f := range ownFamilies {
		ours[f.name] = true
	}
	if !maps.Equal(inDocs, ours) {
		t.Errorf("docs/inside.md explains\n%v\nthere are\n%v", slices.Sorted(maps.Keys(inDocs)), slices.Sorted(maps.Keys(ours)))
	}
}

// counted is a server that counts the snapshots taken of it.
type counted struct {
	still
	n *atomic.Int64
}

func (c counted) Brief() stats.Snapshot {
	c.n.Add(1)
	return c.still.Brief()
}

// A scraper that has stopped reading in the middle holds up no other one, nor the end.
func TestWhoStopsReadingHoldsUpNobody(t *testing.T) {
	a := listen(t, Options{})
	var scrapes atomic.Int64
	a.Serve(counted{n: &scrapes})
	for range 3 {
		c := dial(t, a)
		fmt.Fprintf(c, "%s", strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 2000)) // replies of 60 MB
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	// They stand still when no more is written. Were that seen too early, the end would find less to do.
	for before := int64(-1); before != scrapes.Load(); time.Sleep(300 * time.Millisecond) {
		before = scrapes.Load()
	}
	if n := scrapes.Load(); n >= 3*2000 {
		t.Fatalf("the sockets took all %d replies", n)
	}
	if status, _, _ := get(t, a, "/metrics", nil); status != http.StatusOK {
		t.Error(status)
	}
	began := time.Now()
	a.Close()
	if took := time.Since(began); took > writeWithin/2 {
		t.Errorf("Close took %v", took)
	}
}
