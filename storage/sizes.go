package storage

import "sync/atomic"

// sizeStep is how wide a bucket of the sizes is. Source: memcached's `stats sizes`.
const sizeStep = 32

// sizes counts the items by what memcached would count for them (Charge), rounded up to sizeStep. All shards count in the
// same buckets.
type sizes struct{ buckets []atomic.Int32 }

func newSizes(itemMax int) *sizes {
	return &sizes{make([]atomic.Int32, itemMax/sizeStep+2)}
}

// sized counts an item that has come, or gone.
func (s *shard) sized(r *record, n int32) {
	if r.split() && s.chains[*r.chain()].incoming != nil {
		return // on its way, and no item yet
	}
	charge := Charge(int(r.klen), r.flags(), r.total(), !s.store.opts.DisableCAS)
	// A memory file may have larger items than are taken now; memcached leaves such out too.
	if b := sizeBucket(charge); b < len(s.store.sizes.buckets) {
		s.store.sizes.buckets[b].Add(n)
	}
}

func sizeBucket(charge int) int { return (charge + sizeStep - 1) / sizeStep }

// Sizes hands over how many items there are of each size, from small to large, if Options.TrackSizes says so. Sizes of which
// there are none are left out.
func (st *Store) Sizes(visit func(size int, items uint64)) {
	if st.sizes == nil {
		return
	}
	for i := range st.sizes.buckets {
		if n := st.sizes.buckets[i].Load(); n > 0 {
			visit(i*sizeStep, uint64(n))
		}
	}
}
