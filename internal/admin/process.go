package admin

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/gomemd/gomemd/internal/stats"
)

// process is what the system tells of this process. The metrics are those of the library's own
// collector, by which the exporter tells of its --memcached.pid-file. That one reads all of
// /proc/stat and three more files for numbers that do not change or that a system call gives.
type process struct {
	virtual, resident uint64
	files             int
	network           procfs.ProcNetstat
}

// processCollector reads it. Its descriptor of /proc is good for the life of the process.
type processCollector struct {
	proc     procfs.Proc
	families []processFamily
}

type processFamily struct {
	described
	of func(*process) float64
}

// collectProcess adds the metrics of this process. Where there is no /proc there are none.
func collectProcess(to *prometheus.Registry) {
	proc, err := procfs.Self()
	if err != nil {
		return
	}
	stat, err := proc.Stat()
	if err != nil {
		return
	}
	started, err := stat.StartTime()
	if err != nil {
		return
	}
	c := processCollector{proc: proc}
	for _, f := range []struct {
		name string
		kind kind
		help string
		of   func(*process) float64
	}{
		{"cpu_seconds_total", counter, "CPU time of the process.", func(*process) float64 {
			now := stats.ThisProcess()
			return seconds(now.UserTime) + seconds(now.SysTime)
		}},
		{"start_time_seconds", gauge, "When the process was started, in seconds since 1970.", func(*process) float64 { return started }},
		{"open_fds", gauge, "Descriptors that the process has open.", func(p *process) float64 { return float64(p.files) }},
		{"max_fds", gauge, "How many descriptors the process may have open.", limit(syscall.RLIMIT_NOFILE)},
		{"resident_memory_bytes", gauge, "Memory of the process as the system counts it.", func(p *process) float64 { return float64(p.resident) }},
		{"virtual_memory_bytes", gauge, "Address space that the process has taken.", func(p *process) float64 { return float64(p.virtual) }},
		{"virtual_memory_max_bytes", gauge, "How much address space the process may take.", limit(syscall.RLIMIT_AS)},
		{"network_receive_bytes_total", counter, "Bytes that this host, or this container, has received over IP.",
			func(p *process) float64 { return orZero(p.network.InOctets) }},
		{"network_transmit_bytes_total", counter, "Bytes that this host, or this container, has sent over IP.",
			func(p *process) float64 { return orZero(p.network.OutOctets) }},
	} {
		all := describe([]family{{name: "memcached_process_" + f.name, kind: f.kind, help: f.help}})
		c.families = append(c.families, processFamily{all[0], f.of})
	}
	to.MustRegister(c)
}

func (processCollector) Describe(chan<- *prometheus.Desc) {}

func (c processCollector) Collect(out chan<- prometheus.Metric) {
	now, err := c.take()
	if err != nil {
		return
	}
	for i := range c.families {
		f := &c.families[i]
		out <- &series{&f.described, f.of(&now), nil}
	}
}

func (c processCollector) take() (now process, err error) {
	text, err := os.ReadFile("/proc/self/statm") // in pages
	if err != nil {
		return now, err
	}
	if _, err := fmt.Fscan(bytes.NewReader(text), &now.virtual, &now.resident); err != nil {
		return now, err
	}
	page := uint64(os.Getpagesize())
	now.virtual, now.resident = now.virtual*page, now.resident*page
	if now.files, err = c.proc.FileDescriptorsLen(); err != nil {
		return now, err
	}
	now.network, err = c.proc.Netstat()
	return now, err
}

// limit is a limit that the system sets the process; without one it is the largest number.
func limit(resource int) func(*process) float64 {
	return func(*process) float64 {
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(resource, &limit) // fails only for a bad argument
		return float64(limit.Cur)
	}
}

func orZero(n *float64) float64 {
	if n == nil {
		return 0
	}
	return *n
}
