package storage

import (
	"unsafe"

	"github.com/gomemd/gomemd/expiry"
)

// Footprint tells how many items a store keeps once it is full, from the layout alone: nothing is
// opened. It is for whoever wants to know before there is a store.
type Footprint struct{ g geometry }

// FootprintOf is of the store that Open would make of these options. MemoryLimit, ItemMax,
// SegmentSize, Shards and File count. False: the limit is too small for a store.
func FootprintOf(opts Options) (Footprint, bool) {
	if opts.ItemMax == 0 {
		opts.ItemMax = itemMaxDefault
	}
	g := proportions(&opts)
	return Footprint{g}, g.limit/int64(g.segSize) >= segmentsMin
}

// Header is how many bytes of segments an item takes beside its key and value, without padding.
// deadline is in seconds from when it is stored, 0 for none.
func (f Footprint) Header(nkey, nvalue int, flags uint32, deadline expiry.Instant) int {
	nf := fields{klen: nkey, vlen: nvalue, flags: flags, deadline: deadline}
	n := int(nf.layout(0).koff)
	// A long value is in parts: none is longer than what is copied at once.
	return n + (n+nkey+nvalue-1)/min(recordMax, int(f.g.segSize))*pieceHeader
}

// Granule is to a multiple of what a record, which is header, key and value, is padded.
func (f Footprint) Granule() int { return 1 << f.g.granule }

// segmentsSpared is how many segments of a shard hold no items while it evicts: three are free,
// and those being filled and emptied are so by half. Measured: TestFootprint.
const segmentsSpared = 6

// Fits is how many items a full store keeps whose records are so large in the mean. It errs by less
// than 2 % where a shard holds a hundred items and more.
func (f Footprint) Fits(record float64) float64 {
	if record <= 0 {
		return 0
	}
	whole := float64(f.g.segSize)
	used := whole - pieceHeader - tailMin/2 // the last record of a segment goes on in another …
	if record < splitMin {
		used = whole - record/2 // … or does not begin in this one
	}
	limit := float64(f.g.limit)
	room := limit - limit/whole*float64(unsafe.Sizeof(segment{})) - segmentsSpared*whole
	item := record * whole / used
	slot := bucketSize / (slots * float64(loadOf(uint64(record))-2) / 100) // as grow leaves it
	leastIndex := limit / leastIndexPart
	return max(0, float64(f.g.shards)*min(room/(item+slot), (room-leastIndex)/item))
}
