package estimate

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomemd/gomemd/expiry"
	"github.com/gomemd/gomemd/internal/asks"
	"github.com/gomemd/gomemd/storage"
)

// Range is what is known of a number: it is not below Low and not above High.
type Range struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Middle is the estimate, and Error by how much it may be off, as a part of it.
func (r Range) Middle() float64 { return (r.Low + r.High) / 2 }

// Error is half the width of the range, as a part of its middle.
func (r Range) Error() float64 {
	if r.Middle() == 0 {
		return 0
	}
	return (r.High - r.Low) / 2 / r.Middle()
}

// modelError is by how much a real store may differ from its Footprint; storage's TestFootprint.
const modelError = 0.02

// Known is what the user knows of the items. The zero Flags says that clients' flags are 0.
type Known struct {
	TTL   string // "all" have an expiration time, "none" has; "": unknown
	Flags int    // bytes that clients' flags take; -1: unknown
}

func (k *Known) check() error {
	if k.TTL != "" && k.TTL != "all" && k.TTL != "none" {
		return errors.New("--ttl is all or none")
	}
	if k.Flags > 4 || k.Flags == 3 {
		return errors.New("--client-flags is 0, 1, 2 or 4")
	}
	return nil
}

// Report is what the estimate comes to. Sizes are in bytes but where their names say MiB.
type Report struct {
	Server  string `json:"server"`
	Version string `json:"version"`
	Uptime  uint64 `json:"uptime_seconds"`
	Items   uint64 `json:"items"`
	Limit   uint64 `json:"limit"`
	Full    bool   `json:"full"` // it evicts, or has taken nearly all that it may

	There struct {
		Slabs      uint64 `json:"slab_pages"`      // what follows is where that is
		Payload    Range  `json:"keys_and_values"` //
		Headers    Range  `json:"item_headers"`    //
		Rounding   uint64 `json:"rounding"`        // of items up to their chunks
		FreeChunks uint64 `json:"free_chunks"`     //
		PageEnds   uint64 `json:"page_ends"`       // what is no whole chunk
		FreePages  uint64 `json:"free_pages"`      //
		HashTable  uint64 `json:"hash_table"`      // beside the limit
		Bytes      Range  `json:"bytes_per_item"`  // of Slabs; Low: were its chunks all used
		PerMiB     Range  `json:"items_per_mib"`   // Low: as it is
	} `json:"memcached"`
	Here struct {
		Record Range `json:"record_per_item"` // key, value and header
		Bytes  Range `json:"bytes_per_item"`  // of -m
		PerMiB Range `json:"items_per_mib"`   // of -m
		Items  Range `json:"items_same_limit"`
		MiB    Range `json:"mib_same_items"`
		More   Range `json:"times_as_many"` // with the same -m
	} `json:"gomemd"`
	Expired Expired `json:"expired"`

	Exact    bool      `json:"sizes_tracked"` // sizes are bounded by stats sizes, not by slab classes
	Unknown  []string  `json:"unknown"`       // what makes the ranges wide
	Settings []Setting `json:"settings"`
}

// Expired is what is known of items that are past their end and not reclaimed yet: nothing, as far
// as counters go. They are counted among the items.
type Expired struct {
	Share      Range   `json:"share"`
	PerHour    float64 `json:"reclaimed_per_hour"`      // expired and reclaimed, in the mean since it started
	EvictedTTL float64 `json:"evicted_with_expiration"` // part of the evicted items; -1: none was evicted
	Crawler    bool    `json:"crawler"`                 // it looks for them, at least once an hour
}

// group is a part of the items, of which the sizes are bounded. Sizes are as memcached counts.
type group struct {
	items           float64
	mean, low, high float64
}

// Make makes the report.
func Make(a *Answers, known Known) (*Report, error) {
	g := a.General
	r := &Report{Version: asks.Printable(g["version"]), Uptime: g.Number("uptime"), Items: g.Number("curr_items"), Limit: g.Number("limit_maxbytes")}
	switch {
	case !g.Has("curr_items") || r.Limit == 0:
		return nil, errors.New("it does not tell its items and its limit; is it a memcached?")
	case r.Items == 0:
		return nil, errors.New("it has no items, there is nothing to estimate from")
	case strings.HasPrefix(a.Settings["hash_algorithm"], "maphash"):
		return nil, errors.New("it is gomemd already")
	case len(a.Slabs.Classes("")) == 0:
		return nil, errors.New("it has items, and no slabs that would tell their sizes; is it a memcached?")
	}
	r.slabs(a)
	header, suffixes := headerOf(a)
	r.payload(a, header, suffixes, known)
	r.here(a, header, suffixes, known)
	r.expired(a)
	r.Settings = judge(a)
	return r, nil
}

// slabs says where the memory of its slab pages is, but for what is in the items.
func (r *Report) slabs(a *Answers) {
	t := &r.There
	t.Slabs, t.HashTable = a.Slabs.Number("total_malloced"), a.General.Number("hash_bytes")
	var pages, used uint64
	classes := a.Slabs.Classes("")
	for _, c := range classes {
		pages += c.Number("total_pages")
	}
	pool := a.General.Number("slab_global_page_pool")
	page := t.Slabs / max(1, pages+pool)
	var filled float64 // pages, were all chunks used
	for _, c := range classes {
		chunk, chunks, inUse := c.Number("chunk_size"), c.Number("total_chunks"), c.Number("used_chunks")
		used += inUse * chunk
		t.FreeChunks += (chunks - min(chunks, inUse)) * chunk
		t.PageEnds += less(c.Number("total_pages")*page, chunks*chunk)
		filled += float64(c.Number("total_pages")*page) * float64(inUse) / float64(max(1, chunks))
	}
	t.FreePages = pool * page
	t.Rounding = less(used, a.General.Number("bytes"))
	r.Full = a.General.Number("evictions") > 0 && float64(t.Slabs) > 0.9*float64(r.Limit) || float64(t.Slabs) >= float64(r.Limit)
	items := float64(r.Items)
	t.Bytes = Range{filled / items, float64(t.Slabs) / items}
	t.PerMiB = Range{1 << 20 / t.Bytes.High, 1 << 20 / t.Bytes.Low}
}

// less is a-b, or nothing: the questions are asked one after the other, and items come meanwhile.
func less(a, b uint64) uint64 { return a - min(a, b) }

// headerOf is what memcached counts for an item beside key, value and client flags, and what it
// may count for these.
func headerOf(a *Answers) (header float64, suffixes Range) {
	header = 48 + 1 + 2
	if a.General["pointer_size"] == "32" {
		header = 32 + 1 + 2
	}
	if a.Settings["cas_enabled"] != "no" {
		header += 8
	}
	switch a.Settings["inline_ascii_response"] {
	case "no":
		return header, Range{0, 4}
	default: // before 1.4.35, and with the option until 1.5.14: " flags length\r\n"
		return header, Range{6, 24}
	}
}

// payload divides the items' bytes.
func (r *Report) payload(a *Answers, header float64, suffixes Range, known Known) {
	if suffixes.High == 4 && known.Flags >= 0 {
		suffixes = Range{4, 4}
		if known.Flags == 0 {
			suffixes = Range{}
		}
	}
	items, all := float64(r.Items), float64(a.General.Number("bytes"))
	r.There.Headers = Range{items * (header + suffixes.Low), items * (header + suffixes.High)}
	r.There.Payload = Range{max(items, all-r.There.Headers.High), max(items, all-r.There.Headers.Low)}
}

// groups are the items by size.
func (r *Report) groups(a *Answers, header float64) (groups []group) {
	least := header + 1
	var total, sum, most float64
	for name := range a.Sizes {
		if size, err := strconv.Atoi(name); err == nil {
			g := group{float64(a.Sizes.Number(name)), float64(size) - 15.5, max(least, float64(size)-31), float64(size)}
			groups = append(groups, g)
			total += g.items
			sum += g.items * g.mean
			most += g.items * 16
		}
	}
	// It has counted since it started; what is missing has come between two questions.
	all := float64(a.General.Number("bytes"))
	if r.Exact = total > 0 && math.Abs(total/float64(r.Items)-1) < 0.01 && math.Abs(sum-all) < most+0.01*all; r.Exact {
		off := all/float64(r.Items) - sum/total // the mean of all is known
		for i := range groups {
			groups[i].mean += off
		}
		return groups
	}
	groups = groups[:0]
	items, slabs := a.Items.Classes("items:"), a.Slabs.Classes("")
	longest := float64(max(a.Settings.Number("item_size_max"), 1<<20))
	chunkMost := a.Settings.Number("slab_chunk_max")
	for _, n := range slices.Sorted(maps.Keys(items)) {
		c := group{items: float64(items[n].Number("number")), low: least, high: longest}
		bytes, ok := items[n].Find("mem_requested")
		if !ok { // before 1.5.17
			bytes, ok = slabs[n].Find("mem_requested")
		}
		if !ok || c.items == 0 {
			continue
		}
		c.mean = float64(bytes) / c.items
		if chunk := slabs[n].Number("chunk_size"); chunk > 0 && (chunkMost == 0 || chunk < chunkMost) {
			c.high = float64(chunk)
		}
		if below := slabs[n-1].Number("chunk_size"); below > 0 {
			c.low = float64(below) + 1
		}
		c.low, c.high = min(c.low, c.mean), max(c.high, c.mean)
		groups = append(groups, c)
	}
	if len(groups) == 0 {
		groups = []group{{float64(r.Items), float64(a.General.Number("bytes")) / float64(r.Items), least, longest}}
	}
	return groups
}

// here says what the items would need.
func (r *Report) here(a *Answers, header float64, suffixes Range, known Known) {
	h := &r.Here
	itemMax := int(a.Settings.Number("item_size_max"))
	cas := a.General.Number("cas_hits")+a.General.Number("cas_misses")+a.General.Number("cas_badval") > 0
	groups := r.groups(a, header)
	// What a record has beside key and value does not depend on the limit, but for padding.
	record := func(f storage.Footprint) (sum Range) {
		items := 0.0
		for _, g := range groups {
			one := recordOf(f, g, header, suffixes, known, cas)
			sum.Low += g.items * one.Low
			sum.High += g.items * one.High
			items += g.items
		}
		return Range{sum.Low / items, sum.High / items}
	}
	fits := func(limit int64) (Range, bool) {
		f, ok := storage.FootprintOf(storage.Options{MemoryLimit: limit, ItemMax: itemMax})
		of := record(f)
		return Range{f.Fits(of.High) * (1 - modelError), f.Fits(of.Low) * (1 + modelError)}, ok
	}

	same, ok := storage.FootprintOf(storage.Options{MemoryLimit: int64(r.Limit), ItemMax: itemMax})
	if ok {
		h.Record = record(same)
		h.Items, _ = fits(int64(r.Limit))
	}
	if h.Items.Low > 0 {
		limit, mib := float64(r.Limit), float64(r.Limit)/(1<<20)
		h.Bytes = Range{limit / h.Items.High, limit / h.Items.Low}
		h.PerMiB = Range{h.Items.Low / mib, h.Items.High / mib}
		if r.Full {
			h.More = Range{h.Items.Low / float64(r.Items), h.Items.High / float64(r.Items)}
		} else { // by what it would keep were it full
			h.More = Range{h.PerMiB.Low / r.There.PerMiB.High, h.PerMiB.High / r.There.PerMiB.High}
		}
	}
	need := func(enough func(Range) bool) float64 {
		least := max(1, (2*itemMax+1<<20-1)>>20) // -I is at most half of -m
		low, high := least, least
		good := func(mib int) bool { r, ok := fits(int64(mib) << 20); return ok && enough(r) }
		for ; !good(high) && high < 1<<24; high *= 2 {
			low = high + 1
		}
		for low < high {
			if middle := (low + high) / 2; good(middle) {
				high = middle
			} else {
				low = middle + 1
			}
		}
		return float64(high)
	}
	items := float64(r.Items)
	h.MiB = Range{need(func(r Range) bool { return r.High >= items }), need(func(r Range) bool { return r.Low >= items })}

	if known.Flags < 0 {
		r.Unknown = append(r.Unknown, "how many items have client flags (--client-flags, if you know)")
	}
	if known.TTL == "" {
		r.Unknown = append(r.Unknown, "how many items have an expiration time (--ttl, if you know)")
	}
	if cas {
		r.Unknown = append(r.Unknown, "how many items are asked for with gets: they keep 9 bytes more")
	}
}

// recordOf bounds what an item of a group takes here, in the mean of the group: over all that it
// may have, and at both ends of the sizes, for what is added grows with them.
//
//	client flags   there 0 or 4, here 0, 1, 2 or 4 bytes
//	deadline       there always, here none, 2 or 4 bytes
//	length of the value: it takes 1, 2 or 4 bytes; the key is from 1 to 250
func recordOf(f storage.Footprint, g group, header float64, suffixes Range, known Known, cas bool) Range {
	type flags struct {
		there float64
		value uint32
	}
	var flagsThere []flags
	for _, width := range []int{0, 1, 2, 4} {
		value := uint32(0)
		if width > 0 {
			value = 1 << (8*width - 1)
		}
		switch {
		case known.Flags >= 0 && known.Flags != width:
		case suffixes.High > 4:
			flagsThere = append(flagsThere, flags{suffixes.Low, value}, flags{suffixes.High, value})
		case width == 0:
			flagsThere = append(flagsThere, flags{0, 0})
		default:
			flagsThere = append(flagsThere, flags{4, value})
		}
	}
	var deadlines []expiry.Instant
	if known.TTL != "all" {
		deadlines = append(deadlines, expiry.Never)
	}
	if known.TTL != "none" {
		deadlines = append(deadlines, 60, 1<<20) // 2 bytes and 4
	}
	all := Range{math.Inf(1), 0}
	for _, fl := range flagsThere {
		mean := max(1, g.mean-header-fl.there)
		for _, d := range deadlines {
			added := func(total float64, nkey int) float64 {
				payload := max(1, int(total-header-fl.there))
				nkey = min(nkey, payload)
				return float64(f.Header(nkey, payload-nkey, fl.value, d))
			}
			all.Low = min(all.Low, mean+added(g.low, 250))
			all.High = max(all.High, mean+added(g.high, 1))
		}
	}
	if cas {
		all.High += 9
	}
	all.High += float64(f.Granule() - 1)
	return all
}

func (r *Report) expired(a *Answers) {
	g := a.General
	e := &r.Expired
	e.Share = Range{0, 1}
	e.Crawler = a.Settings["lru_crawler"] == "yes"
	gone := g.Number("reclaimed") + g.Number("crawler_reclaimed")
	e.PerHour = float64(gone) / float64(max(r.Uptime, 1)) * 3600
	evicted, nonzero := uint64(0), uint64(0)
	for _, c := range a.Items.Classes("items:") {
		evicted += c.Number("evicted")
		nonzero += c.Number("evicted_nonzero")
	}
	if e.EvictedTTL = -1; evicted > 0 {
		e.EvictedTTL = float64(nonzero) / float64(evicted)
	}
	r.Unknown = append(r.Unknown, fmt.Sprintf("how many of the %s items have expired: here they go within seconds", count(float64(r.Items))))
}
