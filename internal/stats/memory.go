package stats

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
)

// Memory tells where the memory of the process is, in bytes.
type Memory struct {
	Items       uint64 // segments, index and segment table: what -m bounds
	Connections uint64 // replies that wait, input behind them, beginnings of lines and values
	Runtime     uint64 // everything else of Go's: connections, buffers of the loops, stacks, garbage
	Program     uint64 // the part of the program's file that is in use
	Resident    uint64 // what the system counts
}

// Sum is of all areas.
func (m *Memory) Sum() uint64 { return m.Items + m.Connections + m.Runtime + m.Program }

// TakeMemory looks where the memory is, when items are so large, and what connections hold.
func TakeMemory(items, connections uint64) Memory {
	resident, fromFiles := residentMemory()
	goes := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(goes)
	return Memory{
		Items:       items,
		Connections: connections,
		Runtime:     goes[0].Value.Uint64() - goes[1].Value.Uint64() - min(connections, goes[0].Value.Uint64()),
		// With -e on a disk the items are in a file too.
		Program:  min(fromFiles, programSize()),
		Resident: resident,
	}
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
