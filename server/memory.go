package server

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
)

// memory is the part of `stats gomemd` that tells where the process's memory is, by area, with the sum and what the system says:
//
//	memory_items          segments, index and segment table: what -m bounds
//	memory_connections    replies that wait, input behind them, beginnings of lines and values: what ConnMemory bounds
//	memory_runtime        everything else of Go's: connections, buffers of the loops, stacks, garbage
//	memory_program        the part of the program's file that is in use
//	memory_sum            of these
//	memory_resident       what the system counts
func (srv *Server) memory(r *report, items uint64) {
	resident, fromFiles := residentMemory()
	waiting, _ := srv.conns.budget.total()
	goes := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(goes)
	runtime := goes[0].Value.Uint64() - goes[1].Value.Uint64() - min(uint64(waiting), goes[0].Value.Uint64())
	// With -e on a disk the items are in a file too.
	program := min(fromFiles, programSize())

	r.number("memory_items", items)
	r.number("memory_connections", uint64(waiting))
	r.number("memory_runtime", runtime)
	r.number("memory_program", program)
	r.number("memory_sum", items+uint64(waiting)+runtime+program)
	r.number("memory_resident", resident)
}

// residentMemory reads /proc/self/status; 0 where there is none.
func residentMemory() (all, fromFiles uint64) {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		kB, _ := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
		switch string(name) {
		case "VmRSS":
			all = kB << 10
		case "RssFile":
			fromFiles = kB << 10
		}
	}
	return all, fromFiles
}

// programSize is how large the program's file is.
var programSize = sync.OnceValue(func() uint64 {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return 0
	}
	return uint64(info.Size())
})
