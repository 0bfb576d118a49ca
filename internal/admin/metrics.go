package admin

import (
	"bufio"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/gomemd/gomemd/internal/stats"
)

// metrics is /metrics. Nothing is kept between two scrapes: a scrape takes a snapshot and translates
// it by two tables, memcached.go and own.go. Who stops reading in the middle of one holds up nobody,
// and is closed after writeWithin.
//
// What Prometheus asks for in the Accept header decides on the format: text, OpenMetrics, where
// counters whose name does not end in _total are of an unknown type, or protobuf, where histograms
// are native as well. It is not compressed: it is some 35 KB, and who asks is near.
func (a *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{a, describe(a.stateFamilies())})
	collectProcess(registry)
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := bufio.NewWriterSize(w, atOnce)
		metrics.ServeHTTP(gathered{w, text}, r)
		_ = text.Flush() // fails only if nobody reads it any more
	})
}

// atOnce is how much of a reply is gathered: all of it, in most cases. The library writes each family.
const atOnce = 64 << 10

// gathered is a reply whose text is gathered.
type gathered struct {
	http.ResponseWriter
	text *bufio.Writer
}

func (g gathered) Write(p []byte) (int, error) { return g.text.Write(p) }

// family is a row of the tables: a metric, and what its series are made of.
type family struct {
	name string
	kind kind
	help string
	tell func(s *stats.Snapshot, tell teller)
}

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

// teller takes one series: a value, and its labels and their values in turn, sorted.
type teller func(value any, labels ...string)

// number makes the series of a family that has one alone, which is always there.
func number[N uint64 | int64 | int | float64](of func(s *stats.Snapshot) N) func(*stats.Snapshot, teller) {
	return func(s *stats.Snapshot, tell teller) { tell(float64(of(s))) }
}

// collector makes metrics of what a server tells. It describes none: which there are depends on the
// state and the options of the server.
type collector struct {
	admin  *Server
	states []described
}

func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	tellAll := func(families []described, s *stats.Snapshot) {
		for i := range families {
			f := &families[i]
			f.tell(s, func(value any, labels ...string) { out <- &series{f, value, labels} })
		}
	}
	if source, started := c.admin.server(); started {
		now := source.Brief()
		tellAll(memcachedFamilies, &now)
		tellAll(ownFamilies, &now)
	}
	tellAll(c.states, nil)
}

// described is a family with its description.
type described struct {
	family
	desc *prometheus.Desc
}

func describe(families []family) []described {
	all := make([]described, len(families))
	for i, f := range families {
		all[i] = described{f, prometheus.NewDesc(f.name, f.help, nil, nil)}
	}
	return all
}

// series is a metric of the library's.
type series struct {
	family *described
	value  any // float64 or *dto.Histogram
	labels []string
}

func (s *series) Desc() *prometheus.Desc { return s.family.desc }

func (s *series) Write(out *dto.Metric) error {
	for i := 0; i < len(s.labels); i += 2 {
		out.Label = append(out.Label, &dto.LabelPair{Name: &s.labels[i], Value: &s.labels[i+1]})
	}
	switch value := s.value.(type) {
	case float64:
		if s.family.kind == counter {
			out.Counter = &dto.Counter{Value: &value}
		} else {
			out.Gauge = &dto.Gauge{Value: &value}
		}
	case *dto.Histogram:
		out.Histogram = value
	}
	return nil
}

// stateFamilies are told in every state, without a snapshot.
func (a *Server) stateFamilies() []family {
	return []family{
		{"memcached_up", gauge, "Whether the server has started: 0 while a memory file is read.", func(_ *stats.Snapshot, tell teller) {
			_, started := a.server()
			tell(oneIf(started))
		}},
		{"gomemd_ready", gauge, "Whether clients should be sent here: 0 while the server starts, and once it drains.", func(_ *stats.Snapshot, tell teller) {
			_, started := a.server()
			tell(oneIf(started && !a.draining.Load()))
		}},
		{"gomemd_build_info", gauge, "Always 1; its labels are what the server was built from.", func(_ *stats.Snapshot, tell teller) {
			tell(1., "goversion", runtime.Version(), "version", a.opts.Version)
		}},
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
